"""Who is signed in, for how long, and how it ends."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from web_app import API, ORIGIN, WebApp, cookies_of, location

from smart_async import AsyncSmartClient, ConfigurationError, SmartError, StoreError
from smart_async.integrations.starlette import SignedIn
from smart_async.interfaces import Lease, Stored
from smart_async.sandbox import Sandbox
from smart_async.stores import MemoryStore

pytestmark = pytest.mark.anyio
Make = Callable[..., WebApp]
SAME = {"Sec-Fetch-Site": "same-origin"}


class Moody(MemoryStore):
    """A store that can be away, and that is called as one on the network would be."""

    def __init__(self) -> None:
        super().__init__()
        self.away: tuple[str, ...] = ()

    def _check(self, name: str, key: str) -> None:
        if any(word in f"{name} {key}" for word in self.away):
            raise StoreError("The store is away.")

    def load(self, key: str) -> Stored | None:
        self._check("load", key)
        return super().load(key)

    def save(self, key: str, data: bytes, *, expected: str | None, lease: Lease | None = None) -> str | None:
        self._check("save", key)
        return super().save(key, data, expected=expected, lease=lease)

    def delete(self, key: str, *, expected: str | None = None) -> bool:
        self._check("delete", key)
        return super().delete(key, expected=expected)


async def session_key(web: WebApp, browser: httpx.AsyncClient) -> str:
    """The key of the token session of whoever is signed in."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"cookie", "; ".join(f"{c.name}={c.value}" for c in browser.cookies.jar).encode())],
    }
    signed_in = await web.login.session(Request(scope))
    assert signed_in.session.key is not None
    return signed_in.session.key


async def test_a_token_is_renewed_behind_the_scenes(make: Make) -> None:
    """A user who works on notices nothing of tokens that expire."""
    web = make(sandbox=None, idle=7200)
    async with web.browser() as browser:
        await web.sign_in(browser)
        first = (await browser.get("/chart")).json()["token"]
        web.clock.now += 3600
        second = (await browser.get("/chart")).json()
        assert (second["token"] != first, second["read"]) == (True, "patient-amber")


async def test_a_token_that_was_withdrawn_is_replaced_in_a_request(make: Make) -> None:
    """The FHIR server's 401 is answered with another token, by the client that the user was given."""
    web = make()
    async with web.browser() as browser:
        await web.sign_in(browser)
        web.sandbox.faults.add("fhir_401")
        assert (await browser.get("/chart")).json()["read"] == "patient-amber"


@pytest.mark.parametrize(("busy", "signed_in"), [(True, True), (False, False)])
async def test_an_idle_user_is_signed_out(busy: bool, signed_in: bool) -> None:
    """After the idle lifetime, counted from the last request."""
    web = WebApp(idle=100)
    async with web.browser() as browser:
        await web.sign_in(browser)
        web.clock.now += 60
        if busy:
            assert (await browser.get("/")).text == "somebody"
        web.clock.now += 60
        assert (await browser.get("/")).text == ("somebody" if signed_in else "nobody")


async def test_nobody_is_signed_in_for_ever(web: WebApp) -> None:
    """After the absolute lifetime, however busy; and the tokens are gone from the store."""
    web = WebApp(idle=100, lifetime=300)
    async with web.browser() as browser:
        await web.sign_in(browser)
        key = await session_key(web, browser)
        for _ in range(5):
            web.clock.now += 59
            assert (await browser.get("/")).text == "somebody"
        assert web.client.store.load(key) is not None
        web.clock.now += 5
        assert (await browser.get("/")).text == "nobody"
        assert web.client.store.load(key) is None


async def test_a_session_in_use_is_not_written_at_every_request() -> None:
    """A page with fifty requests costs one write at most."""
    store = Moody()
    web = WebApp(store=store)
    async with web.browser() as browser:
        await web.sign_in(browser)
        store.away = ("save",)
        for _ in range(50):
            assert (await browser.get("/")).text == "somebody"
        web.clock.now += 100
        assert (await browser.get("/", headers=API)).status_code == 503


async def test_an_ended_session_starts_a_login(make: Make) -> None:
    """A refresh token that the EHR no longer takes sends the user to sign in, and back to the page."""
    web = make(idle=7200)
    async with web.browser() as browser:
        await web.sign_in(browser)
        key = await session_key(web, browser)
        web.sandbox.revoke_tokens()
        web.clock.now += 3600
        assert location(await browser.get("/chart")) == "/smart/login?return_to=/chart"
        assert web.client.store.load(key) is None
        assert location(await web.sign_in(browser, "/smart/login?return_to=/chart")) == "/chart"
        assert (await browser.get("/chart")).status_code == 200


