"""Whole logins, in both frameworks and on both event loops."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from web_app import API, KEY, ORIGIN, SCOPE, Time, WebApp, cookies_of, location, query_of, register

from smart_async import (
    AsyncEHRRegistry,
    KeyRing,
    LaunchRejectedError,
    SmartError,
)
from smart_async.integrations.starlette import EHRChoice, SignedIn
from smart_async.sandbox import Sandbox

pytestmark = pytest.mark.anyio
Make = Callable[..., WebApp]


async def test_a_user_signs_in_and_reads_a_chart(make: Make) -> None:
    """From the page that wants a user, by way of the EHR, back to that page, with a token that reads FHIR."""
    web = make()
    async with web.browser() as browser:
        assert (await browser.get("/")).text == "nobody"
        login = location(await browser.get("/chart?tab=vitals"))
        assert login == "/smart/login?return_to=/chart%3Ftab%3Dvitals"
        done = await web.sign_in(browser, login)
        assert location(done) == "/chart?tab=vitals"
        seen = (await browser.get("/chart")).json()
        assert (seen["patient"], seen["read"]) == ("patient-amber", "patient-amber")
        assert (await browser.get("/")).text == "somebody"


async def test_an_ehr_opens_the_app(make: Make) -> None:
    """The patient is the one whose chart the EHR has open."""
    web = make()
    async with web.browser() as browser:
        url = web.sandbox.launch_url(f"{web.origin}/smart/launch", patient="patient-basil")
        assert location(await web.sign_in(browser, url)) == "/"
        assert (await browser.get("/chart")).json()["patient"] == "patient-basil"


async def test_what_is_no_page_gets_401(make: Make) -> None:
    """A script can do nothing with a sign-in page; it is told where one is."""
    web = make()
    async with web.browser() as browser:
        answer = await browser.get("/chart", headers=API)
        assert (answer.status_code, answer.json()) == (
            401,
            {"error": "not_signed_in", "login": "/smart/login?return_to=/chart"},
        )
        assert answer.headers["www-authenticate"]
        posted = await browser.post("/note", headers=API)
        assert posted.json()["login"] == "/smart/login"


async def test_a_form_that_was_posted_is_not_come_back_to(make: Make) -> None:
    """What it held is gone, so the login leads to the start page."""
    web = make()
    async with web.browser() as browser:
        assert location(await browser.post("/note")) == "/smart/login"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Accept": "text/html"}, 303),
        ({"Accept": "*/*"}, 401),
        ({}, 401),
        ({"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, 401),
        ({"Accept": "*/*", "Sec-Fetch-Mode": "navigate"}, 303),
    ],
)
async def test_what_a_page_is(web: WebApp, headers: dict[str, str], status: int) -> None:
    """The browser's own word counts, and where there is none, what it accepts."""
    async with httpx.AsyncClient(transport=web.transport, base_url=ORIGIN) as browser:
        browser.headers.clear()
        assert (await browser.get("/chart", headers=headers)).status_code == status


class TwoEHRs:
    """An app that is registered with two EHRs."""

    def __init__(self, *, distinct: bool = True, **options: Any) -> None:
        time = Time()
        self.sandboxes = [
            Sandbox(base_url=f"https://{name}.sandbox.example", clock=time) for name in ("a", "b")
        ]
        configs = [
            register(sandbox, f"{ORIGIN}/smart/callback{name}")
            for sandbox, name in zip(self.sandboxes, ("/a", "/b") if distinct else ("", ""), strict=True)
        ]
        self.transport = Both(self.sandboxes)
        self.registry = AsyncEHRRegistry(
            configs, distinct_redirects=distinct, transport=self.transport, clock=time
        )
        people = {configs[0].fhir_base: "Alpha <General> Hospital"}
        self.web = WebApp(ehrs=self.registry, clock=time, **{"names": people, **options})


class Both:
    """A transport that reaches two sandboxes, and remembers what it was asked."""

    def __init__(self, sandboxes: list[Sandbox]) -> None:
        self.inner = {sandbox.base_url: sandbox.transport() for sandbox in sandboxes}
        self.urls: list[str] = []

    async def async_send(self, request: Any, timeouts: Any) -> Any:
        self.urls.append(request.url)
        inner = next(inner for base, inner in self.inner.items() if request.url.startswith(f"{base}/"))
        return await inner.async_send(request, timeouts)

    async def aclose(self) -> None:
        pass


