"""
The engine's network backends, with what they lack.

Blocking: a deadline. A timeout per read is none, as a server that sends one byte a second never exceeds
it. The async transports are cancelled when the time is up; a blocking one has to look at the clock before
each wait, and the network backend is the place where all of them pass. One wait stays outside: the
operating system's name lookup cannot be interrupted.

Async: tidiness. When a TLS handshake is cancelled, the engine forgets the socket.

Both: attention to what follows an answer, see `Framing`, and to how far a request got, see `Progress`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias
from weakref import WeakSet

from smart_async.transports._framing import Framing

__all__ = ("PROGRESS", "CarefulBackend", "DeadlineBackend", "Phase", "Progress")

Phase: TypeAlias = Literal["waiting", "connecting", "securing", "tunnelling", "sent"]
"""What is being done for a request; `sent` as soon as a byte of it may have left."""


class Progress:
    """
    How far a request got, noted by the connection that it uses.

    The engine would tell as well, in ten events for each request, which cost more than the checking of
    everything in it.

    Args:
        deadline: When the request has to be over, in seconds of the monotonic clock.

    Attributes:
        phase: What is being done.
        tunnelled: Whether a proxy was asked for a way through.
    """

    __slots__ = ("deadline", "phase", "tunnelled")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.phase: Phase = "waiting"
        self.tunnelled = False

    @property
    def begun(self) -> bool:
        """Whether something of the request has been written."""
        return self.phase in ("tunnelling", "sent")

    def left(self, timeout: float | None, late: type[Exception]) -> float:
        """
        Return the seconds that a wait may take.

        Args:
            timeout: The most for this one.
            late: What to raise if the deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise late("deadline")
        return left if timeout is None else min(timeout, left)

    def writes(self, data: bytes) -> None:
        """Note that *data* goes out."""
        if data.startswith(b"CONNECT "):
            self.phase, self.tunnelled = "tunnelling", True
        elif data:  # the engine also writes nothing, after a request without a body
            self.phase = "sent"


PROGRESS: ContextVar[Progress] = ContextVar("smart_async_progress")
"""The progress of the request that this thread or task is sending."""


class DeadlineBackend:
    """
    The engine's blocking network backend, with every wait bounded by the current deadline.

    Args:
        core: The engine's module.
    """

    def __init__(self, core: Any) -> None:
        self._core = core
        self._inner = core.SyncBackend()
        self._streams: WeakSet[DeadlineStream] = WeakSet()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> DeadlineStream:
        """Open a connection to the first address of *host* that answers; *timeout* is for all of them."""
        late = self._core.ConnectTimeout
        progress = PROGRESS.get()
        progress.phase = "connecting"
        addresses = self._addresses(host, port)
        end = time.monotonic() + progress.left(timeout, late)
        failure: Exception = self._core.ConnectError("no address")
        for index, address in enumerate(addresses):
            # An equal share for each that is left: the first may be one that nobody answers at.
            share = max(end - time.monotonic(), 0.0) / (len(addresses) - index)
            try:
                stream = self._inner.connect_tcp(
                    address, port, progress.left(share, late), local_address, socket_options
                )
            except (self._core.ConnectError, late) as exc:
                failure = exc
            else:
                return self._watched(stream)
        raise failure

    def abandon(self) -> None:
        """Close this process's copies of connections that belong to the parent of a fork."""
        for stream in list(self._streams):
            stream.close()

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise self._core.ConnectError("name lookup") from exc
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _watched(self, stream: Any) -> DeadlineStream:
        watched = DeadlineStream(self, self._core, stream)
        self._streams.add(watched)
        return watched

    def secured(self, stream: Any) -> DeadlineStream:
        """Return *stream*, which TLS has wrapped, as one of this backend's."""
        return self._watched(stream)


