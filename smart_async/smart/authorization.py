"""
The authorization request: sending the user to the EHR to sign in and agree.

`authorize` makes a `PendingAuthorization`. Send the browser to its URL, keep the rest on your own server
until the browser comes back, and hand both to `exchange_code`.

Spec: SMART App Launch 2.2, app launch (obtain authorization code); RFC 6749, section 4.1.1; RFC 7636.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from smart_async.errors import ConfigurationError, DiscoveryError, LaunchRejectedError, ProtocolError
from smart_async.flow import Flow, now
from smart_async.limits import PENDING_TTL
from smart_async.messages import Secret, parse_url, same_base, strict_loads
from smart_async.smart.binding import Binding
from smart_async.smart.config import SmartConfig
from smart_async.smart.discovery import discover
from smart_async.smart.entropy import new_token
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.pkce import CODE_CHALLENGE_METHOD, code_challenge, new_verifier
from smart_async.smart.scopes import Scopes
from smart_async.smart.state import ClientState

__all__ = ("AuthorizationForm", "PendingAuthorization", "authorize")

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationForm:
    """
    The authorization request as a form, for scope lists too long for a URL.

    The browser has to post it, since the user takes over from there.

    Args:
        action: Where to post it.
        fields: The hidden fields, in order. Escape them: `launch` comes from outside.

    Spec: SMART App Launch 2.2, app launch (POST-based authorization).
    """

    action: str
    fields: tuple[tuple[str, str], ...] = field(repr=False)

    def html(self, *, nonce: str | None = None, button: str = "Continue") -> str:
        """
        Return a page that posts the form by itself, and has a button where scripts are off.

        Every value is escaped: `launch` and the server's own URL come from outside.

        Args:
            nonce: The nonce of your Content-Security-Policy; without one the page holds no script, and
                the user presses the button.
            button: The button's text.
        """
        inputs = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
            for name, value in self.fields
        )
        script = (
            "" if nonce is None else f'<script nonce="{escape(nonce)}">document.forms[0].submit()</script>'
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="referrer" content="no-referrer"><title>Sign in</title></head><body>'
            f'<form method="post" action="{escape(self.action)}">{inputs}'
            f"<button>{escape(button)}</button></form>{script}</body></html>"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAuthorization:
    """
    A login that was started and not finished. Keep it on your server, never in the browser.

    It holds the code verifier and the nonce. It survives a restart through `to_json`, and goes back only
    to the server it was made for. Look it up by the session of the browser that comes back, use it once,
    then delete it.

    Args:
        state: What the callback must repeat.
        code_verifier: The PKCE verifier.
        nonce: What the ID token must repeat; None where none is asked for.
        binding: Which registration at which server it belongs to.
        authorization_endpoint: Where the browser is sent.
        redirect_uri: Where it comes back.
        scope: The scopes asked for.
        aud: The FHIR base as it is sent; None where the server must not see one.
        extra: Parameters that the configuration adds.
        launch: The handle of an EHR launch.
        created_at: Unix seconds.
        expires_at: Unix seconds after which a callback is refused.
        iss_expected: Whether the server promises to name its issuer in the callback.
    """

    state: str = field(repr=False)
    code_verifier: Secret
    nonce: Secret | None
    binding: Binding
    authorization_endpoint: str
    redirect_uri: str
    scope: str
    aud: str | None
    extra: tuple[tuple[str, str], ...] = ()
    launch: str | None = field(repr=False, default=None)
    created_at: float
    expires_at: float
    iss_expected: bool = False

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The parameters of the authorization request, in order."""
        parameters = [
            ("response_type", "code"),
            ("client_id", self.binding.client_id),
            ("redirect_uri", self.redirect_uri),
            *([] if self.launch is None else [("launch", self.launch)]),
            ("scope", self.scope),
            ("state", self.state),
            *([] if self.aud is None else [("aud", self.aud)]),
            *([] if self.nonce is None else [("nonce", self.nonce.reveal())]),
            ("code_challenge", code_challenge(self.code_verifier)),
            ("code_challenge_method", CODE_CHALLENGE_METHOD),
            *self.extra,
        ]
        return tuple(parameters)

    @property
    def url(self) -> str:
        """Where to send the browser. A query that the endpoint already has is kept."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in self.form.fields)
        endpoint = self.authorization_endpoint
        separator = "" if endpoint.endswith(("?", "&")) else "&" if "?" in endpoint else "?"
        return f"{endpoint}{separator}{query}"

    @property
    def form(self) -> AuthorizationForm:
        """The same request as a form to be posted by the browser."""
        # Some endpoints already carry an aud of their own; no parameter may be sent twice.
        taken = _query_names(self.authorization_endpoint)
        return AuthorizationForm(
            action=self.authorization_endpoint,
            fields=tuple((name, value) for name, value in self.parameters if name not in taken),
        )

    def to_json(self) -> str:
        """Return everything as JSON, in plain text: store it where you would store a password."""
        members = {
            "version": _VERSION,
            "type": "pending_authorization",
            **self.binding.to_members(),
            **{name: getattr(self, name) for name in _PLAIN},
            "code_verifier": self.code_verifier.reveal(),
            "nonce": None if self.nonce is None else self.nonce.reveal(),
            "extra": [list(pair) for pair in self.extra],
        }
        return json.dumps(members)

    @classmethod
    def from_json(cls, text: str | bytes) -> PendingAuthorization:
        """
        Read what `to_json` returned.

        Args:
            text: The stored JSON.

        Raises:
            ConfigurationError: If it is something else, or of a version this release does not know.
        """
        try:
            members = strict_loads(text.encode() if isinstance(text, str) else text)
            if (members["version"], members["type"]) != (_VERSION, "pending_authorization"):
                raise ValueError
            pending = cls(
                **{name: _checked(members, name, kinds) for name, kinds in _PLAIN.items()},
                code_verifier=Secret(members["code_verifier"]),
                nonce=None if members["nonce"] is None else Secret(members["nonce"]),
                binding=Binding.from_members(members),
                extra=tuple(_pair(item) for item in members["extra"]),
            )
            pending._check()
        except (ConfigurationError, ProtocolError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                "This is not a pending authorization that this version of smart-async stored.",
                advice="Start the login again.",
            ) from None
        return pending

    def _check(self) -> None:
        # The browser is sent to one of these, and the verifier to another.
        for url in (self.authorization_endpoint, self.binding.token_endpoint):
            _ = parse_url(url, field="endpoint", allow_query=True, allow_insecure_loopback=True)
        if not self.state:
            raise ValueError
        _ = code_challenge(self.code_verifier)  # raises for what is no verifier


_PLAIN: Mapping[str, tuple[type, ...]] = {
    "state": (str,),
    "authorization_endpoint": (str,),
    "redirect_uri": (str,),
    "scope": (str,),
    "aud": (str, type(None)),
    "launch": (str, type(None)),
    "created_at": (int, float),
    "expires_at": (int, float),
    "iss_expected": (bool,),
}


_OURS = frozenset(
    {"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "launch"}
    | {"code_challenge", "code_challenge_method"}
)


def _checked(members: Mapping[str, Any], name: str, kinds: tuple[type, ...]) -> Any:
    value = members[name]
    if type(value) not in kinds:
        raise TypeError(name)
    return value


def _pair(item: Any) -> tuple[str, str]:
    name, value = item
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError("extra")
    return name, value


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
    scopes = Scopes(config.scope if scope is None else scope)
    if not scopes:
        raise ConfigurationError(
            "There is no scope to ask for.",
            field="scope",
            advice='Set it in SmartConfig, for example scope="openid fhirUser launch/patient patient/*.rs".',
        )
    # An EHR launch must ask for the scope launch; no other scope is ever added or taken away.
    return str(scopes) if launch is None or "launch" in scopes else f"launch {scopes}"


def _query_names(url: str) -> set[str]:
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}


def _endpoint(metadata: SmartMetadata) -> str:
    if metadata.authorization_endpoint is None:
        raise DiscoveryError(
            "The server names no usable authorization_endpoint, so nobody can sign in there.",
            endpoint=metadata.fhir_base,
            advice="The server may offer Backend Services only: use backend_token().",
        )
    if _query_names(metadata.authorization_endpoint) & _OURS:
        raise DiscoveryError(
            "The authorization_endpoint already carries a parameter of the authorization request.",
            endpoint=metadata.fhir_base,
            advice="No parameter may be sent twice. Ask the server's operator to mend the document.",
        )
    return metadata.authorization_endpoint
