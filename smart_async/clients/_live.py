"""The sessions of one client that somebody still holds: one for each token, however often it is asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from smart_async.smart.sessions.state import SessionState

__all__ = ("LiveSessions",)


class _Session(Protocol):
    @property
    def state(self) -> SessionState:
        """The pure half."""
        ...


S = TypeVar("S", bound=_Session)


class LiveSessions(Generic[S]):
    """
    Finds the session that is in use already.

    A web app makes a session for each request, from the token that it stored. Two for one login would refresh
    side by side.

    Args:
        make: Makes a session from its pure half.
    """

    __slots__ = ("_live", "_lock", "_make", "_pid")

    def __init__(self, make: Callable[[SessionState], S]) -> None:
        self._make = make
        self._live: WeakValueDictionary[str, S] | None = None  # most clients have none
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def of(self, state: SessionState) -> S:
        """
        Return the session in use that has the identity of *state*, or a new one.

        Args:
            state: A session's pure half.
        """
        name = state.key or f"backend {' '.join(sorted(map(str, state.scope)))}"
        with self._unshared():
            if self._live is None:
                self._live = WeakValueDictionary()
            session = self._live.get(name)
            if session is None:
                session = self._live[name] = self._make(state)
            else:
                session.state.merge(state)
            return session

    def __iter__(self) -> Iterator[S]:
        """Iterate over the sessions in use."""
        with self._unshared():
            return iter(() if self._live is None else tuple(self._live.values()))

    def _unshared(self) -> threading.Lock:
        # In the child of a fork nobody holds it: the thread that did stayed behind.
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()  # pragma: no cover - a forked child
        return self._lock
