"""
When to do what while one key replaces another: the dates that keep every server able to verify.

Servers cache a client's JWK Set for as long as its `Cache-Control` allows. One that fetched it a moment
before the new key was published will not know that key until its copy expires; signing with it earlier is
what turns a rotation into an outage.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError

if TYPE_CHECKING:
    from smart_async.keys.ring import KeyRing

__all__ = ("Action", "Rotation", "RotationStep", "plan_rotation")

Action: TypeAlias = Literal["publish", "wait", "switch", "retire"]
"""What to do in one step of a rotation."""

_LATEST = 1e11  # the year 5138; a time in milliseconds is later
_LONGEST = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationStep:
    """
    One step of a rotation.

    Args:
        action: `publish` the ring with the new key, `wait`, `switch` to the new key, or `retire` the old one.
        at: When it begins, in Unix seconds; never do it earlier.
        until: When a `wait` ends, in Unix seconds; of the others the same as `at`.
        what: The step in words.
        ring: The ring in force from then on.
    """

    action: Action
    at: float
    until: float
    what: str
    ring: KeyRing

    def __str__(self) -> str:
        """Return date, action and words in one line."""
        return f"{iso(self.at)}  {self.action:<7}  {self.what}"

    def __repr__(self) -> str:
        """Show when and what."""
        return f"<RotationStep {self.action} {iso(self.at)} ({self.at:.0f})>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    The replacement of a key: a ring to put in force now, and a plan for the rest.

    Args:
        ring: The ring that publishes the new key and still signs with the old one.
        plan: The steps, in their order: publish, wait, switch and, where a key is replaced, wait, retire.
        kid: The id of the new key.
        replaced: The ids of the keys that it replaces.
    """

    ring: KeyRing
    plan: tuple[RotationStep, ...]
    kid: str
    replaced: tuple[str, ...]

    def at(self, time: float) -> KeyRing:
        """
        Return the ring that the plan has in force at *time*, in Unix seconds.

        A program that asks this now and then follows the plan by itself, however late it asks.
        """
        return next((step.ring for step in reversed(self.plan) if step.at <= time), self.ring)

    @property
    def switch_at(self) -> float:
        """When to begin to sign with the new key, in Unix seconds."""
        return next(step.at for step in self.plan if step.action == "switch")

    @property
    def done_at(self) -> float:
        """When the last step is due, in Unix seconds."""
        return self.plan[-1].at

    def __str__(self) -> str:
        """Return the plan, one dated line for each step."""
        return "\n".join(str(step) for step in self.plan)

    def __repr__(self) -> str:
        """Show the keys and when the steps are due."""
        steps = ", ".join(f"{step.action} {iso(step.at)}" for step in self.plan if step.action != "wait")
        return f"<Rotation of {', '.join(map(repr, self.replaced)) or 'no key'} by {self.kid!r}: {steps}>"


def plan_rotation(
    rings: tuple[KeyRing, KeyRing, KeyRing],
    *,
    kid: str,
    replaced: tuple[str, ...],
    now: float,
    max_age: float,
    skew: float,
    assertion_lifetime: float,
) -> Rotation:
    """
    Put dates to a rotation; `KeyRing.rotate` is what you want.

    Args:
        rings: The rings after publishing, switching and retiring.
        kid: The new key.
        replaced: The keys that it replaces.
        now: When the new key is published, in Unix seconds.
        max_age: Seconds for which servers may cache the JWK Set.
        skew: Seconds by which clocks may differ.
        assertion_lifetime: Seconds that an assertion is good for.

    Raises:
        ConfigurationError: If one of the times is none.
    """
    _check("now", now, _LATEST)
    for name, value in (("max_age", max_age), ("skew", skew), ("assertion_lifetime", assertion_lifetime)):
        _check(name, value, _LONGEST)
    published, switched, retired = rings
    switch = now + max_age + skew
    end = switch + max_age + assertion_lifetime + skew
    old = ", ".join(map(repr, replaced))
    steps = [
        _step("publish", now, now, f"the key {kid!r}, without signing with it", published),
        _step("wait", now, switch, f"until {iso(switch)}: servers may hold a set without {kid!r}", published),
        _step("switch", switch, switch, f"to {kid!r}" + (f", away from {old}" if replaced else ""), switched),
    ]
    if replaced:
        steps += [
            _step(
                "wait", switch, end, f"until {iso(end)}: assertions by {old} may be on their way", switched
            ),
            _step("retire", end, end, f"{old}: publish no more, and destroy the private key", retired),
        ]
    return Rotation(ring=published, plan=tuple(steps), kid=kid, replaced=replaced)


def _step(action: Action, at: float, until: float, what: str, ring: KeyRing) -> RotationStep:
    return RotationStep(action=action, at=at, until=until, what=what, ring=ring)


def _check(name: str, value: float, most: float) -> None:
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise ConfigurationError(
            f"{name} must be a number of seconds from 0 to {most:.0f}, not {value!r}.",
            field=name,
            advice="Times are Unix seconds, as time.time() returns them." if name == "now" else None,
        )


def iso(seconds: float) -> str:
    """Return Unix *seconds* as a date, rounded up: no step is due a fraction of a second early."""
    return datetime.fromtimestamp(math.ceil(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
