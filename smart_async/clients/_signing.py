"""Signing for async clients: what would stall the event loop leaves it, what would not takes turns on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from smart_async.errors import ConfigurationError
from smart_async.interfaces import AsyncSigner, Signer

if TYPE_CHECKING:
    import anyio
    from anyio.lowlevel import RunVar

__all__ = ("async_sign", "blocking_signer")


def blocking_signer(signer: Signer | AsyncSigner) -> Signer:
    """
    Return *signer*, if it can sign without being awaited.

    Args:
        signer: The signer.

    Raises:
        ConfigurationError: If it cannot.
    """
    # By the one method that tells the two apart: asking a protocol takes as long as making an assertion.
    if not hasattr(signer, "sign"):
        raise ConfigurationError(
            "The signer can only be awaited.", field="client_auth", advice="Use AsyncSmartClient with it."
        )
    return cast("Signer", signer)


async def async_sign(signer: Signer | AsyncSigner, signing_input: bytes) -> bytes:
    """
    Return *signer*'s signature of *signing_input*, without stalling the loop.

    Args:
        signer: The signer, of either kind.
        signing_input: What is signed.
    """
    awaited: Any = getattr(signer, "async_sign", None)
    if awaited is not None:
        signature: bytes = await awaited(signing_input)
        return signature
    local = blocking_signer(signer)
    if not local.blocking:
        async with _turn():
            return local.sign(signing_input)
    import anyio.to_thread

    return await anyio.to_thread.run_sync(local.sign, signing_input, limiter=_limiter())


_signing_limiter: RunVar[anyio.CapacityLimiter] | None = None
_signing_turn: RunVar[anyio.Lock] | None = None


def _turn() -> anyio.Lock:
    # One quick signature to a turn of the loop: 200 tasks that wake up together would add theirs to a stall
    # of 200 times that. Waiting for the lock gives the loop its turn, so it must not be a fast one.
    from anyio import Lock
    from anyio.lowlevel import RunVar

    global _signing_turn
    if _signing_turn is None:
        _signing_turn = RunVar("smart_async_signing_turn")
    try:
        return _signing_turn.get()
    except LookupError:
        lock = Lock()
        _signing_turn.set(lock)
        return lock


def _limiter() -> anyio.CapacityLimiter:
    # Not anyio's default of 40 threads: so many signatures at once leave the loop no processor to run on.
    from anyio import CapacityLimiter
    from anyio.lowlevel import RunVar

    global _signing_limiter  # made on first use, so that importing costs nothing
    if _signing_limiter is None:
        _signing_limiter = RunVar("smart_async_signing_limiter")
    try:
        return _signing_limiter.get()
    except LookupError:
        limiter = CapacityLimiter(max(1, (os.cpu_count() or 1) - 1))
        _signing_limiter.set(limiter)
        return limiter
