"""
Row 9: tokens per second over loopback HTTP, 64 in flight, against the bare client posting a ready-made body.

The server is trivial and in another process, so the client's processor time is what limits both. Ours does
more: each token needs a signature, whose bare time is measured in the same round and taken off.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterator
from time import process_time
from types import ModuleType
from typing import Any

import httpx
import httpx2
from joserfc.jwk import ECKey

from benchmarks.matter import SCOPE, config, pem, private_key
from benchmarks.measure import Effort, Result, calls, quiet
from benchmarks.rows.assertion import signature
from benchmarks.rows.backend_flow import form
from benchmarks.server import served
from smart_async import AsyncSmartClient
from smart_async.transports import open_async_transport

ROW = 9
IN_FLIGHT, REQUESTS = 64, 256
LIMIT = 0.7
ROUNDS = 11
SIGNATURES = 40


async def load(one: Callable[[], Awaitable[object]], requests: int) -> float:
    """Return the processor seconds of one request, of *requests* with `IN_FLIGHT` at a time."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await one()

    started = process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(worker())
    return (process_time() - started) / requests


async def compare(
    library: ModuleType, origin: str, requests: int, rounds: int
) -> list[tuple[float, float, float]]:
    """Return the rounds: seconds of a token, of a bare request, and of a bare signature."""
    body, url = form(ECKey.import_key(pem("ES384"))), f"{origin}/token"
    sign = calls(signature(private_key("ES384"), b"x" * 300))
    transport: Any = open_async_transport(library.__name__, max_connections=IN_FLIGHT)
    client = AsyncSmartClient(config(fhir_base=f"{origin}/r4"), transport=transport)
    limits = library.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    found = []
    async with library.AsyncClient(limits=limits) as http, transport:
        sides = (lambda: client.backend_token(SCOPE), lambda: http.post(url, data=body))
        for side in sides:
            await load(side, IN_FLIGHT * 2)
        with quiet():
            for turn in range(rounds):
                times = {}
                for side in sides if turn % 2 == 0 else sides[::-1]:
                    times[side] = await load(side, requests)
                found.append((times[sides[0]], times[sides[1]], sign(SIGNATURES) / SIGNATURES))
    return found


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    libraries: tuple[ModuleType, ...] = (httpx, httpx2)
    with served() as origin:
        for library in libraries:
            requests = max(IN_FLIGHT, effort.of(REQUESTS))
            rounds = asyncio.run(compare(library, origin, requests, effort.at_most(ROUNDS)))
            ours, bare = (statistics.median(1 / each[side] for each in rounds) for side in (0, 1))
            yield Result(
                row=ROW,
                what=f"tokens per processor second, {library.__name__}",
                against=f"{library.__name__} posting, signature taken off",
                unit="/s",
                ours=ours,
                baseline=bare,
                ratio=statistics.median(base / (mine - signing) for mine, base, signing in rounds),
                limit=LIMIT,
                at_least=True,
            )
