"""What the flows of one client share: its registration, its limits, its randomness, what it discovered."""

from __future__ import annotations

from dataclasses import field, replace

from smart_async._values import dataclass
from smart_async.keys.jwks import VerificationKey
from smart_async.limits import JWKS_STALE, Limits
from smart_async.smart.config import SmartConfig
from smart_async.smart.entropy import Entropy, system_entropy
from smart_async.smart.issuers import KnownIssuers
from smart_async.smart.metadata import SmartMetadata

__all__ = ("CachedMetadata", "ClientState", "ServerKeys")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKeys:
    """
    The keys with which one issuer signs ID tokens. Times are seconds on the monotonic clock.

    Args:
        issuer: Whose keys they are.
        keys: The keys.
        algorithms: The algorithms that the issuer says it signs with, or None where it does not say.
        fetched_at: When they arrived.
        asked_at: When they were last asked for, with or without success.
        fresh_until: When they have to be asked for again.
    """

    issuer: str
    keys: tuple[VerificationKey, ...]
    algorithms: tuple[str, ...] | None
    fetched_at: float
    asked_at: float
    fresh_until: float

    def fresh(self, issuer: str, now: float) -> bool:
        """Return whether these are keys of *issuer* that need no asking at *now*."""
        return self.issuer == issuer and now < self.fresh_until

    def bridges(self, now: float) -> bool:
        """
        Return whether these may stand in at *now* for keys that cannot be fetched.

        They bridge an outage of the issuer; a key that was taken back is gone within the hour.
        """
        return now - self.fetched_at <= JWKS_STALE

    def asked(self, now: float) -> ServerKeys:
        """Return the same keys, last asked for at *now*."""
        return replace(self, asked_at=now)


@dataclass(slots=True, kw_only=True)
class ClientState:
    """
    The pure half of a client.

    It does no I/O and waits for nothing. What changes are the cached discovery document and the server's
    keys, and each is replaced as a whole, so several threads may share it.

    Args:
        config: The registration.
        limits: How much is read of an answer.
        entropy: The source of random bytes.
        cached: The last discovery document, or None.
        server_keys: The server's keys for ID tokens, or None.
        token_origin: The origin that has accepted this client's credentials, or None before that.
        issuers: What the clients of one registry know of each other's servers; None for a client alone.
    """

    config: SmartConfig
    limits: Limits = field(default_factory=Limits)
    entropy: Entropy = system_entropy
    cached: CachedMetadata | None = None
    server_keys: ServerKeys | None = None
    token_origin: str | None = None
    issuers: KnownIssuers | None = None
