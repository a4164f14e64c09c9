"""
Public keys as JSON: our own for a server to read, a server's for us to verify with.

What we publish is built from the public numbers alone, so that a private member cannot get into it. What we
read is taken key by key: one bad key in a server's set does not make the good ones unusable.

Spec: RFC 7517 (JWK), RFC 7518 section 6 (its numbers), RFC 7638 (thumbprints). X.509 members, symmetric
keys and Edwards curves are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, TypeVar, cast

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.keys.algorithms import CURVES, Algorithm, ec_curve
from smart_async.keys.base64url import b64url_encode, number, octets
from smart_async.keys.strength import rsa_problem
from smart_async.limits import JWKS_KEYS
from smart_async.messages import JSON, Finding, JSONObject, clean_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from joserfc.jwk import ECKey, RSAKey

__all__ = (
    "AnyKey",
    "Publishable",
    "VerificationKey",
    "parse_jwks",
    "public_jwk",
    "public_jwks",
    "thumbprint",
)

AnyKey: TypeAlias = "RSAPrivateKey | RSAPublicKey | EllipticCurvePrivateKey | EllipticCurvePublicKey"
"""A private or public key of the `cryptography` package."""

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""The members of a JWK that nobody but its owner may see."""

_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}

_E = TypeVar("_E", bound=ProtocolError)


class Publishable(Protocol):
    """Anything with a public JWK: a `SigningKey`, or a signer of your own."""

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """
    One public key of a server, checked and ready to verify with.

    Args:
        key: The key itself.
        kty: `RSA` or `EC`.
        crv: The curve of an EC key, as JWK names it.
        kid: Its id, where the server gave it one.
        alg: The one algorithm it is for, where the server said so.
    """

    key: RSAPublicKey | EllipticCurvePublicKey
    kty: str
    crv: str | None = None
    kid: str | None = None
    alg: str | None = None
    _joserfc: RSAKey | ECKey | None = field(default=None, init=False, repr=False, compare=False)

    def fits(self, algorithm: Algorithm) -> bool:
        """Return whether signatures made with *algorithm* can be this key's."""
        return (self.kty, self.crv) == (algorithm.kty, algorithm.curve) and self.alg in (None, algorithm.name)

    def for_joserfc(self) -> RSAKey | ECKey:
        """Return the key as joserfc takes it. Made once: joserfc writes the numbers out as text first."""
        if self._joserfc is None:
            from joserfc.jwk import ECKey, RSAKey

            # It follows from kty what key is, in the same line.
            made = (RSAKey if self.kty == "RSA" else ECKey).import_key(self.key)  # type: ignore[arg-type]
            object.__setattr__(self, "_joserfc", made)
            return made
        return self._joserfc


def thumbprint(jwk: Mapping[str, object]) -> str:
    """
    Return the SHA-256 thumbprint of a public key: the same whoever computes it.

    That makes it a good `kid` for a key that was given none.

    Args:
        jwk: The key; members besides the numbers themselves do not count.

    Returns:
        43 characters of base64url.

    Raises:
        ConfigurationError: If *jwk* is neither an RSA nor an EC key, or lacks a number.

    Spec: RFC 7638, section 3.
    """
    kty = jwk.get("kty")
    names = _THUMBPRINT_MEMBERS.get(kty) if isinstance(kty, str) else None
    if names is None or not all(isinstance(jwk.get(name), str) for name in names):
        raise ConfigurationError(
            "The JWK is neither a complete RSA key (kty, n, e) nor a complete EC key (kty, crv, x, y).",
            advice="Give the whole public JWK, each number as base64url text.",
        )
    canonical = json.dumps({name: jwk[name] for name in names}, separators=(",", ":"))
    import hashlib  # loads OpenSSL's hashes, and most keys come with an id

    return b64url_encode(hashlib.sha256(canonical.encode()).digest())


