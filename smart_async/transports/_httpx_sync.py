"""
The blocking transport over httpx and httpx2, which differ in the name of a module only.

A slot is taken before a connection is asked for, so that nobody ever queues inside the engine's pool.
"""

from __future__ import annotations

import threading
from typing import Any, Self

from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports._attempt import Attempt
from smart_async.transports._engine import Engine
from smart_async.transports._httpx_base import BaseTransport, opened
from smart_async.transports._network import PROGRESS, DeadlineBackend
from smart_async.transports._routes import Proxy

__all__ = ("FamilyTransport",)


class _Slots:
    """The blocking pools, one for each way, and the right to use them."""

    def __init__(self, engine: Engine, size: int) -> None:
        self.free = threading.BoundedSemaphore(size)
        self.backend = DeadlineBackend(engine.core)
        self._engine = engine
        self._lock = threading.Lock()
        self._pools: dict[Proxy | None, Any] = {}

    def pool(self, proxy: Proxy | None) -> Any:
        """Return the pool that is kept for a way."""
        with self._lock:
            pool = self._pools.get(proxy)
            if pool is None:
                pool = self._pools[proxy] = self.new_pool(proxy)
            return pool

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def new_pool(self, proxy: Proxy | None) -> Any:
        """Return a pool of its own, for one request."""
        return self._engine.pool("ConnectionPool", proxy, network_backend=self.backend)


class FamilyTransport(BaseTransport):
    """
    Sends requests for `SmartClient`, over connections that are kept and shared between threads.

    Nothing is opened or loaded before the first request. No redirect is followed, no cookie kept, and
    neither proxies nor certificates are taken from the environment unless `trust_env` says so.

    The deadline of a request holds for everything but the operating system's name lookup, which cannot
    be interrupted.

    Args:
        proxy: URL of an HTTP proxy such as `http://user:password@proxy.example.com:8080`, user name and
            password percent-encoded. The proxy itself may be an https:// one.
        no_proxy: The hosts that are reached without the proxy: names, which cover all below them,
            addresses, networks such as `10.0.0.0/8`, or `*`; a list, or one string with commas.
        ca_file: Path of a PEM file with the certificates to trust, instead of the public ones.
        cert: The client's own certificate, for servers that want mutual TLS.
        max_connections: How many connections may be open at once.
        keepalive_expiry: Seconds that an idle connection is kept for the next request.
        trust_env: Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and
            `SSL_CERT_DIR` count, each where the option that means the same is not given.

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
        attempt = Attempt(request, timeouts, engine.user_agent, engine.routes)
        if not slots.free.acquire(timeout=attempt.patience):
            raise attempt.busy(self._options.max_connections)
        current = PROGRESS.set(attempt.progress)
        try:
            if request.fresh:
                with slots.new_pool(attempt.proxy) as pool:
                    outcome = _exchange(pool, attempt, engine.core)
            else:
                outcome = _exchange(slots.pool(attempt.proxy), attempt, engine.core)
        finally:
            PROGRESS.reset(current)
            slots.free.release()
        return opened(outcome)

    def close(self) -> None:
        """Close the connections; requests in flight fail."""
        self._closed = True
        self._check_fork()
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.close()

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
        with pool.stream(**attempt.arguments(core)) as answer:
            body = attempt.receive(answer.status, answer.headers)
            for chunk in answer.iter_stream():
                if body.feed(chunk):
                    break
    except Exception as exc:
        return attempt.explain(exc, core)
    return attempt.conclude(body)
