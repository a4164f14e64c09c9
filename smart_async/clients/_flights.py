"""
Single flight: one piece of work for all who want its result, however many tasks or threads they are.

The first to come starts it, and waits like the others. None of them carries it: each may be cancelled or
interrupted, and the rest notice nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Generic, TypeVar

from smart_async.errors import ConfigurationError, OutcomeUnknownError, SmartError

__all__ = ("SOLO", "AsyncFlights", "Flights", "after_failure")

T = TypeVar("T")

SOLO = count()
"""Numbers for pieces of work that nobody else may join."""

_PAUSE = 60.0
_START = 1.0
"""Seconds in which a thread that was started at all has begun."""


def after_failure(pause: float) -> float:
    """
    Return the seconds to wait before the next attempt at what nobody is waiting for.

    Args:
        pause: What was waited before the last one.
    """
    return min(_PAUSE, max(1.0, 2 * pause))


class _Outcome(Generic[T]):
    """How a piece of work ended."""

    __slots__ = ("error", "result")

    def __init__(self) -> None:
        self.error: BaseException | None = _stopped()
        self.result: T

    def get(self) -> T:
        """Return the result, or raise the error: each caller a copy, as raising adds to what is raised."""
        if self.error is not None:
            raise _copied(self.error)
        return self.result


class _Landing(_Outcome[T]):
    """Where threads wait for the end of a flight."""

    __slots__ = ("begun", "done", "thread")

    def __init__(self) -> None:
        super().__init__()
        self.thread: int | None = None
        self.begun = threading.Event()
        self.done = threading.Event()


class Flights:
    """
    The work in progress of one session, for threads.

    Each piece has a thread of its own, which the interpreter waits for: Ctrl-C stops whoever waits, and not
    a refresh token on its way.
    """

    __slots__ = ("_landings", "_lock", "_pid")

    def __init__(self) -> None:
        self._begin()

    def join(self, kind: str, work: Callable[[], T]) -> T:
        """
        Return the result of the *kind* of work that is in progress, or else of *work*.

        Args:
            kind: What sort of work; there is one of each at a time.
            work: What to do.

        Raises:
            ConfigurationError: If the work itself asks for its result, which it would wait for for ever.
        """
        self._check_fork()
        mine: _Landing[Any] = _Landing()
        try:
            with self._lock:
                landing = self._landings.setdefault(kind, mine)
            if landing is mine:
                self._start(kind, mine, work)
        except BaseException:  # Ctrl-C, perhaps before there was a thread: then nobody would ever land
            if not mine.begun.wait(_START):
                self._land(kind, mine)
            raise
        if landing.thread == threading.get_ident() and not landing.done.is_set():
            raise _waits_for_itself()
        _ = landing.done.wait()
        result: T = landing.get()
        return result

    def wait(self) -> None:
        """Return when nothing is in progress any more."""
        self._check_fork()
        for landing in tuple(self._landings.values()):
            _ = landing.done.wait()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._landings: dict[str, _Landing[Any]] = {}

    def _check_fork(self) -> None:
        # In the child of a fork nobody flies: the threads stayed behind, perhaps with the lock.
        if self._pid != os.getpid():
            self._begin()  # pragma: no cover - a forked child, where nothing is measured

    def _start(self, kind: str, landing: _Landing[Any], work: Callable[[], Any]) -> None:
        thread = threading.Thread(target=self._fly, args=(kind, landing, work), name=f"smart-async {kind}")
        # Not a daemon, even if whoever came first is one: a daemon dies in the middle of anything.
        thread.daemon = False
        try:
            thread.start()
        except RuntimeError:  # no thread can be started any more: the interpreter is about to end
            self._fly(kind, landing, work)

    def _fly(self, kind: str, landing: _Landing[Any], work: Callable[[], Any]) -> None:
        landing.thread = threading.get_ident()
        landing.begun.set()
        try:
            landing.result = work()
            landing.error = None
        except BaseException as exc:  # it is for those who wait, whatever it is
            landing.error = exc
        finally:
            self._land(kind, landing)

    def _land(self, kind: str, landing: _Landing[Any]) -> None:
        with self._lock:
            if self._landings.get(kind) is landing:
                del self._landings[kind]
        landing.done.set()


class _AsyncLanding(_Outcome[T]):
    """Where tasks wait for the end of a flight."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        from anyio import Event

        super().__init__()
        self.done = Event()


class AsyncFlights:
    """
    The work in progress of one session, for the tasks of one event loop.

    Args:
        longest: Seconds after which a piece of work is given up; it has deadlines of its own, so that this
            ends only what keeps none.
    """

    __slots__ = ("_landings", "_longest", "_loop")

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._loop: object = None
        self._landings: dict[str, _AsyncLanding[Any]] = {}

    async def join(self, kind: str, work: Callable[[], Awaitable[T]]) -> T:
        """
        Return the result of the *kind* of work that is in progress, or else of *work*.

        Args:
            kind: What sort of work; there is one of each at a time.
            work: What to do.

        Raises:
            ConfigurationError: If this is another event loop than the one before.
        """
        self._check_loop()
        landing = self._landings.get(kind)
        if landing is None:
            from smart_async.clients import _background

            landing = self._landings[kind] = _AsyncLanding()
            flight = landing
            _background.start(lambda: self._fly(kind, flight, work), name=f"smart-async {kind}")
        await landing.done.wait()
        result: T = landing.get()
        return result

    async def wait(self) -> None:
        """Return when nothing is in progress any more."""
        if self._landings:
            self._check_loop()
        for landing in tuple(self._landings.values()):
            await landing.done.wait()

    def _check_loop(self) -> None:
        from anyio.lowlevel import current_token

        loop = current_token()
        if self._loop is None:
            self._loop = loop
        elif self._loop != loop:
            raise ConfigurationError(
                "This session belongs to another event loop.",
                field="session",
                advice=(
                    "Make a client and a session in each loop. With one store for all of them, they share "
                    "the token and renew it once."
                ),
            )

    async def _fly(self, kind: str, landing: _AsyncLanding[Any], work: Callable[[], Awaitable[Any]]) -> None:
        from anyio import move_on_after

        try:
            with move_on_after(self._longest, shield=True):
                landing.result = await work()
                landing.error = None
        except Exception as exc:  # it is for those who wait, whatever it is
            landing.error = exc
        finally:
            del self._landings[kind]
            landing.done.set()


def _stopped() -> SmartError:
    return OutcomeUnknownError(
        "The work of this session was stopped from outside before its end.",
        advice="Ask again: what was stored by then says how far it had come.",
    )


def _waits_for_itself() -> ConfigurationError:
    return ConfigurationError(
        "The session was asked for a token by its own renewal, which waits for itself.",
        field="session",
        advice="Its transport, signer, store and on_event must not use the session that they serve.",
    )


def _copied(error: BaseException) -> BaseException:
    if not isinstance(error, SmartError):
        return error
    copy = error.__class__.__new__(error.__class__, *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy
