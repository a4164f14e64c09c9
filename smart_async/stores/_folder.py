"""
A folder that nobody else can reach into: every file is opened relative to it, then judged.

Judging a path before opening it would judge something that can be exchanged in between. No link is ever
followed, because nothing here has a reason to be one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import shlex
import stat
from collections.abc import Generator
from pathlib import Path

from smart_async.errors import StoreError

__all__ = ("Folder", "OpenFolder", "draft_name")


def _flags(*names: str) -> int:
    """Return the flags of `os.open` with these names. Windows has none of them; it imports this, no more."""
    return sum(getattr(os, name, 0) for name in names)


# Python opens everything so that no program started later inherits it.
_SAFE = _flags("O_NOFOLLOW")
# A FIFO is opened without waiting for its other end, and refused afterwards.
_QUIET = _SAFE | _flags("O_NONBLOCK", "O_NOCTTY")
_NOT_OWNER = stat.S_IRWXG | stat.S_IRWXO
_OWN_FILE = 0o600
_OWN_FOLDER = 0o700


class OpenFolder:
    """The folder while it is open: `fd` is its descriptor, `path` its name for messages."""

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    def read(self, name: str, size: int) -> bytes | None:
        """
        Return up to *size* bytes of a file, or None if there is none.

        Raises:
            StoreError: If it is anything but a plain file that only we can reach.
        """
        try:
            fd = self._open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(size)

    def open_for_locking(self, name: str) -> int | None:
        """Return the descriptor of a file that is there, or is now; None if it has gone at this moment."""
        try:
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, _OWN_FILE, dir_fd=self.fd)
        except FileExistsError:
            try:
                return self._open(name, os.O_RDWR)
            except FileNotFoundError:
                return None
        os.fchmod(fd, _OWN_FILE)  # whatever the umask is
        return fd

    def look(self, name: str) -> os.stat_result | None:
        """Return what has that name, a link itself included, or None."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def replace(self, name: str, draft: str, data: bytes) -> None:
        """Put *data* under *name*, at once and for good: a crash leaves the old content or the new one."""
        try:
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, _OWN_FILE, dir_fd=self.fd)
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, _OWN_FILE)
                file.write(data)
                file.flush()
                os.fsync(fd)
            os.replace(draft, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            self.remove(draft)
            raise
        os.fsync(self.fd)

    def set_aside(self, name: str, stem: str) -> str:
        """Rename a file to the first free of `stem-1`, `stem-2` and so on, and return that name."""
        names = (f"{stem}-{number}" for number in itertools.count(1))
        aside = next(name for name in names if self.look(name) is None)
        os.chmod(name, _OWN_FILE, dir_fd=self.fd)
        os.replace(name, aside, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        os.fsync(self.fd)
        return aside

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def flush(self) -> None:
        """Return once the folder's names are on the disk."""
        os.fsync(self.fd)

    def _open(self, name: str, flags: int) -> int:
        try:
            fd = os.open(name, flags | _QUIET, dir_fd=self.fd)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.EMLINK):
                raise self._refuse(name, "is a symbolic link", "rm") from None
            raise
        try:
            self._judge(name, os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _judge(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise self._refuse(name, "is not a plain file")
        if found.st_uid != os.geteuid():
            raise self._refuse(name, f"belongs to another user (uid {found.st_uid})")
        if found.st_nlink > 1:
            raise self._refuse(name, "has a second name (a hard link)")
        if found.st_mode & _NOT_OWNER:
            mode = stat.S_IMODE(found.st_mode)
            what = f"can be reached by others than its owner (mode {mode:04o})"
            raise self._refuse(name, what, "chmod 600")

    def _refuse(self, name: str, what: str, command: str | None = None) -> StoreError:
        path = str(self.path / name)
        todo = "Remove it" if command is None else f"Run: {command} {shlex.quote(path)}"
        return StoreError(
            f"In the token store, {path} {what}; nothing of it was used.",
            advice=f"Find out who put it there; what it holds may be known or forged. {todo}",
        )


class Folder:
    """
    The folder of a file store.

    Args:
        path: Where; it is made, with mode 0700, if only its last part is missing.

    Raises:
        StoreError: If it cannot be made, or is not a folder that only we can reach.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Absolute: the process may change its directory.
        self.path = Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100 - resolve() would follow links
        try:
            with contextlib.suppress(FileExistsError):
                self.path.mkdir(_OWN_FOLDER)
                self.path.chmod(_OWN_FOLDER)  # whatever the umask is
        except (OSError, ValueError) as exc:
            raise self.failure("be made", exc) from None
        with self.open():
            pass

    @contextlib.contextmanager
    def open(self) -> Generator[OpenFolder]:
        """Open and judge the folder; what goes wrong with files in it becomes a `StoreError`."""
        try:
            fd = os.open(self.path, os.O_RDONLY | _flags("O_DIRECTORY") | _SAFE)
            try:
                self._judge(os.fstat(fd))
                yield OpenFolder(fd, self.path)
            finally:
                os.close(fd)
        except OSError as exc:
            raise self.failure("be read or written", exc) from None

    def failure(self, what: str, exc: OSError | ValueError) -> StoreError:
        """Return the error for what the system refused."""
        reason = exc.strerror or type(exc).__name__ if isinstance(exc, OSError) else "it is not a valid path"
        return StoreError(
            f"The token store {str(self.path)!a} cannot {what}: {reason}.",
            advice="See that the folder is there, is yours and not a link, and that the disk has room; "
            "what was stored before is unchanged.",
        )

    def _judge(self, found: os.stat_result) -> None:
        me, path = os.geteuid(), shlex.quote(str(self.path))
        if found.st_uid != me:
            raise StoreError(
                f"The token store {self.path} belongs to another user (uid {found.st_uid}).",
                advice="Choose a folder of your own.",
            )
        if found.st_mode & _NOT_OWNER:
            mode = stat.S_IMODE(found.st_mode)
            raise StoreError(
                f"The token store {self.path} can be entered by others than its owner (mode {mode:04o}).",
                advice=f"If nobody has put anything there, run: chmod 700 {path}",
            )


def draft_name(digest: str) -> str:
    """Return a name for a file that is about to become a record."""
    return f".{digest}.{secrets.token_hex(8)}.tmp"
