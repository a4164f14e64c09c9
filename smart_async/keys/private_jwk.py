"""
Private keys in JSON: one JWK, or one out of a set.

Spec: RFC 7517, sections 4 and 5; RFC 7518, sections 6.2 and 6.3. Keys with more than two primes are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.keys.algorithms import ALGORITHMS, PrivateKey
from smart_async.keys.base64url import number
from smart_async.keys.jwks import is_array, public_key
from smart_async.limits import KEY_FILE_BYTES
from smart_async.messages import JSONObject, clean_text, strict_loads

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ("key_from_jwk", "parse_json", "pick_jwk")

_CRT_MEMBERS = ("p", "q", "dp", "dq", "qi")


def parse_json(text: str | bytes) -> JSONObject:
    """
    Parse the JSON object of a JWK or JWK Set of ours.

    Raises:
        ConfigurationError: If it is not a JSON object, or not strict JSON.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    try:
        document = strict_loads(data, max_bytes=KEY_FILE_BYTES)
    except ProtocolError:
        # The parser's message may quote what stands in the file, and that is a key.
        raise _refuse("neither PEM nor valid JSON (or JSON with a duplicate member)") from None
    if not isinstance(document, dict):
        raise _refuse("JSON, but not an object")
    return cast("JSONObject", document)


def pick_jwk(document: JSONObject, kid: str | None) -> JSONObject:
    """
    Return the private JWK of the set *document* that *kid* names, or the only one.

    Raises:
        ConfigurationError: If there is no such key, or more than one.
    """
    entries: Any = document.get("keys")
    if not is_array(entries):
        raise _refuse("not a JWK Set, which is an object with an array called keys")
    if entries and not any(isinstance(key, dict) and "d" in key for key in entries):
        raise ConfigurationError(
            "This is the public half: the JWK Set holds no private key. A private RSA or EC key is needed.",
            field="key",
            advice="Give the private key (such as key.pem).",
        )
    private: list[JSONObject] = [key for key in entries if isinstance(key, dict) and "d" in key]
    chosen = [key for key in private if kid is None or key.get("kid") == kid]
    if len(chosen) == 1:
        return chosen[0]
    kids = ", ".join(clean_text(str(key.get("kid")), length=64) for key in private) or "none"
    which = f"with the kid {kid!r} " if kid is not None else ""
    raise ConfigurationError(
        f"The JWK Set has {len(chosen)} private keys {which}where one is needed (it has: {kids}).",
        field="kid",
        advice="Name one of them with kid=.",
    )


def key_from_jwk(jwk: JSONObject) -> tuple[PrivateKey, str | None, str | None]:
    """
    Return the private key of *jwk*, its `kid` and its `alg`.

    Raises:
        ConfigurationError: If it is not a private RSA or EC key for signatures, or does not hold together.
    """
    _check_purpose(jwk)
    try:
        _, _, public = public_key(jwk)
        key = _private_key(jwk, public)
    except ProtocolError as exc:
        raise ConfigurationError(
            f"This JWK cannot be used: {exc.message}", field="key", advice="Export the key again."
        ) from None
    except (ValueError, TypeError):
        raise _refuse("a JWK whose private numbers do not belong to its public ones") from None
    return key, jwk.get("kid"), jwk.get("alg")


def _check_purpose(jwk: JSONObject) -> None:
    kty, alg, kid, operations = (jwk.get(name) for name in ("kty", "alg", "kid", "key_ops"))
    if kty == "oct":
        raise _refuse("a symmetric key (kty oct)")
    if kty not in ("RSA", "EC"):
        named = f"kty {clean_text(str(kty), length=16)}, crv {clean_text(str(jwk.get('crv')), length=16)}"
        raise _refuse(f"a JWK of another type ({named})")
    if "d" not in jwk:
        raise _refuse("a public key, which cannot sign (the JWK has no d)")
    if not isinstance(kid, str | None):
        raise _refuse("a JWK whose kid is not a string")
    if alg is not None and (not isinstance(alg, str) or alg not in ALGORITHMS):
        raise _refuse("a JWK whose alg is not a signature algorithm for private keys")
    if jwk.get("use", "sig") != "sig" or (operations is not None and not _can_sign(operations)):
        raise _refuse("a JWK that is not for signatures (see its use and key_ops)")


def _can_sign(operations: Any) -> bool:
    return isinstance(operations, list) and "sign" in operations


def _private_key(jwk: JSONObject, public: RSAPublicKey | EllipticCurvePublicKey) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    d = number(jwk, "d")
    if not isinstance(public, rsa.RSAPublicKey):
        return ec.EllipticCurvePrivateNumbers(d, public.public_numbers()).private_key()
    if "oth" in jwk:
        raise ProtocolError("it has more than two primes (oth).")
    numbers = public.public_numbers()
    if any(name in jwk for name in _CRT_MEMBERS):
        p, q, dp, dq, qi = (number(jwk, name) for name in _CRT_MEMBERS)
    else:
        p, q = rsa.rsa_recover_prime_factors(numbers.n, d, numbers.e)
        dp, dq, qi = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, numbers).private_key()


def _refuse(found: str) -> ConfigurationError:
    return ConfigurationError(
        f"This is {found}. A private RSA or EC key is needed.",
        field="key",
        advice="Give the private JWK (with d) that belongs to the public one you registered.",
    )
