"""
The public half of a key that is elsewhere, and the check of the first signature made with it.

Spec: RFC 7517 (JWK), RFC 5280 section 4.1.2.7 (SubjectPublicKeyInfo), RFC 7518 section 3.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.keys.algorithms import CURVES, Algorithm, choose_algorithm, curve_name
from smart_async.keys.jwks import PRIVATE_MEMBERS, public_jwk, public_key
from smart_async.keys.private_jwk import parse_json
from smart_async.keys.strength import rsa_problem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey

__all__ = ("FirstSignature", "PublicHalf", "PublicKeySource", "check_text", "load_extra", "public_half")

PublicKeySource: TypeAlias = "bytes | str | Mapping[str, object] | RSAPublicKey | EllipticCurvePublicKey"
"""A public key: PEM, DER (SubjectPublicKeyInfo), a certificate, a JWK or an object of `cryptography`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHalf:
    """
    What the world knows of a remote key.

    Args:
        key: The public key.
        algorithm: The algorithm that its private half signs with.
        kid: Its id.
    """

    key: PublicKey
    algorithm: Algorithm
    kid: str

    def jwk(self) -> dict[str, str]:
        """Return it as a JWK."""
        return public_jwk(self.key, self.kid, self.algorithm.name)

    def verifies(self, signature: bytes, signing_input: bytes) -> bool:
        """Return whether *signature* is this key's, over *signing_input*, in the form of JWS."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}[self.algorithm.hash_bits]
        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                width = CURVES[curve_name(self.key)]
                if len(signature) != 2 * width:
                    return False
                numbers = (int.from_bytes(part, "big") for part in (signature[:width], signature[width:]))
                self.key.verify(encode_dss_signature(*numbers), signing_input, ec.ECDSA(digest))
            elif self.algorithm.pss:
                pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
                self.key.verify(signature, signing_input, pss, digest)
            else:
                self.key.verify(signature, signing_input, padding.PKCS1v15(), digest)
        except InvalidSignature:
            return False
        return True


class FirstSignature:
    """
    Lets signatures pass once one of them was verified.

    Each thread verifies its own until then, so nothing unverified gets out and nobody waits. A fork starts
    anew, and so does another *source*: an alias that was moved, a token that was pulled and put back.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: tuple[int, object] | None = None

    def check(
        self,
        public: PublicHalf,
        signing_input: bytes,
        signature: bytes,
        *,
        source: object = None,
        advice: str,
    ) -> bytes:
        """
        Return *signature* if it may be handed out.

        Args:
            public: Whose signature it has to be.
            signing_input: What was signed.
            signature: The signature in the form of JWS.
            source: What made it; another one than before is verified again.
            advice: What the caller can do about a signature that is wrong.

        Raises:
            ConfigurationError: If it is not the public key's.
        """
        now = (os.getpid(), source)
        if self._seen != now:
            if not public.verifies(signature, signing_input):
                raise ConfigurationError(
                    f"The signer's signature does not fit the public key {public.kid!r} as "
                    f"{public.algorithm.name}; nothing was sent.",
                    field="public_key",
                    advice=advice,
                )
            self._seen = now
        return signature


def public_half(source: object, *, kid: str | None, algorithm: str | None) -> PublicHalf:
    """
    Return the public half that *source* describes.

    Args:
        source: A `PublicKeySource`.
        kid: Its id; None for the JWK's own, or else the thumbprint.
        algorithm: The algorithm; None for the JWK's own, or else RS384 or ES384 by the key.

    Raises:
        ConfigurationError: If it is no public key, a weak one, or of another kind than *algorithm* needs.
    """
    if kid is not None:
        check_text(kid, field="kid")
    if isinstance(source, str | bytes) and source.strip()[:1] in ("{", b"{"):
        source = parse_json(source.strip())
    jwk_kid = jwk_algorithm = None
    if isinstance(source, Mapping):
        jwk = cast("Mapping[str, Any]", source)
        key, jwk_kid, jwk_algorithm = _from_jwk(jwk), jwk.get("kid"), jwk.get("alg")
    else:
        key = _checked(_from_bytes(source) if isinstance(source, str | bytes) else source)
    chosen = choose_algorithm(key, algorithm or jwk_algorithm)
    return PublicHalf(key=key, algorithm=chosen, kid=kid or jwk_kid or public_jwk(key)["kid"])


def _from_jwk(jwk: Mapping[str, Any]) -> PublicKey:
    if PRIVATE_MEMBERS & jwk.keys():
        raise _unusable("a private key", "Give the public half only: the private one stays where it is.")
    if not all(isinstance(jwk.get(name), str | None) for name in ("kid", "alg")):
        raise _unusable("a JWK whose kid or alg is not text")
    try:
        return public_key(dict(jwk))[2]
    except ProtocolError as exc:
        raise _unusable(f"no public key that can be used: {exc.message.rstrip('.')}") from None


def _from_bytes(data: bytes | str) -> object:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    data = data.encode() if isinstance(data, str) else data
    if b"PRIVATE KEY-----" in data:
        raise _unusable("a private key", "Give the public half only: the private one stays where it is.")
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificate(data).public_key()
        if b"-----BEGIN " in data:
            return serialization.load_pem_public_key(data)
        return serialization.load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unusable("neither a public key in PEM, DER or JWK form nor a certificate in PEM") from None


def _checked(key: object) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        if problem := rsa_problem(numbers.n, numbers.e):
            raise _unusable(problem)
        return key
    if isinstance(key, EllipticCurvePublicKey) and curve_name(key) in CURVES:
        return key
    raise _unusable("a key that is neither RSA nor on one of the curves " + ", ".join(CURVES))


def _unusable(found: str, advice: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        f"public_key is {found}.",
        field="public_key",
        advice=advice or "Give the public key of the signer: RSA for RS384, P-384 for ES384.",
    )


def check_text(value: object, *, field: str) -> None:
    """Raise `ConfigurationError` for *field* unless *value* is text with something in it."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"{field} is empty, or not text.", field=field, advice="Give it, or leave it out where it may be."
        )


def load_extra(module: str, *, extra: str, package: str) -> Any:
    """
    Import *module*, which an extra of this package installs.

    Args:
        module: Its import name.
        extra: The extra.
        package: The name that people know it by.

    Raises:
        ConfigurationError: With the pip line, if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
    raise ConfigurationError(
        f"This signer needs the package {package}, which is not installed.",
        field="client_auth",
        advice=f'Install it with: pip install "smart-async[{extra}]"',
    )
