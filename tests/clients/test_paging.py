"""Reading pages with a user's own client: both colours, both libraries, with a session and without."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import anyio
import pytest

from smart_async import (
    ConfigurationError,
    OAuthError,
    ProtocolError,
    PublicClient,
    Secret,
    SmartConfig,
    TokenOriginError,
    fhir_pages,
)
from smart_async.clients._paging import AsyncFhirPages, FhirPages
from smart_async.smart.bearer import BearerGuard
from smart_async.transports import auth as auths

BASE = "https://ehr.example.com/r4"

HOSTILE = {
    "user name": "https://ehr.example.com@evil.test/r4",
    "password": "https://u:p@ehr.example.com/r4",
    "suffix": "https://ehr.example.com.evil.test/r4",
    "other port": "https://ehr.example.com:8443/r4",
    "case": "HTTPS://EHR.EXAMPLE.COM.EVIL.TEST/r4",
    "encoded slash": "https://ehr.example.com/r4/..%2f..%2fadmin",
    "encoded slash in the host": "https://ehr.example.com%2fevil.test/r4",
    "dots": "https://ehr.example.com/r4/../admin",
    "encoded dots": "https://ehr.example.com/r4/%2e%2e/admin",
    "scheme-relative": "//evil.test/r4",
    "backslashes": "\\\\evil.test\\r4",
    "backslash": "https://ehr.example.com\\.evil.test/r4",
    "encoded backslash": "https://ehr.example.com/r4/..%5cadmin",
    "lookalike": "https://\u0435hr.example.com/r4",
    "lookalike as xn": "https://xn--hr-nlc.example.com/r4",
    "downgrade": "http://ehr.example.com/r4",
    "trailing dot": "https://ehr.example.com./r4",
    "no slashes": "https:evil.test/r4",
    "one slash": "https:/evil.test/r4",
    "three slashes": "https:///evil.test/r4",
    "tab": "https://ehr.example.com\t.evil.test/r4",
    "line end": "/\n/evil.test/r4",
    "blank": " https://evil.test/r4",
    "script": "javascript:alert(1)",
    "data": "data:application/fhir+json,{}",
    "address": "https://2130706433/r4",
}
"""Links to the next page that must end the reading, with nothing sent."""


class Given:
    access_token = Secret("canary-at")


class Source:
    """One token that is never refused for long."""

    def __init__(self) -> None:
        self.refused = 0

    def ready(self) -> Any:
        return Given()

    def invalidate(self, token: Any) -> None:
        self.refused += 1

    def get_token(self) -> Any:
        return type("Renewed", (), {"access_token": Secret(f"canary-at-{self.refused}")})()


class AsyncSource(Source):
    async def get_token(self) -> Any:
        return super().get_token()


class World:
    """A FHIR server that answers from a list, and a client of one library in one colour."""

    def __init__(self, library: str, colour: str) -> None:
        self.library = import_module(library)
        self.colour = colour
        self.source = Source() if colour == "sync" else AsyncSource()
        self.requests: list[Any] = []
        self.answers: list[Any] = []

    def session_auth(self, *origins: str) -> Any:
        config = SmartConfig(fhir_base=BASE, client_id="c", client_auth=PublicClient())
        name = f"{'' if self.colour == 'sync' else 'async_'}{self.library.__name__}_auth"
        return getattr(auths, name)(self.source, BearerGuard.of(config, origins=origins))

    def page(self, following: Any = None, **more: Any) -> Any:
        links = [] if following is None else [{"relation": "next", "url": following}]
        return self.library.Response(200, json={"resourceType": "Bundle", "link": links, **more})

    def handle(self, request: Any) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def read(self, first: str, *, client: Any = None, steps: int = 99, **options: Any) -> list[Any]:
        """Return the ids of the pages, reading *steps* at most; an error of the network is a page, too."""
        settings = {"base_url": BASE, "auth": self.session_auth(), **(client or {})}
        settings["transport"] = self.library.MockTransport(self.handle)
        found: list[Any] = []
        if self.colour == "sync":
            with self.library.Client(**settings) as http:
                pages = fhir_pages(http, first, **options)
                assert isinstance(pages, FhirPages)
                assert iter(pages) is pages
                for _ in range(steps):
                    try:
                        found.append(next(pages).get("id"))
                    except StopIteration:
                        break
                    except self.library.TransportError as error:
                        found.append(type(error).__name__)
            return found

        async def run() -> None:
            async with self.library.AsyncClient(**settings) as http:
                pages = fhir_pages(http, first, **options)
                assert isinstance(pages, AsyncFhirPages)
                assert aiter(pages) is pages
                for _ in range(steps):
                    try:
                        found.append((await anext(pages)).get("id"))
                    except StopAsyncIteration:
                        break
                    except self.library.TransportError as error:
                        found.append(type(error).__name__)

        anyio.run(run, backend=self.colour)
        return found

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.requests]


@pytest.fixture(
    params=[(lib, colour) for lib in ("httpx", "httpx2") for colour in ("sync", "asyncio", "trio")],
    ids=lambda param: "-".join(param),
)
def world(request: pytest.FixtureRequest) -> World:
    return World(*request.param)


def test_from_the_first_to_the_last(world: World) -> None:
    """Absolute and relative links are followed in order, each request with the token."""
    world.answers = [world.page(f"{BASE}?page=2", id="1"), world.page("/next/3", id="2"), world.page(id="3")]
    assert world.read("Observation?patient=1") == ["1", "2", "3"]
    assert world.urls == [
        f"{BASE}/Observation?patient=1",
        f"{BASE}?page=2",
        "https://ehr.example.com/next/3",
    ]
    assert {each.headers["authorization"] for each in world.requests} == {"Bearer canary-at"}
    assert {each.headers["accept"] for each in world.requests} == {"application/fhir+json"}


def test_with_for(world: World) -> None:
    """It is an iterator like any other."""
    world.answers = [world.page("?p=2"), world.page()]
    transport = world.library.MockTransport(world.handle)
    if world.colour == "sync":
        with world.library.Client(base_url=BASE, transport=transport) as http:
            assert len([each for each in fhir_pages(http, "Task")]) == 2  # noqa: C416 - the loop is meant
        return

    async def run() -> int:
        async with world.library.AsyncClient(base_url=BASE, transport=transport) as http:
            return len([each async for each in fhir_pages(http, "Task")])

    assert anyio.run(run, backend=world.colour) == 2


def test_nothing_is_fetched_ahead(world: World) -> None:
    """Who stops after one page has asked for one page."""
    world.answers = [world.page("?page=2", id="1")]
    assert world.read("Task", steps=1) == ["1"]


@pytest.mark.rule("TK-22", "BS-10")
@pytest.mark.parametrize("session", [True, False], ids=["session", "none"])
@pytest.mark.parametrize("url", HOSTILE.values(), ids=HOSTILE)
def test_hostile_links(world: World, url: str, session: bool) -> None:
    """The page before is read, and then it ends; nothing is sent anywhere."""
    world.answers = [world.page(url, id="1"), world.page(id="2")]
    client = {} if session else {"auth": None, "headers": {"Authorization": "Bearer canary"}}
    with pytest.raises(ProtocolError):
        world.read("Task", client=client)
    assert world.urls == [f"{BASE}/Task"]


def test_a_listed_origin(world: World) -> None:
    """Pages may be on another host that the session's auth knows."""
    world.answers = [world.page("https://pages.example.com/2"), world.page()]
    auth = world.session_auth("https://pages.example.com")
    assert len(world.read("Task", client={"auth": auth})) == 2
    assert world.requests[1].headers["authorization"] == "Bearer canary-at"


