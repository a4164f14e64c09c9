"""Encryption at rest, with keys that the caller keeps: AES-256-GCM."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ("EncryptionKey", "Sealer")

EncryptionKey: TypeAlias = bytes | Callable[[], bytes]
"""32 random bytes, or a function that returns them; it is called whenever something is read or written."""

KEY_BYTES = 32
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Seal:
    """How a record is encrypted: the key's id and the nonce, both in hex, and the key if it is at hand."""

    kid: str
    nonce: str
    secret: bytes = field(default=b"", repr=False)


class Sealer:
    """
    Encrypts with one key, and decrypts with that and older ones.

    Args:
        key: The key to encrypt with; None leaves everything plain.
        old_keys: Keys that older records may be encrypted with; None among them stands for plain records.

    Raises:
        ConfigurationError: If a key is not 32 bytes.
    """

    def __init__(self, key: EncryptionKey | None, old_keys: Iterable[EncryptionKey | None] = ()) -> None:
        self._key = key
        self._all = (key, *old_keys)
        for each in self._all:
            if not (each is None or callable(each) or (type(each) is bytes and len(each) == KEY_BYTES)):
                raise ConfigurationError(
                    f"An encryption key is {KEY_BYTES} bytes, or a function that returns them.",
                    field="encryption_key" if each is key else "old_keys",
                    advice="Make one with secrets.token_bytes(32) and keep it where you keep other secrets.",
                )

    def __repr__(self) -> str:
        """Say whether there is a key, and nothing about it."""
        return f"<{type(self).__name__}: {'plain' if self._key is None else 'AES-256-GCM'}>"

    def begin(self) -> Seal | None:
        """Return the key id and a fresh nonce for one record, or None if it stays plain."""
        if self._key is None:
            return None
        secret = _bytes_of(self._key)
        return Seal(_kid(secret), secrets.token_hex(NONCE_BYTES), secret)

    def seal(self, seal: Seal | None, data: bytes, context: bytes) -> bytes:
        """Return *data* encrypted with a seal just begun, and bound to *context*."""
        return data if seal is None else _cipher(seal.secret).encrypt(_nonce(seal), data, context)

    def open(self, seal: Seal | None, data: bytes, context: bytes) -> bytes | None:
        """
        Return what *data* was before it was encrypted; None if data or context are not what was sealed.

        Raises:
            StoreError: If no key given is the one that encrypted it, or it is plain where it must not be.
        """
        if seal is None:
            self._check_plain_is_wanted()
            return data
        from cryptography.exceptions import InvalidTag  # takes a while to load: only where needed

        try:
            return _cipher(self._find(seal)).decrypt(_nonce(seal), data, context)
        except InvalidTag:
            return None

    def _check_plain_is_wanted(self) -> None:
        if None not in self._all:
            raise StoreError(
                "What is stored is not encrypted, and this store reads encrypted records only.",
                advice="To read what was stored before there was a key, pass None among the old keys.",
            )

    def _find(self, seal: Seal) -> bytes:
        for each in self._all:
            if each is not None and _kid(candidate := _bytes_of(each)) == seal.kid:
                return candidate
        raise StoreError(
            f"What is stored was encrypted with the key {seal.kid}, which this store was not given.",
            advice="Pass that key as encryption_key, or among old_keys once there is a newer one.",
        )


def _bytes_of(key: EncryptionKey) -> bytes:
    if not callable(key):
        return key
    try:
        value = key()
    except Exception as exc:
        raise StoreError(
            f"The function that provides the encryption key raised {type(exc).__name__}.",
            advice="See the error before this one.",
        ) from exc
    if type(value) is not bytes or len(value) != KEY_BYTES:
        raise StoreError(f"The function that provides the encryption key did not return {KEY_BYTES} bytes.")
    return value


def _kid(key: bytes) -> str:
    return hashlib.sha256(b"smart-async store key id\0" + key).hexdigest()[:16]


def _nonce(seal: Seal) -> bytes:
    return bytes.fromhex(seal.nonce)


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
