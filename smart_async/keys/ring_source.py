"""The ring that is in force at the moment, for those who keep something that outlives it."""

from __future__ import annotations

from typing import Protocol, TypeGuard, runtime_checkable

from smart_async.errors import ConfigurationError
from smart_async.keys.ring import KeyRing

__all__ = ("RingHolder", "RingSource", "holds_ring")


@runtime_checkable
class RingSource(Protocol):
    """Anything that has a ring at the moment: a `RingHolder`, a folder of keys, or a `KeyRing` itself."""

    @property
    def ring(self) -> KeyRing:
        """The ring to sign with and to publish now."""
        ...


class RingHolder:
    """
    Holds the ring that is in force, so that it can be exchanged while clients and apps use it.

    Give the holder to `PrivateKeyJWT` and to `jwks_app`, and set `ring` when a plan's date has come: the next
    assertion and the next answer are made from the new one. Exchanging it is atomic; threads may share it.

    Args:
        ring: The ring to begin with.

    >>> from smart_async import SigningKey
    >>> holder = RingHolder(KeyRing(active=[SigningKey.generate("ES384", kid="2025")]))
    >>> holder.ring = holder.ring.publish(SigningKey.generate("ES384", kid="2026"))
    >>> holder
    <RingHolder of <KeyRing active '2025' ES384, next '2026' ES384>>
    """

    __slots__ = ("_ring",)

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    @property
    def ring(self) -> KeyRing:
        """The ring in force; set it to exchange it."""
        return self._ring

    @ring.setter
    def ring(self, ring: KeyRing) -> None:
        if not isinstance(ring, KeyRing):
            raise ConfigurationError(f"ring must be a KeyRing, not {type(ring).__name__}.", field="ring")
        self._ring = ring

    def __repr__(self) -> str:
        return f"<RingHolder of {self._ring!r}>"


def holds_ring(thing: object) -> TypeGuard[RingSource]:
    """Return whether *thing* has a `KeyRing` called `ring`; other things may have another `ring`."""
    return isinstance(thing, RingSource) and isinstance(thing.ring, KeyRing)
