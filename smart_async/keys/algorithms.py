"""
The signature algorithms of JWS that this library signs and verifies with, and which key fits which.

Only asymmetric ones: `none` and the HMAC family cannot be expressed, so no server metadata, key or token
can talk us into them.

Spec: RFC 7518, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurve,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

__all__ = (
    "ALGORITHMS",
    "CURVES",
    "Algorithm",
    "PrivateKey",
    "choose_algorithm",
    "curve_name",
    "ec_curve",
    "raw_signer",
)

PrivateKey: TypeAlias = "RSAPrivateKey | EllipticCurvePrivateKey"
"""A private key of the `cryptography` package that can sign for us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """
    One signature algorithm.

    Args:
        name: Its name in a JWS header, such as `ES384`.
        kty: The type of key it takes.
        hash_bits: Bits of its SHA-2 hash.
        curve: The one curve it takes, as JWK names it; None for RSA.
        pss: Whether it is RSASSA-PSS rather than PKCS #1 v1.5.
    """

    name: str
    kty: Literal["RSA", "EC"]
    hash_bits: int
    curve: str | None = None
    pss: bool = False


ALGORITHMS = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            Algorithm(name="RS256", kty="RSA", hash_bits=256),
            Algorithm(name="RS384", kty="RSA", hash_bits=384),
            Algorithm(name="RS512", kty="RSA", hash_bits=512),
            Algorithm(name="PS256", kty="RSA", hash_bits=256, pss=True),
            Algorithm(name="PS384", kty="RSA", hash_bits=384, pss=True),
            Algorithm(name="PS512", kty="RSA", hash_bits=512, pss=True),
            Algorithm(name="ES256", kty="EC", hash_bits=256, curve="P-256"),
            Algorithm(name="ES384", kty="EC", hash_bits=384, curve="P-384"),
            Algorithm(name="ES512", kty="EC", hash_bits=512, curve="P-521"),
        )
    }
)
"""Every algorithm by its name in a JWS header."""

CURVES = MappingProxyType({"P-256": 32, "P-384": 48, "P-521": 66})
"""The curves that JWK names, and the bytes of one coordinate: fixed, leading zeros kept."""

_NIST_NAMES = MappingProxyType({"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"})


def curve_name(key: EllipticCurvePrivateKey | EllipticCurvePublicKey) -> str:
    """Return the name that JWK gives to the curve of *key*, or the curve's own where JWK has none."""
    return _NIST_NAMES.get(key.curve.name, key.curve.name)


def ec_curve(name: str) -> EllipticCurve:
    """Return the curve called *name*, one of `CURVES`."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}[name]


def choose_algorithm(
    key: PrivateKey | RSAPublicKey | EllipticCurvePublicKey, name: str | None = None
) -> Algorithm:
    """
    Return the algorithm to sign with: the one named, if it fits *key*, or the one SMART has for it.

    Args:
        key: The private key, or the public half of one that is elsewhere.
        name: The algorithm wanted, or None for RS384 (RSA keys) or ES384 (P-384 keys).

    Returns:
        The algorithm.

    Raises:
        ConfigurationError: If *name* is no algorithm of ours or needs another key, or if SMART names no
            algorithm for this key and none was given.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7518, sections 3.3 to 3.5.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    curve = None if isinstance(key, RSAPrivateKey | RSAPublicKey) else curve_name(key)
    if name is None:
        return _default_algorithm(curve)
    algorithm = ALGORITHMS.get(name)
    if algorithm is None:
        raise ConfigurationError(
            f"algorithm={name!r} is not a signature algorithm for a private key.",
            field="algorithm",
            advice=f"Use one of {', '.join(ALGORITHMS)}; SMART servers take RS384 and ES384.",
        )
    if algorithm.curve != curve:
        found = f"an elliptic-curve key on {curve}" if curve else "an RSA key"
        needed = f"an elliptic-curve key on {algorithm.curve}" if algorithm.curve else "an RSA key"
        raise ConfigurationError(
            f"{name} needs {needed}; this is {found}.",
            field="algorithm",
            advice="Leave algorithm= out to have it chosen from the key, or use another key.",
        )
    return algorithm


def _default_algorithm(curve: str | None) -> Algorithm:
    if curve is None:
        return ALGORITHMS["RS384"]
    if curve == "P-384":
        return ALGORITHMS["ES384"]
    fitting = next((each.name for each in ALGORITHMS.values() if each.curve == curve), None)
    raise ConfigurationError(
        f"This is an elliptic-curve key on {curve}; ES384, which SMART servers take, needs one on P-384.",
        field="algorithm",
        advice="Make a P-384 key"
        + (f", or say algorithm={fitting!r} if your server takes it." if fitting else " or an RSA key."),
    )


def raw_signer(key: PrivateKey, algorithm: Algorithm) -> Callable[[bytes], bytes]:
    """
    Return a function that signs bytes with *key* as JWS wants it.

    Hash, padding and key are looked up once, here: what remains per signature is the signature itself.

    Args:
        key: The private key.
        algorithm: An algorithm that fits it.

    Spec: RFC 7518, sections 3.3 to 3.5 (for ES*: R and S in fixed width, not DER).
    """
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    digest = _hash(algorithm.hash_bits)
    if isinstance(key, rsa.RSAPrivateKey):
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if algorithm.pss:
            scheme = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)

        def sign_rsa(data: bytes) -> bytes:
            return key.sign(data, scheme, digest)

        return sign_rsa

    ecdsa, width = ec.ECDSA(digest), (key.key_size + 7) // 8

    def sign_ec(data: bytes) -> bytes:
        return _fixed_width(key.sign(data, ecdsa), width)

    return sign_ec


def _fixed_width(der: bytes, width: int) -> bytes:
    # SEQUENCE of INTEGER r and INTEGER s, straight from our own library. Cutting it up as bytes takes half
    # the time of making two numbers and two byte strings. P-521 alone has a length of two bytes in front;
    # a number is as short as it can be, with a zero byte in front where its first bit is set.
    start = 3 if der[1] == 0x81 else 2
    middle = start + 2 + der[start + 1]
    r, s = der[start + 2 : middle], der[middle + 2 :]
    return r[-width:].rjust(width, b"\0") + s[-width:].rjust(width, b"\0")


def _hash(bits: int) -> HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    return {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}[bits]
