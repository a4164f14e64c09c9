"""The threats to a login in the browser, each by its number in the threat table."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

import anyio
import httpx
import pytest
from starlette.requests import Request
from web_app import ORIGIN, WebApp, cookies_of, location, query_of

from smart_async import AsyncSmartClient, SmartError
from smart_async.integrations.starlette import OtherUserError, SignedIn, local_path
from smart_async.integrations.starlette._pending import PendingLogin, _read
from smart_async.integrations.starlette._shelf import hashed
from smart_async.sandbox import Sandbox
from smart_async.stores import MemoryStore

pytestmark = pytest.mark.anyio
Make = Callable[..., WebApp]

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
SESSION, BROWSER = "__Host-smart-session", "__Host-smart-session-login"


async def callback_of(web: WebApp, browser: httpx.AsyncClient, start: str | None = None) -> str:
    return web.sandbox.authorize(await web.to_the_ehr(browser, start))


# T01 --------------------------------------------------------------------------------------------


UNKNOWN = [
    "https://evil.example",
    "https://sandbox.example.evil.example/fhir",
    "https://sandbox.example@evil.example/fhir",
    "https://sandbox.example/fhir/../evil",
    "https://sandbox.example/fhir\\evil",
    "http://sandbox.example/fhir",
    "javascript:alert(1)",
    "",
    None,
    "x" * 9000,
]


async def test_t01_a_launch_from_an_unknown_ehr_makes_no_request(make: Make) -> None:
    """T01: an iss that is not configured gets a page and nothing else: no request, no cookie."""
    web = make()
    async with web.browser() as browser:
        for iss in UNKNOWN:
            query = {"launch": "x"} if iss is None else {"launch": "x", "iss": iss}
            answer = await browser.get("/smart/launch", params=query)
            assert (answer.status_code, web.sandbox.requests, cookies_of(answer)) == (400, [], {})
            assert "<h1>This app cannot be opened from there</h1>" in answer.text
            assert "evil" not in answer.text


async def test_t01_iss_twice(web: WebApp) -> None:
    """T01: a launch that names two EHRs names none."""
    async with web.browser() as browser:
        url = f"{web.sandbox.launch_url('/smart/launch')}&iss=https://evil.example"
        assert ((await browser.get(url)).status_code, web.sandbox.requests) == (400, [])


async def test_t01_other_parameters_of_a_launch_change_nothing(web: WebApp) -> None:
    """T01: the query cannot choose client, server or patient."""
    async with web.browser() as browser:
        url = web.sandbox.launch_url("/smart/launch", patient="patient-basil")
        more = "&clientId=evil&fhirServiceUrl=https://evil.example&patient=patient-fable&client_id=evil"
        asked = query_of(await web.to_the_ehr(browser, url + more))
        assert (asked["client_id"], asked["aud"]) == ("chart", web.sandbox.fhir_base)
        assert "evil" not in json.dumps(asked)


# T03 --------------------------------------------------------------------------------------------


async def test_t03_one_ehrs_answer_at_anothers_path() -> None:
    """T03: a valid state at another registration's callback sends no code anywhere."""
    web = WebApp(redirect_uri=f"{ORIGIN}/smart/callback/a")
    async with web.browser() as browser:
        for wrong in ("/smart/callback/b", "/smart/callback"):
            back = (await callback_of(web, browser)).replace("/smart/callback/a", wrong)
            assert ((await browser.get(back)).status_code, web.exchanges()) == (400, 0)
        assert location(await web.sign_in(browser)) == "/"


@pytest.mark.parametrize("iss", ["https://evil.example", "", None])
async def test_t03_another_issuer(web: WebApp, iss: str | None) -> None:
    """T03: a callback that names another issuer, or none though one was promised, sends no code."""
    async with web.browser() as browser:
        query = query_of(await callback_of(web, browser))
        query = {name: value for name, value in {**query, "iss": iss}.items() if value is not None}
        assert (await browser.get("/smart/callback", params=query)).status_code == 400
        assert web.exchanges() == 0


# T11 --------------------------------------------------------------------------------------------


