"""
The async transport over httpx and httpx2, which differ in the name of a module only.

A slot is taken before a connection is asked for, so that nobody ever queues inside the engine's pool:
httpcore 1.0 loses a connection for ever when a request is cancelled at the wrong moment. For the same
reason a pool in which a request was cancelled takes no new ones and is closed after its last.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Self
from weakref import WeakKeyDictionary

from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports._attempt import Attempt
from smart_async.transports._engine import Engine
from smart_async.transports._httpx_base import BaseTransport, opened
from smart_async.transports._network import PROGRESS, CarefulBackend
from smart_async.transports._routes import Proxy

__all__ = ("AsyncFamilyTransport",)


class _Pool:
    """An async pool with a count of its users; once retired, the last of them closes it."""

    def __init__(self, engine: Engine, proxy: Proxy | None, *, retired: bool) -> None:
        self._backend = CarefulBackend(engine.core)
        self.inner = engine.pool("AsyncConnectionPool", proxy, network_backend=self._backend)
        self.retired = retired
        self.users = 0

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            await self._backend.aclose()


class _Loop:
    """The async pools of one event loop, one for each way, and the right to use them."""

    def __init__(self, engine: Engine, size: int) -> None:
        import anyio

        self.free = anyio.CapacityLimiter(size)
        self.pools: dict[Proxy | None, _Pool] = {}
        self._engine = engine

    @asynccontextmanager
    async def use(self, proxy: Proxy | None, *, fresh: bool) -> AsyncGenerator[Any]:
        import anyio

        pool = self._choose(proxy, fresh=fresh)
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
                    await pool.aclose()

    def _choose(self, proxy: Proxy | None, *, fresh: bool) -> _Pool:
        if fresh:
            return _Pool(self._engine, proxy, retired=True)
        pool = self.pools.get(proxy)
        if pool is None or pool.retired:
            pool = self.pools[proxy] = _Pool(self._engine, proxy, retired=False)
        return pool

    async def aclose(self) -> None:
        for pool in self.pools.values():
            await pool.aclose()


class AsyncFamilyTransport(BaseTransport):
    """
    Sends requests for `AsyncSmartClient`, on asyncio and trio; the twin of `FamilyTransport`.

    Each event loop gets its own connections, so one transport may serve several loops, one after the
    other or in different threads.

    Args:
        proxy: URL of an HTTP proxy such as `http://user:password@proxy.example.com:8080`, user name and
            password percent-encoded. The proxy itself may be an https:// one.
        no_proxy: The hosts that are reached without the proxy: names, which cover all below them,
            addresses, networks such as `10.0.0.0/8`, or `*`; a list, or one string with commas.
        ca_file: Path of a PEM file with the certificates to trust, instead of the public ones.
        cert: The client's own certificate, for servers that want mutual TLS.
        max_connections: How many connections each event loop may have open at once.
        keepalive_expiry: Seconds that an idle connection is kept for the next request.
        trust_env: Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and
            `SSL_CERT_DIR` count, each where the option that means the same is not given.

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
        attempt = Attempt(request, timeouts, engine.user_agent, engine.routes)
        loop = self._loop(engine)
        with anyio.move_on_after(attempt.patience) as waiting:
            await loop.free.acquire()
        if waiting.cancelled_caught:
            raise attempt.busy(self._options.max_connections)
        current = PROGRESS.set(attempt.progress)
        try:
            outcome = await _async_exchange(loop, attempt, engine.core, fresh=request.fresh)
        finally:
            PROGRESS.reset(current)
            loop.free.release()
        return opened(outcome)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; requests in flight fail."""
        self._closed = True
        self._check_fork()
        loop = self._loops.pop(_running_loop(), None)
        if loop is not None:
            await loop.aclose()

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

    body, complete = None, False
    with anyio.move_on_after(attempt.left) as scope:
        try:
            async with (
                loop.use(attempt.proxy, fresh=fresh) as pool,
                pool.stream(**attempt.arguments(core)) as answer,
            ):
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


def _running_loop() -> Any:
    import anyio.lowlevel

    token: Any = anyio.lowlevel.current_token()
    return getattr(token, "native_token", token)
