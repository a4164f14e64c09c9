"""
Refreshing: a new access token without the user.

Spec: SMART App Launch 2.2, app launch (refresh access token); RFC 6749, section 6.
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.messages import Secret
from smart_async.smart.binding import Binding, check_binding, check_registration
from smart_async.smart.config import SmartConfig
from smart_async.smart.discovery import discover
from smart_async.smart.grants import request_token, sent_secrets
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.retries import HARMLESS, ROTATING
from smart_async.smart.scopes import Scopes, asked_scopes
from smart_async.smart.sign_in import with_identity
from smart_async.smart.state import ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import Token

__all__ = ("exchange_refresh_token", "narrowed_scope", "refresh", "refreshed_identity")


def narrowed_scope(token: Token, scope: str | Scopes | None) -> str | None:
    """
    Return the `scope` field of a refresh request, or None to leave it out.

    Leaving it out means: as granted. A scope that is sent has to be a strict subset, so asking for
    everything again is done by leaving it out.

    Args:
        token: The token to refresh.
        scope: The scopes wanted, or None for all that were granted.

    Raises:
        ConfigurationError: If *scope* is empty or asks for more than was granted.

    Spec: SMART App Launch 2.2, app launch (refresh: scope).
    """
    if scope is None:
        return None
    wanted = asked_scopes(scope)
    if not wanted:
        raise ConfigurationError("A refresh cannot ask for no scope at all.", field="scope")
    if not token.launch_scopes.covers(wanted):
        missing = " ".join(str(one) for one in wanted if not token.launch_scopes.covers(one))
        raise ConfigurationError(
            f"A refresh can only narrow what was granted, and {missing} was not.",
            field="scope",
            advice="Start a new login to ask the user for more.",
        )
    return None if wanted.covers(token.launch_scopes) else str(wanted)


def refresh(state: ClientState, token: Token, *, scope: str | Scopes | None = None) -> Flow[Token]:
    """
    Exchange the refresh token for a new token.

    Store the result before using it: with many servers the old refresh token stops working now. What the
    answer omits (refresh token, launch context) is kept from *token*.

    Args:
        state: The client.
        token: The token to refresh.
        scope: Ask for less than was granted; None for all of it.

    Returns:
        The new token.

    Raises:
        ConfigurationError: If *token* has no refresh token, or belongs to another registration.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused; `invalid_grant` means that the user has to sign in again.
        ContextChangedError: If the answer is for another patient or user, or carries more scope.
        IdTokenError: If the answer holds an ID token that cannot be trusted.
    """
    config = state.config
    if not isinstance(token, Token):
        raise ConfigurationError(
            f"refresh takes a Token, not {type(token).__name__}.",
            field="token",
            advice="Read stored JSON with Token.from_json first.",
        )
    check_registration(token.binding, config, what="token")
    if token.refresh_token is None:
        raise ConfigurationError(
            "This token has no refresh token.", field="token", advice=_how_to_go_on(token, config)
        )
    narrowed = narrowed_scope(token, scope)
    metadata = yield from discover(state)
    check_binding(token.binding, metadata, config, what="token")
    renewed = yield from exchange_refresh_token(state, metadata, token, token.refresh_token, narrowed)
    return (yield from refreshed_identity(state, metadata, renewed, token))


def exchange_refresh_token(
    state: ClientState, metadata: SmartMetadata, token: Token, refresh_token: Secret, narrowed: str | None
) -> Flow[Token]:
    """
    Send the refresh request, and return the token that came, before anybody has looked into its ID token.

    Args:
        state: The client.
        metadata: The server, already found to be the one that issued *token*.
        token: The token to refresh.
        refresh_token: Its refresh token.
        narrowed: The `scope` field; None to leave it out.

    Raises:
        OAuthError: If the server refused.
        OutcomeUnknownError: If the request may have taken effect, though no answer came.
        TokenResponseError: If the answer cannot be used.
        ContextChangedError: If it is for another patient, or carries more scope.
    """
    fields: tuple[tuple[str, str | Secret], ...] = (
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        *_extra_fields(state.config, token, narrowed),
    )
    rotates = state.config.refresh_rotates
    response = yield from request_token(
        state, metadata, fields, once=rotates, retries=ROTATING if rotates else HARMLESS
    )
    return parse_token_response(
        response,
        binding=Binding.of(state.config, metadata),
        requested_scope=narrowed or str(token.launch_scopes),
        previous=token,
        limits=state.limits,
        sent=sent_secrets(state.config, refresh_token, token.access_token),
    )


def refreshed_identity(
    state: ClientState, metadata: SmartMetadata, renewed: Token, previous: Token
) -> Flow[Token]:
    """
    Return *renewed* with the identity that its ID token proves, or the one of *previous* if it has none.

    Args:
        state: The client.
        metadata: The server.
        renewed: The token that came.
        previous: The token that it replaces.

    Raises:
        IdTokenError: If the ID token cannot be trusted; *renewed* is on the error.
        ContextChangedError: If it is for another user; the new token is on the error.
    """
    openid = previous.identity is not None or "openid" in previous.launch_scopes
    return with_identity(state, metadata, renewed, nonce=None, openid=openid, previous=previous)


def _how_to_go_on(token: Token, config: SmartConfig) -> str:
    if any(scope.level == "system" for scope in token.launch_scopes):
        return "A backend token never has one: call backend_token() again."
    if config.redirect_uri is None:  # then nobody signed in
        return "Get the next token as this one was got: call backend_token(), or jwt_bearer_token(), again."
    return "Ask for the scope offline_access (or online_access in an EHR launch) when signing in."


def _extra_fields(config: SmartConfig, token: Token, narrowed: str | None) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    if narrowed is None and config.refresh_includes_scope:
        narrowed = str(token.launch_scopes)
    if narrowed:
        fields.append(("scope", narrowed))
    if config.refresh_includes_client_id:
        fields.append(("client_id", config.client_id))
    return fields