def test_a_token_that_ends_between_two_pages(world: World) -> None:
    """The auth renews it; the reader sees nothing of that."""
    world.answers = [world.page("?p=2", id="1"), world.library.Response(401), world.page(id="2")]
    assert world.read("Task") == ["1", "2"]
    assert world.source.refused == 1


def test_many_sessions_with_one_client(world: World) -> None:
    """The auth may come with the call."""
    world.answers = [world.page("?p=2"), world.page()]
    world.read("Task", client={"auth": None}, auth=world.session_auth())
    assert {each.headers["authorization"] for each in world.requests} == {"Bearer canary-at"}
    world.answers = [world.page("https://evil.test/")]
    with pytest.raises(TokenOriginError):
        world.read("Task", client={"auth": None}, auth=world.session_auth())


@pytest.mark.parametrize("auth", [None, ("user", "password")])
@pytest.mark.parametrize("base", ["http://open.example.org/fhir", ""])
def test_without_a_session(world: World, auth: Any, base: str) -> None:
    """A server that is open to everybody, or known by a password, has one origin as well."""
    first = "http://open.example.org/fhir/Task"
    world.answers = [world.page("/fhir/2"), world.page("https://open.example.org/fhir/3")]
    with pytest.raises(TokenOriginError):
        world.read(first, client={"auth": auth, "base_url": base})
    assert world.urls == [first, "http://open.example.org/fhir/2"]


