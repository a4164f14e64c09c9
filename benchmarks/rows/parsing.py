"""
Row 10: what it costs to read a server's answers as strictly as the library does.

Parsers are timed alone, without their flows. Scopes are timed from 1 to 10,000: ten times as many must take
about ten times as long.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import RSAKey

from benchmarks.matter import BASE, DISCOVERY, SCOPE, TOKEN, config, metadata, pem, private_key
from benchmarks.measure import Effort, Result, alternate, calls, compared
from smart_async import Limits, Scopes, Secret
from smart_async.keys.base64url import b64url_decode
from smart_async.keys.jwks import parse_jwks
from smart_async.messages import Headers, Response
from smart_async.smart.binding import Binding
from smart_async.smart.discovery import parse_discovery
from smart_async.smart.id_token import ID_TOKEN_ALGORITHMS, verify_id_token
from smart_async.smart.scopes.collection import _known_scope
from smart_async.smart.token_response import parse_token_response

ROW = 10
DISCOVERY_LIMIT, TOKEN_LIMIT, ID_TOKEN_LIMIT = 20.0, 8.0, 3.0
SCOPES_LIMIT = 1.5
"""How much more one scope among ten times as many may cost."""

JSON_TYPE = Headers({"Content-Type": "application/json"})
ISSUER, CLIENT, NONCE = BASE, "growth-chart", "n-0S6_WzA2Mj-0S6_WzA2Mj-0S6_WzA2Mj"


def documents(effort: Effort) -> Iterator[Result]:
    """Yield the lines for JSON documents."""
    registration = config()
    found = Response(
        status=200, headers=JSON_TYPE, body=DISCOVERY, url=f"{BASE}/.well-known/smart-configuration"
    )
    pairs = alternate(
        calls(lambda: parse_discovery(found, registration)), calls(lambda: json.loads(DISCOVERY)), effort
    )
    yield compared(ROW, "discovery document", "json.loads", pairs, limit=DISCOVERY_LIMIT)
    token = Response(status=200, headers=JSON_TYPE, body=TOKEN, url=f"{BASE}/token", received_at=1.7e9)
    binding, limits = Binding.of(registration, metadata()), Limits()
    pairs = alternate(
        calls(lambda: parse_token_response(token, binding=binding, requested_scope=SCOPE, limits=limits)),
        calls(lambda: json.loads(TOKEN)),
        effort,
    )
    yield compared(ROW, "token response", "json.loads", pairs, limit=TOKEN_LIMIT)


def unseen(text: str) -> Scopes:
    """Return the scopes in *text*, none of which was seen before: those of other tokens are kept."""
    _known_scope.cache_clear()
    return Scopes.parse(text)


def scopes(effort: Effort) -> Iterator[Result]:
    """Yield the lines for scope strings, each against one of a tenth of the length."""
    words = [f"patient/Type{number}.rs" for number in range(effort.of(10_000))]
    sizes = [size for size in (1, 10, 100, 1000, 10_000) if size <= len(words)]
    texts = {size: " ".join(words[:size]) for size in sizes}
    for fewer, more in pairwise(sizes):
        share = more // fewer
        one_tenth = calls(lambda text=texts[fewer]: unseen(text))
        pairs = alternate(
            calls(lambda text=texts[more]: unseen(text)),
            lambda number, one=one_tenth, share=share: one(number * share),
            effort,
        )
        yield compared(ROW, f"{more:,} scopes", f"{share} times {fewer:,}", pairs, limit=SCOPES_LIMIT)


def id_token(effort: Effort) -> Iterator[Result]:
    """Yield the line for an ID token, its key cached."""
    key, now = private_key("RSA-2048"), time.time()
    claims = {
        "iss": ISSUER,
        "sub": "a1b2c3d4",
        "aud": CLIENT,
        "iat": int(now),
        "exp": int(now) + 300,
        "nonce": NONCE,
        "fhirUser": f"{BASE}/Practitioner/p7",
    }
    signer = RSAKey.import_key(pem("RSA-2048"))
    text = jwt.encode({"alg": "RS256", "kid": "s1"}, claims, signer, algorithms=["RS256"])
    public = {**signer.as_dict(private=False), "kid": "s1", "alg": "RS256", "use": "sig"}
    keys = parse_jwks({"keys": [public]})
    signed, _, signature = text.rpartition(".")
    scheme, digest, raw, data = padding.PKCS1v15(), hashes.SHA256(), b64url_decode(signature), signed.encode()
    verifier = key.public_key()
    secret, nonce = Secret(text), Secret(NONCE)

    def ours() -> object:
        return verify_id_token(
            secret,
            keys=keys,
            algorithms=ID_TOKEN_ALGORITHMS,
            issuer=ISSUER,
            client_id=CLIENT,
            nonce=nonce,
            access_token=None,
            fhir_base=BASE,
            trusted_audiences=(),
            now=now,
            max_age=600,
        )

    pairs = alternate(calls(ours), calls(lambda: verifier.verify(raw, data, scheme, digest)), effort)
    yield compared(ROW, "ID token, RS256, cached key", "bare verification", pairs, limit=ID_TOKEN_LIMIT)


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    yield from documents(effort)
    yield from scopes(effort)
    yield from id_token(effort)
