"""
The private key that signs for a client, held in this process.

Spec: SMART App Launch 2.2, client-confidential-asymmetric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from smart_async.errors import ConfigurationError
from smart_async.keys.algorithms import ALGORITHMS, PrivateKey, choose_algorithm, ec_curve, raw_signer
from smart_async.keys.passphrase import encryption, hidden
from smart_async.keys.strength import check_key
from smart_async.limits import RSA_BITS_MAX, RSA_BITS_MIN
from smart_async.messages import discreet

if TYPE_CHECKING:
    from smart_async.keys.load import LoadedKey
    from smart_async.keys.passphrase import Passphrase

__all__ = ("SigningKey",)

# What reads keys and JWK Sets loads with the first key that is read.

# A signature with P-384 takes 0.2 ms, RSA-2048 0.7 ms, RSA-3072 2 ms, RSA-4096 5 ms. Handing one to a thread
# costs 0.1 ms, so up to a millisecond the loop is better off signing (benchmarks/loop_stall.py).
_QUICK_RSA_BITS = 2048


class SigningKey:
    """
    A private key that signs client assertions, parsed once and used for every one of them.

    Make one with `from_pem`, `from_pkcs12`, `from_jwk`, `from_jwks`, `from_key`, `from_bytes` or `generate`,
    and keep it: reading a key from PEM takes as long as a hundred signatures. A signing key is never
    pickled or copied, and its repr shows id and algorithm only.

    All constructors take `kid`, the id under which the public key is registered (the key's RFC 7638
    thumbprint if left out), and `algorithm`, for servers that want another than RS384 (RSA keys) or ES384
    (P-384 keys). They raise `ConfigurationError` for whatever cannot sign for a SMART client.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7518, section 3.

    >>> key = SigningKey.generate("ES384", kid="key-1")
    >>> key
    <SigningKey kid='key-1' algorithm='ES384'>
    >>> len(key.sign(b"header.claims"))
    96
    """

    __slots__ = ("_algorithm", "_key", "_kid", "_sign")

    _algorithm: str
    _key: PrivateKey
    _kid: str
    _sign: Callable[[bytes], bytes]

    def __init__(self) -> None:
        raise TypeError("make a SigningKey with SigningKey.from_pem(...) or one of its other constructors")

    @classmethod
    @discreet
    def from_pem(
        cls,
        data: bytes | str,
        *,
        kid: str | None = None,
        passphrase: Passphrase | None = None,
        algorithm: str | None = None,
    ) -> SigningKey:
        """
        Return the one private key in PEM text (PKCS #1, PKCS #8 or SEC 1).

        Args:
            data: The PEM text; certificates beside the key do not disturb.
            kid: The key's id.
            passphrase: What opens an encrypted key.
            algorithm: The algorithm to sign with.

        Raises:
            ConfigurationError: If there is no usable private key in it, or the passphrase does not fit.
        """
        from smart_async.keys import load

        passphrase = hidden(passphrase)
        return cls._make(load.load_pem(data, passphrase=passphrase), kid, algorithm)

    @classmethod
    @discreet
    def from_pkcs12(
        cls,
        data: bytes,
        *,
        passphrase: Passphrase | None,
        kid: str | None = None,
        algorithm: str | None = None,
    ) -> SigningKey:
        """
        Return the private key of a PKCS #12 file (.p12, .pfx).

        Args:
            data: The file's bytes.
            passphrase: What opens it, or None if nothing is needed.
            kid: The key's id.
            algorithm: The algorithm to sign with.

        Raises:
            ConfigurationError: If there is no usable private key in it, or the passphrase does not fit.
        """
        from smart_async.keys import load

        passphrase = hidden(passphrase)
        return cls._make(load.load_pkcs12(data, passphrase=passphrase), kid, algorithm)

    @classmethod
    @discreet
    def from_jwk(
        cls,
        jwk: Mapping[str, object] | str | bytes,
        *,
        kid: str | None = None,
        algorithm: str | None = None,
    ) -> SigningKey:
        """
        Return the private key in a JWK.

        Args:
            jwk: The JWK, parsed or as JSON text. Its own `kid` and `alg` count.
            kid: Another id than the JWK's.
            algorithm: The algorithm to sign with, where the JWK names none.

        Raises:
            ConfigurationError: If it is no usable private key for signatures.
        """
        from smart_async.keys import load

        return cls._make(load.load_jwk(jwk), kid, algorithm)

    @classmethod
    @discreet
    def from_jwks(
        cls,
        jwks: Mapping[str, object] | str | bytes,
        *,
        kid: str | None = None,
        algorithm: str | None = None,
    ) -> SigningKey:
        """
        Return one private key of a JWK Set.

        Args:
            jwks: The set, parsed or as JSON text.
            kid: Which key; needed only where there are several private ones.
            algorithm: The algorithm to sign with, where the JWK names none.

        Raises:
            ConfigurationError: If that does not name exactly one usable private key.
        """
        from smart_async.keys import load

        return cls._make(load.load_jwks(jwks, kid=kid), kid, algorithm)

    @classmethod
    def from_key(
        cls, cryptography_key: PrivateKey, *, kid: str | None = None, algorithm: str | None = None
    ) -> SigningKey:
        """
        Return a signing key around a private key object of the `cryptography` package.

        Args:
            cryptography_key: An `RSAPrivateKey` or `EllipticCurvePrivateKey`.
            kid: The key's id.
            algorithm: The algorithm to sign with.

        Raises:
            ConfigurationError: If it is anything else, or weak.
        """
        from smart_async.keys import load

        return cls._make(load.LoadedKey(key=check_key(cryptography_key)), kid, algorithm)

    @classmethod
    @discreet
    def from_bytes(
        cls,
        data: bytes,
        *,
        kid: str | None = None,
        passphrase: Passphrase | None = None,
        algorithm: str | None = None,
    ) -> SigningKey:
        """
        Return the private key in *data*, whichever form it has: PEM, DER, PKCS #12, JWK or JWK Set.

        Args:
            data: The content of a key file, or of a secret manager's entry.
            kid: The key's id; of a JWK Set, which key.
            passphrase: What opens an encrypted key.
            algorithm: The algorithm to sign with.

        Raises:
            ConfigurationError: If there is no usable private key in it, or the passphrase does not fit.
        """
        from smart_async.keys import load

        passphrase = hidden(passphrase)
        return cls._make(load.load_bytes(data, passphrase=passphrase, kid=kid), kid, algorithm)

    @classmethod
    def generate(
        cls, algorithm: str = "ES384", *, kid: str | None = None, key_size: int = 3072
    ) -> SigningKey:
        """
        Make a new private key.

        Args:
            algorithm: The algorithm it will sign with; that decides its type and curve.
            kid: The key's id.
            key_size: Bits of an RSA key, 2048 to 8192; RSA-4096 takes seconds to make.

        Raises:
            ConfigurationError: If there is no such algorithm, or the size is out of range.
        """
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        chosen = ALGORITHMS.get(algorithm)
        if chosen is None:
            raise ConfigurationError(
                f"algorithm={algorithm!r} is not a signature algorithm for a private key.",
                field="algorithm",
                advice=f"Use one of {', '.join(ALGORITHMS)}; SMART servers take RS384 and ES384.",
            )
        if not RSA_BITS_MIN <= key_size <= RSA_BITS_MAX:
            raise ConfigurationError(
                f"key_size={key_size} is not between {RSA_BITS_MIN} and {RSA_BITS_MAX} bits.",
                field="key_size",
                advice="3072 is a good size for an RSA key.",
            )
        if chosen.curve is None:
            return cls.from_key(rsa.generate_private_key(65537, key_size), kid=kid, algorithm=algorithm)
        return cls.from_key(ec.generate_private_key(ec_curve(chosen.curve)), kid=kid, algorithm=algorithm)

    @classmethod
    def _make(cls, loaded: LoadedKey, kid: str | None, algorithm: str | None) -> SigningKey:
        if algorithm and loaded.algorithm and algorithm != loaded.algorithm:
            raise ConfigurationError(
                f"algorithm={algorithm!r} was asked for, but the JWK says that it is for {loaded.algorithm}.",
                field="algorithm",
                advice="Leave algorithm= out, or change alg in the JWK and register its public half again.",
            )
        _check_kid(loaded.kid if kid is None else kid)
        chosen = choose_algorithm(loaded.key, algorithm or loaded.algorithm)
        self = cls.__new__(cls)
        self._key = loaded.key
        self._algorithm = chosen.name
        self._kid = kid or loaded.kid or _thumbprint(loaded.key)
        self._sign = raw_signer(loaded.key, chosen)
        return self

    @property
    def kid(self) -> str:
        """The key's id in the published JWK Set."""
        return self._kid

    @property
    def algorithm(self) -> str:
        """The JWS algorithm that it signs with, such as `ES384`."""
        return self._algorithm

    @property
    def blocking(self) -> bool:
        """Whether one signature takes long enough to stall an event loop: RSA keys of more than 2048 bits."""
        return ALGORITHMS[self._algorithm].curve is None and self._key.key_size > _QUICK_RSA_BITS

    def sign(self, signing_input: bytes) -> bytes:
        """
        Return the JWS signature of *signing_input*.

        Spec: RFC 7518, sections 3.3 to 3.5. For ES384 that is R and S in 48 bytes each, not DER.
        """
        return self._sign(signing_input)

    def public_jwk(self) -> dict[str, str]:
        """
        Return the public key as a JWK, to register with a server.

        It is built from the public numbers alone, so nothing private can be in it.
        """
        from smart_async.keys.jwks import public_jwk

        return public_jwk(self._key, self._kid, self._algorithm)

    def private_pem(self, passphrase: Passphrase | None = None) -> bytes:
        """
        Return the private key as PKCS #8 PEM: the key itself, so store it with care.

        Args:
            passphrase: What the text is encrypted with; None leaves it plain.
        """
        from cryptography.hazmat.primitives import serialization

        passphrase = hidden(passphrase)
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            encryption(passphrase),
        )

    def __repr__(self) -> str:
        """Show id and algorithm only."""
        return f"<SigningKey kid={self._kid!r} algorithm={self._algorithm!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickling and copying: a private key stays where it was loaded."""
        raise TypeError("a SigningKey is never pickled or copied; load it again where it is needed")


def _thumbprint(key: PrivateKey) -> str:
    from smart_async.keys.jwks import public_jwk

    return public_jwk(key)["kid"]


def _check_kid(kid: object) -> None:
    if kid is not None and (not isinstance(kid, str) or not kid):
        raise ConfigurationError(
            "kid is empty, or not text.", field="kid", advice="Leave it out for the key's thumbprint."
        )
