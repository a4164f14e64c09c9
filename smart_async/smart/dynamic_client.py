"""
One client for each device, as Epic has it: the user signs in once, and the device keeps a key.

A public app gets no refresh token from Epic. In its place a device registers as a client of its own, with
the access token of its first login, and then gets new tokens with its key.

Spec: RFC 7591, section 3 (initial access token); RFC 7523, section 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from smart_async.flow import Flow
from smart_async.keys import Publishable, public_jwks
from smart_async.smart.binding import check_binding
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.discovery import discover
from smart_async.smart.endpoint_auth import check_token
from smart_async.smart.registration import register
from smart_async.smart.registration_answer import check_allowed
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("register_dynamic_client",)


def register_dynamic_client(
    state: ClientState, token: Token, key: Publishable, *, allow_changes: Iterable[str] = ()
) -> Flow[ClientRegistration]:
    """
    Register this device as a client of its own, for the user of *token*.

    Keep the key on the device, go on with `registration.config(config)`, and get tokens with
    `jwt_bearer_token(key=key)`.

    Args:
        state: The client that the user signed in to; its id is the `software_id` of the new one.
        token: The token of that login. Epic takes it for one registration.
        key: The device's own key, made on it.
        allow_changes: As in `register`; `redirect_uris` is among them already, since Epic adds the app's.

    Returns:
        The registration. At Epic it is a public client with the grant type of `jwt_bearer_token`.

    Raises:
        ConfigurationError: If *token* belongs to another client, or the server offers no registration.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused; 404 from Epic means that this site does not offer it.
        OutcomeUnknownError: If nobody knows whether the client exists now.
        RegistrationChangedError: If the server registered other keys.
        ProtocolError: If its answer cannot be used.
    """
    check_token(token, state.config)
    metadata = yield from discover(state)
    check_binding(token.binding, metadata, state.config, what="token")
    return (
        yield from register(
            state,
            ClientMetadata(software_id=state.config.client_id, jwks=public_jwks([key])),
            initial_access_token=token.access_token,
            # The new client inherits all redirect URIs of the app, of which this instance knows only its own.
            allow_changes={"redirect_uris", *check_allowed(allow_changes)},
        )
    )
