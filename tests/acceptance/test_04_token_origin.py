"""Acceptance 4: twenty links and references in FHIR answers, and the token only at the FHIR server; T06."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from smart_async import ProtocolError, TokenOriginError, fhir_pages

BASE = "https://ehr.example.com/r4"
HOME = ("https", "ehr.example.com", 443)

GOOD = {
    "the next page": f"{BASE}?_getpages=2f9c&_getpagesoffset=10",
    "another path of the server": "https://ehr.example.com/paging/2",
    "the port spelled out": "https://ehr.example.com:443/r4/Patient?page=2",
    "capitals": "HTTPS://EHR.example.COM/r4/Patient?page=2",
    "another host in the query": f"{BASE}/Patient?callback=https%3A%2F%2Fevil.example%2F",
    "two dots within a name": f"{BASE}/Patient/a..b",
}
"""All of them are the FHIR server; the token goes there."""

HOSTILE = {
    "another host": "https://evil.example/r4/Patient?page=2",
    "the host as a user name": "https://ehr.example.com@evil.example/r4/Patient",
    "host and port as a user name": "https://ehr.example.com:443@evil.example:443/r4/Patient",
    "a longer host": "https://ehr.example.com.evil.example/r4/Patient",
    "the parent domain": "https://example.com/r4/Patient",
    "a sister host": "https://files.example.com/r4/Binary/1",
    "another port": "https://ehr.example.com:8443/r4/Patient",
    "plain http": "http://ehr.example.com/r4/Patient",
    "plain http at the port of https": "http://ehr.example.com:443/r4/Patient",
    "a backslash": "https://ehr.example.com\\@evil.example/r4/Patient",
    "a look-alike": "https://\u0435hr.example.com/r4/Patient",
    "a trailing dot": "https://ehr.example.com./r4/Patient",
    "encoded slashes": f"{BASE}/..%2f..%2fadmin",
    "encoded dots": f"{BASE}/%2e%2e/other-tenant/Patient/1",
}
"""None of them may get the token; where parsers agree at all, they are another host or another tenant."""

URLS = GOOD | HOSTILE


@dataclass(frozen=True)
class Seen:
    """A request as it left, for whoever it was sent to."""

    place: tuple[str, str, int | None]
    path: str
    authorization: str | None


class Fhir:
    """All hosts at once, behind a user's client of one library; what is asked of whom is kept."""

    def __init__(self, library: str, colour: Any, session: Any) -> None:
        self.library = import_module(library)
        self.colour = colour
        self.session = session
        self.answers: list[Any] = []
        self.seen: list[Seen] = []
        blocking = colour.portal is None
        kind = self.library.Client if blocking else self.library.AsyncClient
        self.http = kind(base_url=BASE, transport=self.library.MockTransport(self._answer), auth=self.auth())

    def auth(self) -> Any:
        """The session's `auth=` for the library."""
        return self.session.auth() if self.library.__name__ == "httpx" else self.session.httpx2_auth()

    def close(self) -> None:
        """Close the client."""
        self.colour.call(self.http.close if self.colour.portal is None else self.http.aclose)

    def get(self, url: str, **options: Any) -> Any:
        """Follow a reference."""
        return self.colour.call(self.http.get, url, **options)

    def pages(self) -> list[Any]:
        """Read all pages of a search."""
        pages = fhir_pages(self.http, "Patient")
        if self.colour.portal is None:
            return list(pages)

        async def read() -> list[Any]:
            await checkpoint()
            return [page async for page in pages]

        found: list[Any] = self.colour.call(read)
        return found

    def page(self, link: str | None = None) -> Any:
        """A page that links to *link*."""
        links = [] if link is None else [{"relation": "next", "url": link}]
        return self.library.Response(200, json={"resourceType": "Bundle", "type": "searchset", "link": links})

    def strangers(self) -> list[Seen]:
        """The requests to anywhere but the FHIR server, or to another tenant of it."""
        return [
            each for each in self.seen if each.place != HOME or "admin" in each.path or "other" in each.path
        ]

    def _answer(self, request: Any) -> Any:
        url = request.url
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        host = url.raw_host.decode().lower()
        self.seen.append(
            Seen((url.scheme, host, port), url.raw_path.decode(), request.headers.get("authorization"))
        )
        return self.answers.pop(0) if self.answers else self.library.Response(200, json={})


