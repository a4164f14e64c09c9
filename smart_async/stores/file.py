"""A store in a folder: for the processes of one user on one machine, and for what survives a restart."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Generator, Iterable
from typing import TypeAlias

from smart_async.errors import ConfigurationError, StoreError
from smart_async.interfaces import Lease, Stored
from smart_async.stores._common import busy, check_data, digest_of, new_version, retry_until
from smart_async.stores._folder import Folder, OpenFolder, draft_name
from smart_async.stores._locks import FileLock, try_lock
from smart_async.stores._record import RECORD_BYTES, Damaged, Record, pack, unpack
from smart_async.stores._sealing import EncryptionKey, Sealer
from smart_async.stores._tidying import (
    forget_if_old,
    lease_name,
    lock_name,
    record_name,
    remove_if_old,
    tidy,
)

__all__ = ("FileStore",)

_Path: TypeAlias = str | os.PathLike[str]

_DRAFT = re.compile(r"\.([0-9a-f]{64})\.[0-9a-f]{16}\.tmp")
_OURS = re.compile(r"([0-9a-f]{64})\.(?:token|lock|lease)")
_DRAFT_AGE = 600.0
"""Seconds after which a draft is taken for the left-over of a process that died."""
_WRITE_WAIT = 10.0
"""Seconds to wait for another write of the same key; one takes milliseconds."""
_FENCE = re.compile(rb"[0-9]{1,16}")


class _FileLease:
    """A key's lease, until it is released, its process ends or nobody refers to it any more."""

    __slots__ = ("_lock", "digest", "fence")

    def __init__(self, lock: FileLock, digest: str, fence: int) -> None:
        self._lock = lock
        self.digest = digest
        self.fence = fence

    def is_current(self, folder: OpenFolder) -> bool:
        """Return whether nobody else can have had a lease since."""
        name = lease_name(self.digest)
        # A file that is gone altogether has been given to nobody else.
        return self._lock.held() and (folder.look(name) is None or self._lock.is_of(folder, name))

    def release(self) -> None:
        """Let the next one have it."""
        self._lock.release()


