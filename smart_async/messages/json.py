"""
JSON as strictly as a security protocol needs it.

Python's own parser takes duplicate keys (the last wins, so two parsers can disagree about a document),
`NaN`, numbers without end and nesting until the stack runs out. Here each of these is an error.
"""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8
from collections import Counter
from typing import Any, TypeAlias, TypeGuard, TypeVar, cast

from smart_async.errors import ProtocolError
from smart_async.limits import DOCUMENT_BYTES, DOCUMENT_MEMBERS, JSON_DEPTH, Limits
from smart_async.messages.http import Response
from smart_async.messages.text import clean_text

__all__ = ("JSON", "JSONObject", "as_list", "as_object", "parse_object", "strict_loads")

JSON: TypeAlias = Any
"""A parsed JSON value: None, bool, int, float, str, list or dict."""

JSONObject: TypeAlias = dict[str, Any]
"""A parsed JSON object."""

_E = TypeVar("_E", bound=ProtocolError)

_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_WHITE_SPACE = " \t\r\n"
_STRING_BYTES = 64 * 1024
_INTEGER_DIGITS = 64


def strict_loads(
    body: bytes,
    *,
    max_bytes: int = DOCUMENT_BYTES,
    max_members: int = DOCUMENT_MEMBERS,
    max_depth: int = JSON_DEPTH,
) -> JSON:
    """
    Parse JSON, and refuse whatever two parsers could read differently.

    Args:
        body: UTF-8 bytes; a byte order mark in front is tolerated, because servers send it.
        max_bytes: Bytes of the document.
        max_members: Object members and array items in all.
        max_depth: Levels of nesting.

    Returns:
        The parsed value.

    Raises:
        ProtocolError: If the document is too large, too deep, not UTF-8, not JSON, or has a duplicate
            key, a number that is not finite, a lone surrogate or a NUL character.

    Spec: RFC 8259, and RFC 7493 (I-JSON) for what is refused.

    >>> strict_loads(b'{"keys": []}')
    {'keys': []}
    """
    if len(body) > max_bytes:
        raise ProtocolError(f"The document has {len(body)} bytes; at most {max_bytes} are read.")
    opened = body.count(b"[") + body.count(b"{")
    if opened > max_depth:
        _check_depth(body, max_depth)
    try:
        value = _decode(body)
    except UnicodeDecodeError:
        problem = "The document is not UTF-8."
    except (ValueError, RecursionError) as exc:
        problem = f"The document is not JSON: {clean_text(str(exc), length=120)}."
    else:
        # Bounds that cost next to nothing settle nearly every document without a walk.
        few = opened + body.count(b",") <= max_members
        if not few or b"\\u" in body or len(body) > _STRING_BYTES:
            _check_contents(value, max_members)
        return value
    # Raised out here because both exceptions carry the whole body, and would hang on to this one.
    raise ProtocolError(problem)


def parse_object(
    response: Response, error: type[_E], what: str, *, limits: Limits | None = None
) -> JSONObject:
    """
    Read the JSON object in *response*, whatever its media type says.

    Servers label JSON as FHIR, as text or not at all, and portals answer 200 with a page of HTML; so the
    body itself decides.

    Args:
        response: The answer.
        error: The error class to raise.
        what: What the object is, for the message: "discovery document".
        limits: The client's limits.

    Returns:
        The object.

    Raises:
        ProtocolError: Of the class *error*, if the body is not a JSON object.
    """
    try:
        return _object_in(response, limits or Limits())
    except ProtocolError as exc:
        problem = exc.message
    raise error(
        f"The {what} cannot be used: {problem}",
        endpoint=response.url,
        status=response.status,
        advice="Check the URL: portals, aliases and proxies often answer in the place of the server.",
    )


def _object_in(response: Response, limits: Limits) -> JSONObject:
    if response.body.lstrip()[:1] == b"<":
        raise ProtocolError("The server sent an HTML or XML page.")
    value = strict_loads(
        response.body,
        max_bytes=limits.document_bytes,
        max_members=limits.document_members,
        max_depth=limits.json_depth,
    )
    document = as_object(value)
    if document is None:
        raise ProtocolError(f"The server sent a JSON {_kind(value)} where an object is expected.")
    return document


def as_object(value: JSON) -> JSONObject | None:
    """Return *value* if it is a JSON object, else None."""
    return cast("JSONObject", value) if isinstance(value, dict) else None


def as_list(value: JSON) -> list[JSON] | None:
    """Return *value* if it is a JSON array, else None."""
    return value if _is_list(value) else None


def _is_list(value: JSON) -> TypeGuard[list[JSON]]:
    return isinstance(value, list)


def _kind(value: JSON) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (list, "array"),
        (str, "string"),
        (bool, "boolean"),
        (type(None), "null"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "number")


def _check_depth(body: bytes, max_depth: int) -> None:
    # Before parsing: the parser itself recurses, and fails with the wrong exception or not in time.
    depth = 0
    for match in _BRACKETS.finditer(body):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > max_depth:
                raise ProtocolError(f"The document is nested more than {max_depth} levels deep.")
        elif token in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, JSON]]) -> JSONObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(name for name, _ in pairs)  # in one go: there may be thousands
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the member {twice[:64]!r} occurs twice")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _constant(name: str) -> JSON:
    raise ValueError(f"{name} is not a JSON number")


_raw_decode = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_integer, parse_constant=_constant
).raw_decode


def _decode(body: bytes) -> JSON:
    # The codec utf-8-sig and the decoder's search for white space are Python code, and a quarter of the time
    # that a small document takes.
    text = body.removeprefix(BOM_UTF8).decode().strip(_WHITE_SPACE)
    value, end = _raw_decode(text)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def _check_contents(value: JSON, max_members: int) -> None:
    members = 0
    waiting: list[JSON] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            inner = cast("JSONObject", item)
            members += len(inner)
            waiting.extend(inner)
            waiting.extend(inner.values())
        elif (items := as_list(item)) is not None:
            members += len(items)
            waiting.extend(items)
        elif isinstance(item, str):
            _check_string(item)
        if members > max_members:
            raise ProtocolError(f"The document has more than {max_members} members.")


def _check_string(text: str) -> None:
    if len(text) > _STRING_BYTES:
        raise ProtocolError(f"A string in the document has more than {_STRING_BYTES} characters.")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ProtocolError("A string in the document holds a NUL or half a character.")