async def test_an_unknown_outcome_starts_a_login(make: Make) -> None:
    """A refresh token whose fate nobody knows is not worth keeping the user waiting."""
    web = make(idle=7200)
    async with web.browser() as browser:
        await web.sign_in(browser)
        web.sandbox.faults.add("lost_token_response")
        web.clock.now += 3600
        assert (await browser.get("/chart", headers=API)).status_code == 401


async def test_a_session_that_ends_in_the_middle_of_a_request(make: Make) -> None:
    """The endpoint's FHIR request finds out first; the user is sent to sign in all the same."""
    web = make()
    async with web.browser() as browser:
        await web.sign_in(browser)
        web.sandbox.revoke_tokens()
        assert location(await browser.get("/chart")) == "/smart/login?return_to=/chart"
        assert (await browser.get("/")).text == "nobody"


async def test_an_error_of_the_app_stays_one(make: Make) -> None:
    """What an endpoint raises, and has nothing to do with who is signed in, is not swallowed."""
    web = make()

    async def broken(request: Request) -> None:
        raise ConfigurationError("The app's own.")

    web.app.router.routes.insert(0, Route("/plain", broken))

    async def broken_too(request: Request, signed_in: SignedIn) -> None:
        raise ConfigurationError("The app's own.")

    web.app.router.routes.insert(0, Route("/guarded", web.login.required(broken_too)))
    async with web.browser() as browser:
        with pytest.raises(ConfigurationError):
            await browser.get("/plain")
        await web.sign_in(browser)
        with pytest.raises(ConfigurationError):
            await browser.get("/guarded")


async def test_an_outage_is_503(make: Make) -> None:
    """An EHR that is down signs nobody out."""
    web = make(idle=7200)
    async with web.browser() as browser:
        await web.sign_in(browser)
        web.clock.now += 3600
        web.sandbox.faults.add("unavailable", times=3, retry_after=120, endpoint="token")
        page = await browser.get("/chart")
        assert (page.status_code, "retry-after" in page.headers) == (503, True)
        assert page.headers["content-type"].startswith("text/html")
        web.clock.now += 2
        script = await browser.get("/chart", headers=API)
        assert (script.status_code, script.json()) == (503, {"error": "temporarily_unavailable"})
        web.clock.now += 2
        assert (await browser.get("/chart")).status_code == 503
        web.clock.now += 2
        assert (await browser.get("/chart")).status_code == 200


async def test_an_outage_of_the_keys_is_503(make: Make) -> None:
    """A new token whose ID token cannot be checked just now waits in the store, and so does its user."""
    web = make(idle=7200)
    async with web.browser() as browser:
        await web.sign_in(browser)
        key = await session_key(web, browser)
        web.clock.now += 3600
        web.sandbox.faults.add("rotated_server_keys")
        web.sandbox.faults.add("unavailable", endpoint="keys", always=True)
        assert (await browser.get("/chart", headers=API)).status_code == 503
        assert web.client.store.load(key) is not None
        web.sandbox.faults.clear()
        web.clock.now += 100
        assert (await browser.get("/chart")).status_code == 200
    assert web.sandbox.replays == []


class SameToken:
    """A transport to an EHR that hands a user's token out again while it is good."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.bodies: list[dict[str, Any]] = []

    async def async_send(self, request: Any, timeouts: Any) -> Any:
        answer = await self.inner.async_send(request, timeouts)
        if not request.url.endswith("/token"):
            return answer
        self.bodies.append(json.loads(answer.body))
        again = {name: self.bodies[0][name] for name in ("access_token", "refresh_token")}
        return replace(answer, body=json.dumps({**self.bodies[-1], **again}).encode())

    async def aclose(self) -> None:
        await self.inner.aclose()


@pytest.mark.parametrize("fails", [False, True])
async def test_an_ehr_that_gives_the_same_token_again(fails: bool) -> None:
    """Signing in anew takes nothing away from the login that has the same token as the one before."""
    first = WebApp(config={"scope": "launch/patient patient/*.rs offline_access"})
    transport = SameToken(first.sandbox.transport())

    def hook(request: Request, signed_in: SignedIn) -> None:
        if fails and len(transport.bodies) > 1:
            raise ConfigurationError("Not you.")

    client = AsyncSmartClient(first.config, transport=transport, clock=first.clock)
    web = WebApp(sandbox=first.sandbox, ehrs=client, clock=first.clock, after_login=hook)
    async with web.browser() as browser:
        for _ in range(2):
            await web.sign_in(browser)
            assert (await browser.get("/")).text == "somebody"
    assert len(transport.bodies) == 2
    assert [each.endpoint for each in web.sandbox.exchanges].count("revoke") == 0


async def test_an_outage_by_the_hook(framework: str) -> None:
    """Its answer is the browser's."""

    def hook(request: Request, error: SmartError) -> PlainTextResponse:
        return PlainTextResponse(f"Later, {type(error).__name__}.", 503)

    store = Moody()
    web = WebApp(framework, store=store, on_failure=hook)
    async with web.browser() as browser:
        await web.sign_in(browser)
        store.away = ("web session",)
        answer = await browser.get("/chart", headers=API)
        assert (answer.status_code, answer.text) == (503, "Later, StoreError.")
        assert answer.headers["retry-after"] == "10"


