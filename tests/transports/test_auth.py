"""The bearer token in a user's own client: where it goes, and what happens when it is refused."""

from __future__ import annotations

import io
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import anyio
import pytest

from smart_async import (
    ConfigurationError,
    OAuthError,
    PublicClient,
    Secret,
    SmartConfig,
    StoreError,
    Token,
    TokenOriginError,
)
from smart_async.smart.bearer import BearerGuard
from smart_async.smart.binding import Binding
from smart_async.smart.token_response import parse_token_response
from smart_async.transports import auth as auths
from smart_async.transports import json_response

BASE = "https://ehr.example.com/r4"
CANARY = "canary-at-"

REFUSED = {
    "user name": "https://ehr.example.com@evil.test/r4/Patient",
    "user name and port": "https://ehr.example.com:443@evil.test:443/r4/Patient",
    "password at home": "https://user:pw@ehr.example.com/r4/Patient",
    "suffix": "https://ehr.example.com.evil.test/r4/Patient",
    "suffix without dot": "https://ehr.example.comevil.test/r4/Patient",
    "prefix": "https://evil-ehr.example.com/r4/Patient",
    "parent": "https://example.com/r4/Patient",
    "other port": "https://ehr.example.com:8443/r4/Patient",
    "port of http": "https://ehr.example.com:80/r4/Patient",
    "downgrade": "http://ehr.example.com/r4/Patient",
    "downgrade to 443": "http://ehr.example.com:443/r4/Patient",
    "case and suffix": "HTTPS://EHR.EXAMPLE.COM.EVIL.TEST/r4/Patient",
    "backslash before a name": "https://ehr.example.com\\@evil.test/r4/Patient",
    "backslash in the path": "https://ehr.example.com/r4\\..\\admin",
    "encoded dots": "https://ehr.example.com/r4/%2e%2e/admin",
    "half encoded dots": "https://ehr.example.com/r4/.%2E/admin",
    "encoded slash": "https://ehr.example.com/r4/..%2fadmin",
    "encoded slashes": "https://ehr.example.com/r4%2F..%2F..%2Fadmin",
    "encoded backslash": "https://ehr.example.com/r4/..%5cadmin",
    "encoded slash and a name": "https://ehr.example.com%2f@evil.test/r4/Patient",
    "trailing dot": "https://ehr.example.com./r4/Patient",
    "lookalike": "https://\u0435hr.example.com/r4/Patient",
    "address": "https://127.0.0.1/r4/Patient",
    "address of six": "https://[::1]/r4/Patient",
    "home in the query": "https://evil.test?x=https://ehr.example.com/r4",
    "home in the fragment": "https://evil.test/#https://ehr.example.com/r4",
    "home in the path": "https://evil.test/https://ehr.example.com/r4",
}
"""URLs that a server or a user's input might name, none of which may get the token."""

HARMLESS = {
    "scheme-relative": "//evil.test/r4/Patient",
    "dots": "https://ehr.example.com/r4/../admin",
    "relative dots": "../../admin",
    "backslashes for slashes": "https:\\\\evil.test\\r4",
    "a scheme without slashes": "https:evil.test/r4",
    "encoded slash in the host": "https://ehr.example.com%2Fevil.test/r4",
    "wide dot": "https://ehr\uff0eexample.com/r4",
    "line end": "https://ehr.example.com\n.evil.test/r4",
    "tab": "https://ehr.example.com\t@evil.test/r4",
    "home with a fragment": "https://ehr.example.com#@evil.test/r4",
    "other scheme": "ftp://ehr.example.com/r4/Patient",
    "no host": "https:///r4/Patient",
}
"""URLs that the library reads as its own host, or not at all; either way no other host may see the token."""


@dataclass
class Given:
    """A token as small as a source may hand out."""

    access_token: Secret


