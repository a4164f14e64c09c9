"""
The two drivers: they perform the steps of a flow, one by blocking and one by awaiting.

This is all that is written twice. Order and decisions are in the flows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, assert_never

from smart_async.clients import _storing
from smart_async.clients._events import Listener, tell
from smart_async.clients._signing import async_sign, blocking_signer
from smart_async.errors import TransportError
from smart_async.flow import (
    Delete,
    Emit,
    Exclusive,
    Flow,
    Instant,
    Load,
    Now,
    Save,
    Send,
    Sign,
    Sleep,
    Step,
)
from smart_async.interfaces import AsyncTransport, Clock, Lease, TokenStore, Transport
from smart_async.limits import LEASE_SECONDS, Timeouts

if TYPE_CHECKING:
    import anyio

    from smart_async.messages import Request

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


class _Base:
    """What both performers are made of."""

    __slots__ = ("_clock", "_deadline", "_lease", "_listener", "_store", "_timeouts")

    def __init__(
        self,
        timeouts: Timeouts,
        clock: Clock,
        store: _storing.OpenedStore | None = None,
        listener: Listener | None = None,
    ) -> None:
        self._timeouts = timeouts
        self._clock = clock
        self._store = store or _storing.OpenedStore(None)
        self._listener = listener
        self._deadline = 0.0
        self._lease: Lease | None = None

    def begin(self, lease: Lease | None = None) -> Self:
        """
        Return a performer for one operation, whose time begins now.

        Args:
            lease: The lease under which it saves.
        """
        other = object.__new__(type(self))
        for name in (*_Base.__slots__, *type(self).__slots__):
            setattr(other, name, getattr(self, name))
        other._deadline = self._clock.monotonic() + self._timeouts.total
        other._lease = lease
        return other

    @property
    def longest(self) -> float:
        """Seconds that the longest operation takes if everything in it ends when it should."""
        # Before the lease, waiting for it, under it, and giving it back.
        return LEASE_SECONDS + 3 * self._timeouts.total

    @property
    def clock(self) -> Clock:
        """Who tells the time."""
        return self._clock

    @property
    def store(self) -> TokenStore:
        """Where sessions keep their tokens."""
        return self._store.get()

    def _now(self) -> Instant:
        return Instant(self._clock.wall(), self._clock.monotonic(), self._deadline)

    def _time_for(self, request: Request) -> Timeouts:
        if not self._deadline:
            return self._timeouts
        timeouts = self._timeouts
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise TransportError(
                f"The operation was not over after {timeouts.total:g} seconds.",
                endpoint=request.url.partition("?")[0],
                advice="This request was not sent. If the server is honestly slow, raise Timeouts(total=…).",
                sent=False,
            )
        return timeouts.within(left)


class Performer(_Base):
    """
    Performs steps by blocking.

    Args:
        transport: Who sends.
        timeouts: How long an operation may take.
        clock: Who tells the time.
        store: Where sessions keep their tokens.
        listener: Who is told what happens.
    """

    __slots__ = ("_locks", "_transport")

    def __init__(
        self,
        transport: Transport,
        timeouts: Timeouts,
        clock: Clock,
        store: _storing.OpenedStore | None = None,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(timeouts, clock, store, listener)
        self._transport = transport
        self._locks: dict[tuple[int, str], threading.Lock] = {}

    def _lock(self, key: str) -> threading.Lock:
        # By process: a lock that another thread held during a fork is never released in the child. And in
        # one step, for the threads that share this.
        return self._locks.setdefault((os.getpid(), key), threading.Lock())

    def __call__(self, step: Step) -> Any:
        """Perform *step* and return its outcome."""
        match step:
            case Send():
                response = self._transport.send(step.request, self._time_for(step.request))
                return response.stamped(self._clock.wall())
            case Sign():
                return blocking_signer(step.signer).sign(step.signing_input)
            case Now():
                return self._now()
            case Sleep():
                return time.sleep(step.seconds)
            case Exclusive():
                return self._exclusive(step)
            case Load() | Save() | Delete():
                return _storing.perform(self._store.get(), step, self._lease)
            case Emit():
                return tell(self._listener, step.event)
            case _:
                assert_never(step)

    def _exclusive(self, step: Exclusive) -> Any:
        if not step.leased:
            with self._lock(step.key):
                return drive(step.flow, self)
        lease = _storing.acquire(self._store.get(), step.key, LEASE_SECONDS)
        try:
            return drive(step.flow, self.begin(lease))
        finally:
            lease.release()


class AsyncPerformer(_Base):
    """
    Performs steps by awaiting.

    Args:
        transport: Who sends.
        timeouts: How long an operation may take.
        clock: Who tells the time.
        store: Where sessions keep their tokens.
        listener: Who is told what happens.
    """

    __slots__ = ("_locks", "_transport")

    def __init__(
        self,
        transport: AsyncTransport,
        timeouts: Timeouts,
        clock: Clock,
        store: _storing.OpenedStore | None = None,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(timeouts, clock, store, listener)
        self._transport = transport
        self._locks = _Locks()

    async def __call__(self, step: Step) -> Any:
        """Perform *step* and return its outcome."""
        match step:
            case Send():
                response = await self._transport.async_send(step.request, self._time_for(step.request))
                return response.stamped(self._clock.wall())
            case Sign():
                return await async_sign(step.signer, step.signing_input)
            case Now():
                return self._now()
            case Sleep():
                import anyio

                return await anyio.sleep(step.seconds)
            case Exclusive():
                return await self._exclusive(step)
            case Load() | Save() | Delete():
                return await _storing.async_perform(self._store.get(), step, self._lease)
            case Emit():
                return tell(self._listener, step.event)
            case _:
                assert_never(step)

    async def _exclusive(self, step: Exclusive) -> Any:
        if not step.leased:
            async with self._locks.of(step.key):
                return await drive_async(step.flow, self)
        async with _storing.leased(self._store.get(), step.key, LEASE_SECONDS) as lease:
            return await drive_async(step.flow, self.begin(lease))


class _Locks:
    """The locks of one client on the event loop that it runs on."""

    __slots__ = ("_locks", "_loop")

    def __init__(self) -> None:
        self._loop: object = None
        self._locks: dict[str, anyio.Lock] = {}

    def of(self, key: str) -> anyio.Lock:
        """Return the lock of *key*."""
        from anyio import Lock
        from anyio.lowlevel import current_token

        # A lock belongs to the loop that first waited for it; a client may be used by several in turn.
        if self._loop != (loop := current_token()):
            self._loop, self._locks = loop, {}
        return self._locks.setdefault(key, Lock())