@pytest.fixture
def two() -> TwoEHRs:
    """An app that is registered with two EHRs."""
    return TwoEHRs()


async def test_a_user_chooses_the_ehr(two: TwoEHRs) -> None:
    """A plain page with a link for each, names escaped; the choice leads to that EHR and its own callback."""
    async with two.web.browser() as browser:
        page = await browser.get("/smart/login?return_to=/chart")
        assert (page.status_code, two.transport.urls) == (200, [])
        assert "<h1>Sign in</h1>" in page.text
        assert ">Alpha &lt;General&gt; Hospital</a>" in page.text
        assert ">b.sandbox.example/fhir</a>" in page.text
        for sandbox, choice in zip(two.sandboxes, two.web.login.choices, strict=True):
            start = f"/smart/login?return_to=%2Fchart&amp;ehr={choice.id}"
            assert f'href="{start}"' in page.text
            url = await two.web.to_the_ehr(browser, start.replace("&amp;", "&"))
            assert url.startswith(sandbox.base_url)
            back = sandbox.authorize(url)
            assert back.startswith(f"{ORIGIN}/smart/callback/{choice.callback_name}?")


async def test_each_ehr_signs_in_at_its_own_callback(two: TwoEHRs) -> None:
    """The token is that EHR's, and its session is found among all of them."""
    async with two.web.browser() as browser:
        choice = two.web.login.choices[1]
        url = await two.web.to_the_ehr(browser, f"/smart/login?ehr={choice.id}")
        assert location(await browser.get(two.sandboxes[1].authorize(url))) == "/"
        assert (await browser.get("/")).text == "somebody"


async def test_an_unknown_choice_is_asked_again(two: TwoEHRs) -> None:
    """An id that stands for no EHR chooses none."""
    async with two.web.browser() as browser:
        page = await browser.get("/smart/login?ehr=0123456789abcdef")
        assert (page.status_code, "<h1>Sign in</h1>" in page.text) == (200, True)


async def test_one_redirect_uri_may_serve_all() -> None:
    """Where the paths are not distinct, the state tells whose callback it is."""
    two = TwoEHRs(distinct=False)
    async with two.web.browser() as browser:
        for sandbox, choice in zip(two.sandboxes, two.web.login.choices, strict=True):
            url = await two.web.to_the_ehr(browser, f"/smart/login?ehr={choice.id}")
            async with two.web.browser() as other:
                url = await two.web.to_the_ehr(other, f"/smart/login?ehr={choice.id}")
                assert location(await other.get(sandbox.authorize(url))) == "/"


async def test_two_registrations_with_one_ehr() -> None:
    """A launch from it asks which one is meant, and keeps what the EHR said."""
    sandbox, time = Sandbox(), Time()
    configs = [
        register(sandbox, f"{ORIGIN}/smart/callback/{name}", name) for name in ("for-patients", "for-staff")
    ]
    registry = AsyncEHRRegistry(configs, transport=sandbox.transport())
    web = WebApp(sandbox=sandbox, ehrs=registry, clock=time)
    async with web.browser() as browser:
        page = await browser.get(sandbox.launch_url(f"{ORIGIN}/smart/launch"))
        assert ">sandbox.example/fhir (for-staff)</a>" in page.text
        href = re.findall(r'href="(/smart/launch[^"]+)"', page.text)[1].replace("&amp;", "&")
        to_the_ehr = query_of(await web.to_the_ehr(browser, href))
        assert (to_the_ehr["client_id"], "launch" in to_the_ehr) == ("for-staff", True)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_hook_chooses_the_ehr(kind: str) -> None:
    """It may name one, by whatever it knows of the request."""

    def choose(request: Request, choices: tuple[EHRChoice, ...]) -> EHRChoice:
        return next(choice for choice in choices if choice.callback_name == request.query_params["at"])

    async def choose_async(request: Request, choices: tuple[EHRChoice, ...]) -> EHRChoice:
        return choose(request, choices)

    two = TwoEHRs(choose_ehr=choose if kind == "sync" else choose_async)
    async with two.web.browser() as browser:
        assert (await two.web.to_the_ehr(browser, "/smart/login?at=b")).startswith(
            "https://b.sandbox.example"
        )


