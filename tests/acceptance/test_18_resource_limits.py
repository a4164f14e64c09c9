"""
Acceptance 18: a server decides neither how much memory nor how much time an answer takes; T21, T22, T41.

Each attack comes from a real server. It ends in an error of ours, within the deadline and with less than
32 MiB taken on the way, the server's own buffers included.
"""

from __future__ import annotations

import functools
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from loopback import Caller, Connection, Servers
from loopback_ehr import Site

from smart_async import SigningKey, SmartError
from smart_async.limits import DOCUMENT_BYTES, JWKS_KEYS, Timeouts

MIB = 1024 * 1024
HURRIED = Timeouts(total=0.4, discovery=0.4)
SLOW_MACHINE = 10.0
"""Seconds that a busy machine may take to notice that 0.4 are over."""

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def ten_megabytes(connection: Connection) -> None:
    connection.send(JSON + b"Content-Length: %d\r\n\r\n" % (10 * MIB))
    for _ in range(160):
        connection.send(b" " * 65536)


def endless(connection: Connection) -> None:
    connection.send(JSON + b"Transfer-Encoding: chunked\r\n\r\n")
    while not connection.stop.is_set():
        connection.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


def endless_head(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n")
    while not connection.stop.is_set():
        connection.send(b"X-More: " + b"x" * 1000 + b"\r\n")


@functools.cache
def packed(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(megabytes)) + packer.flush()


def gzip_bomb(connection: Connection) -> None:
    connection.reply(packed(200), headers=("Content-Encoding: gzip",))


def drip(connection: Connection) -> None:
    connection.drip(JSON + b"Content-Length: 1000\r\n\r\n" + b" " * 1000)


def silence(connection: Connection) -> None:
    connection.stop.wait(SLOW_MACHINE)


def deep(connection: Connection) -> None:
    connection.reply(b"[" * 100_000 + b"]" * 100_000)


def deep_objects(connection: Connection) -> None:
    connection.reply(b'{"a":' * 33 + b"1" + b"}" * 33)


def many_members(connection: Connection) -> None:
    connection.reply(json.dumps({f"m{number}": 1 for number in range(10_001)}).encode())


def long_number(connection: Connection) -> None:
    connection.reply(b'{"expires_in":' + b"9" * 200_000 + b"}")


ATTACKS: tuple[Callable[[Connection], None], ...] = (
    ten_megabytes,
    endless,
    endless_head,
    gzip_bomb,
    drip,
    silence,
    deep,
    deep_objects,
    many_members,
    long_number,
)


@pytest.fixture(autouse=True)
def small(caller: Caller, ca_file: str) -> None:
    """Trust one authority instead of all public ones, which take longer to read than most tests here."""
    caller.open(ca_file=ca_file)


def measured(operation: Callable[[], Any]) -> tuple[SmartError, float, int]:
    """The error, the seconds and the bytes that it took."""
    tracemalloc.start()
    try:
        before, start = tracemalloc.get_traced_memory()[0], time.monotonic()
        with pytest.raises(SmartError) as caught:
            operation()
        seconds, peak = time.monotonic() - start, tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return caught.value, seconds, peak


@pytest.mark.parametrize(
    ("endpoint", "attack"),
    [
        *((endpoint, attack) for endpoint in ("discovery", "token") for attack in ATTACKS),
        *(("jwks", attack) for attack in (ten_megabytes, gzip_bomb, drip, deep)),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_greedy_server(
    caller: Caller,
    servers: Servers,
    signing_key: SigningKey,
    endpoint: str,
    attack: Callable[[Connection], None],
) -> None:
    """Every attack ends in a typed error with advice, soon, and with little memory taken."""
    packed(200)
    site = Site(servers, signing_key)
    site.operation(caller, "token")()  # so that loading the library is not counted
    slow = attack in (drip, silence)
    operation = site.operation(caller, endpoint, HURRIED if slow else Timeouts(total=20, discovery=20))
    site.attack(endpoint, attack)
    error, seconds, peak = measured(operation)
    site.server.stop.set()
    assert error.advice
    assert peak < 32 * MIB
    assert seconds < SLOW_MACHINE
    if slow:
        assert "not over after 0." in error.message


def jwk_set(site: Site, *before: object) -> Callable[[Connection], None]:
    """Answers with a set in which the right key stands behind others."""
    return lambda connection: connection.reply(
        json.dumps({"keys": [*before, site.key.public_jwk()]}).encode()
    )


def test_a_hundred_keys_are_read(caller: Caller, servers: Servers, signing_key: SigningKey) -> None:
    """The hundredth key of a set still counts."""
    site = Site(servers, signing_key)
    operation = site.operation(caller, "jwks")
    other = {"kty": "RSA", "kid": "other", "n": "AQAB", "e": "AQAB"}
    site.attack("jwks", jwk_set(site, *[other] * (JWKS_KEYS - 1)))
    assert operation().identity.subject == "u-1"


def test_a_hundred_and_one_keys_are_too_many(
    caller: Caller, servers: Servers, signing_key: SigningKey
) -> None:
    """A set of one key more is refused, with a typed error."""
    site = Site(servers, signing_key)
    operation = site.operation(caller, "jwks")
    other = {"kty": "RSA", "kid": "other", "n": "AQAB", "e": "AQAB"}
    site.attack("jwks", jwk_set(site, *[other] * JWKS_KEYS))
    error, _, peak = measured(operation)
    assert "101 keys" in error.message
    assert peak < 32 * MIB


@pytest.mark.parametrize(("number", "length"), [(1000, 200), (1000, 2000), (8, 16_000)])
def test_certificate_chains_in_keys(
    caller: Caller, servers: Servers, signing_key: SigningKey, number: int, length: int
) -> None:
    """
    A chain of a thousand certificates in a key costs nothing: none is ever looked at.

    Either the set is too long as a whole, or the key works as if the chain were not there.
    """
    site = Site(servers, signing_key)
    operation = site.operation(caller, "jwks")
    key = {**signing_key.public_jwk(), "x5c": ["A" * length] * number}
    document = json.dumps({"keys": [key]}).encode()
    site.attack("jwks", lambda connection: connection.reply(document))
    if len(document) <= DOCUMENT_BYTES:
        assert operation().identity.subject == "u-1"
        return
    error, _, peak = measured(operation)
    assert error.advice
    assert peak < 32 * MIB


def test_limits_at_the_limit(caller: Caller, servers: Servers, signing_key: SigningKey) -> None:
    """A document of exactly the limit is read, and one byte more is refused."""
    site = Site(servers, signing_key)
    document = json.dumps({"token_endpoint": f"{site.url}/token", "capabilities": []}).encode()
    for more in (0, 1):
        operation = site.operation(caller, "discovery")
        padded = document.ljust(DOCUMENT_BYTES + more)
        site.attack("discovery", lambda connection, body=padded: connection.reply(body))
        if more:
            with pytest.raises(SmartError, match=str(DOCUMENT_BYTES)):
                operation()
        else:
            assert operation().token_endpoint == f"{site.url}/token"
