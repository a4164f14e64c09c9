"""The store in Redis against a real server: killed holders, restarts under load, lost answers, passwords."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import redis
import trustme
from redis_server import RedisServer

from smart_async.errors import StoreError
from smart_async.interfaces import Stored
from smart_async.stores import RedisStore, _lua

pytestmark = pytest.mark.peers

KEY = "erin"
PATIENCE = 60.0
"""Seconds to wait for what is sure to happen."""

HOLDER = """
import sys, time
from smart_async.stores import RedisStore

url, prefix, seconds = sys.argv[1:]
lease = RedisStore(url, prefix=prefix, lease_seconds=float(seconds)).acquire("erin", wait=5)
print(lease.fence, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Run a Redis server for this module, which may stop and start it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def prefix():
    """Return a prefix that no other test uses."""
    return f"test-{secrets.token_hex(8)}:"


@pytest.fixture
def behind(server):
    """Return a client that looks behind the store."""
    with server.client() as client:
        yield client


def names(client, prefix, kind="*"):
    """Return the names in Redis under *prefix*."""
    return sorted(name.decode() for name in client.scan_iter(f"{prefix}*:{kind}"))


class TestLease:
    def test_a_dead_holder_is_waited_for_until_its_lease_runs_out(self, server, prefix):
        """Only time frees the lease of a killed process, and then the next in line has it at once."""
        seconds = 1.0
        arguments = [server.url(), prefix, str(seconds)]
        store = RedisStore(server.url(), prefix=prefix, lease_seconds=seconds)
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER, *arguments], stdout=subprocess.PIPE, text=True
        ) as holder:
            fence = int(holder.stdout.readline())
            holder.send_signal(signal.SIGKILL)
            begun = time.monotonic()
            with pytest.raises(StoreError):
                store.acquire(KEY, wait=0)
            lease = store.acquire(KEY, wait=PATIENCE)
        assert time.monotonic() - begun < seconds + 1
        assert lease.fence > fence
        store.close()

    def test_a_slow_holder_saves_nothing(self, server, prefix):
        """Who was stopped for longer than the lease lasts finds that another has it, and changes nothing."""
        store = RedisStore(server.url(), prefix=prefix, lease_seconds=0.02)
        slow = store.acquire(KEY, wait=0)
        version = store.save(KEY, b"1", expected=None, lease=slow)
        quick = store.acquire(KEY, wait=PATIENCE)
        assert quick.fence > slow.fence
        assert store.save(KEY, b"2", expected=version, lease=slow) is None
        version = store.save(KEY, b"3", expected=version, lease=quick)
        assert version is not None
        assert store.save(KEY, b"4", expected=version, lease=slow) is None
        assert store.load(KEY) == Stored(b"3", version)
        slow.release()  # takes nothing from the other
        store.close()

    def test_a_lease_that_ran_out_unnoticed(self, server, prefix, behind):
        """As long as nobody else has had the lease since, the late holder's token is not lost."""
        store = RedisStore(server.url(), prefix=prefix)
        lease = store.acquire(KEY, wait=0)
        assert behind.delete(*names(behind, prefix, "lease")) == 1
        assert store.save(KEY, b"1", expected=None, lease=lease) is not None
        store.close()

    def test_times_to_live(self, server, prefix, behind):
        """A lease lives as long as told, its fence for a day, a token for ever or as long as told."""
        store = RedisStore(server.url(), prefix=prefix)
        lease = store.acquire(KEY, wait=0)
        version = store.save(KEY, b"1", expected=None, lease=lease)
        ((held,), (fence,), (token,)) = (names(behind, prefix, kind) for kind in ("lease", "fence", "token"))
        assert 30_000 < behind.pttl(held) <= 35_000
        assert 86_000_000 < behind.pttl(fence) <= 86_400_000
        assert behind.pttl(token) == -1
        brief = RedisStore(server.url(), prefix=prefix, ttl=100)
        version = brief.save(KEY, b"2", expected=version)
        assert 90_000 < behind.pttl(token) <= 100_000
        assert store.save(KEY, b"3", expected=version) is not None
        assert behind.pttl(token) == -1
        store.close()
        brief.close()

    def test_a_forgotten_fence(self, server, prefix, behind):
        """A fence that Redis forgot does not start anew, and its holder saves nothing any more."""
        store = RedisStore(server.url(), prefix=prefix)
        first = store.acquire(KEY, wait=0)
        behind.delete(*names(behind, prefix))
        assert store.save(KEY, b"1", expected=None, lease=first) is None
        second = store.acquire(KEY, wait=0)
        assert second.fence > first.fence
        store.close()

    def test_a_clock_that_goes_back(self, server, prefix, behind):
        """Fences grow though the server's clock does not, as after a fail-over."""
        store = RedisStore(server.url(), prefix=prefix)
        store.acquire(KEY, wait=0).release()
        (fence,) = names(behind, prefix, "fence")
        ahead = int(behind.get(fence)) + 3600 * 1_000_000
        behind.set(fence, ahead)
        lease = store.acquire(KEY, wait=0)
        assert lease.fence == ahead + 1
        assert store.save(KEY, b"1", expected=None, lease=lease) is not None
        store.close()


