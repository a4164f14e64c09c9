"""A store that lives and dies with the process."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import OrderedDict
from weakref import WeakValueDictionary

from smart_async.errors import ConfigurationError, StoreError
from smart_async.interfaces import Lease, Stored
from smart_async.limits import MEMORY_STORE_ENTRIES
from smart_async.stores._common import busy, check_data, digest_of, new_version, watch_forks

__all__ = ("MemoryStore",)


class _Turn:
    """Whose turn it is to change one key; it lives while somebody holds or awaits it."""

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()


class _MemoryLease:
    """A key's turn, until it is released or nobody refers to it any more."""

    __slots__ = ("_held", "_store", "fence", "key")

    def __init__(self, store: MemoryStore, key: str, turn: _Turn, fence: int) -> None:
        self._store = store
        self._held = [turn]
        self.key = key
        self.fence = fence

    def covers(self, store: MemoryStore, key: str) -> bool:
        """Return whether this lease was given by *store* for *key*."""
        return self._store is store and self.key == key

    def is_current(self, turns: WeakValueDictionary[str, _Turn]) -> bool:
        """Return whether nobody else has had the turn since; not so after release or in a forked child."""
        held = self._held[:]
        return bool(held) and turns.get(self.key) is held[0]

    def release(self) -> None:
        """Give the turn to the next in line."""
        with contextlib.suppress(IndexError):
            self._held.pop().lock.release()  # one thread gets it, however many release at once

    def __del__(self) -> None:
        """Release what was dropped."""
        self.release()


class MemoryStore:
    """
    Keeps tokens in this process: for one worker, for tests, and for tokens that are cheap to fetch again.

    Nothing survives the process, and other processes see nothing of it: a rotating refresh token that
    several workers share belongs into a `FileStore` or a `RedisStore`. After a fork the child has a copy of
    what was stored, and none of the leases.

    Args:
        max_entries: How many keys are kept; one more, and the key that was loaded or saved longest ago is
            forgotten, as if its user had never signed in.

    Raises:
        ConfigurationError: If *max_entries* is not a positive number.

    >>> store = MemoryStore()
    >>> version = store.save("erin", b"token", expected=None)
    >>> store.load("erin").data
    b'token'
    >>> store.save("erin", b"other", expected="not what is there") is None
    True
    """

    def __init__(self, *, max_entries: int = MEMORY_STORE_ENTRIES) -> None:
        if type(max_entries) is not int or max_entries < 1:
            raise ConfigurationError("A store keeps one entry or more.", field="max_entries")
        self._max_entries = max_entries
        self._entries: OrderedDict[str, Stored] = OrderedDict()
        self._fences = itertools.count(1)
        self.after_fork()
        watch_forks(self)

    def after_fork(self) -> None:
        """Begin with fresh locks: a thread that held one is not in this process."""
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()

    def load(self, key: str) -> Stored | None:
        """Return what is stored under *key*, or None."""
        digest_of(key)
        with self._lock:
            stored = self._entries.get(key)
            if stored is not None:
                self._entries.move_to_end(key)
            return stored

    def save(self, key: str, data: bytes, *, expected: str | None, lease: Lease | None = None) -> str | None:
        """Store *data* under *key* if nobody has changed it meanwhile; see `TokenStore.save`."""
        digest_of(key)
        stored = Stored(check_data(data), new_version())
        with self._lock:
            if lease is not None and not self._held(lease, key).is_current(self._turns):
                return None
            if self._version(key) != expected:
                return None
            self._entries[key] = stored
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
        return stored.version

    def delete(self, key: str, *, expected: str | None = None) -> bool:
        """Forget *key*; see `TokenStore.delete`."""
        digest_of(key)
        with self._lock:
            if expected is not None and self._version(key) != expected:
                return False
            return self._entries.pop(key, None) is not None

    def acquire(self, key: str, *, wait: float) -> Lease:
        """Return the lease of *key* as soon as no other thread holds it; see `TokenStore.acquire`."""
        digest_of(key)
        with self._lock:
            turn = self._turns.setdefault(key, _Turn())
        if not turn.lock.acquire(timeout=min(max(wait, 0), threading.TIMEOUT_MAX)):
            raise busy(wait)
        return _MemoryLease(self, key, turn, next(self._fences))

    def close(self) -> None:
        """Do nothing: what is stored stays until the store is dropped."""

    def _version(self, key: str) -> str | None:
        stored = self._entries.get(key)
        return None if stored is None else stored.version

    def _held(self, lease: Lease, key: str) -> _MemoryLease:
        if not isinstance(lease, _MemoryLease) or not lease.covers(self, key):
            raise StoreError(
                "This lease was not given by this store for this key.",
                advice="Acquire the lease from the store and for the key that you save to.",
            )
        return lease
