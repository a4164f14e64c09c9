"""Rings of keys: what is in them, which key signs, and how they change."""

from __future__ import annotations

import pytest

from smart_async.errors import ConfigurationError
from smart_async.keys import KeyRing, RingHolder, RingSource, SigningKey, holds_ring, public_jwks
from smart_async.keys.jwks import PRIVATE_MEMBERS


class Remote:
    """A signer that is somebody else's, with whatever public JWK it is given."""

    blocking = True

    def __init__(self, jwk, kid="remote-1", algorithm="ES384"):
        self.jwk = jwk
        self.kid = kid
        self.algorithm = algorithm

    def sign(self, signing_input):
        return b""

    def public_jwk(self):
        return self.jwk


class AsyncRemote:
    """A signer that can only be awaited."""

    kid = "async-1"
    algorithm = "ES384"

    def __init__(self, key):
        self.key = key

    async def async_sign(self, signing_input):
        return self.key.sign(signing_input)

    def public_jwk(self):
        return {**self.key.public_jwk(), "kid": self.kid}


@pytest.fixture(scope="session")
def make(rsa_key, p384_key):
    """Return a function that makes a key under a kid; the kid's first letter is its type."""

    def make(kid, algorithm=None):
        key = rsa_key if kid.startswith("r") else p384_key
        return SigningKey.from_key(key, kid=kid, algorithm=algorithm)

    return make


@pytest.fixture
def ring(make):
    """A ring with a key of each type in each state."""
    return KeyRing(
        active=[make("r1"), make("e1")],
        next=[make("r2"), make("e2")],
        retiring=[make("r0"), make("e0")],
    )


def kids(keys):
    return [key.kid for key in keys]


def shape(ring):
    return kids(ring.active), kids(ring.next), kids(ring.retiring)


def test_a_ring_keeps_the_order_and_the_states(ring):
    """Keys stay in the order given, the active ones first."""
    assert shape(ring) == (["r1", "e1"], ["r2", "e2"], ["r0", "e0"])
    assert kids(ring) == kids(ring.keys) == ["r1", "e1", "r2", "e2", "r0", "e0"]
    assert (len(ring), ring.ring) == (6, ring)
    assert [ring.state(kid) for kid in kids(ring)] == ["active"] * 2 + ["next"] * 2 + ["retiring"] * 2


def test_a_ring_does_not_change(ring):
    """No attribute of a ring can be set, and what it hands out is a copy."""
    for name in ("active", "next", "retiring", "keys", "ring", "other"):
        with pytest.raises(AttributeError):
            setattr(ring, name, ())
    ring.public_jwks()["keys"][0]["kid"] = "changed"
    ring.public_jwks()["keys"].clear()
    assert [jwk["kid"] for jwk in ring.public_jwks()["keys"]] == kids(ring)


def test_the_lists_given_may_change_later(make):
    """A ring keeps its keys, not the list that they came in; any iterable will do."""
    keys = [make("e1")]
    ring = KeyRing(active=keys, next=iter([make("e2")]))
    keys.append(make("e3"))
    assert shape(ring) == (["e1"], ["e2"], [])


@pytest.mark.parametrize("given", [[], (), iter([])])
def test_a_ring_needs_an_active_key(make, given):
    """Without an active key nothing could be signed."""
    with pytest.raises(ConfigurationError, match="at least one active key") as caught:
        KeyRing(active=given, next=[make("e1")])
    assert caught.value.field == "active"


@pytest.mark.rule("AS-05")
@pytest.mark.parametrize(
    ("active", "coming", "retiring"),
    [(["e1", "e1"], [], []), (["e1"], ["e1"], []), (["e1"], [], ["e1"]), (["e0"], ["e1"], ["e1"])],
)
def test_kids_are_unique_over_all_states(make, active, coming, retiring):
    """Every key of the published set has an id of its own, whatever its state."""
    with pytest.raises(ConfigurationError, match="Two keys of the ring have the kid 'e1'") as caught:
        KeyRing(active=map(make, active), next=map(make, coming), retiring=map(make, retiring))
    assert caught.value.field == "kid"


