"""Plans for a rotation: which ring is in force when."""

from __future__ import annotations

import pytest

from smart_async.errors import ConfigurationError
from smart_async.keys import KeyRing, SigningKey

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.fixture(scope="session")
def make(rsa_key, p384_key):
    def make(kid, algorithm=None):
        key = rsa_key if kid.startswith("r") else p384_key
        return SigningKey.from_key(key, kid=kid, algorithm=algorithm)

    return make


@pytest.fixture
def ring(make):
    return KeyRing(active=[make("r1"), make("e1")])


def shape(ring):
    return tuple([key.kid for key in keys] for keys in (ring.active, ring.next, ring.retiring))


def test_a_rotation_is_a_ring_and_dated_steps(ring, make):
    """The new key is published at once, used when all caches are stale, and the old one goes later still."""
    rotation = ring.rotate(make("e2"), now=NOW, max_age=300)
    assert shape(rotation.ring) == (["r1", "e1"], ["e2"], [])
    assert [(step.action, step.at - NOW, step.until - NOW, shape(step.ring)) for step in rotation.plan] == [
        ("publish", 0, 0, (["r1", "e1"], ["e2"], [])),
        ("wait", 0, 360, (["r1", "e1"], ["e2"], [])),
        ("switch", 360, 360, (["r1", "e2"], [], ["e1"])),
        ("wait", 360, 1020, (["r1", "e2"], [], ["e1"])),
        ("retire", 1020, 1020, (["r1", "e2"], [], [])),
    ]
    assert (rotation.kid, rotation.replaced) == ("e2", ("e1",))
    assert (rotation.switch_at, rotation.done_at) == (NOW + 360, NOW + 1020)


@pytest.mark.parametrize("max_age", [0, 1, 60, 3600.5, 86_400])
def test_the_dates_keep_their_distance(ring, make, max_age):
    """Never switch before caches and clocks allow, nor remove before the last assertion has ended."""
    rotation = ring.rotate(make("e2"), now=NOW, max_age=max_age)
    assert rotation.switch_at >= NOW + max_age + 60
    assert rotation.done_at >= rotation.switch_at + max_age + 300


def test_skew_and_lifetime_can_be_set(ring, make):
    """Whoever knows the clocks and the assertions can wait less, or more."""
    rotation = ring.rotate(make("e2"), now=NOW, max_age=100, skew=5, assertion_lifetime=120)
    assert (rotation.switch_at, rotation.done_at) == (NOW + 105, NOW + 105 + 100 + 120 + 5)


def test_the_plan_is_followed_by_asking_for_the_time(ring, make):
    """At each time the plan has one ring in force; before it began that is the first."""
    rotation = ring.rotate(make("r2"), now=NOW, max_age=300)
    published, _, switched, _, retired = (step.ring for step in rotation.plan)
    assert [rotation.at(NOW + after) for after in (-5, 0, 359.9, 360, 1019.9, 1020, 1e6)] == [
        published, published, published, switched, switched, retired, retired,
    ]  # fmt: skip
    assert shape(retired) == (["r2", "e1"], [], [])


def test_a_key_of_another_algorithm_replaces_none(make):
    """It is published and then used beside the others: there is nothing to retire."""
    rotation = KeyRing(active=[make("r1")]).rotate(make("e1"), now=NOW, max_age=300)
    assert [step.action for step in rotation.plan] == ["publish", "wait", "switch"]
    assert (shape(rotation.at(NOW + 360)), rotation.replaced) == ((["r1", "e1"], [], []), ())
    assert repr(rotation) == (
        "<Rotation of no key by 'e1': publish 2026-01-01T00:00:00Z, switch 2026-01-01T00:06:00Z>"
    )


def test_an_rsa_key_with_another_algorithm_is_another_kind(make):
    """PS384 beside RS384: a server that takes one need not take the other."""
    rotation = KeyRing(active=[make("r1")]).rotate(make("r2", "PS384"), now=NOW, max_age=300)
    assert rotation.replaced == ()


def test_which_keys_are_replaced_can_be_said(ring, make):
    """To leave RSA behind, a P-384 key replaces both."""
    rotation = ring.rotate(make("e2"), now=NOW, max_age=300, replaces=["r1", "e1"])
    assert shape(rotation.at(rotation.switch_at)) == (["e2"], [], ["r1", "e1"])
    assert shape(rotation.at(rotation.done_at)) == (["e2"], [], [])
    with pytest.raises(ConfigurationError, match="There is no key 'e9'"):
        ring.rotate(make("e2"), now=NOW, max_age=300, replaces=["e9"])


@pytest.mark.rule("AS-05")
def test_the_new_key_needs_a_kid_of_its_own(ring, make):
    """A new key under the old id would be taken for the old one by every cache."""
    with pytest.raises(ConfigurationError, match="the kid 'e1'"):
        ring.rotate(make("e1"), now=NOW, max_age=300)


@pytest.mark.parametrize("field", ["now", "max_age", "skew", "assertion_lifetime"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), None, "300", True, 1.8e12])
def test_times_are_seconds(ring, make, field, value):
    """A negative time, none at all, or milliseconds would make a plan that nobody meant."""
    with pytest.raises(ConfigurationError, match=f"{field} must be a number of seconds") as caught:
        ring.rotate(make("e2"), **{"now": NOW, "max_age": 300, field: value})
    assert (caught.value.field, "time.time()" in str(caught.value)) == (field, field == "now")


def test_a_rotation_prints_its_dates(ring, make):
    """What is printed can be put into a calendar; a fraction of a second is never early."""
    rotation = ring.rotate(make("e2"), now=NOW + 0.25, max_age=300)
    assert str(rotation).splitlines() == [
        "2026-01-01T00:00:01Z  publish  the key 'e2', without signing with it",
        "2026-01-01T00:00:01Z  wait     until 2026-01-01T00:06:01Z: servers may hold a set without 'e2'",
        "2026-01-01T00:06:01Z  switch   to 'e2', away from 'e1'",
        "2026-01-01T00:06:01Z  wait     until 2026-01-01T00:17:01Z: assertions by 'e1' may be on their way",
        "2026-01-01T00:17:01Z  retire   'e1': publish no more, and destroy the private key",
    ]
    assert repr(rotation) == (
        "<Rotation of 'e1' by 'e2': publish 2026-01-01T00:00:01Z, switch 2026-01-01T00:06:01Z, "
        "retire 2026-01-01T00:17:01Z>"
    )
    assert repr(rotation.plan[0]) == "<RotationStep publish 2026-01-01T00:00:01Z (1767225600)>"
