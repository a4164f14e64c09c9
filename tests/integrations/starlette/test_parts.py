"""What a login is made of, and what it refuses to be made of."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from starlette.requests import Request
from web_app import KEY, ORIGIN, Time, WebApp, register

import smart_async.integrations.starlette as public
from smart_async import (
    AsyncEHRRegistry,
    AsyncSmartClient,
    ConfigurationError,
    ContextChangedError,
    DiscoveryError,
    EndpointChangedError,
    IdTokenError,
    LaunchRejectedError,
    OAuthError,
    OutcomeUnknownError,
    PrivateKeyJWT,
    SmartConfig,
    SmartError,
    StoreError,
    TokenResponseError,
    TransportError,
)
from smart_async.integrations.starlette import OtherUserError, SmartLogin
from smart_async.integrations.starlette._local import app_root, browser_path
from smart_async.integrations.starlette._pool import Pool
from smart_async.integrations.starlette._shelf import Shelf
from smart_async.integrations.starlette._texts import text_of
from smart_async.sandbox import Sandbox
from smart_async.stores import MemoryStore
from smart_async.transports.scripted import ScriptedTransport


def client(redirect_uri: str | None = f"{ORIGIN}/smart/callback", **changes: Any) -> AsyncSmartClient:
    config = SmartConfig(
        fhir_base="https://ehr.example.com/r4",
        client_id="chart",
        client_auth=PrivateKeyJWT(KEY),
        redirect_uri=redirect_uri,
        scope="patient/*.rs",
        allow_insecure_loopback=(redirect_uri or "").startswith("http://"),
    )
    return AsyncSmartClient(replace(config, **changes), transport=ScriptedTransport())


@pytest.mark.parametrize(
    ("ehrs", "options", "field"),
    [
        (object(), {}, "ehrs"),
        (client(None), {}, "redirect_uri"),
        (client(scope=""), {}, "scope"),
        (client(scope=" "), {}, "scope"),
        (client(f"{ORIGIN}/smart/back"), {}, "redirect_uri"),
        (client(f"{ORIGIN}/smart/callback/a/b"), {}, "redirect_uri"),
        (client(f"{ORIGIN}/smart/callback/"), {}, "redirect_uri"),
        (client(ORIGIN), {}, "redirect_uri"),
        (client("http://127.0.0.1:8000/callback"), {}, "allow_insecure_loopback"),
        (client("http://127.0.0.1/callback"), {"allow_insecure_loopback": True, "framed": True}, "framed"),
        (client(), {"callback_path": "callback"}, "callback_path"),
        (client(), {"callback_path": "/callback/"}, "callback_path"),
        (client(), {"callback_path": ""}, "callback_path"),
        (client(), {"callback_path": None}, "callback_path"),
        (client(), {"default_return_to": "//evil"}, "default_return_to"),
        (client(), {"cookie": "a=b"}, "cookie"),
        (client(), {"cookie": ""}, "cookie"),
        (client(), {"framed": []}, "framed"),
        (client(), {"framed": ["https://ehr.example/path"]}, "framed"),
        (client(), {"framed": ["*"]}, "framed"),
        (client(), {"idle": 0}, "idle"),
        (client(), {"idle": True}, "idle"),
        (client(), {"lifetime": float("inf")}, "lifetime"),
        (client(), {"lifetime": "1"}, "lifetime"),
        (client(), {"store": object()}, "store"),
        (client(), {"pending_store": object()}, "pending_store"),
        (client(), {"after_login": "x"}, "after_login"),
        (client(), {"on_failure": 1}, "on_failure"),
        (client(), {"choose_ehr": []}, "choose_ehr"),
        (client(), {"clock": 1}, "clock"),
        (client(), {"jwks": 1}, "rings"),
    ],
)
def test_what_does_not_go_together(ehrs: Any, options: dict[str, Any], field: str) -> None:
    """It is refused when the app is made, and the argument at fault is named."""
    with pytest.raises(ConfigurationError) as caught:
        SmartLogin(ehrs, **options).routes  # noqa: B018 - makes them
    assert caught.value.field == field


@pytest.mark.parametrize(
    "uris",
    [
        (f"{ORIGIN}/smart/callback/a", "https://other.example.com/smart/callback/b"),
        (f"{ORIGIN}/smart/callback/a", f"{ORIGIN}/other/callback/b"),
        (f"{ORIGIN}/smart/callback/a", "http://127.0.0.1/smart/callback/b"),
        (),
    ],
    ids=["two hosts", "two places", "two schemes", "none"],
)
def test_redirect_uris_that_do_not_go_together(uris: tuple[str, ...]) -> None:
    """One login serves one app at one place: a cookie of one host is not sent to another."""
    sandbox = Sandbox()
    configs = [register(sandbox, uri, f"client-{number}") for number, uri in enumerate(uris)]
    registry = AsyncEHRRegistry(configs, transport=sandbox.transport())
    with pytest.raises(ConfigurationError) as caught:
        SmartLogin(registry, allow_insecure_loopback=True)
    assert caught.value.field == "redirect_uri"


def test_links() -> None:
    """For an app's own pages."""
    login = SmartLogin(client(f"{ORIGIN}/a/b/callback"))
    assert (login.prefix, login.logout_url) == ("/a/b", "/a/b/logout")
    assert login.login_url() == "/a/b/login"
    assert login.login_url("/chart?x=1&y=2") == "/a/b/login?return_to=/chart%3Fx%3D1%26y%3D2"
    assert [choice.name for choice in login.choices] == ["ehr.example.com/r4"]
    assert [choice.id for choice in login.choices] == [choice.id for choice in SmartLogin(client()).choices]