@pytest.mark.parametrize("kid", ["", None, 7])
def test_a_kid_is_text(ec_signer, kid):
    """A signer of somebody else's has to have an id, too."""
    with pytest.raises(ConfigurationError, match="empty, or not text"):
        KeyRing(active=[Remote(ec_signer.public_jwk(), kid=kid)])


@pytest.mark.parametrize("field", ["active", "next", "retiring"])
@pytest.mark.parametrize("single", [False, True])
def test_a_single_key_is_no_list(make, ec_signer, field, single):
    """A key without brackets, or no key at all, is told how to be given."""
    thing = Remote(ec_signer.public_jwk()) if single else 5
    with pytest.raises(ConfigurationError, match=f"{field} must be a list of keys") as caught:
        KeyRing(**{"active": [make("e1")], field: thing})
    assert caught.value.field == field
    assert f"KeyRing({field}=[key])" in caught.value.advice


@pytest.mark.parametrize("thing", ["key", b"-----BEGIN", None, SigningKey, object()])
def test_only_signers_are_keys(make, thing):
    """Text, bytes and classes sign nothing."""
    with pytest.raises(ConfigurationError, match="holds signing keys") as caught:
        KeyRing(active=[make("e1")], next=[thing])
    assert (caught.value.field, "BEGIN" in str(caught.value)) == ("next", False)


def test_a_signer_without_a_public_key_cannot_be_published(make):
    """What cannot be published has no place in a ring."""
    signer = Remote(None)
    signer.public_jwk = None
    with pytest.raises(ConfigurationError, match="Remote has no public_jwk"):
        KeyRing(active=[signer])


def test_a_signer_that_can_only_be_awaited_is_a_key(ec_signer):
    """A ring serves both colours; the client checks its own."""
    signer = AsyncRemote(ec_signer)
    assert KeyRing(active=[signer]).choose() is signer


@pytest.mark.rule("AS-13", "AS-14")
def test_all_states_are_published(ring):
    """A server sees coming and going keys, as `public_jwks` of the same keys has them."""
    assert ring.public_jwks() == public_jwks(ring) == public_jwks(ring.keys)
    assert not any(PRIVATE_MEMBERS & jwk.keys() for jwk in ring.public_jwks()["keys"])


@pytest.mark.rule("AS-14")
@pytest.mark.parametrize("member", sorted(PRIVATE_MEMBERS))
def test_private_members_of_any_signer_stay_behind(ec_signer, member):
    """Even a signer that hands out its private key cannot get it published."""
    leaking = Remote({**ec_signer.public_jwk(), "kid": "remote-1", member: "AQAB", "x5u": "https://x"})
    assert KeyRing(active=[leaking]).public_jwks() == {
        "keys": [{**ec_signer.public_jwk(), "kid": "remote-1"}]
    }


def test_a_jwk_without_kid_and_alg_is_named_after_its_signer(ec_signer):
    """What the signer says of itself is what is published."""
    jwk = {name: ec_signer.public_jwk()[name] for name in ("kty", "crv", "x", "y")}
    (published,) = KeyRing(active=[Remote(jwk)]).public_jwks()["keys"]
    assert published == {**jwk, "kid": "remote-1", "alg": "ES384", "use": "sig"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kid": "other"}, "it bears another kid"),
        ({"crv": "P-256"}, "its point is not on the curve"),
        ({"kty": "OKP"}, "its kty is neither"),
        ({"x": None}, "its x is missing"),
    ],
)
def test_a_public_key_that_does_not_hold_is_refused(ec_signer, change, reason):
    """A set that nobody can verify with would only be noticed by the servers."""
    jwk = {**ec_signer.public_jwk(), "kid": "remote-1", **change}
    with pytest.raises(ConfigurationError) as caught:
        KeyRing(active=[Remote(jwk)])
    assert caught.value.message.startswith(
        f"The public JWK of the key 'remote-1' cannot be published: {reason}"
    )


