"""Many clients over one transport: one TLS context, few connections, little memory."""

from __future__ import annotations

import gc
import json
import ssl
import threading
import tracemalloc
from functools import partial

import anyio
import pytest

from smart_async import AsyncSmartClient, PublicClient, SmartClient, SmartConfig
from smart_async.transports import (
    AsyncHttpx2Transport,
    AsyncHttpxTransport,
    Httpx2Transport,
    HttpxTransport,
)

TENANTS = 1000
USED = 60


def config(server, tenant):
    return SmartConfig(
        fhir_base=f"{server.url}/{tenant}",
        client_id=f"client-{tenant}",
        client_auth=PublicClient(),
        redirect_uri="https://app.example.com/callback",
    )


def contexts():
    """Return how many TLS contexts are alive."""
    gc.collect()
    return sum(1 for thing in gc.get_objects() if type(thing) is ssl.SSLContext)


@pytest.fixture
def server(servers, authority):
    document = {
        "authorization_endpoint": "https://ehr.example.com/authorize",
        "token_endpoint": "https://ehr.example.com/token",
        "grant_types_supported": ["authorization_code"],
        "capabilities": ["launch-standalone", "client-public"],
        "code_challenge_methods_supported": ["S256"],
    }
    return servers.honest(json.dumps(document).encode(), cert=authority.issue_cert("127.0.0.1"))


@pytest.mark.parametrize("kind", [HttpxTransport, Httpx2Transport])
def test_a_thousand_blocking_clients(kind, server, ca_file):
    """A thousand clients, used from several threads, share one TLS context and at most ten connections."""
    before = contexts()
    with kind(ca_file=ca_file) as transport:
        clients = [SmartClient(config(server, tenant), transport=transport) for tenant in range(TENANTS)]
        served = []

        def work(part):
            served.extend(client.discover().token_endpoint for client in part)

        threads = [threading.Thread(target=work, args=(clients[start:USED:4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert served == ["https://ehr.example.com/token"] * USED
        for client in clients:
            client.close()
        assert clients[0].discover(refresh=True).token_endpoint == "https://ehr.example.com/token"
        assert contexts() - before == 1
    assert server.connections <= 4


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", [AsyncHttpxTransport, AsyncHttpx2Transport])
def test_a_thousand_async_clients(kind, backend, server, ca_file):
    """The same for async clients, all of them asking at once."""
    before = contexts()

    async def work():
        async with kind(ca_file=ca_file) as transport:
            made = partial(AsyncSmartClient, transport=transport)
            clients = [made(config(server, tenant)) for tenant in range(TENANTS)]
            async with anyio.create_task_group() as group:
                for client in clients[:USED]:
                    group.start_soon(client.discover)
            for client in clients:
                await client.aclose()
            assert (await clients[0].discover(refresh=True)).token_endpoint == "https://ehr.example.com/token"
            assert contexts() - before == 1

    anyio.run(work, backend=backend)
    assert server.connections <= 10


@pytest.mark.parametrize(
    ("client", "kind"), [(SmartClient, HttpxTransport), (AsyncSmartClient, AsyncHttpxTransport)]
)
def test_a_client_is_small(client, kind, server):
    """A client over a shared transport takes a few kilobytes, its configuration included."""
    transport = kind()
    client(config(server, "first"), transport=transport)
    gc.collect()
    tracemalloc.start()
    try:
        clients = [client(config(server, tenant), transport=transport) for tenant in range(TENANTS)]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken / len(clients) < 8 * 1024
