"""The Exclusive step: one flow at a time under one key, whatever becomes of the one before."""

from __future__ import annotations

import os
import threading

import anyio
import anyio.lowlevel
import pytest
from anyio.from_thread import start_blocking_portal

from smart_async import TransportError
from smart_async.clients._drivers import AsyncPerformer, Performer, SystemClock, drive, drive_async
from smart_async.flow import Exclusive, exclusive, send
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports import ScriptedTransport

REQUEST = Request(method="GET", url="https://ehr.example.com/r4", purpose="fhir")


def inner(seen=None):
    """A flow that sends once and notes when it was closed."""
    try:
        response = yield from send(REQUEST)
        return response.status
    finally:
        if seen is not None:
            seen.append("closed")


def outer(key="k", seen=None):
    return (yield from exclusive(key, inner(seen)))


def recovering(seen):
    """A flow that tries again when the exclusive part of it failed."""
    try:
        return (yield from exclusive("k", inner(seen)))
    except TransportError as exc:
        seen.append(exc.message)
        return (yield from exclusive("k", inner(seen)))


def sync_performer(*answers) -> Performer:
    return Performer(ScriptedTransport(*answers), Timeouts(), SystemClock())


def async_performer(transport) -> AsyncPerformer:
    return AsyncPerformer(transport, Timeouts(), SystemClock())


def test_the_step():
    """The step carries key and flow, and its outcome is the flow's result."""
    plan = inner()
    flow = exclusive("k", plan)
    assert next(flow) == Exclusive("k", plan)
    with pytest.raises(StopIteration) as stop:
        flow.send("outcome")
    assert stop.value.value == "outcome"
    plan.close()


def test_result_and_recovery():
    """The inner result comes back; an inner error reaches the outer flow, and the key is free again."""
    seen = []
    performer = sync_performer(TransportError("down"), Response(status=200), Response(status=204))
    assert drive(recovering(seen), performer) == 200
    assert seen == ["closed", "down", "closed"]
    assert drive(outer(), performer) == 204


@pytest.mark.anyio
async def test_result_and_recovery_async():
    """The same by awaiting."""
    seen = []
    performer = async_performer(
        ScriptedTransport(TransportError("down"), Response(status=200), Response(status=204))
    )
    assert await drive_async(recovering(seen), performer) == 200
    assert seen == ["closed", "down", "closed"]
    assert await drive_async(outer(), performer) == 204


def test_ctrl_c_frees_the_key():
    """An interrupt inside leaves no lock behind, and no open flow."""
    seen = []
    performer = sync_performer(KeyboardInterrupt(), Response(status=200))
    with pytest.raises(KeyboardInterrupt):
        drive(outer(seen=seen), performer)
    assert (seen, drive(outer(), performer)) == (["closed"], 200)


class Gate:
    """A transport that holds requests back until it is opened, and counts those inside."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.open = anyio.Event()
        self.inside = self.most = self.count = 0

    async def async_send(self, request, timeouts):
        self.count += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        try:
            await self.open.wait()
            await anyio.lowlevel.checkpoint()
        finally:
            self.inside -= 1
        return Response(status=200)

    async def aclose(self):
        pass


@pytest.mark.anyio
async def test_a_cancelled_holder_frees_the_key():
    """Who is cancelled inside closes its flow, and the next one goes on."""
    gate, seen, found = Gate(), [], []
    performer = async_performer(gate)

    async def second():
        found.append(await drive_async(outer(), performer))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            group.start_soon(second)
            group.start_soon(gate_cancels, gate, scope)
            await drive_async(outer(seen=seen), performer)
        assert scope.cancelled_caught
        gate.open.set()
    assert (found, gate.most, gate.inside) == ([200], 1, 0)
    assert seen in (["closed"], [])  # not even begun, if the other one came first


async def gate_cancels(gate, scope):
    await gate.entered.wait()
    scope.cancel()


@pytest.mark.anyio
async def test_a_cancelled_waiter_leaves_the_line():
    """Who is cancelled while waiting never sends, and neither holder nor next one notices."""
    gate, found = Gate(), []
    performer = async_performer(gate)
    scopes = []

    async def one(wait):
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            found.append(await drive_async(outer(), performer))

    async with anyio.create_task_group() as group:
        group.start_soon(one, 0)
        await gate.entered.wait()
        group.start_soon(one, 1)
        group.start_soon(one, 2)
        while len(scopes) < 3:
            await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        scopes[1].cancel()
        await anyio.lowlevel.checkpoint()
        gate.open.set()
    assert (found, gate.count, gate.most) == ([200, 200], 2, 1)


@pytest.mark.anyio
@pytest.mark.parametrize(("keys", "most"), [(("a", "a"), 1), (("a", "b"), 2)])
async def test_only_one_key_is_held(keys, most):
    """Flows under the same key take turns; flows under different keys do not wait for each other."""
    gate = Gate()
    performer = async_performer(gate)
    async with anyio.create_task_group() as group:
        for key in keys:
            group.start_soon(drive_async, outer(key), performer)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        gate.open.set()
    assert (gate.most, gate.count) == (most, 2)


@pytest.mark.anyio
async def test_two_clients_do_not_wait_for_each_other():
    """A lease belongs to one client."""
    gate = Gate()
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(drive_async, outer(), async_performer(gate))
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        gate.open.set()
    assert gate.most == 2


@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio")])
def test_event_loops_in_turn(backends):
    """A client may be used by one event loop after another, even if the first died inside."""
    performer = async_performer(ScriptedTransport(KeyboardInterrupt(), Response(status=200)))

    async def dies():
        with pytest.raises(KeyboardInterrupt):
            await drive_async(outer(), performer)
        lock = performer._locks.of("k")
        await lock.acquire()  # and never released: its loop ends here

    with start_blocking_portal(backends[0]) as portal:
        portal.call(dies)
    with start_blocking_portal(backends[1]) as portal:
        assert portal.call(drive_async, outer(), performer) == 200


class Counting:
    """A transport that counts the threads inside."""

    def __init__(self, threads: int) -> None:
        self.inside = self.most = self.count = 0
        self.start = threading.Barrier(threads)

    def send(self, request, timeouts):
        self.inside += 1
        self.most = max(self.most, self.inside)
        _ = sum(range(50_000))  # long enough for another thread to come in, if it could
        self.count += 1
        self.inside -= 1
        return Response(status=200)

    def close(self):
        pass


def test_a_crowd_of_threads_takes_turns():
    """Threads that share a new client never run under one key together."""
    for _ in range(20):
        transport = Counting(8)
        performer = Performer(transport, Timeouts(), SystemClock())

        def one(transport=transport, performer=performer):
            flow = outer()
            transport.start.wait()
            drive(flow, performer)

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (transport.most, transport.count) == (1, 8)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_while_another_thread_holds_the_key():
    """The child has no such thread, so nobody there would ever release the lock it inherited."""
    performer = sync_performer(Response(status=200))
    inside, leave = threading.Event(), threading.Event()

    def holder():
        with performer._lock("k"):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=holder)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:  # pragma: no cover - runs in a process of its own
        worker = threading.Thread(target=lambda: drive(outer(), performer), daemon=True)
        worker.start()
        worker.join(10)
        os._exit(7 if worker.is_alive() else 0)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0
