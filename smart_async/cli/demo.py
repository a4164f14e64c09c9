"""`demo`: the whole workflow against the built-in sandbox, each message shown as it went over the wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smart_async.cli.appserver import AppServer
from smart_async.cli.command import how_to_call
from smart_async.cli.masking import Masker
from smart_async.cli.options import HttpLibrary, Json, Library, Timeout, timeouts
from smart_async.cli.output import console, print_json
from smart_async.cli.screen import Screen
from smart_async.cli.story import Cast, Story, run_async, run_sync, tell
from smart_async.cli.trace import Shown, show
from smart_async.clients import AsyncSmartClient, SmartClient
from smart_async.keys import SigningKey, public_jwks
from smart_async.limits import Timeouts
from smart_async.transports import Exchange, TracingTransport, open_async_transport, open_transport

if TYPE_CHECKING:
    from smart_async.sandbox import Sandbox, SandboxClient

__all__ = ("add_to", "demo")

_LOGIN_ID = "growth-chart"
_LOGIN_SCOPE = "openid fhirUser launch/patient patient/Patient.rs offline_access"
_BACKEND_ID = "nightly-report"
_BACKEND_SCOPE = "system/Patient.rs"
_INTRODUCTION = (
    "An app wants to read health records that an EHR (a hospital's record system) keeps. SMART on FHIR says "
    "how it gets an access token for exactly the records that were agreed on, and never sees a password. "
    "Below is every message of that conversation, recorded on this machine as it was sent: > is a request, "
    "< its answer. Secrets are hidden, and numbered so that you can follow each: the same number is the same "
    "value."
)
_REGISTRATION = (
    "Done once, by people: the app tells the EHR its name, where logins come back to, and where its public "
    "keys are. The private keys never leave the app."
)
_SCOPES = (
    "Each scope is one permission. patient/Patient.rs: of the one patient whose record is open, what is kept "
    "as Patient; r = read, s = search (c, u and d would be create, update and delete). system/: the same for "
    "every patient, without a user. launch/patient: let the user pick the patient, and tell the app who it "
    "is. openid and fhirUser: tell the app who the user is, and which FHIR record is the user's own. "
    "offline_access: a refresh token, to go on when the user has left."
)
_NEXT = (
    "Your turn: {command} sandbox keeps this EHR running for your own app, and {command} discover shows what "
    "any SMART server says of itself."
)


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command()(demo)


def demo(
    use_async: Annotated[
        bool, typer.Option("--async/--sync", help="Use AsyncSmartClient, or SmartClient.")
    ] = True,
    json: Json = False,
    transport: HttpLibrary = Library.HTTPX,
    timeout: Timeout = None,
) -> None:
    """
    Run the whole workflow against the built-in sandbox and show each message, with secrets hidden.

    A user signs in with PKCE and a signed assertion, the token reads a Patient and is refreshed; then
    Backend Services do without a user, with an ES384 key and with an RS384 key. Nothing leaves this machine.
    """
    from smart_async.sandbox import Sandbox, serve

    limits = timeouts(timeout)
    recorder = _Recorder(None if json else Screen(console()))
    es384, rs384 = (SigningKey.generate(name, kid=f"{name.lower()}-key") for name in ("ES384", "RS384"))
    with ExitStack() as stack:
        app = stack.enter_context(
            AppServer(public_jwks([es384, rs384]), recorder.postponed("EHR", "App")).running()
        )
        recorder.app_url = app.base_url
        ehr = stack.enter_context(serve(Sandbox()))
        clients = _register(ehr, app)
        recorder.introduce(ehr, clients)
        cast = {
            "fhir_base": ehr.fhir_base,
            "app": app,
            "es384": es384,
            "rs384": rs384,
            "login_id": _LOGIN_ID,
            "login_scope": _LOGIN_SCOPE,
            "backend_id": _BACKEND_ID,
            "backend_scope": _BACKEND_SCOPE,
            "other_patient": ehr.patients[1],
            "title": recorder.title,
        }
        try:
            (_play_async if use_async else _play_sync)(cast, recorder, transport, limits)
        finally:
            recorder.summarise()
        recorder.conclude()
    if json:
        colour = "async" if use_async else "sync"
        print_json({"client": colour, "transport": transport.value, **recorder.members(clients)})


class _Recorder:
    """Receives exchanges from the transports and shows each of them as soon as it is over."""

    def __init__(self, screen: Screen | None) -> None:
        self.app_url = ""
        self.shown: list[Shown] = []
        self._screen = screen
        self._masker = Masker()
        self._waiting: deque[tuple[Exchange, str, str]] = deque()

    def app(self, exchange: Exchange) -> None:
        """Show what the app sent, and then what happened elsewhere before its answer came."""
        self._show(exchange, "App", "EHR")
        while self._waiting:
            self._show(*self._waiting.popleft())

    def browser(self, exchange: Exchange) -> None:
        """Show what the browser sent."""
        to_app = exchange.request.url.startswith(f"{self.app_url}/")
        self._show(exchange, "Browser", "App" if to_app else "EHR")

    def postponed(self, sender: str, receiver: str) -> Callable[[Exchange], None]:
        """Return what takes exchanges from another thread, to be shown after the one they belong to."""
        return lambda exchange: self._waiting.append((exchange, sender, receiver))

    def title(self, text: str) -> None:
        if self._screen:
            self._screen.title(text)

    def introduce(self, ehr: Sandbox, clients: list[SandboxClient]) -> None:
        if self._screen is None:
            return
        self._screen.title("SMART on FHIR, message by message")
        self._screen.say(_INTRODUCTION)
        self._screen.members({"EHR": f"{ehr.fhir_base} (the built-in sandbox)", "App": self.app_url})
        self._screen.title("Before the first message: registration")
        self._screen.say(_REGISTRATION)
        for client in clients:
            self._screen.members(_registration(client))
        self._screen.say(f"\n{_SCOPES}")

    def summarise(self) -> None:
        if self._screen:
            self._screen.title("Summary: every message, in order")
            self._screen.summary(self.shown)

    def conclude(self) -> None:
        if self._screen is None:
            return
        signed = ", ".join(item.assertion.header["alg"] for item in self.shown if item.assertion)
        self._screen.say(
            f"\nEvery one of the {len(self.shown)} messages was answered as it should be. Signed: {signed}."
        )
        self._screen.say(_NEXT.format(command=how_to_call()))

    def members(self, clients: list[SandboxClient]) -> dict[str, Any]:
        signed = {str(item.assertion.header["alg"]) for item in self.shown if item.assertion}
        return {
            "registrations": [_registration(client) for client in clients],
            "exchanges": [item.members() for item in self.shown],
            "algorithms": sorted(signed),
        }

    def _show(self, exchange: Exchange, sender: str, receiver: str) -> None:
        shown = show(exchange, self._masker, number=len(self.shown) + 1, sender=sender, receiver=receiver)
        self.shown.append(shown)
        if self._screen:
            self._screen.exchange(shown)


def _register(ehr: Sandbox, app: AppServer) -> list[SandboxClient]:
    login = ehr.register_client(
        client_id=_LOGIN_ID,
        redirect_uris=[app.redirect_uri],
        jwks_uri=app.jwks_uri,
        scope=_LOGIN_SCOPE,
        grant_types=["authorization_code", "refresh_token"],
    )
    backend = ehr.register_client(client_id=_BACKEND_ID, jwks_uri=app.jwks_uri, scope=_BACKEND_SCOPE)
    return [login, backend]


def _registration(client: SandboxClient) -> dict[str, Any]:
    members = {
        "client_id": client.client_id,
        "redirect_uris": list(client.redirect_uris),
        "jwks_uri": client.jwks_uri,
        "grant_types": list(client.grant_types),
        "scope": " ".join(client.scopes),
    }
    return {name: value for name, value in members.items() if value}


def _play_sync(cast: dict[str, Any], recorder: _Recorder, library: Library, limits: Timeouts) -> None:
    inner = open_transport(library.value)
    app, browser = TracingTransport(inner, recorder.app), TracingTransport(inner, recorder.browser)
    try:
        run_sync(
            tell(
                Cast(
                    **cast,
                    client=lambda config: SmartClient(config, transport=app, timeouts=limits),
                    app_send=lambda request: app.send(request, limits),
                    browser_send=lambda request: browser.send(request, limits),
                )
            )
        )
    finally:
        inner.close()


def _play_async(cast: dict[str, Any], recorder: _Recorder, library: Library, limits: Timeouts) -> None:
    import anyio

    inner = open_async_transport(library.value)
    app, browser = TracingTransport(inner, recorder.app), TracingTransport(inner, recorder.browser)
    story: Story = tell(
        Cast(
            **cast,
            client=lambda config: AsyncSmartClient(config, transport=app, timeouts=limits),
            app_send=lambda request: app.async_send(request, limits),
            browser_send=lambda request: browser.async_send(request, limits),
        )
    )

    async def play() -> None:
        try:
            await run_async(story)
        finally:
            await inner.aclose()

    anyio.run(play)
