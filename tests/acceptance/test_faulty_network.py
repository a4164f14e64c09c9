"""
Acceptance: a bad network between client and server.

Ten thousand operations of six kinds go through a proxy that delays, cuts, truncates, duplicates, resets or
goes silent as a seeded die says (`SMART_FAULTY_OPERATIONS=10000`, or `make faulty`; fewer by default). Every
outcome is a value or an error of ours; nothing that takes effect once is sent twice after an unknown outcome;
nobody gets somebody else's answer; nothing is left open.

Spec: RFC 9110, section 9.2.2; RFC 6749, section 4.1.2.
"""

from __future__ import annotations

import base64
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
from faulty import FAULTS, FaultyNetwork
from loopback import Caller

from smart_async import (
    ClientMetadata,
    OAuthError,
    OutcomeUnknownError,
    PrivateKeyJWT,
    SigningKey,
    SmartConfig,
    SmartError,
    TransportError,
)
from smart_async.limits import Timeouts
from smart_async.sandbox import Sandbox, serve

OPERATIONS = int(os.environ.get("SMART_FAULTY_OPERATIONS", "1200"))
WAYS = 6
TENANTS = 8
PATIENCE = 0.4
TIMEOUTS = Timeouts(connect=5, read=PATIENCE, write=5, pool=20, total=20, discovery=20)
HEALTHY = {"pass": 1}
CALLBACK = "https://app.example.com/callback"
SCOPES = ("system/Patient.rs", "system/Observation.rs", "system/Encounter.r", "system/Condition.s")


def impatient(size: int) -> bytes:
    """Random bytes, and none for the dice behind pauses: those are none then."""
    return bytes(size) if size == 8 else os.urandom(size)


class Tenant:
    """One client among many on one transport, with what it has been given so far."""

    def __init__(self, caller: Caller, sandbox: Sandbox, number: int, key: SigningKey) -> None:
        self.call = caller.call
        self.sandbox = sandbox
        self.name = f"{caller.colour}-{caller.library}-{number}"
        self.scope = SCOPES[number % len(SCOPES)]
        self.dice = random.Random(self.name)
        self.token: Any = None
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.wrong: list[object] = []
        self.made = 0
        sandbox.register_client(
            client_id=self.name, redirect_uris=[CALLBACK], jwks={"keys": [key.public_jwk()]}
        )
        config = SmartConfig(
            fhir_base=sandbox.fhir_base,
            client_id=self.name,
            client_auth=PrivateKeyJWT(key),
            redirect_uri=CALLBACK,
            scope="launch/patient patient/*.rs offline_access",
            allow_insecure_loopback=True,
        )
        self.client = caller.client(config, timeouts=TIMEOUTS, entropy=impatient)

    def work(self, operations: int) -> None:
        """Do that many things, one after the other."""
        for _ in range(operations):
            kinds = ["discover", "backend_token", "register", "login"]
            if self.token is not None:
                kinds = [*kinds, *["refresh", "introspect"] * 3, "revoke"]
            kind = self.dice.choice(kinds)
            try:
                right = getattr(self, kind)()
            except SmartError as exc:
                self.outcomes[kind, type(exc).__name__] += 1
                if not self.expected(exc):
                    self.wrong.append((kind, exc))
            except BaseException as exc:
                self.wrong.append((kind, exc))
                return
            else:
                self.outcomes[kind, "done"] += 1
                if not right:
                    self.wrong.append((kind, "somebody else's answer"))

    @staticmethod
    def expected(exc: SmartError) -> bool:
        """Whether the network explains an error: no answer, or one from something in between."""
        return isinstance(exc, TransportError) or getattr(exc, "status", None) == 503

    def discover(self) -> bool:
        found = self.call(self.client.discover, refresh=True)
        return bool(found.token_endpoint == self.sandbox.token_endpoint)

    def backend_token(self) -> bool:
        return str(self.call(self.client.backend_token, self.scope).scopes) == self.scope

    def register(self) -> bool:
        self.made += 1
        name = f"{self.name}-{self.made}"
        wanted = ClientMetadata.for_app(redirect_uris=[CALLBACK], scope="launch/patient", client_name=name)
        made = self.call(self.client.register, wanted)
        return bool(made.metadata.client_name == name)

    def login(self) -> bool:
        pending = self.call(self.client.authorize)
        callback = self.sandbox.authorize(pending.url)
        token = self.call(self.client.exchange_code, pending, callback)
        self.token = token
        return bool(token.context.patient == "patient-amber")

    def refresh(self) -> bool:
        token, self.token = self.token, None
        try:
            self.token = self.call(self.client.refresh, token)
        except OutcomeUnknownError:
            raise
        except (OAuthError, TransportError):
            self.token = token  # the server did not act on it
            raise
        return bool(self.token.refresh_token != token.refresh_token)

    def introspect(self) -> bool:
        status = self.call(self.client.introspect, self.token)
        return bool(status.active and status.client_id == self.name)

    def revoke(self) -> bool:
        token, self.token = self.token, None
        self.call(self.client.revoke, token)
        return True