@dataclass
class Source:
    """Hands out numbered tokens, the next one whenever the last was refused."""

    current: Given | None = None
    fetched: int = 0
    refused: list[Given] = field(default_factory=list)
    fails: Exception | None = None
    lock: Any = field(default_factory=threading.Lock)

    def ready(self) -> Given | None:
        return self.current

    def fetch(self) -> Given:
        with self.lock:
            if self.current is None:
                if self.fails is not None:
                    raise self.fails
                self.fetched += 1
                self.current = Given(Secret(f"{CANARY}{self.fetched}"))
            return self.current

    def invalidate(self, token: Given) -> None:
        with self.lock:
            self.refused.append(token)
            if token is self.current:
                self.current = None

    def get_token(self) -> Any:
        return self.fetch()


class AsyncSource(Source):
    async def get_token(self) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.fetch()


@dataclass(frozen=True)
class Seen:
    """A request as it left."""

    url: str
    place: tuple[str, str, int | None]
    authorization: str | None
    body: bytes


class Web:
    """A client of one library in one colour, whose requests go to a function and are kept."""

    def __init__(self, library: str, colour: str) -> None:
        self.library = import_module(library)
        self.colour = colour
        self.seen: list[Seen] = []
        self.source = Source() if colour == "sync" else AsyncSource()
        self.guard = BearerGuard.of(config())
        self.answer: Callable[[Any, int], Any] = lambda request, number: self.reply(200)

    @property
    def auth(self) -> Any:
        name = f"{'' if self.colour == 'sync' else 'async_'}{self.library.__name__}_auth"
        return getattr(auths, name)(self.source, self.guard)

    def reply(self, status: int = 200, **headers: str) -> Any:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.library.Response(status, json={}, headers=fields)

    def get(self, url: str, **options: Any) -> Any:
        return self.request("GET", url, **options)

    def request(self, method: str, url: str, *, auth: Any = None, client: Any = None, **options: Any) -> Any:
        settings = {"base_url": BASE, "auth": auth or self.auth, **(client or {})}
        if self.colour == "sync":
            with self.library.Client(transport=self.transport(), **settings) as http:
                return http.request(method, url, **options)

        async def run() -> Any:
            async with self.library.AsyncClient(transport=self.transport(), **settings) as http:
                return await http.request(method, url, **options)

        return anyio.run(run, backend=self.colour)

    def respond(self, request: Any, body: bytes) -> Any:
        url = request.url
        place = (url.scheme, url.raw_host.decode(), None if url.port == 443 else url.port)
        self.seen.append(Seen(str(url), place, request.headers.get("authorization"), body))
        return self.answer(request, len(self.seen))

    def transport(self) -> Any:
        web = self

        class Blocking(self.library.BaseTransport):
            def handle_request(self, request: Any) -> Any:
                return web.respond(request, b"".join(request.stream))

        class Awaited(self.library.AsyncBaseTransport):
            async def handle_async_request(self, request: Any) -> Any:
                body = b"".join([part async for part in request.stream])
                await anyio.lowlevel.checkpoint()
                return web.respond(request, body)

        return Blocking() if self.colour == "sync" else Awaited()

    @property
    def shown(self) -> list[str | None]:
        """The numbers of the tokens that were sent, None where none was."""
        return [
            each.authorization and each.authorization.removeprefix(f"Bearer {CANARY}") for each in self.seen
        ]


def config(**more: Any) -> SmartConfig:
    return SmartConfig(**{"fhir_base": BASE, "client_id": "c", "client_auth": PublicClient(), **more})


@pytest.fixture(
    params=[(lib, colour) for lib in ("httpx", "httpx2") for colour in ("sync", "asyncio", "trio")],
    ids=lambda param: "-".join(param),
)
def web(request: pytest.FixtureRequest) -> Web:
    return Web(*request.param)


