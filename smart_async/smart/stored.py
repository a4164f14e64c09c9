"""
Reading back what was stored as JSON: tokens and registrations.

Stored text may be cut off, tampered with, of another kind or written by another version. Whatever is
wrong with it, the answer is the same: it is not what was stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, get_args

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.limits import DOCUMENT_BYTES, DOCUMENT_MEMBERS, JSON_DEPTH
from smart_async.messages import JSON, Finding, JSONObject, Severity, strict_loads

__all__ = ("read_finding", "read_stored")

T = TypeVar("T")


def read_stored(text: str | bytes, *, kind: str, version: int, read: Callable[[JSONObject], T]) -> T | None:
    """
    Return what *read* makes of stored JSON, or None if it is not what was stored.

    Args:
        text: The stored JSON.
        kind: The `type` that it must have.
        version: The `version` that it must have.
        read: Makes the value of the members. It raises `ValueError`, `KeyError` or `TypeError`, or an
            error of ours, for members that were never stored like that.
    """
    try:
        # What was stored is longer and deeper than the answer that it came from.
        members = strict_loads(
            text.encode() if isinstance(text, str) else text,
            max_bytes=16 * DOCUMENT_BYTES,
            max_members=4 * DOCUMENT_MEMBERS,
            max_depth=2 * JSON_DEPTH,
        )
        if (members["version"], members["type"]) == (version, kind):
            return read(members)
    except (ProtocolError, ConfigurationError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def read_finding(item: JSON) -> Finding:
    """
    Return a finding that was stored as the list of its four texts.

    Args:
        item: Rule, severity, message and advice.

    Raises:
        TypeError: If one of them is not text.
        ValueError: If there are not four of them, or the severity is none.
    """
    rule, severity, message, advice = item
    if not all(isinstance(text, str) for text in (rule, severity, message, advice)):
        raise TypeError("a finding holds text")
    if severity not in get_args(Severity):
        raise ValueError("a severity is stored here")
    return Finding(rule=rule, severity=severity, message=message, advice=advice)
