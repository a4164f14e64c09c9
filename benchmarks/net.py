"""
A network in memory, below the HTTP engine: what a request costs when nothing has to be waited for.

The engines of httpx and httpx2 take a network backend. This one answers each request with the same bytes,
without reading it, so that both sides of a comparison do all their own work (URLs, headers, HTTP framing,
pools) and the network none.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel

from smart_async.transports._httpx_async import AsyncFamilyTransport
from smart_async.transports._httpx_sync import FamilyTransport

__all__ = ("AsyncMemory", "Memory", "answer", "wire_client", "wire_transport")


def answer(body: bytes, *, content_type: str = "application/json") -> bytes:
    """Return an HTTP answer with *body*."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Memory:
    """
    A blocking backend, and each of its connections.

    Args:
        answer: What each request is answered with.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connect_tcp(self, *_: Any, **__: Any) -> Memory:
        """Open a connection."""
        return Memory(self._answer)

    def start_tls(self, *_: Any, **__: Any) -> Memory:
        """Leave it as it is."""
        return self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the interface's
        """Return the answer."""
        return self._answer

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take in a part of the request."""

    def close(self) -> None:
        """Do nothing."""

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - the interface's
        """Know nothing; an idle connection has nothing to say."""
        return None


# The signatures are the engine's: arguments that memory has no use for, time limits among them.
class AsyncMemory:
    """
    An async backend, and each of its connections.

    Args:
        answer: What each request is answered with.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def connect_tcp(self, *_: Any, **__: Any) -> AsyncMemory:
        """Open a connection."""
        return AsyncMemory(self._answer)

    async def start_tls(self, *_: Any, **__: Any) -> AsyncMemory:
        """Leave it as it is."""
        return self

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """Return the answer, after the one turn of the loop that any answer takes."""
        with anyio.fail_after(timeout):
            await anyio.lowlevel.checkpoint()
        return self._answer

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Take in a part of the request, as the engine's own backend does."""
        with anyio.fail_after(timeout):
            await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Do nothing."""

    def get_extra_info(self, info: str) -> Any:  # noqa: ARG002 - the interface's
        """Know nothing; an idle connection has nothing to say."""
        return None


def wire_transport(transport: Any, answered: bytes) -> Any:
    """
    Return one of our transports, its engine wired to memory.

    Args:
        transport: A transport of either colour, over either library.
        answered: What each request is answered with.
    """
    assert isinstance(transport, FamilyTransport | AsyncFamilyTransport)
    engine = transport._load()
    backends = {"SyncBackend": lambda: Memory(answered), "AnyIOBackend": lambda: AsyncMemory(answered)}
    # A copy of the module's names: the module itself is the other side's too.
    engine.core = SimpleNamespace(**{**vars(engine.core), **backends})
    if isinstance(transport, FamilyTransport):
        _, slots = transport._ready()
        # No name is looked up in memory; one argument is not needed.
        slots.backend._addresses = lambda host, port: [host]  # type: ignore[method-assign]  # noqa: ARG005
    return transport


def wire_client(library: ModuleType, answered: bytes, *, asynchronous: bool, **options: Any) -> Any:
    """
    Return a client of httpx or httpx2, its engine wired to memory.

    Args:
        library: The module.
        answered: What each request is answered with.
        asynchronous: Which colour.
        options: Further arguments of the client.
    """
    prefix, memory = ("Async", AsyncMemory) if asynchronous else ("", Memory)
    transport = getattr(library, f"{prefix}HTTPTransport")()
    core = __import__("httpcore2" if library.__name__ == "httpx2" else "httpcore")
    transport._pool = getattr(core, f"{prefix}ConnectionPool")(network_backend=memory(answered))
    return getattr(library, f"{prefix}Client")(transport=transport, **options)