@pytest.mark.parametrize(
    ("scope", "path", "root"),
    [
        ({"path": "/chart"}, "/chart", ""),
        ({"path": "/chart", "query_string": b"a=1"}, "/chart?a=1", ""),
        ({"path": "/portal/chart", "root_path": "/portal"}, "/portal/chart", "/portal"),
        ({"path": "/chart", "root_path": "/portal"}, "/portal/chart", "/portal"),
        ({"path": "/chart", "root_path": "/portal/"}, "/portal/chart", "/portal"),
        ({"path": "/portals", "root_path": "/portal"}, "/portal/portals", "/portal"),
        ({"path": "/portal", "root_path": "/portal"}, "/portal", "/portal"),
        ({"path": "/p/sub/x", "root_path": "/p/sub", "app_root_path": "/p"}, "/p/sub/x", "/p"),
        ({"path": "/a b/\u00e9"}, "/a%20b/%C3%A9", ""),
    ],
)
def test_the_path_as_the_browser_knows_it(scope: dict[str, Any], path: str, root: str) -> None:
    """Servers differ in whether the path begins with the root path; browsers do not."""
    assert (browser_path(scope), app_root(scope)) == (path, root)


ERRORS: list[tuple[SmartError, int]] = [
    (LaunchRejectedError("x"), 400),
    (OtherUserError("x"), 409),
    (OAuthError("x", error="access_denied"), 400),
    (OAuthError("x", error="invalid_client"), 502),
    (OAuthError("x"), 502),
    (OAuthError("x", error="temporarily_unavailable"), 503),
    (OutcomeUnknownError("x"), 503),
    (TransportError("x"), 503),
    (StoreError("x"), 503),
    (EndpointChangedError("x"), 502),
    (DiscoveryError("x"), 502),
    (IdTokenError("x"), 502),
    (ContextChangedError("x"), 502),
    (TokenResponseError("x"), 502),
    (ConfigurationError("x"), 500),
    (SmartError("x"), 500),
]


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=lambda value: type(value).__name__)
def test_each_error_has_a_text(error: SmartError, status: int) -> None:
    """Fixed, for people, with a status that says whose fault it is."""
    text = text_of(error)
    assert (text.status, bool(text.title), text.body.endswith(".")) == (status, True, True)


@pytest.mark.anyio
async def test_how_long_to_wait_is_passed_on(web: WebApp) -> None:
    """What the EHR said of itself, in seconds."""
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": []})
    error = OAuthError("Busy.", error="temporarily_unavailable", retry_after=7.5)
    response = await web.login._parts.failed(request, error)
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("error", "level"),
    [
        (OAuthError("x", error="access_denied"), "INFO"),
        (TransportError("x"), "WARNING"),
        (ConfigurationError("x"), "ERROR"),
    ],
    ids=["the user declined", "an outage", "a wrong set-up"],
)
async def test_what_the_operator_has_to_mend_is_an_error_in_the_log(
    web: WebApp, caplog: pytest.LogCaptureFixture, error: SmartError, level: str
) -> None:
    """A set-up that fails every login is told from a user who declined and from an outage."""
    caplog.set_level(logging.INFO, "smart_async")
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": []})
    await web.login._parts.failed(request, error)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (level, f"{type(error).__name__}: {error}")
    ]


