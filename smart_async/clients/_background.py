"""
Work that runs to its end, whoever asked for it and whoever gives up waiting.

This is the one module that names asyncio and trio.

A renewal belongs to its session. If it ran in the task that happened to need the token first, cancelling that
task would cancel it between sending the refresh token and storing the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, cast

import anyio

__all__ = ("start",)

_running: set[asyncio.Task[None]] = set()
"""A loop holds its tasks weakly; what nobody else holds could be collected half-way."""


class _Flight(asyncio.Task[None]):
    """A task that the end of its loop waits for, where it cancels others."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it, unless it has not begun or the loop is being shut down: `asyncio.run` waits for it."""
        # Timeouts within the work come by here too, but those come while the loop is running. Not begun, it
        # would end without telling those who wait for it.
        work = cast("Coroutine[Any, Any, None]", self.get_coro())
        begun = getcoroutinestate(work) != CORO_CREATED
        return begun and self.get_loop().is_running() and super().cancel(msg)


def start(work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
    """
    Begin *work* on the running event loop, on its own.

    It inherits no context variables: they are of whoever came first, and speak of a request that may be over.

    Args:
        work: What to do. It must not raise.
        name: What debuggers call it.
    """
    if issubclass(anyio.get_cancelled_exc_class(), asyncio.CancelledError):
        task = _Flight(work(), loop=asyncio.get_running_loop(), name=name, context=Context())
        _running.add(task)
        task.add_done_callback(_running.discard)
    else:
        import trio

        _ = trio.lowlevel.spawn_system_task(work, name=name, context=Context())
