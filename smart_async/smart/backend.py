"""
Backend Services: a token for the client itself, with no user in sight.

Spec: SMART App Launch 2.2, backend services; RFC 6749, section 4.4.
"""

from __future__ import annotations

from dataclasses import replace

from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.messages import Finding
from smart_async.smart.binding import Binding
from smart_async.smart.discovery import discover
from smart_async.smart.grants import request_token
from smart_async.smart.scopes import Scopes
from smart_async.smart.state import ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import Token

__all__ = ("DEFAULT_SCOPE", "backend_token")

DEFAULT_SCOPE = "system/*.rs"
"""Read and search everything that the registration allows."""


def backend_token(state: ClientState, *, scope: str | Scopes = DEFAULT_SCOPE) -> Flow[Token]:
    """
    Get a token for the client itself.

    There is no refresh token: ask again when it expires. The scope only narrows what was agreed when the
    client was registered.

    Args:
        state: The client.
        scope: The scopes to ask for, normally `system/…`.

    Returns:
        The token.

    Raises:
        ConfigurationError: If *scope* is empty or not a scope.
        OAuthError: If the server refused.
        TokenResponseError: If the answer cannot be used.
    """
    wanted = str(Scopes.parse(str(scope)))
    if not wanted:
        raise ConfigurationError(
            "A backend token needs a scope.", field="scope", advice='Ask for example for "system/Patient.rs".'
        )
    metadata = yield from discover(state)
    response = yield from request_token(
        state, metadata, (("grant_type", "client_credentials"), ("scope", wanted)), once=False
    )
    token = parse_token_response(
        response,
        binding=Binding.of(state.config, metadata),
        requested_scope=wanted,
        limits=state.limits,
    )
    return _without_refresh_token(token)


def _without_refresh_token(token: Token) -> Token:
    if token.refresh_token is None:
        return token
    finding = Finding(
        rule="BS-08",
        severity="warning",
        message="The server issued a refresh token with a backend token; it is ignored.",
    )
    return replace(token, refresh_token=None, findings=(*token.findings, finding))
