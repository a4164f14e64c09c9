"""The clients of all EHRs that an app knows, over one transport."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from smart_async.clients._async import AsyncSmartClient
from smart_async.clients._events import Listener
from smart_async.clients._storing import OpenedStore
from smart_async.clients._sync import SmartClient
from smart_async.interfaces import AsyncTransport, Clock, TokenStore, Transport
from smart_async.limits import Limits, Timeouts
from smart_async.smart.config import SmartConfig
from smart_async.smart.issuers import KnownIssuers
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.pending import PendingAuthorization
from smart_async.smart.registry import Registry
from smart_async.transports import open_async_transport, open_transport

__all__ = ("AsyncEHRRegistry", "EHRRegistry")


class EHRRegistry:
    """
    Keep one `SmartClient` for each EHR, and let nobody launch the app from any other.

    Args:
        configs: One configuration for each registration.
        distinct_redirects: As in `smart_async.smart.registry.Registry`.
        transport: As in `SmartClient`; all clients share it.
        timeouts: As in `SmartClient`.
        limits: As in `SmartClient`.
        clock: As in `SmartClient`.
        store: As in `SmartClient`; all clients share it.
        on_event: As in `SmartClient`.

    Raises:
        ConfigurationError: If the configurations do not go together.
    """

    __slots__ = ("_clients", "_owned", "_store", "_transport", "registry")

    def __init__(
        self,
        configs: Iterable[SmartConfig],
        *,
        distinct_redirects: bool = False,
        transport: str | Transport | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        store: TokenStore | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self.registry = Registry(configs, distinct_redirects=distinct_redirects)
        self._owned = not isinstance(transport, Transport)
        self._transport = open_transport(transport)
        self._store = OpenedStore(store).get()
        self._clients = {
            id(config): SmartClient(
                config,
                transport=self._transport,
                timeouts=timeouts,
                limits=limits,
                clock=clock,
                store=self._store,
                on_event=on_event,
            )
            for config in self.registry
        }
        _acquaint(self._clients.values())

    @property
    def store(self) -> TokenStore:
        """Where the sessions of all clients keep their tokens."""
        return self._store

    @property
    def clients(self) -> tuple[SmartClient, ...]:
        """The clients, in the order of their configurations."""
        return tuple(self._clients.values())

    def launch(self, url: str, *, client_id: str | None = None) -> tuple[SmartClient, EHRLaunch]:
        """Return the client for an EHR launch, and the launch. See `Registry.launch`."""
        config, launch = self.registry.launch(url, client_id=client_id)
        return self._clients[id(config)], launch

    def client(self, fhir_base: str, *, client_id: str | None = None) -> SmartClient:
        """Return the client for a FHIR base. See `Registry.find`."""
        return self._clients[id(self.registry.find(fhir_base, client_id=client_id))]

    def client_of(self, pending: PendingAuthorization) -> SmartClient:
        """Return the client that a pending login was started with. See `Registry.of`."""
        return self._clients[id(self.registry.of(pending))]

    def close(self) -> None:
        """Release the connections, unless the transport was yours."""
        if self._owned:
            self._transport.close()

    def __enter__(self) -> Self:
        """Return the registry itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Release the connections."""
        self.close()


class AsyncEHRRegistry:
    """
    Keep one `AsyncSmartClient` for each EHR, and let nobody launch the app from any other.

    Args:
        configs: One configuration for each registration.
        distinct_redirects: As in `smart_async.smart.registry.Registry`.
        transport: As in `AsyncSmartClient`; all clients share it.
        timeouts: As in `AsyncSmartClient`.
        limits: As in `AsyncSmartClient`.
        clock: As in `AsyncSmartClient`.
        store: As in `AsyncSmartClient`; all clients share it.
        on_event: As in `AsyncSmartClient`.

    Raises:
        ConfigurationError: If the configurations do not go together.
    """

    __slots__ = ("_clients", "_owned", "_store", "_transport", "registry")

    def __init__(
        self,
        configs: Iterable[SmartConfig],
        *,
        distinct_redirects: bool = False,
        transport: str | AsyncTransport | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        store: TokenStore | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self.registry = Registry(configs, distinct_redirects=distinct_redirects)
        self._owned = not isinstance(transport, AsyncTransport)
        self._transport = open_async_transport(transport)
        self._store = OpenedStore(store).get()
        self._clients = {
            id(config): AsyncSmartClient(
                config,
                transport=self._transport,
                timeouts=timeouts,
                limits=limits,
                clock=clock,
                store=self._store,
                on_event=on_event,
            )
            for config in self.registry
        }
        _acquaint(self._clients.values())

    @property
    def store(self) -> TokenStore:
        """Where the sessions of all clients keep their tokens."""
        return self._store

    @property
    def clients(self) -> tuple[AsyncSmartClient, ...]:
        """The clients, in the order of their configurations."""
        return tuple(self._clients.values())

    def launch(self, url: str, *, client_id: str | None = None) -> tuple[AsyncSmartClient, EHRLaunch]:
        """Return the client for an EHR launch, and the launch. See `Registry.launch`."""
        config, launch = self.registry.launch(url, client_id=client_id)
        return self._clients[id(config)], launch

    def client(self, fhir_base: str, *, client_id: str | None = None) -> AsyncSmartClient:
        """Return the client for a FHIR base. See `Registry.find`."""
        return self._clients[id(self.registry.find(fhir_base, client_id=client_id))]

    def client_of(self, pending: PendingAuthorization) -> AsyncSmartClient:
        """Return the client that a pending login was started with. See `Registry.of`."""
        return self._clients[id(self.registry.of(pending))]

    async def aclose(self) -> None:
        """Release the connections, unless the transport was yours."""
        if self._owned:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        """Return the registry itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Release the connections."""
        await self.aclose()


def _acquaint(clients: Iterable[SmartClient | AsyncSmartClient]) -> None:
    issuers = KnownIssuers()
    for client in clients:
        # A registry and its clients are one; nobody else has a say in this.
        client._state.issuers = issuers  # pyright: ignore[reportPrivateUsage]