@pytest.mark.parametrize("jwk", [None, 5, ["kty"], "kty"])
def test_what_is_no_jwk_is_refused(jwk):
    """public_jwk() has to return a JWK."""
    with pytest.raises(ConfigurationError, match="it is no JWK"):
        KeyRing(active=[Remote(jwk)])


@pytest.mark.parametrize("algorithm", ["RS384", "ES256", "HS256", "none", None])
def test_the_public_key_fits_the_algorithm(ec_signer, algorithm):
    """An elliptic-curve key on P-384 verifies ES384 and nothing else."""
    jwk = {**ec_signer.public_jwk(), "kid": "remote-1"}
    with pytest.raises(ConfigurationError, match="does not fit the algorithm"):
        KeyRing(active=[Remote(jwk, algorithm=algorithm)])


@pytest.mark.parametrize(
    ("listed", "algorithm", "kid"),
    [
        ((), None, "r1"),
        (("RS384", "ES384"), None, "r1"),
        (("ES384", "RS384"), None, "r1"),
        (("ES384",), None, "e1"),
        (("PS384", "ES384"), None, "e1"),
        (("ES384",), "RS384", "r1"),
        ((), "ES384", "e1"),
    ],
)
def test_the_first_active_key_that_fits_is_chosen(ring, listed, algorithm, kid):
    """The ring's order decides among what the server lists; insisting overrides the list."""
    assert ring.choose(listed, algorithm).kid == kid


@pytest.mark.rule("AS-22")
def test_nothing_fits_the_server(ring):
    """Both sides are named, and what to do."""
    with pytest.raises(ConfigurationError) as caught:
        ring.choose(("PS384", "ES256"), endpoint="https://sso.example.com/token")
    assert caught.value.message == (
        "The active keys of the ring sign with RS384, ES384, and the server accepts only PS384, ES256."
    )
    assert (caught.value.field, caught.value.endpoint) == ("client_auth", "https://sso.example.com/token")
    assert "insist" in caught.value.advice


@pytest.mark.rule("AS-22")
def test_nothing_fits_what_is_insisted_on(ring):
    """An algorithm that no active key has is a mistake of ours."""
    with pytest.raises(ConfigurationError) as caught:
        ring.choose(("RS384",), "PS384")
    assert caught.value.message == (
        "The active keys of the ring sign with RS384, ES384, and algorithm='PS384' is asked for."
    )
    assert (caught.value.field, "insist" in caught.value.advice) == ("algorithm", False)


def test_a_key_that_is_not_active_yet_is_pointed_at(make):
    """Coming keys never sign, but one that would fit is worth a word."""
    ring = KeyRing(active=[make("r1")], next=[make("e1")], retiring=[make("e0")])
    with pytest.raises(ConfigurationError, match="The key 'e1' would fit") as caught:
        ring.choose(("ES384",))
    assert "sign with RS384, and" in caught.value.message


def test_a_hostile_list_is_shown_harmlessly(ring):
    """A server's text is cleaned and cut before it is shown."""
    with pytest.raises(ConfigurationError) as caught:
        ring.choose(("\x1b]0;pwn\x07\n", *["X" * 50] * 1000))
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


def test_publish_adds_a_key_that_does_not_sign(ring, make):
    """A published key is last among the coming ones."""
    assert shape(ring.publish(make("e3"))) == (["r1", "e1"], ["r2", "e2", "e3"], ["r0", "e0"])
    with pytest.raises(ConfigurationError, match="the kid 'e0'"):
        ring.publish(make("e0"))


