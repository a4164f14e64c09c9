"""
Sessions in any order: workers that share one store, step by step, against a server that sees every replay.

Each worker's flow is driven by hand, so that between any two of its steps anything may happen to it or to the
others: it dies, its lease runs out, the store goes away or loses a reply, the server loses an answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from versioned import VersionedStore

from smart_async import (
    ClientSecret,
    OutcomeUnknownError,
    Secret,
    SessionEndedError,
    SmartConfig,
    SmartError,
    StoreError,
    Token,
    TransportError,
)
from smart_async.flow import Delete, Emit, Exclusive, Flow, Instant, Load, Now, Save, Send, Sign, Sleep
from smart_async.limits import LEASE_SECONDS
from smart_async.messages import Request, Response
from smart_async.smart.binding import Binding
from smart_async.smart.metadata import parse_metadata
from smart_async.smart.renewal import current_token, load_session, renew, user_session
from smart_async.smart.sessions.record import Record, fingerprint, read_record
from smart_async.smart.sessions.state import SessionState
from smart_async.smart.state import CachedMetadata, ClientState
from smart_async.smart.token_response import parse_token_response
from smart_async.transports import json_response

BASE = "https://ehr.example.com/r4"
ENDPOINT = "https://sso.example.com/token"


class Server:
    """An authorization server that rotates, and ends the login when it sees a refresh token twice."""

    def __init__(self) -> None:
        self.issued = 1
        self.live = "r-1"
        self.ended = False
        self.seen: dict[str, int] = {}

    def answer(self, request: Request) -> Response:
        """Answer a refresh, taking effect."""
        refresh_token = parse_qs((request.body or b"").decode())["refresh_token"][0]
        self.seen[refresh_token] = self.seen.get(refresh_token, 0) + 1
        if self.ended or refresh_token != self.live:
            self.ended = True
            return json_response({"error": "invalid_grant"}, status=400)
        self.issued += 1
        self.live = f"r-{self.issued}"
        return json_response(
            {
                "access_token": f"at-{self.issued}",
                "token_type": "Bearer",
                "expires_in": 3600,
                "scope": "patient/*.rs offline_access",
                "refresh_token": self.live,
            }
        )


@dataclass
class Worker:
    """One process: its session, and the flow that it is in the middle of, outermost first."""

    session: SessionState
    stack: list[tuple[Flow[Any], int | None]] = field(default_factory=list)
    outcome: Any = None
    failure: BaseException | None = None
    step: Any = None
    deadline: float = 0.0
    insists: bool = False
    stopped: bool = False


def refresh_tokens(records: list[Record | None]) -> list[Secret | None]:
    """All the refresh tokens in some records."""
    found = [record for record in records if record is not None]
    return [token.refresh_token for each in found for token in (each.token, each.candidate) if token]


class Sessions(RuleBasedStateMachine):
    """Two or three workers of one login."""

    grace = False

    @initialize(count=st.integers(2, 3))
    def begin(self, count: int) -> None:
        self.wall, self.monotonic = 1_750_000_000.0, 1_000.0
        self.server, self.store = Server(), VersionedStore()
        self.holders: dict[str, int] = {}
        self.entropy = 0
        self.insisted: dict[str, int] = {}
        """How often each refresh token was sent because somebody said so."""
        self.received: str | None = None
        """The newest refresh token that came out of the network, unless it died with a process."""
        config = SmartConfig(
            fhir_base=BASE,
            client_id="growth-chart",
            client_auth=ClientSecret("s3cret"),
            redirect_uri="https://app.example.com/callback",
            scope="launch/patient patient/*.rs offline_access",
            attempts=2,
            refresh_retry="grace" if self.grace else "never",
        )
        metadata = parse_metadata(
            {
                "issuer": "https://sso.example.com",
                "authorization_endpoint": "https://sso.example.com/authorize",
                "token_endpoint": ENDPOINT,
                "capabilities": [],
            },
            fhir_base=BASE,
            url=f"{BASE}/.well-known/smart-configuration",
        )
        self.client = ClientState(
            config=config, entropy=self.random, cached=CachedMetadata(metadata, math.inf)
        )
        first = json_response(
            {
                "access_token": "at-1",
                "token_type": "Bearer",
                "expires_in": 3600,
                "scope": "patient/*.rs offline_access",
                "refresh_token": "r-1",
                "patient": "p-1",
            }
        ).stamped(self.wall)
        self.login: Token = parse_token_response(
            first, binding=Binding.of(config, metadata), requested_scope=""
        )
        self.key = user_session(self.client, self.login).key or ""
        self.workers = [Worker(user_session(replace(self.client), self.login)) for _ in range(count)]
        for worker in self.workers[:1]:  # the first token is stored before anything can go wrong
            self.start(worker, renewing=False)
            self.finish(worker)

    def random(self, size: int) -> bytes:
        self.entropy += 1
        return self.entropy.to_bytes(size, "big")

    # ------------------------------------------------------------------------------ driving by hand

    def start(self, worker: Worker, *, renewing: bool, insists: bool = False) -> None:
        session = worker.session
        flow = renew(session, after_unknown=insists) if renewing else current_token(session)
        worker.insists = insists
        worker.stack, worker.outcome, worker.failure, worker.step = [(flow, None)], None, None, None
        worker.deadline, worker.stopped = self.monotonic + 10, False
        self.resume(worker)

    def resume(self, worker: Worker) -> None:
        """Let the flow run to its next step, or to its end."""
        while worker.stack:
            flow, fence = worker.stack[-1]
            try:
                if worker.failure is not None:
                    failure, worker.failure = worker.failure, None
                    worker.step = flow.throw(failure)
                else:
                    worker.step = flow.send(worker.outcome)
                return
            except StopIteration as stop:
                worker.outcome = stop.value
            except (SmartError, AssertionError) as exc:
                worker.failure = exc
            _ = worker.stack.pop()
            if fence is not None and self.holders.get(self.key) == fence:
                del self.holders[self.key]
        self.ended(worker)

    def ended(self, worker: Worker) -> None:
        """Check how a call ended: with a token that works, or with one of the errors that were promised."""
        worker.step = None
        if worker.failure is None:
            assert isinstance(worker.outcome, Token)
            assert worker.stopped or not worker.outcome.expired(self.wall)
        else:
            expected = (SessionEndedError, OutcomeUnknownError, StoreError, TransportError)
            assert isinstance(worker.failure, expected), repr(worker.failure)
            if isinstance(worker.failure, SessionEndedError):
                assert self.server.ended
        worker.failure = None

    def perform(self, worker: Worker, *, lose: bool = False, refuse: bool = False) -> None:
        """Perform the step that the worker waits for."""
        step = worker.step
        worker.outcome = None
        fence = next((fence for _, fence in reversed(worker.stack) if fence is not None), None)
        try:
            match step:
                case Now():
                    worker.outcome = Instant(self.wall, self.monotonic, worker.deadline)
                case Sleep(seconds):
                    self.monotonic += seconds
                    self.wall += seconds
                case Sign():
                    raise AssertionError("nothing is signed here")
                case Emit():
                    pass
                case Send(request):
                    worker.outcome = self.send(worker, request, lose=lose, refuse=refuse)
                case Load() | Save() | Delete():
                    worker.outcome = self.store.perform(step, fence)
                case Exclusive(key, flow, leased):
                    assert leased
                    assert fence is None
                    if key in self.holders:
                        flow.close()
                        raise StoreError("Somebody else holds the lease.")
                    self.holders[key] = self.store.acquire(key)
                    worker.stack.append((flow, self.holders[key]))
        except (StoreError, TransportError) as exc:
            worker.failure = exc
        self.resume(worker)

    def send(self, worker: Worker, request: Request, *, lose: bool, refuse: bool) -> Response:
        if refuse:
            raise TransportError("The connection was refused.", sent=False)
        refresh_token = parse_qs((request.body or b"").decode())["refresh_token"][0]
        record = self.record()
        assert record is not None
        assert record.intent is not None
        assert record.intent.fingerprint == fingerprint(Secret(refresh_token))
        if worker.insists:
            self.insisted[refresh_token] = self.insisted.get(refresh_token, 0) + 1
        response = self.server.answer(request)
        if lose:
            raise TransportError("The answer was lost.", sent=None)
        if response.status == 200:
            self.received = self.server.live
        return response.stamped(self.wall)

    def record(self) -> Record | None:
        entry = self.store.entries.get(self.key)
        return None if entry is None else read_record(entry.data, self.key)

    def finish(self, worker: Worker) -> None:
        """Perform all that is left, with nothing in the way."""
        for _ in range(200):
            if worker.step is None:
                return
            if isinstance(worker.step, Exclusive) and self.key in self.holders:
                self.expire()
            self.perform(worker)
        raise AssertionError("a call has no end")

    # -------------------------------------------------------------------------------- what may happen

    def pick(self, number: int) -> Worker:
        return self.workers[number % len(self.workers)]

    @rule(number=st.integers(0, 2), renewing=st.booleans())
    def ask(self, number: int, renewing: bool) -> None:
        """A worker wants a token, unless it is at it already."""
        worker = self.pick(number)
        if worker.step is None:
            self.start(worker, renewing=renewing)

    @rule(number=st.integers(0, 2))
    def insist(self, number: int) -> None:
        """A worker wants a token whatever becomes of the login."""
        worker = self.pick(number)
        if worker.step is None:
            self.start(worker, renewing=True, insists=True)

    @rule(number=st.integers(0, 2), kind=st.sampled_from([Load, Save, Send, type(None)]))
    def go_on(self, number: int, kind: type) -> None:
        """A worker gets on to its next step of a kind, or to its end, or to a lease that is not free."""
        worker = self.pick(number)
        for count in range(200):
            stuck = isinstance(worker.step, Exclusive) and self.key in self.holders
            if worker.step is None or stuck or (count and isinstance(worker.step, kind)):
                return
            self.perform(worker)

    @rule(number=st.integers(0, 2))
    def give_up_waiting(self, number: int) -> None:
        """A worker has waited for the lease for long enough."""
        worker = self.pick(number)
        if isinstance(worker.step, Exclusive) and self.key in self.holders:
            self.perform(worker)

    @rule(
        number=st.integers(0, 2),
        fate=st.sampled_from(["lost", "refused", "away", "crash before", "crash after", "expired"]),
        insists=st.booleans(),
    )
    def run_into(self, number: int, fate: str, insists: bool) -> None:
        """A worker gets as far as sending; then something happens to the request, the store or itself."""
        worker = self.pick(number)
        self.store.away = False
        if worker.step is None:
            self.start(worker, renewing=True, insists=insists)
        self.go_on(number, Send)
        if not isinstance(worker.step, Send):
            return
        if fate == "crash before":
            self.crash(number)
            return
        if fate == "expired":
            self.holders.clear()
        if fate == "away":
            self.store.away = True
        self.perform(worker, lose=fate == "lost", refuse=fate == "refused")
        if fate == "crash after":
            self.crash(number)

    @rule(number=st.integers(0, 2))
    def crash(self, number: int) -> None:
        """A process dies between two steps, and begins anew; its lease runs out at once."""
        worker = self.pick(number)
        for flow, fence in reversed(worker.stack):
            flow.close()
            if fence is not None and self.holders.get(self.key) == fence:
                del self.holders[self.key]
        kept = self.kept(worker)
        if kept and self.received and Secret(self.received) in refresh_tokens([kept]):
            self.received = None  # it had come, and died with the process before it could be stored
        index = self.workers.index(worker)
        flow = load_session(replace(self.client), self.key)
        step: Any = next(flow)
        try:
            flow.send(self.store.entries.get(step.key))
        except StopIteration as stop:
            self.workers[index] = Worker(stop.value)

    @rule(lost=st.booleans())
    def lose_the_store_once(self, lost: bool) -> None:
        """The store fails once at the next write, before or after it took it."""
        (self.store.after if lost else self.store.before)(Save, VersionedStore.lost)

    @rule()
    def lose_a_read(self) -> None:
        """The store fails once at the next read."""
        self.store.before(Load, VersionedStore.lost)

    @rule()
    def store_goes_or_comes(self) -> None:
        """The store is away for a while."""
        self.store.away = not self.store.away

    @precondition(lambda self: self.holders)
    @rule()
    def expire(self) -> None:
        """The lease runs out under a worker that was stopped for longer than any server forgives."""
        self.holders.clear()
        self.wait(LEASE_SECONDS)

    @rule(seconds=st.sampled_from([1, 10, 3550, 3700]))
    def time_passes(self, seconds: int) -> None:
        """Seconds pass; whoever is in the middle of something may return a token that is late by then."""
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.wall += seconds
        self.monotonic += seconds
        for worker in self.workers:
            worker.stopped = worker.step is not None

    # ---------------------------------------------------------------------------------- what must hold

    @invariant()
    def no_silent_replay(self) -> None:
        """No refresh token reaches the server twice, but for the one grace try where that is asked for."""
        for refresh_token, times in self.server.seen.items():
            assert times <= 1 + self.grace + self.insisted.get(refresh_token, 0), refresh_token

    @invariant()
    def the_newest_refresh_token_is_kept(self) -> None:
        """What was received is in the store, or in the process that has not been able to store it yet."""
        if self.received is None or self.server.ended:
            return
        records = [self.record(), *(self.kept(worker) for worker in self.workers)]
        assert Secret(self.received) in refresh_tokens(records)

    def kept(self, worker: Worker) -> Record | None:
        unsaved = worker.session.unsaved
        return None if unsaved is None else unsaved.record

    def teardown(self) -> None:
        """When all is well again every worker ends with a token or a typed error, and no replay."""
        if not hasattr(self, "workers"):
            return
        self.store.away = False
        self.store._traps.clear()
        for worker in self.workers:
            self.finish(worker)
        self.wall += 3700
        self.monotonic += 3700
        for worker in self.workers:
            self.start(worker, renewing=False)
            self.finish(worker)
        self.no_silent_replay()


class WithGrace(Sessions):
    """The same, with the one grace try switched on."""

    grace = True


@pytest.mark.rule("RF-06")
class TestSessions(Sessions.TestCase):
    """No replay, nothing lost, whatever happens in between."""

    settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class TestWithGrace(WithGrace.TestCase):
    """At most one repetition of each refresh token."""

    settings = settings(max_examples=20, stateful_step_count=40, deadline=None)