async def test_a_hook_shows_a_page_of_its_own() -> None:
    """Its links name the choice, and the hook is not asked again."""
    two = TwoEHRs(choose_ehr=lambda request, choices: PlainTextResponse(choices[0].id))
    async with two.web.browser() as browser:
        chosen = (await browser.get("/smart/login")).text
        assert (await two.web.to_the_ehr(browser, f"/smart/login?ehr={chosen}")).startswith(
            "https://a.sandbox"
        )


@pytest.mark.rule("AL-17")
async def test_a_long_request_goes_as_a_form(framework: str) -> None:
    """A page without scripts, whose button posts it; the policy lets it leave for the EHR."""
    wanted = [f"patient/Observation.rs?code={number:0>60}" for number in range(30)]
    scope = " ".join([SCOPE.replace(" launch ", " "), *wanted])
    web = WebApp(framework, config={"scope": scope})
    async with web.browser() as browser:
        page = await browser.get("/smart/login")
        assert (page.status_code, "<script" in page.text) == (200, False)
        assert "form-action 'self' https:;" in page.headers["content-security-policy"]
        action = re.search(r'<form method="post" action="([^"]+)"', page.text)[1]
        fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', page.text))
        assert (action, fields["scope"]) == (f"{web.sandbox.base_url}/oauth2/authorize", scope)
        back = web.sandbox.authorize(action, fields)
        assert location(await browser.get(back)) == "/"


