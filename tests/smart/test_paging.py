"""Pages: what counts as one, and where the next one may be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async import ConfigurationError, OAuthError, ProtocolError, TokenOriginError
from smart_async.limits import LINK_BYTES
from smart_async.messages import Headers, Response
from smart_async.smart.bearer import BearerGuard
from smart_async.smart.paging import Trail, next_link, parse_page

BASE = "https://ehr.example.com/r4"
FIRST = f"{BASE}/Observation?patient=1"


def bundle(*urls: Any, **more: Any) -> dict[str, Any]:
    links = [{"relation": "self", "url": FIRST}, *({"relation": "next", "url": url} for url in urls)]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, **more}


def page(document: Any, *, url: str = FIRST, status: int = 200, **headers: str) -> Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Response(status=status, body=body, url=url, headers=Headers(headers))


def trail(**options: Any) -> Trail:
    return Trail("Observation?patient=1", check=BearerGuard.around(BASE).check, **options)


class TestPage:
    def test_is_returned_as_it_is(self) -> None:
        """Members that nobody knows, an empty search and a byte order mark are all fine."""
        document = {**bundle(), "total": 0, "extra": [1.5, None]}
        assert parse_page(page(document)) == document
        assert parse_page(page(b"\xef\xbb\xbf" + json.dumps(document).encode())) == document

    @pytest.mark.parametrize(
        ("body", "came"),
        [
            (b"", "nothing"),
            (b"  <html>", "a page of HTML or XML"),
            (b"{", "something that is no JSON"),
            (b"\xff", "something that is no JSON"),
            (b"[" * 100_000, "something that is no JSON"),
            (b"[]", "JSON that is no resource"),
            (b'{"id": "p-1", "name": "Smith"}', "members: id, name"),
            (b"{}", "members: none"),
            (b'{"resourceType": "Patient", "name": "Smith"}', "a Patient resource"),
            (b'{"resourceType": "OperationOutcome"}', "an OperationOutcome resource"),
            (b'{"resourceType": ["Bundle"]}', "JSON that is no resource"),
        ],
    )
    def test_is_a_bundle(self, body: bytes, came: str) -> None:
        """Else the error says what came, by kind and never by content."""
        with pytest.raises(ProtocolError) as caught:
            parse_page(page(body))
        assert came in caught.value.message
        assert "Smith" not in str(caught.value)
        assert caught.value.status == 200

    def test_keeps_no_body_in_its_errors(self) -> None:
        """The parser's own exception holds the whole text; it is not in the chain."""
        with pytest.raises(ProtocolError) as caught:
            parse_page(page(b'{"name": "Smith"'))
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)

    @pytest.mark.parametrize("status", [301, 302, 304, 307])
    def test_is_no_redirect(self, status: int) -> None:
        """A client that follows none is told where it was sent, by origin."""
        with pytest.raises(ProtocolError, match="https://other\\.example") as caught:
            parse_page(page(b"", status=status, location="https://other.example/r4?name=Smith"))
        assert "Smith" not in str(caught.value)

    @pytest.mark.parametrize("status", [401, 403, 404, 410, 500])
    def test_is_no_refusal(self, status: int) -> None:
        """The server's words come as a typed error."""
        outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "expired"}]}
        with pytest.raises(OAuthError, match="expired") as caught:
            parse_page(page(outcome, status=status))
        assert caught.value.status == status


