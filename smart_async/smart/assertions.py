"""
Client assertions: the short-lived JWT with which a client signs each token request.

A server accepts each assertion once, so one is made for every attempt, repeated requests included.

Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7523, section 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from smart_async.flow import Flow, Instant, Now, Sign
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.keys.base64url import b64url_encode
from smart_async.keys.jws import compact
from smart_async.smart.entropy import Entropy, new_token

__all__ = ("sign_assertion",)


def sign_assertion(
    signer: Signer | AsyncSigner,
    *,
    client_id: str,
    audience: str,
    lifetime: int,
    backdate: int,
    jku: str | None = None,
    nbf: bool = False,
    header: Mapping[str, str | None] | None = None,
    entropy: Entropy,
) -> Flow[str]:
    """
    Return a fresh assertion in compact form. The time is asked right before signing.

    Its header has `alg`, `kid` and `typ`; its claims are `iss` and `sub` (the client), `aud`, `iat`, `exp`
    and `jti`. SMART does not ask for `iat`, yet some servers refuse a JWT without it; `nbf` breaks on the
    first second of clock drift, so it is left out unless asked for.

    Args:
        signer: Who signs; its `algorithm` and `kid` stand in the header.
        client_id: The client, which is both issuer and subject.
        audience: The token URL, or what the server wants in its place; one string, never a list.
        lifetime: Seconds from `iat` to `exp`.
        backdate: Seconds that `iat` lies in the past.
        jku: The registered JWK Set URL, where the server wants it named in the header.
        nbf: Whether to add `nbf`, equal to `iat`.
        header: Members to add to the header; None as a value leaves a member out.
        entropy: The source of random bytes for `jti`.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric (header values, claims).
    """
    head = _encoded_header(signer.algorithm, signer.kid, jku, tuple(header.items()) if header else ())
    instant: Instant = yield Now()  # and not `from now()`: beside a signature, two flows less tell
    iat = int(instant.wall) - backdate
    times = f'"iat":{iat},"exp":{iat + lifetime}' + (f',"nbf":{iat}' if nbf else "")
    claims = f'{_constant_claims(client_id, audience)},{times},"jti":"{new_token(entropy)}"}}'
    to_sign = f"{head}.{b64url_encode(claims.encode('ascii'))}".encode("ascii")
    signature: bytes = yield Sign(signer, to_sign)
    return compact(to_sign, signature)


# What is the same in every assertion is written as JSON once. A P-384 signature takes a quarter of a
# millisecond and leaves nothing else in the processor's caches; writing all of it anew adds a fifth.


@lru_cache(maxsize=64)
def _encoded_header(
    algorithm: str, kid: str, jku: str | None, extra: tuple[tuple[str, str | None], ...]
) -> str:
    members = {"alg": algorithm, "kid": kid, "typ": "JWT", "jku": jku, **dict(extra)}
    return b64url_encode(_json({name: value for name, value in members.items() if value is not None}))


@lru_cache(maxsize=64)
def _constant_claims(client_id: str, audience: str) -> str:
    return _json({"iss": client_id, "sub": client_id, "aud": audience}).decode("ascii").removesuffix("}")


def _json(members: Mapping[str, str]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode("ascii")
