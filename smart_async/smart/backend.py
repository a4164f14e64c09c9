"""
Backend Services: a token for the client itself, with no user in sight.

Spec: SMART App Launch 2.2, backend services; RFC 6749, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.messages import Finding
from smart_async.smart.arguments import DEFAULT_SCOPE
from smart_async.smart.binding import Binding
from smart_async.smart.client_secret import PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.discovery import discover
from smart_async.smart.grants import request_token, sent_secrets
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.scopes import Scopes, asked_scopes
from smart_async.smart.state import ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import Token

__all__ = ("DEFAULT_SCOPE", "backend_scopes", "backend_token")


def backend_scopes(config: SmartConfig, scope: str | Scopes) -> Scopes:
    """
    Return the scopes of a backend token.

    Args:
        config: The registration.
        scope: What the caller asks for.

    Raises:
        ConfigurationError: If *scope* is empty or not a scope, or the client is a public one.
    """
    wanted = asked_scopes(scope)
    if not wanted:
        raise ConfigurationError(
            "A backend token needs a scope.", field="scope", advice='Ask for example for "system/Patient.rs".'
        )
    if isinstance(config.client_auth, PublicClient):
        raise ConfigurationError(
            "A public client cannot get a backend token: it proves nothing about itself.",
            field="client_auth",
            advice="Register a key and use PrivateKeyJWT.",
        )
    return wanted


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
        EndpointChangedError: If discovery now names another server than before; nothing was sent.
        OAuthError: If the server refused.
        TokenResponseError: If the answer cannot be used.
    """
    wanted = backend_scopes(state.config, scope)
    metadata = yield from discover(state)
    fields = (("grant_type", "client_credentials"), ("scope", str(wanted)))
    empty = state.config.token_request == "basic-empty"
    response = yield from request_token(state, metadata, fields, once=False, empty=empty)
    if state.config.retry_bare_400 and response.status == 400 and parse_oauth_error(response).error is None:
        response = yield from request_token(state, metadata, fields, once=False, empty=empty)
    token = parse_token_response(
        response,
        binding=Binding.of(state.config, metadata),
        requested_scope=str(wanted),
        limits=state.limits,
        sent=sent_secrets(state.config),
    )
    findings = tuple(_findings(wanted, token))
    if not findings:  # then there is no refresh token either, and the token is as it should be
        return token
    return replace(token, refresh_token=None, findings=(*token.findings, *findings))


def _findings(wanted: Scopes, token: Token) -> Iterator[Finding]:
    if any(scope.level in ("patient", "user") for scope in wanted):
        yield Finding(
            rule="BS-04",
            severity="warning",
            message="A backend token was asked for with patient/ or user/ scopes.",
            advice="Ask for system/ scopes, unless you agreed with the server whose data is meant.",
        )
    if token.refresh_token is not None:
        yield Finding(
            rule="BS-08",
            severity="warning",
            message="The server issued a refresh token with a backend token; it is ignored.",
        )
