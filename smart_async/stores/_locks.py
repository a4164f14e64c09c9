"""
Locks between processes: `flock` on a file, which the kernel takes back from whoever dies.

So there is no lock that has to be judged stale, and none that can be broken by judging wrong. A lock
holds only as long as its name leads to the file that was locked: whoever removes the file hands
the next one a new file, and this notices.
"""

from __future__ import annotations

import contextlib
import os
import sys

from smart_async.stores._common import watch_forks
from smart_async.stores._folder import OpenFolder

if sys.platform != "win32":
    import fcntl

__all__ = ("FileLock", "try_lock")


class FileLock:
    """A file that is locked, until it is released or nobody refers to it any more."""

    __slots__ = ("__weakref__", "_file", "_open")

    def __init__(self, fd: int) -> None:
        self._open = [fd]
        self._file = os.fstat(fd)
        watch_forks(self)

    @property
    def fd(self) -> int:
        """The file's descriptor, while the lock is held."""
        return self._open[0]

    def held(self) -> bool:
        """Return whether it has not been released, and not been inherited through a fork."""
        return bool(self._open)

    def is_of(self, folder: OpenFolder, name: str) -> bool:
        """Return whether *name* still leads to the file that was locked."""
        now = folder.look(name)
        return now is not None and os.path.samestat(now, self._file)

    def release(self) -> None:
        """Let the next one have it."""
        with contextlib.suppress(IndexError):
            fd = self._open.pop()  # one thread gets it, however many release at once
            # Unlocked by name: a child forked meanwhile has the descriptor as well until it drops it.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def after_fork(self) -> None:
        """Close a child's copy without unlocking: both share one lock, and it is the parent's."""
        with contextlib.suppress(IndexError):
            os.close(self._open.pop())

    def __del__(self) -> None:
        self.release()


def try_lock(folder: OpenFolder, name: str) -> FileLock | None:
    """
    Return the lock on the file *name*, or None if somebody else has it at the moment.

    Raises:
        StoreError: If the file is anything but a plain file that only we can reach.
    """
    fd = folder.open_for_locking(name)
    if fd is None:
        return None
    lock = FileLock(fd)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock.is_of(folder, name):
            return lock
    lock.release()
    return None
