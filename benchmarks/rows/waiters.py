"""
Row 7: 10,000 tasks that want a token while it is being renewed, against as many that wait for one bare event.

On asyncio and on trio; making the tasks counts on both sides. The renewal is one request, whose answer comes
when all tasks are waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from time import thread_time

import anyio
import anyio.lowlevel

from benchmarks.matter import SCOPE, TOKEN, config
from benchmarks.measure import Effort, Pairs, Result, compared, quiet
from benchmarks.rows.backend_flow import discovered
from smart_async import AsyncSmartClient
from smart_async.messages import Headers, Request, Response
from smart_async.transports import ScriptedTransport

ROW = 7
TASKS = 10_000
LIMIT = 1.5
ROUNDS = 11


async def crowd(tasks: int, wait: Callable[[], Awaitable[object]], ready: Callable[[], None]) -> float:
    """
    Return the processor seconds in which *tasks* tasks wait, and go on.

    Args:
        tasks: How many.
        wait: What each of them waits for.
        ready: Ends the waiting; called when all of them wait.
    """
    ended = 0

    async def one() -> None:
        nonlocal ended
        await wait()
        ended += 1

    started = thread_time()
    async with anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(one)
        for _ in range(5):  # the tasks start, and the renewal gets as far as its answer
            await anyio.lowlevel.checkpoint()
        ready()
    assert ended == tasks
    return thread_time() - started


async def ours(tasks: int) -> tuple[float, int]:
    """Return the seconds for tasks that wait for a renewal, and the number of requests."""
    release = anyio.Event()

    async def slow(request: Request) -> Response:
        await release.wait()
        return Response(status=200, headers=Headers(), body=TOKEN, url=request.url)

    transport = ScriptedTransport(slow, slow)
    session = discovered(AsyncSmartClient(config(), transport=transport)).backend_session(SCOPE)
    seconds = await crowd(tasks, session.get_token, release.set)
    return seconds, len(transport.requests)


async def bare(tasks: int) -> float:
    """Return the seconds for tasks that wait for an event."""
    event = anyio.Event()
    return await crowd(tasks, event.wait, event.set)


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    tasks = effort.of(TASKS)
    most = 0
    for backend in ("asyncio", "trio"):
        rounds = []
        anyio.run(ours, 10, backend=backend)
        with quiet():
            for turn in range(effort.at_most(ROUNDS)):
                if turn % 2:
                    base = anyio.run(bare, tasks, backend=backend)
                mine, requests = anyio.run(ours, tasks, backend=backend)
                if not turn % 2:
                    base = anyio.run(bare, tasks, backend=backend)
                rounds.append((mine, base))
                most = max(most, requests)
        name = f"{tasks:,} tasks, one renewal, {backend}"
        yield compared(ROW, name, "one bare event", Pairs(tuple(rounds)), limit=LIMIT, unit="ms")
    yield Result(
        row=ROW,
        what="requests for one renewal",
        against="one",
        unit="",
        ours=most,
        baseline=1,
        ratio=most,
        limit=1.0,
    )
