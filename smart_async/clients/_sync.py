"""The client for plain, blocking code."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from smart_async.clients._drivers import Performer, drive
from smart_async.clients._parts import check_clock, check_signer, check_timeouts, new_state
from smart_async.flow import Flow
from smart_async.interfaces import AsyncSigner, Clock, Signer, Transport
from smart_async.keys.jwks import Publishable
from smart_async.limits import Limits, Timeouts
from smart_async.messages import Secret
from smart_async.smart.authorization import authorize
from smart_async.smart.backend import DEFAULT_SCOPE, backend_token
from smart_async.smart.callback import Callback, exchange_code
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.config import SmartConfig
from smart_async.smart.discovery import discover
from smart_async.smart.dynamic_client import register_dynamic_client
from smart_async.smart.entropy import Entropy
from smart_async.smart.introspection import TokenStatus, introspect
from smart_async.smart.jwt_bearer import jwt_bearer_token
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.pending import PendingAuthorization
from smart_async.smart.refresh import refresh
from smart_async.smart.registration import register
from smart_async.smart.registration_management import (
    delete_registration,
    read_registration,
    update_registration,
)
from smart_async.smart.revocation import revoke
from smart_async.smart.scopes import Scopes
from smart_async.smart.style import SmartStyle, fetch_style
from smart_async.smart.tokens import Token
from smart_async.transports import open_transport

__all__ = ("SmartClient",)

T = TypeVar("T")


class SmartClient:
    """
    Talk to the authorization server in front of a FHIR server, from plain code.

    It may be shared by threads, and works with and without `with`. Making one is cheap and opens no
    connection.

    Args:
        config: The registration.
        transport: `"httpx"` (the default), `"httpx2"`, or an object with the `Transport` methods. An
            object stays yours: closing the client does not close it, and many clients may share it.
        timeouts: How long one request may take.
        limits: How much of an answer is read.
        clock: Who tells the time.
        entropy: The source of random bytes, for tests.

    Raises:
        ConfigurationError: If a part does not fit.
    """

    __slots__ = ("_owned", "_perform", "_state", "_transport")

    def __init__(
        self,
        config: SmartConfig,
        *,
        transport: str | Transport | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._state = new_state(config, limits, entropy)
        check_signer(config)
        timeouts, clock = check_timeouts(timeouts), check_clock(clock)
        self._owned = not isinstance(transport, Transport)
        self._transport = open_transport(transport)
        self._perform = Performer(self._transport, timeouts, clock)

    @property
    def config(self) -> SmartConfig:
        """The registration."""
        return self._state.config

    def discover(self, *, refresh: bool = False) -> SmartMetadata:
        """Return what the server says of itself. See `smart_async.smart.discovery.discover`."""
        return self._run(discover(self._state, refresh=refresh))

    def authorize(
        self, *, launch: EHRLaunch | None = None, scope: str | Scopes | None = None
    ) -> PendingAuthorization:
        """Start a login. See `smart_async.smart.authorization.authorize`."""
        return self._run(authorize(self._state, launch=launch, scope=scope))

    def exchange_code(self, pending: PendingAuthorization, callback: Callback) -> Token:
        """Finish a login. See `smart_async.smart.callback.exchange_code`."""
        return self._run(exchange_code(self._state, pending, callback))

    def refresh(self, token: Token, *, scope: str | Scopes | None = None) -> Token:
        """Get a new token without the user. See `smart_async.smart.refresh.refresh`."""
        return self._run(refresh(self._state, token, scope=scope))

    def backend_token(self, scope: str | Scopes = DEFAULT_SCOPE) -> Token:
        """Get a token for the client itself. See `smart_async.smart.backend.backend_token`."""
        return self._run(backend_token(self._state, scope=scope))

    def introspect(self, token: Token) -> TokenStatus:
        """Ask what a token is still good for. See `smart_async.smart.introspection.introspect`."""
        return self._run(introspect(self._state, token))

    def revoke(self, token: Token) -> None:
        """Tell the server that a token is no longer needed. See `smart_async.smart.revocation.revoke`."""
        return self._run(revoke(self._state, token))

    def fetch_style(self, token: Token) -> SmartStyle | None:
        """Return the EHR's style object, if it named one. See `smart_async.smart.style.fetch_style`."""
        return self._run(fetch_style(self._state, token))

    def register(
        self,
        client_metadata: ClientMetadata,
        *,
        initial_access_token: Secret | str | None = None,
        allow_changes: Iterable[str] = (),
    ) -> ClientRegistration:
        """Register a new client with the server. See `smart_async.smart.registration.register`."""
        return self._run(
            register(
                self._state,
                client_metadata,
                initial_access_token=initial_access_token,
                allow_changes=allow_changes,
            )
        )

    def read_registration(self, registration: ClientRegistration) -> ClientRegistration:
        """Ask what the server knows of a registration. See `smart_async.smart.registration_management`."""
        return self._run(read_registration(self._state, registration))

    def update_registration(
        self,
        registration: ClientRegistration,
        client_metadata: ClientMetadata,
        *,
        allow_changes: Iterable[str] = (),
    ) -> ClientRegistration:
        """Replace what is registered of a client. See `smart_async.smart.registration_management`."""
        return self._run(
            update_registration(self._state, registration, client_metadata, allow_changes=allow_changes)
        )

    def delete_registration(self, registration: ClientRegistration) -> None:
        """Delete a registration. See `smart_async.smart.registration_management`."""
        return self._run(delete_registration(self._state, registration))

    def register_dynamic_client(
        self, token: Token, key: Publishable, *, allow_changes: Iterable[str] = ()
    ) -> ClientRegistration:
        """Register this device as a client of its own. See `smart_async.smart.dynamic_client`."""
        return self._run(register_dynamic_client(self._state, token, key, allow_changes=allow_changes))

    def jwt_bearer_token(
        self,
        *,
        key: Signer | AsyncSigner | None = None,
        assertion: Secret | str | None = None,
        scope: str | Scopes | None = None,
    ) -> Token:
        """Get a token for a signed assertion. See `smart_async.smart.jwt_bearer.jwt_bearer_token`."""
        return self._run(jwt_bearer_token(self._state, key=key, assertion=assertion, scope=scope))

    def close(self) -> None:
        """Release the connections, unless the transport was yours."""
        if self._owned:
            self._transport.close()

    def _run(self, flow: Flow[T]) -> T:
        return drive(flow, self._perform)

    def __enter__(self) -> Self:
        """Return the client itself; nothing is opened before the first request."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Release the connections."""
        self.close()

    def __repr__(self) -> str:
        """Name the registration."""
        return f"<SmartClient {self.config.client_id} at {self.config.fhir_base}>"