class TestLostAnswers:
    """A script that ran, but whose answer did not arrive, is sent again by redis-py."""

    def test_each_script_may_run_twice(self, server, prefix, behind):
        """Sent twice, acquiring, saving and releasing do what they do once."""
        keys = [f"{prefix}{{x}}:{kind}" for kind in ("token", "lease", "fence")]
        token, lease, fence = keys
        acquire = partial(behind.eval, _lua.ACQUIRE, 2, lease, fence, "owner", 30_000, 60_000)
        number = acquire()
        assert acquire() == number == behind.get(fence)
        save = partial(behind.eval, _lua.SAVE, 2, token, fence, "", "v1", b"data", number, "", "digest")
        assert [save(), save()] == [1, 1]
        release = partial(behind.eval, _lua.RELEASE, 1, lease, "owner")
        assert [release(), release()] == [1, 0]
        assert behind.hget(token, "version") == b"v1"

    def test_an_answer_that_gets_lost(self, server, prefix):
        """A save whose first answer is cut off succeeds, under one version."""
        with Cutting(server.port) as cutting:
            store = RedisStore(server.url().replace(str(server.port), str(cutting.port)), prefix=prefix)
            version = store.save(KEY, b"1", expected=None)
            cutting.cut_next.set()
            following = store.save(KEY, b"2", expected=version)
            assert not cutting.cut_next.is_set()
            assert store.load(KEY) == Stored(b"2", following)
            store.close()


class Cutting:
    """
    A relay to the server that, when told so, hands on the next request and drops its answer.

    With a TLS context it speaks TLS on its near side.
    """

    def __init__(self, target, context=None):
        self._target = target
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut_next = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        # Closing alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._context is not None:
                    try:
                        near = self._context.wrap_socket(near, server_side=True)
                    except OSError:
                        near.close()
                        continue
                thread = threading.Thread(target=self._relay, args=[near], daemon=True)
                self._threads.append(thread)
                thread.start()

    def _relay(self, near):
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            while request := near.recv(65536):
                far.sendall(request)
                answer = far.recv(65536)
                if self.cut_next.is_set():
                    self.cut_next.clear()
                    return
                near.sendall(answer)


class TestServer:
    def test_a_restart_under_load(self, server, prefix):
        """
        Killed and started again under load, the server has every save that it acknowledged.

        While it is away each call is a `StoreError`; afterwards the same stores go on, without a restart.
        """
        workers, stop = 4, threading.Event()
        stores = [RedisStore(server.url(), prefix=prefix) for _ in range(workers)]
        seen = {"saved": 0, "failed": 0, "recovered": 0}
        away, back = threading.Event(), threading.Event()

        def work(number):
            store, key = stores[number], f"user-{number}"
            version, value, unsure = None, 0, None
            while not stop.is_set():
                try:
                    stored = store.load(key)
                    if stored is not None and stored.data == unsure:
                        version, value = stored.version, int(stored.data)  # the answer was lost, not the save
                    assert (stored.version if stored else None) == version
                    assert (int(stored.data) if stored else 0) == value
                    unsure = b"%d" % (value + 1)
                    lease = store.acquire(key, wait=0)
                    made = store.save(key, unsure, expected=version, lease=lease)
                    lease.release()
                except StoreError:
                    seen["failed"] += 1
                    away.set()
                    time.sleep(0.01)
                    leases_of_the_dead(server, prefix, key)
                    continue
                assert made is not None
                version, value, unsure = made, value + 1, None
                seen["saved"] += 1
                if back.is_set():
                    seen["recovered"] += 1
            return value

        with ThreadPoolExecutor(workers) as pool:
            running = [pool.submit(work, number) for number in range(workers)]
            try:
                for how in (signal.SIGKILL, signal.SIGTERM):
                    wait_until(lambda begun=seen["saved"]: seen["saved"] > begun + 100, running)
                    away.clear()
                    server.stop(how)
                    assert away.wait(PATIENCE)
                    server.start()
                back.set()
                wait_until(lambda: seen["recovered"] > 100, running)
            finally:
                stop.set()
            values = [future.result(PATIENCE) for future in running]
        print(seen)
        assert seen["failed"] > 0
        assert sum(values) >= seen["saved"]
        for number, value in enumerate(values):
            assert int(stores[number].load(f"user-{number}").data) in (value, value + 1)
            stores[number].close()

    def test_a_wrong_password(self, server, prefix):
        """Refused credentials are a typed error, and neither password stands in it."""
        wrong = "canary-wrong"
        for url in (server.url(wrong), f"redis://127.0.0.1:{server.port}"):
            store = RedisStore(url, prefix=prefix)
            with pytest.raises(StoreError, match="refused user or password") as caught:
                store.load(KEY)
            assert wrong not in str(caught.value) + repr(store)
            store.close()

    def test_tls(self, server, prefix, tmp_path):
        """Options of TLS in the URL reach redis-py: the named CA is trusted, and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = trustme.CA()
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        with Cutting(server.port, context) as relay:
            url = server.url().replace("redis:", "rediss:").replace(str(server.port), str(relay.port))
            store = RedisStore(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}", prefix=prefix)
            version = store.save(KEY, b"1", expected=None)
            assert store.load(KEY) == Stored(b"1", version)
            store.close()
            wary = RedisStore(url, prefix=prefix)
            with pytest.raises(StoreError, match="certificate verify failed"):
                wary.load(KEY)
            wary.close()

    def test_a_refusal_quotes_nothing(self, server, prefix, behind):
        """A server that refuses a command is named with its code; the error quotes nothing."""
        store = RedisStore(server.url(), prefix=prefix)
        store.save(KEY, b"1", expected=None)
        (token,) = names(behind, prefix)
        behind.delete(token)
        behind.set(token, "something else")
        for call in (partial(store.load, KEY), partial(store.save, KEY, b"canary", expected=None)):
            with pytest.raises(StoreError, match=r"refused \([A-Z]+\)") as caught:
                call()
            assert "canary" not in str(caught.value)
        store.close()

    def test_a_full_server(self, server, prefix, behind):
        """A server without memory to spare refuses the save, and keeps what it has."""
        store = RedisStore(server.url(), prefix=prefix)
        version = store.save(KEY, b"old", expected=None)
        behind.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreError, match=r"refused \((OOM|OutOfMemoryError)\)"):
                store.save(KEY, b"new", expected=version)
        finally:
            behind.config_set("maxmemory", "0")
        assert store.load(KEY) == Stored(b"old", version)
        store.close()


class TestContent:
    def test_names_tell_nothing(self, server, prefix, behind):
        """No name in Redis holds anything of the key; all three share one hash tag."""
        store = RedisStore(server.url(), prefix=prefix)
        lease = store.acquire("Patient/erin", wait=0)
        store.save("Patient/erin", b"1", expected=None, lease=lease)
        found = names(behind, prefix)
        assert [name.rpartition(":")[2] for name in found] == ["fence", "lease", "token"]
        assert len({name[name.index("{") : name.index("}")] for name in found}) == 1
        assert "erin" not in str(found)
        store.close()

    def test_a_copied_record_is_refused(self, server, prefix, behind):
        """A record under the name of another key, or one that is not whole, is an error, not a token."""
        store = RedisStore(server.url(), prefix=prefix)
        store.save("mallory", b"token", expected=None)
        (foreign,) = names(behind, prefix)
        store.save(KEY, b"mine", expected=None)
        (own,) = set(names(behind, prefix)) - {foreign}
        record = behind.hgetall(foreign)
        behind.hset(own, mapping=record)
        with pytest.raises(StoreError, match="not put there by a token store for this key"):
            store.load(KEY)
        behind.hdel(foreign, "data")
        with pytest.raises(StoreError, match="not put there"):
            store.load("mallory")
        store.close()

    def test_prefixes_keep_stores_apart(self, server, prefix):
        """Stores with different prefixes do not see each other."""
        store = RedisStore(server.url(), prefix=prefix)
        other = RedisStore(server.url(), prefix=f"{prefix}other:")
        store.save(KEY, b"1", expected=None)
        assert other.load(KEY) is None
        other.acquire(KEY, wait=0).release()
        store.close()
        other.close()

    def test_a_client_of_ones_own(self, server, prefix, behind):
        """A store takes a client that is ready, and leaves it open."""
        store = RedisStore(behind, prefix=prefix)
        version = store.save(KEY, b"1", expected=None)
        store.close()
        assert store.load(KEY) == Stored(b"1", version)
        assert behind.ping()


def leases_of_the_dead(server, prefix, key):
    """Delete the lease of *key*: its request went out, its answer did not come back, so nobody holds it."""
    with contextlib.suppress(redis.RedisError), server.client() as client:
        store = RedisStore(client, prefix=prefix)
        client.delete(store._name(key, "lease"))


def wait_until(condition, running):
    """Return once *condition* holds, as long as all are still running."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        for future in running:
            if future.done():
                future.result()
        time.sleep(0.01)
