"""
What a key ring is made of: keys that sign, have an id and can be published.

Spec: SMART App Launch 2.2, client-confidential-asymmetric (AS-05, AS-13, AS-14).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, TypeAlias

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.keys.algorithms import ALGORITHMS
from smart_async.keys.jwks import Publishable, public_jwk, public_key
from smart_async.messages import clean_text

__all__ = (
    "KeyState",
    "PublishableAsyncSigner",
    "PublishableSigner",
    "RingKey",
    "check_keys",
    "published_jwk",
    "refuse_duplicates",
)

KeyState: TypeAlias = Literal["next", "active", "retiring"]
"""`next`: published, not used yet; `active`: signs; `retiring`: published, not used any more."""


class PublishableSigner(Signer, Publishable, Protocol):
    """A signer that knows its public key: a `SigningKey`, a key in a KMS or a smart card."""


class PublishableAsyncSigner(AsyncSigner, Publishable, Protocol):
    """A signer that has to be awaited and knows its public key."""


RingKey: TypeAlias = PublishableSigner | PublishableAsyncSigner
"""What a ring is made of."""


def check_keys(keys: Iterable[RingKey], field: KeyState) -> tuple[RingKey, ...]:
    """
    Return *keys* as a tuple, each of them checked.

    Args:
        keys: What was given.
        field: The argument that it was given as.

    Raises:
        ConfigurationError: If it is no list, or one of them cannot sign or be published.
    """
    if isinstance(keys, Signer | AsyncSigner) or not isinstance(keys, Iterable):
        raise ConfigurationError(
            f"{field} must be a list of keys, not {type(keys).__name__}.",
            field=field,
            advice=f"A single key goes into brackets: KeyRing({field}=[key]).",
        )
    found = tuple(keys)
    for key in found:
        _check_key(key, field)
    return found


def _check_key(key: object, field: KeyState) -> None:
    if isinstance(key, type) or not isinstance(key, Signer | AsyncSigner):
        raise ConfigurationError(
            f"A key ring holds signing keys, and {type(key).__name__} is none.",
            field=field,
            advice="Make one with SigningKey.from_pem(pem_bytes), or pass any other signer.",
        )
    if not callable(getattr(key, "public_jwk", None)):
        raise ConfigurationError(
            f"{type(key).__name__} has no public_jwk(), so the ring cannot publish it.",
            field=field,
            advice="Give the signer a method public_jwk() that returns its public key as a JWK.",
        )


def refuse_duplicates(keys: tuple[RingKey, ...]) -> None:
    """
    Refuse keys without an id of their own.

    Raises:
        ConfigurationError: If a `kid` is empty or occurs twice.
    """
    seen: set[str] = set()
    for key in keys:
        kid: object = key.kid
        if not isinstance(kid, str) or not kid:
            raise ConfigurationError("The kid of a key is empty, or not text.", field="kid")
        if key.kid in seen:
            raise ConfigurationError(
                f"Two keys of the ring have the kid {key.kid!r}; servers find keys by it.",
                field="kid",
                advice="Give each key a kid of its own, or none at all to have its thumbprint taken.",
            )
        seen.add(key.kid)


def published_jwk(key: RingKey) -> dict[str, str]:
    """
    Return the public JWK of *key*, rebuilt from its public numbers.

    A signer of somebody else's may return more than it should; what is not a public number is left behind.

    Raises:
        ConfigurationError: If that is no key for the signer's algorithm, or bears another `kid`.
    """
    jwk = key.public_jwk()
    try:
        kty, curve, public = public_key(dict(jwk))
    except (ProtocolError, TypeError, ValueError) as exc:
        reason = exc.message if isinstance(exc, ProtocolError) else "it is no JWK."
        raise _unpublishable(key, reason) from None
    if jwk.get("kid", key.kid) != key.kid:
        raise _unpublishable(key, "it bears another kid than the signer.")
    algorithm = ALGORITHMS.get(key.algorithm)
    if algorithm is None or (algorithm.kty, algorithm.curve) != (kty, curve):
        raise _unpublishable(key, f"it does not fit the algorithm {clean_text(str(key.algorithm))}.")
    return public_jwk(public, key.kid, key.algorithm)


def _unpublishable(key: RingKey, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"The public JWK of the key {key.kid!r} cannot be published: {reason}",
        field="key",
        advice="Servers would look for the key of an assertion and find none that verifies it.",
    )