STATES: dict[str, Callable[[str, str], str]] = {
    "missing": lambda back, state: back.replace(f"state={state}", "other=1"),
    "empty": lambda back, state: back.replace(f"state={state}", "state="),
    "twice": lambda back, state: f"{back}&state={state}",
    "twice, once empty": lambda back, state: f"{back}&state=",
    "short": lambda back, state: back.replace(f"state={state}", f"state={state[:-1]}"),
    "long": lambda back, state: back.replace(f"state={state}", f"state={state}%20"),
    "other case": lambda back, state: back.replace(f"state={state}", f"state={state.swapcase()}"),
    "another": lambda back, state: back.replace(f"state={state}", "state=" + "A" * 43),
}


@pytest.mark.rule("CB-02")
async def test_t11_a_state_that_is_not_the_browsers(make: Make) -> None:
    """T11: without exactly the state that this browser was given, nothing is exchanged, nobody signed in."""
    web = make()
    async with web.browser() as browser:
        back = await callback_of(web, browser)
        for name, change in STATES.items():
            answer = await browser.get(change(back, query_of(back)["state"]))
            assert (name, answer.status_code, SESSION in cookies_of(answer)) == (name, 400, False)
        assert web.exchanges() == 0
        assert location(await browser.get(back)) == "/"


async def test_t11_a_login_begun_in_another_browser(make: Make) -> None:
    """T11, login CSRF: a victim sent to an attacker's callback is not signed in as the attacker."""
    web = make()
    async with web.browser() as attacker, web.browser() as victim, web.browser() as busy:
        back = await callback_of(web, attacker)
        assert (await victim.get(back)).status_code == 400
        await web.to_the_ehr(busy)
        assert (await busy.get(back)).status_code == 400
        assert ((await victim.get("/")).text, (await busy.get("/")).text) == ("nobody", "nobody")
        assert web.exchanges() == 0
        assert location(await attacker.get(back)) == "/"


async def test_t11_a_callback_works_once(make: Make) -> None:
    """T11: the one who has it again, without being signed in by it, gets a page and no second exchange."""
    web = make()
    async with web.browser() as browser:
        back = await callback_of(web, browser)
        assert location(await browser.get(back)) == "/"
        browser.cookies.delete(SESSION)
        again = await browser.get(back)
        assert (again.status_code, web.exchanges()) == (400, 1)
        assert "<h1>This sign-in has been used</h1>" in again.text


async def test_t11_the_back_button(make: Make) -> None:
    """T11: who is signed in by a login and comes to its callback again goes on to where it led."""
    web = make()
    async with web.browser() as browser:
        back = await callback_of(web, browser, "/smart/login?return_to=/chart")
        session = cookies_of(await browser.get(back))[SESSION][0]
        again = await browser.get(back)
        assert (location(again), cookies_of(again), web.exchanges()) == ("/chart", {}, 1)
        assert browser.cookies[SESSION] == session


async def test_t11_a_login_expires(make: Make) -> None:
    """T11: after ten minutes the browser has no such login under way."""
    web = make()
    async with web.browser() as browser:
        back = await callback_of(web, browser)
        web.clock.now += 600
        assert ((await browser.get(back)).status_code, web.exchanges()) == (400, 0)


@pytest.mark.parametrize("presses", [2, 8])
async def test_t11_a_button_pressed_twice(make: Make, presses: int) -> None:
    """T11: of callbacks that race, one exchanges the code; the browser is signed in."""
    web = make()
    answers: list[httpx.Response] = []
    async with web.browser() as browser:
        back = await callback_of(web, browser)
        cookie = {"Cookie": f"{BROWSER}={browser.cookies[BROWSER]}"}

        async def press() -> None:
            async with web.browser() as same:
                answers.append(await same.get(back, headers=cookie))

        async with anyio.create_task_group() as tasks:
            for _ in range(presses):
                tasks.start_soon(press)
        assert {answer.status_code for answer in answers} <= {303, 400}
        # Whoever is let in is let in as the same one.
        assert len({cookies_of(answer)[SESSION][0] for answer in answers if answer.status_code == 303}) == 1
        assert web.exchanges() == 1


async def test_t11_two_tabs_at_once(make: Make) -> None:
    """T11: both logins of a browser finish, in any order, each at its own page."""
    web = make()
    async with web.browser() as browser:
        first = await callback_of(web, browser, "/smart/login?return_to=/first")
        second = await callback_of(web, browser, "/smart/login?return_to=/second")
        assert location(await browser.get(second)) == "/second"
        assert location(await browser.get(first)) == "/first"
        assert (await browser.get("/chart")).status_code == 200


