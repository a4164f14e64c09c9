"""
Acceptance 22: sessions at a server that nobody here wrote, which rotates and detects reuse; T03, T49.

Logins, keys, client types, registration and revocation at the same server are in `tests/peers`, and ten
minutes of all of it, with restarts, are `make soak`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import anyio
import pytest
from oidc_peer import Colour, node_path, oidc_provider

from smart_async import (
    CallbackError,
    OAuthError,
    PrivateKeyJWT,
    Secret,
    SessionEndedError,
    SigningKey,
    SmartConfig,
)
from smart_async.stores import FileStore, MemoryStore

__all__ = ("node_path", "oidc_provider")

pytestmark = pytest.mark.peers

CROWD = 50
SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"


@dataclass
class App:
    """A client of one kind, and what the server thought of it since it began."""

    way: Colour
    peer: Any
    config: SmartConfig
    before: int

    def grants(self) -> list[tuple[str, str]]:
        """What was asked of the token endpoint, and how it ended."""
        return [
            (each["grant"], each["outcome"])
            for each in self.peer.seen()[self.before :]
            if each["route"] == "token"
        ]

    def identities(self) -> list[str]:
        """The jti of each assertion."""
        return [each["claims"]["jti"] for each in self.peer.seen()[self.before :]]

    async def log_in(self, client: Any) -> Any:
        """Sign a user in."""
        pending = await self.way.call(client.authorize)
        return await self.way.call(client.exchange_code, pending, self.peer.log_in(pending.url))

    async def crowd(self, work: Any) -> list[Any]:
        """Let fifty callers do *work* at once, threads or tasks; return what they got."""
        if self.way.name == "sync":
            with ThreadPoolExecutor(CROWD) as pool:
                return [future.result() for future in [pool.submit(work) for _ in range(CROWD)]]
        found: list[Any] = []

        async def one() -> None:
            found.append(await work())

        async with anyio.create_task_group() as group:
            for _ in range(CROWD):
                group.start_soon(one)
        return found

    def http(self, session: Any) -> Any:
        """A FHIR client with the session's token, of the same library."""
        library = import_module(self.way.transport)
        kind = library.Client if self.way.name == "sync" else library.AsyncClient
        auth = session.auth() if self.way.transport == "httpx" else session.httpx2_auth()
        return kind(base_url=self.config.fhir_base, auth=auth, trust_env=False)

    async def close(self, http: Any) -> None:
        """Close it in its own way."""
        await self.way.call(http.close if self.way.name == "sync" else http.aclose)


@pytest.fixture(params=["httpx", "httpx2"])
def way(request, colour) -> Colour:
    """Each colour over each HTTP library."""
    pytest.importorskip(request.param, reason=f"needs the extra {request.param}")
    return Colour(colour.name, request.param)


@pytest.fixture
def app(way, oidc_provider) -> App:
    """The client with an ES384 key."""
    key = oidc_provider.keys["ES384"]
    config = SmartConfig(
        fhir_base=oidc_provider.fhir_base,
        client_id="app-ES384",
        client_auth=PrivateKeyJWT(SigningKey.from_pem(key.as_pem(private=True), kid=key.kid)),
        redirect_uri=oidc_provider.redirect_uri,
        scope=SCOPE,
        allow_insecure_loopback=True,
    )
    return App(way, oidc_provider, config, len(oidc_provider.seen()))


@pytest.mark.rule("RF-03", "AS-10")
def test_fifty_callers_one_refresh(app):
    """Five times a crowd finds the token gone: five refreshes, each with the newest token."""

    async def work() -> None:
        async with app.way.client(app.config) as client:
            session = client.session(await app.log_in(client))
            for _ in range(5):
                old = await app.way.call(session.get_token)
                session.invalidate(old)
                tokens = await app.crowd(session.get_token)
                assert len({id(token) for token in tokens}) == 1
                assert tokens[0].refresh_token not in (None, old.refresh_token)

    app.way.run(work)
    assert app.grants() == [("authorization_code", "granted")] + [("refresh_token", "granted")] * 5
    assert len(set(app.identities())) == 6


