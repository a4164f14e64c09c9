"""
Row 11: 5,000 discoveries, 200 at a time, on a network with 50 ms of latency where one request in 20 fails.

Each tenant has a client of its own, which is dropped afterwards. The baseline is the same schedule in a
bare scheduler: as many workers, which sleep for the same latencies and back-off pauses in the same order and
do nothing else.

Time is simulated with the network: it is the thread's own processor time, and a wait that nothing shortens
adds its length at once. That is what a clock on the wall shows on a machine that does nothing else. On one
that does, the wall also shows whose turn it was, and only the side that computes loses turns; so its figure
is reported and held against nothing. Memory is the highest point that `tracemalloc` saw.
"""

from __future__ import annotations

import asyncio
import selectors
import tracemalloc
from collections.abc import Iterator
from random import Random
from time import thread_time

import anyio

from benchmarks.matter import DISCOVERY, config, private_key
from benchmarks.measure import Effort, Pairs, Result, compared
from smart_async import AsyncSmartClient, SigningKey
from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Event, Headers, Request, Response

ROW = 11
DISCOVERIES, AT_A_TIME = 5000, 200
LATENCY, FAILING = 0.05, 0.05
LIMIT, MEMORY_LIMIT = 1.25, 1.1
ROUNDS = 9
_JSON = Headers({"Content-Type": "application/json"})


class _Skipping(selectors.DefaultSelector):
    """A selector that never waits for a timeout, and adds up what it skipped."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.skipped += timeout
            timeout = 0
        return super().select(timeout)


class SimulatedTime(asyncio.SelectorEventLoop):
    """An event loop whose clock shows processor time and the waits in between."""

    def __init__(self) -> None:
        self._waits = _Skipping()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return the seconds of both."""
        return thread_time() + self._waits.skipped


class Network:
    """
    A transport with latency, where some requests fail.

    Args:
        seed: Which ones.

    Attributes:
        waits: The latencies and pauses of each discovery, in order.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.waits: dict[str, list[float]] = {}

    # The arguments are the interface's.
    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:  # noqa: ARG002
        """Return a discovery document, or fail, after the latency."""
        self.waits.setdefault(request.url.partition("/.well-known")[0], []).append(LATENCY)
        await anyio.sleep(LATENCY)
        if self._random.random() < FAILING:
            raise TransportError("The connection broke off.", endpoint=request.url, sent=None)
        return Response(status=200, headers=_JSON, body=DISCOVERY, url=request.url)

    async def aclose(self) -> None:
        """Do nothing."""

    def note(self, event: Event) -> None:
        """Take down the pause before a repetition."""
        if event.name == "retry":
            self.waits[event.fhir_base].append(event.seconds or 0.0)


async def ours(count: int, network: Network) -> float:
    """Return the seconds of *count* discoveries; those that fail three times are let go."""
    key = SigningKey.from_key(private_key("ES384"), kid="key-1")
    tenants = iter(range(count))

    async def worker() -> None:
        for number in tenants:
            registration = config(key, fhir_base=f"https://ehr.example.com/tenant-{number}/r4")
            client = AsyncSmartClient(registration, transport=network, on_event=network.note)
            try:
                await client.discover()
            except TransportError:
                continue

    return await timed(worker)


async def bare(waits: list[list[float]]) -> float:
    """Return the seconds of the same schedule without any work."""
    schedule = iter(waits)

    async def worker() -> None:
        for pauses in schedule:
            for pause in pauses:
                await anyio.sleep(pause)

    return await timed(worker)


async def timed(worker: object) -> float:
    """Return the seconds that `AT_A_TIME` workers take, by the clock of the loop."""
    clock = asyncio.get_running_loop().time
    started = clock()
    async with anyio.create_task_group() as group:
        for _ in range(AT_A_TIME):
            group.start_soon(worker)  # type: ignore[arg-type]  # wrong or looser on purpose
    return clock() - started


async def peak(count: int) -> int:
    """Return the highest number of bytes that were in use during *count* discoveries."""
    network = Network(1)
    # The record of waits grows, and is not what is weighed.
    network.waits = _Forgetful()
    tracemalloc.start()
    try:
        await ours(count, network)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class _Forgetful(dict[str, list[float]]):
    # Narrower than a dict's, and enough here.
    def setdefault(self, _: str, default: list[float] | None = None) -> list[float]:  # type: ignore[override]
        return [] if default is None else default

    def __getitem__(self, _: str) -> list[float]:
        return []


async def rounds(count: int, number: int) -> Pairs:
    """Return the rounds; each has its own failures."""
    found = []
    for seed in range(number):
        network = Network(seed)
        mine = await ours(count, network)
        found.append((mine, await bare(list(network.waits.values()))))
    return Pairs(tuple(found))


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    count = effort.of(DISCOVERIES)
    name = f"{count:,} discoveries, {AT_A_TIME} at a time"
    for what, limit, loop in ((name, LIMIT, SimulatedTime), (f"{name}, wall", None, None)):
        options = {"loop_factory": loop}
        pairs = anyio.run(rounds, count, effort.at_most(ROUNDS), backend_options=options)
        yield compared(ROW, what, "the same schedule, bare", pairs, limit=limit, unit="ms")
    fewer = max(count // 5, AT_A_TIME)
    options = {"loop_factory": SimulatedTime}
    few, many = (anyio.run(peak, size, backend_options=options) / 1024 for size in (fewer, count))
    yield Result(
        row=ROW,
        what=f"highest memory, {count:,} discoveries",
        against=f"{fewer:,} discoveries",
        unit="KiB",
        ours=many,
        baseline=few,
        ratio=many / few,
        limit=MEMORY_LIMIT,
    )
