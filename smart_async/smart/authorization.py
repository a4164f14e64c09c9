"""
The authorization request: sending the user to the EHR to sign in and agree.

`authorize` makes a `PendingAuthorization`. Send the browser to its URL, keep the rest on your own server
until the browser comes back, and hand both to `exchange_code`.

Spec: SMART App Launch 2.2, app launch (obtain authorization code); RFC 6749, section 4.1.1; RFC 7636.
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError, DiscoveryError, LaunchRejectedError
from smart_async.flow import Flow, now
from smart_async.limits import PENDING_TTL
from smart_async.messages import Finding, Secret, same_base
from smart_async.smart.arguments import check_argument
from smart_async.smart.binding import Binding
from smart_async.smart.capabilities import Capability
from smart_async.smart.config import SmartConfig
from smart_async.smart.discovery import discover
from smart_async.smart.entropy import new_token
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.pending import PendingAuthorization, query_names
from smart_async.smart.pkce import new_verifier
from smart_async.smart.scopes import Scopes, asked_scopes
from smart_async.smart.state import ClientState

__all__ = ("authorize", "scope_findings")

_OURS = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "launch"}
    | {"code_challenge", "code_challenge_method"}
)


def authorize(
    state: ClientState, *, launch: EHRLaunch | None = None, scope: str | Scopes | None = None
) -> Flow[PendingAuthorization]:
    """
    Start a login.

    Args:
        state: The client.
        launch: The EHR launch that is answered; None for a standalone launch.
        scope: The scopes to ask for; None for those of the configuration.

    Returns:
        The pending login. Its `url` is where the browser goes next.

    Raises:
        ConfigurationError: If there is no redirect URI or no scope.
        LaunchRejectedError: If *launch* names another FHIR server; no request is made to it.
        DiscoveryError: If the server has no authorization endpoint.
    """
    config = state.config
    if launch is not None:
        check_argument(launch, EHRLaunch, "launch", "Read the launch URL with EHRLaunch.from_url first.")
        _check_launch(launch, config)
    redirect_uri = _redirect_uri(config)
    scopes = _scopes(config, launch, scope)
    metadata = yield from discover(state)
    instant = yield from now()
    return PendingAuthorization(
        state=new_token(state.entropy),
        code_verifier=new_verifier(state.entropy),
        # Sent only with openid: some servers answer 400 to a parameter they do not know.
        nonce=Secret(new_token(state.entropy)) if "openid" in scopes.split(" ") else None,
        binding=Binding.of(config, metadata),
        authorization_endpoint=_endpoint(metadata),
        redirect_uri=redirect_uri,
        scope=scopes,
        aud=_aud(config, config.fhir_base if launch is None else launch.iss),
        extra=_extra(config),
        launch=None if launch is None else launch.launch,
        created_at=instant.wall,
        expires_at=instant.wall + PENDING_TTL,
        iss_expected=metadata.authorization_response_iss_parameter_supported,
        post_supported=metadata.supports(Capability.AUTHORIZE_POST),
        findings=scope_findings(Scopes(scopes), launch),
    )


def scope_findings(scopes: Scopes, launch: EHRLaunch | None) -> tuple[Finding, ...]:
    """
    Return what is odd about a choice of scopes. The request is sent all the same: servers differ.

    Args:
        scopes: The scopes asked for.
        launch: The EHR launch, or None for a standalone one.

    Spec: SMART App Launch 2.2, scopes-and-launch-context.
    """
    checks = (
        (
            launch is None and "online_access" in scopes,
            ("AL-23", "online_access works in an EHR launch only.", "Ask for offline_access instead."),
        ),
        (
            launch is None
            and "launch/patient" not in scopes
            and any(scope.level == "patient" for scope in scopes),
            ("AL-28", "patient/ scopes are asked for without launch/patient.", "Add launch/patient."),
        ),
        (
            "fhirUser" in scopes and "openid" not in scopes,
            ("AL-30", "fhirUser comes inside an ID token, which openid asks for.", "Add openid."),
        ),
    )
    return tuple(
        Finding(rule=rule, severity="warning", message=message, advice=advice)
        for found, (rule, message, advice) in checks
        if found
    )


def _check_launch(launch: EHRLaunch, config: SmartConfig) -> None:
    # The browser names the FHIR server here, so only a server that was configured may be believed.
    if not same_base(launch.iss, config.fhir_base):
        raise LaunchRejectedError(
            "The EHR launch names a FHIR server that is not configured; nothing was sent to it.",
            endpoint=config.fhir_base,
            advice="If the EHR is genuine, register with it and configure its FHIR base.",
        )


def _aud(config: SmartConfig, base: str) -> str | None:
    # Byte for byte as given, unless the configuration says otherwise: servers compare it as text.
    match config.aud:
        case "base":
            return base
        case "strip-slash":
            return base.removesuffix("/")
        case _:
            return config.aud


def _extra(config: SmartConfig) -> tuple[tuple[str, str], ...]:
    mode = () if config.response_mode is None else (("response_mode", config.response_mode),)
    return (*mode, *config.extra_authorize_params.items())


def _redirect_uri(config: SmartConfig) -> str:
    if config.redirect_uri is None:
        raise ConfigurationError(
            "The user-facing flow needs redirect_uri, the registered one.",
            field="redirect_uri",
            advice="Set it in SmartConfig; for access without a user, call backend_token().",
        )
    return config.redirect_uri


def _scopes(config: SmartConfig, launch: EHRLaunch | None, scope: str | Scopes | None) -> str:
    scopes = asked_scopes(config.scope if scope is None else scope)
    if not scopes:
        raise ConfigurationError(
            "There is no scope to ask for.",
            field="scope",
            advice='Set it in SmartConfig, for example scope="openid fhirUser launch/patient patient/*.rs".',
        )
    # An EHR launch must ask for the scope launch; no other scope is ever added or taken away.
    return str(scopes) if launch is None or "launch" in scopes else f"launch {scopes}"


def _endpoint(metadata: SmartMetadata) -> str:
    if metadata.authorization_endpoint is None:
        raise DiscoveryError(
            "The server names no usable authorization_endpoint, so nobody can sign in there.",
            endpoint=metadata.fhir_base,
            advice="The server may offer Backend Services only: use backend_token().",
        )
    if query_names(metadata.authorization_endpoint) & _OURS:
        raise DiscoveryError(
            "The authorization_endpoint already carries a parameter of the authorization request.",
            endpoint=metadata.fhir_base,
            advice="No parameter may be sent twice. Ask the server's operator to mend the document.",
        )
    return metadata.authorization_endpoint
