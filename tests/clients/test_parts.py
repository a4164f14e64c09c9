"""What a client is made of is checked when it is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ConfigurationError, KeyRing, Limits, PrivateKeyJWT, SigningKey, Timeouts
from smart_async.clients._drivers import SystemClock
from smart_async.clients._parts import check_clock, check_limits, check_signer, check_timeouts, new_state
from smart_async.smart.entropy import system_entropy


class RemoteSigner:
    kid = "remote-1"
    algorithm = "RS384"

    async def async_sign(self, signing_input: bytes) -> bytes:
        return b""

    def public_jwk(self):
        return {**SigningKey.generate("RS384", key_size=2048).public_jwk(), "kid": self.kid}


def test_defaults(config):
    """What is left out is the documented default."""
    state = new_state(config, None, None)
    assert (state.config, state.limits, state.entropy, state.cached) == (
        config,
        Limits(),
        system_entropy,
        None,
    )
    assert check_timeouts(None) == Timeouts()
    assert isinstance(check_clock(None), SystemClock)


def test_what_is_given_is_used(config):
    """Limits, random bytes, timeouts and clock of one's own are taken as they are."""
    limits, timeouts, clock = Limits(json_depth=5), Timeouts(total=1), SystemClock()
    state = new_state(config, limits, bytes)
    assert (state.limits, state.entropy) == (limits, bytes)
    assert (check_timeouts(timeouts), check_clock(clock)) == (timeouts, clock)


@pytest.mark.parametrize("thing", [None, {}, "https://ehr.example.com/r4"])
def test_a_configuration_is_needed(thing):
    """A client is made from a SmartConfig."""
    with pytest.raises(ConfigurationError) as caught:
        new_state(thing, None, None)
    assert caught.value.field == "config"


@pytest.mark.parametrize("thing", [5, b"", b"0" * 32])
def test_entropy_is_a_function(config, thing):
    """Random bytes come from a function, not from a value used again and again."""
    with pytest.raises(ConfigurationError) as caught:
        new_state(config, None, thing)
    assert caught.value.field == "entropy"


@pytest.mark.parametrize("name", Timeouts.__slots__)
@pytest.mark.parametrize("value", [0, -1, None, True, "5", float("nan"), float("inf"), 86_400])
def test_timeouts_that_wait_for_ever_or_not_at_all(name, value):
    """Every timeout is a number of seconds above zero and below a day."""
    with pytest.raises(ConfigurationError) as caught:
        check_timeouts(replace(Timeouts(), **{name: value}))
    assert caught.value.field == f"timeouts.{name}"


@pytest.mark.parametrize("name", Limits.__slots__)
@pytest.mark.parametrize("value", [0, -1, None, True, "5", 1.5, float("inf")])
def test_limits_that_let_nothing_through(name, value):
    """Every limit is a whole number above zero."""
    with pytest.raises(ConfigurationError) as caught:
        check_limits(replace(Limits(), **{name: value}))
    assert caught.value.field == f"limits.{name}"


@pytest.mark.parametrize(
    ("check", "field"), [(check_timeouts, "timeouts"), (check_limits, "limits"), (check_clock, "clock")]
)
@pytest.mark.parametrize("thing", [5, 0, "", {}, object()])
def test_other_objects_are_refused(check, field, thing):
    """A bare number is no Timeouts, even where it is 0."""
    with pytest.raises(ConfigurationError) as caught:
        check(thing)
    assert caught.value.field == field


def test_a_signer_that_can_be_called(config):
    """A key in this process serves every client."""
    assert check_signer(config) is None


def test_a_signer_that_can_only_be_awaited(config):
    """SmartClient refuses it when it is made, and says what to use."""
    with pytest.raises(ConfigurationError) as caught:
        check_signer(replace(config, client_auth=PrivateKeyJWT(RemoteSigner())))
    assert caught.value.field == "client_auth"
    assert caught.value.message == "RemoteSigner can only be awaited, and SmartClient awaits nothing."


@pytest.mark.parametrize("state", ["active", "next", "retiring"])
def test_a_ring_with_a_signer_that_can_only_be_awaited(config, signing_key, state):
    """SmartClient refuses the ring even if that key does not sign yet: one day it would."""
    ring = KeyRing(**{"active": [signing_key], state: [signing_key, RemoteSigner()][state != "active" :]})
    with pytest.raises(ConfigurationError, match="RemoteSigner can only be awaited"):
        check_signer(replace(config, client_auth=PrivateKeyJWT(ring)))


def test_a_ring_of_signers_that_can_be_called(config, signing_key):
    """A ring of keys in this process serves every client."""
    assert check_signer(replace(config, client_auth=PrivateKeyJWT(KeyRing(active=[signing_key])))) is None


def test_another_way_to_authenticate(config):
    """Where there is no key, there is no signer to refuse."""

    class NoAuth:
        def check(self, config):
            pass

        def authenticate(self, config, metadata, audience, *, entropy):
            yield

    assert check_signer(replace(config, client_auth=NoAuth())) is None
