"""
The redirect back to the app, and the exchange of its code for a token.

Anyone can send a browser to the redirect URI with anything in the query. So nothing of a callback is
used before its state has been found to belong to a login that was started here.

Spec: SMART App Launch 2.2, app launch; RFC 6749, section 4.1.2; RFC 9207.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, urlsplit

from smart_async.errors import CallbackError, ConfigurationError, OAuthError
from smart_async.flow import Flow, now
from smart_async.limits import CALLBACK_BYTES, CALLBACK_PARAMETER_BYTES
from smart_async.messages import Secret, clean_text, discreet
from smart_async.smart.arguments import check_argument
from smart_async.smart.binding import Binding, check_binding, check_registration, recorded_endpoint
from smart_async.smart.discovery import discover
from smart_async.smart.grants import request_token, sent_secrets
from smart_async.smart.oauth_errors import ADVICE
from smart_async.smart.pending import PendingAuthorization
from smart_async.smart.sign_in import with_identity
from smart_async.smart.state import ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import Token

__all__ = ("Callback", "exchange_code", "parse_callback")

Callback: TypeAlias = str | Mapping[str, Any]
"""The full callback URL, or its parameters: each value a string, a list of strings, or None where absent."""

_ONCE = ("state", "code", "iss", "error", "error_description", "error_uri", "response")
_TOKENS = ("access_token", "id_token", "token", "refresh_token")
_VISIBLE = re.compile(r"[ -~]+")
_AGAIN = "Do not use the code. Start a new login; if this goes on, somebody may be tampering."


@discreet
def parse_callback(pending: PendingAuthorization, callback: Callback, *, now: float) -> str:
    """
    Return the authorization code of a callback that belongs to *pending*.

    Args:
        pending: The login that was started for this browser.
        callback: The full callback URL, or a mapping of its parameters.
        now: Unix seconds.

    Returns:
        The code, still to be exchanged.

    Raises:
        CallbackError: If the callback does not belong to *pending*, came too late, is ambiguous, or
            carries tokens. The message never quotes it.
        OAuthError: If the server refused, with its `error`, `error_description` and `error_uri`.
        ConfigurationError: If *callback* is neither text nor a mapping.

    Spec: SMART App Launch 2.2, app launch (state); RFC 6749, section 4.1.2; RFC 9207, section 2.4.
    """
    values = _Parameters(pending, callback)
    _check_state(pending, values.get("state"), now=now)
    _check_issuer(pending, values.get("iss"))
    code, error = values.get("code"), values.get("error")
    if code is not None and error is not None:
        raise _refused(pending, "The callback holds both a code and an error.")
    if error == "":
        raise _refused(pending, "The callback holds an empty error.")
    if error is not None:
        raise _oauth_error(pending, error, values.get("error_description"), values.get("error_uri"))
    if not code or not _VISIBLE.fullmatch(code):
        raise _refused(pending, "The callback holds no usable code.")
    return code


class _Parameters:
    """The parameters of a callback, each of them at most once."""

    def __init__(self, pending: PendingAuthorization, callback: Callback) -> None:
        pairs = list(_pairs(pending, callback))
        for name in _ONCE:
            if sum(key == name for key, _ in pairs) > 1:
                raise _refused(pending, f"The callback holds {name} more than once.")
        self._values = dict(pairs)
        if any(name in self._values for name in _TOKENS):
            raise _refused(pending, "The callback holds a token; only a code may travel through the browser.")
        if any(len(self._values.get(name, "")) > CALLBACK_PARAMETER_BYTES for name in _ONCE):
            raise _refused(pending, "A parameter of the callback is too long.")

    def get(self, name: str) -> str | None:
        return self._values.get(name)


def _pairs(pending: PendingAuthorization, callback: Callback) -> Iterable[tuple[str, str]]:
    if isinstance(callback, str):
        return _url_pairs(pending, callback)
    # Starlette, Werkzeug and Django keep repeated parameters behind methods of their own.
    for method in ("multi_items", "lists"):
        if hasattr(callback, method):
            return _flat(pending, getattr(callback, method)())
    if not hasattr(callback, "items"):
        raise ConfigurationError(
            f"A callback is its full URL as a string or a mapping of its parameters, not a "
            f"{type(callback).__name__}.",
            field="callback",
        )
    return _flat(pending, callback.items())


def _flat(pending: PendingAuthorization, items: Iterable[tuple[Any, Any]]) -> Iterable[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in items:
        if value is None:  # frameworks that declare each parameter say so of an absent one
            continue
        for one in cast("list[Any]", value) if isinstance(value, list | tuple) else [value]:
            if not isinstance(name, str) or not isinstance(one, str):
                raise _refused(pending, "The callback's parameters are not strings.")
            pairs.append((name, one))
    if sum(len(name) + len(value) for name, value in pairs) > CALLBACK_BYTES:
        raise _refused(pending, f"The callback holds more than {CALLBACK_BYTES} characters.")
    return pairs


def _url_pairs(pending: PendingAuthorization, url: str) -> list[tuple[str, str]]:
    if len(url) > CALLBACK_BYTES:
        raise _refused(pending, f"The callback URL has {len(url)} characters; {CALLBACK_BYTES} are read.")
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise _refused(pending, "The callback URL cannot be read.") from None
    if "token=" in parts.fragment:
        raise _refused(pending, "The callback holds a token; only a code may travel through the browser.")
    # Scheme and host are not compared: behind a proxy the app sees other ones than the browser.
    # A browser writes "/" where the registered URI has no path at all.
    if (parts.path or "/") != (urlsplit(pending.redirect_uri).path or "/"):
        raise _refused(
            pending,
            "The callback came to another path than the redirect_uri of this login.",
            "Behind a proxy that rewrites paths, pass the parameters as a mapping instead of the URL.",
        )
    return pairs


def _check_state(pending: PendingAuthorization, state: str | None, *, now: float) -> None:
    if not state:
        raise _refused(pending, "The callback holds no state.")
    if not hmac.compare_digest(state.encode("utf-8", "surrogatepass"), pending.state.encode("utf-8")):
        raise _refused(pending, "The state in the callback belongs to another login.")
    if now >= pending.expires_at:
        age = int(now - pending.created_at)
        raise _refused(
            pending, f"The login was started {age} seconds ago and has expired.", "Start a new login."
        )


def _check_issuer(pending: PendingAuthorization, iss: str | None) -> None:
    expected = pending.binding.issuer
    if iss is None and pending.iss_expected:
        raise _refused(pending, "The server promises to name its issuer in callbacks, and this one has none.")
    # Without an issuer in the discovery document there is nothing to compare with.
    if iss is not None and expected is not None and iss != expected:
        raise _refused(
            pending, "The callback names another issuer than the server that the login was started at."
        )


def _refused(pending: PendingAuthorization, message: str, advice: str = _AGAIN) -> CallbackError:
    return CallbackError(message, endpoint=pending.redirect_uri, advice=advice)


def _oauth_error(
    pending: PendingAuthorization, error: str, description: str | None, uri: str | None
) -> OAuthError:
    code = clean_text(error, length=64)
    text = clean_text(description) if description else None
    return OAuthError(
        f"The authorization server refused the login: {code}" + (f" ({text})." if text else "."),
        endpoint=pending.authorization_endpoint,
        advice=ADVICE.get(code, "See .error_description and .error_uri for the server's own words."),
        error=code,
        error_description=text,
        error_uri=clean_text(uri, length=512) if uri else None,
    )


def exchange_code(state: ClientState, pending: PendingAuthorization, callback: Callback) -> Flow[Token]:
    """
    Finish a login: check the callback and exchange its code for a token.

    The code goes to the token endpoint that the login was started at, and only there.

    Args:
        state: The client.
        pending: The login that was started for this browser. Delete it before calling: it works once.
        callback: The full callback URL, or a mapping of its parameters.

    Returns:
        The token.

    Raises:
        CallbackError: If the callback does not belong to *pending*; nothing was sent.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the user or the server refused.
        TokenResponseError: If the answer cannot be used.
        IdTokenError: If the ID token cannot be trusted.
    """
    config = state.config
    try:
        check_argument(
            pending,
            PendingAuthorization,
            "pending",
            "Read stored JSON with PendingAuthorization.from_json first; the callback comes second.",
        )
        check_registration(pending.binding, config, what="pending login")
        instant = yield from now()
        code = Secret(parse_callback(pending, callback, now=instant.wall))
    finally:
        del callback  # error reporters show the variables of every frame
    metadata = yield from discover(state)
    check_binding(pending.binding, metadata, config, what="pending login")
    response = yield from request_token(
        state,
        metadata,
        (
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", pending.redirect_uri),
            ("code_verifier", pending.code_verifier),
        ),
        once=True,
        endpoint=recorded_endpoint(pending.binding, metadata),
    )
    token = parse_token_response(
        response,
        binding=Binding.of(config, metadata),
        requested_scope=pending.scope,
        limits=state.limits,
        sent=sent_secrets(config, code, pending.code_verifier),
    )
    openid = "openid" in pending.scope.split(" ")
    return (yield from with_identity(state, metadata, token, nonce=pending.nonce, openid=openid))
