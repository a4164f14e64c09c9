"""A store for flows that are driven by hand: versions, leases, failures and interference on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smart_async import StoreError
from smart_async.flow import Delete, Load, Save
from smart_async.interfaces import Stored

__all__ = ("VersionedStore",)


class VersionedStore:
    """
    Bytes under keys, each with a version, and the number of each key's latest lease.

    `before` and `after` set a trap: something that happens right before, or right after, the n-th step of a
    kind from now on. What a trap raises is what the step raises; after a step, that is a lost reply.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Stored] = {}
        self.fences: dict[str, int] = {}
        self.away = False
        self._saves = 0
        self._traps: list[tuple[bool, type, int, Callable[[], object]]] = []

    def before(self, kind: type, action: Callable[[], object], *, nth: int = 1) -> None:
        """Do *action* before the *nth* step of *kind* from now on."""
        self._traps.append((False, kind, nth, action))

    def after(self, kind: type, action: Callable[[], object], *, nth: int = 1) -> None:
        """Do *action* after the *nth* step of *kind* from now on has been performed."""
        self._traps.append((True, kind, nth, action))

    def put(self, key: str, data: bytes) -> str:
        """Store *data* whatever is there, as another worker would, and return its version."""
        self._saves += 1
        self.entries[key] = Stored(data, str(self._saves))
        return str(self._saves)

    def acquire(self, key: str) -> int:
        """Return the number of a new lease of *key*; the ones before are stale from now on."""
        self._reachable()
        self.fences[key] = self.fences.get(key, 0) + 1
        return self.fences[key]

    def perform(self, step: Load | Save | Delete, fence: int | None = None) -> Any:
        """Perform *step* under the lease with the number *fence*, and return its outcome."""
        self._reachable()
        for action in self._due(type(step)):
            action()
        self._reachable()
        outcome = self._performed(step, fence)
        for action in self._armed:
            action()
        return outcome

    def _reachable(self) -> None:
        if self.away:
            raise StoreError("The store is away.")

    def _due(self, kind: type) -> list[Callable[[], object]]:
        kept, due, self._armed = [], [], []
        for late, trapped, nth, action in self._traps:
            if trapped is not kind or nth > 1:
                kept.append((late, trapped, nth - (trapped is kind), action))
            else:
                (self._armed if late else due).append(action)
        self._traps = kept
        return due

    def _performed(self, step: Load | Save | Delete, fence: int | None) -> Any:
        entry = self.entries.get(step.key)
        match step:
            case Load():
                return entry
            case Delete():
                self.entries.pop(step.key, None)
                return None
            case Save():
                stale = step.fenced and fence is not None and fence != self.fences.get(step.key)
                if stale or (entry.version if entry else None) != step.expected:
                    return None
                return self.put(step.key, step.data)

    @staticmethod
    def lost() -> None:
        """Lose the reply: the trap for `after`, or the failure for `before`."""
        raise StoreError("The connection to the store was lost.")
