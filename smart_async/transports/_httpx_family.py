"""
The transports over httpx and httpx2, which differ in the name of a module only.

A slot is taken before a connection is asked for, so that nobody ever queues inside the engine's pool:
httpcore 1.0 loses a connection for ever when a request is cancelled at the wrong moment. For the same
reason an async pool in which a request was cancelled takes no new ones and is closed after its last.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports._attempt import Attempt
from smart_async.transports._engine import ClientCertificate, Engine, Family, Options
from smart_async.transports._network import CarefulBackend, DeadlineBackend, until

__all__ = ("AsyncFamilyTransport", "FamilyTransport")


class _Base:
    """What both colours have in common: the options, the engine, being closed, surviving a fork."""

    family: ClassVar[Family]

    def __init__(
        self,
        *,
        proxy: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        cert: ClientCertificate | None = None,
        max_connections: int = 10,
    ) -> None:
        self.family.check_installed()
        self._options = Options(proxy=proxy, ca_file=ca_file, cert=cert, max_connections=max_connections)
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._forget()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, at most {self._options.max_connections} connections>"

    def _forget(self) -> None:
        """Let go of all connections without a word to their servers."""
        raise NotImplementedError  # pragma: no cover - both colours have their own

    def _check_usable(self, request: Request) -> None:
        if self._closed:
            raise ConfigurationError(
                "The transport is closed.",
                endpoint=request.url.partition("?")[0],
                advice="Nothing was sent. Make a new client, or close this one later.",
            )
        self._check_fork()

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            # The lock may be held by a thread that does not exist on this side of the fork.
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._forget()

    def _load(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine(self.family, self._options)
            return self._engine


class _Slots:
    """The blocking pool, and the right to use it."""

    def __init__(self, engine: Engine, size: int) -> None:
        self.free = threading.BoundedSemaphore(size)
        self.backend = DeadlineBackend(engine.core)
        self._engine = engine
        self.pool = self._new_pool()

    @contextmanager
    def use(self, *, fresh: bool) -> Generator[Any]:
        if fresh:
            with self._new_pool() as pool:
                yield pool
        else:
            yield self.pool

    def _new_pool(self) -> Any:
        return self._engine.pool("ConnectionPool", network_backend=self.backend)


class FamilyTransport(_Base):
    """
    Sends requests for `SmartClient`, over connections that are kept and shared between threads.

    Nothing is opened or loaded before the first request. No redirect is followed, no cookie kept, and
    neither proxies nor certificates are taken from the environment.

    The deadline of a request holds for everything but the operating system's name lookup, which cannot
    be interrupted.

    Args:
        proxy: URL of an HTTP proxy such as `http://user:password@proxy.example.com:8080`.
        ca_file: Path of a PEM file with the certificates to trust, instead of the public ones.
        cert: The client's own certificate, for servers that want mutual TLS.
        max_connections: How many connections may be open at once.

    Raises:
        ConfigurationError: If an option cannot be used, or the library is not installed.
    """

    _slots: _Slots | None = None

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """
        Send *request* and return its response.

        Raises:
            TransportError: If no usable answer came; `sent` says whether the request left.
            ConfigurationError: If the request or an option cannot be used, or the transport is closed.
        """
        self._check_usable(request)
        engine, slots = self._ready()
        attempt = Attempt(request, timeouts, engine.user_agent)
        if not slots.free.acquire(timeout=attempt.patience):
            raise attempt.busy(self._options.max_connections)
        try:
            with until(attempt.deadline), slots.use(fresh=request.fresh) as pool:
                outcome = _exchange(pool, attempt, engine.core)
        finally:
            slots.free.release()
        return _opened(outcome)

    def close(self) -> None:
        """Close the connections; requests in flight fail."""
        self._closed = True
        self._check_fork()
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.backend.abandon()

    def _ready(self) -> tuple[Engine, _Slots]:
        engine = self._load()
        with self._lock:
            if self._slots is None:
                self._slots = _Slots(engine, self._options.max_connections)
            return engine, self._slots


def _exchange(pool: Any, attempt: Attempt, core: Any) -> Response | TransportError:
    try:
        with pool.stream(**attempt.arguments(core, attempt.note)) as answer:
            body = attempt.receive(answer.status, answer.headers)
            for chunk in answer.iter_stream():
                if body.feed(chunk):
                    break
    except Exception as exc:
        return attempt.explain(exc, core)
    return attempt.conclude(body)


class _Pool:
    """An async pool with a count of its users; once retired, the last of them closes it."""

    def __init__(self, inner: Any, *, retired: bool) -> None:
        self.inner = inner
        self.retired = retired
        self.users = 0


class _Loop:
    """The async pool of one event loop, and the right to use it."""

    def __init__(self, engine: Engine, size: int) -> None:
        import anyio

        self.free = anyio.CapacityLimiter(size)
        self.pool: _Pool | None = None
        self._engine = engine
        self._backend = CarefulBackend(engine.core)

    @asynccontextmanager
    async def use(self, *, fresh: bool) -> AsyncGenerator[Any]:
        import anyio

        pool = self._choose(fresh=fresh)
        pool.users += 1
        try:
            yield pool.inner
        except BaseException:
            pool.retired = True
            raise
        finally:
            pool.users -= 1
            if pool.retired and not pool.users:
                with anyio.CancelScope(shield=True):
                    await pool.inner.aclose()

    def _choose(self, *, fresh: bool) -> _Pool:
        if fresh:
            return self._new_pool(retired=True)
        if self.pool is None or self.pool.retired:
            self.pool = self._new_pool(retired=False)
        return self.pool

    def _new_pool(self, *, retired: bool) -> _Pool:
        inner = self._engine.pool("AsyncConnectionPool", network_backend=self._backend)
        return _Pool(inner, retired=retired)


class AsyncFamilyTransport(_Base):
    """
    Sends requests for `AsyncSmartClient`, on asyncio and trio; the twin of `FamilyTransport`.

    Each event loop gets its own connections, so one transport may serve several loops, one after the
    other or in different threads.

    Args:
        proxy: URL of an HTTP proxy such as `http://user:password@proxy.example.com:8080`.
        ca_file: Path of a PEM file with the certificates to trust, instead of the public ones.
        cert: The client's own certificate, for servers that want mutual TLS.
        max_connections: How many connections each event loop may have open at once.

    Raises:
        ConfigurationError: If an option cannot be used, or the library is not installed.
    """

    _loops: WeakKeyDictionary[Any, _Loop]

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """
        Send *request* and return its response.

        Raises:
            TransportError: If no usable answer came; `sent` says whether the request left.
            ConfigurationError: If the request or an option cannot be used, or the transport is closed.
        """
        import anyio
        import anyio.to_thread

        self._check_usable(request)
        # Importing the engine and reading certificates would hold up the loop.
        engine = self._engine
        if engine is None:
            engine = await anyio.to_thread.run_sync(self._load)
        attempt = Attempt(request, timeouts, engine.user_agent)
        loop = self._loop(engine)
        with anyio.move_on_after(attempt.patience) as waiting:
            await loop.free.acquire()
        if waiting.cancelled_caught:
            raise attempt.busy(self._options.max_connections)
        try:
            outcome = await _async_exchange(loop, attempt, engine.core, fresh=request.fresh)
        finally:
            loop.free.release()
        return _opened(outcome)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; requests in flight fail."""
        self._closed = True
        self._check_fork()
        loop = self._loops.pop(_running_loop(), None)
        if loop is not None and loop.pool is not None:
            await loop.pool.inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _forget(self) -> None:
        self._loops = WeakKeyDictionary()

    def _loop(self, engine: Engine) -> _Loop:
        token = _running_loop()
        with self._lock:
            loop = self._loops.get(token)
            if loop is None:
                for ended in [other for other in self._loops if getattr(other, "is_closed", bool)()]:
                    del self._loops[ended]
                loop = self._loops[token] = _Loop(engine, self._options.max_connections)
        return loop


