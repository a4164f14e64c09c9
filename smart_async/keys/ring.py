"""
Several keys of one client: which of them sign, which are only published, and how one replaces another.

A server finds the key of an assertion in the client's published set, and may have cached that set. So a new
key is published some time before it signs, and an old one for some time after. A ring holds the keys with
their states; rings never change, they are replaced.

Spec: SMART App Launch 2.2, client-confidential-asymmetric (registering keys).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from smart_async.errors import ConfigurationError
from smart_async.keys.ring_keys import KeyState, RingKey, check_keys, published_jwk, refuse_duplicates
from smart_async.keys.rotation import Rotation, plan_rotation
from smart_async.limits import ASSERTION_LIFETIME, CLOCK_SKEW
from smart_async.messages import clean_text

__all__ = ("KeyRing",)


class KeyRing:
    """
    The keys of one client, ordered, each with a state.

    Give it to `PrivateKeyJWT` in the place of a key, and to `jwks_app` to publish it: all keys are published,
    the active ones sign. A ring never changes; `publish`, `switch`, `retire` and `remove` return another.
    Each key is asked for its public JWK as the ring is made, and not again.

    Args:
        active: The keys that sign, the preferred one first; at least one.
        next: Keys that are published and not used yet.
        retiring: Keys that are published and not used any more.

    Raises:
        ConfigurationError: If there is no active key, two keys have the same `kid`, or one cannot be
            published.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric (AS-05, AS-13, AS-14).

    >>> from smart_async import SigningKey
    >>> ring = KeyRing(active=[SigningKey.generate("ES384", kid="2025")])
    >>> ring.publish(SigningKey.generate("ES384", kid="2026"))
    <KeyRing active '2025' ES384, next '2026' ES384>
    >>> _.switch("2026")
    <KeyRing active '2026' ES384, retiring '2025' ES384>
    """

    __slots__ = ("_active", "_jwks", "_next", "_retiring")

    def __init__(
        self,
        *,
        active: Iterable[RingKey],
        next: Iterable[RingKey] = (),  # noqa: A002 - the name of the state
        retiring: Iterable[RingKey] = (),
    ) -> None:
        self._active = check_keys(active, "active")
        self._next = check_keys(next, "next")
        self._retiring = check_keys(retiring, "retiring")
        if not self._active:
            raise ConfigurationError(
                "A key ring needs at least one active key.",
                field="active",
                advice="Keys that are next or retiring are published and never sign.",
            )
        refuse_duplicates(self.keys)
        self._jwks = tuple(published_jwk(key) for key in self.keys)

    @property
    def active(self) -> tuple[RingKey, ...]:
        """The keys that sign, the preferred one first."""
        return self._active

    @property
    def next(self) -> tuple[RingKey, ...]:
        """The keys that are published and not used yet."""
        return self._next

    @property
    def retiring(self) -> tuple[RingKey, ...]:
        """The keys that are published and not used any more."""
        return self._retiring

    @property
    def keys(self) -> tuple[RingKey, ...]:
        """All keys: first the active ones, then next, then retiring."""
        return self._active + self._next + self._retiring

    @property
    def ring(self) -> KeyRing:
        """The ring itself: wherever something with a current ring is taken, a ring alone will do."""
        return self

    def state(self, kid: str) -> KeyState:
        """
        Return the state of the key called *kid*.

        Raises:
            ConfigurationError: If there is no such key.
        """
        states: Mapping[KeyState, tuple[RingKey, ...]] = {
            "active": self._active,
            "next": self._next,
            "retiring": self._retiring,
        }
        for state, keys in states.items():
            if any(key.kid == kid for key in keys):
                return state
        raise ConfigurationError(
            f"There is no key {kid!r} in the ring.",
            field="kid",
            advice=f"It holds {', '.join(repr(key.kid) for key in self.keys)}.",
        )

    def public_jwks(self) -> dict[str, list[dict[str, str]]]:
        """
        Return the JWK Set of all keys, whatever their state, safe to publish.

        It is built from the public numbers alone, so nothing private can be in it, whatever a signer says.
        """
        return {"keys": [dict(jwk) for jwk in self._jwks]}

    def choose(
        self, algorithms: Iterable[str] = (), algorithm: str | None = None, *, endpoint: str | None = None
    ) -> RingKey:
        """
        Return the first active key that signs what a server accepts.

        Args:
            algorithms: The algorithms that the server lists; where it lists none, any will do.
            algorithm: Insist on this one, whatever the server lists.
            endpoint: The server's token endpoint, for the error.

        Raises:
            ConfigurationError: If no active key fits, naming both sides.

        Spec: SMART App Launch 2.2, client-confidential-asymmetric (AS-22).
        """
        wanted = (algorithm,) if algorithm is not None else tuple(algorithms)
        for key in self._active:
            if not wanted or key.algorithm in wanted:
                return key
        raise self._nothing_fits(wanted, insisted=algorithm is not None, endpoint=endpoint)

    def _nothing_fits(
        self, wanted: tuple[str, ...], *, insisted: bool, endpoint: str | None
    ) -> ConfigurationError:
        mine = ", ".join(dict.fromkeys(key.algorithm for key in self._active))
        listed = clean_text(", ".join(wanted))
        theirs = f"algorithm={listed!r} is asked for" if insisted else f"the server accepts only {listed}"
        waiting = next((key for key in self._next if key.algorithm in wanted), None)
        advice = "Add an active key of such a kind: RSA for RS384, P-384 for ES384, and register it."
        if waiting:
            advice = f"The key {waiting.kid!r} would fit: switch to it once every server has seen it."
        elif not insisted:
            advice += " If the list is wrong, insist with PrivateKeyJWT(ring, algorithm=...)."
        return ConfigurationError(
            f"The active keys of the ring sign with {mine}, and {theirs}.",
            field="algorithm" if insisted else "client_auth",
            endpoint=endpoint,
            advice=advice,
        )

    def rotate(
        self,
        new_key: RingKey,
        *,
        now: float,
        max_age: float,
        replaces: Iterable[str] | None = None,
        skew: float = CLOCK_SKEW,
        assertion_lifetime: float = ASSERTION_LIFETIME,
    ) -> Rotation:
        """
        Begin to replace a key: return the ring that publishes *new_key*, and the plan with its dates.

        The new key takes the place of the active keys with its algorithm, so RSA and elliptic-curve keys are
        rotated apart. Where there are none, it joins the others.

        Args:
            new_key: The key to come, under a `kid` of its own.
            now: When the last of your hosts publishes the new ring, in Unix seconds.
            max_age: Seconds for which servers may cache your JWK Set: the `max-age` that it is sent with, or
                more if you know a server that keeps it longer.
            replaces: The `kid`s of the active keys to replace, instead of those with the same algorithm.
            skew: Seconds by which clocks may differ.
            assertion_lifetime: Seconds that an assertion signed with an old key is good for.

        Returns:
            The rotation: `.ring` to put in force now, `.plan` to follow, `.at(time)` to have it followed.

        Raises:
            ConfigurationError: If the `kid` is taken, a key to replace is not active, or a time is none.

        Spec: SMART App Launch 2.2, client-confidential-asymmetric (registering keys).
        """
        replaced = self._replaced_by(new_key, replaces)
        published = self.publish(new_key)
        switched = published.switch(new_key.kid, replaces=replaced)
        retired = switched
        for kid in replaced:
            retired = retired.retire(kid)
        return plan_rotation(
            (published, switched, retired),
            kid=new_key.kid,
            replaced=replaced,
            now=now,
            max_age=max_age,
            skew=skew,
            assertion_lifetime=assertion_lifetime,
        )

    def publish(self, key: RingKey) -> KeyRing:
        """
        Return a ring that publishes *key* too, without signing with it yet.

        Raises:
            ConfigurationError: If its `kid` is taken, or it cannot be published.
        """
        return KeyRing(active=self._active, next=(*self._next, key), retiring=self._retiring)

    def switch(self, kid: str, *, replaces: Iterable[str] | None = None) -> KeyRing:
        """
        Return a ring that signs with the next key *kid*, and no more with the keys that it replaces.

        Do it only when every server has had the time to see the key: `rotate` tells when.

        Args:
            kid: A key that is `next`; it becomes `active`.
            replaces: The `kid`s of active keys that become `retiring`; by default all with its algorithm.

        Raises:
            ConfigurationError: If the keys are not in these states.
        """
        key = self._in_state(kid, self._next, "next")
        replaced = self._replaced_by(key, replaces)
        places = [place for place, each in enumerate(self._active) if each.kid in replaced]
        kept = [each for each in self._active if each.kid not in replaced]
        kept.insert(min(places, default=len(kept)), key)
        return KeyRing(
            active=kept,
            next=_without(self._next, kid),
            retiring=(*self._retiring, *(each for each in self._active if each.kid in replaced)),
        )

    def retire(self, kid: str) -> KeyRing:
        """
        Return a ring that does not publish the retiring key *kid* any more.

        Do it only when nothing that it signed can be on its way: `rotate` tells when.

        Raises:
            ConfigurationError: If the key is not `retiring`.
        """
        _ = self._in_state(kid, self._retiring, "retiring")
        return self.remove(kid)

    def remove(self, kid: str) -> KeyRing:
        """
        Return a ring without the key *kid*, whatever its state: for a key that fell into wrong hands.

        Servers may know the key for as long as they cache your JWK Set; tell those who run them.

        Raises:
            ConfigurationError: If there is no such key, or it is the only active one.
        """
        _ = self.state(kid)
        return KeyRing(
            active=_without(self._active, kid),
            next=_without(self._next, kid),
            retiring=_without(self._retiring, kid),
        )

    def _replaced_by(self, key: RingKey, replaces: Iterable[str] | None) -> tuple[str, ...]:
        if replaces is None:
            return tuple(each.kid for each in self._active if each.algorithm == key.algorithm)
        kids = (replaces,) if isinstance(replaces, str) else tuple(dict.fromkeys(replaces))
        for kid in kids:
            _ = self._in_state(kid, self._active, "active")
        return kids

    def _in_state(self, kid: str, keys: tuple[RingKey, ...], state: KeyState) -> RingKey:
        for key in keys:
            if key.kid == kid:
                return key
        raise ConfigurationError(
            f"The key {kid!r} is {self.state(kid)}, not {state}.",
            field="kid",
            advice="A key is first next, then active, then retiring, and then gone.",
        )

    def __iter__(self) -> Iterator[RingKey]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        """Show states, ids and algorithms."""
        shown = (f"{self.state(key.kid)} {key.kid!r} {key.algorithm}" for key in self.keys)
        return f"<KeyRing {', '.join(shown)}>"


def _without(keys: tuple[RingKey, ...], kid: str) -> tuple[RingKey, ...]:
    return tuple(key for key in keys if key.kid != kid)
