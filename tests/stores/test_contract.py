"""What every token store keeps: one class of tests for all of them."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio.to_thread
import pytest

from smart_async.errors import SmartError, StoreError
from smart_async.interfaces import Lease, Stored, TokenStore
from smart_async.limits import STORE_KEY_BYTES, STORED_BYTES

KEY = "https://ehr.example.com/r4 growth-chart erin"
ANY_BYTES = bytes(range(256)) + b"\r\n\0"
PATIENCE = 30.0
"""Seconds to wait for a lease that is sure to become free."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    """Return each event loop in turn."""
    return request.param


class TestStore:
    def test_it_is_a_token_store(self, store):
        """The store has every method of the interface, and its leases those of theirs."""
        assert isinstance(store, TokenStore)
        lease = store.acquire(KEY, wait=0)
        assert isinstance(lease, Lease)
        lease.release()

    def test_nothing_is_stored_at_first(self, store):
        """An unknown key holds None, and there is nothing to delete."""
        assert store.load(KEY) is None
        assert store.delete(KEY) is False
        assert store.delete(KEY, expected="some version") is False

    @pytest.mark.parametrize(
        "data", [b"", b"token", ANY_BYTES, b"\n" * 9], ids=["empty", "text", "any", "lines"]
    )
    def test_what_is_saved_is_loaded(self, store, open_store, data):
        """Bytes come back as they were saved, under the version that `save` named, to other workers too."""
        version = store.save(KEY, data, expected=None)
        assert store.load(KEY) == open_store().load(KEY) == Stored(data, version)

    def test_keys_do_not_mix(self, store):
        """Keys that resemble each other hold different things."""
        keys = [
            KEY,
            f"{KEY} ",
            KEY.upper(),
            "a/../b",
            "b",
            "é",
            "e\u0301",
            ".",
            "\0",
            "*",
            "x" * STORE_KEY_BYTES,
        ]
        versions = {key: store.save(key, key.encode(), expected=None) for key in keys}
        assert len(set(versions.values())) == len(keys)
        assert {key: store.load(key) for key in keys} == {
            key: Stored(key.encode(), version) for key, version in versions.items()
        }
        assert store.delete("b")
        assert store.load("b") is None
        assert store.load("a/../b") is not None

    @pytest.mark.parametrize(
        "key", ["", "x" * (STORE_KEY_BYTES + 1), "\ud800"], ids=["empty", "long", "surrogate"]
    )
    def test_an_unusable_key_is_refused(self, store, key):
        """A key that is empty, too long or no text is an error of ours, whatever is asked."""
        for call in (
            partial(store.load, key),
            partial(store.save, key, b"", expected=None),
            partial(store.delete, key),
            partial(store.acquire, key, wait=0),
        ):
            with pytest.raises(StoreError, match="key has to be"):
                call()

    def test_the_largest_data(self, store):
        """A store takes 1 MiB, and not one byte more; the old content then stays."""
        data = b"\xff" * STORED_BYTES
        version = store.save(KEY, data, expected=None)
        with pytest.raises(StoreError, match="at most 1048576 bytes"):
            store.save(KEY, data + b"\xff", expected=version)
        assert store.load(KEY) == Stored(data, version)

    def test_a_repr_shows_no_token(self, store):
        """Neither the store nor what it gives back shows bytes in its repr."""
        store.save(KEY, b"canary", expected=None)
        assert "canary" not in repr(store) + repr(store.load(KEY)) + repr(store.acquire(KEY, wait=0))


class TestVersions:
    def test_each_save_needs_the_version_before(self, store):
        """A save made from the present version takes its place; an older one changes nothing."""
        first = store.save(KEY, b"1", expected=None)
        second = store.save(KEY, b"2", expected=first)
        assert store.save(KEY, b"3", expected=first) is None
        assert store.save(KEY, b"3", expected=None) is None
        assert store.save(KEY, b"3", expected="no version") is None
        assert store.save(KEY, b"3", expected="") is None
        assert store.load(KEY) == Stored(b"2", second)

    def test_nothing_stored_is_not_any_version(self, store):
        """Where nothing is stored, only a save that expects nothing succeeds."""
        for version in ("no version", ""):
            assert store.save(KEY, b"1", expected=version) is None
        assert store.load(KEY) is None

    def test_the_same_bytes_are_another_version(self, store):
        """A version names a state, not its content: saved again, deleted and saved again, it is a new one."""
        versions = [store.save(KEY, b"1", expected=None)]
        versions.append(store.save(KEY, b"1", expected=versions[-1]))
        assert store.delete(KEY) is True
        versions.append(store.save(KEY, b"1", expected=None))
        assert len({*versions, None}) == 4
        assert store.save(KEY, b"2", expected=versions[0]) is None

    def test_deleting_by_version(self, store):
        """With a version, only that state is deleted; without one, whatever is there."""
        first = store.save(KEY, b"1", expected=None)
        second = store.save(KEY, b"2", expected=first)
        assert store.delete(KEY, expected=first) is False
        assert store.delete(KEY, expected="") is False
        assert store.load(KEY) == Stored(b"2", second)
        assert store.delete(KEY, expected=second) is True
        assert store.load(KEY) is None
        assert store.delete(KEY) is False

    def test_one_of_many_threads_wins(self, open_store):
        """Of threads that save from the same version at once, one succeeds in each round."""
        rounds, threads = 8, 4
        stores = [open_store() for _ in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            version = None
            for _ in range(rounds):
                start = threading.Barrier(threads)

                def race(store, start=start, version=version):
                    start.wait(PATIENCE)
                    return store.save(KEY, b"x", expected=version)

                (version,) = [won for won in pool.map(race, stores) if won is not None]
                assert stores[0].load(KEY) == Stored(b"x", version)


class TestLeases:
    def test_one_holder_at_a_time(self, store, open_store):
        """While a lease is held nobody gets another, not even the same thread; afterwards one does."""
        lease = store.acquire(KEY, wait=0)
        for other in (store, open_store()):
            with pytest.raises(StoreError, match="Somebody else has held the lease"):
                other.acquire(KEY, wait=0)
        lease.release()
        open_store().acquire(KEY, wait=0).release()

    def test_waiting_ends(self, store):
        """Waiting for a lease takes the time that was asked for, not less and not without end."""
        lease = store.acquire(KEY, wait=0)
        begun = time.monotonic()
        with pytest.raises(StoreError, match=r"0\.15 seconds"):
            store.acquire(KEY, wait=0.15)
        assert 0.15 <= time.monotonic() - begun < PATIENCE
        lease.release()

    def test_who_waits_is_next(self, store, open_store):
        """A lease that is released while another thread waits goes to that thread."""
        lease, other = store.acquire(KEY, wait=0), open_store()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(other.acquire, KEY, wait=PATIENCE)
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
            lease.release()
            got = waiting.result(PATIENCE)
        assert got.fence > lease.fence
        got.release()

    def test_keys_have_leases_of_their_own(self, store):
        """The lease of one key is in nobody's way at another."""
        held = [store.acquire(key, wait=0) for key in (KEY, f"{KEY} ", "other")]
        for lease in held:
            lease.release()

    def test_a_lease_is_released_once(self, store):
        """Releasing again is no error, and takes nothing from the next holder."""
        lease = store.acquire(KEY, wait=0)
        lease.release()
        lease.release()
        following = store.acquire(KEY, wait=0)
        lease.release()
        with pytest.raises(StoreError):
            store.acquire(KEY, wait=0)
        following.release()

    def test_fences_grow(self, store, open_store):
        """Each lease of a key has a higher number than the one before, also after the key was deleted."""
        fences = []
        for each in (store, open_store(), store, open_store()):
            lease = each.acquire(KEY, wait=0)
            version = each.save(KEY, b"x", expected=None, lease=lease)
            fences.append(lease.fence)
            lease.release()
            assert each.delete(KEY, expected=version)
        assert all(type(fence) is int for fence in fences)
        assert fences == sorted(set(fences))

    def test_saving_under_the_lease(self, store):
        """Who holds the lease saves under it as often as it takes, and versions count as ever."""
        lease = store.acquire(KEY, wait=0)
        first = store.save(KEY, b"1", expected=None, lease=lease)
        second = store.save(KEY, b"2", expected=first, lease=lease)
        assert store.save(KEY, b"3", expected=first, lease=lease) is None
        assert store.load(KEY) == Stored(b"2", second)
        lease.release()

    def test_a_stale_lease_saves_nothing(self, store):
        """A lease that was released, or followed by another, saves nothing though the version is right."""
        stale = store.acquire(KEY, wait=0)
        version = store.save(KEY, b"1", expected=None, lease=stale)
        stale.release()
        assert store.save(KEY, b"2", expected=version, lease=stale) is None
        following = store.acquire(KEY, wait=0)
        assert store.save(KEY, b"2", expected=version, lease=stale) is None
        assert store.load(KEY) == Stored(b"1", version)
        assert store.save(KEY, b"2", expected=version, lease=following) is not None
        following.release()

    def test_saving_without_the_lease(self, store):
        """Who holds no lease is bound by the version alone, and does not wait for the holder."""
        lease = store.acquire(KEY, wait=0)
        version = store.save(KEY, b"1", expected=None)
        assert store.save(KEY, b"2", expected=None, lease=lease) is None
        assert store.save(KEY, b"2", expected=version, lease=lease) is not None
        lease.release()

    def test_deleting_leaves_the_lease(self, store):
        """A key that is deleted while somebody holds its lease has the same holder afterwards."""
        lease = store.acquire(KEY, wait=0)
        store.save(KEY, b"1", expected=None, lease=lease)
        assert store.delete(KEY)
        with pytest.raises(StoreError):
            store.acquire(KEY, wait=0)
        assert store.save(KEY, b"2", expected=None, lease=lease) is not None
        lease.release()

    def test_another_keys_lease_is_refused(self, store):
        """A lease of another key, or of somebody else's making, is a mistake, and nothing is saved."""

        class Foreign:
            fence = 2**60

            def release(self):
                pass

        other = store.acquire("other", wait=0)
        for lease in (other, Foreign()):
            with pytest.raises(StoreError, match="lease was not given by"):
                store.save(KEY, b"1", expected=None, lease=lease)
        assert store.load(KEY) is None
        other.release()

    def test_threads_take_turns(self, open_store):
        """Threads that read, add and save under the lease lose nothing, and no fence is given twice."""
        threads, turns = 4, 8
        fences = []

        def work(store):
            for _ in range(turns):
                lease = store.acquire(KEY, wait=PATIENCE)
                fences.append(lease.fence)
                stored = store.load(KEY)
                count = int(stored.data) + 1 if stored else 1
                version = stored.version if stored else None
                assert store.save(KEY, b"%d" % count, expected=version, lease=lease)
                lease.release()

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, [open_store() for _ in range(threads)]))
        assert open_store().load(KEY).data == b"%d" % (threads * turns)
        assert all(earlier < later for earlier, later in itertools.pairwise(fences))


@pytest.mark.anyio
class TestEventLoops:
    async def test_from_worker_threads(self, store):
        """Every method works when an event loop calls it in worker threads."""
        run = anyio.to_thread.run_sync
        lease = await run(partial(store.acquire, KEY, wait=0))
        version = await run(partial(store.save, KEY, b"1", expected=None, lease=lease))
        assert await run(store.load, KEY) == Stored(b"1", version)
        with pytest.raises(SmartError):
            await run(partial(store.acquire, KEY, wait=0))
        await run(lease.release)
        assert await run(partial(store.delete, KEY, expected=version))
        await run(store.close)
