"""Errors without frames: what is forgotten, and what is not."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass

import pytest

from smart_async import ConfigurationError
from smart_async.messages.discretion import discreet, discreet_init, without_frames


def fail(secret: str, *, other: str = "") -> None:
    """Fails, with an error that caused another."""
    try:
        raise ValueError("inner")
    except ValueError:
        raise ConfigurationError("outer") from None


def shown(error: BaseException | None) -> str:
    text = ""
    while error is not None:
        captured = traceback.TracebackException.from_exception(error, capture_locals=True)
        text += "".join(str(frame.locals) for frame in captured.stack if frame.name != "run")
        error = error.__context__
    return text


def run(function, *arguments, **named):
    with pytest.raises(ConfigurationError) as caught:
        function(*arguments, **named)
    return shown(caught.value)


def test_a_discreet_function_hides_its_arguments():
    """Positional and named ones, in its own frame, in those below and in those of the cause."""
    assert "canary" in run(fail, "canary")
    assert "canary" not in run(discreet(fail), "canary", other="canary")


def test_it_is_otherwise_the_same():
    """Name, documentation, signature, results and foreign errors stay."""
    assert (discreet(fail).__name__, discreet(fail).__doc__) == ("fail", fail.__doc__)
    assert inspect.signature(discreet(fail)) == inspect.signature(fail)
    assert discreet(lambda number: number + 1)(1) == 2
    with pytest.raises(ZeroDivisionError) as caught:
        discreet(lambda number: 1 // number)(0)
    assert len(traceback.extract_tb(caught.value.__traceback__)) == 3


def test_a_discreet_constructor():
    """The __init__ that a dataclass gets is protected, too."""

    @discreet_init
    @dataclass(frozen=True, slots=True)
    class Holder:
        secret: str

        def __post_init__(self) -> None:
            fail(self.secret)

    assert "canary" not in run(Holder, "canary")
    assert [str(name) for name in inspect.signature(Holder).parameters] == ["secret"]


def test_a_cycle_of_causes_ends():
    """Two errors that name each other are walked once."""
    one, two = ValueError(), ValueError()
    one.__cause__, two.__cause__ = two, one
    assert without_frames(one) is one
