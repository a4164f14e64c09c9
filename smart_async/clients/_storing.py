"""
The store, as the drivers use it.

A store is plain blocking code, so async clients call it in worker threads. Those that wait for a lease have
threads of their own: if they could take all there are, the holder would find none to save with.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from smart_async.errors import ConfigurationError, StoreError
from smart_async.flow import Delete, Load, Save
from smart_async.interfaces import Lease, TokenStore

if TYPE_CHECKING:
    from anyio.lowlevel import RunVar

__all__ = ("OpenedStore", "acquire", "async_perform", "leased", "perform")

_WORKERS = 16
_WAITERS = 128


class OpenedStore:
    """
    The store of one client: the caller's, or a `MemoryStore` that is made when it is first needed.

    Args:
        store: The caller's store, or None.

    Raises:
        ConfigurationError: If *store* is no store.
    """

    __slots__ = ("_made", "_store")

    def __init__(self, store: TokenStore | None) -> None:
        if store is not None and not isinstance(store, TokenStore):
            raise ConfigurationError(
                f"{type(store).__name__} is no token store: it lacks load, save, delete, acquire or close.",
                field="store",
                advice="Give a MemoryStore, FileStore or RedisStore from smart_async.stores.",
            )
        self._store = store
        self._made = threading.Lock()

    def get(self) -> TokenStore:
        """Return the store."""
        return self._store or self._make()

    def _make(self) -> TokenStore:
        from smart_async.stores.memory import MemoryStore

        with self._made:
            self._store = self._store or MemoryStore()  # another thread may have been quicker
            return self._store


def perform(store: TokenStore, step: Load | Save | Delete, lease: Lease | None) -> Any:
    """
    Perform *step* and return its outcome.

    Args:
        store: The store.
        step: What to do.
        lease: The lease that is held, if any.

    Raises:
        StoreError: If the store cannot do it.
    """
    try:
        match step:
            case Load():
                return store.load(step.key)
            case Save():
                held = lease if step.fenced else None
                return store.save(step.key, step.data, expected=step.expected, lease=held)
            case _:
                _ = store.delete(step.key)
                return None
    except StoreError as exc:
        failure = exc
    raise _bare(failure)


def acquire(store: TokenStore, key: str, wait: float) -> Lease:
    """
    Return the lease of *key*.

    Args:
        store: The store.
        key: The key.
        wait: Seconds to wait at most.

    Raises:
        StoreError: If somebody else still holds it, or the store cannot be reached.
    """
    try:
        return store.acquire(key, wait=wait)
    except StoreError as exc:
        failure = exc
    raise _bare(failure)


def _bare(failure: StoreError) -> StoreError:
    # The frames of a store hold what it was given in plain text, and error reporters show the variables of
    # every frame; the message says enough.
    failure.__cause__ = failure.__context__ = None
    return failure.with_traceback(None)


async def async_perform(store: TokenStore, step: Load | Save | Delete, lease: Lease | None) -> Any:
    """Perform *step* in a worker thread and return its outcome; the twin of `perform`."""
    import anyio.to_thread

    return await anyio.to_thread.run_sync(perform, store, step, lease, limiter=_limiters().work)


@asynccontextmanager
async def leased(store: TokenStore, key: str, wait: float) -> AsyncGenerator[Lease]:
    """
    Hold the lease of *key* in the block; the twin of `acquire` and `release`.

    Args:
        store: The store.
        key: The key.
        wait: Seconds to wait at most.

    Raises:
        StoreError: If somebody else still holds it, or the store cannot be reached.
    """
    import anyio
    import anyio.to_thread

    waiting = _Waiting()
    try:
        lease = await anyio.to_thread.run_sync(
            partial(waiting.acquire, store, key, wait), abandon_on_cancel=True, limiter=_limiters().wait
        )
    except BaseException:
        waiting.abandon()
        raise
    try:
        yield lease
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lease.release, limiter=_limiters().work)


class _Waiting:
    """A thread that waits for a lease, perhaps for longer than anybody waits for the thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lease: Lease | None = None
        self._abandoned = False

    def acquire(self, store: TokenStore, key: str, wait: float) -> Lease:
        """Return the lease, or give it back at once if it comes too late."""
        lease = acquire(store, key, wait)
        with self._lock:
            self._lease = lease
            if not self._abandoned:
                return lease
        lease.release()
        return lease

    def abandon(self) -> None:
        """Say that nobody waits any more."""
        with self._lock:
            self._abandoned = True
            lease = self._lease
        if lease is not None:
            lease.release()


class _Limiters:
    """How many threads of one event loop work with stores, and how many wait for leases."""

    def __init__(self) -> None:
        from anyio import CapacityLimiter

        self.work = CapacityLimiter(_WORKERS)
        self.wait = CapacityLimiter(_WAITERS)


_of_loop: RunVar[_Limiters] | None = None


def _limiters() -> _Limiters:
    from anyio.lowlevel import RunVar

    global _of_loop
    if _of_loop is None:
        _of_loop = RunVar("smart_async_store_limiters")
    try:
        return _of_loop.get()
    except LookupError:
        limiters = _Limiters()
        _of_loop.set(limiters)
        return limiters
