"""Randomness: state, nonce, code verifier and `jti`, all from one source that tests can replace."""

from __future__ import annotations

from collections.abc import Callable
from os import urandom  # what `secrets` returns, too, which loads `random`, `hmac` and `base64` for it
from typing import TypeAlias

from smart_async.keys.base64url import b64url_encode
from smart_async.limits import RANDOM_BYTES

__all__ = ("Entropy", "new_token", "system_entropy")

Entropy: TypeAlias = Callable[[int], bytes]
"""Returns as many random bytes as asked for."""


def system_entropy(size: int) -> bytes:
    """Return *size* bytes from the operating system, asked at every call and therefore safe after a fork."""
    return urandom(size)


def new_token(entropy: Entropy) -> str:
    """
    Return 32 random bytes as 43 characters that need no escaping anywhere.

    >>> new_token(bytes)
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    return b64url_encode(entropy(RANDOM_BYTES))