async def test_t11_logins_of_a_browser_are_bounded(web: WebApp) -> None:
    """T11: the eleventh takes the place of the first."""
    async with web.browser() as browser:
        backs = [await callback_of(web, browser) for _ in range(11)]
        assert (await browser.get(backs[0])).status_code == 400
        assert location(await browser.get(backs[1])) == "/"


async def test_t11_strangers_push_out_nobody_who_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """T11: logins without end cost bounded memory, and that is not the memory of the signed-in users."""
    monkeypatch.setattr("smart_async.integrations.starlette.login.WEB_PENDING_BROWSERS", 5)
    store = MemoryStore(max_entries=10)
    web = WebApp(store=store, client={"store": store})
    async with web.browser() as browser:
        await web.sign_in(browser)
        for _ in range(30):
            async with web.browser() as stranger:
                await web.to_the_ehr(stranger)
        assert (await browser.get("/chart")).status_code == 200
    assert len(web.login._parts.pendings._shelf._store._entries) == 5


# T12 --------------------------------------------------------------------------------------------


async def test_t12_an_id_that_was_there_before_is_not_adopted(make: Make) -> None:
    """T12, fixation: whoever planted the cookies knows neither of the ids afterwards."""
    web = make()
    planted = "A" * 43
    async with web.browser() as browser:
        browser.cookies.update({SESSION: planted, BROWSER: planted})
        begun = await browser.get("/smart/login")
        assert cookies_of(begun)[BROWSER][0] != planted
        done = await browser.get(web.sandbox.authorize(location(begun)))
        assert cookies_of(done)[SESSION][0] != planted
        async with web.browser() as attacker:
            attacker.cookies.update({SESSION: planted, BROWSER: planted})
            assert (await attacker.get("/")).text == "nobody"


async def test_t12_each_login_makes_a_new_id(make: Make) -> None:
    """T12: the id from before a second login is worth nothing after it."""
    web = make()
    async with web.browser() as browser, web.browser() as thief:
        await web.sign_in(browser)
        before = browser.cookies[SESSION]
        await web.sign_in(browser)
        assert browser.cookies[SESSION] != before
        thief.cookies.set(SESSION, before)
        assert ((await thief.get("/")).text, (await browser.get("/")).text) == ("nobody", "somebody")


async def test_t12_the_id_of_a_login_signs_nobody_in(make: Make) -> None:
    """T12: what a browser is known by while it signs in says nothing of who is signed in."""
    web = make()
    async with web.browser() as browser, web.browser() as thief:
        await web.sign_in(browser)
        thief.cookies.update({SESSION: browser.cookies[BROWSER], BROWSER: browser.cookies[BROWSER]})
        assert (await thief.get("/")).text == "nobody"


@pytest.mark.parametrize("when", ["at the beginning", "in another tab meanwhile"])
async def test_t12_begun_as_one_user_and_finished_as_another(make: Make, when: str) -> None:
    """T12: the second user is not put into the first one's browser; the first stays signed in."""
    errors: list[SmartError] = []
    web = make(on_failure=lambda request, error: errors.append(error))
    async with web.browser() as browser:
        url = web.sandbox.launch_url("/smart/launch", patient="patient-basil", user="Patient/patient-basil")
        if when == "at the beginning":
            await web.sign_in(browser)
            back = await callback_of(web, browser, url)
        else:
            back = await callback_of(web, browser, url)
            await web.sign_in(browser)
        first = (await browser.get("/chart")).json()["user"]
        answer = await browser.get(back)
        assert (answer.status_code, SESSION in cookies_of(answer)) == (409, False)
        assert 'action="/smart/logout"' in answer.text
        assert [type(error) for error in errors] == [OtherUserError]
        assert (await browser.get("/chart")).json()["user"] == first
        assert web.sandbox.exchanges[-2].endpoint == "revoke"


