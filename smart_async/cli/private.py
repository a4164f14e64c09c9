"""Files with secrets other than keys: registrations and tokens, written and read for their owner alone."""

from __future__ import annotations

import os
import secrets
import shlex
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from smart_async.errors import ConfigurationError
from smart_async.limits import DOCUMENT_BYTES

__all__ = ("PrivateFile", "read_private", "read_stdin")

_POSIX = os.name == "posix"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class PrivateFile:
    """
    A file (mode 0600) that is made before something irrevocable is done, and filled afterwards.

    What a server tells only once must not meet a full disk or a wrong path when it arrives.

    Args:
        path: Where.
        overwrite: Replace a plain file that is there, at once and only when there is something to keep.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}") if overwrite else path
        self.written = False

    @contextmanager
    def reserved(self) -> Generator[PrivateFile]:
        """
        Make the file, and take it away again if the block ends without anything in it.

        Raises:
            ConfigurationError: If it cannot be made, or something is there already.
        """
        with suppress(FileNotFoundError):
            if self._draft != self.path and not stat.S_ISREG(self.path.lstat().st_mode):
                raise _unusable(self.path, "is no plain file")
        try:
            self._fd = os.open(self._draft, _CREATE, 0o600)
        except FileExistsError:
            raise _unusable(self.path, "is there already", "Choose another, or add --force.") from None
        except (OSError, ValueError) as exc:
            raise _unusable(self.path, f"cannot be written: {_reason(exc)}") from None
        try:
            if _POSIX:
                os.fchmod(self._fd, 0o600)
            yield self
        finally:
            os.close(self._fd)
            if not self.written:
                self._draft.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        """
        Fill the file with *text*.

        Raises:
            ConfigurationError: If it cannot be written.
        """
        try:
            with os.fdopen(self._fd, "wb", closefd=False) as file:
                file.write(text.encode())
                file.flush()
                os.fsync(self._fd)
            self._draft.replace(self.path)
        except OSError as exc:
            raise _unusable(self.path, f"cannot be written: {_reason(exc)}") from None
        self.written = True


def read_private(path: Path, *, field: str) -> str:
    """
    Return the text of a file that nobody else can read.

    Args:
        path: The file. Links are followed; the file at their end is judged.
        field: The option it belongs to.

    Raises:
        ConfigurationError: If it cannot be read, is no plain file, is too big, or others can read it.
    """
    try:
        fd = os.open(path, _READ)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise _unusable(path, "is no plain file", field=field)
            if _POSIX and stat.S_IMODE(found.st_mode) & 0o077:
                advice = f"Run: chmod 600 {shlex.quote(str(path))}"
                raise _unusable(path, "can be read by others than its owner", advice, field=field)
            data = file.read(DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as exc:
        raise _unusable(path, f"cannot be read: {_reason(exc)}", field=field) from None
    return _text(data, f"The file {path}", field)


def read_stdin(*, field: str) -> str:
    """
    Return all of standard input.

    Args:
        field: The option it belongs to.

    Raises:
        ConfigurationError: If it is too long, or no text.
    """
    if sys.stdin is None:  # closed by whoever started this
        return ""
    stream = getattr(sys.stdin, "buffer", None)
    data = sys.stdin.read(DOCUMENT_BYTES + 1).encode() if stream is None else stream.read(DOCUMENT_BYTES + 1)
    return _text(data, "Standard input", field)


def _text(data: bytes, what: str, field: str) -> str:
    if len(data) > DOCUMENT_BYTES:
        raise ConfigurationError(f"{what} holds more than {DOCUMENT_BYTES} bytes.", field=field)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what} holds no UTF-8 text.", field=field) from None


def _reason(exc: OSError | ValueError) -> str:
    return exc.strerror or type(exc).__name__ if isinstance(exc, OSError) else "it is not a valid path"


def _unusable(
    path: Path, what: str, advice: str = "Check the path, and whose it is.", *, field: str = "out"
) -> ConfigurationError:
    return ConfigurationError(f"The file {path} {what}.", field=field, advice=advice)
