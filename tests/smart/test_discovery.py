"""Discovery: the request, hostile answers, redirects, and the cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smart_async import DiscoveryError, Limits, SmartConfig, TransportError
from smart_async.messages import Headers, Request, Response
from smart_async.smart.discovery import (
    discover,
    discovery_request,
    discovery_url,
    metadata_lifetime,
    parse_discovery,
)
from smart_async.smart.redirects import redirect_target
from smart_async.smart.state import ClientState

URL = "https://ehr.example.com/r4/.well-known/smart-configuration"
STATUSES = [301, 302, 303, 307, 308]


@pytest.fixture
def parse(config: SmartConfig, json_response: Callable[..., Response]) -> Callable[..., Any]:
    """Parses one answer from the discovery URL."""

    def read(document: object = None, *, status: int = 200, strict: bool = False, **more: Any) -> Any:
        response = replace(json_response(document, status=status, **more), url=URL)
        return parse_discovery(response, replace(config, strict=strict))

    return read


@pytest.fixture
def redirect() -> Callable[..., Response]:
    """Builds a redirect; None means without Location."""

    def build(location: str | None, status: int = 302) -> Response:
        return Response(
            status=status,
            headers=Headers({} if location is None else {"location": location}),
            body=b'{"token_endpoint": "https://evil.example/token"}',
            url=URL,
        )

    return build


class TestRequest:
    @pytest.mark.rule("DI-01")
    @pytest.mark.parametrize(
        ("base", "url"),
        [
            ("https://fhir.willowbrook.example", "https://fhir.willowbrook.example"),
            ("https://fhir.willowbrook.example/", "https://fhir.willowbrook.example"),
            ("https://gw.example.net/t7/fhir", "https://gw.example.net/t7/fhir"),
            ("https://gw.example.net/t7/fhir/", "https://gw.example.net/t7/fhir"),
            ("https://gw.example.net/t7/fhir//", "https://gw.example.net/t7/fhir"),
        ],
    )
    def test_the_path_of_the_base_is_kept(self, base: str, url: str) -> None:
        """The document is under the base, not at the root of the host, behind exactly one slash."""
        assert discovery_url(base) == f"{url}/.well-known/smart-configuration"

    @pytest.mark.rule("DI-02", "DI-14")
    def test_it_is_a_get_for_json_without_credentials(self) -> None:
        """Nothing but the address and the wish for JSON is sent."""
        assert discovery_request(URL, limits=Limits(document_bytes=1000)) == Request(
            method="GET",
            url=URL,
            purpose="discovery",
            headers=Headers({"Accept": "application/json"}),
            max_bytes=1000,
        )

    @pytest.mark.rule("DI-02", "DI-14")
    def test_the_flow_sends_just_that(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """One request, under the configured limits."""
        script.answer(json_response(document))
        script.run(discover(state))
        assert script.requests == [discovery_request(URL)]


class TestAnswer:
    @pytest.mark.rule("DI-03")
    @pytest.mark.parametrize(
        "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
    )
    def test_json_is_json_with_or_without_charset(
        self, parse: Callable[..., Any], document: dict[str, Any], content_type: str
    ) -> None:
        """Parameters and letter case of the media type do not matter."""
        assert parse(document, headers={"Content-Type": content_type}).conformance() == ()

    @pytest.mark.rule("DI-03")
    @pytest.mark.parametrize("content_type", ["application/json+fhir", "text/html", ""])
    def test_a_wrong_label_is_a_finding(
        self, parse: Callable[..., Any], document: dict[str, Any], content_type: str
    ) -> None:
        """The body decides what it is, and the wrong label is reported."""
        metadata = parse(document, headers={"Content-Type": content_type})
        assert metadata.token_endpoint == document["token_endpoint"]
        assert [finding.rule for finding in metadata.findings] == ["DI-03"]

    @pytest.mark.rule("DI-16")
    @pytest.mark.parametrize("name", ["content-type", "CONTENT-TYPE"])
    def test_header_names_have_no_case(
        self, config: SmartConfig, document: dict[str, Any], name: str
    ) -> None:
        """Header fields are found however the server writes their names."""
        response = Response(
            status=200,
            headers=Headers({name: "application/json"}),
            body=json.dumps(document).encode(),
            url=URL,
        )
        assert parse_discovery(response, config).findings == ()

    def test_a_byte_order_mark_is_tolerated(
        self, parse: Callable[..., Any], document: dict[str, Any]
    ) -> None:
        """Some servers put one in front of their UTF-8."""
        body = b"\xef\xbb\xbf" + json.dumps(document).encode()
        assert parse(body=body).token_endpoint == document["token_endpoint"]

    @pytest.mark.rule("DI-03")
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"null",
            b'"https://sso.example.com/token"',
            b"42",
            b"<!doctype html><title>Sign in</title>",
            b"\n <OperationOutcome/>",
            b'{"token_endpoint": "https://sso.example.com/tok',
            b'{"token_endpoint": "https://a.example/t", "token_endpoint": "https://evil.example/t"}',
            b'{"a": {"b": 1, "b": 2}, "token_endpoint": "https://a.example/t"}',
            b'{"token_endpoint": "https://a.example/t", "x": NaN}',
            b'{"token_endpoint": "https://a.example/t", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
            b'{"token_endpoint": "https://a.example/t", "x": ' + b"[" * 33,
            b'{"token_endpoint": "https://a.example/t\xff"}',
            b'{"token_endpoint": "https://a.example/t", "x": "\\u0000"}',
            b'{"token_endpoint": "https://a.example/t", "x": "\\ud800"}',
            b'{"token_endpoint": "https://a.example/t", "x": [' + b"0," * 10_001 + b"0]}",
            b'{"token_endpoint": "https://a.example/t", "x": "' + b"a" * 300_000 + b'"}',
            b'{"token_endpoint": "https://a.example/t", "x": ' + b"9" * 5000 + b"}",
            b"{}",
            b'{"issuer": "https://sso.example.com"}',
        ],
        ids=lambda body: body[:40].decode("ascii", "replace"),
    )
    def test_a_hostile_document_is_a_discovery_error(self, parse: Callable[..., Any], body: bytes) -> None:
        """Whatever the body, the error is ours, with URL, status and advice, and quotes no address of it."""
        with pytest.raises(DiscoveryError) as caught:
            parse(body=body)
        error = caught.value
        assert (error.endpoint, error.status) == (URL, 200)
        assert error.advice
        assert "evil.example" not in str(error)

    @pytest.mark.parametrize(
        ("status", "word"), [(404, "Check the FHIR base"), (401, "Check"), (204, "Check"), (500, "try again")]
    )
    def test_an_error_status_is_a_discovery_error(
        self, parse: Callable[..., Any], document: dict[str, Any], status: int, word: str
    ) -> None:
        """Only 200 carries a document, whatever its body; the advice fits the status."""
        with pytest.raises(DiscoveryError) as caught:
            parse(document, status=status)
        error = caught.value
        assert (error.endpoint, error.status) == (URL, status)
        assert str(status) in error.message
        assert word in str(error.advice)

    def test_the_clients_limits_count(
        self, config: SmartConfig, json_response: Callable[..., Response], document: dict[str, Any]
    ) -> None:
        """A client can be given less to read, and then reads less."""
        with pytest.raises(DiscoveryError, match="at most 100 are read"):
            parse_discovery(json_response(document), config, limits=Limits(document_bytes=100))


class TestStrict:
    def test_a_faultless_document_passes(self, parse: Callable[..., Any], document: dict[str, Any]) -> None:
        """Strictness asks for no more than the specification."""
        assert parse(document, strict=True).token_endpoint == document["token_endpoint"]

    @pytest.mark.rule("DI-03", "DI-04", "DI-07", "DI-08", "DI-09", "DI-10", "DI-17")
    @pytest.mark.parametrize(
        ("rule", "changes"),
        [
            ("DI-04", {"token_endpoint": "/oauth2/token"}),
            ("DI-07", {"authorization_endpoint": ""}),
            ("DI-08", {"grant_types_supported": None}),
            ("DI-09", {"code_challenge_methods_supported": ["plain"]}),
            ("DI-10", {"issuer": None}),
            ("DI-17", {"associated_endpoints": [{}]}),
        ],
    )
    def test_a_broken_shall_is_refused_by_its_rule(
        self, parse: Callable[..., Any], document: dict[str, Any], rule: str, changes: dict[str, Any]
    ) -> None:
        """Where otherwise a finding is kept, a strict client refuses and names the rule."""
        severities = {f.severity for f in parse(document | changes).conformance() if f.rule == rule}
        assert severities == {"error"}
        with pytest.raises(DiscoveryError) as caught:
            parse(document | changes, strict=True)
        assert f"{rule}: " in caught.value.message
        assert (caught.value.endpoint, caught.value.status) == (URL, 200)
        assert "strict" in str(caught.value.advice)

    def test_a_wrong_label_is_refused(self, parse: Callable[..., Any], document: dict[str, Any]) -> None:
        """The media type is a SHALL as well."""
        with pytest.raises(DiscoveryError, match="DI-03"):
            parse(document, strict=True, headers={"Content-Type": "text/plain"})

    def test_warnings_pass(self, parse: Callable[..., Any], document: dict[str, Any]) -> None:
        """Only a SHALL stops a strict client."""
        document["capabilities"].remove("permission-patient")
        assert [f.rule for f in parse(document, strict=True).conformance()] == ["DI-15"]


class TestRedirects:
    @pytest.mark.parametrize("status", [300, *STATUSES, 304])
    @pytest.mark.parametrize(
        ("location", "named"),
        [
            ("https://evil.example/x?secret=1", "https://evil.example"),
            ("https://ehr.example.com/r4b/.well-known/smart-configuration", "https://ehr.example.com"),
            ("http://ehr.example.com/r4", "http://ehr.example.com"),
            ("HTTP://other.example:8080/x", "http://other.example:8080"),
            ("//evil.example/x", "https://evil.example"),
            ("/elsewhere", "https://ehr.example.com"),
            ("https://evil.example/x#fragment", "https://evil.example"),
            ("file:///etc/passwd", "no web address"),
            ("javascript:alert(1)", "no web address"),
            ("//[x", "no web address"),
            ("https://user:s3cret@evil.example/", "no web address"),
            ("", "nowhere"),
            (None, "nowhere"),
        ],
    )
    def test_none_is_followed_and_the_origin_is_named(
        self,
        state: ClientState,
        script: Any,
        redirect: Callable[..., Response],
        status: int,
        location: str | None,
        named: str,
    ) -> None:
        """One request, one typed error that names the target's origin and nothing else of it."""
        script.answer(redirect(location, status))
        with pytest.raises(DiscoveryError) as caught:
            script.run(discover(state))
        error = caught.value
        assert named in error.message
        assert (error.endpoint, error.status) == (URL, status)
        assert "follow_discovery_redirects=True" in str(error.advice)
        assert [word for word in ("secret=1", "s3cret", "passwd", "fragment") if word in str(error)] == []
        assert len(script.requests) == 1
        assert state.cached is None

    @pytest.mark.parametrize("status", STATUSES)
    def test_three_are_followed_on_request(
        self,
        state: ClientState,
        script: Any,
        redirect: Callable[..., Response],
        json_response: Callable[..., Response],
        document: dict[str, Any],
        status: int,
    ) -> None:
        """With follow_discovery_redirects, relative and absolute targets work, without credentials."""
        state.config = replace(state.config, follow_discovery_redirects=True)
        hops = ["/a", "https://b.example/b#top", "c?x=1"]
        script.answer(*(replace(redirect(hop, status), url="") for hop in hops), json_response(document))
        assert script.run(discover(state)).token_endpoint == document["token_endpoint"]
        assert [request.url for request in script.requests] == [
            URL,
            "https://ehr.example.com/a",
            "https://b.example/b",
            "https://b.example/c?x=1",
        ]
        assert {tuple(request.headers.items()) for request in script.requests} == {
            (("accept", "application/json"),)
        }

    @pytest.mark.rule("DI-05")
    def test_relative_endpoints_still_start_from_the_fhir_base(
        self,
        state: ClientState,
        script: Any,
        redirect: Callable[..., Response],
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """A redirect changes where the document is, not what it is relative to."""
        state.config = replace(state.config, follow_discovery_redirects=True)
        document["token_endpoint"] = "/token"
        script.answer(redirect("https://b.example/b"), json_response(document))
        assert script.run(discover(state)).token_endpoint == "https://ehr.example.com/token"

    def test_a_fourth_is_not_followed(
        self, state: ClientState, script: Any, redirect: Callable[..., Response]
    ) -> None:
        """A loop ends after three."""
        state.config = replace(state.config, follow_discovery_redirects=True)
        script.answer(*(redirect("/again") for _ in range(4)))
        with pytest.raises(DiscoveryError, match=r"to https://ehr\.example\.com") as caught:
            script.run(discover(state))
        assert "at most 3" in str(caught.value)
        assert len(script.requests) == 4

    @pytest.mark.parametrize(
        "location", ["http://ehr.example.com/r4", "http://127.0.0.1/", "file:///etc/passwd", "//[x", "", None]
    )
    def test_nothing_but_https_is_followed(
        self, state: ClientState, script: Any, redirect: Callable[..., Response], location: str | None
    ) -> None:
        """The switch opens redirects to https only."""
        state.config = replace(state.config, follow_discovery_redirects=True)
        script.answer(redirect(location))
        with pytest.raises(DiscoveryError) as caught:
            script.run(discover(state))
        assert caught.value.status == 302
        assert len(script.requests) == 1

    def test_loopback_http_is_followed_where_it_is_allowed(
        self,
        state: ClientState,
        script: Any,
        redirect: Callable[..., Response],
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """A local test server may redirect as well."""
        state.config = replace(state.config, follow_discovery_redirects=True, allow_insecure_loopback=True)
        script.answer(redirect("http://127.0.0.1:8080/x"), json_response(document))
        script.run(discover(state))
        assert [request.url for request in script.requests] == [URL, "http://127.0.0.1:8080/x"]

    def test_other_rooms_can_name_the_target_too(self, redirect: Callable[..., Response]) -> None:
        """The token endpoint's redirects are reported in the same words."""
        assert redirect_target(redirect("https://evil.example/x?code=1")) == "https://evil.example"


class TestLifetime:
    @pytest.mark.parametrize(
        ("control", "seconds"),
        [
            (None, 600),
            ("", 600),
            ("private", 600),
            ("max-age=60", 60),
            ("Max-Age = 60", 60),
            ('public, max-age="3600", immutable', 3600),
            ("max-age=0", 0),
            ("max-age=86400", 86_400),
            ("max-age=86401", 86_400),
            ("max-age=99999999999999999999", 86_400),
            ("s-maxage=5", 600),
            ("max-age=-1", 600),
            ("max-age=soon", 600),
            ("no-store", 0),
            ("no-cache", 0),
            ('no-cache="set-cookie", max-age=60', 0),
            ("max-age=60, NO-STORE", 0),
            ("x-no-store", 600),
        ],
    )
    def test_ten_minutes_or_what_the_server_says_up_to_a_day(
        self, control: str | None, seconds: float
    ) -> None:
        """Cache-Control decides, within bounds; what cannot be read counts as not said."""
        headers = Headers({} if control is None else {"Cache-Control": control})
        assert metadata_lifetime(Response(status=200, headers=headers)) == seconds


class TestCache:
    @pytest.mark.parametrize(("control", "seconds"), [(None, 600.0), ("max-age=7200", 7200.0)])
    def test_it_is_asked_once_until_the_lifetime_is_over(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
        control: str | None,
        seconds: float,
    ) -> None:
        """Fresh to the last moment, asked again at the first one after."""
        headers = {} if control is None else {"Cache-Control": control}
        later = document | {"token_endpoint": "https://sso.example.com/new"}
        script.answer(json_response(document, headers=headers), json_response(later))
        first = script.run(discover(state))
        script.advance(seconds - 1)
        assert script.run(discover(state)) is first
        script.advance(1)
        assert script.run(discover(state)).token_endpoint == "https://sso.example.com/new"
        assert len(script.requests) == 2

    def test_no_store_is_obeyed(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """A document that must not be kept is asked for each time."""
        script.answer(*[json_response(document, headers={"Cache-Control": "no-store"})] * 2)
        script.run(discover(state))
        script.run(discover(state))
        assert len(script.requests) == 2

    @pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
    def test_a_wall_clock_that_is_set_changes_nothing(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
        jump: float,
    ) -> None:
        """The cache lives by the monotonic clock."""
        script.answer(json_response(document))
        script.run(discover(state))
        script.wall += jump
        script.run(discover(state))
        assert len(script.requests) == 1

    def test_a_refresh_asks_although_it_is_fresh(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """Callers can look again at once, and what they get replaces what was kept."""
        later = document | {"token_endpoint": "https://sso.example.com/new"}
        script.answer(json_response(document), json_response(later))
        script.run(discover(state))
        script.run(discover(state, refresh=True))
        assert script.run(discover(state)).token_endpoint == "https://sso.example.com/new"
        assert len(script.requests) == 2

    def test_failures_are_not_kept(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """After an error page, an unusable document and a lost connection the next call asks again."""
        lost = TransportError("The connection was lost.", endpoint=URL, sent=None)
        script.answer(json_response({}, status=503), json_response({}), lost, json_response(document))
        for error in (DiscoveryError, DiscoveryError, TransportError):
            with pytest.raises(error):
                script.run(discover(state))
            assert state.cached is None
        assert script.run(discover(state)).token_endpoint == document["token_endpoint"]

    def test_a_failed_refresh_leaves_the_kept_document(
        self,
        state: ClientState,
        script: Any,
        json_response: Callable[..., Response],
        document: dict[str, Any],
    ) -> None:
        """A server that fails for a moment takes nothing away from those who do not insist."""
        script.answer(json_response(document), json_response({}, status=500))
        first = script.run(discover(state))
        with pytest.raises(DiscoveryError):
            script.run(discover(state, refresh=True))
        assert script.run(discover(state)) is first


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_is_no_document(parse: Callable[..., Any], status: int) -> None:
    """Read on its own, too, it is refused with the name of where it leads."""
    with pytest.raises(DiscoveryError, match=r"to https://new\.example\.com"):
        parse({}, status=status, headers={"Location": "https://new.example.com/r4"})