@pytest.mark.parametrize(
    ("kid", "replaces", "expected"),
    [
        ("r2", None, (["r2", "e1"], ["e2"], ["r0", "e0", "r1"])),
        ("e2", None, (["r1", "e2"], ["r2"], ["r0", "e0", "e1"])),
        ("e2", (), (["r1", "e1", "e2"], ["r2"], ["r0", "e0"])),
        ("e2", "r1", (["e2", "e1"], ["r2"], ["r0", "e0", "r1"])),
        ("e2", ["r1", "e1", "r1"], (["e2"], ["r2"], ["r0", "e0", "r1", "e1"])),
    ],
)
def test_switch_puts_a_key_in_the_place_of_another(ring, kid, replaces, expected):
    """An RSA key replaces the RSA key and keeps its place; what it replaces is still published."""
    switched = ring.switch(kid, replaces=replaces)
    assert shape(switched) == expected
    assert sorted(kids(switched)) == sorted(kids(ring))


def test_switch_to_another_algorithm_joins(make):
    """Where no key has its algorithm, a key is active beside the others."""
    ring = KeyRing(active=[make("r1")], next=[make("e1")])
    assert shape(ring.switch("e1")) == (["r1", "e1"], [], [])


def test_retire_and_remove(ring):
    """A retiring key goes when its time is over; any key goes at once when it has to."""
    assert shape(ring.retire("r0")) == (["r1", "e1"], ["r2", "e2"], ["e0"])
    assert shape(ring.remove("e1")) == (["r1"], ["r2", "e2"], ["r0", "e0"])
    assert shape(ring.remove("r2")) == (["r1", "e1"], ["e2"], ["r0", "e0"])


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ring: ring.switch("e1"), "The key 'e1' is active, not next."),
        (lambda ring: ring.switch("e0"), "The key 'e0' is retiring, not next."),
        (lambda ring: ring.retire("e1"), "The key 'e1' is active, not retiring."),
        (lambda ring: ring.retire("e2"), "The key 'e2' is next, not retiring."),
        (lambda ring: ring.switch("e2", replaces=["r0"]), "The key 'r0' is retiring, not active."),
        (lambda ring: ring.switch("e9"), "There is no key 'e9' in the ring."),
        (lambda ring: ring.retire("e9"), "There is no key 'e9' in the ring."),
        (lambda ring: ring.remove("e9"), "There is no key 'e9' in the ring."),
        (lambda ring: ring.state("e9"), "There is no key 'e9' in the ring."),
    ],
)
def test_steps_out_of_order_are_refused(ring, act, message):
    """A key goes from next to active to retiring, and no other way."""
    with pytest.raises(ConfigurationError) as caught:
        act(ring)
    assert (caught.value.message, caught.value.field) == (message, "kid")


def test_the_last_active_key_stays(make):
    """A client without a key that signs is no client."""
    with pytest.raises(ConfigurationError, match="at least one active key"):
        KeyRing(active=[make("e1")], next=[make("e2")]).remove("e1")


def test_repr_shows_ids_and_states(ring, ec_signer):
    """Whoever prints a ring sees what is in force, and no key."""
    assert repr(ring) == (
        "<KeyRing active 'r1' RS384, active 'e1' ES384, next 'r2' RS384, next 'e2' ES384, "
        "retiring 'r0' RS384, retiring 'e0' ES384>"
    )


def test_a_holder_exchanges_rings(ring, make):
    """A holder is a source whose ring can be set, and nothing but a ring."""
    holder = RingHolder(ring)
    assert isinstance(holder, RingSource)
    assert isinstance(ring, RingSource)
    holder.ring = holder.ring.retire("r0")
    assert holder.ring.retiring[0].kid == "e0"
    for thing in (None, [make("e1")], make("e1"), RingHolder(ring)):
        with pytest.raises(ConfigurationError, match="ring must be a KeyRing"):
            holder.ring = thing
        with pytest.raises(ConfigurationError, match="ring must be a KeyRing"):
            RingHolder(thing)


def test_what_holds_a_ring(ring, make):
    """A ring holds itself, a holder its ring, and a key none; another thing called ring does not count."""
    things = [ring, RingHolder(ring), make("e1"), KeyRing, type("Phone", (), {"ring": "loud"})()]
    assert [holds_ring(thing) for thing in things] == [True, True, False, False, False]