async def test_t12_after_signing_out_anybody_may_sign_in(web: WebApp) -> None:
    """T12: a machine that is shared is handed over by signing out."""
    async with web.browser() as browser:
        await web.sign_in(browser)
        first = (await browser.get("/chart")).json()["user"]
        await browser.post("/smart/logout", headers={"Sec-Fetch-Site": "same-origin"})
        who = {"patient": "patient-basil", "user": "Patient/patient-basil"}
        await web.sign_in(browser, web.sandbox.launch_url("/smart/launch", **who))
        assert (await browser.get("/chart")).json()["user"] != first


async def test_t12_nothing_in_the_url_selects_a_session(make: Make) -> None:
    """T12: an id in the query is no id."""
    web = make()
    async with web.browser() as browser, web.browser() as thief:
        await web.sign_in(browser)
        for name in ("session", "smart-session", "sid", SESSION, "state", "patient", "user"):
            assert (await thief.get(f"/?{name}={browser.cookies[SESSION]}")).text == "nobody"


# T13 --------------------------------------------------------------------------------------------


@pytest.mark.rule("AL-11")
async def test_t13_every_login_has_pkce(make: Make) -> None:
    """T13: S256 with a challenge of its own, state and verifier of 32 random bytes."""
    web = make()
    async with web.browser() as browser:
        asked = [query_of(await web.to_the_ehr(browser)) for _ in range(3)]
        assert {each["code_challenge_method"] for each in asked} == {"S256"}
        assert len({each["code_challenge"] for each in asked}) == 3
        assert {len(each["state"]) for each in asked} == {43}


async def test_t13_a_code_of_another_login(make: Make) -> None:
    """T13, code injection: a code that another browser was given does not fit the verifier."""
    web = make()
    async with web.browser() as attacker, web.browser() as victim:
        stolen = query_of(await callback_of(web, victim))["code"]
        back = query_of(await callback_of(web, attacker))
        answer = await attacker.get("/smart/callback", params={**back, "code": stolen})
        assert (answer.status_code, SESSION in cookies_of(answer)) == (502, False)
        assert (await attacker.get("/")).text == "nobody"


# T14 --------------------------------------------------------------------------------------------


AMBIGUOUS = [
    "code=again",
    "error=access_denied",
    "access_token=x",
    "id_token=x",
    "token=x",
    "refresh_token=x",
    "iss=https://evil.example",
    "response=x&response=y",
    f"error_description={'x' * 5000}",
    "padding=" + "x" * 9000,
    "a=%ff",
    "a=1&" * 101,
]


async def test_t14_an_ambiguous_callback(web: WebApp) -> None:
    """T14: what could be read in two ways is not read at all."""
    async with web.browser() as browser:
        for more in AMBIGUOUS:
            answer = await browser.get(f"{await callback_of(web, browser)}&{more}")
            assert (answer.status_code, web.exchanges(), SESSION in cookies_of(answer)) == (400, 0, False)


async def test_t14_a_code_that_is_none(web: WebApp) -> None:
    """T14: empty, endless or with control characters, it goes nowhere."""
    async with web.browser() as browser:
        for code in ("", "x" * 5000, "a%00b", "a%0d%0ab", "caf%C3%A9"):
            query = query_of(await callback_of(web, browser))
            url = f"/smart/callback?state={query['state']}&iss={query['iss']}&code={code}"
            assert ((await browser.get(url)).status_code, web.exchanges()) == (400, 0)


# T15 --------------------------------------------------------------------------------------------

ELSEWHERE = [
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "///evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d%0aSet-Cookie:a=b",
    "/%5cevil.example",
    "/%2fevil.example",
    "/%2F%2Fevil.example",
    "/..//evil.example",
    "/x/..//evil.example",
    "/%2e%2e//evil.example",
    "/./evil",
    "/x//evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    " /chart",
    "https:evil.example",
    "https://evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "chart",
    "?x",
    "#x",
    "",
    "/caf\u00e9",
    "/\u2215evil.example",
    "/\uff0fevil.example",
    "/\x00",
    "/\x7f",
    "/" + "x" * 3000,
    "/smart/login",
    "/smart/login?return_to=/smart/login",
    "/smart/logout/",
    "/smart/launch?iss=x",
]


