"""The drivers: each step is performed as its colour demands, and a flow is always closed."""

from __future__ import annotations

import math
import os
import threading
import time

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from smart_async import ConfigurationError, TransportError
from smart_async.clients import _drivers, _signing
from smart_async.clients._drivers import AsyncPerformer, Performer, SystemClock, drive, drive_async
from smart_async.flow import exclusive, now, send, sign, sleep
from smart_async.interfaces import Clock
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports import ScriptedTransport, json_response

REQUEST = Request(method="GET", url="https://ehr.example.com/r4", purpose="fhir")


class FixedClock:
    def wall(self) -> float:
        return 1_750_000_000.0

    def monotonic(self) -> float:
        return 1_000.0


class LocalSigner:
    """Signs on the spot and remembers on which thread."""

    kid = "local-1"
    algorithm = "ES384"
    blocking = False

    def __init__(self) -> None:
        self.threads: list[int] = []

    def sign(self, signing_input: bytes) -> bytes:
        self.threads.append(threading.get_ident())
        return signing_input[::-1]


class SmartCard(LocalSigner):
    """Signs slowly."""

    blocking = True


class RemoteSigner:
    """Can only be awaited."""

    kid = "remote-1"
    algorithm = "RS384"

    async def async_sign(self, signing_input: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return signing_input.upper()


class BothSigner(LocalSigner):
    """Has both methods, and must be awaited where that is possible."""

    async def async_sign(self, signing_input: bytes) -> bytes:
        return b"awaited"


class Closing:
    """Makes flows that note whether they were closed."""

    def __init__(self) -> None:
        self.closed = False
        self.seen: list[BaseException] = []

    def flow(self, *, recover: bool = False):
        try:
            try:
                response = yield from send(REQUEST)
            except TransportError as exc:
                self.seen.append(exc)
                if not recover:
                    raise
                response = yield from send(REQUEST)
            return response.status
        finally:
            self.closed = True


@pytest.fixture
def closing() -> Closing:
    return Closing()


def sync_performer(*answers, clock=None) -> Performer:
    return Performer(ScriptedTransport(*answers), Timeouts(), clock or FixedClock())


def async_performer(*answers, clock=None) -> AsyncPerformer:
    return AsyncPerformer(ScriptedTransport(*answers), Timeouts(), clock or FixedClock())


# ------------------------------------------------------------------------------------------ results


def every_step(signer):
    instant = yield from now()
    response = yield from send(REQUEST)
    signature = yield from sign(signer, b"abc")
    nothing = yield from sleep(0)
    return instant.wall, instant.monotonic, response.status, response.received_at, signature, nothing


EVERY = (1_750_000_000.0, 1_000.0, 204, 1_750_000_000.0, b"cba", None)


def test_each_step_by_blocking():
    """Every kind of step has its outcome, and an answer is stamped with the time of its arrival."""
    assert drive(every_step(LocalSigner()), sync_performer(Response(status=204))) == EVERY


@pytest.mark.anyio
async def test_each_step_by_awaiting():
    """The same on both event loops."""
    assert await drive_async(every_step(LocalSigner()), async_performer(Response(status=204))) == EVERY


def test_a_flow_without_steps():
    """A flow may decide everything by itself."""

    def flow():
        return 5
        yield

    assert drive(flow(), sync_performer()) == 5


def test_an_error_thrown_in_can_be_recovered_from(closing):
    """The flow decides which failures end it."""
    performer = sync_performer(TransportError("Reset."), Response(status=200))
    assert drive(closing.flow(recover=True), performer) == 200
    assert (len(closing.seen), closing.closed) == (1, True)


@pytest.mark.anyio
async def test_an_error_thrown_in_can_be_recovered_from_async(closing):
    """The same by awaiting."""
    performer = async_performer(TransportError("Reset."), Response(status=200))
    assert await drive_async(closing.flow(recover=True), performer) == 200
    assert (len(closing.seen), closing.closed) == (1, True)


def test_an_error_that_escapes(closing):
    """What the flow does not handle reaches the caller as it is, and the flow is closed."""
    failure = TransportError("Reset.")
    with pytest.raises(TransportError) as caught:
        drive(closing.flow(), sync_performer(failure))
    assert (caught.value, closing.seen, closing.closed) == (failure, [failure], True)


@pytest.mark.anyio
async def test_an_error_that_escapes_async(closing):
    """The same by awaiting, and without an exception group around it."""
    failure = TransportError("Reset.")
    with pytest.raises(TransportError) as caught:
        await drive_async(closing.flow(), async_performer(failure))
    assert (caught.value, closing.seen, closing.closed) == (failure, [failure], True)


def test_stop_iteration_in_a_step_is_no_result(closing):
    """A transport's or signer's StopIteration is an error, and never taken for the flow's own end."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        drive(closing.flow(), sync_performer(StopIteration("not the result")))
    assert closing.closed is True


@pytest.mark.anyio
async def test_stop_iteration_in_a_step_is_no_result_async(closing):
    """The same by awaiting."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await drive_async(closing.flow(), async_performer(StopIteration("not the result")))
    assert closing.closed is True


# ------------------------------------------------------------------------------ Ctrl-C, cancellation


def test_ctrl_c_closes_the_flow(closing):
    """An interrupt is not thrown into the flow, yet its clean-up runs at once."""
    with pytest.raises(KeyboardInterrupt):
        drive(closing.flow(), sync_performer(KeyboardInterrupt()))
    assert (closing.seen, closing.closed) == ([], True)


@pytest.mark.anyio
async def test_cancellation_closes_the_flow(closing):
    """A cancelled flow is closed before the cancellation goes on, and sees no error to recover from."""
    performer = async_performer(Response(status=200))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await drive_async(closing.flow(recover=True), performer)
    assert scope.cancelled_caught is True
    assert (closing.seen, closing.closed) == ([], True)


@pytest.mark.anyio
async def test_cancellation_while_waiting_for_the_answer(closing):
    """The same while the request is on its way; afterwards the transport serves on."""
    arrived = anyio.Event()

    async def never(request):
        arrived.set()
        await anyio.sleep_forever()

    transport = ScriptedTransport(never, Response(status=201))
    performer = AsyncPerformer(transport, Timeouts(), FixedClock())
    async with anyio.create_task_group() as group:
        group.start_soon(drive_async, closing.flow(recover=True), performer)
        await arrived.wait()
        group.cancel_scope.cancel()
    assert (closing.seen, closing.closed) == ([], True)
    assert await drive_async(Closing().flow(), performer) == 201


# ---------------------------------------------------------------------------------------- sleeping


def test_sleep_by_blocking(monkeypatch):
    """The sync driver sleeps for exactly as long as the flow asks."""
    slept = []
    monkeypatch.setattr(_drivers.time, "sleep", slept.append)
    drive(sleep(2.5), sync_performer())
    assert slept == [2.5]


@pytest.mark.anyio
async def test_sleep_by_awaiting(monkeypatch):
    """The async driver sleeps without blocking the loop."""
    slept = []

    async def fake(seconds):
        slept.append(seconds)

    monkeypatch.setattr(anyio, "sleep", fake)
    await drive_async(sleep(2.5), async_performer())
    assert slept == [2.5]


# ----------------------------------------------------------------------------------------- signing


def test_a_signer_that_must_be_awaited_is_refused():
    """The sync driver says which client to use."""
    with pytest.raises(ConfigurationError) as caught:
        drive(sign(RemoteSigner(), b"abc"), sync_performer())
    assert (caught.value.field, caught.value.advice) == ("client_auth", "Use AsyncSmartClient with it.")


def test_a_slow_signer_just_blocks():
    """The sync driver calls every signer on its own thread."""
    signer = SmartCard()
    assert drive(sign(signer, b"abc"), sync_performer()) == b"cba"
    assert signer.threads == [threading.get_ident()]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("signer", "signature"), [(RemoteSigner(), b"ABC"), (BothSigner(), b"awaited")], ids=["remote", "both"]
)
async def test_a_remote_signer_is_awaited(signer, signature):
    """`async_sign` goes before `sign`."""
    assert await drive_async(sign(signer, b"abc"), async_performer()) == signature


