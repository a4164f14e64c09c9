"""Any function as a signer: for key services that this library has no signer of its own for."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias, cast

from smart_async.errors import ConfigurationError
from smart_async.signers._public import FirstSignature, PublicKeySource, public_half
from smart_async.signers.der import der_to_raw

__all__ = ("AsyncCallableSigner", "CallableSigner", "SignatureFormat")

SignatureFormat: TypeAlias = Literal["raw", "der"]
"""How ECDSA signatures come: `raw` is R‖S as JWS wants it, `der` is converted. RSA signatures are `raw`."""

_ADVICE = (
    "Check that public_key belongs to the key that signs, that algorithm is the one it signs with, and that "
    "it signs the bytes it is given, or their hash exactly once."
)
_ADVICE_DER = " What came back looks like DER: if that is its form, say signature_format='der'."


class _Callable:
    __slots__ = ("_first", "_format", "_function", "_public")

    def __init__(
        self,
        function: object,
        public_key: PublicKeySource,
        kid: str | None,
        algorithm: str | None,
        signature_format: SignatureFormat,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"sign must be a function, not {type(function).__name__}.", field="sign")
        self._public = public_half(public_key, kid=kid, algorithm=algorithm)
        if signature_format not in ("raw", "der"):
            raise ConfigurationError(
                f"signature_format={signature_format!r} is neither 'raw' nor 'der'.", field="signature_format"
            )
        if signature_format == "der" and self._public.algorithm.curve is None:
            raise ConfigurationError(
                f"{self.algorithm} signatures have no DER form.",
                field="signature_format",
                advice="Leave signature_format out for an RSA key.",
            )
        self._format = signature_format
        self._function = function
        self._first = FirstSignature()

    @property
    def kid(self) -> str:
        """The key's id in the published JWK Set."""
        return self._public.kid

    @property
    def algorithm(self) -> str:
        """The JWS algorithm that it signs with, such as `ES384`."""
        return self._public.algorithm.name

    def public_jwk(self) -> dict[str, str]:
        """Return the public key as a JWK, to register with a server."""
        return self._public.jwk()

    def __repr__(self) -> str:
        """Show id and algorithm only."""
        return f"<{type(self).__name__} kid={self.kid!r} algorithm={self.algorithm!r}>"

    def _finish(self, signing_input: bytes, signature: object) -> bytes:
        if not isinstance(signature, bytes | bytearray):
            raise ConfigurationError(
                f"The sign function returned {type(signature).__name__}, not bytes.",
                field="sign",
                advice="Return the signature's bytes; decode base64 first, if the service sends that.",
            )
        signature = bytes(signature)
        advice = _ADVICE
        if self._format == "der":
            signature = der_to_raw(signature, self.algorithm)
        elif signature[:1] == b"\x30" and self._public.algorithm.curve:
            advice += _ADVICE_DER
        return self._first.check(self._public, signing_input, signature, advice=advice)


class CallableSigner(_Callable):
    """
    A signer around a function of yours that gets the signing input and returns the signature's bytes.

    The function decides how it reaches the key; it is called for each assertion, by several threads where
    your application has several. What it raises comes through as it is: raise `TransportError(sent=False)`
    for an outage, so that callers can tell it from a wrong set-up.

    Args:
        sign: The function.
        public_key: The public half of the key that it signs with: PEM, DER, a PEM certificate, a JWK, or a
            key object of `cryptography`. The first signature is verified with it.
        kid: The id under which the public key is registered; the JWK's, or the key's RFC 7638 thumbprint, if
            left out.
        algorithm: The algorithm it signs with; the JWK's, or else RS384 (RSA keys) or ES384 (P-384 keys), if
            left out.
        signature_format: `"der"` has its ECDSA signatures converted to R‖S. It is never guessed.
        blocking: Whether it takes long enough to stall an event loop, as every network call does. Then
            `AsyncSmartClient` calls it on another thread.

    Raises:
        ConfigurationError: If an argument is unusable; or, by `sign`, if the first signature is not the
            public key's.

    Spec: RFC 7518, sections 3.3 to 3.5.

    >>> from smart_async import SigningKey
    >>> elsewhere = SigningKey.generate("ES384", kid="key-1")
    >>> CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk())
    <CallableSigner kid='key-1' algorithm='ES384'>
    """

    __slots__ = ("_blocking",)

    def __init__(
        self,
        sign: Callable[[bytes], bytes],
        *,
        public_key: PublicKeySource,
        kid: str | None = None,
        algorithm: str | None = None,
        signature_format: SignatureFormat = "raw",
        blocking: bool = True,
    ) -> None:
        if inspect.iscoroutinefunction(sign):
            raise ConfigurationError(
                "sign is an async function.", field="sign", advice="Use AsyncCallableSigner with it."
            )
        super().__init__(sign, public_key, kid, algorithm, signature_format)
        self._blocking = blocking

    @property
    def blocking(self) -> bool:
        """Whether an event loop must not call `sign` itself."""
        return self._blocking

    def sign(self, signing_input: bytes) -> bytes:
        """
        Return the JWS signature of *signing_input*.

        Raises:
            ConfigurationError: If the function returned anything but a signature in the declared form, or
                its first one is not the public key's.
        """
        return self._finish(signing_input, cast("Callable[[bytes], object]", self._function)(signing_input))


class AsyncCallableSigner(_Callable):
    """
    A signer around an async function of yours, for `AsyncSmartClient` only; the twin of `CallableSigner`.

    Args:
        sign: The async function: gets the signing input, returns the signature's bytes.
        public_key: As in `CallableSigner`, as is the rest.
        kid: See there.
        algorithm: See there.
        signature_format: See there.

    Raises:
        ConfigurationError: If an argument is unusable; or, by `async_sign`, if the first signature is not the
            public key's.
    """

    __slots__ = ()

    def __init__(
        self,
        sign: Callable[[bytes], Awaitable[bytes]],
        *,
        public_key: PublicKeySource,
        kid: str | None = None,
        algorithm: str | None = None,
        signature_format: SignatureFormat = "raw",
    ) -> None:
        super().__init__(sign, public_key, kid, algorithm, signature_format)

    @property
    def blocking(self) -> bool:
        """False: it is awaited."""
        return False

    async def async_sign(self, signing_input: bytes) -> bytes:
        """
        Return the JWS signature of *signing_input*.

        Raises:
            ConfigurationError: As `CallableSigner.sign` does.
        """
        coming = cast("Callable[[bytes], object]", self._function)(signing_input)
        if not inspect.isawaitable(coming):
            raise ConfigurationError(
                f"The sign function returned {type(coming).__name__}, which cannot be awaited.",
                field="sign",
                advice="Use CallableSigner with a function that is not async.",
            )
        return self._finish(signing_input, await coming)
