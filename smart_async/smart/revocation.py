"""
Revocation: telling the server that a token is no longer needed.

Spec: SMART App Launch 2.2, conformance (revocation_endpoint); RFC 7009.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Literal

from smart_async.errors import ConfigurationError, OAuthError, ProtocolError
from smart_async.flow import Flow, send
from smart_async.limits import Limits
from smart_async.messages import FORM, Headers, Request, Response, Secret, form_body
from smart_async.smart.binding import check_binding
from smart_async.smart.client_auth import Authentication
from smart_async.smart.discovery import discover
from smart_async.smart.endpoint_auth import authenticate_at, check_token
from smart_async.smart.grants import sent_secrets
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.redirects import refuse_redirect
from smart_async.smart.retries import HARMLESS, repeated
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("parse_revocation", "revocation_request", "revoke")

TokenHint = Literal["access_token", "refresh_token"]


def revocation_request(
    endpoint: str,
    token: Secret,
    hint: TokenHint,
    authentication: Authentication,
    *,
    limits: Limits | None = None,
) -> Request:
    """
    Build a revocation request.

    Args:
        endpoint: The revocation endpoint.
        token: The token to revoke.
        hint: Which kind it is, so that the server finds it faster.
        authentication: What authenticates the client.
        limits: The client's limits.

    Spec: RFC 7009, section 2.1.
    """
    return Request(
        method="POST",
        url=endpoint,
        purpose="revocation",
        headers=Headers((("Accept", "application/json"), ("Content-Type", FORM), *authentication.headers)),
        body=form_body((("token", token.reveal()), ("token_type_hint", hint), *authentication.fields)),
        max_bytes=(limits or Limits()).document_bytes,
    )


def parse_revocation(response: Response, *, sent: Iterable[Secret] = ()) -> None:
    """
    Read the answer to a revocation request.

    Args:
        response: The answer.
        sent: The secrets in the request, to be struck out of what the server says about them.

    Raises:
        OAuthError: If the server refused. A token that it does not know is no refusal: it is gone.
        ProtocolError: If the answer is neither yes nor no.

    Spec: RFC 7009, section 2.2.
    """
    refuse_redirect(response, "revocation endpoint")
    if response.status >= 400:
        raise parse_oauth_error(response, "revocation", sent=sent)
    if response.status not in (200, 204):
        raise ProtocolError(
            f"The revocation endpoint answered {response.status}, so the token may still work.",
            endpoint=response.url,
            status=response.status,
            advice="Check that the revocation endpoint is one.",
        )


def revoke(state: ClientState, token: Token) -> Flow[None]:
    """
    Revoke *token*, the refresh token first and then the access token.

    Not every server ends the access token together with the refresh token, so both are named; and a server
    that will not revoke the one is still asked to revoke the other.

    Args:
        state: The client.
        token: The token that is no longer needed. Forget it afterwards.

    Raises:
        ConfigurationError: If the server offers no revocation, or *token* belongs to another client.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused, for the first token that it refused.
        ProtocolError: If it answered neither yes nor no.
        TransportError: If there was no usable answer.
    """
    config = state.config
    check_token(token, config)
    metadata = yield from discover(state)
    check_binding(token.binding, metadata, config, what="token")
    endpoint = metadata.revocation_endpoint
    if endpoint is None:
        raise ConfigurationError(
            "The server names no revocation_endpoint.",
            endpoint=metadata.fhir_base,
            advice="Forget the token; it ends by itself. management_endpoint may let the user end it.",
        )
    secrets: list[tuple[Secret, TokenHint]] = [(token.access_token, "access_token")]
    if token.refresh_token is not None:
        secrets.insert(0, (token.refresh_token, "refresh_token"))
    failures: list[OAuthError | ProtocolError] = []
    for secret, hint in secrets:
        attempt = partial(_ask, state, metadata, endpoint, secret, hint)
        response = yield from repeated(state, attempt, HARMLESS)
        try:
            parse_revocation(response, sent=sent_secrets(config, *(each for each, _ in secrets)))
        except (OAuthError, ProtocolError) as exc:
            failures.append(exc)
    if failures:
        raise failures[0]


def _ask(
    state: ClientState, metadata: SmartMetadata, endpoint: str, secret: Secret, hint: TokenHint
) -> Flow[Response]:
    authentication = yield from authenticate_at(state, metadata, endpoint, method="client")
    request = revocation_request(endpoint, secret, hint, authentication, limits=state.limits)
    return (yield from send(request))
