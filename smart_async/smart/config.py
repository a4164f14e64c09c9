"""
One registration: which server, as whom, and how it likes things done.

A client is registered once with each authorization server. `SmartConfig` is what the app knows of that
registration; it is immutable and can be shared between clients, threads and event loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from smart_async._values import dataclass
from smart_async.limits import ASSERTION_BACKDATE, ASSERTION_LIFETIME, RETRY_ATTEMPTS
from smart_async.messages import discreet_init

if TYPE_CHECKING:
    from smart_async.smart.client_auth import ClientAuth

__all__ = ("SmartConfig",)

T = TypeVar("T")

_NOTHING: Mapping[str, str] = MappingProxyType({})
_UNCHANGING = frozenset({str, bool, int, tuple, type(None)})


class _Unset:
    """Stands for a field that was not given, until the vendor's preset or the default takes its place."""

    __slots__ = ("default",)

    def __init__(self, default: object) -> None:
        self.default = default

    def __repr__(self) -> str:
        """Show the default, as help() and editors display it in the signature."""
        return repr(self.default)


def _knob(default: T, *, extras: bool = False) -> T:
    # Typed as the field's own type: the placeholder is gone when __post_init__ returns. The values of extra
    # headers and parameters may be secret or personal, so no repr shows them; and a mapping has no hash.
    return cast("T", field(default=_Unset(default), repr=not extras, hash=False if extras else None))


