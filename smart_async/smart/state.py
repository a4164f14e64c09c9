"""What the flows of one client share: its registration, its limits, its randomness, what it discovered."""

from __future__ import annotations

from dataclasses import dataclass, field

from smart_async.limits import Limits
from smart_async.smart.config import SmartConfig
from smart_async.smart.entropy import Entropy, system_entropy
from smart_async.smart.metadata import SmartMetadata

__all__ = ("CachedMetadata", "ClientState")


@dataclass(frozen=True, slots=True)
class CachedMetadata:
    """
    A discovery document with its best-before.

    Args:
        metadata: The document.
        fresh_until: Seconds on the monotonic clock.
    """

    metadata: SmartMetadata
    fresh_until: float


@dataclass(slots=True, kw_only=True)
class ClientState:
    """
    The pure half of a client.

    It does no I/O and waits for nothing. Its one changing part is the cached discovery document, and that
    is replaced as a whole, so several threads may share it.

    Args:
        config: The registration.
        limits: How much is read of an answer.
        entropy: The source of random bytes.
        cached: The last discovery document, or None.
    """

    config: SmartConfig
    limits: Limits = field(default_factory=Limits)
    entropy: Entropy = system_entropy
    cached: CachedMetadata | None = None