class TestHeader:
    @pytest.mark.rule("TK-21")
    def test_goes_with_each_request(self, web: Web) -> None:
        """The FHIR server gets the token, as a relative URL, an absolute one, and whatever its case."""
        for url in ("Patient/1?name=a%2Fb", f"{BASE}/Patient", "HTTPS://EHR.EXAMPLE.COM:443/r4/Patient"):
            assert web.get(url).status_code == 200
        assert [each.url.replace(":443", "") for each in web.seen] == [
            f"{BASE}/Patient/1?name=a%2Fb",
            f"{BASE}/Patient",
            f"{BASE}/Patient",
        ]
        assert web.shown == ["1", "1", "1"]
        assert web.source.fetched == 1

    def test_the_path_may_be_another(self, web: Web) -> None:
        """Paging links leave the base's path at some servers; the origin decides."""
        web.get("https://ehr.example.com?_getpages=1")
        web.get("https://ehr.example.com/paging/1/%24next")
        assert web.shown == ["1", "1"]

    def test_takes_the_place_of_an_older_one(self, web: Web) -> None:
        """A request that is sent again carries the token of its first time; the one at hand counts."""
        web.get("Patient", headers=[("authorization", "Bearer old"), ("AUTHORIZATION", "Basic x")])
        assert web.shown == ["1"]

    def test_of_a_request_is_not_that_of_the_client(self, web: Web) -> None:
        """One client can serve many sessions, each giving its auth with the request."""
        other = Web(web.library.__name__, web.colour)
        other.source.current = Given(Secret(f"{CANARY}9"))
        web.request("GET", "Patient", auth=other.auth)
        assert (web.shown, web.source.fetched) == (["9"], 0)

    @pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "", "sch\u00f6n", "a b"])
    def test_is_checked(self, web: Web, token: str) -> None:
        """A source of somebody's own cannot smuggle a header field in, and no error quotes what it gave."""
        web.source.current = Given(Secret(token))
        with pytest.raises(ConfigurationError) as caught:
            web.get("Patient")
        assert web.seen == []
        assert not token or token not in str(caught.value)

    def test_no_token_no_request(self, web: Web) -> None:
        """Where no token is to be had, the source's error comes through and nothing is sent."""
        web.source.fails = StoreError("away")
        with pytest.raises(StoreError):
            web.get("Patient")
        assert web.seen == []


class TestOrigin:
    @pytest.mark.rule("TK-22", "BS-10")
    @pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED)
    @pytest.mark.parametrize("ready", [True, False], ids=["cached", "none"])
    def test_hostile_urls_are_refused(self, web: Web, url: str, ready: bool) -> None:
        """No request leaves for another origin, and no token is fetched for it."""
        if ready:
            web.source.fetch()
        with pytest.raises(TokenOriginError) as caught:
            web.get(url)
        assert web.seen == []
        assert web.source.fetched == int(ready)
        assert CANARY not in str(caught.value)

    @pytest.mark.rule("TK-22")
    @pytest.mark.parametrize("url", [*HARMLESS.values(), *REFUSED.values()], ids=[*HARMLESS, *REFUSED])
    @pytest.mark.parametrize(
        "base", [BASE, f"{BASE}/", "https://evil.test/r4", ""], ids=lambda base: base or "-"
    )
    def test_no_other_host_sees_the_token(self, web: Web, url: str, base: str) -> None:
        """Whatever the library makes of a URL and of its base, only the FHIR server sees the token."""
        outcomes = (
            TokenOriginError,
            web.library.InvalidURL,
            web.library.UnsupportedProtocol,
            web.library.LocalProtocolError,
        )
        try:
            web.get(url, client={"base_url": base})
        except outcomes:
            assert web.seen == []
        assert {each.place for each in web.seen} <= {("https", "ehr.example.com", None)}

    def test_says_which(self, web: Web) -> None:
        """The origin is named, with what to do; the rest of the URL may name a patient."""
        with pytest.raises(TokenOriginError, match=r"https://files\.example\.com") as caught:
            web.get("https://files.example.com/Patient/p-77?name=Smith")
        assert "session.auth(origins=" in str(caught.value)
        assert "Smith" not in str(caught.value)
        assert "p-77" not in str(caught.value)

    @pytest.mark.rule("TK-23")
    def test_listed_ones_get_it(self, web: Web) -> None:
        """Bulk files on a host of their own are one line of configuration."""
        web.guard = BearerGuard.of(config(), origins=["https://files.example.com"])
        web.get("https://files.example.com/1.ndjson")
        assert web.shown == ["1"]

    def test_loopback_without_tls(self, web: Web) -> None:
        """A server on this machine gets it over plain http, where that was allowed."""
        web.guard = BearerGuard.of(config(fhir_base="http://127.0.0.1:8080/r4", allow_insecure_loopback=True))
        web.get("http://127.0.0.1:8080/r4/Patient")
        with pytest.raises(TokenOriginError):
            web.get("http://127.0.0.1:8081/r4/Patient")
        assert web.shown == ["1"]


