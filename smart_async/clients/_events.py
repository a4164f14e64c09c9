"""Telling whoever listens what a client did by itself: its logger, and a function of the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from smart_async.messages import Event

__all__ = ("Listener", "tell")

Listener: TypeAlias = "Callable[[Event], object]"
"""Is called with each event, in the middle of the work: it should be quick, and what it raises is logged."""


def tell(listener: Listener | None, event: Event) -> None:
    """
    Log *event*, and call *listener* with it.

    Args:
        listener: The caller's function, if there is one.
        event: What happened.
    """
    import logging  # nothing is told before the first event

    log = logging.getLogger("smart_async.sessions")
    log.log(logging.WARNING if event.name == "token.refresh.fail" else logging.DEBUG, "%s", event)
    if listener is not None:
        try:
            listener(event)
        except Exception:  # a broken metrics hook must not cost anybody a token
            log.exception("The listener failed at the event %s", event.name)
