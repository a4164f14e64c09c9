"""
How two things are compared on a machine that is busy with a third.

Each round runs both for the same short time, one right after the other, and its ratio is that round's alone:
a slow second slows both. Whoever goes second finds warmer caches, so they take turns. What counts is the
median of the rounds' ratios, never the ratio of two medians. Times are processor time where the work is the
process's own, so that waiting for a turn on the processor is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import thread_time
from typing import Any, TypeAlias

__all__ = (
    "MINIMUM",
    "Effort",
    "Pairs",
    "Result",
    "Timed",
    "alternate",
    "async_calls",
    "calls",
    "compared",
    "lower_quartile",
    "quiet",
)

MINIMUM = 9
"""Rounds below which a median says little."""

Timed: TypeAlias = Callable[[int], float]
"""Does its work a number of times, and returns the seconds that took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """
    How much is measured.

    Args:
        rounds: Rounds of each comparison.
        seconds: How long each side of a round is timed, about.
        size: The share of the issue's numbers that is run: of 10,000 tenants, of 5,000 discoveries.
    """

    rounds: int = 75
    seconds: float = 0.012
    size: float = 1.0

    def of(self, number: int) -> int:
        """Return *number* at this size, at least 10."""
        return max(10, round(number * self.size))

    def at_most(self, rounds: int) -> int:
        """Return the rounds, for a comparison whose rounds are long."""
        return min(rounds, self.rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """
    One line of the table.

    Args:
        row: The number of the promise.
        what: What was measured.
        against: What it is compared with.
        unit: Of *ours* and *baseline*: µs, ms, KiB.
        ours: Our figure.
        baseline: The other one.
        ratio: What is held against the limit; None for a figure that is only reported.
        limit: The most that *ratio* may be, or with *at_least* the least; None where nothing is promised.
        at_least: Which of the two *limit* is.
    """

    row: int
    what: str
    against: str
    unit: str
    ours: float
    baseline: float
    ratio: float
    limit: float | None = None
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        """Whether the promise is kept; None where there is none."""
        if self.limit is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit

    def to_json(self) -> dict[str, Any]:
        """Return the members for a JSON object."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, slots=True)
class Pairs:
    """The rounds of one comparison: seconds for one call of ours, and of the baseline."""

    rounds: tuple[tuple[float, float], ...]

    @property
    def ours(self) -> float:
        """The median of ours, in seconds."""
        return statistics.median(mine for mine, _ in self.rounds)

    @property
    def baseline(self) -> float:
        """The median of the baseline, in seconds."""
        return statistics.median(base for _, base in self.rounds)

    def ratio(self, less: float = 0.0) -> float:
        """
        Return the median of the rounds' ratios.

        Args:
            less: Seconds to take off ours first, for what the baseline does not do.
        """
        return statistics.median((mine - less) / base for mine, base in self.rounds)


def calls(function: Callable[[], object], clock: Callable[[], float] = thread_time) -> Timed:
    """
    Return what times *function*.

    Args:
        function: The work.
        clock: What tells the time.
    """

    def run(number: int) -> float:
        started = clock()
        for _ in range(number):
            function()
        return clock() - started

    return run


def async_calls(
    function: Callable[[], Awaitable[object]],
    runner: asyncio.Runner,
    clock: Callable[[], float] = thread_time,
) -> Timed:
    """
    Return what times a coroutine function, one call after the other on one loop.

    Args:
        function: The work.
        runner: The loop; both sides of a comparison share it.
        clock: What tells the time.
    """

    async def run(number: int) -> float:
        started = clock()
        for _ in range(number):
            await function()
        return clock() - started

    return lambda number: runner.run(run(number))


def alternate(ours: Timed, baseline: Timed, effort: Effort, *, rounds: int | None = None) -> Pairs:
    """
    Return the rounds of a comparison, after a warm-up.

    Args:
        ours: Times our side.
        baseline: Times the other.
        effort: How much is measured.
        rounds: Another number of rounds than the effort's.
    """
    single = max(baseline(3) / 3, 1e-7)
    number = max(1, int(effort.seconds / single))
    ours(max(1, number // 4))
    baseline(max(1, number // 4))
    found = []
    with quiet():
        for turn in range(rounds or effort.rounds):
            times = {}
            for side in (ours, baseline) if turn % 2 == 0 else (baseline, ours):
                times[side] = side(number) / number
            found.append((times[ours], times[baseline]))
            gc.collect(0)  # what the round left behind; a full collection would empty the caches
    return Pairs(tuple(found))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the collector of cycles from running in the middle of what is timed."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def compared(
    row: int,
    what: str,
    against: str,
    pairs: Pairs,
    *,
    limit: float | None = None,
    unit: str = "µs",
) -> Result:
    """
    Return the line for a comparison of times.

    Args:
        row: The promise.
        what: What was measured.
        against: What it is compared with.
        pairs: The rounds.
        limit: The most that the ratio may be.
        unit: `µs` or `ms`.
    """
    scale = {"µs": 1e6, "ms": 1e3}[unit]
    return Result(
        row=row,
        what=what,
        against=against,
        unit=unit,
        ours=pairs.ours * scale,
        baseline=pairs.baseline * scale,
        ratio=pairs.ratio(),
        limit=limit,
    )


def lower_quartile(values: Iterable[float]) -> float:
    """Return the lower quartile: of waits, to which a machine that is busy with something else only adds."""
    return statistics.quantiles(values, n=4, method="inclusive")[0]
