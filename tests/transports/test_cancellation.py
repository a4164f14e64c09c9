"""
After thousands of cancellations, by every way that there is, the next twelve requests are all served.

httpcore 1.0 loses a connection for ever when a request is cancelled at the wrong moment; with all lost,
nothing is served any more.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from loopback_ehr import Site

from smart_async import AsyncSmartClient, PrivateKeyJWT, SigningKey, SmartConfig
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import AsyncHttpx2Transport, AsyncHttpxTransport

CANCELLATIONS = int(os.environ.get("SMART_CANCELLATIONS", "250"))
"""On each library by each of four ways or more: with 2500, as in `make faulty`, ten thousand per library."""

TASKS = 12
PATIENT = Timeouts(connect=20, read=20, pool=30, total=60, discovery=60)

Work = Callable[[], Awaitable[object]]


async def by_scope(work: Work, seconds: float) -> bool:
    """Cancel by a scope of anyio's; return whether that came in time."""
    with anyio.move_on_after(seconds) as scope:
        await work()
    return scope.cancelled_caught


async def by_timeout(work: Work, seconds: float) -> bool:
    """Cancel by asyncio's own timeout."""
    try:
        async with asyncio.timeout(seconds):
            await work()
    except TimeoutError:
        return True
    return False


async def by_task(work: Work, seconds: float) -> bool:
    """Cancel a task natively, which no shield of anyio's stops."""
    return await _cancelled(asyncio.ensure_future(work()), seconds)


async def by_eager_task(work: Work, seconds: float) -> bool:
    """Cancel a task that began to run before it was scheduled."""
    task: asyncio.Task[object] = asyncio.Task(work(), loop=asyncio.get_running_loop(), eager_start=True)  # type: ignore
    return await _cancelled(task, seconds)


async def _cancelled(task: asyncio.Future[object], seconds: float) -> bool:
    timer = asyncio.get_running_loop().call_later(seconds, task.cancel)
    await asyncio.wait([task])
    timer.cancel()
    if task.cancelled():
        return True
    task.result()
    return False


@pytest.fixture(
    params=[
        ("asyncio", by_scope),
        ("asyncio", by_timeout),
        ("asyncio", by_task),
        ("asyncio", by_eager_task),
        ("trio", by_scope),
    ],
    ids=lambda param: f"{param[0]}-{param[1].__name__}",
)
def way(request: pytest.FixtureRequest) -> Any:
    """An event loop and a way to cancel on it."""
    if request.param[1] is by_eager_task and sys.version_info < (3, 12):
        pytest.skip("Python 3.12 brought eager tasks")
    return request.param


async def churn(work: Callable[[int], Work], cancel: Any, wanted: int) -> int:
    """Let several tasks be cancelled at random moments, *wanted* times in all."""
    dice = random.Random(7)
    count = turns = 0
    seconds = 0.004

    async def one() -> None:
        nonlocal count, turns, seconds
        while count < wanted and turns < 50 * wanted:
            turns += 1
            cancelled = await cancel(work(turns), dice.random() * seconds)
            count += cancelled
            # About every second request is to be over before it is cancelled, however fast the machine is.
            seconds *= 1.05 if cancelled else 0.95

    async with anyio.create_task_group() as group:
        for _ in range(TASKS):
            group.start_soon(one)
    return count


async def twelve(work: Work) -> list[object]:
    """The results of twelve at once."""
    served: list[object] = []

    async def one() -> None:
        served.append(await work())

    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(one)
    return served


def all_given_back(transport: Any) -> bool:
    """Whether no slot and no pool of the transport is in use."""
    (loop,) = transport._loops.values()
    return loop.free.borrowed_tokens == 0 and not any(pool.users for pool in loop.pools.values())


def descriptors() -> int:
    """How many files and sockets this process has open; none where that cannot be seen."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else 0


def settles(met: Callable[[], bool]) -> bool:
    """Give the server's threads a moment to notice that clients hung up."""
    pause = threading.Event()
    return any(met() or pause.wait(0.02) for _ in range(500))


@pytest.mark.parametrize("kind", [AsyncHttpxTransport, AsyncHttpx2Transport])
def test_a_transport(kind: Any, servers: Any, way: Any) -> None:
    """Twelve of twelve requests succeed, every slot is free, and every socket closed."""
    backend, cancel = way
    server = servers.honest(b"x" * 2000)
    before = descriptors()

    async def go() -> None:
        async with kind(max_connections=4) as transport:

            def work(turn: int, fresh: int = 5) -> Work:
                request = Request(method="GET", url=server.url, purpose="discovery", fresh=turn % fresh == 0)
                return lambda: transport.async_send(request, PATIENT)

            await work(1)()
            assert await churn(work, cancel, CANCELLATIONS) >= CANCELLATIONS
            assert [response.status for response in await twelve(work(1))] == [200] * 12
            assert all_given_back(transport)

    anyio.run(go, backend=backend)
    assert settles(lambda: descriptors() <= before)


@pytest.mark.parametrize("kind", [AsyncHttpxTransport, AsyncHttpx2Transport])
def test_a_client(kind: Any, servers: Any, way: Any) -> None:
    """The same through a client: no lock of a flow is left behind either."""
    backend, cancel = way
    key = SigningKey.generate("ES384", kid="key-1")
    site = Site(servers, key)
    config = SmartConfig(
        fhir_base=f"{site.url}/r4",
        client_id="nightly-job",
        client_auth=PrivateKeyJWT(key),
        allow_insecure_loopback=True,
    )

    async def go() -> None:
        async with kind(max_connections=4) as transport:
            client = AsyncSmartClient(config, transport=transport, timeouts=PATIENT)

            def work(turn: int) -> Work:
                if turn % 2:
                    return lambda: client.discover(refresh=True)
                return lambda: client.backend_token("system/*.rs")

            await work(2)()
            assert await churn(work, cancel, CANCELLATIONS // 5) >= CANCELLATIONS // 5
            tokens: list[Any] = await twelve(work(2))
            assert [token.access_token.reveal() for token in tokens] == ["at-1"] * 12
            assert all_given_back(transport)

    anyio.run(go, backend=backend)
