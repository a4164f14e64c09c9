"""What the store in memory does beyond the contract: it forgets, and knows what a fork is."""

from __future__ import annotations

import gc
import threading

import pytest

from smart_async.errors import ConfigurationError, StoreError
from smart_async.stores import MemoryStore, _common
from smart_async.stores.memory import _Turn


@pytest.mark.parametrize("entries", [0, -1, 1.5, True, "3"])
def test_a_store_without_room_is_refused(entries):
    """A store keeps one entry or more."""
    with pytest.raises(ConfigurationError) as caught:
        MemoryStore(max_entries=entries)
    assert caught.value.field == "max_entries"


def test_the_longest_unused_goes_first():
    """At one entry too many, the key goes that was loaded or saved longest ago."""
    store = MemoryStore(max_entries=2)
    version = store.save("a", b"1", expected=None)
    store.save("b", b"1", expected=None)
    store.load("a")
    store.save("c", b"1", expected=None)
    assert [store.load(key) is None for key in "abc"] == [False, True, False]
    store.save("a", b"2", expected=version)
    store.save("d", b"1", expected=None)
    assert [store.load(key) is None for key in "acd"] == [False, True, False]


def test_a_store_with_room_for_one():
    """The least store keeps the latest of all keys."""
    store = MemoryStore(max_entries=1)
    store.save("a", b"1", expected=None)
    store.save("b", b"1", expected=None)
    assert [store.load(key) is None for key in "ab"] == [True, False]


class Taken:
    """A lock that somebody else has, and that notes how long others wait for it."""

    def __init__(self):
        self.waits = []

    def acquire(self, timeout):
        self.waits.append(timeout)
        return False


@pytest.mark.parametrize(
    ("wait", "waited"), [(0, 0), (-3.5, 0), (0.25, 0.25), (5, 5), (1e30, threading.TIMEOUT_MAX)]
)
def test_one_waits_as_long_as_was_asked_for(wait, waited):
    """A turn is awaited for *wait* seconds, and not at all below zero."""
    store, lock = MemoryStore(), Taken()
    store._turns["key"] = turn = _Turn()
    turn.lock = lock
    with pytest.raises(StoreError, match="Somebody else has held the lease"):
        store.acquire("key", wait=wait)
    assert lock.waits == [waited]


def test_leases_leave_nothing_behind():
    """A key costs memory only while somebody holds or awaits its lease."""
    store = MemoryStore()
    for number in range(100):
        store.acquire(str(number), wait=0).release()
    lease = store.acquire("held", wait=0)
    with pytest.raises(StoreError):
        store.acquire("held", wait=0)
    assert list(store._turns) == ["held"]
    lease.release()
    gc.collect()  # the error of the one who got none refers to its turn
    assert list(store._turns) == []


def test_a_lease_that_is_dropped_is_released():
    """A lease that nobody refers to any more is in nobody's way."""
    store = MemoryStore()
    lease = store.acquire("key", wait=0)
    del lease
    gc.collect()
    assert list(store._turns) == []
    store.acquire("key", wait=0).release()


def test_a_child_process_holds_nothing():
    """After a fork the leases are the parent's; the child acquires its own, and saves only under that."""
    store = MemoryStore()
    inherited = store.acquire("key", wait=0)
    _common._after_fork_in_child()  # as the interpreter calls it in the child
    assert store.save("key", b"1", expected=None, lease=inherited) is None
    own = store.acquire("key", wait=0)
    inherited.release()
    with pytest.raises(StoreError):
        store.acquire("key", wait=0)
    assert store.save("key", b"1", expected=None, lease=own) is not None


def test_another_stores_lease_is_refused():
    """Two stores in memory have nothing in common."""
    lease = MemoryStore().acquire("key", wait=0)
    with pytest.raises(StoreError, match="lease was not given by"):
        MemoryStore().save("key", b"1", expected=None, lease=lease)
