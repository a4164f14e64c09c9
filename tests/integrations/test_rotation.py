"""
Rotations as a server sees them: it caches published keys as told, and refuses what it cannot verify.

The clock is simulated and the sandbox does the judging. Two clients sign with RS384 and two with ES384, all
with one ring; its keys are published by `jwks_app` and fetched by the sandbox from one URL.
"""

from __future__ import annotations

import asyncio
from itertools import count

import httpx
import pytest

from smart_async import (
    KeyRing,
    OAuthError,
    PrivateKeyJWT,
    SigningKey,
    SmartClient,
    SmartConfig,
    Timeouts,
    TransportError,
)
from smart_async.integrations.jwks import jwks_app
from smart_async.keys import RingHolder
from smart_async.messages import Headers, Response

sandboxes = pytest.importorskip("smart_async.sandbox", reason="needs the extra sandbox")

JWKS_URI = "https://app.example.com/jwks.json"
MAX_AGE = 120
BEAT = 89.0  # no divisor of anything, so that requests meet caches of every age


class Clock:
    """A clock that is set."""

    now = 1_767_225_600.0

    def wall(self):
        return self.now

    def monotonic(self):
        return self.now


class Pool:
    """New keys under new kids. RSA keys take long to make, so three take turns."""

    def __init__(self):
        self.numbers = count()
        self.rsa = [SigningKey.generate("RS384", key_size=2048).private_pem() for _ in range(3)]

    def key(self, algorithm):
        kid = f"{algorithm}-{next(self.numbers)}"
        if algorithm == "RS384":
            return SigningKey.from_pem(self.rsa[int(kid[6:]) % 3], kid=kid)
        return SigningKey.generate("ES384", kid=kid)


@pytest.fixture(scope="module")
def pool():
    return Pool()


class World:
    """A sandbox, the host of the keys, and four clients that ask for a token at every beat."""

    def __init__(self, pool):
        self.clock = Clock()
        self.holder = RingHolder(KeyRing(active=[pool.key("RS384"), pool.key("ES384")]))
        self.app = jwks_app(self.holder, max_age=MAX_AGE)
        self.fetched = 0
        self.sandbox = sandboxes.Sandbox(clock=self.clock.wall, fetch=self.fetch)
        self.clients = [self.client(number) for number in range(4)]
        self.answers = []

    def fetch(self, url):
        assert url == JWKS_URI
        self.fetched += 1
        return asyncio.run(self.ask())

    async def ask(self):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app)) as http:
            answer = await http.get(JWKS_URI)
        headers = Headers(answer.headers.items())
        return Response(status=answer.status_code, headers=headers, body=answer.content, url=JWKS_URI)

    def client(self, number):
        self.sandbox.register_client(client_id=f"app-{number}", jwks_uri=JWKS_URI)
        config = SmartConfig(
            fhir_base=self.sandbox.fhir_base,
            client_id=f"app-{number}",
            client_auth=PrivateKeyJWT(self.holder, jku=JWKS_URI, algorithm=("RS384", "ES384")[number % 2]),
        )
        return SmartClient(config, transport=self.sandbox.transport(), clock=self.clock)

    def traffic(self):
        """Each client asks for a token; return what was refused."""
        refused = []
        for client in self.clients:
            try:
                client.backend_token(scope="system/Patient.rs")
            except OAuthError as error:
                refused.append(error)
        self.answers.append(len(self.clients) - len(refused))
        return refused

    def live(self, until, rotation=None):
        """Let time pass until then, follow the plan if there is one, and return what was refused."""
        refused = []
        while self.clock.now < until:
            self.clock.now += BEAT
            if rotation is not None:
                self.holder.ring = rotation.at(self.clock.now)
            refused += self.traffic()
        return refused


@pytest.mark.rule("AS-17")
def test_a_hundred_rotations_without_a_refusal(pool):
    """Following the plan, no assertion is ever refused; switching before the caches expire, some are."""
    world = World(pool)
    assert world.traffic() == []
    used = set()
    for number in range(100):
        rotation = world.holder.ring.rotate(
            pool.key(("RS384", "ES384")[number % 2]), now=world.clock.now, max_age=MAX_AGE
        )
        world.holder.ring = rotation.ring
        assert world.live(rotation.done_at, rotation) == [], str(rotation)
        used |= {key.kid for key in world.holder.ring.active}
        assert (len(world.holder.ring), rotation.kid in used) == (2, True)
    assert (len(used), sum(world.answers)) == (102 - 1, len(world.answers) * 4)
    assert 100 < world.fetched < len(world.answers)

    # The naive way, in the same world: publish the new key and use it at once.
    before = len(world.sandbox.verdicts)
    for algorithm in ("RS384", "ES384"):
        assert world.traffic() == []
        key = pool.key(algorithm)
        world.holder.ring = world.holder.ring.publish(key).switch(key.kid)
        refused = world.traffic()
        assert [error.error for error in refused] == ["invalid_client"] * 2
        refused += world.live(world.clock.now + MAX_AGE)
        assert world.live(world.clock.now + MAX_AGE) == []
    rules = {verdict.rule for verdict in world.sandbox.verdicts[before:] if not verdict.accepted}
    assert rules == {"AS-18"}


class Slow:
    """A transport that keeps token requests, to deliver them later."""

    def __init__(self, inner):
        self.inner = inner
        self.kept = []

    def send(self, request, timeouts):
        if request.method == "GET":
            return self.inner.send(request, timeouts)
        self.kept.append(request)
        raise TransportError("It takes its time.", endpoint=request.url, sent=False)

    def close(self):
        self.inner.close()


@pytest.mark.parametrize(("patient", "status"), [(True, 200), (False, 401)])
def test_a_late_assertion_by_the_old_key(pool, patient, status):
    """What the old key signed just before the switch is still verified minutes later, if that key stays."""
    world = World(pool)
    slow = Slow(world.sandbox.transport())
    client = SmartClient(world.clients[1].config, transport=slow, clock=world.clock)
    rotation = world.holder.ring.rotate(pool.key("ES384"), now=world.clock.now, max_age=MAX_AGE)
    world.holder.ring = rotation.ring
    world.clock.now = rotation.switch_at - 1
    with pytest.raises(TransportError):
        client.backend_token(scope="system/Patient.rs")
    world.holder.ring = rotation.at(rotation.switch_at if patient else rotation.done_at)
    world.clock.now += 238
    assert slow.inner.send(slow.kept[0], Timeouts()).status == status
