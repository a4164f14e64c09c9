"""A response body that is read with an eye on its size, compressed or not; and a request's."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from smart_async.messages import clean_text

__all__ = ("Body", "Content")

_INFLATABLE = frozenset({"gzip", "x-gzip", "deflate"})
_AUTO = zlib.MAX_WBITS | 32
"""Tells zlib to recognise gzip and zlib headers by itself."""


class Content:
    """
    A request's body, in one piece, for both colours.

    The engine's own is an async generator, which a cancellation in the middle of sending leaves unfinished;
    trio rightly complains.

    Args:
        data: The body.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __iter__(self) -> Iterator[bytes]:
        return iter((self._data,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Pieces(iter(self))


class _Pieces:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self  # pragma: no cover - a part of the protocol that nobody calls

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class Body:
    """
    Collect a body up to a number of bytes, decompressing as it comes.

    194 KB of gzip can hold 200 MB, and decompressing one chunk before counting is already too late; so
    zlib is told how much it may produce.

    Args:
        limit: Bytes to keep at most, before and after decompression.
        encoding: The response's Content-Encoding.
        cut: Whether a longer body is cut to *limit*, rather than refused.

    Attributes:
        problem: What makes the body unusable, as the end of a sentence; None if nothing does.
        enough: Whether there is no reason to read on.
        truncated: Whether something was cut off.
    """

    def __init__(self, limit: int, encoding: str, *, cut: bool) -> None:
        self._limit = limit
        self._cut = cut
        self._raw = 0
        self._parts = bytearray()
        self._inflate: Any = None
        self.problem: str | None = None
        self.truncated = False
        encoding = encoding.strip().lower()
        if encoding in _INFLATABLE:
            self._inflate = zlib.decompressobj(_AUTO)
        elif encoding not in ("", "identity"):
            self.problem = f"is encoded as {clean_text(encoding, length=40)!r}, though none was asked for"

    @property
    def enough(self) -> bool:
        """Whether there is no reason to read on."""
        return self.truncated or self.problem is not None

    def feed(self, chunk: bytes) -> bool:
        """Take in *chunk*; return `enough`."""
        if not self.enough:
            self._raw += len(chunk)
            plain = chunk if self._inflate is None else self._inflated(chunk)
            room = self._limit - len(self._parts)
            self._parts += plain[:room]
            if len(plain) > room or self._raw > self._limit:
                self._overflow()
        return self.enough

    def finish(self) -> bytes:
        """Return the body, after the last chunk; `problem` may be set by now."""
        if self._inflate is not None and self._raw and not self._inflate.eof and not self.enough:
            self.problem = "is compressed and broke off"
        return bytes(self._parts)

    def _inflated(self, chunk: bytes) -> bytes:
        room = self._limit - len(self._parts) + 1
        try:
            plain = self._decompress(chunk, room)
        except zlib.error:
            self.problem = "is said to be compressed, and is not"
            return b""
        if self._inflate.eof and self._inflate.unused_data:
            self.problem = "goes on after the end of its compressed part"
        return plain

    def _decompress(self, chunk: bytes, room: int) -> bytes:
        try:
            plain: bytes = self._inflate.decompress(chunk, room)
        except zlib.error:
            if self._raw > len(chunk):
                raise
            # Some servers send deflate without zlib's header; only the first chunk can tell.
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            plain = self._inflate.decompress(chunk, room)
        return plain

    def _overflow(self) -> None:
        if self._cut:
            self.truncated = True
        else:
            self.problem = f"has more than the {self._limit} bytes that are read of it"