async def test_t15_no_login_leads_elsewhere(web: WebApp) -> None:
    """T15, open redirect: anything but a path of this site is the start page."""
    async with web.browser() as browser:
        for target in ELSEWHERE:
            url = await web.to_the_ehr(browser, f"/smart/login?return_to={quote(target, safe='')}")
            (kept,) = logins_of(web, query_of(url)["state"])
            assert (target, kept.return_to) == (target, None)
            assert "return_to" not in web.login.login_url(target)
        assert location(await browser.get(web.sandbox.authorize(url))) == "/"


def logins_of(web: WebApp, state: str) -> list[PendingLogin]:
    """What is kept on the server of a login."""
    shelf = web.login._parts.pendings._shelf._store
    records = [_read(stored.data) for stored in shelf._entries.values()]
    return [login for logins in records for login in logins if login.state == hashed(state)]


async def test_t15_a_record_is_not_believed_either(web: WebApp) -> None:
    """T15: what the store says is checked again before a browser is sent there."""
    async with web.browser() as browser:
        back = await callback_of(web, browser, "/smart/login?return_to=/chart")
        shelf = web.login._parts.pendings._shelf._store
        ((key, stored),) = shelf._entries.items()
        shelf.save(key, stored.data.replace(b'"/chart"', b'"//evil"'), expected=stored.version)
        assert location(await browser.get(back)) == "/"


async def test_t15_a_path_of_this_site(web: WebApp) -> None:
    """T15: byte for byte, with its query."""
    async with web.browser() as browser:
        for target in ("/", "/chart", "/chart?next=//evil", "/a/b%20c?d=%2F%2F#e", "/~x/@y;z=1"):
            start = f"/smart/login?return_to={quote(target, safe='')}"
            assert location(await web.sign_in(browser, start)) == target == local_path(target)


async def test_t15_two_ways_back_are_none(web: WebApp) -> None:
    """T15: a parameter that is there twice is not read."""
    async with web.browser() as browser:
        assert location(await web.sign_in(browser, "/smart/login?return_to=/a&return_to=/b")) == "/"


async def test_t15_the_way_back_is_not_in_the_state(web: WebApp) -> None:
    """T15: it lies on the server; the state is nothing but random."""
    async with web.browser() as browser:
        url = await web.to_the_ehr(browser, "/smart/login?return_to=/secret-page")
        assert "secret-page" not in unquote(url)


@pytest.mark.parametrize("value", [None, 1, b"/chart"])
async def test_t15_what_is_no_text(value: object) -> None:
    """T15: only text is a path."""
    assert local_path(value) is None


# T16 --------------------------------------------------------------------------------------------

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "'-alert(1)-'",
    "</title><svg onload=alert(1)>",
]


FIELDS = ("error", "error_description", "error_uri", "state", "iss", "code")


async def test_t16_nothing_of_a_callback_is_shown(web: WebApp) -> None:
    """T16, XSS: the page is a fixed text under a policy that lets no script run."""
    async with web.browser() as browser:
        for field, payload in itertools.product(FIELDS, PAYLOADS):
            query = query_of(await callback_of(web, browser))
            if field.startswith("error"):
                del query["code"]
                query["error"] = "access_denied"
            answer = await browser.get("/smart/callback", params={**query, field: payload})
            assert (field, answer.status_code >= 400) == (field, True)
            assert ("alert(1)" in answer.text, "<script" in answer.text) == (False, False)
            check_headers(answer)


async def test_t16_nothing_of_a_launch_is_shown(web: WebApp) -> None:
    """T16: neither iss nor launch nor what an app's own link says."""
    async with web.browser() as browser:
        for payload, path in itertools.product(PAYLOADS, ("launch", "login", "logout")):
            query = {"iss": payload, "launch": payload, "return_to": payload, "ehr": payload, "x": payload}
            answer = await browser.get(f"/smart/{path}", params=query)
            assert "alert(1)" not in answer.text
            check_headers(answer, page=answer.status_code != 303)