async def _async_exchange(
    loop: _Loop, attempt: Attempt, core: Any, *, fresh: bool
) -> Response | TransportError:
    import anyio

    async def trace(event: str, info: dict[str, Any]) -> None:
        attempt.note(event, info)

    body, complete = None, False
    with anyio.move_on_after(attempt.left) as scope:
        try:
            async with loop.use(fresh=fresh) as pool, pool.stream(**attempt.arguments(core, trace)) as answer:
                body = attempt.receive(answer.status, answer.headers)
                async for chunk in answer.aiter_stream():
                    if body.feed(chunk):
                        # Not `break`: it would leave three nested generators to the garbage collector,
                        # which trio rightly complains about. A cancellation unwinds them from inside.
                        scope.cancel()
                complete = True
        except Exception as exc:
            return attempt.explain(exc, core)
    return attempt.conclude(body) if body and (complete or body.enough) else attempt.late()


def _opened(outcome: Response | TransportError) -> Response:
    # Raised here and not where it was found: there, the engine's error would be its context, and that
    # one may quote header values.
    if isinstance(outcome, TransportError):
        raise outcome
    return outcome


def _running_loop() -> Any:
    import anyio.lowlevel

    token: Any = anyio.lowlevel.current_token()
    return getattr(token, "native_token", token)