def public_jwk(key: AnyKey, kid: str | None = None, algorithm: str | None = None) -> dict[str, str]:
    """
    Return the public half of *key* as a JWK, to register with a server.

    Args:
        key: A private or public key; of a private one only the public numbers are looked at.
        kid: The key's id; None for its thumbprint.
        algorithm: The algorithm it signs with, as `alg`; None leaves that open.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7518, sections 6.2.1 and 6.3.1.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    public = key.public_key() if isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey) else key
    members = _public_members(public)
    head = {"kty": members.pop("kty"), "kid": kid or thumbprint(_public_members(public)), "use": "sig"}
    return head | ({"alg": algorithm} if algorithm else {}) | members


def _public_members(key: RSAPublicKey | EllipticCurvePublicKey) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        rsa = key.public_numbers()
        return {"kty": "RSA", "n": b64url_encode(octets(rsa.n)), "e": b64url_encode(octets(rsa.e))}
    point, width = key.public_numbers(), (key.key_size + 7) // 8
    crv = next(name for name, size in CURVES.items() if size == width)
    x, y = octets(point.x, width), octets(point.y, width)
    return {"kty": "EC", "crv": crv, "x": b64url_encode(x), "y": b64url_encode(y)}


def public_jwks(keys: Iterable[Publishable]) -> dict[str, list[dict[str, str]]]:
    """
    Return the JWK Set of *keys*, safe to publish.

    Args:
        keys: Signing keys; list the present and the coming one while you change over.

    Raises:
        ConfigurationError: If two keys have the same `kid`, since servers could then not tell them apart; or
            if *keys* is no list of keys.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7517, section 5.
    """
    given: object = keys
    listed = [*keys] if isinstance(given, Iterable) else None
    if listed is None or not all(hasattr(key, "public_jwk") for key in listed):
        raise ConfigurationError(
            "The public halves are those of a list of signing keys, and this is none.",
            field="keys",
            advice="Give keys such as SigningKey: public_jwks([key]), or for_backend(key).",
        )
    jwks = [key.public_jwk() for key in listed]
    kids = [jwk["kid"] for jwk in jwks]
    for kid in kids:
        if kids.count(kid) > 1:
            raise ConfigurationError(
                f"Two keys have the kid {kid!r}; a server finds the key of a signature by its kid.",
                field="kid",
                advice="Give each key a kid of its own, or none at all to have its thumbprint taken.",
            )
    return {"keys": jwks}


def parse_jwks(
    document: JSON, *, findings: list[Finding] | None = None, error: type[_E] | None = None
) -> tuple[VerificationKey, ...]:
    """
    Read a server's JWK Set, key by key.

    Keys for encryption are left out quietly. Keys that cannot be used safely (symmetric, private, weak,
    off their curve, of an unknown type) are skipped, each with a finding.

    Args:
        document: The parsed JSON.
        findings: A list to which the findings are added.
        error: The error class to raise instead of `ProtocolError`.

    Returns:
        The keys that can verify signatures, in their order; possibly none.

    Raises:
        ProtocolError: If it is not a JWK Set at all, or has more than 100 keys.

    Spec: RFC 7517, section 5.
    """
    fail = error or ProtocolError
    found: JSON = cast("JSONObject", document).get("keys") if isinstance(document, dict) else None
    if not is_array(found):
        raise fail("The JWK Set is not a JSON object with an array called keys.")
    if len(found) > JWKS_KEYS:
        raise fail(f"The JWK Set has {len(found)} keys; at most {JWKS_KEYS} are read.")
    usable: list[VerificationKey] = []
    for position, entry in enumerate(found):
        try:
            key = _parse_key(entry)
        except ProtocolError as exc:
            if findings is not None:
                findings.append(_finding(position, entry, exc.message))
        else:
            usable.extend([key] if key else [])
    return tuple(usable)


def is_array(value: JSON) -> TypeGuard[list[JSON]]:
    """Return whether *value* is a JSON array."""
    return isinstance(value, list)


def _finding(position: int, entry: JSON, problem: str) -> Finding:
    kid: JSON = cast("JSONObject", entry).get("kid") if isinstance(entry, dict) else None
    name = f", kid {clean_text(kid, length=64)!r}" if isinstance(kid, str) else ""
    return Finding(
        rule="jwks-key",
        severity="warning",
        message=f"Key {position + 1} of the JWK Set{name} is skipped: {problem}",
        advice="Tokens signed with it cannot be verified; tell the server's operator.",
    )


def _parse_key(entry: JSON) -> VerificationKey | None:
    if not isinstance(entry, dict):
        raise ProtocolError("it is not a JSON object.")
    jwk = cast("JSONObject", entry)
    if jwk.get("kty") == "oct":
        raise ProtocolError("it is a symmetric key, which has no place in a published set.")
    if private := sorted(PRIVATE_MEMBERS & jwk.keys()):
        raise ProtocolError(f"it holds private members ({', '.join(private)}), so anybody can sign with it.")
    for name in ("kid", "alg", "use"):
        if not isinstance(jwk.get(name), str | None):
            raise ProtocolError(f"its {name} is not a string.")
    if not _is_for_signatures(jwk):
        return None
    kty, crv, key = public_key(jwk)
    return VerificationKey(key=key, kty=kty, crv=crv, kid=jwk.get("kid"), alg=jwk.get("alg"))


def _is_for_signatures(jwk: JSONObject) -> bool:
    operations = jwk.get("key_ops")
    if operations is not None and not isinstance(operations, list):
        raise ProtocolError("its key_ops is not an array.")
    return jwk.get("use", "sig") == "sig" and (operations is None or "verify" in operations)


def public_key(jwk: JSONObject) -> tuple[str, str | None, RSAPublicKey | EllipticCurvePublicKey]:
    """
    Return type, curve and key that the public members of *jwk* describe.

    Raises:
        ProtocolError: If they describe no key, or a weak one.
    """
    kty = jwk.get("kty")
    if kty == "RSA":
        return "RSA", None, _rsa_key(jwk)
    if kty == "EC":
        crv = jwk.get("crv")
        if not isinstance(crv, str) or crv not in CURVES:
            raise ProtocolError(f"its curve is not one of {', '.join(CURVES)}.")
        return "EC", crv, _ec_key(jwk, crv)
    raise ProtocolError("its kty is neither RSA nor EC.")


def _rsa_key(jwk: JSONObject) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    n, e = number(jwk, "n"), number(jwk, "e")
    if problem := rsa_problem(n, e):
        raise ProtocolError(f"it is {problem}.")
    return RSAPublicNumbers(e, n).public_key()


def _ec_key(jwk: JSONObject, crv: str) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicNumbers

    try:
        return EllipticCurvePublicNumbers(number(jwk, "x"), number(jwk, "y"), ec_curve(crv)).public_key()
    except ValueError:
        raise ProtocolError(f"its point is not on the curve {crv}.") from None
