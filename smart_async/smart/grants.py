"""
The token request: one form, posted to the token endpoint, authenticated in exactly one way.

Spec: SMART App Launch 2.2, app launch (access token, refresh), backend services; RFC 6749, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from smart_async.errors import OutcomeUnknownError, TransportError
from smart_async.flow import Flow, send
from smart_async.limits import Limits
from smart_async.messages import FORM, Headers, Request, Response, Secret, form_body
from smart_async.smart.binding import origin_of
from smart_async.smart.client_auth import Authentication
from smart_async.smart.config import SmartConfig
from smart_async.smart.endpoint_auth import check_kept_origin
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.retries import CODE, HARMLESS, Retries, repeated
from smart_async.smart.state import ClientState

__all__ = ("request_token", "sent_secrets", "token_request")


_SHORTEST = 6


def token_request(
    endpoint: str,
    fields: Iterable[tuple[str, str | Secret]],
    authentication: Authentication,
    *,
    fresh: bool,
    headers: tuple[tuple[str, str], ...] = (),
    limits: Limits | None = None,
) -> Request:
    """
    Build a token request.

    Args:
        endpoint: The token endpoint, byte for byte as discovered.
        fields: The fields of the grant; what is secret in them stays a `Secret` until here.
        authentication: What authenticates the client.
        fresh: Whether it has to go out on a new connection: for a code or a refresh token, which may
            work only once, so that a stale connection cannot leave the outcome unknown.
        headers: Header fields to add.
        limits: The client's limits.
    """
    return Request(
        method="POST",
        url=endpoint,
        purpose="token",
        headers=Headers(
            (("Accept", "application/json"), ("Content-Type", FORM), *authentication.headers, *headers)
        ),
        body=form_body((*_revealed(fields), *authentication.fields)),
        max_bytes=(limits or Limits()).document_bytes,
        fresh=fresh,
    )


def request_token(
    state: ClientState,
    metadata: SmartMetadata,
    fields: Iterable[tuple[str, str | Secret]],
    *,
    once: bool,
    endpoint: str | None = None,
    empty: bool = False,
    retries: Retries | None = None,
) -> Flow[Response]:
    """
    Authenticate and send a token request, again where that is safe, and return the answer.

    Args:
        state: The client.
        metadata: The server.
        fields: The fields of the grant.
        once: Whether the server may accept the grant only once, as with a code or a refresh token.
        endpoint: The token endpoint, where it is not the one that *metadata* names.
        empty: Whether to leave the body out, for servers that read the credentials and nothing else.
        retries: After which failures it may be made again; None for what fits *once*.

    Raises:
        EndpointChangedError: If this client has authenticated at another origin before; nothing was sent.
        OutcomeUnknownError: If *once*, and nobody knows whether the request arrived.
        TransportError: If there was no usable answer.
    """
    url = endpoint or metadata.token_endpoint
    check_kept_origin(state, url)
    fields = tuple(fields)
    return repeated(
        state,
        lambda: _attempt(state, metadata, url, fields, once=once, empty=empty),
        retries or (CODE if once else HARMLESS),
    )


def _attempt(
    state: ClientState,
    metadata: SmartMetadata,
    url: str,
    fields: tuple[tuple[str, str | Secret], ...],
    *,
    once: bool,
    empty: bool,
) -> Flow[Response]:
    authentication = yield from state.config.client_auth.authenticate(
        state.config, metadata, url, entropy=state.entropy
    )
    request = token_request(
        url,
        _each_once(fields, authentication, state.config.extra_token_params),
        authentication,
        fresh=once,
        headers=tuple(state.config.extra_token_headers.items()),
        limits=state.limits,
    )
    if empty:
        request = replace(request, body=b"")
    try:
        response = yield from send(request)
    except TransportError as exc:
        if once and exc.sent is not False:
            raise _unknown(exc) from exc
        raise
    if response.status == 200 and not url.startswith(f"{state.token_origin}/"):
        state.token_origin = origin_of(url)
    return response


def _each_once(
    fields: Iterable[tuple[str, str | Secret]], authentication: Authentication, extras: Mapping[str, str]
) -> list[tuple[str, str | Secret]]:
    # A parameter that is there twice is an error to servers: what the authentication names comes first, then
    # the grant, and an extra one only where neither has it.
    taken = {name for name, _ in authentication.fields}
    named = [(name, value) for name, value in fields if name not in taken]
    taken.update(name for name, _ in named)
    return [*named, *((name, value) for name, value in extras.items() if name not in taken)]


def _revealed(fields: Iterable[tuple[str, str | Secret]]) -> Iterable[tuple[str, str]]:
    for name, value in fields:
        yield name, value.reveal() if isinstance(value, Secret) else value


def _unknown(error: TransportError) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"The token request may or may not have taken effect: {error.message}",
        endpoint=error.endpoint,
        status=error.status,
        advice=(
            "It was not repeated, since a server may revoke everything when it sees a code or refresh token "
            "twice. Start a new login, or for a refresh keep the old token and try it once more."
        ),
    )


def sent_secrets(config: SmartConfig, *secrets: Secret) -> tuple[Secret, ...]:
    """
    Return what was sent that no error may quote: *secrets*, the client's own, and what the caller adds.

    Args:
        config: The registration.
        secrets: The secrets of this request.
    """
    added = (*config.extra_token_params.values(), *config.extra_token_headers.values())
    shared = getattr(config.client_auth, "secret", None)
    own = (shared,) if isinstance(shared, Secret) else ()
    # Shorter ones are words that an error needs: v1, test, patient 7.
    return (*secrets, *own, *(Secret(value) for value in added if len(value) >= _SHORTEST))
