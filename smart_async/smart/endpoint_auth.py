"""
Client authentication at the endpoints beside the token endpoint.

An assertion is a password for five minutes. Its `aud` names the token endpoint, so whoever receives one
can spend it there: it is sent to another endpoint only where both have the same origin. For an endpoint
elsewhere that you trust by name it is made out to that endpoint alone.

Spec: RFC 7523, section 3; RFC 7009, section 2.1; RFC 7662, section 2.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from smart_async.errors import ConfigurationError, EndpointChangedError
from smart_async.flow import Flow
from smart_async.messages import Secret
from smart_async.smart.binding import check_registration, origin_of
from smart_async.smart.client_auth import Authentication
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("EndpointAuth", "authenticate_at", "check_kept_origin", "check_origin", "check_token")

EndpointAuth = Literal["client", "bearer", "none"]
"""Who is asking: the client itself, the bearer of a token, or nobody in particular."""


def check_origin(state: ClientState, metadata: SmartMetadata, endpoint: str) -> None:
    """
    Refuse to send credentials or tokens to an endpoint of an origin that nobody vouched for.

    Args:
        state: The client.
        metadata: The server.
        endpoint: Where something secret would be sent.

    Raises:
        EndpointChangedError: If it shares the origin neither of the token endpoint nor of a trusted one, or
            that one has moved.
    """
    check_kept_origin(state, metadata.token_endpoint)
    origin = origin_of(endpoint)
    if origin != origin_of(metadata.token_endpoint) and origin not in state.config.trusted_origins:
        raise EndpointChangedError(
            f"The endpoint is on {origin}, not where the token endpoint is; nothing was sent.",
            endpoint=endpoint,
            advice=f"If it belongs to the same server, add {origin!r} to trusted_origins.",
        )


def check_kept_origin(state: ClientState, token_endpoint: str) -> None:
    """
    Refuse a token endpoint that has moved away from where this client's credentials were accepted before.

    Tokens and pending logins remember where they came from; a secret or a key does not, so the client does.

    Args:
        state: The client.
        token_endpoint: Where its credentials would be sent.

    Raises:
        EndpointChangedError: If it has another origin, and not a trusted one.
    """
    before = state.token_origin
    if before is not None and token_endpoint.startswith(f"{before}/"):
        return  # plainly where it was, as nearly always
    origin = origin_of(token_endpoint)
    if before not in (None, origin) and origin not in state.config.trusted_origins:
        raise EndpointChangedError(
            f"This client has authenticated at {before}; discovery now names {origin}. Nothing was sent.",
            endpoint=token_endpoint,
            advice=f"If the server has really moved, add {origin!r} to trusted_origins or make a new client.",
        )


def authenticate_at(
    state: ClientState,
    metadata: SmartMetadata,
    endpoint: str,
    *,
    method: EndpointAuth,
    bearer: Secret | None = None,
) -> Flow[Authentication]:
    """
    Return what authorizes a request to *endpoint*.

    Args:
        state: The client.
        metadata: The server.
        endpoint: Where the request goes.
        method: Who is asking.
        bearer: The access token, for `"bearer"`.

    Raises:
        EndpointChangedError: If *endpoint* has an origin that is not trusted with this client's tokens.
        ConfigurationError: If there is no access token to ask with.
    """
    check_origin(state, metadata, endpoint)
    if method == "none":
        return Authentication()
    if method == "bearer":
        if bearer is None:
            raise ConfigurationError("There is no access token to authorize the request with.")
        return Authentication(headers=(("Authorization", f"Bearer {bearer.reveal()}"),))
    config, audience = state.config, metadata.token_endpoint
    if origin_of(endpoint) != origin_of(metadata.token_endpoint):
        # Nor the audience configured for the token endpoint: it, too, would make this spendable there.
        config, audience = replace(config, assertion_audience=None), endpoint
    return (yield from config.client_auth.authenticate(config, metadata, audience, entropy=state.entropy))


def check_token(token: Token, config: SmartConfig) -> None:
    """
    Refuse what is no token, or the token of another registration.

    Args:
        token: What the caller gave.
        config: The registration it is used with.

    Raises:
        ConfigurationError: If it is something else, or belongs elsewhere.
    """
    if not isinstance(token, Token):
        raise ConfigurationError(
            f"A Token is needed, not {type(token).__name__}.",
            field="token",
            advice="Read stored JSON with Token.from_json first.",
        )
    check_registration(token.binding, config, what="token")
