"""
Signatures by a key in a PKCS #11 token: an HSM, a smart card, a USB token.

Spec: PKCS #11 v3.1.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from smart_async.errors import ConfigurationError, SmartError
from smart_async.keys.algorithms import ALGORITHMS
from smart_async.messages import Secret
from smart_async.signers._pkcs11_errors import is_lost, locks_the_token, translate
from smart_async.signers._pkcs11_token import Library, OpenKey, Place, library_at, open_key
from smart_async.signers._public import FirstSignature, PublicHalf, PublicKeySource, check_text, public_half

__all__ = ("Pin", "Pkcs11Signer")

T = TypeVar("T")

Pin: TypeAlias = Callable[[], "str | bytes | Secret"]
"""Gives the token's user PIN: a prompt, a look into a secret manager. Asked at each login, kept by nobody."""

_ALGORITHMS = tuple(name for name, each in ALGORITHMS.items() if not each.pss)
_MISMATCH = (
    "The public key on the token, or the one given, belongs to another private key; or another token with "
    "the same label was plugged in."
)


class Pkcs11Signer:
    """
    Signs client assertions with a key in a PKCS #11 token (`pip install "smart-async[pkcs11]"`).

    The token is opened when it is first needed: by `PrivateKeyJWT` when it is made, or by the first signature
    where both `kid` and `algorithm` are given. The session is kept; when it is lost, because the token was
    pulled or the HSM started anew, it is opened again, once per signature. RSA keys sign with
    CKM_SHA384_RSA_PKCS (RS384), P-384 keys with CKM_ECDSA over the SHA-384 hash (ES384). Share one signer
    between clients and threads; calls into the same library wait for one another.

    Args:
        library: The path of the vendor's PKCS #11 library, such as `/usr/lib/softhsm/libsofthsm2.so`.
        slot: The id of the token's slot; or else
        token_label: the token's label, which stays the same when slots are numbered anew.
        key_label: The private key's label (CKA_LABEL), and/or
        key_id: its id (CKA_ID).
        pin: A function that returns the user PIN. It is called at each login. After a wrong PIN the signer
            refuses to try again, because a few wrong ones lock the token.
        kid: The id under which the public key is registered; its RFC 7638 thumbprint if left out.
        algorithm: Another algorithm than RS384 or ES384, such as `RS256`; no RSASSA-PSS.
        public_key: The public key, where the token holds none; as in `CallableSigner`.

    Raises:
        ConfigurationError: If an argument is unusable. Signing, and whatever needs the public key, raises it
            if there is no such library, token or key, if the PIN is refused or the key cannot sign; and
            `TransportError` if the token does not answer.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; PKCS #11 v3.1, sections 6.1 and 6.3.
    """

    __slots__ = (
        "_algorithm",
        "_first",
        "_kid",
        "_open",
        "_path",
        "_pin",
        "_place",
        "_public",
        "_public_key",
        "_refused",
    )

    def __init__(
        self,
        library: str | os.PathLike[str],
        *,
        slot: int | None = None,
        token_label: str | None = None,
        key_label: str | None = None,
        key_id: bytes | None = None,
        pin: Pin,
        kid: str | None = None,
        algorithm: str | None = None,
        public_key: PublicKeySource | None = None,
    ) -> None:
        _check(slot=slot, token_label=token_label, key_label=key_label, key_id=key_id, pin=pin)
        if kid is not None:
            check_text(kid, field="kid")
        if algorithm is not None and algorithm not in _ALGORITHMS:
            raise ConfigurationError(
                f"algorithm={algorithm!r} is not one that this signer knows.",
                field="algorithm",
                advice=f"Use one of {', '.join(_ALGORITHMS)}, or leave it out.",
            )
        self._path = os.fspath(library)
        self._place = Place(slot=slot, token_label=token_label, key_label=key_label, key_id=key_id)
        self._pin = pin
        self._kid = kid
        self._algorithm = algorithm
        self._public_key = public_key
        self._public: PublicHalf | None = None
        self._open: OpenKey | None = None
        self._refused: SmartError | None = None
        self._first = FirstSignature()

    @property
    def kid(self) -> str:
        """The key's id in the published JWK Set; opens the token, unless it was given."""
        return self._kid or self._load().kid

    @property
    def algorithm(self) -> str:
        """The JWS algorithm; opens the token, unless `kid` and `algorithm` were given."""
        return self._algorithm if self._kid and self._algorithm else self._load().algorithm.name

    @property
    def blocking(self) -> bool:
        """True: a smart card takes a tenth of a second, and an HSM is a network away."""
        return True

    def public_jwk(self) -> dict[str, str]:
        """
        Return the public key as a JWK, to register with a server.

        Raises:
            ConfigurationError: If token or key are not there, or the PIN is refused.
            TransportError: If the token does not answer.
        """
        return self._load().jwk()

    def sign(self, signing_input: bytes) -> bytes:
        """
        Return the JWS signature of *signing_input*, made by the token.

        Raises:
            ConfigurationError: If token or key are not there, if the token refuses, or the first signature of
                a session is not the public key's.
            TransportError: If the token does not answer; nothing was sent to the server.

        Spec: PKCS #11 v3.1, sections 6.1.9 (CKM_SHA384_RSA_PKCS) and 6.3.12 (CKM_ECDSA: R‖S).
        """
        public = self._load()
        data = signing_input
        if public.algorithm.curve:
            data = hashlib.new(f"sha{public.algorithm.hash_bits}", signing_input).digest()

        def work(key: OpenKey) -> tuple[bytes, OpenKey]:
            return key.sign(public.algorithm, data, self._pin_text), key

        signature, key = self._with_key(work)
        # Another session may be with another token of the same label, so its first signature is checked too.
        return self._first.check(public, signing_input, signature, source=key, advice=_MISMATCH)

    def close(self) -> None:
        """Close the session and log out; the next signature opens the token again."""
        library = library_at(self._path)
        with library.lock:
            self._drop()

    def _load(self) -> PublicHalf:
        if self._public is None:
            source = self._public_key
            if source is None:
                source = self._with_key(OpenKey.public_key)
            self._public = public_half(source, kid=self._kid, algorithm=self._algorithm)
            if self._public.algorithm.pss:
                raise ConfigurationError("This signer makes no RSASSA-PSS signatures.", field="algorithm")
        return self._public

    def _with_key(self, work: Callable[[OpenKey], T]) -> T:
        library = library_at(self._path)
        with library.lock:
            if self._refused is not None:
                raise copy.copy(self._refused)
            opened = self._public is not None
            try:
                return self._recovering(library, work)
            except library.module.PKCS11Error as exc:
                self._drop()
                failure = translate(exc, token=self._place.token, library=self._path, opened=opened)
                if locks_the_token(exc):
                    self._refused = failure
        # Outside the handler: its frames know the PIN.
        raise failure

    def _recovering(self, library: Library, work: Callable[[OpenKey], T]) -> T:
        if self._open is not None and self._open.library is library:
            try:
                return work(self._open)
            except library.module.PKCS11Error as exc:
                if not is_lost(exc):
                    raise
        self._drop()
        self._open = open_key(library, self._place, self._pin_text)
        return work(self._open)

    def _drop(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _pin_text(self) -> str:
        given = self._pin()
        given = given.reveal() if isinstance(given, Secret) else given
        given = given.decode() if isinstance(given, bytes) else given
        if not isinstance(given, str):
            raise ConfigurationError(f"pin() returned {type(given).__name__}, not text.", field="pin")
        return given

    def __repr__(self) -> str:
        """Show the token's name and, where they are known already, kid and algorithm."""
        public = self._public
        kid = public.kid if public else self._kid
        algorithm = public.algorithm.name if public else self._algorithm
        return f"<Pkcs11Signer token {self._place.token} kid={kid!r} algorithm={algorithm!r}>"


def _check(*, slot: object, token_label: object, key_label: object, key_id: object, pin: object) -> None:
    if (slot is None) == (token_label is None):
        raise ConfigurationError(
            "Exactly one of slot and token_label names the token.",
            field="token_label",
            advice="Give token_label=; a slot's number changes when tokens come and go.",
        )
    if key_label is None and key_id is None:
        raise ConfigurationError(
            "Neither key_label nor key_id names the key.",
            field="key_label",
            advice="Give one of them, or both.",
        )
    kinds = (("slot", slot, int), ("token_label", token_label, str), ("key_label", key_label, str))
    for field, value, kind in (*kinds, ("key_id", key_id, bytes)):
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ConfigurationError(
                f"{field} must be {kind.__name__}, not {type(value).__name__}.", field=field
            )
    if not callable(pin):
        raise ConfigurationError(
            "pin must be a function that returns the PIN.",
            field="pin",
            advice='Pass a function: pin=lambda: os.environ["TOKEN_PIN"], or one that prompts.',
        )