async def test_a_registration_that_is_gone_ends_its_sessions() -> None:
    """A deployment without that EHR signs its users out."""
    store = MemoryStore()
    web = WebApp(store=store, client={"store": store})
    other = WebApp(
        store=store, sandbox=Sandbox(base_url="https://other.example", clock=web.clock), clock=web.clock
    )
    async with web.browser() as browser:
        await web.sign_in(browser)
        browser._transport = other.transport
        assert (await browser.get("/")).text == "nobody"


@pytest.mark.parametrize("headers", [SAME, {"Origin": ORIGIN}], ids=["Sec-Fetch-Site", "Origin"])
async def test_signing_out(make: Make, headers: dict[str, str]) -> None:
    """Here, in the store, at the EHR and in the browser."""
    web = make()
    async with web.browser() as browser:
        await web.sign_in(browser)
        key = await session_key(web, browser)
        cookie = dict(browser.cookies)
        done = await browser.post("/smart/logout", headers=headers)
        assert (done.status_code, "<h1>You are signed out</h1>" in done.text) == (200, True)
        assert {name: value for name, (value, _) in cookies_of(done).items()} == {
            "__Host-smart-session": "",
            "__Host-smart-session-login": "",
        }
        assert all("Max-Age=0" in attributes for _, attributes in cookies_of(done).values())
        assert web.client.store.load(key) is None
        assert web.sandbox.exchanges[-1].endpoint == "revoke"
        browser.cookies.update(cookie)
        assert (await browser.get("/")).text == "nobody"


async def test_the_page_that_signs_out(make: Make) -> None:
    """A link leads to a page with a button that works where the browser does not say where a form is from."""
    web = make()
    async with web.browser() as browser:
        await web.sign_in(browser)
        page = await browser.get(web.login.logout_url)
        assert (await browser.get("/")).text == "somebody"
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.text))
        done = await browser.post(web.login.logout_url, data=fields)
        assert (done.status_code, (await browser.get("/")).text) == (200, "nobody")
        assert "form_token" not in (await browser.get(web.login.logout_url)).text


async def test_the_form_token_of_an_app_s_own_page(make: Make) -> None:
    """`signed_in.form_token` does the same."""
    tokens: list[str] = []
    web = make(after_login=lambda request, user: tokens.append(user.form_token))
    async with web.browser() as browser:
        await web.sign_in(browser)
        done = await browser.post(web.login.logout_url, data={"form_token": tokens[0]})
        assert (done.status_code, (await browser.get("/")).text) == (200, "nobody")


@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ({}, None),
        ({}, {"form_token": ""}),
        ({}, {"form_token": "0" * 64}),
        ({"Origin": "null"}, None),
        ({"Origin": "https://evil.example"}, None),
        ({"Origin": f"{ORIGIN}.evil.example"}, None),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Sec-Fetch-Site": "same-site", "Origin": ORIGIN}, None),
        ({"Sec-Fetch-Site": "none"}, None),
        ({"Content-Type": "text/plain"}, None),
    ],
)
async def test_nobody_else_signs_a_user_out(
    web: WebApp, headers: dict[str, str], data: dict[str, str] | None
) -> None:
    """A form on another site ends nothing; the user is asked."""
    async with web.browser() as browser:
        await web.sign_in(browser)
        answer = await browser.post("/smart/logout", headers=headers, data=data)
        assert (answer.status_code, "<h1>Sign out?</h1>" in answer.text) == (403, True)
        assert (await browser.get("/")).text == "somebody"


async def test_a_form_of_another_site_takes_no_cookie(web: WebApp) -> None:
    """It comes without Lax cookies, and an answer that took them back would sign the user out."""
    async with web.browser() as browser:
        headers = {"Sec-Fetch-Site": "cross-site"}
        answer = await browser.post("/smart/logout", headers=headers)
        assert (answer.status_code, cookies_of(answer)) == (200, {})
        assert "<h1>Sign out?</h1>" in answer.text


async def test_signing_out_twice(web: WebApp) -> None:
    """Who is not signed in is signed out."""
    async with web.browser() as browser:
        assert (await browser.post("/smart/logout")).status_code == 200
        await web.sign_in(browser)
        await browser.post("/smart/logout", headers=SAME)
        assert (await browser.post("/smart/logout", headers=SAME)).status_code == 200