@discreet_init
@dataclass(frozen=True, slots=True, kw_only=True)
class SmartConfig:
    """
    Say which FHIR server an app talks to, as which client, and how it proves that it is that client.

    The first five fields are all that a server following the specification needs. Each further one is for
    servers that do something otherwise, named in its line; `vendor` sets those that are documented.

    Args:
        fhir_base: The FHIR base URL, https, exactly as the server publishes it: it is also sent as `aud`,
            and servers compare that byte for byte.
        client_id: The client id from the registration.
        client_auth: How the client authenticates: `PrivateKeyJWT`, `ClientSecret` or `PublicClient`.
        redirect_uri: The registered redirect URI, byte for byte. Only the user-facing flow needs it.
        scope: The scopes to ask for, separated by blanks; sent as they are.
        vendor: Take what is left out below from the preset of this server; see `smart_async.smart.vendors`.
            `dataclasses.replace` leaves nothing out: it keeps the values of the configuration it starts from.
        strict: Refuse a server whose discovery document breaks a SHALL, where otherwise a finding is kept.
        allow_insecure_loopback: Accept plain http for loopback hosts, to develop against a local server.
        trusted_origins: Origins (`https://host`) that stored tokens and pending logins may be sent to
            although they were issued by another one: for a server that has moved, or is spread over hosts.
        discovery: Where the endpoints are found. `"well-known"`: the smart-configuration document.
            `"auto"`: where that cannot be used, the CapabilityStatement, then the OpenID configuration
            (Epic before 2021, 1upHealth). `"metadata"`: the CapabilityStatement alone. `"off"`: only the
            endpoints given here (BCDA, AB2D, DPC, VA backend).
        discovery_url: Where the smart-configuration document is, if not under the FHIR base (MEDITECH,
            AdvancedMD).
        follow_discovery_redirects: Follow up to 3 https redirects when discovering. Nothing else is ever
            redirected.
        authorization_endpoint: Takes the place of the discovered one (Oracle Health's v1 and v2 profiles).
        token_endpoint: Takes the place of the discovered one (NextGen system apps, VA, CMS).
        introspection_endpoint: Takes the place of the discovered one (eClinicalWorks lists none).
        revocation_endpoint: Takes the place of the discovered one.
        registration_endpoint: Takes the place of the discovered one (ModMed lists it elsewhere).
        aud: The `aud` of authorization requests. `"base"`: the FHIR base as given. `"strip-slash"`: without
            its trailing slash (eClinicalWorks, CareEvolution). A URL: that one (AdvancedMD). None: leave it
            out (Blue Button, NextGen).
        response_mode: Ask for the callback as `"form_post"` or `"query"` (athenaFlow).
        assertion_audience: The `aud` of client assertions, for servers that expect something else than
            the token URL: their issuer (IBM Verify, Keycloak), an internal URL (VA), a constant (SSAS).
        assertion_lifetime: Seconds from `iat` to `exp`, at most 300.
        assertion_backdate: Seconds that `iat` lies in the past, so that a fast clock does no harm.
        assertion_nbf: Add `nbf`, equal to `iat` (Entra ID).
        assertion_header: Members to add to the assertion's header, such as `x5t#S256` (Entra ID); None as
            a value leaves a member out. `alg` cannot be changed here.
        client_id_in_body: Send `client_id` beside the client authentication, for servers that insist.
        extra_authorize_params: Parameters to add to authorization requests.
        extra_token_params: Parameters to add to token requests (VA's `launch`, Canvas' `patient`); one that
            a request has already, such as `scope`, is not added to it.
        extra_discovery_headers: Header fields to add to discovery requests (`Epic-Client-ID`). They do not
            follow a redirect.
        extra_token_headers: Header fields to add to token requests.
        refresh_includes_scope: Name the granted scopes on refresh (athenahealth, VA).
        refresh_includes_client_id: Name `client_id` on refresh (athenahealth, OpenEMR).
        refresh_rotates: Whether a refresh token may stop working once it was used. Say False only of a server
            that is known to leave it as it is: then a refresh whose answer was lost is simply sent again.
        refresh_retry: What a session does after the answer to a refresh was lost, where the refresh token may
            rotate. `"never"`: it says so, for sending it twice may end the login at the server. `"grace"`: it
            tries once more within 5 seconds, for servers that forgive one repetition.
        attempts: How often one request may be sent in all, where repeating it does no harm; 1 turns
            repetition off.
        token_request: `"basic-empty"` sends a client_credentials request as Basic credentials and no body at
            all (BCDA); it needs `ClientSecret`.
        retry_bare_400: Repeat a client_credentials request once that was answered with 400 and no OAuth
            error; one cause is a server that fails now and then (Epic).
        token_rejected_statuses: With which statuses the FHIR server says that a token is no longer good, so
            that a session gets another (AB2D answers 403).
        introspection_auth: Who asks at the introspection endpoint: `"client"`, `"bearer"` (Epic, the SMART
            launcher) or `"none"` (the Inferno reference server).
        id_token: `"verify"`: an ID token that cannot be trusted ends the login. `"warn"`: it is left out,
            with a finding. `"off"`: it is not looked at.
        id_token_issuer: The issuer of ID tokens, where discovery names another (Oracle Health, NextGen).
        id_token_audiences: Who else may be named in an ID token's `aud`; anybody else there is refused.
        jwks_uri: Where the server's keys are, where its documents do not say or contradict each other.
        patient_from: Where to find the patient when the token response names none: `"fhirUser"` (Oracle
            Health, eClinicalWorks), or `"access_token_claim:NAME"` (Veradigm's `local_patient_id`).

    Raises:
        ConfigurationError: If a value cannot work, naming the field and the rule.

    Spec: SMART App Launch 2.2, app launch (registration) and client authentication.
    """

    fhir_base: str
    client_id: str
    client_auth: ClientAuth
    redirect_uri: str | None = None
    scope: str = ""
    vendor: str | None = None
    strict: bool = False
    allow_insecure_loopback: bool = False
    trusted_origins: tuple[str, ...] = ()
    discovery: Literal["well-known", "auto", "metadata", "off"] = _knob("well-known")
    discovery_url: str | None = _knob(None)
    follow_discovery_redirects: bool = _knob(False)
    authorization_endpoint: str | None = _knob(None)
    token_endpoint: str | None = _knob(None)
    introspection_endpoint: str | None = _knob(None)
    revocation_endpoint: str | None = _knob(None)
    registration_endpoint: str | None = _knob(None)
    aud: str | None = _knob("base")
    response_mode: Literal["query", "form_post"] | None = _knob(None)
    assertion_audience: str | None = _knob(None)
    assertion_lifetime: int = _knob(ASSERTION_LIFETIME)
    assertion_backdate: int = _knob(ASSERTION_BACKDATE)
    assertion_nbf: bool = _knob(False)
    assertion_header: Mapping[str, str | None] = _knob(
        cast("Mapping[str, str | None]", _NOTHING), extras=True
    )
    client_id_in_body: bool = _knob(False)
    extra_authorize_params: Mapping[str, str] = _knob(_NOTHING, extras=True)
    extra_token_params: Mapping[str, str] = _knob(_NOTHING, extras=True)
    extra_discovery_headers: Mapping[str, str] = _knob(_NOTHING, extras=True)
    extra_token_headers: Mapping[str, str] = _knob(_NOTHING, extras=True)
    refresh_includes_scope: bool = _knob(False)
    refresh_includes_client_id: bool = _knob(False)
    refresh_rotates: bool = _knob(True)
    refresh_retry: Literal["never", "grace"] = _knob("never")
    attempts: int = _knob(RETRY_ATTEMPTS)
    token_request: Literal["form", "basic-empty"] = _knob("form")
    retry_bare_400: bool = _knob(False)
    token_rejected_statuses: tuple[int, ...] = _knob((401,))
    introspection_auth: Literal["client", "bearer", "none"] = _knob("client")
    id_token: Literal["verify", "warn", "off"] = _knob("verify")
    id_token_issuer: str | None = _knob(None)
    id_token_audiences: tuple[str, ...] = _knob(())
    jwks_uri: str | None = _knob(None)
    patient_from: tuple[str, ...] = _knob(("token",))

    def __post_init__(self) -> None:
        """Fill in what was left out, then check every field, before the first request can go wrong."""
        # Rules and presets are long, and load with the first configuration.
        from smart_async.smart.config_checks import check_config

        preset: Mapping[str, object] = {}
        if self.vendor is not None:
            from smart_async.smart.vendors import preset_values

            preset = preset_values(self.vendor)
        for name in SmartConfig.__slots__:
            given = value = getattr(self, name)
            if type(value) is _Unset:
                value = preset.get(name, value.default)
            if type(value) not in _UNCHANGING:
                value = _frozen(value)
            if value is not given:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "trusted_origins", check_config(self))
        self.client_auth.check(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Copy by making it anew: a read-only mapping cannot be copied, nor can a key or secret."""
        values = {knob.name: getattr(self, knob.name) for knob in fields(self)}
        plain = {
            name: dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value
            for name, value in values.items()
        }
        return _made, (plain,)


def _frozen(value: object) -> object:
    # A copy of what is mutable, so that nothing changes a configuration after it has been checked.
    if isinstance(value, Mapping):
        members = dict(cast("Mapping[str, object]", value))
        # Nearly all are empty, and one empty mapping serves ten thousand tenants.
        return MappingProxyType(members) if members else _NOTHING
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value


def _made(values: dict[str, Any]) -> SmartConfig:
    return SmartConfig(**values)
