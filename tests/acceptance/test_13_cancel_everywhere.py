"""
Every flow cancelled at every point, and then twelve requests.

A point is each checkpoint of the transport, before and after a request takes effect, and each call of the
store. After each cancellation the store holds a token that the server takes, no lease is held, and whatever
is asked for next succeeds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import pytest
from rotating import RotatingServer, config_for

from smart_async import AsyncSmartClient, SmartClient
from smart_async.stores import MemoryStore

AFTERWARDS = 12
MOST = 200


class Points:
    """Counts the points that an operation passes, and calls `strike` at one of them."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.passed = 0
        self.strike: Callable[[], object] | None = None

    def __call__(self) -> None:
        """Pass a point."""
        if self.strike is None:
            return
        self.passed += 1
        if self.passed == self.target:
            strike, self.strike = self.strike, None
            strike()


class HookedStore(MemoryStore):
    """A store whose every call is a point, before it and after it."""

    hook: Callable[[], object] = staticmethod(lambda: None)

    def _around(self, name: str, *arguments: Any, **named: Any) -> Any:
        self.hook()
        outcome = getattr(super(), name)(*arguments, **named)
        self.hook()
        return outcome

    def load(self, key: str) -> Any:
        return self._around("load", key)

    def save(self, key: str, data: bytes, **named: Any) -> Any:
        return self._around("save", key, data, **named)

    def acquire(self, key: str, *, wait: float) -> Any:
        return self._around("acquire", key, wait=wait)


class World:
    """A server, a store and a client, with the points of all of them."""

    def __init__(self, client: type, signing_key: Any, target: int, *, in_loop: bool) -> None:
        self.points = Points(target)
        self.server, self.store = RotatingServer(), HookedStore()
        self.client = client(config_for(self.server, signing_key), transport=self.server, store=self.store)
        self.token = self.server.login(now=1_795_500_000.0)
        self.session = self.client.session(self.token)
        self.server.hook = self.points
        # The store is called in worker threads of the loop, and the loop has to do the cancelling.
        self.store.hook = self._from_thread if in_loop else self.points

    def _from_thread(self) -> None:
        anyio.from_thread.run_sync(self.points)

    def check(self) -> None:
        """The store holds a token whose refresh token works, and nobody holds its lease."""
        self.store.hook = self.server.hook = lambda: None
        assert self.server.replays == []
        self.store.acquire(self.session.key, wait=0.0).release()
        stored = self.store.load(self.session.key)
        assert stored is not None
        assert any(name.encode() in stored.data for name in self.server.live)


# The operations ------------------------------------------------------------------------------------------

OPERATIONS = {
    "first token": lambda world: world.session.get_token(),
    "renewal": lambda world: world.session.renew(),
    "backend token": lambda world: world.client.backend_session("system/*.rs").get_token(),
    "load": lambda world: world.client.load_session(world.session.key),
    "replacement": lambda world: world.session.replace(world.server.login(now=1_795_500_001.0)),
    "discovery": lambda world: world.client.discover(),
    "plain backend token": lambda world: world.client.backend_token("system/*.rs"),
}


# The ways to cancel --------------------------------------------------------------------------------------


async def by_scope(points: Points, operation: Callable[[], Awaitable[object]]) -> bool:
    """Cancel an anyio scope, on either backend."""
    with anyio.CancelScope() as scope:
        points.strike = scope.cancel
        await operation()
    return scope.cancelled_caught


async def by_task(points: Points, operation: Callable[[], Awaitable[object]]) -> bool:
    """Cancel the asyncio task."""

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        points.strike = task.cancel
        await operation()

    task = asyncio.get_running_loop().create_task(run())
    await asyncio.wait([task])
    return task.cancelled()


async def by_timeout(points: Points, operation: Callable[[], Awaitable[object]]) -> bool:
    """Let an `asyncio.timeout` run out."""
    try:
        async with asyncio.timeout(None) as timeout:
            points.strike = lambda: timeout.reschedule(0)
            await operation()
    except TimeoutError:
        return True
    return False


async def by_eager_task(points: Points, operation: Callable[[], Awaitable[object]]) -> bool:
    """Cancel a task that began to run when it was made."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    try:
        return await by_task(points, operation)
    finally:
        asyncio.get_running_loop().set_task_factory(None)


WAYS = [
    pytest.param("asyncio", by_scope, id="asyncio-scope"),
    pytest.param("asyncio", by_task, id="asyncio-task"),
    pytest.param("asyncio", by_timeout, id="asyncio-timeout"),
    pytest.param(
        "asyncio",
        by_eager_task,
        id="asyncio-eager",
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought eager tasks"),
    ),
    pytest.param("trio", by_scope, id="trio-scope"),
]


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("backend", "way"), WAYS)
def test_cancelled_at_every_point(signing_key, backend, way, name):
    """Whoever is cancelled, wherever: nothing is lost or sent twice, and the next twelve requests succeed."""

    async def attempt(target: int) -> bool:
        world = World(AsyncSmartClient, signing_key, target, in_loop=True)
        await world.session.get_token() if name == "load" else None
        cancelled = await way(world.points, lambda: OPERATIONS[name](world))
        reached = world.points.passed >= target
        world.points.strike = None
        # What was begun goes on by itself.
        await world.session.get_token()
        await world.session.aclose()
        world.check()
        for _ in range(AFTERWARDS):
            await world.session.renew()
        world.check()
        assert cancelled <= reached
        return reached

    struck = 0
    for target in range(1, MOST):
        if not anyio.run(attempt, target, backend=backend):
            break
        struck += 1
    assert 2 <= struck < MOST - 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_interrupted_at_every_point(signing_key, name):
    """Ctrl-C in the thread that waits: the same."""
    main = threading.main_thread().ident
    struck = 0
    for target in range(1, MOST):
        world = World(SmartClient, signing_key, target, in_loop=False)
        if name == "load":
            world.session.get_token()
        world.points.strike = lambda: signal.pthread_kill(main, signal.SIGINT)
        try:
            OPERATIONS[name](world)
            for _ in range(1000):  # the signal may still be under way
                pass
        except KeyboardInterrupt:
            pass
        reached = world.points.passed >= target
        world.points.strike = None
        world.session.get_token()
        world.session.close()
        world.check()
        for _ in range(AFTERWARDS):
            world.session.renew()
        world.check()
        if not reached:
            break
        struck += 1
    assert 1 < struck < MOST - 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_loop_ends_in_the_middle(signing_key, backend):
    """A loop that ends while a renewal is under way waits for it, whoever was waiting has gone."""
    for target in range(1, MOST):

        async def leave(target: int = target) -> World:
            world = World(AsyncSmartClient, signing_key, target, in_loop=True)
            with anyio.CancelScope() as scope:
                world.points.strike = scope.cancel
                await world.session.renew()
            return world

        world = anyio.run(leave, backend=backend)
        world.check()
        if world.points.passed < target:
            break
    assert 5 < target < MOST - 1
    assert world.server.grants == ["refresh_token"]
