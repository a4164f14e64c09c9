"""
Dynamic client registration: a program introduces itself to a server, and manages that later.

Registering makes something on the server that only its answer tells of, so a registration is sent once, on
a connection of its own, and never repeated.

Spec: RFC 7591; RFC 7592.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from smart_async.errors import ConfigurationError, OutcomeUnknownError, TransportError
from smart_async.flow import Flow, send
from smart_async.limits import Limits
from smart_async.messages import Headers, JSONObject, Request, Response, Secret, same_base
from smart_async.smart.binding import Binding, check_binding
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.discovery import discover
from smart_async.smart.endpoint_auth import check_origin
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.registration_answer import (
    check_allowed,
    parse_registration,
    parse_registration_answer,
    refuse_status,
)
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import is_token

__all__ = (
    "delete_registration",
    "management_request",
    "parse_deletion",
    "read_registration",
    "register",
    "registration_request",
    "update_registration",
)

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
    return _request("POST", endpoint, initial_access_token, client_metadata.to_members(), limits)


def management_request(
    method: Literal["GET", "PUT", "DELETE"],
    registration: ClientRegistration,
    client_metadata: ClientMetadata | None = None,
    *,
    limits: Limits | None = None,
) -> Request:
    """
    Build a request to read, update or delete a registration.

    Args:
        method: `GET`, `PUT` or `DELETE`.
        registration: The registration.
        client_metadata: What it is to become, for `PUT`.
        limits: The client's limits.

    Raises:
        ConfigurationError: If the server gave nothing to manage the registration with.

    Spec: RFC 7592, section 2.
    """
    if registration.registration_client_uri is None or registration.registration_access_token is None:
        raise ConfigurationError(
            "The server gave no registration_client_uri, or no access token for it, with this registration.",
            field="registration",
            endpoint=registration.registration_endpoint,
            advice="Change it in the server's portal, or ask its operator.",
        )
    document = None
    if client_metadata is not None:
        document = {"client_id": registration.client_id, **client_metadata.to_members()}
    return _request(
        method,
        registration.registration_client_uri,
        registration.registration_access_token,
        document,
        limits,
    )


def parse_deletion(response: Response, *, sent: Iterable[Secret] = ()) -> None:
    """
    Read the answer to a request to delete a registration.

    Args:
        response: The answer.
        sent: The secrets in the request.

    Raises:
        OAuthError: If the server refused.
        ProtocolError: If the answer is neither yes nor no.

    Spec: RFC 7592, section 2.3.
    """
    refuse_status(response, (204, 200), sent)


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
    allowed = check_allowed(allow_changes)
    token = _secret(initial_access_token)
    del initial_access_token  # error reporters show the variables of every frame
    client_metadata.check_urls(allow_insecure_loopback=state.config.allow_insecure_loopback)
    metadata = yield from discover(state)
    endpoint = _endpoint(state, metadata)
    request = registration_request(endpoint, client_metadata, initial_access_token=token, limits=state.limits)
    response = yield from _send_once(request)
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


def read_registration(state: ClientState, registration: ClientRegistration) -> Flow[ClientRegistration]:
    """
    Ask the server what it knows of a registration now.

    What has changed since is a finding and no error: nothing was asked to change. The server may renew the
    access token for this, so keep the answer in the place of *registration*.

    Args:
        state: The client, for the same FHIR base.
        registration: The registration.

    Raises:
        ConfigurationError: If it belongs to another server, or cannot be managed.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused. With status 401 the registration may be gone.
        ProtocolError: If the answer cannot be used, or is about another client.

    Spec: RFC 7592, section 2.1.
    """
    request = management_request("GET", registration, limits=state.limits)
    yield from _check_place(state, registration)
    response = yield from send(request)
    return _managed(state, response, registration)


def update_registration(
    state: ClientState,
    registration: ClientRegistration,
    client_metadata: ClientMetadata,
    *,
    allow_changes: Iterable[str] = (),
) -> Flow[ClientRegistration]:
    """
    Replace what is registered of a client by *client_metadata*, all of it.

    A member left out is deleted at the server, so start from what is registered:
    `dataclasses.replace(registration.metadata, client_name="New name")`.

    Args:
        state: The client, for the same FHIR base.
        registration: The registration.
        client_metadata: What it is to become.
        allow_changes: As in `register`.

    Returns:
        The registration to keep in the place of *registration*.

    Raises:
        ConfigurationError: If it belongs to another server, or cannot be managed.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused.
        OutcomeUnknownError: If nobody knows whether the update happened.
        RegistrationChangedError: If the server registered something else than was asked for.
        ProtocolError: If its answer cannot be used.

    Spec: RFC 7592, section 2.2.
    """
    allowed = check_allowed(allow_changes)
    client_metadata.check_urls(allow_insecure_loopback=state.config.allow_insecure_loopback)
    request = management_request("PUT", registration, client_metadata, limits=state.limits)
    yield from _check_place(state, registration)
    response = yield from _send_once(request)
    return _managed(state, response, registration, client_metadata, allowed)


def delete_registration(state: ClientState, registration: ClientRegistration) -> Flow[None]:
    """
    Delete a registration. Its id, secret and tokens are worth nothing afterwards.

    Args:
        state: The client, for the same FHIR base.
        registration: The registration.

    Raises:
        ConfigurationError: If it belongs to another server, or cannot be managed.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused.
        OutcomeUnknownError: If nobody knows whether it is gone.

    Spec: RFC 7592, section 2.3.
    """
    request = management_request("DELETE", registration, limits=state.limits)
    yield from _check_place(state, registration)
    response = yield from _send_once(request)
    parse_deletion(response, sent=_secrets(registration))


def _request(
    method: str, url: str, token: Secret | None, document: JSONObject | None, limits: Limits | None
) -> Request:
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


def _check_place(state: ClientState, registration: ClientRegistration) -> Flow[None]:
    if not same_base(registration.binding.fhir_base, state.config.fhir_base):
        raise ConfigurationError(
            f"This registration is at {registration.binding.fhir_base}, not at {state.config.fhir_base}.",
            field="registration",
        )
    metadata = yield from discover(state)
    check_binding(registration.binding, metadata, state.config, what="registration access token")
    check_origin(state, metadata, registration.registration_endpoint)


def _send_once(request: Request) -> Flow[Response]:
    try:
        return (yield from send(request))
    except TransportError as exc:
        if exc.sent is False:
            raise
        raise OutcomeUnknownError(
            f"The registration request may or may not have taken effect: {exc.message}",
            endpoint=exc.endpoint,
            status=exc.status,
            advice=f"It was not repeated. {_LOST[request.method]}",
        ) from exc


def _managed(
    state: ClientState,
    response: Response,
    registration: ClientRegistration,
    requested: ClientMetadata | None = None,
    allowed: Iterable[str] = (),
) -> ClientRegistration:
    return parse_registration_answer(
        response,
        base=registration,
        requested=requested,
        allow_changes=allowed,
        allow_insecure_loopback=state.config.allow_insecure_loopback,
        limits=state.limits,
        sent=_secrets(registration),
    )


def _secrets(registration: ClientRegistration) -> tuple[Secret, ...]:
    token = registration.registration_access_token
    return () if token is None else (token,)