class TestLink:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://ehr.example.com/x?p=2", "https://ehr.example.com/x?p=2"),
            ("?p=2", f"{BASE}/Observation?p=2"),
            ("Observation?p=2", f"{BASE}/Observation?p=2"),
            ("/pages/2", "https://ehr.example.com/pages/2"),
            ("//evil.test/x", "https://evil.test/x"),
            (f"{BASE}?p=2#top", f"{BASE}?p=2"),
            (f"{BASE}?code=http://l.org|1&n=a b\\,\u00fc", f"{BASE}?code=http://l.org|1&n=a b\\,\u00fc"),
            ("https:x", "https:x"),
        ],
    )  # fmt: skip
    def test_is_absolute_or_relative_to_its_page(self, url: str, expected: str) -> None:
        """Servers leave pipes, blanks and letters of all kinds in a query; they stay as they are."""
        assert next_link(bundle(url), FIRST) == expected

    @pytest.mark.parametrize(
        "document", [{}, {"link": []}, {"link": [{"relation": "self", "url": "x"}]}, {"link": [{}]}]
    )
    def test_may_be_missing(self, document: dict[str, Any]) -> None:
        """The last page has none."""
        assert next_link(document, FIRST) is None

    def test_may_be_there_twice(self) -> None:
        """The same link twice is one link."""
        assert next_link(bundle("?p=2", "?p=2"), FIRST) == f"{BASE}/Observation?p=2"

    @pytest.mark.parametrize(
        "document",
        [
            {"link": None},
            {"link": {"relation": "next", "url": "?p=2"}},
            {"link": ["?p=2"]},
            bundle("?p=2", "?p=3"),
            *(bundle(url) for url in (None, 2, "", ["?p=2"], "x" * (LINK_BYTES + 1))),
            *(
                bundle(url)
                for url in ("https://evil.test\\@ehr.example.com/", "a b", "a\tb", "\u00fc", "?a\nb")
            ),
            *(bundle(url) for url in ("<x>", "a|b", "?a\x00", " ?a", "//[::1")),
        ],
        ids=repr,
    )
    def test_that_is_none_is_an_error(self, document: dict[str, Any]) -> None:
        """Ending early would look like the end of the data."""
        with pytest.raises(ProtocolError) as caught:
            next_link(document, FIRST)
        assert caught.value.endpoint == f"{BASE}/Observation"

    @given(st.text(max_size=50))
    def test_is_read_or_refused(self, url: str) -> None:
        """No text in a link makes another exception, nor a line break in a request."""
        try:
            found = next_link(bundle(url), FIRST)
        except ProtocolError:
            return
        assert found is not None
        assert "\n" not in found


class TestTrail:
    def test_goes_to_the_last_page(self) -> None:
        """From the first URL, as it was given, along the links."""
        way = trail()
        assert way.move() == "Observation?patient=1"
        assert not way.started
        assert way.arrive(page(bundle("?p=2")))["resourceType"] == "Bundle"
        assert (way.move(), way.started) == (f"{BASE}/Observation?p=2", True)
        way.arrive(page(bundle(), url=f"{BASE}/Observation?p=2"))
        assert (way.move(), way.move()) == (None, None)

    def test_stays_where_a_request_failed(self) -> None:
        """Asked again, it is the same page."""
        way = trail()
        way.move()
        way.arrive(page(bundle("?p=2")))
        assert way.move() == way.move() == f"{BASE}/Observation?p=2"

    @pytest.mark.parametrize("url", ["?p=2", FIRST, f"{FIRST}#x"])
    def test_never_goes_back(self, url: str) -> None:
        """A link to a page that was read already would never end."""
        way = trail()
        for back in ("?p=2", url):
            way.move()
            way.arrive(
                page(
                    bundle(back),
                    url=FIRST if back == "?p=2" and not way.started else f"{BASE}/Observation?p=2",
                )
            )
        for _ in range(2):
            with pytest.raises(ProtocolError, match="leads back"):
                way.move()

    @pytest.mark.rule("TK-22")
    @pytest.mark.parametrize(
        "url",
        [
            *("//evil.test/r4", "https://evil.test/r4", "http://ehr.example.com/r4", "https:evil.test"),
            *("https://ehr.example.com@evil.test/", "https://ehr.example.com:8443/", "javascript:alert"),
            *(
                "https://ehr.example.com.evil.test/",
                "https://ehr.example.com./",
                f"{BASE}/../x",
                f"{BASE}/%2e%2e/x",
            ),
        ],
    )
    def test_never_leaves(self, url: str) -> None:
        """A link to another origin, or one that is read differently, ends it before anything is sent."""
        way = trail()
        way.move()
        way.arrive(page(bundle(url)))
        for _ in range(2):
            with pytest.raises(TokenOriginError):
                way.move()

    def test_has_an_end(self) -> None:
        """One page more than allowed is an error; exactly so many are none."""
        way = trail(max_pages=2)
        for number in (2, 3):
            way.move()
            way.arrive(page(bundle(f"?p={number}"), url=f"{BASE}/Observation?p={number - 1}"))
        with pytest.raises(ProtocolError, match="more than 2 pages"):
            way.move()
        way = trail(max_pages=1)
        way.move()
        way.arrive(page(bundle()))
        assert way.move() is None

    @pytest.mark.parametrize("number", [0, -1, 1.5, True, None, "9"])
    def test_needs_a_number(self, number: Any) -> None:
        """Nothing else is a count of pages."""
        with pytest.raises(ConfigurationError) as caught:
            trail(max_pages=number)
        assert caught.value.field == "max_pages"