class DeadlineStream:
    """One connection of a `DeadlineBackend`."""

    def __init__(self, backend: DeadlineBackend, core: Any, inner: Any) -> None:
        self._backend = backend
        self._core = core
        self._inner = inner
        self._framing = Framing()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read up to *max_bytes*."""
        data: bytes = self._inner.read(max_bytes, PROGRESS.get().left(timeout, self._core.ReadTimeout))
        self._framing.feed(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of *buffer*."""
        progress = PROGRESS.get()
        left = progress.left(timeout, self._core.WriteTimeout)
        _check_clean(progress, self._framing, self._inner, self._core)
        progress.writes(buffer)
        self._inner.write(buffer, left)

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> DeadlineStream:
        """Secure the connection. Python's handshake keeps the timeout as a whole, not per read."""
        progress = PROGRESS.get()
        progress.phase = "securing"
        left = progress.left(timeout, self._core.ConnectTimeout)
        return self._backend.secured(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        """Return what the engine wants to know about the connection."""
        return _readable(self._framing, info) or self._inner.get_extra_info(info)


def _check_clean(progress: Progress, framing: Framing, inner: Any, core: Any) -> None:
    # The engine looks at an idle connection before it chooses one. Between its look and its choice another
    # thread may have put back a connection whose answer was followed by something, and bytes may arrive at
    # any time; so it is looked at again when the request begins. At this error the engine closes the
    # connection and takes the next one.
    if progress.begun:
        return
    kept = not framing.new
    if not framing.begin() or (kept and inner.get_extra_info("is_readable")):
        raise core.ConnectionNotAvailable


def _readable(framing: Framing, info: str) -> bool:
    # The engine asks so before it uses an idle connection again, and closes one that has something to say.
    return info == "is_readable" and not framing.exact


class CarefulBackend:
    """
    The engine's async network backend for one pool, which remembers what is open.

    Cancellation loses connections: in a TLS handshake, and, by asyncio's own kind that no shield stops,
    wherever the engine closes several. So the pool's owner closes what is left in the end.

    Args:
        core: The engine's module.
    """

    def __init__(self, core: Any) -> None:
        self.core = core
        # anyio's own, on trio too: one behaviour to know.
        self._inner = core.AnyIOBackend()
        self._open: set[CarefulStream] = set()

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> CarefulStream:
        """Open a connection."""
        PROGRESS.get().phase = "connecting"
        return self.watched(await self._inner.connect_tcp(*args, **kwargs))

    def watched(self, inner: Any) -> CarefulStream:
        """Return *inner* as one of this backend's streams."""
        stream = CarefulStream(self, inner)
        self._open.add(stream)
        return stream

    def forget(self, stream: CarefulStream) -> None:
        """Take *stream* off the list: it is closed, or another one owns its socket."""
        self._open.discard(stream)

    async def aclose(self) -> None:
        """Close all that is open, however often that is interrupted."""
        interruption: BaseException | None = None
        while self._open:
            try:
                await self._open.pop().aclose()
            except BaseException as exc:  # raised below, when all are closed
                interruption = exc
        if interruption is not None:
            raise interruption


class CarefulStream:
    """One connection of a `CarefulBackend`."""

    def __init__(self, backend: CarefulBackend, inner: Any) -> None:
        self._backend = backend
        self._inner = inner
        self._framing = Framing()

    async def read(self, *args: Any, **kwargs: Any) -> bytes:
        """Read what has arrived."""
        data: bytes = await self._inner.read(*args, **kwargs)
        self._framing.feed(data)
        return data

    async def write(self, buffer: bytes, *args: Any, **kwargs: Any) -> None:
        """Write all of *buffer*."""
        progress = PROGRESS.get()
        _check_clean(progress, self._framing, self._inner, self._backend.core)
        progress.writes(buffer)
        await self._inner.write(buffer, *args, **kwargs)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()
        self._backend.forget(self)

    async def start_tls(self, *args: Any, **kwargs: Any) -> CarefulStream:
        """Secure the connection, or close it."""
        import anyio

        PROGRESS.get().phase = "securing"
        try:
            secured = await self._inner.start_tls(*args, **kwargs)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise
        self._backend.forget(self)
        return self._backend.watched(secured)

    def get_extra_info(self, info: str) -> Any:
        """Return what the engine wants to know about the connection."""
        return _readable(self._framing, info) or self._inner.get_extra_info(info)
