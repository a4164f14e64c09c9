"""The store as the drivers use it: who waits where, and what becomes of a lease that comes too late."""

from __future__ import annotations

import threading
import traceback

import anyio
import anyio.lowlevel
import pytest

from smart_async import StoreError
from smart_async.clients._drivers import AsyncPerformer, Performer, SystemClock, drive, drive_async
from smart_async.clients._storing import OpenedStore, _Waiting, leased, perform
from smart_async.flow import Delete, Load, Save, delete, exclusive, load, save
from smart_async.limits import Timeouts
from smart_async.stores import MemoryStore
from smart_async.transports import ScriptedTransport


def roundtrip():
    """Save, load and delete under the lease of a key, as a session does."""
    first = yield from save("k", b"one", expected=None)
    refused = yield from save("k", b"two", expected="another")
    stored = yield from load("k")
    yield from delete("k")
    return first, refused, stored, (yield from load("k"))


def whole():
    return (yield from exclusive("k", roundtrip(), leased=True))


def check(outcome):
    version, refused, stored, gone = outcome
    assert (stored.data, stored.version, refused, gone) == (b"one", version, None, None)


def test_plain():
    """All steps of a store, under a lease that is given back."""
    opened = OpenedStore(None)
    check(drive(whole(), Performer(ScriptedTransport(), Timeouts(), SystemClock(), opened)))
    opened.get().acquire("k", wait=0).release()


@pytest.mark.anyio
async def test_awaited(anyio_backend):
    """The same, in worker threads."""
    opened = OpenedStore(None)
    check(await drive_async(whole(), AsyncPerformer(ScriptedTransport(), Timeouts(), SystemClock(), opened)))
    opened.get().acquire("k", wait=0).release()


def test_made_once():
    """However many threads ask first, they get one store."""
    opened, ready, found = OpenedStore(None), threading.Barrier(8), []

    def ask():
        ready.wait()
        found.append(opened.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(store) for store in found}) == 1


@pytest.mark.parametrize(
    "step", [Load("k"), Save("k", b"canary", None), Delete("k")], ids=["load", "save", "delete"]
)
def test_no_frames_of_the_store(step):
    """What a store raises arrives without its frames, whose variables hold tokens in plain text."""

    class Broken(MemoryStore):
        def load(self, key):
            self._fail(b"canary")

        def save(self, key, data, **named):
            self._fail(data)

        def delete(self, key, **named):
            self._fail(b"canary")

        def _fail(self, canary):
            try:
                raise OSError("disk")
            except OSError as exc:
                raise StoreError("The disk is full.") from exc

    with pytest.raises(StoreError, match="disk is full") as failed:
        perform(Broken(), step, None)
    shown = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=True).format())
    assert "perform" in shown
    assert "canary" not in shown


def test_a_stale_lease_unless_told_otherwise():
    """A fenced save needs the lease that is held to be the latest; another one does not."""
    store = MemoryStore()
    lease = store.acquire("k", wait=0)
    lease.release()
    assert perform(store, Save("k", b"one", None), lease) is None
    assert perform(store, Save("k", b"one", None, fenced=False), lease) is not None


@pytest.mark.anyio
async def test_nobody_waits_for_the_lease_any_more(anyio_backend):
    """A lease that arrives after its waiter was cancelled is given back at once."""
    store = MemoryStore()
    holder = store.acquire("k", wait=0)
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            async with leased(store, "k", 20):
                pytest.fail("cancelled, and yet it went on")

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    holder.release()
    store.acquire("k", wait=20).release()


@pytest.mark.anyio
async def test_a_lease_that_cannot_be_had(anyio_backend):
    """Who waits in vain is told, and holds nothing."""
    store = MemoryStore()
    with store_lease(store), pytest.raises(StoreError, match="held the lease"):
        async with leased(store, "k", 0.01):
            pytest.fail("two holders")
    store.acquire("k", wait=0).release()


class store_lease:  # noqa: N801 - used like a function
    def __init__(self, store):
        self.lease = store.acquire("k", wait=0)

    def __enter__(self):
        return self.lease

    def __exit__(self, *error):
        self.lease.release()


def test_given_back_by_whoever_is_later():
    """Whether the thread or the one who gives up comes first, the lease is given back."""
    store = MemoryStore()
    waiting = _Waiting()
    waiting.abandon()
    waiting.acquire(store, "k", 0)
    store.acquire("k", wait=0).release()
    waiting = _Waiting()
    waiting.acquire(store, "k", 0)
    waiting.abandon()
    store.acquire("k", wait=0).release()


@pytest.mark.anyio
async def test_waiting_takes_no_thread_from_the_holder(anyio_backend):
    """However many wait for leases, the one that holds its lease finds a thread to save with."""
    store, saved = MemoryStore(), []
    performer = AsyncPerformer(ScriptedTransport(), Timeouts(), SystemClock(), OpenedStore(store))

    def turn():
        stored = yield from load("k")
        version = yield from save("k", b"x", expected=stored and stored.version)
        saved.append(version)

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(drive_async, exclusive("k", turn(), leased=True), performer)
    assert len(set(saved)) == 60
