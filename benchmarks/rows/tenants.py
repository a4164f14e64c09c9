"""
Row 6: many tenants in one process, each with a client of its own, all on one transport.

Memory is what `tracemalloc` counts for one of them: for client and registration together, unused, and after
discovery, when it holds the server's document both raw and typed. Time is that of a token, the clients
taking turns, so that each comes to it with cold caches.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

from benchmarks.matter import DISCOVERY, SCOPE, TOKEN, config, private_key
from benchmarks.measure import Effort, Result, alternate, calls, compared
from benchmarks.rows.backend_flow import discovered
from smart_async import AsyncSmartClient, SigningKey, SmartClient
from smart_async.limits import Timeouts
from smart_async.messages import Headers, Request, Response

ROW = 6
TENANTS, FEW = 10_000, 100
UNUSED = 2048
"""Bytes that an unused client may take."""
DOCUMENTS = 4
"""Times its discovery document that it may take more after discovery."""
TIME_LIMIT = 1.10

_JSON = Headers({"Content-Type": "application/json"})


class Network:
    """A transport that answers at once: each tenant's own discovery document, and a token."""

    def send(self, request: Request, timeouts: Timeouts) -> Response:  # noqa: ARG002 - the interface's
        """Return the answer."""
        if request.purpose != "discovery":
            return Response(status=200, headers=_JSON, body=TOKEN, url=request.url)
        # Read from the network, no two documents share their bytes.
        return Response(status=200, headers=_JSON, body=bytes(bytearray(DISCOVERY)), url=request.url)

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """Return the answer."""
        return self.send(request, timeouts)

    def close(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


def clients(kind: type[Any], count: int, network: Network) -> list[Any]:
    """Return *count* clients, each of another registration at another server; the key is one."""
    key = SigningKey.from_key(private_key("ES384"), kid="key-1")
    return [
        kind(
            config(
                key, fhir_base=f"https://ehr.example.com/tenant-{number}/r4", client_id=f"client-{number}"
            ),
            transport=network,
        )
        for number in range(count)
    ]


def memory(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what *work* made, and the bytes that are there now and were not before."""
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    made = work()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return made, after - before


async def discover_all(tenants: list[Any]) -> None:
    """Discover the servers of async clients."""
    for client in tenants:
        await client.discover()


def weighed(kind: type[Any], count: int) -> Iterator[Result]:
    """Yield the lines for memory."""
    network = Network()
    warm = clients(kind, 2, network)
    discover_sync(kind, warm)
    tracemalloc.start()
    try:
        tenants, unused = memory(lambda: clients(kind, count, network))
        _, more = memory(lambda: discover_sync(kind, tenants))
    finally:
        tracemalloc.stop()
    for what, size, limit in (
        ("unused", unused, UNUSED),
        ("discovered", unused + more, UNUSED + DOCUMENTS * len(DISCOVERY)),
    ):
        yield Result(
            row=ROW,
            what=f"{kind.__name__}, {what}",
            against=f"bytes allowed, {count:,} tenants",
            unit="B",
            ours=size / count,
            baseline=limit,
            ratio=size / count / limit,
            limit=1.0,
        )


def discover_sync(kind: type[Any], tenants: list[Any]) -> None:
    """Discover the servers of *tenants*, clients of *kind*."""
    if kind is AsyncSmartClient:
        asyncio.run(discover_all(tenants))
    else:
        for client in tenants:
            client.discover()


def turns(tenants: list[Any]) -> Callable[[], object]:
    """Return what gets a token for the next tenant at each call."""
    order = cycle(tenants)
    return lambda: next(order).backend_token(SCOPE)


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    count = effort.of(TENANTS)
    yield from weighed(SmartClient, count)
    # The other colour differs by a few slots: a tenth of the tenants shows that as well.
    yield from weighed(AsyncSmartClient, effort.of(TENANTS // 10))
    network = Network()
    many, few = (list(map(discovered, clients(SmartClient, size, network))) for size in (count, FEW))
    pairs = alternate(calls(turns(many)), calls(turns(few)), effort)
    yield compared(ROW, f"token, {count:,} tenants", f"{FEW} tenants", pairs, limit=TIME_LIMIT)