class TestLocations:
    PLACE = "https://other.example.com/r4"

    def token(self, *places: str) -> Token:
        """A token that names *places* as further FHIR endpoints."""
        details = [{"type": "smart_on_fhir", "locations": [*places], "fhirVersions": ["4.0.1"]}]
        body = {
            "access_token": f"{CANARY}7",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "patient/*.rs",
        }
        return parse_token_response(
            json_response({**body, "authorization_details": details}),
            binding=Binding(fhir_base=BASE, client_id="c", issuer=None, token_endpoint=f"{BASE}/token"),
            requested_scope="",
        )

    @pytest.mark.rule("CTX-12")
    def test_of_the_token_get_it(self, web: Web) -> None:
        """Where the server says the token is good, it goes; elsewhere it does not."""
        web.source.current = self.token(self.PLACE)  # type: ignore[assignment]  # replaced on purpose
        auth = web.auth
        for _ in range(2):
            web.get(f"{self.PLACE}/Patient", auth=auth)
        with pytest.raises(TokenOriginError):
            web.get("https://third.example.com/r4/Patient", auth=auth)
        assert web.shown == ["7", "7"]

    def test_go_with_the_token(self, web: Web) -> None:
        """A renewed token that names them no more is not sent there, by an auth that sent the one before."""
        web.source.current = self.token(self.PLACE)  # type: ignore[assignment]  # replaced on purpose
        auth = web.auth
        web.get(f"{self.PLACE}/Patient", auth=auth)
        web.source.current = self.token()  # type: ignore[assignment]  # replaced on purpose
        with pytest.raises(TokenOriginError):
            web.get(f"{self.PLACE}/Patient", auth=auth)
        assert web.shown == ["7"]

    def test_are_those_of_the_token_at_hand(self, web: Web) -> None:
        """What an older token named is worth a new one, and that one decides."""
        old = self.token(self.PLACE)
        web.guard = BearerGuard.of(config(), old)
        with pytest.raises(TokenOriginError):
            web.get(f"{self.PLACE}/Patient")
        assert (web.seen, web.source.fetched) == ([], 1)
        web.source.current = old  # type: ignore[assignment]  # replaced on purpose
        assert web.get(f"{self.PLACE}/Patient").status_code == 200