@pytest.mark.anyio
async def test_a_quick_signer_stays_on_the_loop():
    """A signature of a millisecond is not worth a thread."""
    signer = LocalSigner()
    await drive_async(sign(signer, b"abc"), async_performer())
    assert signer.threads == [threading.get_ident()]


@pytest.mark.anyio
async def test_quick_signatures_take_turns():
    """Between two signatures the loop serves others, however many tasks wake up to sign at once."""
    order = []

    class Noted(LocalSigner):
        def sign(self, signing_input: bytes) -> bytes:
            order.append("signature")
            return b""

    async def other() -> None:
        while order.count("signature") < 20:
            order.append("other")
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(drive_async, sign(Noted(), b""), async_performer())
        group.start_soon(other)
    alone = " ".join(order).split("other")
    assert max(each.count("signature") for each in alone) <= 2


@pytest.mark.anyio
async def test_a_slow_signer_leaves_the_loop():
    """A blocking signer runs on another thread, so the loop goes on."""
    signer = SmartCard()
    assert await drive_async(sign(signer, b"abc"), async_performer()) == b"cba"
    assert signer.threads != [threading.get_ident()]


@pytest.mark.anyio
async def test_the_signing_threads_are_limited(monkeypatch):
    """At most cores - 1 signatures run at a time, however many are asked for; anyio's threads stay free."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    release = threading.Event()

    class Held(SmartCard):
        def sign(self, signing_input: bytes) -> bytes:
            assert release.wait(10)
            return b""

    limiter = _signing._limiter()
    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(drive_async, sign(Held(), b""), async_performer())
        try:
            with anyio.fail_after(5):
                while limiter.statistics().tasks_waiting < 9:
                    await anyio.lowlevel.checkpoint()
            assert limiter.borrowed_tokens == 3
            assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        finally:
            release.set()


@pytest.mark.anyio
@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (1, 1), (2, 1), (3, 2), (64, 63)])
async def test_one_core_is_left_to_the_loop(monkeypatch, cores, threads):
    """The limit is cores - 1 and never 0, one limiter to each event loop."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    limiter = _signing._limiter()
    assert (limiter.total_tokens, _signing._limiter()) == (threads, limiter)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_event_loops_one_after_another(backend):
    """A performer and its signing threads work in the next event loop as in the first."""
    performer = async_performer(Response(status=200), Response(status=201))

    async def once():
        signature = await drive_async(sign(SmartCard(), b"abc"), performer)
        status = await drive_async(exclusive("k", Closing().flow()), performer)
        return signature, status

    results = [anyio.run(once, backend=backend) for _ in range(2)]
    assert results == [(b"cba", 200), (b"cba", 201)]


