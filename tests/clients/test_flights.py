"""Single flight: who starts the work, who carries it, and what stops it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading

import anyio
import pytest

from smart_async import ConfigurationError, OutcomeUnknownError, StoreError
from smart_async.clients import _background
from smart_async.clients._flights import AsyncFlights, Flights, _Landing, after_failure


def test_one_thread_for_all():
    """Whoever comes while the work is in progress gets its result, and the work runs once."""
    flights, started, going = Flights(), threading.Event(), threading.Event()
    runs, results = [], []

    def work():
        runs.append(threading.current_thread())
        started.set()
        going.wait(20)
        return "done"

    threads = [threading.Thread(target=lambda: results.append(flights.join("w", work))) for _ in range(20)]
    threads[0].start()
    assert started.wait(20)
    for thread in threads[1:]:
        thread.start()
    while any(thread.ident is None for thread in threads):
        pass
    going.set()
    for thread in threads:
        thread.join(20)
    assert (results, len(runs)) == (["done"] * 20, 1)
    assert not runs[0].daemon
    assert runs[0] not in threads
    flights.wait()


def test_a_thread_that_comes_too_late():
    """One that was given up before it began changes nothing for those who came after."""
    flights, landing = Flights(), _Landing()
    flights._landings["w"] = successor = _Landing()
    flights._fly("w", landing, lambda: "late")
    assert flights._landings == {"w": successor}


def test_waiting_for_a_thread():
    """`wait` returns when the work has ended, though whoever began it was interrupted."""
    flights, going, ended = Flights(), threading.Event(), []
    thread = threading.Thread(target=flights.join, args=("w", lambda: going.wait(20) and ended.append(1)))
    thread.start()
    while not flights._landings:
        pass
    threading.Timer(0.05, going.set).start()
    flights.wait()
    assert ended == [1]
    thread.join(20)


def test_kinds_do_not_share():
    """Work of another kind is work of its own, even from within."""
    flights = Flights()
    assert flights.join("a", lambda: flights.join("b", lambda: "b")) == "b"


@pytest.mark.parametrize("error", [StoreError("full"), ValueError("ours to fix"), SystemExit(3)])
def test_failures_reach_whoever_waits(error):
    """Whatever the work raises is raised where it is awaited."""
    flights = Flights()

    def work():
        raise error

    with pytest.raises(type(error)) as failed:
        flights.join("w", work)
    assert failed.value.args == error.args


def test_no_more_threads(monkeypatch):
    """Where no thread can be started any more, the work is done on the spot."""

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert Flights().join("w", lambda: "done") == "done"


@pytest.mark.parametrize("begun", [True, False])
def test_interrupted_while_starting(monkeypatch, begun):
    """Ctrl-C at the worst moment leaves nobody waiting for a thread that there is not."""
    start = threading.Thread.start

    def interrupted(thread):
        if begun:
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr("smart_async.clients._flights._START", 20.0 if begun else 0.0)
    flights = Flights()
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        flights.join("w", lambda: "first")
    monkeypatch.setattr(threading.Thread, "start", start)
    assert flights.join("w", lambda: "next") in ("first", "next")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_child_of_a_fork():
    """In the child nobody flies: the thread stayed behind, perhaps with the lock."""
    program = """
        import os, threading
        from smart_async.clients._flights import Flights
        flights, started, going = Flights(), threading.Event(), threading.Event()
        def work():
            started.set(); going.wait(20); return "parent"
        thread = threading.Thread(target=flights.join, args=("w", work)); thread.start(); started.wait(20)
        flights._lock.acquire()
        child = os.fork()
        if child == 0:
            os._exit(0 if flights.join("w", lambda: "child") == "child" and flights.wait() is None else 1)
        flights._lock.release(); going.set(); thread.join()
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


@pytest.mark.anyio
async def test_one_task_for_all(anyio_backend):
    """However many tasks come while the work is in progress, it runs once."""
    flights, runs, results = AsyncFlights(20), [], []

    async def work():
        runs.append(1)
        await anyio.sleep(0.01)
        return "done"

    async def ask():
        results.append(await flights.join("w", work))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert (results, runs) == (["done"] * 20, [1])


@pytest.mark.anyio
async def test_another_event_loop(anyio_backend):
    """A session belongs to the loop that first used it; elsewhere the error says what to do."""
    flights = AsyncFlights(20)

    async def work():
        return "done"

    assert await flights.join("w", work) == "done"

    async def elsewhere():
        with pytest.raises(ConfigurationError, match="another event loop"):
            await flights.join("w", work)
        await flights.wait()  # nothing is in progress, so there is nothing to refuse

    await anyio.to_thread.run_sync(lambda: anyio.run(elsewhere))


@pytest.mark.anyio
async def test_work_that_never_ends(anyio_backend):
    """What keeps no deadline of its own is given up, and the next may try."""
    flights = AsyncFlights(0.01)
    with pytest.raises(OutcomeUnknownError, match="stopped from outside"):
        await flights.join("w", anyio.sleep_forever)

    async def work():
        return "done"

    assert await AsyncFlights(20).join("w", work) == "done"


@pytest.mark.anyio
async def test_closing_waits(anyio_backend):
    """`wait` returns when the work has ended, though whoever began it has gone."""
    flights, going, ended = AsyncFlights(20), anyio.Event(), []

    async def work():
        await going.wait()
        ended.append("done")

    with anyio.CancelScope() as scope:
        scope.cancel()
        await flights.join("w", work)
    async with anyio.create_task_group() as group:
        group.start_soon(flights.wait)
        await anyio.wait_all_tasks_blocked()
        assert ended == []
        going.set()
    assert ended == ["done"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_somebody_cancels_everything(anyio_backend):
    """A task that cancels all tasks of its loop gets this one, too; those who wait are told."""
    flights, going = AsyncFlights(20), asyncio.Event()
    waiting = asyncio.ensure_future(flights.join("w", going.wait))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (flight,) = _background._running
    assert flight.cancel()
    with pytest.raises(OutcomeUnknownError):
        await waiting
    assert not flights._landings


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_somebody_cancels_everything_at_once(anyio_backend):
    """One that is cancelled before it has begun would tell nobody; so it begins."""
    flights, going = AsyncFlights(20), asyncio.Event()
    waiting = asyncio.ensure_future(flights.join("w", going.wait))
    await asyncio.sleep(0)
    (flight,) = _background._running
    assert not flight.cancel()
    going.set()
    with anyio.fail_after(20):
        assert await waiting
    assert not flights._landings


def test_work_that_wants_itself():
    """Work that asks for its own result would wait for ever; it is told so."""
    flights = Flights()
    with pytest.raises(ConfigurationError, match="waits for itself"):
        flights.join("w", lambda: flights.join("w", lambda: "never"))


def test_pauses_grow():
    """After failures, what runs in the background waits longer and longer, up to a minute."""
    pauses = [0.0]
    for _ in range(8):
        pauses.append(after_failure(pauses[-1]))
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