class TestRefused:
    @pytest.mark.rule("TK-24")
    def test_once_renewed_and_repeated(self, web: Web) -> None:
        """A 401 costs one renewal and one repetition, and the caller sees the good answer."""
        web.answer = lambda request, number: web.reply(401 if number == 1 else 200)
        response = web.request("PUT", "Patient/1", json={"a": 1})
        assert response.status_code == 200
        assert web.shown == ["1", "2"]
        assert [each.body for each in web.seen] == [web.seen[0].body] * 2
        assert [token.access_token.reveal() for token in web.source.refused] == [f"{CANARY}1"]

    @pytest.mark.rule("TK-24")
    def test_twice_is_returned(self, web: Web) -> None:
        """A second 401 is the answer; the new token stays, for it may open everything else."""
        web.answer = lambda request, number: web.reply(401)
        assert web.get("Patient").status_code == 401
        assert web.shown == ["1", "2"]
        assert len(web.source.refused) == 1
        assert web.source.current is not None

    def test_the_same_token_again_is_not_sent_again(self, web: Web) -> None:
        """A source that has no other token is not asked to repeat itself at the server."""
        web.source.invalidate = web.source.refused.append  # type: ignore[method-assign]
        web.answer = lambda request, number: web.reply(401)
        assert web.get("Patient").status_code == 401
        assert web.shown == ["1"]

    def test_renewal_that_fails(self, web: Web) -> None:
        """Why there is no new token says more than the 401."""

        def answer(request: Any, number: int) -> Any:
            web.source.fails = OAuthError("gone", error="invalid_grant")
            return web.reply(401)

        web.answer = answer
        with pytest.raises(OAuthError, match="gone"):
            web.get("Patient")

    @pytest.mark.parametrize(
        ("statuses", "status", "sent"),
        [((401,), 403, 1), ((401, 403), 403, 2), ((), 401, 1), ((401,), 404, 1), ((401,), 500, 1)],
    )
    def test_which_status_counts(self, web: Web, statuses: tuple[int, ...], status: int, sent: int) -> None:
        """It is 401, unless the registration says otherwise (AB2D answers 403)."""
        web.guard = BearerGuard.of(config(token_rejected_statuses=statuses))
        web.answer = lambda request, number: web.reply(status)
        assert web.get("Patient").status_code == status
        assert len(web.seen) == sent

    def test_many_at_once(self, web: Web) -> None:
        """However many requests one dead token had, it is replaced once, and each gets its answer."""
        dead = web.source.fetch().access_token.reveal()
        web.answer = lambda request, number: web.reply(
            401 if request.headers["authorization"] == f"Bearer {dead}" else 200
        )
        assert many(web, 30) == [200] * 30
        assert web.source.fetched == 2
        assert {token.access_token.reveal() for token in web.source.refused} == {dead}


def many(web: Web, count: int) -> list[int]:
    """Return the statuses of *count* requests sent together through one client."""
    settings: dict[str, Any] = {"transport": web.transport(), "base_url": BASE, "auth": web.auth}
    if web.colour == "sync":
        with web.library.Client(**settings) as http, ThreadPoolExecutor(8) as pool:
            return [each.status_code for each in pool.map(lambda _: http.get("Patient"), range(count))]
    statuses: list[int] = []

    async def run() -> None:
        async with web.library.AsyncClient(**settings) as http, anyio.create_task_group() as group:

            async def one() -> None:
                statuses.append((await http.get("Patient")).status_code)

            for _ in range(count):
                group.start_soon(one)

    anyio.run(run, backend=web.colour)
    return statuses


class TestBodies:
    def refuse_first(self, web: Web) -> None:
        web.answer = lambda request, number: web.reply(401 if number == 1 else 200)

    @pytest.mark.parametrize(
        "options",
        [{"content": b"abc"}, {"content": "abc"}, {"data": {"a": "b"}}, {"json": [1]}, {"content": b""}, {}],
        ids=["bytes", "text", "form", "json", "empty", "none"],
    )
    def test_in_memory_are_repeated(self, web: Web, options: dict[str, Any]) -> None:
        """What is in memory can be sent again, byte for byte."""
        self.refuse_first(web)
        assert web.request("POST", "Patient", **options).status_code == 200
        assert web.seen[0].body == web.seen[1].body

    def test_generators_are_not(self, web: Web) -> None:
        """What has been drawn from a generator is gone: the 401 is returned, and the next request is fine."""
        self.refuse_first(web)
        assert web.request("POST", "Patient", content=parts(web)).status_code == 401
        assert web.request("POST", "Patient", content=parts(web)).status_code == 200
        assert web.shown == ["1", "2"]
        assert [each.body for each in web.seen] == [b"abc", b"abc"]

    def test_files_are_not(self, web: Web) -> None:
        """A file is at its end after the first time: sending it again would send nothing."""
        self.refuse_first(web)
        content = io.BytesIO(b"abc") if web.colour == "sync" else AsyncFile(b"abc")
        assert web.request("POST", "Binary", content=content).status_code == 401
        assert [each.body for each in web.seen] == [b"abc"]

    def test_multipart_is_not(self, web: Web) -> None:
        """A multipart body is drawn from its files while it is sent."""
        self.refuse_first(web)
        files = {"a": ("a.txt", io.BytesIO(b"abc"))}
        assert web.request("POST", "Binary", files=files).status_code == 401
        assert len(web.seen) == 1
        assert len(web.source.refused) == 1


