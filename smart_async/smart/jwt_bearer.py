"""
The JWT bearer grant: a signed statement in, an access token out.

It is not client authentication, though the JWT looks the same: here the assertion is the grant itself. Epic
gives a dynamic client its tokens this way; elsewhere a third party signs who the user is.

Spec: RFC 7523, section 2.1.
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.messages import Secret, discreet
from smart_async.smart.assertions import sign_assertion
from smart_async.smart.binding import Binding
from smart_async.smart.client_auth import check_algorithm
from smart_async.smart.discovery import discover
from smart_async.smart.grants import request_token, sent_secrets
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.scopes import Scopes, asked_scopes
from smart_async.smart.state import ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import Token, is_token

__all__ = ("JWT_BEARER", "jwt_bearer_token")

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
"""The `grant_type`."""


def jwt_bearer_token(
    state: ClientState,
    *,
    key: Signer | AsyncSigner | None = None,
    assertion: Secret | str | None = None,
    scope: str | Scopes | None = None,
) -> Flow[Token]:
    """
    Get a token for a signed assertion.

    Args:
        state: The client. Its client authentication is sent as well; with `PublicClient` that is `client_id`.
        key: A key to sign an assertion with, about the client itself: issuer and subject are its id, the
            audience is the token endpoint.
        assertion: An assertion made by somebody else, in the place of `key`. It is sent once.
        scope: The scopes to ask for; None for what the server thinks right.

    Returns:
        The token.

    Raises:
        ConfigurationError: If not exactly one of `key` and `assertion` is given, or it cannot be used.
        OAuthError: If the server refused.
        OutcomeUnknownError: If nobody knows whether the ready assertion arrived.
        TokenResponseError: If the answer cannot be used.

    Spec: RFC 7523, sections 2.1 and 3.
    """
    try:
        ready = _ready(assertion)
    finally:
        del assertion  # error reporters show the variables of every frame
    if (key is None) == (ready is None):
        raise ConfigurationError("Give either a key or an assertion, and not both.", field="key")
    if key is not None and not isinstance(key, Signer | AsyncSigner):
        raise ConfigurationError(
            f"key must be a SigningKey or another signer, not {type(key).__name__}.",
            field="key",
            advice="Load it first: SigningKey.from_pem(data), or load_signing_key(path).",
        )
    wanted = None if scope is None else str(asked_scopes(scope))
    metadata = yield from discover(state)
    if key is not None:
        check_algorithm(key.algorithm, metadata)
    # Without a ready assertion there is a key: that was checked above.
    sent = ready or (yield from _self_issued(state, metadata, key))  # type: ignore[arg-type]
    response = yield from request_token(
        state,
        metadata,
        (("grant_type", JWT_BEARER), ("assertion", sent), *((("scope", wanted),) if wanted else ())),
        once=ready is not None,
    )
    return parse_token_response(
        response,
        binding=Binding.of(state.config, metadata),
        requested_scope=wanted or "",
        limits=state.limits,
        sent=sent_secrets(state.config, sent),
    )


@discreet
def _ready(assertion: Secret | str | None) -> Secret | None:
    if isinstance(assertion, str):
        assertion = Secret(assertion)
    if assertion is not None and not is_token(assertion):
        raise ConfigurationError("assertion must be a JWT in its compact form.", field="assertion")
    return assertion


def _self_issued(state: ClientState, metadata: SmartMetadata, key: Signer | AsyncSigner) -> Flow[Secret]:
    config = state.config
    return Secret(
        (
            yield from sign_assertion(
                key,
                client_id=config.client_id,
                audience=config.assertion_audience or metadata.token_endpoint,
                lifetime=config.assertion_lifetime,
                backdate=config.assertion_backdate,
                nbf=config.assertion_nbf,
                header=config.assertion_header,
                entropy=state.entropy,
            )
        )
    )
