"""Requests as a developer may see them: everything that tells something, and no credential."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from smart_async.errors import ProtocolError
from smart_async.messages import clean_text, strict_loads
from smart_async.sandbox.callers import assertion_parts
from smart_async.sandbox.shapes import PRIVATE_MEMBERS, is_list, is_object
from smart_async.sandbox.verdicts import Received

__all__ = ("assertion_of", "body_members", "header_fields", "masked_pairs")

_SECRET = frozenset({
    "access_token", "client_assertion", "client_secret", "code", "code_verifier", "form_token", "id_token",
    "id_token_hint", "password", "refresh_token", "registration_access_token", "token",
}) | PRIVATE_MEMBERS  # fmt: skip
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_SHOWN = 2000


def masked_pairs(encoded: str) -> list[tuple[str, str]]:
    """Return the parameters of a query or form for showing."""
    pairs = parse_qsl(encoded, keep_blank_values=True)
    return [(clean_text(name), _mask(name, value)) for name, value in pairs]


def header_fields(received: Received) -> list[tuple[str, str]]:
    """Return the header fields for showing; of credentials only their scheme and length."""
    return [(name, _header(name, value)) for name, value in received.headers.items()]


def body_members(received: Received) -> list[tuple[str, str]]:
    """Return what the body holds, for showing: a form's fields or a JSON object's members."""
    media_type = received.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return masked_pairs(received.body.decode("utf-8", "replace"))
    try:
        document: object = strict_loads(received.body)
    except ProtocolError:
        return [("body", "cannot be read as JSON")]
    if not is_object(document):
        return [("body", "is no JSON object")]
    return [(name, _mask(name, _text(_without_secrets(value)))) for name, value in document.items()]


def assertion_of(received: Received) -> dict[str, str] | None:
    """Return header and claims of the client assertion as indented JSON, or None if there is none."""
    assertion = received.form.get("client_assertion")
    if assertion is None:
        return None
    header, claims = assertion_parts(assertion)
    return {"header": _json(header), "claims": _json(claims)}


def _header(name: str, value: str) -> str:
    if name not in _SECRET_HEADERS:
        return clean_text(value, length=_SHOWN)
    scheme, _, rest = value.partition(" ")
    return f"{clean_text(scheme)} {_dots(rest)}" if name != "cookie" and rest else _dots(value)


def _mask(name: str, value: str) -> str:
    return _dots(value) if name in _SECRET else clean_text(value, length=_SHOWN)


def _dots(value: str) -> str:
    return f"•••• ({len(value)} characters)"


def _without_secrets(value: Any) -> Any:
    if is_object(value):
        return {
            name: "••••" if name in _SECRET else _without_secrets(member) for name, member in value.items()
        }
    return [_without_secrets(item) for item in value] if is_list(value) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(value: Any) -> str:
    return "cannot be read" if value is None else json.dumps(value, indent=2, ensure_ascii=False)[:_SHOWN]
