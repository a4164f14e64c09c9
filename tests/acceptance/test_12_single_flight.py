"""
One renewal for any number of tasks and threads, each caller with its own token.

The server rotates refresh tokens and revokes the whole login when it sees one twice, so one replay would show
as a refusal everywhere.
"""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from smart_async import AsyncSmartClient, PrivateKeyJWT, SigningKey, SmartClient, SmartConfig

pytest.importorskip("starlette")
from smart_async.sandbox import Sandbox

CALLBACK = "https://app.example.com/callback"
SCOPE_SETS = (
    "launch/patient patient/Patient.rs offline_access",
    "launch/patient patient/Observation.rs offline_access",
    "launch/patient patient/Condition.rs patient/Patient.rs offline_access",
    "launch/patient patient/*.rs offline_access",
    "openid fhirUser launch/patient patient/*.rs offline_access",
)
EACH = 100


class Tenant:
    """A sandbox of its own, and what it takes to be its client."""

    def __init__(self, number: int, key: SigningKey) -> None:
        self.sandbox = Sandbox(base_url=f"https://tenant-{number}.example")
        self.sandbox.register_client(
            client_id="app", redirect_uris=[CALLBACK], jwks={"keys": [key.public_jwk()]}
        )
        self.config = SmartConfig(
            fhir_base=self.sandbox.fhir_base,
            client_id="app",
            client_auth=PrivateKeyJWT(key),
            redirect_uri=CALLBACK,
        )

    def refreshes(self) -> int:
        """How many requests with a refresh token have arrived."""
        return sum(b"grant_type=refresh_token" in (each.body or b"") for each in self._token_requests())

    def _token_requests(self) -> list[Any]:
        return [each for each in self.sandbox.requests if each.path.endswith("/token")]


@pytest.fixture
def tenants(signing_key: SigningKey) -> list[Tenant]:
    """Two tenants with the same client id and the same key."""
    return [Tenant(1, signing_key), Tenant(2, signing_key)]


def check(tenants: list[Tenant], found: dict[tuple[int, str], list[Any]], before: dict[tuple[int, str], Any]):
    """Ten requests, no replay, and each caller has the new token of its own tenant and scopes."""
    assert [tenant.refreshes() for tenant in tenants] == [len(SCOPE_SETS)] * 2
    assert [tenant.sandbox.replays for tenant in tenants] == [[], []]
    assert {name: len(tokens) for name, tokens in found.items()} == dict.fromkeys(before, EACH)
    for (number, scope), tokens in found.items():
        (token,) = {id(each): each for each in tokens}.values()
        assert token.access_token != before[number, scope].access_token
        assert token.binding.fhir_base == tenants[number].config.fhir_base
        assert Counter(map(str, token.scopes)) == Counter(map(str, before[number, scope].scopes))


def test_threads(tenants):
    """A hundred threads for each of five scope sets at two tenants: ten refreshes, no replay."""
    sessions, before, found = {}, {}, {}
    clients = [SmartClient(tenant.config, transport=tenant.sandbox.transport()) for tenant in tenants]
    for number, (tenant, client) in enumerate(zip(tenants, clients, strict=True)):
        for scope in SCOPE_SETS:
            pending = client.authorize(scope=scope)
            token = client.exchange_code(pending, tenant.sandbox.authorize(pending.url))
            session = client.session(token)
            session.invalidate(session.get_token())
            sessions[number, scope], before[number, scope] = session, token
    # As many threads as callers, and all of them asking before any gets an answer.
    ready = threading.Barrier(EACH * len(sessions), timeout=60)

    def ask(name):
        ready.wait()
        return name, sessions[name].get_token()

    with ThreadPoolExecutor(EACH * len(sessions)) as pool:
        for name, token in pool.map(ask, list(sessions) * EACH):
            found.setdefault(name, []).append(token)
    check(tenants, found, before)


@pytest.mark.anyio
async def test_tasks(tenants, anyio_backend):
    """A hundred tasks for each of five scope sets at two tenants: ten refreshes, no replay."""
    sessions, before, found = {}, {}, {}
    for number, tenant in enumerate(tenants):
        client = AsyncSmartClient(tenant.config, transport=tenant.sandbox.transport())
        for scope in SCOPE_SETS:
            pending = await client.authorize(scope=scope)
            token = await client.exchange_code(pending, tenant.sandbox.authorize(pending.url))
            session = client.session(token)
            session.invalidate(await session.get_token())
            sessions[number, scope], before[number, scope] = session, token

    async def ask(name):
        found.setdefault(name, []).append(await sessions[name].get_token())

    async with anyio.create_task_group() as group:
        for name in list(sessions) * EACH:
            group.start_soon(ask, name)
    check(tenants, found, before)


@pytest.mark.parametrize("kind", ["user", "backend"])
@pytest.mark.anyio
async def test_ten_thousand_tasks(tenants, kind, anyio_backend):
    """Ten thousand tasks on one expired token: one token request."""
    tenant = tenants[0]
    client = AsyncSmartClient(tenant.config, transport=tenant.sandbox.transport())
    if kind == "user":
        pending = await client.authorize(scope=SCOPE_SETS[0])
        session = client.session(await client.exchange_code(pending, tenant.sandbox.authorize(pending.url)))
    else:
        session = client.backend_session("system/*.rs")
    session.invalidate(await session.get_token())
    before = len(tenant._token_requests())
    tokens = []

    async def ask():
        tokens.append(await session.get_token())

    async with anyio.create_task_group() as group:
        for _ in range(10_000):
            group.start_soon(ask)
    assert len(tenant._token_requests()) - before == 1
    assert len(tokens) == 10_000
    assert len({id(token) for token in tokens}) == 1


def test_loops_and_threads_over_one_store(tenants):
    """Two event loops and plain code, each with a client of its own, share one store and one renewal."""
    from smart_async.stores import MemoryStore

    tenant, store = tenants[0], MemoryStore()
    client = SmartClient(tenant.config, transport=tenant.sandbox.transport(), store=store)
    pending = client.authorize(scope=SCOPE_SETS[0])
    token = client.exchange_code(pending, tenant.sandbox.authorize(pending.url))
    session = client.session(token)
    session.invalidate(session.get_token())

    async def fetch():
        other = AsyncSmartClient(tenant.config, transport=tenant.sandbox.transport(), store=store)
        mine = other.session(token)
        mine.invalidate(token)
        return await mine.get_token()

    with start_blocking_portal("asyncio") as one, start_blocking_portal("trio") as two:
        futures = [portal.start_task_soon(fetch) for portal in (one, two)]
        tokens = [session.get_token(), *(future.result() for future in futures)]
    assert len({each.access_token.reveal() for each in tokens}) == 1
    assert tenant.refreshes() == 1
    assert tenant.sandbox.replays == []
