"""Who a request claims to come from, before anybody has checked it."""

from __future__ import annotations

import binascii
from base64 import b64decode, urlsafe_b64decode
from typing import Any

from smart_async.errors import ProtocolError
from smart_async.limits import TOKEN_BYTES
from smart_async.messages import JSONObject, strict_loads
from smart_async.sandbox.grants import GrantStore
from smart_async.sandbox.shapes import is_object
from smart_async.sandbox.verdicts import Received

__all__ = ("assertion_parts", "claimed_client")


def claimed_client(received: Received, grants: GrantStore) -> str | None:
    """
    Return the client id that a request names, or whose bearer token it carries; None if it says nothing.

    Good for sorting and for faults; never for deciding anything.
    """
    scheme, _, text = received.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        known = grants.known_access(text.strip())
        return known.grant.client_id if known else None
    if scheme.lower() == "basic":
        return _basic_user(text)
    fields = {**received.parameters, **received.form}
    if "client_assertion" in fields:
        _, claims = assertion_parts(fields["client_assertion"])
        issuer = claims.get("iss") if claims else None
        return issuer if isinstance(issuer, str) else None
    return fields.get("client_id") or _of_code_or_refresh(fields, grants)


def assertion_parts(assertion: str) -> tuple[JSONObject | None, JSONObject | None]:
    """Return header and claims of an assertion as they stand there, each None if it cannot be read."""
    parts = assertion.split(".")
    if len(assertion) > TOKEN_BYTES or len(parts) != 3:
        return None, None
    return _object(parts[0]), _object(parts[1])


def _of_code_or_refresh(fields: dict[str, str], grants: GrantStore) -> str | None:
    known: Any = grants.refresh(fields.get("refresh_token", "")) or grants.code(fields.get("code", ""))
    return known.grant.client_id if known else None


def _basic_user(text: str) -> str | None:
    try:
        return b64decode(text.strip()).decode("utf-8").partition(":")[0] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def _object(part: str) -> JSONObject | None:
    try:
        value = strict_loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, ProtocolError):
        return None
    return value if is_object(value) else None
