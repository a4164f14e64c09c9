"""
Managing a registration: reading, changing and deleting what was registered.

Each request carries the registration's own access token, and goes only to the server that gave it.

Spec: RFC 7592.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from smart_async.errors import ConfigurationError
from smart_async.flow import Flow
from smart_async.limits import Limits
from smart_async.messages import Request, Response, Secret, same_base
from smart_async.smart.arguments import check_argument
from smart_async.smart.binding import check_binding
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.discovery import discover
from smart_async.smart.endpoint_auth import check_origin
from smart_async.smart.registration import check_metadata, json_request, send_once
from smart_async.smart.registration_answer import check_allowed, parse_registration_answer, refuse_status
from smart_async.smart.retries import HARMLESS, send_repeated
from smart_async.smart.state import ClientState

__all__ = (
    "delete_registration",
    "management_request",
    "parse_deletion",
    "read_registration",
    "update_registration",
)


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
    check_argument(
        registration,
        ClientRegistration,
        "registration",
        "Read stored JSON with ClientRegistration.from_json first.",
    )
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
    return json_request(
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
    response = yield from send_repeated(state, request)
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
    check_metadata(client_metadata)
    client_metadata.check_urls(allow_insecure_loopback=state.config.allow_insecure_loopback)
    request = management_request("PUT", registration, client_metadata, limits=state.limits)
    yield from _check_place(state, registration)
    response = yield from send_once(state, request)
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
    response = yield from send_once(state, request, HARMLESS)
    parse_deletion(response, sent=_secrets(registration))


def _check_place(state: ClientState, registration: ClientRegistration) -> Flow[None]:
    if not same_base(registration.binding.fhir_base, state.config.fhir_base):
        raise ConfigurationError(
            f"This registration is at {registration.binding.fhir_base}, not at {state.config.fhir_base}.",
            field="registration",
        )
    metadata = yield from discover(state)
    check_binding(registration.binding, metadata, state.config, what="registration access token")
    check_origin(state, metadata, registration.registration_endpoint)


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