@pytest.fixture(scope="module")
def key() -> SigningKey:
    """One key for all clients."""
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture
def ehr() -> Iterator[Sandbox]:
    """A sandbox on a loopback port, its limits far above what is done here."""
    with serve(Sandbox()) as sandbox:
        yield sandbox


@pytest.fixture
def network(ehr: Sandbox) -> Iterator[FaultyNetwork]:
    """The bad network in front of it, healthy at first; the sandbox believes in its address."""
    network = FaultyNetwork(int(ehr.base_url.rpartition(":")[2]), seed=20, patience=PATIENCE, faults=HEALTHY)
    ehr.move(network.url)
    yield network
    network.close()


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> list[str]:
    """The threads of this process, but for those that pools keep for a while."""
    pools = ("AnyIO worker", "Trio thread", "asyncio_")
    return sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith(pools))


def tasks(caller: Caller) -> int:
    """How many tasks the client's event loop has; none without one."""
    if caller.colour == "sync":
        return 0
    if caller.colour == "trio":
        import trio

        return int(caller.call(lambda: trio.lowlevel.current_statistics().tasks_living))
    import asyncio

    return len(caller.call(lambda: asyncio.all_tasks()))


def settles(met: Any) -> bool:
    """Give sockets that are being closed in other threads a moment."""
    pause = threading.Event()
    return any(met() or pause.wait(0.02) for _ in range(500))


def run(tenants: list[Tenant], operations: int) -> None:
    """Let all of them work at once."""
    workers = [threading.Thread(target=tenant.work, args=(operations,)) for tenant in tenants]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def open_all(caller: Caller, ehr: Sandbox, key: SigningKey, first: int = 0) -> list[Tenant]:
    """Clients that share one new transport."""
    caller.open()
    return [Tenant(caller, ehr, number, key) for number in range(first, first + TENANTS)]


@pytest.mark.timeout(60 + OPERATIONS // 10)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_ten_thousand_operations(
    caller: Caller, ehr: Sandbox, network: FaultyNetwork, key: SigningKey
) -> None:
    """All outcomes are typed, nothing is repeated that may not be, no answer is another's, nothing leaks."""
    warm = open_all(caller, ehr, key, first=100)
    run(warm, 3)
    assert [wrong for tenant in warm for wrong in tenant.wrong] == []
    caller.close()
    assert network.idle(10)
    before = (descriptors(), threads(), tasks(caller))

    tenants = open_all(caller, ehr, key)
    network.faults = FAULTS
    run(tenants, -(-OPERATIONS // (WAYS * TENANTS)))
    assert [wrong for tenant in tenants for wrong in tenant.wrong] == []

    network.faults = HEALTHY
    for tenant in [*tenants, *tenants[:4]]:
        assert tenant.backend_token() is True
    caller.close()
    assert network.idle(10)
    assert settles(lambda: descriptors() <= before[0]), (descriptors(), before[0])
    assert settles(lambda: threads() == before[1]), (threads(), before[1])
    assert settles(lambda: tasks(caller) == before[2])

    assert network.failures == []
    assert ehr.replays == []
    check_repetitions(network)
    check_coverage(network, sum((tenant.outcomes for tenant in tenants), Counter()))


def check_repetitions(network: FaultyNetwork) -> None:
    """Nothing that takes effect once reached the server twice, and no assertion was ever sent twice."""
    sent: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    assertions: Counter[str] = Counter()
    for passed in network.requests:
        form = passed.form
        for once in ("code", "refresh_token"):
            if once in form:
                sent[form[once]] += 1
                reached[form[once]] += passed.reached
        if passed.line.endswith("/register"):
            reached[json.loads(passed.body)["client_name"]] += passed.reached
        if "client_assertion" in form:
            payload = form["client_assertion"].split(".")[1]
            assertions[json.loads(base64.urlsafe_b64decode(payload + "=="))["jti"]] += 1
    codes = {passed.form["code"] for passed in network.requests if "code" in passed.form}
    assert [code for code in codes if sent[code] > 1] == []
    assert [one for one, times in reached.items() if times > 1] == []
    assert [jti for jti, times in assertions.items() if times > 1] == []
    refreshed = [passed for passed in network.requests if "refresh_token" in passed.form]
    unknown: set[str] = set()
    for passed in refreshed:
        assert passed.form["refresh_token"] not in unknown
        if passed.fault not in ("pass", "delay", "busy"):
            unknown.add(passed.form["refresh_token"])


def check_coverage(network: FaultyNetwork, outcomes: Counter[tuple[str, str]]) -> None:
    """The run was worth something: each kind of operation succeeded, and faults showed."""
    done = {kind for (kind, outcome), times in outcomes.items() if outcome == "done" and times}
    assert done == {"discover", "backend_token", "register", "login", "refresh", "introspect", "revoke"}
    assert any(outcome == "OutcomeUnknownError" for _, outcome in outcomes)
    assert len(network.used) > len(FAULTS) // 2
    if OPERATIONS >= 10_000:
        assert set(network.used) == set(FAULTS)
