"""Several replicas of an app over one store: whichever gets a request knows as much as the others."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from web_app import Time, WebApp, cookies_of, location

from smart_async import AsyncSmartClient
from smart_async.interfaces import TokenStore
from smart_async.sandbox import Sandbox
from smart_async.stores import FileStore

pytestmark = pytest.mark.anyio
Open = Callable[[], TokenStore]


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.peers)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one store for each replica, all of them over the same place."""
    opened: list[TokenStore] = []
    if request.param == "redis":
        from smart_async.stores import RedisStore

        url, prefix = request.getfixturevalue("redis_server").url(), f"test-{secrets.token_hex(8)}:"

    def open_store() -> TokenStore:
        store = FileStore(tmp_path / "store") if request.param == "file" else RedisStore(url, prefix=prefix)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


class Replicas:
    """Apps that share a store and a registration, and nothing else."""

    def __init__(self, open_store: Open, count: int = 2, **options: Any) -> None:
        time = Time()
        sandbox = Sandbox(clock=time)
        first = WebApp("starlette", sandbox=sandbox, clock=time)
        self.sandbox, self.time = sandbox, time
        self.apps = [
            WebApp(
                ("starlette", "fastapi")[number % 2],
                ehrs=AsyncSmartClient(
                    first.config, transport=sandbox.transport(), clock=time, store=open_store()
                ),
                clock=time,
                http_transport=httpx.ASGITransport(sandbox.app),
                **options,
            )
            for number in range(count)
        ]

    def exchanges(self) -> int:
        return sum(b"grant_type=authorization_code" in each.body for each in self.sandbox.requests)


def at(browser: httpx.AsyncClient, app: WebApp) -> httpx.AsyncClient:
    """The same browser, sent to another replica by the load balancer."""
    browser._transport = app.transport
    return browser


async def test_each_request_at_another_replica(open_store: Open) -> None:
    """A login begins here, finishes there, and its user is known and signed out everywhere."""
    replicas = Replicas(open_store)
    one, two = replicas.apps
    async with one.browser() as browser:
        url = location(await at(browser, one).get("/smart/login?return_to=/chart"))
        back = replicas.sandbox.authorize(url)
        assert location(await at(browser, two).get(back)) == "/chart"
        tokens = {(await at(browser, app).get("/chart")).json()["token"] for app in (one, two, one)}
        assert len(tokens) == 1
        await at(browser, one).post("/smart/logout", headers={"Sec-Fetch-Site": "same-origin"})
        assert [(await at(browser, app).get("/")).text for app in (two, one)] == ["nobody"] * 2


async def test_one_refresh_for_all(open_store: Open) -> None:
    """T49: a token that is due is renewed by one replica, and the others take that."""
    replicas = Replicas(open_store, idle=7200)
    one, two = replicas.apps
    async with one.browser() as browser:
        url = location(await browser.get("/smart/login"))
        await browser.get(replicas.sandbox.authorize(url))
        replicas.time.now += 3600
        cookies = dict(browser.cookies)
        seen: list[str] = []

        async def look(app: WebApp) -> None:
            async with app.browser() as same:
                same.cookies.update(cookies)
                seen.append((await same.get("/chart")).json()["token"])

        async with anyio.create_task_group() as tasks:
            for app in (one, two) * 4:
                tasks.start_soon(look, app)
    assert (len(seen), len(set(seen)), replicas.sandbox.replays) == (8, 1, [])


async def test_t11_callbacks_that_race_at_two_replicas(open_store: Open) -> None:
    """T11: of all that race for one callback, one exchanges the code."""
    replicas = Replicas(open_store)
    async with replicas.apps[0].browser() as browser:
        url = location(await browser.get("/smart/login"))
        cookies = dict(browser.cookies)
    back = replicas.sandbox.authorize(url)
    answers: list[tuple[int, str]] = []

    async def press(app: WebApp) -> None:
        async with app.browser() as same:
            same.cookies.update(cookies)
            answer = await same.get(back)
            session = cookies_of(answer).get("__Host-smart-session", ("", []))[0]
            answers.append((answer.status_code, session))

    async with anyio.create_task_group() as tasks:
        for app in replicas.apps * 3:
            tasks.start_soon(press, app)
    assert len(answers) == 6
    assert {status for status, _ in answers} <= {303, 400}
    assert len({session for status, session in answers if status == 303}) == 1
    assert replicas.exchanges() == 1


async def test_tabs_that_begin_at_once(open_store: Open) -> None:
    """Logins that a browser begins at the same moment, at different replicas, are all kept."""
    replicas = Replicas(open_store)
    async with replicas.apps[0].browser() as browser:
        first = location(await browser.get("/smart/login?return_to=/0"))
        cookies = dict(browser.cookies)
    backs = {"/0": replicas.sandbox.authorize(first)}

    async def begin(app: WebApp, page: str) -> None:
        async with app.browser() as same:
            same.cookies.update(cookies)
            url = location(await same.get(f"/smart/login?return_to={page}"))
            backs[page] = replicas.sandbox.authorize(url)

    async with anyio.create_task_group() as tasks:
        for number in range(1, 5):
            tasks.start_soon(begin, replicas.apps[number % 2], f"/{number}")
    for page, back in backs.items():
        async with replicas.apps[1].browser() as same:
            same.cookies.update(cookies)
            assert location(await same.get(back)) == page