class FileStore:
    """
    Keeps each token in a file of its own, in a folder that only its owner can enter.

    A crash at any moment leaves the old content or the new one. Reading takes no lock. A lease is the
    kernel's lock on a file, so it is free again as soon as its holder dies. What is found damaged is renamed
    to `*.corrupt-1` and reported, once: the next load then finds nothing. Anything that does not belong
    there, or that others can reach, is refused: links, pipes, other owners, open modes.

    Nothing is forgotten by itself: call `prune` now and then where users come and do not sign out.

    It needs a POSIX system; on Windows use `MemoryStore` or `RedisStore`. The folder belongs on a local
    disk: on NFS it depends on the server whether locks and renames keep their promises.

    Args:
        path: The folder. It is made, with mode 0700, if only its last part is missing.
        encryption_key: 32 random bytes, or a function that returns them, to encrypt with AES-256-GCM. None
            leaves tokens in plain text, for root and for backups to read. Encrypted or not, somebody who can
            write to the folder can put back what was there before.
        old_keys: Keys that older records may still be encrypted with, when you change keys: each record
            moves to the current key when it is next saved. None among them stands for records without
            encryption.

    Raises:
        ConfigurationError: If a key is not 32 bytes, or this is Windows.
        StoreError: If the folder cannot be made, or others can reach it.
    """

    def __init__(
        self,
        path: _Path,
        *,
        encryption_key: EncryptionKey | None = None,
        old_keys: Iterable[EncryptionKey | None] = (),
    ) -> None:
        if sys.platform == "win32":  # pragma: no cover - Windows
            raise ConfigurationError(
                "A FileStore needs a POSIX system: Windows has neither its locks nor its file modes.",
                field="store",
                advice="Use a RedisStore, or a MemoryStore if nothing has to survive the process.",
            )
        self._sealer = Sealer(encryption_key, old_keys)
        self._folder = Folder(path)
        self._sweep()

    def __repr__(self) -> str:
        """Say where the files are."""
        return f"FileStore({str(self._folder.path)!r})"

    def load(self, key: str) -> Stored | None:
        """Return what is stored under *key*, or None; see `TokenStore.load`."""
        digest = digest_of(key)
        with self._folder.open() as folder:
            try:
                record = self._read(folder, digest, key)
            except Damaged:
                # Perhaps it is being set aside or written anew at this moment: look again undisturbed.
                with _writing(folder, digest):
                    record = self._read_or_set_aside(folder, digest, key)
        return None if record is None else Stored(record.data, record.version)

    def save(self, key: str, data: bytes, *, expected: str | None, lease: Lease | None = None) -> str | None:
        """Store *data* under *key* if nobody has changed it meanwhile; see `TokenStore.save`."""
        digest, data = digest_of(key), check_data(data)
        held = None if lease is None else _own(lease, digest)
        self._sweep_now_and_then()
        with self._folder.open() as folder, _writing(folder, digest):
            current = self._read_or_set_aside(folder, digest, key)
            if (None if current is None else current.version) != expected:
                return None
            fence = 0 if current is None else current.fence
            if held is not None:
                if not held.is_current(folder) or held.fence < fence:
                    return None
                fence = held.fence
            record = Record(data=data, version=new_version(), fence=fence)
            folder.replace(record_name(digest), draft_name(digest), pack(record, key, self._sealer))
            return record.version

    def delete(self, key: str, *, expected: str | None = None) -> bool:
        """Forget *key*; see `TokenStore.delete`."""
        digest = digest_of(key)
        with self._folder.open() as folder, _writing(folder, digest) as lock:
            if expected is not None:
                current = self._read_or_set_aside(folder, digest, key)
                if current is None or current.version != expected:
                    return False
            found = folder.read(record_name(digest), 1) is not None
            folder.remove(record_name(digest))
            tidy(folder, digest, lock)
            folder.flush()
            return found

    def acquire(self, key: str, *, wait: float) -> Lease:
        """Return the lease of *key* once no other thread or process holds it; see `TokenStore.acquire`."""
        digest = digest_of(key)
        name = lease_name(digest)
        with self._folder.open() as folder:
            lock = retry_until(lambda: try_lock(folder, name), wait)
            if lock is None:
                raise busy(wait)
            try:
                return _FileLease(lock, digest, _next_fence(lock.fd))
            except BaseException:
                lock.release()
                raise

    def prune(self, before: float) -> int:
        """
        Forget what was last saved before a moment: logins that nobody will come back to.

        Reading counts for nothing, renewing a token does. So go back further than a refresh token of yours
        lives; whoever comes after all has to sign in again. What somebody is changing at this moment stays,
        and so does what was set aside as damaged. Any process may call this, while others use the folder.

        Args:
            before: Unix seconds, such as `time.time() - 90 * 86_400`.

        Returns:
            How many keys were forgotten.

        Raises:
            ConfigurationError: If *before* is no number.
            StoreError: If the folder cannot be read.
        """
        if type(before) not in (int, float):
            raise ConfigurationError("prune takes a moment in Unix seconds.", field="before")
        forgotten = 0
        with self._folder.open() as folder:
            with os.scandir(folder.fd) as entries:
                digests = {match[1] for entry in entries if (match := _OURS.fullmatch(entry.name))}
            for digest in digests:
                with contextlib.suppress(OSError, StoreError):
                    forgotten += forget_if_old(folder, digest, before)
            folder.flush()
        return forgotten

    def close(self) -> None:
        """Do nothing: between two calls no file is open, but for the leases that are held."""

    def _read(self, folder: OpenFolder, digest: str, key: str) -> Record | None:
        blob = folder.read(record_name(digest), RECORD_BYTES + 1)
        return None if blob is None else unpack(blob, key, self._sealer)

    def _read_or_set_aside(self, folder: OpenFolder, digest: str, key: str) -> Record | None:
        try:
            return self._read(folder, digest, key)
        except Damaged as exc:
            aside = folder.set_aside(record_name(digest), f"{digest}.corrupt")
            raise StoreError(
                f"A stored token was damaged ({exc}); it was moved to {self._folder.path / aside}.",
                advice="The session is lost: sign in again, and find out what happened to the disk.",
            ) from None

    def _sweep_now_and_then(self) -> None:
        if time.monotonic() - self._swept > _DRAFT_AGE:
            self._sweep()

    def _sweep(self) -> None:
        """Remove the drafts that dead processes left, under the lock of each."""
        self._swept = time.monotonic()
        with self._folder.open() as folder, os.scandir(folder.fd) as entries:
            old = time.time() - _DRAFT_AGE
            drafts = [match for entry in entries if (match := _DRAFT.fullmatch(entry.name))]
            for draft in drafts:
                with contextlib.suppress(OSError, StoreError):
                    remove_if_old(folder, draft[0], draft[1], old)


@contextlib.contextmanager
def _writing(folder: OpenFolder, digest: str) -> Generator[FileLock]:
    lock = retry_until(lambda: try_lock(folder, lock_name(digest)), _WRITE_WAIT)
    if lock is None:
        raise StoreError(
            f"Another process has been writing the same token in {folder.path} for {_WRITE_WAIT:g} seconds.",
            advice="Look for a worker that was stopped in the middle of a write.",
        )
    try:
        yield lock
    finally:
        lock.release()


def _next_fence(fd: int) -> int:
    """Return a number above the one in the lease's file, and above any that was in a file now removed."""
    written = os.pread(fd, 64, 0)
    last = int(written) if _FENCE.fullmatch(written) else 0
    fence = max(last + 1, time.time_ns() // 1000)
    os.ftruncate(fd, os.pwrite(fd, str(fence).encode(), 0))
    return fence


def _own(lease: Lease, digest: str) -> _FileLease:
    if not isinstance(lease, _FileLease) or lease.digest != digest:
        raise StoreError(
            "This lease was not given by a file store for this key.",
            advice="Acquire the lease from the store and for the key that you save to.",
        )
    return lease
