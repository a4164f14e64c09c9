"""The shapes of JSON that come from clients."""

from __future__ import annotations

from typing import Any, TypeGuard

from smart_async.messages import JSONObject

__all__ = ("PRIVATE_MEMBERS", "is_integer", "is_list", "is_number", "is_object")

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""The members of a JWK that nobody else may see. Spec: RFC 7518, section 6."""


def is_object(value: object) -> TypeGuard[JSONObject]:
    """Return whether *value* is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether *value* is a JSON array."""
    return isinstance(value, list)


def is_integer(value: object) -> TypeGuard[int]:
    """Return whether *value* is a whole JSON number; `true` is none, though Python thinks so."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether *value* is a JSON number."""
    return is_integer(value) or isinstance(value, float)