def test_the_first_is_guarded_too(world: World) -> None:
    """An absolute URL elsewhere gets nothing, with a session or without."""
    for auth in (world.session_auth(), None):
        with pytest.raises(TokenOriginError):
            world.read("https://evil.test/Task", client={"auth": auth})
    assert world.requests == []


@pytest.mark.parametrize("auth", [True, False])
def test_a_redirect_elsewhere(world: World, auth: bool) -> None:
    """A client that follows redirects ends up elsewhere; that page is not returned."""
    elsewhere = world.library.Response(302, headers={"location": "https://evil.test/"})
    world.answers = [elsewhere, world.page()]
    client = {"follow_redirects": True, **({} if auth else {"auth": None})}
    with pytest.raises(TokenOriginError, match="did not go along"):
        world.read("Task", client=client)


def test_a_redirect_at_home(world: World) -> None:
    """Links are relative to where the page came from in the end."""
    moved = world.library.Response(302, headers={"location": "/new/Task"})
    world.answers = [moved, world.page("Task?p=2"), world.page()]
    world.read("Task", client={"follow_redirects": True})
    assert world.urls[1:] == ["https://ehr.example.com/new/Task", "https://ehr.example.com/new/Task?p=2"]


def test_a_page_that_could_not_be_fetched(world: World) -> None:
    """The network's error comes through as the library has it, and the same page can be asked for again."""
    away = world.library.ConnectError("away")
    world.answers = [away, world.page("?p=2", id="1"), away, world.page(id="2")]
    assert world.read("Task", params={"a": "b"}) == ["ConnectError", "1", "ConnectError", "2"]
    assert world.urls == [*[f"{BASE}/Task?a=b"] * 2, *[f"{BASE}/Task?p=2"] * 2]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda library: library.Response(404, json={"resourceType": "OperationOutcome"}), OAuthError),
        (lambda library: library.Response(200, json={"resourceType": "Patient"}), ProtocolError),
        (lambda library: library.Response(200, text="<html>"), ProtocolError),
        (lambda library: library.Response(302, headers={"location": "/x"}), ProtocolError),
    ],
)
def test_what_is_no_page(world: World, answer: Callable[[Any], Any], error: type[Exception]) -> None:
    """Refusals and other answers are typed errors."""
    world.answers = [answer(world.library)]
    with pytest.raises(error):
        world.read("Task")


def test_a_loop_and_an_end(world: World) -> None:
    """A server that goes in circles, or never ends, is stopped."""
    world.answers = [world.page("?p=2"), world.page("/r4/Task")]
    with pytest.raises(ProtocolError, match="leads back"):
        world.read("Task")
    world.answers = [world.page(f"?p={number}") for number in range(9)]
    with pytest.raises(ProtocolError, match="more than 3 pages"):
        world.read("Task", max_pages=3)


def test_parameters_and_headers(world: World) -> None:
    """Parameters are of the first page, whatever the client adds by default; header fields of each."""
    world.answers = [world.page("?page=2&x=a b|c"), world.page()]
    world.read(
        "Task",
        params={"patient": "1"},
        headers={"Prefer": "handling=strict", "accept": "application/json"},
        client={"params": {"_format": "json"}},
    )
    assert world.urls == [f"{BASE}/Task?_format=json&patient=1", f"{BASE}/Task?page=2&x=a%20b|c"]
    assert [each.headers["prefer"] for each in world.requests] == ["handling=strict"] * 2


@pytest.mark.parametrize(
    "chosen", [{"client": {"headers": {"Accept": "x/y"}}}, {"headers": {"Accept": "x/y"}}]
)
def test_the_caller_chooses_the_format(world: World, chosen: dict[str, Any]) -> None:
    """What the client or the call says about Accept stands."""
    world.answers = [world.page()]
    world.read("Task", **chosen)
    assert world.requests[0].headers.get_list("accept") == ["x/y"]


def test_slips_are_named(world: World) -> None:
    """What cannot work is said before anything is sent."""
    for field, first, options in (
        ("params", "Task?a=b", {"params": {"c": "d"}}),
        ("max_pages", "Task", {"max_pages": 0}),
        ("first", "Task", {"client": {"base_url": "", "auth": None}}),
    ):
        with pytest.raises(ConfigurationError) as caught:
            world.read(first, **options)
        assert caught.value.field == field
    assert world.requests == []


def test_something_else_than_a_client() -> None:
    """A session or a string is not what sends FHIR requests."""
    for client in ("https://ehr.example.com", object(), Source()):
        with pytest.raises(ConfigurationError) as caught:
            fhir_pages(client, "Task")  # type: ignore[call-overload]  # wrong on purpose
        assert caught.value.field == "client"
