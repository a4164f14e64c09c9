"""What all stores share: how they wait for a turn, and how they hear of a fork."""

from __future__ import annotations

import importlib.util
import os

import pytest

from smart_async.stores import _common


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now, self.pauses = 100.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        assert len(self.pauses) < 100
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    """Return the clock that waiting goes by."""
    clock = Clock()
    monkeypatch.setattr(_common, "time", clock)
    return clock


def test_pauses_grow(clock):
    """What is soon free is soon taken, what is not costs twenty looks a second; the last look is on time."""
    assert _common.retry_until(lambda: None, 0.25) is None
    assert clock.pauses == pytest.approx([0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05, 0.05, 0.038])
    assert clock.now == pytest.approx(100.25)


@pytest.mark.parametrize("wait", [0, -1])
def test_without_waiting_there_is_one_look(clock, wait):
    """Who does not want to wait looks once, and does not sleep."""
    looks = []
    assert _common.retry_until(lambda: looks.append(1), wait) is None
    assert (len(looks), clock.pauses) == (1, [])


def test_what_is_free_is_taken_at_once(clock):
    """The first outcome is returned, whatever it is, and nobody sleeps after it."""
    outcomes = iter([None, 0, 1])
    assert _common.retry_until(lambda: next(outcomes), 5) == 0
    assert clock.pauses == [0.002]


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="there is no fork here")
def test_the_interpreter_tells_each_child(monkeypatch):
    """What a fork leaves behind is dropped by a hook of the interpreter's, in the child and nowhere else."""
    hooks = []
    monkeypatch.setattr(os, "register_at_fork", lambda **options: hooks.append(options))
    spec = importlib.util.spec_from_file_location("_common_once_more", _common.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert hooks == [{"after_in_child": module._after_fork_in_child}]
