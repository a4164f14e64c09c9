"""
Whether an answer ended exactly where the bytes on its connection did.

The engines keep bytes that follow an answer and take them for the answer to the next request on that
connection. A server or proxy that sends an answer twice, or one longer than it says, would so hand the token
of one client to another. Each connection therefore follows the framing of what it reads, and counts as
broken unless the last answer was seen to end with the last byte.

Spec: RFC 9112, sections 6 and 9.2.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

__all__ = ("Framing",)

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})[ \r]")
_FIELD = re.compile(rb"\r\n(content-length|transfer-encoding):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?")
_BODILESS = (b"204", b"304")

_State: TypeAlias = Literal["head", "chunk", "trailer", "end", "unknown"]


class Framing:
    r"""
    Follow the answers on one connection.

    Attributes:
        new: Whether no request has begun on it yet.

    >>> framing = Framing()
    >>> framing.begin()
    True
    >>> framing.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    >>> framing.exact
    True
    >>> framing.feed(b"HTTP/1.1 200 OK")
    >>> framing.exact
    False
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0
        self._state: _State = "head"
        self.new = True

    @property
    def exact(self) -> bool:
        """Whether an answer has ended, and nothing came after it."""
        return self._state == "end" and not self._skip and not self._buffer

    def begin(self) -> bool:
        """Note that a request begins; return whether nothing is left over from the one before it."""
        clean = self.exact or (self.new and not self._buffer)
        self.new = False
        if clean:
            self._state = "head"
        return clean

    def feed(self, data: bytes) -> None:
        """Follow *data* as it arrives."""
        if self._state == "unknown":
            return
        self._buffer += data
        while self._step():
            pass

    def _step(self) -> bool:
        """Take the next element off the buffer; return whether there was a whole one."""
        if self._skip:
            taken = min(self._skip, len(self._buffer))
            del self._buffer[:taken]
            self._skip -= taken
            return bool(taken)
        if self._state == "end" or self._state == "unknown":
            return False
        head = self._state == "head"
        element, found, rest = self._buffer.partition(b"\r\n\r\n" if head else b"\r\n")
        if not found:
            return False
        self._buffer = rest
        if head:
            self._read_head(bytes(element) + b"\r\n")
        elif self._state == "chunk":
            self._read_size(bytes(element))
        elif not element:
            self._state = "end"
        return True

    def _read_head(self, head: bytes) -> None:
        status = _STATUS.match(head)
        fields = [(name.lower(), value.lower()) for name, value in _FIELD.findall(head)]
        self._state = "unknown"
        if not status:
            return
        if status[1].startswith(b"1"):
            self._state = "unknown" if status[1] == b"101" else "head"
        elif status[1] in _BODILESS:
            self._state = "end"
        elif fields == [(b"transfer-encoding", b"chunked")]:
            self._state = "chunk"
        elif len(fields) == 1 and fields[0][0] == b"content-length" and _LENGTH.fullmatch(fields[0][1]):
            self._state, self._skip = "end", int(fields[0][1])

    def _read_size(self, line: bytes) -> None:
        match = _CHUNK.fullmatch(line)
        if not match:
            self._state = "unknown"
        elif size := int(match[1], 16):
            self._skip = size + len(b"\r\n")
        else:
            self._state = "trailer"
