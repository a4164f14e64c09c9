"""Which page is where."""

from __future__ import annotations

from collections.abc import Callable

from smart_async.messages import Response
from smart_async.sandbox.charts import Charts
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.consent import Consent
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.grants import GrantStore
from smart_async.sandbox.logins import LoginDesk
from smart_async.sandbox.pages.guard import Guard
from smart_async.sandbox.pages.inspector import Inspector
from smart_async.sandbox.pages.launcher import Launcher
from smart_async.sandbox.pages.login import LoginPages
from smart_async.sandbox.pages.render import Renderer, asset
from smart_async.sandbox.pages.workshop import ClientPages, FaultPages
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.verdicts import Ledger, Received

__all__ = ("page_routes",)


def page_routes(
    *,
    renderer: Renderer,
    registry: Registry,
    grants: GrantStore,
    charts: Charts,
    consent: Consent,
    desk: LoginDesk,
    faults: Faults,
    ledger: Ledger,
    place: Place,
    settings: Settings,
) -> dict[str, Callable[[Received], Response]]:
    """
    Return all pages by their paths.

    Args:
        renderer: Makes the pages.
        registry: The known clients.
        grants: Keeps the launch handles.
        charts: The patients and users to choose from.
        consent: Sends the browser back to the app.
        desk: Keeps the sign-ins.
        faults: What goes wrong on demand.
        ledger: What was received.
        place: The sandbox's URLs.
        settings: How the sandbox behaves.
    """
    guard = Guard(place, renderer)
    login = LoginPages(renderer=renderer, desk=desk, charts=charts, consent=consent, ledger=ledger)
    launcher = Launcher(
        renderer=renderer,
        registry=registry,
        grants=grants,
        charts=charts,
        faults=faults,
        place=place,
        settings=settings,
    )
    clients = ClientPages(renderer=renderer, registry=registry)
    fault_pages = FaultPages(renderer=renderer, registry=registry, faults=faults)
    inspector = Inspector(renderer=renderer, ledger=ledger, registry=registry)
    return {
        "/": guard.page(get=launcher.show, post=launcher.launch),
        "/launch/{key}": guard.page(get=launcher.show_prepared),
        "/ehr/{key}": guard.page(get=launcher.show_frame),
        "/clients": guard.page(get=clients.show, post=clients.register),
        "/faults": guard.page(get=fault_pages.show, post=fault_pages.change),
        "/inspect": guard.page(get=inspector.show),
        "/login/{key}": guard.page(get=login.show),
        "/login/{key}/{step}": guard.page(get=login.show, post=login.take),
        "/style.css": lambda _: asset("style.css"),
        "/icon.svg": lambda _: asset("icon.svg"),
    }