class Slow(httpx.AsyncBaseTransport):
    """Counts how many requests it has at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.fail = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.fail:
            raise httpx.ConnectError("no")
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.lowlevel.checkpoint()
        return httpx.Response(200, stream=Body(self))


class Body(httpx.AsyncByteStream):
    """An answer that is under way until it is closed."""

    def __init__(self, transport: Slow) -> None:
        self.transport = transport

    async def __aiter__(self) -> Any:
        yield b"{}"

    async def aclose(self) -> None:
        self.transport.now -= 1


@pytest.mark.anyio
async def test_requests_to_fhir_servers_share_their_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """All users' requests together keep the limit; a failure and an answer give the slot back."""
    monkeypatch.setattr("smart_async.integrations.starlette._pool.WEB_CONNECTIONS", 3)
    web, slow = WebApp(), Slow()
    pool = Pool(slow)
    token = await signed_token(web)
    session = web.client.session(token)
    one, two = pool.client(session), pool.client(session)

    async def read(http: httpx.AsyncClient) -> None:
        async with http as same:
            assert same is http
        answer = await pool.client(session).get("Patient/1")
        await answer.aclose()

    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(read, pool.client(session))
    assert (slow.most, slow.now) == (3, 0)
    slow.fail = True
    for _ in range(5):
        with pytest.raises(httpx.ConnectError):
            await one.get("Patient/1")
    slow.fail = False
    assert (await two.get("Patient/1")).status_code == 200
    await pool.aclose()


async def signed_token(web: WebApp) -> Any:
    """A token of a login without a browser."""
    pending = await web.client.authorize()
    return await web.client.exchange_code(pending, web.sandbox.authorize(pending.url))


@pytest.mark.anyio
async def test_a_pool_of_its_own_is_opened_when_needed_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a transport it makes one for the loop, which ends with the app; a given one stays open."""
    closed: list[str] = []

    class Made(Slow):
        async def aclose(self) -> None:
            closed.append("made")

    made: list[Made] = []
    monkeypatch.setattr(
        "smart_async.integrations.starlette._pool.httpx.AsyncHTTPTransport",
        lambda **options: made.append(Made()) or made[-1],
    )
    web = WebApp(http_transport=None)
    session = web.client.session(await signed_token(web))
    pool = web.login._parts.pool
    assert (await pool.client(session).get("Patient/1")).status_code == 200
    pool.client(session)
    assert len(made) == 1
    await web.login.aclose()
    assert closed == ["made"]
    await web.login.aclose()
    assert closed == ["made"]


@pytest.mark.anyio
async def test_closing_closes_the_registry() -> None:
    """Its clients wait for renewals, and its transport is closed once."""
    sandbox = Sandbox(clock=Time())
    registry = AsyncEHRRegistry([register(sandbox, f"{ORIGIN}/callback")], transport=sandbox.transport())
    async with SmartLogin(registry).lifespan():
        pass


@pytest.mark.anyio
async def test_a_record_that_always_changes() -> None:
    """Somebody who is always quicker ends in an error, and not in a loop."""

    class Busy(MemoryStore):
        def save(self, key: str, data: bytes, *, expected: str | None, lease: Any = None) -> str | None:
            return None

    with pytest.raises(StoreError):
        await Shelf(Busy(), "pending").change("x", lambda stored: b"{}")


def test_names_are_loaded_when_used() -> None:
    """The package lists what it has, and nothing else."""
    assert set(public.__all__) <= set(dir(public))
    assert {name for name in public.__all__ if getattr(public, name) is None} == set()
    with pytest.raises(AttributeError, match="Nothing"):
        _ = public.Nothing  # type: ignore[attr-defined]  # known here, not to the types


def test_without_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the pip line; another missing module is reported as what it is."""
    for missing, error in (("starlette", ConfigurationError), ("something", ModuleNotFoundError)):

        def load(name: str, missing: str = missing) -> Any:
            raise ModuleNotFoundError(name=f"{missing}.requests")

        monkeypatch.setattr(importlib, "import_module", load)
        monkeypatch.delitem(vars(public), "SmartLogin", raising=False)
        with pytest.raises(error) as caught:
            _ = public.SmartLogin
        assert ("smart-async[starlette]" in str(caught.value)) == (missing == "starlette")


def test_fastapi_is_not_imported() -> None:
    """It works by signature, so that Starlette apps need not have it."""
    code = (
        "import sys, smart_async.integrations.starlette as s; s.SmartLogin; print('fastapi' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