# --------------------------------------------------------------------------------- one at a time


def waiting_flow(log, name):
    log.append(f"{name} begins")
    yield from send(REQUEST)
    log.append(f"{name} ends")
    return name


@pytest.mark.anyio
async def test_exclusive_flows_go_one_after_another():
    """Flows under the same key never overlap; under another key they may."""
    log: list[str] = []

    async def slow(request):
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        return Response(status=200)

    performer = AsyncPerformer(ScriptedTransport(slow, slow, slow), Timeouts(), FixedClock())
    async with anyio.create_task_group() as group:
        for name in ("a", "b"):
            group.start_soon(drive_async, exclusive("key", waiting_flow(log, name)), performer)
        group.start_soon(drive_async, exclusive("other", waiting_flow(log, "c")), performer)
    same = [entry for entry in log if not entry.startswith("c")]
    assert same[0][0] == same[1][0] != same[2][0] == same[3][0]
    assert len(log) == 6


def test_exclusive_flows_of_threads_go_one_after_another():
    """The same for threads that share a client."""
    log: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def slow(request):
        entered.set()
        assert release.wait(10)
        return Response(status=200)

    performer = sync_performer(slow, Response(status=200))
    first = threading.Thread(target=drive, args=(exclusive("key", waiting_flow(log, "a")), performer))
    second = threading.Thread(target=drive, args=(exclusive("key", waiting_flow(log, "b")), performer))
    first.start()
    assert entered.wait(10)
    second.start()
    release.set()
    first.join(10)
    second.join(10)
    assert log == ["a begins", "a ends", "b begins", "b ends"]


def test_a_failure_inside_reaches_the_flow_outside():
    """What goes wrong in an exclusive flow is thrown into the one that asked for it, and the key is free."""
    performer = sync_performer(TransportError("Reset."), Response(status=200))

    def outer():
        try:
            yield from exclusive("key", Closing().flow())
        except TransportError:
            return (yield from exclusive("key", Closing().flow()))

    assert drive(outer(), performer) == 200


# -------------------------------------------------------------------------------------------- clock


def test_system_clock():
    """The machine's clocks: Unix seconds, and seconds that never go back."""
    clock = SystemClock()
    assert isinstance(clock, Clock)
    assert math.isclose(clock.wall(), time.time(), abs_tol=60)
    assert clock.monotonic() <= clock.monotonic() <= time.monotonic()


def test_the_operation_has_a_deadline():
    """Each request gets what is left of the operation's time; when that is over, none is sent."""

    class Clock:
        now = 1_000.0

        def wall(self):
            return self.now

        monotonic = wall

    class Slow(ScriptedTransport):
        def send(self, request, timeouts):
            given.append((timeouts.total, timeouts.discovery))
            clock.now += 20
            return super().send(request, timeouts)

    def three():
        for _ in range(3):
            yield from send(REQUEST)

    clock, given = Clock(), []
    performer = Performer(Slow(json_response({}), json_response({})), Timeouts(total=30, discovery=15), clock)
    with pytest.raises(TransportError, match="not over after 30 seconds") as late:
        drive(three(), performer.begin())
    assert (given, late.value.sent) == ([(30, 15), (10, 10)], False)