def parts(web: Web) -> Any:
    def blocking() -> Iterator[bytes]:
        yield from (b"a", b"bc")

    async def awaited() -> AsyncIterator[bytes]:
        for part in (b"a", b"bc"):
            yield part

    return blocking() if web.colour == "sync" else awaited()


class AsyncFile:
    def __init__(self, content: bytes) -> None:
        self._content = [content]

    def __aiter__(self) -> AsyncFile:
        return self

    async def __anext__(self) -> bytes:
        if not self._content:
            raise StopAsyncIteration
        return self._content.pop()


class TestRedirects:
    def lead(self, web: Web, *targets: str, status: int = 302, then: int = 200) -> None:
        """Answer with a redirect to each of *targets* in turn, and with *then* at last."""

        def answer(request: Any, number: int) -> Any:
            if number <= len(targets):
                return web.reply(status, location=targets[number - 1])
            return web.reply(then)

        web.answer = answer

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_within_the_origin(self, web: Web, status: int) -> None:
        """A redirect on the same server is the client's business, and the token goes along."""
        self.lead(web, "/other/Patient", status=status)
        assert web.get("Patient", follow_redirects=True).status_code == 200
        assert web.shown == ["1", "1"]

    @pytest.mark.rule("TK-22")
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        "target",
        [
            "https://evil.test/r4/Patient",
            "//evil.test/r4/Patient",
            "http://ehr.example.com/r4/Patient",
            "https://ehr.example.com:8443/r4/Patient",
            "https://ehr.example.com.evil.test/",
            "https://ehr.example.com@evil.test/",
            "https://ehr.example.com./",
        ],
    )
    def test_to_another_origin(self, web: Web, status: int, target: str) -> None:
        """The client follows before anybody can object: no token goes along, and no answer is returned."""
        self.lead(web, target, status=status)
        with pytest.raises(TokenOriginError, match="did not go along"):
            web.get("Patient", follow_redirects=True)
        assert web.shown == ["1", None]
        assert web.source.refused == []

    @pytest.mark.rule("TK-22")
    def test_out_and_back(self, web: Web) -> None:
        """An answer by way of another host is that host's choice, even if it comes from home."""
        self.lead(web, "https://evil.test/", f"{BASE}/Patient")
        with pytest.raises(TokenOriginError, match=r"https://evil\.test"):
            web.get("Patient", follow_redirects=True)
        assert web.shown == ["1", None, None]

    def test_in_the_repetition(self, web: Web) -> None:
        """The second answer is judged like the first."""

        def answer(request: Any, number: int) -> Any:
            return web.reply(401) if number == 1 else web.reply(302, location="https://evil.test/")

        web.answer = lambda request, number: web.reply(200) if number == 3 else answer(request, number)
        with pytest.raises(TokenOriginError):
            web.get("Patient", follow_redirects=True)
        assert web.shown == ["1", "2", None]

    def test_not_followed(self, web: Web) -> None:
        """A client that does not follow gets the redirect itself, and decides."""
        self.lead(web, "https://evil.test/")
        assert web.get("Patient").status_code == 302
        assert len(web.seen) == 1

    def test_to_a_listed_origin(self, web: Web) -> None:
        """Between listed origins the client drops the token; that 401 is no verdict on the token."""
        web.guard = BearerGuard.of(config(), origins=["https://files.example.com"])
        self.lead(web, "https://files.example.com/1", then=401)
        assert web.get("Patient", follow_redirects=True).status_code == 401
        assert web.shown == ["1", None]
        assert web.source.refused == []

    def test_refused_after_one_at_home(self, web: Web) -> None:
        """A 401 behind a redirect at home renews, and the whole way is gone again."""
        codes = [302, 401, 302, 200]
        web.answer = lambda request, number: web.reply(codes[number - 1], location="/r4/moved")
        assert web.get("Patient", follow_redirects=True).status_code == 200
        assert web.shown == ["1", "1", "2", "2"]

    def test_a_token_that_went_along_is_given_up(self, web: Web) -> None:
        """From plain http on loopback to https the client keeps the header; then it is said and refused."""
        web.guard = BearerGuard.of(config(fhir_base="http://localhost/r4", allow_insecure_loopback=True))
        self.lead(web, "https://localhost/r4/Patient")
        with pytest.raises(TokenOriginError, match=r"went along\. Revoke the token"):
            web.get("http://localhost/r4/Patient", follow_redirects=True)
        assert web.shown == ["1", "1"]
        assert len(web.source.refused) == 1