@pytest.mark.rule("BS-03")
def test_fifty_callers_of_a_backend_service(app):
    """A crowd that wants system access, before there is a token and after it went: one request each."""

    async def work() -> None:
        async with app.way.client(app.config) as client:
            session = client.backend_session("system/Patient.rs")
            await app.crowd(session.get_token)
            session.invalidate(await app.way.call(session.get_token))
            await app.crowd(session.get_token)

    app.way.run(work)
    assert app.grants() == [("client_credentials", "granted")] * 2


@pytest.mark.rule("TK-24")
def test_a_crowd_at_the_fhir_server(app):
    """Fifty requests at once with a token that the server does not take: one refresh, fifty answers."""

    async def work() -> None:
        async with app.way.client(app.config) as client:
            token = await app.log_in(client)
            lost = Secret("lost-by-the-server")
            session = client.session(
                replace(token, access_token=lost, raw={**token.raw, "access_token": lost})
            )
            http = app.http(session)
            answers = await app.crowd(lambda: http.get("Patient/pat-1"))
            assert [answer.status_code for answer in answers] == [200] * CROWD
            await app.close(http)

    app.way.run(work)
    assert app.grants() == [("authorization_code", "granted"), ("refresh_token", "granted")]


@pytest.mark.rule("TK-19", "RF-04")
def test_a_stolen_refresh_token(app):
    """Somebody uses a spent refresh token: the server ends the whole login, and the session says so once."""

    async def work() -> None:
        async with app.way.client(app.config) as client:
            first = await app.log_in(client)
            session = client.session(first)
            await app.way.call(session.renew)
            with pytest.raises(OAuthError):
                await app.way.call(client.refresh, first)
            session.invalidate(session.token)
            for _ in range(2):
                with pytest.raises(SessionEndedError):
                    await app.way.call(session.get_token)

    app.way.run(work)
    assert app.grants() == [
        ("authorization_code", "granted"),
        ("refresh_token", "granted"),
        ("refresh_token", "refused"),
        ("refresh_token", "refused"),
    ]


@pytest.mark.parametrize("kind", ["memory", "files"])
def test_after_a_restart(app, kind, tmp_path):
    """A session that is found again in the store goes on with the rotated token, not with the first."""
    store = MemoryStore() if kind == "memory" else FileStore(tmp_path / "tokens")

    async def work() -> None:
        async with app.way.client(app.config, store=store) as client:
            session = client.session(await app.log_in(client))
            for _ in range(3):
                renewed = await app.way.call(session.renew)
        async with app.way.client(app.config, store=store) as client:
            found = await app.way.call(client.load_session, session.key)
            assert (await app.way.call(found.get_token)).access_token == renewed.access_token
            again = await app.way.call(found.renew)
            assert again.refresh_token != renewed.refresh_token
            assert app.peer.read_patient(again).status_code == 200

    app.way.run(work)
    assert app.grants() == [("authorization_code", "granted")] + [("refresh_token", "granted")] * 4


@pytest.mark.rule("CB-10")
def test_the_issuer_in_the_callback(app):
    """What the server sends is its issuer; another one, two or none reach no token endpoint."""

    async def work() -> None:
        async with app.way.client(app.config) as client:
            pending = await app.way.call(client.authorize)
            callback = app.peer.log_in(pending.url)
            assert parse_qs(urlsplit(callback).query)["iss"] == [app.peer.issuer]
            issuer = f"&iss={quote(app.peer.issuer, safe='')}"
            assert issuer in callback
            for changed in ("", "&iss=https%3A%2F%2Fevil.example", issuer * 2, f"{issuer}%2F"):
                with pytest.raises(CallbackError):
                    await app.way.call(client.exchange_code, pending, callback.replace(issuer, changed))
            assert app.grants() == []
            assert await app.way.call(client.exchange_code, pending, callback)

    app.way.run(work)
    assert app.grants() == [("authorization_code", "granted")]
