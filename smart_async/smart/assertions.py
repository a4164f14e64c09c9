"""
Client assertions: the short-lived JWT with which a client signs each token request.

A server accepts each assertion once, so one is made for every attempt, repeated requests included.

Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7523, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

from smart_async.flow import Flow, now, sign
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.keys.jws import compact, signing_input
from smart_async.smart.entropy import Entropy, new_token

__all__ = ("ASSERTION_TYPE", "assertion_claims", "assertion_header", "sign_assertion")

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The `client_assertion_type` of a JWT."""


def assertion_header(signer: Signer | AsyncSigner, jku: str | None = None) -> dict[str, str]:
    """
    Return the JOSE header of an assertion by *signer*.

    Args:
        signer: Whose `algorithm` and `kid` to name.
        jku: The registered JWK Set URL, where the server wants it named.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric (header values).
    """
    header = {"alg": signer.algorithm, "kid": signer.kid, "typ": "JWT"}
    return header if jku is None else {**header, "jku": jku}


def assertion_claims(
    client_id: str, audience: str, *, issued_at: float, lifetime: int, backdate: int, jti: str
) -> dict[str, str | int]:
    """
    Return the claims of an assertion.

    SMART does not ask for `iat`, yet some servers refuse a JWT without it; `nbf` helps nobody and breaks
    on the first second of clock drift, so it is left out.

    Args:
        client_id: The client, which is both issuer and subject.
        audience: The token URL, or what the server wants in its place; one string, never a list.
        issued_at: Unix seconds.
        lifetime: Seconds from `iat` to `exp`.
        backdate: Seconds that `iat` lies before *issued_at*.
        jti: An identifier never used before.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric (claims).
    """
    iat = int(issued_at) - backdate
    return {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": iat,
        "exp": iat + lifetime,
        "jti": jti,
    }


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

    Args:
        signer: Who signs.
        client_id: The client.
        audience: The `aud` claim.
        lifetime: Seconds from `iat` to `exp`.
        backdate: Seconds that `iat` lies in the past.
        jku: The `jku` header, or None for none.
        nbf: Whether to add `nbf`, equal to `iat`.
        header: Members to add to the header; None as a value leaves a member out.
        entropy: The source of random bytes for `jti`.
    """
    instant = yield from now()
    claims = assertion_claims(
        client_id,
        audience,
        issued_at=instant.wall,
        lifetime=lifetime,
        backdate=backdate,
        jti=new_token(entropy),
    )
    if nbf:
        claims["nbf"] = claims["iat"]
    members = {**assertion_header(signer, jku), **(header or {})}
    to_sign = signing_input({name: value for name, value in members.items() if value is not None}, claims)
    signature = yield from sign(signer, to_sign)
    return compact(to_sign, signature)
