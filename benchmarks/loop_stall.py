"""
How long signing keeps an event loop from its other work, and where a signature should leave its thread.

200 signatures are asked for at once, as after a restart of a busy service, while a ticker on the same loop
asks every 2 ms whether it is served. Its longest wait is the stall: with an idle loop, signing on the loop,
in anyio's default 40 threads, in the drivers' private limiter of max(1, cores - 1) threads, and as the
drivers choose: one to a turn of the loop where the key is quick, in the private limiter where it is not. The
figure is the lower quartile of the rounds: a machine that is busy with something else only ever adds.

    python benchmarks/loop_stall.py            a table; exit code 1 if a limit is exceeded
    python benchmarks/loop_stall.py --json     one JSON object
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from time import perf_counter

import anyio
import anyio.lowlevel
import anyio.to_thread
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smart_async import SigningKey
from smart_async.clients._drivers import _limiter, _sign

SIGNATURES = 200
TICK = 0.002
"""Seconds between two questions of the ticker."""

STALL = 20.0
"""Milliseconds of stall that are let pass on top of an idle loop's: a busy machine adds as much by itself."""

SHARE = 0.1
"""The share of the stall by signing on the loop that may remain, where that is more."""

Sign = Callable[[SigningKey], Awaitable[object]]


@dataclass(frozen=True)
class Result:
    """One line of the table: the loop's longest waits, and the time of all signatures, in milliseconds."""

    key: str
    signature: float
    chosen: str
    idle: float
    inline: float
    default: float
    private: float
    library: float
    inline_total: float
    private_total: float
    library_total: float
    limit: float
    passed: bool


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
    await _sign(key, b"header.claims")


async def idle(key: SigningKey) -> None:  # noqa: ARG001 - called like the others
    """Sign nothing, for as long as a few signatures would take."""
    await anyio.sleep(0.1)


async def stall(way: Sign, key: SigningKey, count: int) -> tuple[float, float]:
    """Return the ticker's longest wait and the time of all signatures, in seconds."""
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
        started = perf_counter()
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(way, key)
        total = perf_counter() - started
        done.set()
    return max(waits), total


def quartile(seconds: Iterable[float]) -> float:
    """Return the lower quartile, in milliseconds."""
    return statistics.quantiles(seconds, n=4, method="inclusive")[0] * 1000


async def measure(name: str, key: SigningKey, rounds: int) -> Result:
    """Return the result for one key, the ways taking turns so that a slow minute slows all of them."""
    ways: dict[Sign, int] = {
        idle: 1,
        inline: SIGNATURES,
        default: SIGNATURES,
        private: SIGNATURES,
        library: SIGNATURES,
    }
    found: dict[Sign, list[tuple[float, float]]] = {way: [] for way in ways}
    single = []
    for _ in range(20):
        started = perf_counter()
        key.sign(b"header.claims")
        single.append(perf_counter() - started)
    await stall(private, key, SIGNATURES)  # starts the threads
    for _ in range(rounds):
        for way, count in ways.items():
            found[way].append(await stall(way, key, count))
    stalls = {way: quartile(each[0] for each in found[way]) for way in ways}
    totals = {way: quartile(each[1] for each in found[way]) for way in ways}
    limit = max(stalls[idle] + STALL, stalls[inline] * SHARE)
    return Result(
        key=name,
        signature=quartile(single),
        chosen="thread" if key.blocking else "loop",
        idle=stalls[idle],
        inline=stalls[inline],
        default=stalls[default],
        private=stalls[private],
        library=stalls[library],
        inline_total=totals[inline],
        private_total=totals[private],
        library_total=totals[library],
        limit=limit,
        passed=stalls[library] <= limit,
    )


def table(results: list[Result]) -> str:
    """Return the results for people."""
    lines = [
        f"{SIGNATURES} signatures, {os.cpu_count()} cores; the loop's longest wait in ms",
        f"{'key':<10}{'sign':>6}{'idle':>7}{'inline':>8}{'40 thr.':>9}{'private':>9}{'library':>9}"
        f"  {'where':<7}{'limit':>7}  pass   all of them: inline, private, library",
    ]
    return "\n".join([*lines, *map(line, results)])


def line(one: Result) -> str:
    """Return one line of the table."""
    return (
        f"{one.key:<10}{one.signature:>6.2f}{one.idle:>7.1f}{one.inline:>8.1f}{one.default:>9.1f}"
        f"{one.private:>9.1f}{one.library:>9.1f}  {one.chosen:<7}{one.limit:>7.1f}  "
        + ("yes " if one.passed else "NO  ")
        + f"   {one.inline_total:.0f}, {one.private_total:.0f}, {one.library_total:.0f}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per key and way, at least 3")
    options = parser.parse_args(arguments)
    if options.rounds < 3:
        parser.error("--rounds must be at least 3")
    keys = [("P-384", SigningKey.from_key(ec.generate_private_key(ec.SECP384R1()), kid="k"))]
    keys += [
        (f"RSA-{bits}", SigningKey.from_key(rsa.generate_private_key(65537, bits), kid="k"))
        for bits in (2048, 3072, 4096)
    ]
    results = [anyio.run(measure, name, key, options.rounds) for name, key in keys]
    if options.json:
        print(json.dumps({"benchmark": "loop_stall", "results": [asdict(one) for one in results]}))
    else:
        print(table(results))
    return 0 if all(one.passed for one in results) else 1


if __name__ == "__main__":
    sys.exit(main())