async def test_a_callback_by_form_post(framework: str) -> None:
    """The cookie of the login comes along from the EHR's site; the session's own does not have to."""
    web = WebApp(framework, config={"response_mode": "form_post"})
    async with web.browser() as browser:
        begun = await browser.get("/smart/login")
        assert "SameSite=None" in cookies_of(begun)["__Host-smart-session-login"][1]
        back = web.sandbox.authorize(location(begun))
        done = await browser.post("/smart/callback", data=query_of(back))
        assert location(done) == "/"
        assert "SameSite=Lax" in cookies_of(done)["__Host-smart-session"][1]
        assert (await browser.get("/chart")).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"x=1", "text/plain"),
        (b"{}", "application/json"),
        (b"state=" + b"x" * 9000, "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(101)), "application/x-www-form-urlencoded"),
        (b"state=\xff", "application/x-www-form-urlencoded"),
        (b"state=%ff", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_posted_has_limits(web: WebApp, content: bytes, kind: str) -> None:
    """A form of more than 8 KiB or 100 fields, or something else, is a page that says start again."""
    async with web.browser() as browser:
        answer = await browser.post("/smart/callback", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, web.exchanges()) == (400, 0)


async def test_reading_stops_at_the_limit(web: WebApp) -> None:
    """An endless body is not read to its end."""
    read = 0

    async def endless() -> Any:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b"x" * 1024

    async with web.browser() as browser:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await browser.post("/smart/callback", content=endless(), headers=form)
    assert (answer.status_code, read < 20) == (400, True)


@pytest.mark.rule("AS-16")
async def test_it_publishes_its_keys() -> None:
    """At /jwks.json, where the EHR was told to look."""
    web = WebApp(jwks=KeyRing(active=[KEY]))
    async with web.browser() as browser:
        answer = await browser.get("/smart/jwks.json")
        assert [key["kid"] for key in answer.json()["keys"]] == ["key-1"]
    async with WebApp().browser() as browser:
        assert (await browser.get("/smart/jwks.json")).status_code == 404


async def test_mounted_by_hand(framework: str) -> None:
    """Who likes to mount an app mounts it; the links are the same."""
    web = WebApp(framework)
    web.app.router.routes[:] = [route for route in web.app.router.routes if "/smart" not in route.path]
    web.app.mount("/smart", web.login.app)
    async with web.browser() as browser:
        assert location(await browser.get("/chart")) == "/smart/login?return_to=/chart"
        assert location(await web.sign_in(browser)) == "/"
        assert (await browser.get("/chart")).status_code == 200
        assert (await browser.get("/smart/nowhere")).status_code == 404


@pytest.mark.parametrize(
    ("root_path", "path", "asked"),
    [("/portal", "/smart", "/portal/smart"), ("", "/smart", "/smart"), ("/portal", "/smart", "/smart")],
    ids=["root path in the path", "proxy without a root path", "root path not in the path"],
)
async def test_behind_a_proxy(make: Make, root_path: str, path: str, asked: str) -> None:
    """Whatever the proxy takes away and says of it, the browser is sent to where it can go."""
    web = make(redirect_uri=f"{ORIGIN}/portal/smart/callback", path=path, root_path=root_path)
    under = asked.removesuffix("/smart")

    def through(url: str) -> str:
        """What arrives at the app of a request to *url*."""
        return url.removeprefix(ORIGIN).replace("/portal", under, 1)

    async with web.browser() as browser:
        login = location(await browser.get(f"{under}/chart"))
        shown = f"{root_path}/chart"
        assert login == f"/portal/smart/login?return_to={shown}"
        url = location(await browser.get(through(login)))
        assert query_of(url)["redirect_uri"] == f"{ORIGIN}/portal/smart/callback"
        assert location(await browser.get(through(web.sandbox.authorize(url)))) == shown
        assert (await browser.get(f"{under}/chart")).status_code == 200
        again = location(await browser.get(through("/portal/smart/login")))
        assert location(await browser.get(through(web.sandbox.authorize(again)))) == f"{root_path}/"
        page = await browser.get(through("/portal/smart/logout"))
        assert 'action="/portal/smart/logout"' in page.text
        assert 'href="/portal/smart/smart-login.css"' in page.text
        assert (await browser.get(through("/portal/smart/smart-login.css"))).status_code == 200


@pytest.mark.parametrize(
    ("root_path", "home"),
    [("//evil.example", "/"), ("/\\evil.example", "/"), ("/a b/k\u00e4rnten", "/a%20b/k%C3%A4rnten/")],
)
async def test_a_root_path_is_not_believed(root_path: str, home: str) -> None:
    """Some proxies pass on what a request says of it: the start page is on this site all the same."""
    web = WebApp(after_login=None)
    scope = {"type": "http", "path": "/", "root_path": root_path, "headers": [], "query_string": b""}
    assert web.login._parts.home(Request(scope)) == home


async def test_at_the_root_of_the_site(make: Make) -> None:
    """A redirect URI without a prefix puts the routes beside the app's own."""
    web = make(redirect_uri=f"{ORIGIN}/callback")
    async with web.browser() as browser:
        assert location(await browser.get("/chart")) == "/login?return_to=/chart"
        assert location(await web.sign_in(browser)) == "/"
        assert (await browser.get("/chart")).status_code == 200


async def test_a_redirect_uri_of_another_name(make: Make) -> None:
    """An EHR that knows the app for years need not be told of a new URI."""
    web = make(redirect_uri=f"{ORIGIN}/auth/return", callback_path="/return")
    async with web.browser() as browser:
        assert location(await browser.get("/chart")) == "/auth/login?return_to=/chart"
        for own in ("/auth/return", "/auth/return/south?state=x", "/auth/login"):
            assert web.login.login_url(own) == "/auth/login"
        assert location(await web.sign_in(browser)) == "/"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_after_login_answers(framework: str, kind: str) -> None:
    """The hook knows who has signed in, and its answer carries the cookie."""

    def hook(request: Request, signed_in: SignedIn) -> Response:
        return PlainTextResponse(f"Welcome to {request.url.path}, {signed_in.context.patient}.")

    async def hook_async(request: Request, signed_in: SignedIn) -> Response:
        assert (await signed_in.http.get("Patient/patient-amber")).status_code == 200
        return hook(request, signed_in)

    web = WebApp(framework, after_login=hook if kind == "sync" else hook_async)
    async with web.browser() as browser:
        done = await web.sign_in(browser)
        assert done.text == "Welcome to /smart/callback, patient-amber."
        assert (done.headers["cache-control"], done.headers["referrer-policy"]) == ("no-store", "no-referrer")
        assert (await browser.get("/")).text == "somebody"


async def test_after_login_may_leave_the_answer(framework: str) -> None:
    """A hook that only takes note returns nothing."""
    seen: list[str | None] = []
    web = WebApp(framework, after_login=lambda request, user: seen.append(user.context.patient))
    async with web.browser() as browser:
        assert location(await web.sign_in(browser, "/smart/login?return_to=/chart")) == "/chart"
    assert seen == ["patient-amber"]


@pytest.mark.parametrize("error", [LaunchRejectedError("Not you."), ZeroDivisionError("hook")])
async def test_after_login_undoes_the_login(error: Exception) -> None:
    """What a hook raises leaves nobody signed in, and no tokens in the store."""
    kept: list[SignedIn] = []

    def hook(request: Request, signed_in: SignedIn) -> None:
        kept.append(signed_in)
        raise error

    web = WebApp(after_login=hook)
    async with web.browser() as browser:
        if isinstance(error, SmartError):
            assert (await web.sign_in(browser)).status_code == 400
        else:
            with pytest.raises(ZeroDivisionError):
                await web.sign_in(browser)
        assert (await browser.get("/")).text == "nobody"
    assert web.client.store.load(kept[0].session.key) is None
    assert web.sandbox.exchanges[-1].endpoint == "revoke"


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_on_failure_answers(framework: str, kind: str) -> None:
    """The hook gets the error, and its answer is the browser's."""

    def hook(request: Request, error: SmartError) -> Response:
        return PlainTextResponse(type(error).__name__, 418)

    async def hook_async(request: Request, error: SmartError) -> Response:
        return hook(request, error)

    web = WebApp(framework, on_failure=hook if kind == "sync" else hook_async)
    async with web.browser() as browser:
        answer = await browser.get("/smart/callback?state=x&code=y")
        assert (answer.status_code, answer.text) == (418, "CallbackError")
        assert answer.headers["cache-control"] == "no-store"


async def test_on_failure_may_leave_the_answer() -> None:
    """A hook that only takes note returns nothing, and the page is shown."""
    seen: list[SmartError] = []
    web = WebApp(on_failure=lambda request, error: seen.append(error))
    async with web.browser() as browser:
        assert "<h1>" in (await browser.get("/smart/callback")).text
    assert len(seen) == 1


async def test_an_ehr_that_is_down_cannot_be_signed_in_at(web: WebApp) -> None:
    """The page says whose fault it is."""
    web.sandbox.app.router.routes.clear()  # it answers nothing any more
    async with web.browser() as browser:
        answer = await browser.get("/smart/login")
        assert (answer.status_code, "<h1>The EHR cannot be used</h1>" in answer.text) == (502, True)


async def test_the_user_says_no(web: WebApp) -> None:
    """It is an answer like another: the page says so, and the login is used up."""
    async with web.browser() as browser:
        state = query_of(await web.to_the_ehr(browser))["state"]
        query = {"error": "access_denied", "state": state, "iss": web.sandbox.issuer}
        answer = await browser.get("/smart/callback", params=query)
        assert (answer.status_code, "<h1>Not signed in</h1>" in answer.text) == (400, True)
        again = await browser.get("/smart/callback", params=query)
        assert "<h1>This sign-in has been used</h1>" in again.text


@pytest.mark.parametrize("path", ["/smart/login", "/smart/launch", "/smart/callback", "/smart/logout"])
async def test_looking_at_a_link_begins_nothing(web: WebApp, path: str) -> None:
    """HEAD, as link checkers send it, is refused."""
    async with web.browser() as browser:
        answer = await browser.head(path)
        assert (answer.status_code, web.sandbox.requests) == (405, [])


async def test_everything_is_closed_with_the_app(make: Make) -> None:
    """Installed or as a lifespan, the end of the app closes the client; the app's own lifespan still runs."""
    web = make()
    closed: list[str] = []
    web.client._transport.aclose = None  # type: ignore[union-attr]  # it is the test's, and stays open

    async def aclose() -> None:
        closed.append("login")

    web.login.aclose = aclose  # type: ignore[method-assign]  # replaced on purpose
    async with web.app.router.lifespan_context(web.app):
        assert closed == []
    assert closed == ["login"]