def check_headers(answer: httpx.Response, *, page: bool = True) -> None:
    fields = {
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    if page:
        fields |= {"content-security-policy": POLICY, "x-frame-options": "DENY"}
    assert {name: answer.headers.get(name) for name in fields} == fields


async def test_t16_every_answer_has_its_header_fields(make: Make) -> None:
    """T16: redirects and pages alike are kept nowhere, sniffed by nobody and refer to nothing."""
    web = make()
    async with web.browser() as browser:
        begun = await browser.get("/smart/login")
        done = await browser.get(web.sandbox.authorize(location(begun)))
        for answer in (begun, done):
            check_headers(answer, page=False)
        check_headers(await browser.get("/smart/logout"))
        check_headers(await browser.post("/smart/logout", headers={"Sec-Fetch-Site": "same-origin"}))


async def test_t16_the_style_sheet_is_a_file_of_its_own(web: WebApp) -> None:
    """T16: the policy allows no inline style, and the page needs none."""
    async with web.browser() as browser:
        page = await browser.get("/smart/logout")
        assert '<link rel="stylesheet" href="/smart/smart-login.css">' in page.text
        assert ("<style" in page.text, "style=" in page.text) == (False, False)
        style = await browser.get("/smart/smart-login.css")
        assert style.headers["content-type"].startswith("text/css")


# T17 --------------------------------------------------------------------------------------------


class Lying:
    """A transport to a sandbox whose discovery document names another place to sign in at."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.inner = sandbox.transport()
        self.url = ""

    async def async_send(self, request: Any, timeouts: Any) -> Any:
        response = await self.inner.async_send(request, timeouts)
        document = {**json.loads(response.body), "authorization_endpoint": self.url}
        return replace(response, body=json.dumps(document).encode())

    async def aclose(self) -> None:
        pass


async def test_t17_a_browser_is_sent_to_https_only(web: WebApp) -> None:
    """T17: an authorization endpoint that is no https URL is not gone to."""
    transport = Lying(web.sandbox)
    for url in ("file:///x", "javascript:alert(1)", "http://evil.example/a", "https://a@evil.example"):
        transport.url = url
        client = AsyncSmartClient(web.config, transport=transport, clock=web.clock)
        lying = WebApp(ehrs=client, clock=web.clock)
        async with lying.browser() as browser:
            answer = await browser.get("/smart/login")
            assert (url, answer.status_code, "location" in answer.headers) == (url, 502, False)


# T18 --------------------------------------------------------------------------------------------


def readable(value: str) -> str:
    """Everything that somebody could make of a cookie's value."""
    texts = [value, unquote(value)]
    for altchars in (b"+/", b"-_"):
        padded = value + "=" * (-len(value) % 4)
        try:
            raw = base64.b64decode(padded, altchars=altchars)
        except ValueError:
            continue
        texts.append(raw.decode("latin-1"))
        for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 32):
            try:
                texts.append(zlib.decompress(raw, wbits).decode("latin-1"))
            except zlib.error:
                continue
    return "\n".join(texts)


@pytest.mark.rule("TK-18")
async def test_t18_the_cookies_hold_ids_alone(make: Make) -> None:
    """T18: no token, verifier, nonce or patient, in whatever encoding; and 32 random bytes each."""
    users: list[SignedIn] = []
    web = make(after_login=lambda request, user: users.append(user))
    answers = []
    async with web.browser() as browser:
        answers.append(await browser.get("/smart/login?return_to=/chart"))
        answers.append(await browser.get(web.sandbox.authorize(location(answers[0]))))
        answers += [await browser.get("/chart"), await browser.get("/")]
        answers.append(await browser.post("/smart/logout", headers={"Sec-Fetch-Site": "same-origin"}))
    token = users[0].token
    assert token.refresh_token is not None
    canaries = [
        token.access_token.reveal(),
        token.refresh_token.reveal(),
        token.raw["id_token"].reveal(),  # type: ignore[attr-defined]  # known here, not to the types
        token.context.patient,
        "patient",
        "state",
        query_of(location(answers[0]))["state"],
        query_of(location(answers[0]))["nonce"],
        users[0].session.key,
    ]
    values = [value for answer in answers for value, _ in cookies_of(answer).values() if value]
    assert len(values) == 2
    for value in values:
        assert len(base64.urlsafe_b64decode(f"{value}=")) == 32
        assert [canary for canary in canaries if str(canary) in readable(value)] == []


