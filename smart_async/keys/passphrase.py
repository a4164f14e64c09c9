"""
What opens an encrypted key, kept out of sight.

Error reporters show the variables of every frame, so a passphrase becomes a `Secret` at the boundary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from smart_async.errors import ConfigurationError
from smart_async.messages import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import KeySerializationEncryption

__all__ = ("Passphrase", "encryption", "hidden", "passphrase_bytes")

Passphrase: TypeAlias = str | bytes | Secret
"""What opens an encrypted key; text is encoded as UTF-8."""


def hidden(passphrase: Passphrase | None) -> Secret | None:
    """
    Return *passphrase* as a `Secret`, so that no error reporter shows it among the variables of a frame.

    An empty one is none at all, as an unset variable gives it.

    Args:
        passphrase: What the caller gave. Put the result in its place: the variable shows it, too.

    Raises:
        ConfigurationError: If it is of another type.
    """
    if isinstance(passphrase, bytes):
        passphrase = passphrase.decode("utf-8", "surrogateescape")
    if isinstance(passphrase, str):
        passphrase = Secret(passphrase)
    if passphrase is not None and not isinstance(passphrase, Secret):
        raise ConfigurationError(
            f"passphrase must be text, bytes or a Secret, not {type(passphrase).__name__}.",
            field="passphrase",
        )
    return passphrase or None


def passphrase_bytes(passphrase: Secret | None) -> bytes | None:
    """Return *passphrase* as bytes. Use them where they stand; do not keep them in a variable."""
    return None if passphrase is None else passphrase.reveal().encode("utf-8", "surrogateescape")


def encryption(passphrase: Secret | None) -> KeySerializationEncryption:
    """Return how a key is written: encrypted with *passphrase*, or plain if there is none."""
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption

    if passphrase is None:
        return NoEncryption()
    return BestAvailableEncryption(passphrase.reveal().encode("utf-8", "surrogateescape"))
