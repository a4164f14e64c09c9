"""The launcher: start a registered app as an EHR would, in a window or in a frame."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.messages import Response, parse_url
from smart_async.sandbox.charts import Charts
from smart_async.sandbox.clients import Registry, SandboxClient
from smart_async.sandbox.fault_kinds import ENDPOINTS, KINDS
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.grants import GrantStore
from smart_async.sandbox.pages.guard import Browser, query_of
from smart_async.sandbox.pages.people import named, users
from smart_async.sandbox.pages.render import Renderer, filled, source_of
from smart_async.sandbox.pages.texts import PageError
from smart_async.sandbox.replies import see_other, with_query
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.verdicts import Received

__all__ = ("Launcher", "Prepared")

_KEPT = 200
_SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """
    A launch that was asked for.

    Args:
        client: The app.
        kind: `ehr` or `standalone`.
        url: Where the app is started; None if that is not known.
        scope: The scopes to ask for, as a proposal.
        patient: The patient's name, or None.
    """

    client: SandboxClient
    kind: str
    url: str | None
    scope: str
    patient: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """
    Shows the launcher and starts apps.

    Args:
        renderer: Makes the pages.
        registry: The known clients.
        grants: Keeps the launch handles.
        charts: The patients to choose from.
        faults: What goes wrong on demand.
        place: The sandbox's URLs.
        settings: Whether users are asked.
        prepared: The launches that were asked for, by an unguessable name.
    """

    renderer: Renderer
    registry: Registry
    grants: GrantStore
    charts: Charts
    faults: Faults
    place: Place
    settings: Settings
    prepared: dict[str, Prepared] = field(default_factory=dict[str, Prepared])

    def show(self, received: Received, browser: Browser) -> Response:
        """Show the launcher; its query may choose the client and the rest beforehand."""
        return self._page(browser, query_of(received))

    # The arguments are those of all form handlers.
    def launch(self, received: Received, browser: Browser, fields: dict[str, str]) -> Response:  # noqa: ARG002
        """Start the app, or show what it needs for starting by itself."""
        client = self.registry.find(fields.get("client", ""))
        if client is None:
            return self._page(browser, fields, error="Choose an app.")
        try:
            prepared = self._prepare(client, fields)
        except ConfigurationError as exc:
            return self._page(browser, fields, error=f"{exc.message} {exc.advice or ''}".strip())
        key = secrets.token_urlsafe(24)
        self.prepared[key] = prepared
        while len(self.prepared) > _KEPT:
            del self.prepared[next(iter(self.prepared))]
        if prepared.kind == "ehr" and "framed" in fields:
            return see_other(f"/ehr/{key}")
        if prepared.kind == "ehr" and prepared.url and source_of(prepared.url) in self._origins():
            return see_other(prepared.url)
        return see_other(f"/launch/{key}")

    def show_prepared(self, received: Received, browser: Browser) -> Response:
        """Show the parameters of a launch, with a link that starts the app."""
        return self.renderer.page(
            "prepared.html", launch=self._prepared(received), headers=browser.headers, auto=self._auto
        )

    def show_frame(self, received: Received, browser: Browser) -> Response:
        """Show the EHR with the app in a frame."""
        prepared = self._prepared(received)
        if prepared.url is None:
            raise PageError("missing", status=404)
        return self.renderer.page("ehr.html", launch=prepared, frames=[prepared.url], headers=browser.headers)

    @property
    def _auto(self) -> bool:
        return self.settings.auto_consent

    def _prepared(self, received: Received) -> Prepared:
        prepared = self.prepared.get(received.path.rpartition("/")[2])
        if prepared is None:
            raise PageError("missing", status=404)
        return prepared

    def _prepare(self, client: SandboxClient, fields: Mapping[str, str]) -> Prepared:
        url = fields.get("launch_url", "").strip() or client.launch_url
        if url is not None:
            _ = parse_url(url, field="launch URL", allow_insecure_loopback=True, allow_query=True)
        scope = fields.get("scope", _SCOPE)
        if fields.get("launch_type") != "ehr":
            return Prepared(client=client, kind="standalone", url=None, scope=scope, patient=None)
        if url is None:
            raise ConfigurationError(
                "This app has no launch URL.", field="launch URL", advice="Type one, or start it standalone."
            )
        patient = fields.get("patient")
        name = named(self.charts.require(f"Patient/{patient}", field="patient"))["name"] if patient else None
        return Prepared(
            client=client, kind="ehr", url=self._launch_url(url, fields), scope=scope, patient=name
        )

    def _launch_url(self, url: str, fields: Mapping[str, str]) -> str:
        context = self.charts.context(fields.get("patient"), fields.get("encounter"))
        user = fields.get("user")
        if user is not None:
            _ = self.charts.require(user, field="user")
        handle = self.grants.new_launch(context, user=user)
        return with_query(url, {"iss": self.place.fhir_base, "launch": handle})

    def _origins(self) -> set[str | None]:
        return {source_of(url) for url in self._targets()}

    def _targets(self) -> list[str]:
        urls = [uri for client in self.registry for uri in (*client.redirect_uris, client.launch_url) if uri]
        return [url for url in urls if url.startswith(("http://", "https://"))]

    def _page(self, browser: Browser, chosen: Mapping[str, str], *, error: str | None = None) -> Response:
        patients = [named(one) for one in self.charts.everyone("Patient")]
        values: dict[str, Any] = {
            "clients": list(self.registry),
            "patients": [{**one, "encounters": self._encounters(one["id"])} for one in patients],
            "users": users(self.charts),
            "faults": list(self.faults),
            "kinds": list(KINDS.values()),
            "endpoints": ENDPOINTS,
            "chosen": filled({"launch_type": "ehr", "scope": _SCOPE, **chosen}),
            "blank": filled(None),
            "error": error,
            "auto": self._auto,
        }
        return self.renderer.page(
            "launcher.html",
            status=422 if error else 200,
            targets=self._targets(),
            headers=browser.headers,
            form_token=browser.token,
            **values,
        )

    def _encounters(self, patient: str) -> list[dict[str, str]]:
        found = self.charts.encounters(patient)
        return [{"id": one["id"], "day": one["period"]["start"][:10]} for one in found]
