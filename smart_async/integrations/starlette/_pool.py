"""
One pool of connections to the FHIR servers for all signed-in users, and an `httpx.AsyncClient` for each.

A slot is taken before a connection is asked for, so that nobody queues inside httpx's pool: a request that is
cancelled there takes its place away for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import anyio
import httpx
from anyio.lowlevel import current_token

from smart_async.clients._async_session import AsyncSmartSession
from smart_async.limits import WEB_CONNECTIONS

__all__ = ("Pool",)


class Pool:
    """
    Makes the clients.

    Args:
        transport: What their requests go through; None for a pool of its own on each event loop.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None) -> None:
        self._given = transport
        self._line: _Line | None = None
        self._loop: object = None

    def client(self, session: AsyncSmartSession) -> httpx.AsyncClient:
        """
        Return a client whose requests carry the token of *session*. It need not be closed.

        Args:
            session: The session.
        """
        loop = current_token()
        if self._line is None or self._loop != loop:
            self._line, self._loop = _Line(self._given or _opened()), loop
        return httpx.AsyncClient(
            base_url=session.config.fhir_base,
            auth=session.auth(),
            headers={"Accept": "application/fhir+json"},
            transport=self._line,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections, unless the transport was given."""
        line, self._line = self._line, None
        if line is not None and self._given is None:
            await line.transport.aclose()


def _opened() -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(max_connections=WEB_CONNECTIONS, max_keepalive_connections=WEB_CONNECTIONS // 5)
    return httpx.AsyncHTTPTransport(limits=limits, trust_env=False)


class _Line(httpx.AsyncBaseTransport):
    """A transport that many clients share, and that none of them closes."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport
        self._free = anyio.CapacityLimiter(WEB_CONNECTIONS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* once there is a slot, and give that back with the end of the answer."""
        slot = object()
        await self._free.acquire_on_behalf_of(slot)
        try:
            response = await self.transport.handle_async_request(request)
        except BaseException:
            self._free.release_on_behalf_of(slot)
            raise
        stream = response.stream
        assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101 - what an async transport returns
        response.stream = _Body(stream, self._free, slot)
        return response

    async def __aenter__(self) -> Self:
        """Return itself: the transport is open."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Leave the transport open for the others."""


class _Body(httpx.AsyncByteStream):
    """An answer that gives its slot back when it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, free: anyio.CapacityLimiter, slot: object) -> None:
        self._stream = stream
        self._free = free
        self._slot: object | None = slot

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        slot, self._slot = self._slot, None
        try:
            await self._stream.aclose()
        finally:
            if slot is not None:
                self._free.release_on_behalf_of(slot)
