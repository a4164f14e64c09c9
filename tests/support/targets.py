"""
The five targets of the fuzzer: functions of bytes that raise only where something is wrong.

An error of ours is an answer. What was accepted has to hold, too: a URL names the same host to every parser,
JSON survives being written and read again, a token that was verified was signed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from doors import DOORS, NOW, _key, _pending  # the fixtures of the doors

from smart_async import SmartError
from smart_async.keys import ALGORITHMS, has_key_for, parse_jwks, verify_jws
from smart_async.messages import parse_url, strict_loads
from smart_async.smart.callback import parse_callback

__all__ = ("TARGETS",)


def strict_json(data: bytes) -> None:
    """Strict JSON: what comes out can be written, and comes out the same."""
    try:
        value = strict_loads(data)
    except SmartError:
        return
    again = strict_loads(json.dumps(value).encode(), max_bytes=10**8)
    assert json.dumps(again, sort_keys=True) == json.dumps(value, sort_keys=True)


def url(data: bytes) -> None:
    """URLs: what is accepted means the same to urllib, and to us when read again."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        made = parse_url(text, field="x", allow_query=True)
    except SmartError:
        return
    parts = urlsplit(text)
    assert made.text == text
    assert (parts.scheme, parts.hostname) == (made.scheme, _plain(made.host, parts.hostname))
    assert (parts.port or 443) == made.port
    assert parts.path == made.path
    assert parse_url(made.origin, field="x").origin == made.origin
    for name in ("launch URL", "scopes", "WWW-Authenticate"):
        _enter(name, data)


def _plain(ours: str, theirs: str | None) -> str:
    # An IPv6 address has many spellings; compared is the shortest.
    return theirs or "" if ":" in ours and ":" in (theirs or "") else ours


def jose(data: bytes) -> None:
    """JOSE: a set of keys and a token, with a line break between; or a header to be signed."""
    first, _, second = data.partition(b"\n")
    token = second.decode("latin-1")
    try:
        keys = parse_jwks(strict_loads(first))
    except SmartError:
        keys = parse_jwks({"keys": [_key().public_jwk()]})
    try:
        has_key_for(token, keys, algorithms=ALGORITHMS)
        verified = verify_jws(token, keys, algorithms=ALGORITHMS)
    except SmartError:
        pass
    else:
        assert verified.header["alg"] in ALGORITHMS
    for name in ("ID token claims", "ID token header", "JWK Set", "JWS", "private JWK", "key file"):
        _enter(name, data)


def answers(data: bytes) -> None:
    """The documents of a server, and what is stored of them."""
    for name in (
        "discovery",
        "token response",
        "refreshed token",
        "OAuth error",
        "introspection",
        "registration",
        "capability statement",
        "style",
        "stored token",
        "stored login",
        "stored registration",
    ):
        _enter(name, data)


def callback(data: bytes) -> None:
    """Callbacks: a code comes out only with the state of the login, and without an error beside it."""
    text = data.decode("utf-8", "surrogateescape")
    pending = _pending()
    try:
        code = parse_callback(pending, text, now=float(NOW))
    except SmartError:
        _enter("callback members", data)
        return
    assert code
    assert f"state={pending.state}" in text or "%" in text or "+" in text
    assert "error=" not in urlsplit(text).query.replace("_error=", "")


def _enter(name: str, data: bytes) -> None:
    with suppress(SmartError):
        DOORS[name].enter(data)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "strict_json": strict_json,
    "url": url,
    "jose": jose,
    "answers": answers,
    "callback": callback,
}
"""The five targets."""
