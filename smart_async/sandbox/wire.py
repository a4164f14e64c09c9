"""What can be done to a connection beside answering: letting it wait, and dropping it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol

import anyio

__all__ = ("LINE", "BareLine", "Line", "MemoryLine", "SocketLine", "line_of")

LINE = "smart_async.sandbox.line"
"""Where the server leaves the line in the ASGI scope."""


class Line(Protocol):
    """The connection that a request came by."""

    async def wait(self, seconds: float, receive: Any) -> None:
        """Let the client wait for its answer."""
        ...

    async def drop(self, receive: Any) -> None:
        """End the connection without an answer."""
        ...


class SocketLine:
    """
    A connection of `serve`.

    Args:
        transport: The asyncio transport under it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    async def wait(self, seconds: float, receive: Any) -> None:
        """Wait, while other requests are answered, for as long as the client does."""
        with suppress(TimeoutError):
            # After the body nothing comes but the news that the client has gone.
            _ = await asyncio.wait_for(receive(), seconds)

    async def drop(self, receive: Any) -> None:
        """Reset the connection, and wait until the server has noticed: it would answer 500 otherwise."""
        self._transport.abort()
        _ = await receive()  # the body has been read, so nothing but the disconnect is left to come


class MemoryLine:
    """A request in memory: the sandbox's own transport reads off what it has to do."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.dropped = False

    async def wait(self, seconds: float, receive: Any) -> None:  # noqa: ARG002 - the interface's
        """Tell the transport how long to wait."""
        self.seconds += seconds

    async def drop(self, receive: Any) -> None:  # noqa: ARG002 - the interface's
        """Tell the transport that there is no answer."""
        self.dropped = True


class BareLine:
    """A connection of a server that the sandbox does not know."""

    async def wait(self, seconds: float, receive: Any) -> None:  # noqa: ARG002 - the interface's
        """Wait, while other requests are answered."""
        await anyio.sleep(seconds)

    async def drop(self, receive: Any) -> None:  # noqa: ARG002 - the interface's
        """Fail: what the server makes of it is no answer that a client could use."""
        raise ConnectionAbortedError("the sandbox was asked to drop this connection")


def line_of(scope: Any) -> Line:
    """Return the line of a request."""
    line: Line | None = scope.get(LINE)
    return BareLine() if line is None else line
