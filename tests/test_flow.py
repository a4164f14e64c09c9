"""The steps that a flow may ask for, and the little generators that yield them."""

from __future__ import annotations

import typing

import pytest

from smart_async import flow
from smart_async.flow import (
    Exclusive,
    Flow,
    Instant,
    Now,
    Send,
    Sign,
    Sleep,
    Step,
    exclusive,
    now,
    send,
    sign,
    sleep,
)
from smart_async.messages import Request, Response

REQUEST = Request(method="GET", url="https://ehr.example.com", purpose="fhir")


class Signer:
    kid, algorithm, blocking = "k", "ES384", False

    def sign(self, signing_input: bytes) -> bytes:
        return b"s"


SIGNER = Signer()
INNER = iter(())

STEPS = [
    (send(REQUEST), Send(REQUEST), Response(status=200)),
    (sign(SIGNER, b"input"), Sign(SIGNER, b"input"), b"signature"),
    (now(), Now(), Instant(wall=1.0, monotonic=2.0)),
    (exclusive("key", INNER), Exclusive("key", INNER), "result"),
]


@pytest.mark.parametrize(
    ("plan", "step", "outcome"), STEPS, ids=[type(step).__name__ for _, step, _ in STEPS]
)
def test_a_step_and_its_outcome(plan, step, outcome):
    """Each generator yields its one step and returns what the performer made of it."""
    assert next(plan) == step
    with pytest.raises(StopIteration) as finished:
        plan.send(outcome)
    assert finished.value.value is outcome


def test_sleeping_has_no_outcome():
    """Waiting returns nothing, whatever it is sent."""
    plan = sleep(1.5)
    assert next(plan) == Sleep(1.5)
    with pytest.raises(StopIteration) as finished:
        plan.send("ignored")
    assert finished.value.value is None


def test_nothing_happens_before_it_is_asked_for():
    """A flow is a plan: calling it performs nothing, and a performer's error comes out inside it."""

    def greedy() -> Flow[str]:
        try:
            response = yield from send(REQUEST)
        except ValueError:
            instant = yield from now()
            return f"failed at {instant.wall}"
        return str(response.status)

    good, bad = greedy(), greedy()
    assert (next(good), next(bad)) == (Send(REQUEST), Send(REQUEST))
    with pytest.raises(StopIteration, match="200"):
        good.send(Response(status=200))
    assert bad.throw(ValueError()) == Now()
    with pytest.raises(StopIteration, match=r"failed at 5\.0"):
        bad.send(Instant(5.0, 0.0))


def test_the_steps_are_known():
    """Every step class of the module is part of `Step`, so that drivers can be checked for completeness."""
    known = set(typing.get_args(Step))
    defined = {
        value
        for value in vars(flow).values()
        if isinstance(value, type) and value.__module__ == flow.__name__
    }
    assert defined - known == {Instant}
    assert known <= defined


def test_secrets_in_steps_are_not_shown():
    """A step's repr shows a request as the request itself does."""
    request = Request(method="POST", url="https://e.test/t", purpose="token", body=b"canary")
    assert "canary" not in repr(Send(request))
