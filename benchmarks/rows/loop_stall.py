"""
Row 8: how long signing keeps an event loop from its other work.

200 signatures are asked for at once, as after a restart of a busy service, while a ticker on the same loop
asks every 2 ms whether it is served. Its longest wait is the stall. The figure is the lower quartile of the
rounds, in which idling and signing take turns: a machine that is busy with something else only ever adds.

    python -m benchmarks.rows.loop_stall        which keys should leave the loop, and for what threads
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter

import anyio
import anyio.lowlevel
import anyio.to_thread

from benchmarks.matter import private_key
from benchmarks.measure import Effort, Result, lower_quartile
from smart_async import SigningKey
from smart_async.clients._signing import _limiter, async_sign

ROW = 8
SIGNATURES = 200
TICK = 0.002
"""Seconds between two questions of the ticker."""
STALL = 10.0
"""Milliseconds of stall that may come on top of an idle loop's."""
ROUNDS = 9

Sign = Callable[[SigningKey], Awaitable[object]]


async def inline(key: SigningKey) -> None:
    """Sign on the loop's own thread."""
    key.sign(b"header.claims")
    await anyio.lowlevel.checkpoint()


async def default(key: SigningKey) -> None:
    """Sign in one of anyio's 40 threads."""
    await anyio.to_thread.run_sync(key.sign, b"header.claims")


async def private(key: SigningKey) -> None:
    """Sign in one of the drivers' threads."""
    await anyio.to_thread.run_sync(key.sign, b"header.claims", limiter=_limiter())


async def library(key: SigningKey) -> None:
    """Sign as AsyncSmartClient does."""
    await async_sign(key, b"header.claims")


async def idle(key: SigningKey) -> None:  # noqa: ARG001 - called like the others
    """Sign nothing, for as long as some of the signatures would take."""
    await anyio.sleep(0.5)


async def stall(way: Sign, key: SigningKey, count: int) -> float:
    """Return the ticker's longest wait, in seconds."""
    waits = [0.0]
    done = anyio.Event()

    async def tick() -> None:
        while not done.is_set():
            asked = perf_counter()
            await anyio.sleep(TICK)
            waits.append(perf_counter() - asked - TICK)

    async with anyio.create_task_group() as ticking:
        ticking.start_soon(tick)
        await anyio.sleep(2 * TICK)
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(way, key)
        done.set()
    return max(waits)


async def stalls(ways: dict[Sign, int], key: SigningKey, rounds: int) -> dict[Sign, float]:
    """Return each way's stall in milliseconds, the ways taking turns."""
    found: dict[Sign, list[float]] = {way: [] for way in ways}
    await stall(private, key, 4)  # starts the threads
    for _ in range(rounds):
        for way, count in ways.items():
            found[way].append(await stall(way, key, count))
    return {way: lower_quartile(waits) * 1000 for way, waits in found.items()}


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    count = effort.of(SIGNATURES)
    for name in ("ES384", "RSA-4096"):
        key = SigningKey.from_key(private_key(name), kid="key-1")
        found = anyio.run(stalls, {idle: 1, library: count}, key, effort.at_most(ROUNDS))
        allowed = found[idle] + STALL
        yield Result(
            row=ROW,
            what=f"longest wait, {count} signatures, {name}",
            against=f"idle loop and {STALL:g} ms",
            unit="ms",
            ours=found[library],
            baseline=allowed,
            ratio=found[library] / allowed,
            limit=1.0,
        )


def main() -> None:
    """Print the stall of each way for each key."""
    ways: dict[Sign, int] = {idle: 1, **dict.fromkeys((inline, default, private, library), SIGNATURES)}
    print("longest wait in ms " + "".join(f"{way.__name__:>10}" for way in ways))
    for name in ("ES384", "RSA-2048", "RSA-3072", "RSA-4096"):
        key = SigningKey.from_key(private_key(name), kid="key-1")
        found = anyio.run(stalls, ways, key, 5)
        print(f"{name:<19}" + "".join(f"{found[way]:>10.1f}" for way in ways), flush=True)


if __name__ == "__main__":
    main()
