"""The client for asyncio and trio."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from smart_async.clients._drivers import AsyncPerformer, drive_async
from smart_async.clients._parts import check_clock, check_timeouts, new_state
from smart_async.flow import Flow
from smart_async.interfaces import AsyncSigner, AsyncTransport, Clock, Signer
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
from smart_async.transports import open_async_transport

__all__ = ("AsyncSmartClient",)

T = TypeVar("T")


class AsyncSmartClient:
    """
    Talk to the authorization server in front of a FHIR server, from asyncio or trio.

    It works with and without `async with`. Making one is cheap and opens no connection; its connections
    belong to the event loop that first used it.

    Args:
        config: The registration.
        transport: `"httpx"` (the default), `"httpx2"`, or an object with the `AsyncTransport` methods. An
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
        transport: str | AsyncTransport | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        self._state = new_state(config, limits, entropy)
        timeouts, clock = check_timeouts(timeouts), check_clock(clock)
        self._owned = not isinstance(transport, AsyncTransport)
        self._transport = open_async_transport(transport)
        self._perform = AsyncPerformer(self._transport, timeouts, clock)

    @property
    def config(self) -> SmartConfig:
        """The registration."""
        return self._state.config

    async def discover(self, *, refresh: bool = False) -> SmartMetadata:
        """Return what the server says of itself. See `smart_async.smart.discovery.discover`."""
        return await self._run(discover(self._state, refresh=refresh))

    async def authorize(
        self, *, launch: EHRLaunch | None = None, scope: str | Scopes | None = None
    ) -> PendingAuthorization:
        """Start a login. See `smart_async.smart.authorization.authorize`."""
        return await self._run(authorize(self._state, launch=launch, scope=scope))

    async def exchange_code(self, pending: PendingAuthorization, callback: Callback) -> Token:
        """Finish a login. See `smart_async.smart.callback.exchange_code`."""
        return await self._run(exchange_code(self._state, pending, callback))

    async def refresh(self, token: Token, *, scope: str | Scopes | None = None) -> Token:
        """Get a new token without the user. See `smart_async.smart.refresh.refresh`."""
        return await self._run(refresh(self._state, token, scope=scope))

    async def backend_token(self, scope: str | Scopes = DEFAULT_SCOPE) -> Token:
        """Get a token for the client itself. See `smart_async.smart.backend.backend_token`."""
        return await self._run(backend_token(self._state, scope=scope))

    async def introspect(self, token: Token) -> TokenStatus:
        """Ask what a token is still good for. See `smart_async.smart.introspection.introspect`."""
        return await self._run(introspect(self._state, token))

    async def revoke(self, token: Token) -> None:
        """Tell the server that a token is no longer needed. See `smart_async.smart.revocation.revoke`."""
        return await self._run(revoke(self._state, token))

    async def fetch_style(self, token: Token) -> SmartStyle | None:
        """Return the EHR's style object, if it named one. See `smart_async.smart.style.fetch_style`."""
        return await self._run(fetch_style(self._state, token))

    async def register(
        self,
        client_metadata: ClientMetadata,
        *,
        initial_access_token: Secret | str | None = None,
        allow_changes: Iterable[str] = (),
    ) -> ClientRegistration:
        """Register a new client with the server. See `smart_async.smart.registration.register`."""
        return await self._run(
            register(
                self._state,
                client_metadata,
                initial_access_token=initial_access_token,
                allow_changes=allow_changes,
            )
        )

    async def read_registration(self, registration: ClientRegistration) -> ClientRegistration:
        """Ask what the server knows of a registration. See `smart_async.smart.registration_management`."""
        return await self._run(read_registration(self._state, registration))

    async def update_registration(
        self,
        registration: ClientRegistration,
        client_metadata: ClientMetadata,
        *,
        allow_changes: Iterable[str] = (),
    ) -> ClientRegistration:
        """Replace what is registered of a client. See `smart_async.smart.registration_management`."""
        return await self._run(
            update_registration(self._state, registration, client_metadata, allow_changes=allow_changes)
        )

    async def delete_registration(self, registration: ClientRegistration) -> None:
        """Delete a registration. See `smart_async.smart.registration_management`."""
        return await self._run(delete_registration(self._state, registration))

    async def register_dynamic_client(
        self, token: Token, key: Publishable, *, allow_changes: Iterable[str] = ()
    ) -> ClientRegistration:
        """Register this device as a client of its own. See `smart_async.smart.dynamic_client`."""
        return await self._run(register_dynamic_client(self._state, token, key, allow_changes=allow_changes))

    async def jwt_bearer_token(
        self,
        *,
        key: Signer | AsyncSigner | None = None,
        assertion: Secret | str | None = None,
        scope: str | Scopes | None = None,
    ) -> Token:
        """Get a token for a signed assertion. See `smart_async.smart.jwt_bearer.jwt_bearer_token`."""
        return await self._run(jwt_bearer_token(self._state, key=key, assertion=assertion, scope=scope))

    async def aclose(self) -> None:
        """Release the connections, unless the transport was yours."""
        if self._owned:
            await self._transport.aclose()

    async def _run(self, flow: Flow[T]) -> T:
        return await drive_async(flow, self._perform)

    async def __aenter__(self) -> Self:
        """Return the client itself; nothing is opened before the first request."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Release the connections."""
        await self.aclose()

    def __repr__(self) -> str:
        """Name the registration."""
        return f"<AsyncSmartClient {self.config.client_id} at {self.config.fhir_base}>"
