"""
A login that was started and not finished: what the browser is sent with, and what stays on the server.

Spec: SMART App Launch 2.2, app launch (obtain authorization code); RFC 6749, section 4.1.1; RFC 7636.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.limits import GET_URL_LENGTH
from smart_async.messages import Finding, Secret, discreet, parse_url, strict_loads
from smart_async.smart.binding import Binding
from smart_async.smart.pkce import CODE_CHALLENGE_METHOD, code_challenge

__all__ = ("AuthorizationForm", "PendingAuthorization", "query_names")

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
        script = f'<script nonce="{escape(nonce)}">document.forms[0].submit()</script>' if nonce else ""
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
        post_supported: Whether the server says that it takes the request as a form.
        findings: What is odd about the request itself; not stored.
    """

    state: str = field(repr=False)
    code_verifier: Secret
    nonce: Secret | None
    binding: Binding
    authorization_endpoint: str
    redirect_uri: str
    scope: str
    aud: str | None
    extra: tuple[tuple[str, str], ...] = field(repr=False, default=())
    launch: str | None = field(repr=False, default=None)
    created_at: float
    expires_at: float
    iss_expected: bool = False
    post_supported: bool = False
    findings: tuple[Finding, ...] = field(default=(), compare=False)

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
        query = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in self.form.fields
        )
        endpoint = self.authorization_endpoint
        separator = "" if endpoint.endswith(("?", "&")) else "&" if "?" in endpoint else "?"
        return f"{endpoint}{separator}{query}"

    @property
    def prefers_post(self) -> bool:
        """Whether `form` is the better choice: the URL is long, and the server takes forms."""
        return self.post_supported and len(self.url) > GET_URL_LENGTH

    @property
    def form(self) -> AuthorizationForm:
        """The same request as a form to be posted by the browser."""
        # Some endpoints already carry an aud of their own; no parameter may be sent twice.
        taken = query_names(self.authorization_endpoint)
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
    @discreet
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
    "post_supported": (bool,),
}


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


def query_names(url: str) -> set[str]:
    """
    Return the names of the parameters that a URL already carries.

    Args:
        url: An endpoint.
    """
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
