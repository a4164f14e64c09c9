"""
Row 1: what a client assertion costs beyond its signature.

The whole `PrivateKeyJWT.authenticate` flow, performed without I/O, against the bare signature of the same
bytes by `cryptography`; and with a signer that answers at once, against the least that any assertion needs.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from time import monotonic, time
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from benchmarks.matter import KEY_NAMES, TOKEN_URL, config, metadata, pem, private_key
from benchmarks.measure import Effort, Result, alternate, calls, compared
from smart_async import SigningKey
from smart_async.flow import Instant, Now, Sign
from smart_async.smart.client_auth import Authentication
from smart_async.smart.entropy import system_entropy

ROW = 1
LIMITS = {"ES384": 1.06, "RSA-2048": 1.04, "RSA-4096": 1.02}
FLOOR_LIMIT = 3.0
TIMES = 1000


class Constant:
    """A signer that answers at once."""

    kid = "key-1"
    algorithm = "ES384"
    blocking = False

    def sign(self, signing_input: bytes) -> bytes:  # noqa: ARG002 - the interface's
        """Return bytes of a signature's length."""
        return bytes(96)


def assertion(key: Any) -> Callable[[], Authentication]:
    """
    Return a function that makes what one token request needs.

    Args:
        key: The signer, loaded already.
    """
    registration, server = config(key), metadata()

    def run() -> Authentication:
        flow = registration.client_auth.authenticate(registration, server, TOKEN_URL, entropy=system_entropy)
        step = next(flow)
        assert isinstance(step, Now)
        step = flow.send(Instant(time(), monotonic()))
        assert isinstance(step, Sign)
        try:
            # The signer of these rows is a plain one, which the step's type leaves open.
            flow.send(step.signer.sign(step.signing_input))  # type: ignore[union-attr]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # what the flow or worker says, unseen by types
        raise AssertionError

    return run


def signature(key: Any, signing_input: bytes) -> Callable[[], object]:
    """
    Return a function that makes the bare signature, with every object it needs made beforehand.

    Args:
        key: A private key of `cryptography`.
        signing_input: What is signed.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        scheme, digest = padding.PKCS1v15(), hashes.SHA384()
        return lambda: key.sign(signing_input, scheme, digest)
    ecdsa = ec.ECDSA(hashes.SHA384())
    return lambda: key.sign(signing_input, ecdsa)


def floor() -> object:
    """Do the least that an assertion needs: two dumps, three base64url and one random string."""
    header = json.dumps({"alg": "ES384", "kid": "key-1", "typ": "JWT"}, separators=(",", ":"))
    claims = {"iss": "growth-chart", "sub": "growth-chart", "aud": TOKEN_URL, "iat": 1700000000}
    claims |= {"exp": 1700000300, "jti": secrets.token_urlsafe(32)}
    body = json.dumps(claims, separators=(",", ":"))
    parts = (header.encode(), body.encode(), bytes(96))
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def parses(times: int) -> int:
    """
    Return how often a PEM key is parsed for *times* assertions.

    Args:
        times: How many.
    """
    count = 0
    real = serialization.load_pem_private_key

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        return real(*args, **named)

    with patch.object(serialization, "load_pem_private_key", counted):
        run = assertion(SigningKey.from_pem(pem("ES384"), kid="key-1"))
        for _ in range(times):
            run()
    return count


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    for name in KEY_NAMES:
        key = private_key(name)
        ours = assertion(SigningKey.from_key(key, kid="key-1"))
        signed = dict(ours().fields)["client_assertion"].rpartition(".")[0].encode()
        pairs = alternate(calls(ours), calls(signature(key, signed)), effort)
        yield compared(ROW, f"assertion, {name}", "bare signature", pairs, limit=LIMITS[name])
    pairs = alternate(calls(assertion(Constant())), calls(floor), effort)
    yield compared(
        ROW, "assertion, constant signer", "2 dumps, 3 base64url, 1 random", pairs, limit=FLOOR_LIMIT
    )
    times = effort.of(TIMES)
    found = parses(times)
    yield Result(
        row=ROW,
        what=f"PEM key parsed for {times:,} assertions",
        against="once",
        unit="times",
        ours=found,
        baseline=1,
        ratio=found,
        limit=1.0,
    )
