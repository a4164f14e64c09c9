"""
Refreshing: a new access token without the user.

Spec: SMART App Launch 2.2, app launch (refresh access token); RFC 6749, section 6.
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.smart.binding import Binding, check_binding, check_registration
from smart_async.smart.config import SmartConfig
from smart_async.smart.discovery import discover
from smart_async.smart.grants import request_token
from smart_async.smart.scopes import Scopes, asked_scopes
from smart_async.smart.sign_in import with_identity
from smart_async.smart.state import ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import Token

__all__ = ("narrowed_scope", "refresh")


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
    response = yield from request_token(
        state,
        metadata,
        (
            ("grant_type", "refresh_token"),
            ("refresh_token", token.refresh_token),
            *_extra_fields(config, token, narrowed),
        ),
        once=True,
    )
    renewed = parse_token_response(
        response,
        binding=Binding.of(config, metadata),
        requested_scope=narrowed or str(token.launch_scopes),
        previous=token,
        limits=state.limits,
        sent=(token.refresh_token, token.access_token),
    )
    openid = token.identity is not None or "openid" in token.launch_scopes
    return (yield from with_identity(state, metadata, renewed, nonce=None, openid=openid, previous=token))


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
