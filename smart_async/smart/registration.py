"""
Dynamic client registration: a program introduces itself to a server.

Registering makes something on the server that only its answer tells of, so a registration is sent once, on
a connection of its own, and never repeated.

Spec: RFC 7591.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from smart_async.errors import ConfigurationError, OutcomeUnknownError, TransportError
from smart_async.flow import Flow
from smart_async.limits import Limits
from smart_async.messages import Headers, JSONObject, Request, Response, Secret, discreet
from smart_async.smart.arguments import check_argument
from smart_async.smart.binding import Binding
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.discovery import discover
from smart_async.smart.endpoint_auth import check_origin
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.registration_answer import (
    check_allowed,
    parse_registration,
)
from smart_async.smart.retries import REGISTRATION, Retries, send_repeated
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import is_token

__all__ = ("check_metadata", "json_request", "register", "registration_request", "send_once")

_JSON = "application/json"
_LOST = {
    "POST": "A client may exist now that nobody knows the id of; ask the server's operator before you "
    "register again.",
    "PUT": "Read the registration to see which of the two it is; the access token for that may have changed.",
    "DELETE": "Read the registration: if the server refuses, it is gone.",
}


def registration_request(
    endpoint: str,
    client_metadata: ClientMetadata,
    *,
    initial_access_token: Secret | None = None,
    limits: Limits | None = None,
) -> Request:
    """
    Build a request for a new client.

    Args:
        endpoint: The registration endpoint.
        client_metadata: The client.
        initial_access_token: What permits the registration, where the server asks for something.
        limits: The client's limits.

    Spec: RFC 7591, section 3.1.
    """
    return json_request("POST", endpoint, initial_access_token, client_metadata.to_members(), limits)


def register(
    state: ClientState,
    client_metadata: ClientMetadata,
    *,
    initial_access_token: Secret | str | None = None,
    allow_changes: Iterable[str] = (),
) -> Flow[ClientRegistration]:
    """
    Register a new client with the server.

    The client id and the client authentication of the configuration are not sent: a configuration to
    register with can have any id, and `ClientRegistration.config` makes the one to work with.

    Args:
        state: The client, for its FHIR base.
        client_metadata: The client to register.
        initial_access_token: What permits the registration, where the server asks for something.
        allow_changes: The members among `redirect_uris`, `token_endpoint_auth_method`, `grant_types`,
            `response_types`, `jwks_uri` and `jwks` that the server may change.

    Returns:
        The registration. Store it: most of it is told only once.

    Raises:
        ConfigurationError: If the server offers no registration, or an argument cannot be sent.
        EndpointChangedError: If the registration endpoint is where nothing secret may go.
        OAuthError: If the server refused.
        OutcomeUnknownError: If nobody knows whether the client exists now.
        RegistrationChangedError: If the server registered another client than the one asked for.
        ProtocolError: If its answer cannot be used.

    Spec: RFC 7591, section 3.
    """
    try:
        token = _secret(initial_access_token)
    finally:
        del initial_access_token  # error reporters show the variables of every frame
    allowed = check_allowed(allow_changes)
    check_metadata(client_metadata)
    client_metadata.check_urls(allow_insecure_loopback=state.config.allow_insecure_loopback)
    metadata = yield from discover(state)
    endpoint = _endpoint(state, metadata)
    request = registration_request(endpoint, client_metadata, initial_access_token=token, limits=state.limits)
    response = yield from send_once(state, request)
    return parse_registration(
        response,
        requested=client_metadata,
        binding=Binding.of(state.config, metadata),
        registration_endpoint=endpoint,
        allow_changes=allowed,
        allow_insecure_loopback=state.config.allow_insecure_loopback,
        limits=state.limits,
        sent=() if token is None else (token,),
    )


def json_request(
    method: str, url: str, token: Secret | None, document: JSONObject | None, limits: Limits | None
) -> Request:
    """
    Build a request with a JSON body and a bearer token, either of which may be missing.

    Args:
        method: The HTTP method.
        url: Where it goes.
        token: The bearer token.
        document: The body.
        limits: The client's limits.
    """
    headers = [("Accept", _JSON)]
    if document is not None:
        headers.append(("Content-Type", _JSON))
    if token is not None:
        headers.append(("Authorization", f"Bearer {token.reveal()}"))
    return Request(
        method=method,
        url=url,
        purpose="registration",
        headers=Headers(headers),
        body=None if document is None else json.dumps(document).encode(),
        max_bytes=(limits or Limits()).document_bytes,
        fresh=True,
    )


def send_once(state: ClientState, request: Request, retries: Retries = REGISTRATION) -> Flow[Response]:
    """
    Send *request*, which must not be repeated if nobody knows whether it arrived.

    Args:
        state: The client.
        request: The request.
        retries: After which failures it may be repeated all the same.

    Raises:
        OutcomeUnknownError: If it may have arrived, though there is no usable answer.
        TransportError: If it did not leave.
    """
    try:
        return (yield from send_repeated(state, request, retries))
    except TransportError as exc:
        if exc.sent is False:
            raise
        raise OutcomeUnknownError(
            f"The registration request may or may not have taken effect: {exc.message}",
            endpoint=exc.endpoint,
            status=exc.status,
            advice=f"It was not repeated. {_LOST[request.method]}",
        ) from exc


def check_metadata(client_metadata: ClientMetadata) -> None:
    """
    Refuse what is no client metadata, such as a dict of its members.

    Args:
        client_metadata: What the caller gave.

    Raises:
        ConfigurationError: If it is something else.
    """
    check_argument(
        client_metadata,
        ClientMetadata,
        "client_metadata",
        "Make it with ClientMetadata.for_app, ClientMetadata.for_backend or ClientMetadata(...).",
    )


@discreet
def _secret(token: Secret | str | None) -> Secret | None:
    if token is None:
        return None
    if isinstance(token, str):
        token = Secret(token)
    if not is_token(token):
        raise ConfigurationError(
            "initial_access_token must be a string of visible ASCII characters.", field="initial_access_token"
        )
    return token


def _endpoint(state: ClientState, metadata: SmartMetadata) -> str:
    if metadata.registration_endpoint is None:
        raise ConfigurationError(
            "The server names no registration_endpoint.",
            field="registration_endpoint",
            endpoint=metadata.fhir_base,
            advice=(
                "Most servers register clients by hand, in a portal. If this one has an endpoint that it "
                "does not list, set registration_endpoint."
            ),
        )
    check_origin(state, metadata, metadata.registration_endpoint)
    return metadata.registration_endpoint