async def test_an_ehr_that_is_down_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The user is signed out, and that the EHR did not hear of it is in the log."""
    web = WebApp(config={"attempts": 1})
    web.sandbox.faults.add("unavailable", always=True, endpoint="revoke")
    async with web.browser() as browser:
        await web.sign_in(browser)
        assert (await browser.post("/smart/logout", headers=SAME)).status_code == 200
        assert (await browser.get("/")).text == "nobody"
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_an_ehr_without_revocation(caplog: pytest.LogCaptureFixture) -> None:
    """Many have none, which is nothing to warn of."""
    sandbox = Sandbox()
    endpoints = {
        "authorization_endpoint": f"{sandbox.base_url}/oauth2/authorize",
        "token_endpoint": sandbox.token_endpoint,
    }
    web = WebApp(config={"discovery": "off", "id_token": "off", **endpoints})
    async with web.browser() as browser:
        await web.sign_in(browser)
        assert (await browser.post("/smart/logout", headers=SAME)).status_code == 200
        assert (await browser.get("/")).text == "nobody"
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_store_that_is_away_cannot_sign_out(caplog: pytest.LogCaptureFixture) -> None:
    """The user is told so, and at least their browser forgets."""
    store = Moody()
    web = WebApp(store=store)
    async with web.browser() as browser:
        await web.sign_in(browser)
        store.away = ("delete smart-async web session",)
        answer = await browser.post("/smart/logout", headers=SAME)
        assert answer.status_code == 503
        assert (await browser.get("/")).text == "nobody"


@pytest.mark.parametrize("away", ["delete web pending", "delete smart"])
async def test_what_is_left_behind_is_noted(away: str, caplog: pytest.LogCaptureFixture) -> None:
    """Tokens or logins that the store does not forget are found by nobody, and are in the log."""
    store = Moody()
    web = WebApp(store=store, pending_store=store, client={"store": store})
    async with web.browser() as browser:
        await web.sign_in(browser)
        key = await session_key(web, browser)
        store.away = ("delete smart-async web pending",) if "pending" in away else (f"delete {key}",)
        answer = await browser.post("/smart/logout", headers=SAME)
        assert (answer.status_code, (await browser.get("/")).text) == (200, "nobody")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_signing_out_gives_up_the_logins_under_way(web: WebApp) -> None:
    """Whoever uses the machine next does not finish what the last one began."""
    async with web.browser() as browser:
        await web.sign_in(browser)
        back = web.sandbox.authorize(await web.to_the_ehr(browser))
        cookie = dict(browser.cookies)
        await browser.post("/smart/logout", headers=SAME)
        browser.cookies.update(cookie)
        assert (await browser.get(back)).status_code == 400


async def test_what_is_damaged_signs_nobody_in(web: WebApp, caplog: pytest.LogCaptureFixture) -> None:
    """A record that somebody else wrote is no session and no login; the next login works."""
    store = MemoryStore()
    web = WebApp(store=store, pending_store=store)
    for data in (b"", b"[]", b"{}", b'{"version":1,"type":"session"}', b'{"version":1,"type":"pending"}',
                 b'{"version":1,"type":"pending","logins":[{}]}'):  # fmt: skip
        async with web.browser() as browser:
            await web.sign_in(browser)
            back = web.sandbox.authorize(await web.to_the_ehr(browser))
            for key in [key for key in store._entries if "web" in key]:
                store.save(key, data, expected=store.load(key).version)
            assert (await browser.get("/")).text == "nobody"
            assert (await browser.get(back)).status_code == 400
            assert location(await web.sign_in(browser)) == "/"
            assert (await browser.get("/")).text == "somebody"
    assert "The store holds" in caplog.text


async def test_a_record_under_another_name_is_nobody(web: WebApp) -> None:
    """T49: who copies a user's record to an id of their own is not that user."""
    store = MemoryStore()
    web = WebApp(store=store)
    async with web.browser() as victim, web.browser() as thief:
        await web.sign_in(victim)
        (stolen,) = [stored.data for key, stored in store._entries.items() if "web session" in key]
        await web.sign_in(thief)
        for key in [key for key in store._entries if "web session" in key]:
            store.save(key, stolen, expected=store.load(key).version)
        assert ((await victim.get("/")).text, (await thief.get("/")).text) == ("somebody", "nobody")


async def test_an_id_that_is_taken_is_not_shared() -> None:
    """Randomness that repeats itself signs nobody in as somebody else."""
    web = WebApp(entropy=lambda size: b"\0" * size)
    async with web.browser() as one, web.browser() as two:
        await web.sign_in(one)
        assert (await web.sign_in(two)).status_code == 503
        assert ((await one.get("/")).text, (await two.get("/")).text) == ("somebody", "nobody")
