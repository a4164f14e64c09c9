"""
The two drivers: they perform the steps of a flow, one by blocking and one by awaiting.

This is all that is written twice. Order and decisions are in the flows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from smart_async.errors import ConfigurationError
from smart_async.flow import Exclusive, Flow, Instant, Now, Send, Sign, Sleep, Step
from smart_async.interfaces import AsyncSigner, AsyncTransport, Clock, Signer, Transport
from smart_async.limits import Timeouts

if TYPE_CHECKING:
    import anyio
    from anyio.lowlevel import RunVar

__all__ = ("AsyncPerformer", "Performer", "SystemClock", "drive", "drive_async")

T = TypeVar("T")


class SystemClock:
    """The clock of this machine."""

    __slots__ = ()

    def wall(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


def drive(flow: Flow[T], perform: Callable[[Step], object]) -> T:
    """
    Perform each step of *flow* and return its result.

    An error in a step is thrown into the flow, which may recover from it.

    Args:
        flow: The plan.
        perform: Performs one step and returns its outcome.
    """
    try:
        step = next(flow)
        while True:
            try:
                outcome = perform(step)
            except Exception as exc:  # the flow decides which errors it can recover from
                step = flow.throw(exc)
            else:
                step = flow.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()  # also on Ctrl-C, so that a flow's own clean-up runs now and not at some later time


async def drive_async(flow: Flow[T], perform: Callable[[Step], Awaitable[object]]) -> T:
    """
    Perform each step of *flow* by awaiting it, and return its result.

    Args:
        flow: The plan.
        perform: Performs one step and returns its outcome.
    """
    try:
        step = next(flow)
        while True:
            try:
                outcome = await perform(step)
            except Exception as exc:  # the flow decides which errors it can recover from
                step = flow.throw(exc)
            else:
                step = flow.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


class Performer:
    """
    Performs steps by blocking.

    Args:
        transport: Who sends.
        timeouts: How long a request may take.
        clock: Who tells the time.
    """

    __slots__ = ("_clock", "_locks", "_timeouts", "_transport")

    def __init__(self, transport: Transport, timeouts: Timeouts, clock: Clock) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._clock = clock
        self._locks: dict[tuple[int, str], threading.Lock] = {}

    def _lock(self, key: str) -> threading.Lock:
        # By process: a lock that another thread held during a fork is never released in the child. And in
        # one step, for the threads that share this.
        return self._locks.setdefault((os.getpid(), key), threading.Lock())

    def __call__(self, step: Step) -> Any:
        """Perform *step* and return its outcome."""
        match step:
            case Send():
                return self._transport.send(step.request, self._timeouts).stamped(self._clock.wall())
            case Sign():
                return _blocking_signer(step.signer).sign(step.signing_input)
            case Now():
                return Instant(self._clock.wall(), self._clock.monotonic())
            case Sleep():
                return time.sleep(step.seconds)
            case Exclusive():
                with self._lock(step.key):
                    return drive(step.flow, self)
            case _:
                assert_never(step)


class AsyncPerformer:
    """
    Performs steps by awaiting.

    Args:
        transport: Who sends.
        timeouts: How long a request may take.
        clock: Who tells the time.
    """

    __slots__ = ("_clock", "_locks", "_loop", "_timeouts", "_transport")

    def __init__(self, transport: AsyncTransport, timeouts: Timeouts, clock: Clock) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._clock = clock
        self._loop: object = None
        self._locks: dict[str, anyio.Lock] = {}

    def _lock(self, key: str) -> anyio.Lock:
        from anyio import Lock
        from anyio.lowlevel import current_token

        # A lock belongs to the loop that first waited for it; a client may be used by several in turn.
        if self._loop != (loop := current_token()):
            self._loop, self._locks = loop, {}
        return self._locks.setdefault(key, Lock())

    async def __call__(self, step: Step) -> Any:
        """Perform *step* and return its outcome."""
        match step:
            case Send():
                response = await self._transport.async_send(step.request, self._timeouts)
                return response.stamped(self._clock.wall())
            case Sign():
                return await _sign(step.signer, step.signing_input)
            case Now():
                return Instant(self._clock.wall(), self._clock.monotonic())
            case Sleep():
                import anyio

                return await anyio.sleep(step.seconds)
            case Exclusive():
                async with self._lock(step.key):
                    return await drive_async(step.flow, self)
            case _:
                assert_never(step)


def _blocking_signer(signer: Signer | AsyncSigner) -> Signer:
    if not isinstance(signer, Signer):
        raise ConfigurationError(
            "The signer can only be awaited.", field="client_auth", advice="Use AsyncSmartClient with it."
        )
    return signer


async def _sign(signer: Signer | AsyncSigner, signing_input: bytes) -> bytes:
    if isinstance(signer, AsyncSigner):
        return await signer.async_sign(signing_input)
    if not signer.blocking:
        async with _turn():
            return signer.sign(signing_input)
    import anyio.to_thread

    return await anyio.to_thread.run_sync(signer.sign, signing_input, limiter=_limiter())


_signing_limiter: RunVar[anyio.CapacityLimiter] | None = None
_signing_turn: RunVar[anyio.Lock] | None = None


def _turn() -> anyio.Lock:
    # One quick signature to a turn of the loop: 200 tasks that wake up together would add theirs to a stall
    # of 200 times that. Waiting for the lock gives the loop its turn, so it must not be a fast one.
    from anyio import Lock
    from anyio.lowlevel import RunVar

    global _signing_turn
    if _signing_turn is None:
        _signing_turn = RunVar("smart_async_signing_turn")
    try:
        return _signing_turn.get()
    except LookupError:
        lock = Lock()
        _signing_turn.set(lock)
        return lock


def _limiter() -> anyio.CapacityLimiter:
    # Not anyio's default of 40 threads: so many signatures at once leave the loop no processor to run on.
    from anyio import CapacityLimiter
    from anyio.lowlevel import RunVar

    global _signing_limiter  # made on first use, so that importing costs nothing
    if _signing_limiter is None:
        _signing_limiter = RunVar("smart_async_signing_limiter")
    try:
        return _signing_limiter.get()
    except LookupError:
        limiter = CapacityLimiter(max(1, (os.cpu_count() or 1) - 1))
        _signing_limiter.set(limiter)
        return limiter
