"""Redis is killed and started again while workers renew: typed errors meanwhile, and then on as before."""

from __future__ import annotations

import threading
import time

import pytest
from rotating import RotatingServer, config_for

from smart_async import OutcomeUnknownError, SmartClient, StoreError, Timeouts

pytestmark = pytest.mark.peers

WORKERS = 4


class Worker(threading.Thread):
    """One worker with a client and a connection of its own, renewing the shared session without pause."""

    def __init__(self, server, key, url, session_key, stop):
        super().__init__()
        from smart_async.stores import RedisStore

        self.store = RedisStore(url, lease_seconds=3)
        self.client = SmartClient(
            config_for(server, key), transport=server, store=self.store, timeouts=Timeouts(total=4)
        )
        self.session = self.client.load_session(session_key)
        self.stop = stop
        self.errors: list[Exception] = []
        self.tokens = 0

    @property
    def failures(self):
        return len(self.errors)

    def run(self):
        while not self.stop.is_set():
            try:
                self.session.renew()
            except Exception as exc:
                self.errors.append(exc)
                time.sleep(0.01)
            else:
                self.tokens += 1

    def close(self):
        self.client.close()
        self.store.close()


def wait_for_more(workers, name, number, seconds=60.0):
    """Return when each of *workers* has got *number* more of what is counted as *name*."""
    end = time.monotonic() + seconds
    goals = [getattr(worker, name) + number for worker in workers]
    while any(getattr(worker, name) < goal for worker, goal in zip(workers, goals, strict=True)):
        assert time.monotonic() < end, f"some got no more {name}"
        time.sleep(0.02)


@pytest.mark.parametrize("times", [3])
def test_killed_and_started_again(redis_server, signing_key, times):
    """Under load, several times: no untyped error, no refresh token twice, no acknowledged token lost."""
    from smart_async.stores import RedisStore

    server, stop = RotatingServer(), threading.Event()
    first = RedisStore(redis_server.url())
    client = SmartClient(config_for(server, signing_key), transport=server, store=first)
    session = client.session(server.login(now=time.time()))
    session.get_token()
    workers = [Worker(server, signing_key, redis_server.url(), session.key, stop) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(times):
            wait_for_more(workers, "tokens", 6)
            redis_server.stop()
            wait_for_more(workers, "failures", 1)
            redis_server.start()
    finally:
        stop.set()
        for worker in workers:
            worker.join(60)
    errors = [error for worker in workers for error in worker.errors]
    # The second: while one worker tries to store what it got, another finds the intent without a result.
    assert StoreError in {type(error) for error in errors} <= {StoreError, OutcomeUnknownError}
    assert server.replays == []
    # What was acknowledged last is there, in the store or still in the hands of the one who got it.
    token = workers[0].session.renew()
    assert server.good(token)
    assert server.replays == []
    for worker in workers:
        worker.close()
    first.close()
