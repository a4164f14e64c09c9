"""
The form of a stored record: what a file holds, and how it is read with suspicion.

One line with the format's version and a checksum of the rest, one line of JSON that says whose record it is,
and then the data. The checksum finds accidents; only encryption finds forgeries.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import field

from smart_async._values import dataclass
from smart_async.errors import ProtocolError, StoreError
from smart_async.limits import STORED_BYTES
from smart_async.messages import JSONObject, as_object, strict_loads
from smart_async.stores._common import digest_of
from smart_async.stores._sealing import Seal, Sealer

__all__ = ("RECORD_BYTES", "Damaged", "Record", "pack", "unpack")

HEADER_BYTES = 1024
RECORD_BYTES = STORED_BYTES + 2 * HEADER_BYTES
"""Bytes of a record: the data, and what stands before it."""

_FORMAT = 1
_FIRST_LINE = re.compile(rb"smart-async-store/([0-9]{1,9}) ([0-9a-f]{64})")
_VERSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KID = re.compile(r"[0-9a-f]{16}")
_NONCE = re.compile(r"[0-9a-f]{24}")


class Damaged(Exception):  # noqa: N818 - never leaves this package
    """A record is not what was written; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One state of one key.

    Args:
        data: The caller's bytes.
        version: The name of this state.
        fence: The number of the latest lease that saved it; 0 if none did.
    """

    data: bytes = field(repr=False)
    version: str
    fence: int


def pack(record: Record, key: str, sealer: Sealer) -> bytes:
    """Return the bytes that hold *record* of *key*."""
    seal = sealer.begin()
    header = {
        "fence": record.fence,
        "key": digest_of(key),
        "seal": None if seal is None else {"kid": seal.kid, "nonce": seal.nonce},
        "version": record.version,
    }
    line = json.dumps(header, separators=(",", ":")).encode()
    rest = line + b"\n" + sealer.seal(seal, record.data, _context(line, key))
    checksum = hashlib.sha256(rest).hexdigest()
    return f"smart-async-store/{_FORMAT} {checksum}\n".encode() + rest


def unpack(blob: bytes, key: str, sealer: Sealer) -> Record:
    """
    Return the record of *key* that *blob* holds.

    Raises:
        Damaged: If it is not what `pack` made for this key.
        StoreError: If a later version of this library made it, or no key given opens it.
    """
    line, payload = _checked(blob)
    header = _header(line)
    if header.get("key") != digest_of(key):
        raise Damaged("it is a copy of another key's record")
    version, fence, seal = header.get("version"), header.get("fence"), header.get("seal")
    if not isinstance(version, str) or not _VERSION.fullmatch(version) or type(fence) is not int or fence < 0:
        raise Damaged("its header is not one")
    data = sealer.open(_seal(seal), payload, _context(line, key))
    if data is None:
        raise Damaged("it was changed after it was encrypted")
    return Record(data=data, version=version, fence=fence)


def _checked(blob: bytes) -> tuple[bytes, bytes]:
    first, _, rest = blob.partition(b"\n")
    match = _FIRST_LINE.fullmatch(first)
    if match is None or len(blob) > RECORD_BYTES:
        raise Damaged("it is no record" if match is None else "it is larger than any record")
    if int(match[1]) != _FORMAT:
        raise StoreError(
            f"What is stored has format {int(match[1])}; this version of the library knows {_FORMAT}.",
            advice="Update smart-async here as well, or give each version a store of its own.",
        )
    if hashlib.sha256(rest).hexdigest().encode() != match[2]:
        raise Damaged("its checksum is wrong")
    line, _, payload = rest.partition(b"\n")
    return line, payload


def _header(line: bytes) -> JSONObject:
    try:
        header = as_object(strict_loads(line, max_bytes=HEADER_BYTES, max_members=16, max_depth=2))
    except ProtocolError:
        header = None
    if header is None:
        raise Damaged("its header is not one")
    return header


def _seal(value: object) -> Seal | None:
    if value is None:
        return None
    members = as_object(value) or {}
    kid, nonce = str(members.get("kid")), str(members.get("nonce"))
    if not _KID.fullmatch(kid) or not _NONCE.fullmatch(nonce):
        raise Damaged("its header is not one")
    return Seal(kid, nonce)


def _context(line: bytes, key: str) -> bytes:
    return line + b"\n" + key.encode()
