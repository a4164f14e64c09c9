"""What all stores share: what may go in, version names, waiting for a turn, and what a fork leaves behind."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

from smart_async.errors import StoreError
from smart_async.limits import STORE_KEY_BYTES, STORED_BYTES

__all__ = ("busy", "check_data", "digest_of", "new_version", "retry_until", "watch_forks")

_T = TypeVar("_T")

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


def digest_of(key: str) -> str:
    """
    Return the SHA-256 of *key* in hex: a name that fits anywhere and says nothing about a patient.

    Raises:
        StoreError: If *key* is empty, too long or no text.
    """
    try:
        encoded = key.encode("utf-8")
    except UnicodeEncodeError:
        encoded = b""
    if not 0 < len(encoded) <= STORE_KEY_BYTES:
        raise StoreError(
            f"A store's key has to be 1 to {STORE_KEY_BYTES} bytes of UTF-8 text.",
            advice="Use the key that the session gave you.",
        )
    return hashlib.sha256(encoded).hexdigest()


def check_data(data: bytes) -> bytes:
    """
    Return *data*, frozen.

    Raises:
        StoreError: If there are more bytes than a store takes.
    """
    if len(data) > STORED_BYTES:
        raise StoreError(
            f"A store takes at most {STORED_BYTES} bytes under one key, and these are {len(data)}.",
            advice="Find out why this token is so large: no server known sends a hundredth of it.",
        )
    return bytes(data)


def new_version() -> str:
    """Return a name that no other state of any key has, not even one that was deleted and saved again."""
    return secrets.token_urlsafe(15)


def busy(wait: float) -> StoreError:
    """Return the error for a lease that somebody else kept for longer than *wait* seconds."""
    return StoreError(
        f"Somebody else has held the lease of this token for {wait:g} seconds.",
        advice="Try again; if it persists, look for a worker that hangs in the middle of a renewal.",
    )


def retry_until(attempt: Callable[[], _T | None], wait: float) -> _T | None:
    """Return the first outcome of *attempt* that is not None; None if there is none within *wait* seconds."""
    deadline = time.monotonic() + wait
    pause = _FIRST_PAUSE
    while True:
        outcome = attempt()
        left = deadline - time.monotonic()
        if outcome is not None or left <= 0:
            return outcome
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


class _Forgetful(Protocol):
    def after_fork(self) -> None: ...


_watched: weakref.WeakSet[_Forgetful] = weakref.WeakSet()


def watch_forks(thing: _Forgetful) -> None:
    """Call `thing.after_fork()` in a child process: what a parent holds is not the child's."""
    _watched.add(thing)


def _after_fork_in_child() -> None:
    for thing in list(_watched):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
