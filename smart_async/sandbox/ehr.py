"""The sandbox EHR as one object: made, filled with clients, driven, and asked what it thought."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.applications import Starlette

from smart_async.errors import OAuthError
from smart_async.limits import Timeouts
from smart_async.messages import FORM, Headers, JSONObject, Request, Response, clean_text, form_body
from smart_async.sandbox.charts import Charts
from smart_async.sandbox.client_keys import Fetch, fetch_jwks
from smart_async.sandbox.clients import SandboxClient
from smart_async.sandbox.data import DEFAULT_USER, synthetic_resources
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.replies import with_query
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.transport import SandboxTransport
from smart_async.sandbox.verdicts import Case, Exchange, Received, Replay, Verdict
from smart_async.sandbox.wiring import assemble

__all__ = ("Sandbox",)


class Sandbox:
    """
    A SMART EHR for tests and learning: authorization server, launcher and FHIR R4 endpoint in one.

    It judges clients as strictly as the specification allows, and says which rule was broken: in the
    `error_description` that the client gets and in `verdicts`. It shares no code with the client side of
    this library, so that an error there cannot excuse itself here. Not for production.

    Args:
        base_url: Its origin. In memory it can be any https origin; `serve` sets the real one.
        clock: Returns Unix seconds.
        access_token_lifetime: Seconds that a user's access token lives.
        backend_token_lifetime: Seconds that a backend token lives.
        refresh_token_lifetime: Seconds that a refresh token lives.
        code_lifetime: Seconds that an authorization code can be exchanged.
        rotate_refresh_tokens: Whether each refresh replaces the refresh token; the replaced one, used
            again, revokes everything from the same login.
        repeat_context: Whether a refresh answer repeats patient, encounter and the rest.
        initial_access_token: What a client must present to register itself; None lets everybody register.
        auto_consent: Whether the sandbox signs in and agrees for the user at once, as tests want it; False
            shows pages for that, as people want it.
        patient: The id of the patient that a standalone launch ends up with.
        user: The relative reference to the user who is always signed in.
        fetch: Gets a client's JWK Set from its URL: bytes, or a `Response` where caching matters.
        faults: What shall go wrong from the start: names, or a mapping from names to the arguments of
            `faults.add`.

    Attributes:
        faults: What goes wrong on demand; more can be added at any time.
        resources: The data, by type and id.

    Raises:
        ConfigurationError: If the base URL, the patient, the user or a fault is unusable.
    """

    def __init__(
        self,
        *,
        base_url: str = "https://sandbox.example",
        clock: Callable[[], float] = time.time,
        access_token_lifetime: int = 3600,
        backend_token_lifetime: int = 300,
        refresh_token_lifetime: int = 90 * 24 * 3600,
        code_lifetime: int = 60,
        rotate_refresh_tokens: bool = True,
        repeat_context: bool = True,
        initial_access_token: str | None = None,
        auto_consent: bool = True,
        patient: str = "patient-amber",
        user: str = DEFAULT_USER,
        fetch: Fetch = fetch_jwks,
        faults: Iterable[str] | Mapping[str, Mapping[str, Any]] = (),
    ) -> None:
        self.faults = Faults(faults)
        self._place = Place(base_url)
        self._settings = Settings(
            clock=self.faults.clock(clock),
            access_token_lifetime=access_token_lifetime,
            backend_token_lifetime=backend_token_lifetime,
            refresh_token_lifetime=refresh_token_lifetime,
            code_lifetime=code_lifetime,
            rotate_refresh_tokens=rotate_refresh_tokens,
            repeat_context=repeat_context,
            initial_access_token=initial_access_token,
            auto_consent=auto_consent,
        )
        self.resources = synthetic_resources()
        self._charts = Charts(self.resources)
        self._charts.require(user, field="user")
        self._charts.require(f"Patient/{patient}", field="patient")
        parts = assemble(
            place=self._place,
            settings=self._settings,
            resources=self.resources,
            user=user,
            patient=patient,
            fetch=fetch,
            faults=self.faults,
        )
        self._registry, self._ledger, self._grants, self._app = parts[:4]
        self._desk, self._consent = parts.desk, parts.consent

    @property
    def app(self) -> Starlette:
        """The ASGI app."""
        return self._app

    @property
    def base_url(self) -> str:
        """The origin."""
        return self._place.base_url

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL: what an app is configured with."""
        return self._place.fhir_base

    @property
    def issuer(self) -> str:
        """The issuer of ID tokens and authorization responses."""
        return self._place.issuer

    @property
    def token_endpoint(self) -> str:
        """The token endpoint's URL."""
        return self._place.token_endpoint

    @property
    def requests(self) -> list[Received]:
        """Every request that arrived, oldest first, credentials included."""
        return self._ledger.requests

    @property
    def verdicts(self) -> list[Verdict]:
        """What was thought of each request to a judging endpoint, oldest first."""
        return self._ledger.verdicts

    @property
    def replays(self) -> list[Replay]:
        """Every code and refresh token that was presented again after its one use, oldest first."""
        return self._ledger.replays

    @property
    def exchanges(self) -> list[Exchange]:
        """Every request with its verdicts, faults and the answer's status, oldest first."""
        return self._ledger.exchanges

    @property
    def patients(self) -> tuple[str, ...]:
        """The ids of the patients."""
        return tuple(self.resources["Patient"])

    def move(self, base_url: str) -> None:
        """Take *base_url* as the origin from now on; `serve` does this when it knows the port."""
        self._place.move(base_url)

    def register_client(
        self,
        *,
        client_id: str,
        redirect_uris: Iterable[str] = (),
        jwks: JSONObject | None = None,
        jwks_uri: str | None = None,
        client_secret: str | None = None,
        scope: str | None = None,
        grant_types: Iterable[str] | None = None,
        client_name: str | None = None,
        launch_url: str | None = None,
        logo_uri: str | None = None,
    ) -> SandboxClient:
        """
        Register a client, or replace the one with that id.

        With `jwks` or `jwks_uri` it authenticates with a key, with `client_secret` by HTTP Basic, with
        neither it is public.

        Args:
            client_id: Its id.
            redirect_uris: Where the browser may be sent back to.
            jwks: Its public JWK Set.
            jwks_uri: The URL of its public JWK Set.
            client_secret: Its secret.
            scope: What it may ask for at most; everything by default.
            grant_types: Some of `authorization_code`, `refresh_token` and `client_credentials`; by default
                the first two with redirect URIs, and the third with keys.
            client_name: What the pages call it.
            launch_url: Where an EHR launch starts it.
            logo_uri: Where its picture is; the sandbox never loads it.

        Raises:
            ConfigurationError: If the registration contradicts itself or the specification.
        """
        return self._registry.register(
            client_id=client_id,
            redirect_uris=redirect_uris,
            jwks=jwks,
            jwks_uri=jwks_uri,
            client_secret=client_secret,
            scope=scope,
            grant_types=grant_types,
            client_name=client_name,
            launch_url=launch_url,
            logo_uri=logo_uri,
        )

    def new_launch(
        self,
        *,
        patient: str | None = None,
        encounter: str | None = None,
        need_patient_banner: bool = True,
        user: str | None = None,
        **members: Any,
    ) -> str:
        """
        Open a chart and return the launch handle for it.

        Args:
            patient: A patient's id; none, and the launch has no patient.
            encounter: The id of one of the patient's encounters.
            need_patient_banner: Whether the app must show who the patient is.
            user: The relative reference to the user who opens it; the sandbox's own user by default.
            **members: Further members of the token response: `fhirContext`, `intent`, `tenant`,
                `smart_style_url` or an extension.

        Raises:
            ConfigurationError: If patient, encounter or user are unknown or do not belong together.
        """
        context = self._charts.context(patient, encounter, need_patient_banner=need_patient_banner)
        if user is not None:
            self._charts.require(user, field="user")
        return self._grants.new_launch({**context, **members}, user=user)

    def launch_url(
        self,
        app_launch_url: str,
        *,
        patient: str | None = None,
        encounter: str | None = None,
        **members: Any,
    ) -> str:
        """
        Return the URL that the EHR opens to start an app, with a new launch handle in it.

        Args:
            app_launch_url: The app's launch URL.
            patient: As in `new_launch`, as is the rest.
            encounter: See there.
            **members: See there.

        Spec: SMART App Launch 2.2, EHR launch.
        """
        handle = self.new_launch(patient=patient, encounter=encounter, **members)
        return with_query(app_launch_url, {"iss": self.fhir_base, "launch": handle})

    def transport(self) -> SandboxTransport:
        """Return a new transport that reaches the sandbox in memory, for sync and async clients."""
        return SandboxTransport(self._app, self._place)

    def authorize(self, url: str, form: Mapping[str, str] | None = None) -> str:
        """
        Do the browser's part of a login in memory: open *url*, agree to everything, return where it leads.

        Args:
            url: The authorization URL.
            form: The fields to POST there, instead of a GET.

        Returns:
            The callback URL, with a code or with an error in it.

        Raises:
            OAuthError: If the sandbox shows a page instead of sending the browser back.
        """
        response = self._browse(url, form)
        location = response.headers.get("location", "")
        if location.startswith("/login/") and (login := self._desk.find(location.rpartition("/")[2])):
            login.done = True
            case = Case(
                endpoint="authorize", received=self.requests[-1], client_id=login.asked.client.client_id
            )
            response = self._consent.allow(login.asked, case)
        if "location" in response.headers:
            return response.headers["location"]
        raise OAuthError(
            "The sandbox shows an error page and does not go back to the app.",
            endpoint=url.partition("?")[0],
            error="invalid_request",
            error_description=clean_text(self.verdicts[-1].message if self.verdicts else ""),
            status=response.status,
        )

    def revoke_tokens(self, client_id: str | None = None) -> None:
        """Void all tokens, or all of one client, as an administrator would."""
        self._grants.revoke_all(client_id)

    def _browse(self, url: str, form: Mapping[str, str] | None) -> Response:
        request = Request(method="GET", url=url, purpose="fhir")
        if form is not None:
            body, headers = form_body(form.items()), Headers([("Content-Type", FORM)])
            request = Request(method="POST", url=url, purpose="fhir", headers=headers, body=body)
        return self.transport().send(request, Timeouts())
