"""
Errors that leave without the variables they passed.

Error reporters send the variables of every frame that an exception went through, and of the exceptions that
caused it. A function that is given key text, a passphrase or a whole environment is discreet: what it raises
says all there is to say, and its frames stay behind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from smart_async.errors import SmartError

__all__ = ("discreet", "discreet_init", "without_frames")

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")
E = TypeVar("E", bound=BaseException)


def discreet(function: Callable[P, T]) -> Callable[P, T]:
    """
    Let the errors of ours that *function* raises leave without its frames and its arguments.

    Args:
        function: A function that is given secrets. It does its work before it returns: a coroutine or
            generator function would not be protected.
    """

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except SmartError as exc:
            raise without_frames(exc)  # noqa: B904 - the same error, not another
        finally:
            del arguments, named

    return call


def discreet_init(cls: type[C]) -> type[C]:
    """
    Do the same for the constructor of *cls*, for a dataclass whose fields are secret.

    Args:
        cls: The class; it is changed in place.
    """
    made: Any = cls
    made.__init__ = discreet(made.__init__)
    return cls


def without_frames(error: E) -> E:
    """
    Return *error*, with its traceback and those of all that led to it forgotten.

    Args:
        error: The error, about to be raised.
    """
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and not any(one is other for other in seen):
            seen.append(one)
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]
    return error
