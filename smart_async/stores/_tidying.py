"""What each key has in the folder, and how that goes away again: names, drafts, locks and old records."""

from __future__ import annotations

import os
import stat

from smart_async.stores._folder import OpenFolder
from smart_async.stores._locks import FileLock, try_lock

__all__ = ("forget_if_old", "lease_name", "lock_name", "record_name", "remove_if_old", "tidy")


def record_name(digest: str) -> str:
    """Return the name of a key's record."""
    return f"{digest}.token"


def lock_name(digest: str) -> str:
    """Return the name of the file that is locked while the record is written."""
    return f"{digest}.lock"


def lease_name(digest: str) -> str:
    """Return the name of the file that is locked while somebody holds the lease."""
    return f"{digest}.lease"


def remove_if_old(folder: OpenFolder, name: str, digest: str, old: float) -> None:
    """
    Remove a draft that a dead process left.

    Args:
        folder: The folder.
        name: The draft's name.
        digest: The key that it was to become the record of.
        old: Unix seconds; what was written later may be a draft still.
    """
    found = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    if stat.S_ISREG(found.st_mode) and found.st_mtime < old:
        lock = try_lock(folder, lock_name(digest))
        if lock is not None:
            folder.remove(name)
            lock.release()


def tidy(folder: OpenFolder, digest: str, lock: FileLock) -> None:
    """
    Remove the files of a key's locks, unless its lease is held; those who wait for them notice.

    Args:
        folder: The folder.
        digest: The key.
        lock: The lock under which its record is written; the caller holds it.
    """
    lease = try_lock(folder, lease_name(digest))
    if lease is not None:
        folder.remove(lease_name(digest))
        lease.release()
    if lock.is_of(folder, lock_name(digest)):
        folder.remove(lock_name(digest))


def forget_if_old(folder: OpenFolder, digest: str, before: float) -> bool:
    """
    Forget a key that was not saved lately, with the files of its locks, unless somebody holds one of them.

    Args:
        folder: The folder.
        digest: The key.
        before: Unix seconds; what was saved later stays.

    Returns:
        Whether there was a record.
    """
    if _saved_since(folder, digest, before) or (lock := try_lock(folder, lock_name(digest))) is None:
        return False
    try:
        lease = try_lock(folder, lease_name(digest))
        if lease is None:
            return False
        # Under both locks nobody writes; before, somebody may have.
        old = not _saved_since(folder, digest, before)
        found = folder.look(record_name(digest)) is not None
        if old:
            folder.remove(record_name(digest))
        lease.release()
        tidy(folder, digest, lock)
        return old and found
    finally:
        lock.release()


def _saved_since(folder: OpenFolder, digest: str, before: float) -> bool:
    record = folder.look(record_name(digest))
    return record is not None and record.st_mtime >= before