@pytest.fixture(params=["httpx", "httpx2"])
def fhir(request, colour, net, provider, config, tools):
    """A FHIR server, and a client of each library with the session of a login of each colour."""
    pytest.importorskip(request.param, reason=f"needs the extra {request.param}")
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    token = colour.call(client.exchange_code, pending, tools.callback_url(pending))

    async def make() -> Any:
        return client.session(token)

    session = client.session(token) if colour.portal is None else colour.call(make)
    fhir = Fhir(request.param, colour, session)
    yield fhir
    fhir.close()


def test_there_are_twenty() -> None:
    """As many as the criterion asks for, and each once."""
    assert len(set(URLS.values())) == 20


@pytest.mark.rule("TK-22", "BS-10")
@pytest.mark.parametrize("name", URLS)
def test_a_link_to_the_next_page(name, fhir):
    """A page of the server's own is read with the token; at any other link the reading ends, unsent."""
    fhir.answers = [fhir.page(URLS[name]), fhir.page()]
    if name in GOOD:
        assert len(fhir.pages()) == 2
        assert [(each.place, each.authorization) for each in fhir.seen] == [(HOME, "Bearer at-1")] * 2
    else:
        with pytest.raises((TokenOriginError, ProtocolError)):
            fhir.pages()
        assert [each.place for each in fhir.seen] == [HOME]
    assert fhir.strangers() == []


@pytest.mark.rule("TK-22")
@pytest.mark.parametrize("name", URLS)
def test_a_reference(name, fhir):
    """An absolute reference is read with the token at the server itself, and not at all elsewhere."""
    if name in GOOD:
        assert fhir.get(URLS[name]).status_code == 200
        assert [(each.place, each.authorization) for each in fhir.seen] == [(HOME, "Bearer at-1")]
    else:
        with pytest.raises(TokenOriginError) as caught:
            fhir.get(URLS[name])
        assert "at-1" not in str(caught.value)
        assert fhir.seen == []


@pytest.mark.rule("TK-22")
@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("name", [name for name in URLS if name not in ("a backslash", "a look-alike")])
def test_a_redirect_that_the_client_follows(name, status, fhir):
    """Wherever the user's client goes by itself, no other host sees the token, and the caller is told."""
    moved = fhir.library.Response(status, headers={"Location": URLS[name]})
    fhir.answers = [moved, fhir.library.Response(200, json={"resourceType": "Patient"})]
    if name in GOOD:
        assert fhir.get("Patient/1", follow_redirects=True).status_code == 200
        assert [each.authorization for each in fhir.seen] == ["Bearer at-1"] * 2
    elif name in ("encoded slashes", "encoded dots"):
        # The same origin: the library has gone there by itself, to where the server sent it.
        fhir.get("Patient/1", follow_redirects=True)
    else:
        with pytest.raises(TokenOriginError):
            fhir.get("Patient/1", follow_redirects=True)
    assert [each for each in fhir.seen if each.place != HOME and each.authorization is not None] == []


@pytest.mark.parametrize("name", HOSTILE)
def test_after_a_refusal(name, fhir, provider):
    """A 401 on the way changes nothing: the renewed token does not go there either."""
    provider.token_changes.update(access_token="at-2", refresh_token="rt-2")
    fhir.answers = [fhir.library.Response(401), fhir.page(HOSTILE[name]), fhir.page()]
    with pytest.raises((TokenOriginError, ProtocolError)):
        fhir.pages()
    assert [(each.place, each.authorization) for each in fhir.seen] == [
        (HOME, "Bearer at-1"),
        (HOME, "Bearer at-2"),
    ]
