"""The statistics that the benchmarks rest on."""

from __future__ import annotations

import asyncio
import gc

import pytest

from benchmarks.measure import (
    Effort,
    Pairs,
    Result,
    alternate,
    async_calls,
    calls,
    compared,
    lower_quartile,
    quiet,
)

QUICK = Effort(rounds=3, seconds=0.0, size=0.001)


def result(ratio: float, limit: float | None, *, at_least: bool = False) -> Result:
    """Return a line with a verdict."""
    return Result(
        row=1,
        what="x",
        against="y",
        unit="µs",
        ours=ratio,
        baseline=1.0,
        ratio=ratio,
        limit=limit,
        at_least=at_least,
    )


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A slow round slows both sides: medians of the sides would compare one round with another."""
    pairs = Pairs(((2.0, 1.0), (30.0, 10.0), (4.0, 1.0)))
    assert (pairs.ours, pairs.baseline, pairs.ratio()) == (4.0, 1.0, 3.0)


def test_what_the_baseline_does_not_do_is_taken_off_each_round() -> None:
    """Seconds are taken off ours before it is divided."""
    assert Pairs(((3.0, 2.0), (5.0, 4.0), (7.0, 6.0))).ratio(less=1.0) == 1.0


@pytest.mark.parametrize(
    ("ratio", "limit", "at_least", "passed"),
    [
        (1.05, 1.05, False, True),
        (1.051, 1.05, False, False),
        (0.7, 0.7, True, True),
        (0.69, 0.7, True, False),
        (9.0, None, False, None),
    ],
)
def test_a_limit_is_held_from_its_own_side(
    ratio: float, limit: float | None, at_least: bool, passed: bool | None
) -> None:
    """A limit is kept up to and including itself, and a figure without one has no verdict."""
    assert result(ratio, limit, at_least=at_least).passed is passed


def test_both_sides_take_turns_in_going_first() -> None:
    """Whoever goes second finds warmer caches, so the order changes with each round."""
    order: list[str] = []

    def side(name: str) -> object:
        def run(number: int) -> float:
            order.append(name)
            return 1.0 * number

        return run

    pairs = alternate(side("ours"), side("base"), Effort(rounds=4, seconds=1.0))  # type: ignore[arg-type]  # fakes
    assert order[-8:] == ["ours", "base", "base", "ours"] * 2
    assert pairs.rounds == ((1.0, 1.0),) * 4


def test_calls_are_counted() -> None:
    """A timer calls as often as it is told, and returns seconds by its clock."""
    ticks = iter([10.0, 13.0])
    made: list[int] = []
    assert calls(lambda: made.append(1), lambda: next(ticks))(5) == 3.0
    assert len(made) == 5


def test_coroutines_are_timed_one_after_the_other() -> None:
    """The async timer awaits each call on the loop it was given."""
    made: list[int] = []

    async def one() -> None:
        await asyncio.sleep(0)
        made.append(1)

    ticks = iter([1.0, 2.0])
    with asyncio.Runner() as runner:
        assert async_calls(one, runner, lambda: next(ticks))(4) == 1.0
    assert len(made) == 4


def test_the_collector_rests_while_something_is_timed() -> None:
    """No collection of cycles falls into a round, and it runs again afterwards, also after an error."""

    def work() -> None:
        with quiet():
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert gc.isenabled()


def test_a_comparison_is_shown_in_the_unit_asked_for() -> None:
    """Seconds become micro- or milliseconds, the ratio stays."""
    line = compared(1, "x", "y", Pairs(((0.002, 0.001),)), unit="ms", limit=3.0)
    assert (line.ours, line.baseline, line.ratio, line.passed) == (2.0, 1.0, 2.0, True)


def test_the_lower_quartile_ignores_what_a_busy_machine_adds() -> None:
    """One round that was disturbed changes nothing."""
    assert lower_quartile([1.0, 1.0, 1.0, 1.0, 500.0]) == 1.0


def test_sizes_scale_and_stay_above_ten() -> None:
    """A smaller effort runs a share of each number, and never nothing."""
    assert (Effort(size=0.5).of(10_000), QUICK.of(200), Effort(rounds=20).at_most(9)) == (5000, 10, 9)