async def test_t18_the_store_knows_no_id(make: Make) -> None:
    """T18: whoever reads the store cannot be one of its users, and finds no token beside who is signed in."""
    store = MemoryStore()
    web = make(store=store, pending_store=store)
    async with web.browser() as browser:
        await web.sign_in(browser)
        kept = "".join(f"{key} {stored.data.decode()}" for key, stored in store._entries.items())
        assert (browser.cookies[SESSION] in kept, browser.cookies[BROWSER] in kept) == (False, False)
        assert ("access_token" in kept, "patient-amber" in kept) == (False, False)


@pytest.mark.parametrize(
    ("options", "session", "login"),
    [
        ({}, ["Secure", "SameSite=Lax"], ["Secure", "SameSite=Lax", "Max-Age=600"]),
        (
            {"framed": True},
            ["Secure", "SameSite=None", "Partitioned"],
            ["Secure", "SameSite=None", "Partitioned", "Max-Age=600"],
        ),
        (
            {"config": {"response_mode": "form_post"}},
            ["Secure", "SameSite=Lax"],
            ["Secure", "SameSite=None", "Max-Age=600"],
        ),
    ],
    ids=["https", "framed", "form_post"],
)
async def test_t18_the_attributes_of_the_cookies(
    options: dict[str, Any], session: list[str], login: list[str]
) -> None:
    """T18: `__Host-`, for this host and no script, and with other sites only where that is needed."""
    web = WebApp(**options)
    async with web.browser() as browser:
        begun = await browser.get("/smart/login")
        done = await browser.get(web.sandbox.authorize(location(begun)))
    assert cookies_of(begun)[BROWSER][1] == ["Path=/", "HttpOnly", *login]
    assert cookies_of(done)[SESSION][1] == ["Path=/", "HttpOnly", *session]


@pytest.mark.parametrize(
    ("mode", "login"),
    [(None, ["SameSite=Lax", "Max-Age=600"]), ("form_post", ["Max-Age=600"])],
)
async def test_t18_cookies_without_https(mode: str | None, login: list[str]) -> None:
    """T18: on loopback, where it was asked for, plain names and no Secure."""
    web = WebApp(
        redirect_uri="http://127.0.0.1:8000/smart/callback",
        allow_insecure_loopback=True,
        config={"response_mode": mode},
    )
    async with web.browser() as browser:
        begun = await browser.get("/smart/login")
        assert cookies_of(begun)["smart-session-login"][1] == ["Path=/", "HttpOnly", *login]
        done = await browser.get(web.sandbox.authorize(location(begun)))
        assert cookies_of(done)["smart-session"][1] == ["Path=/", "HttpOnly", "SameSite=Lax"]
        assert (await browser.get("/chart")).status_code == 200


@pytest.mark.parametrize(
    ("framed", "ancestors"),
    [
        (True, "https:"),
        (["https://ehr.example", "https://b.example"], "https://ehr.example https://b.example"),
        ("https://ehr.example", "https://ehr.example"),
    ],
)
async def test_t18_an_app_in_a_frame(framed: Any, ancestors: str) -> None:
    """T18: the pages may be framed by those who were named."""
    web = WebApp(framed=framed)
    async with web.browser() as browser:
        page = await browser.get("/smart/logout")
        assert page.headers["content-security-policy"].endswith(f"frame-ancestors {ancestors}")
        assert "x-frame-options" not in page.headers


async def test_t18_nothing_secret_is_logged_or_in_a_url(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """T18: the code goes from the callback to the server; no later URL and no log has it."""
    caplog.set_level(0, "smart_async")
    web = make()
    async with web.browser() as browser:
        back = await callback_of(web, browser, "/smart/login?return_to=/chart")
        code, state = query_of(back)["code"], query_of(back)["state"]
        after = await browser.get(back)
        assert location(after) == "/chart"
        browser.cookies.delete(SESSION)
        page = await browser.get(back)
        for secret in (code, state):
            assert (secret in page.text, secret in str(after.headers), secret in caplog.text) == (False,) * 3


async def test_t18_request_state_is_the_apps_own(make: Make) -> None:
    """T18: what a request knows of its user goes with the request."""
    seen: list[Any] = []
    web = make(after_login=lambda request, user: seen.append(getattr(request.state, "signed_in", None)))
    async with web.browser() as browser:
        await web.sign_in(browser)
    assert seen == [None]
    assert "signed_in" not in Request({"type": "http", "headers": []}).state._state