class TestScope:
    CHALLENGE = 'Bearer error="insufficient_scope", scope="patient/Task.cud"'

    @pytest.mark.parametrize("status", [401, 403])
    def test_is_named(self, web: Web, status: int) -> None:
        """The missing scope is in the error; nothing is renewed, for a new token would have the same."""
        web.answer = lambda request, number: web.reply(status, WWW_Authenticate=self.CHALLENGE)
        with pytest.raises(OAuthError, match=r"Missing: patient/Task\.cud") as caught:
            web.get("Task/t-9?owner=Smith")
        error = caught.value
        assert (error.error, error.status, error.scope) == ("insufficient_scope", status, "patient/Task.cud")
        assert error.endpoint == f"{BASE}/Task/…"
        assert (web.source.refused, len(web.seen)) == ([], 1)

    def test_is_named_of_the_repetition(self, web: Web) -> None:
        """A renewed token can turn out to be too narrow."""
        web.answer = lambda request, number: (
            web.reply(401) if number == 1 else web.reply(403, WWW_Authenticate=self.CHALLENGE)
        )
        with pytest.raises(OAuthError, match="does not suffice"):
            web.get("Task")
        assert web.shown == ["1", "2"]

    @pytest.mark.parametrize(
        "said", ["", "Bearer", 'Bearer error="invalid_token"', 'Bearer error="insuff', "Basic"]
    )
    def test_other_403s_are_returned(self, web: Web, said: str) -> None:
        """Any other 403 is an answer like every other: the user may not see this record."""
        web.answer = lambda request, number: web.reply(403, **({"WWW_Authenticate": said} if said else {}))
        assert web.get("Task").status_code == 403


class TestColour:
    def test_the_wrong_client_is_told(self, web: Web) -> None:
        """A blocking session would stall an async client, and a blocking client cannot await."""
        other = Web(web.library.__name__, "asyncio" if web.colour == "sync" else "sync")
        with pytest.raises(ConfigurationError, match="only") as caught:
            other.request("GET", "Patient", auth=web.auth)
        assert "SmartSession" in str(caught.value)
        assert (other.seen, web.source.fetched) == ([], 0)

    def test_a_missing_library_is_named(self, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the pip line that installs it."""
        monkeypatch.setattr(auths.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ConfigurationError, match="pip install"):
            _ = web.auth


class TestSecrecy:
    def test_no_error_shows_the_token(self, web: Web) -> None:
        """No message, repr or chain of an error holds the token; neither does the auth object."""
        found: list[BaseException] = []
        auth = web.auth
        answers = [
            lambda: web.reply(302, location="https://evil.test/"),
            lambda: web.reply(403, WWW_Authenticate=TestScope.CHALLENGE),
        ]
        for number, url in enumerate(["Patient", "Patient", "https://evil.test/"]):
            web.answer = lambda request, _, n=number: (
                web.reply(200) if "evil" in str(request.url) else answers[n]()
            )
            with pytest.raises((TokenOriginError, OAuthError)) as caught:
                web.get(url, auth=auth, follow_redirects=True)
            found.append(caught.value)
        texts = [repr(auth), str(vars(auth))]
        for error in found:
            texts += [str(error), repr(error), "".join(traceback.format_exception(error))]
        assert all(CANARY not in text for text in texts)
        assert "ehr.example.com" in repr(auth)
