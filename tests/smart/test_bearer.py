"""Where a token may go: decided by the origin, as every parser reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async import ConfigurationError, PublicClient, Secret, SmartConfig, Token, TokenOriginError
from smart_async.smart.bearer import BearerGuard, Hop, authorization, token_origins, url_origin
from smart_async.smart.token_response import parse_token_response

BASE = "https://ehr.example.com/r4"
FILES = "https://files.example.com"


@dataclass(frozen=True)
class Foreign:
    """A token of somebody's own."""

    access_token: Secret


def guard(**more: Any) -> BearerGuard:
    settings = {"fhir_base": BASE, "client_id": "c", "client_auth": PublicClient(), **more}
    return BearerGuard.of(SmartConfig(**settings))


@pytest.fixture
def receive(token_document: Any, json_response: Any, binding: Any) -> Callable[..., Token]:
    """A token whose authorization_details name these locations."""

    def make(*locations: str) -> Token:
        details = [{"type": "smart_on_fhir", "locations": [*locations], "fhirVersions": ["4.0.1"]}]
        document = {**token_document, "authorization_details": details} if locations else token_document
        return parse_token_response(json_response(document), binding=binding, requested_scope="")

    return make


class TestOrigin:
    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("https://ehr.example.com", "https://ehr.example.com"),
            ("HTTPS://EHR.example.COM:443/r4?x#y", "https://ehr.example.com"),
            ("http://ehr.example.com:80/", "http://ehr.example.com"),
            ("http://ehr.example.com:443/", "http://ehr.example.com:443"),
            ("https://ehr.example.com:80/", "https://ehr.example.com:80"),
            ("http://ehr.example.com", "http://ehr.example.com"),
            ("https://[0:0::1]:8443/", "https://[::1]:8443"),
            ("https://ehr.example.com?@evil.test", "https://ehr.example.com"),
        ],
    )
    def test_is_canonical(self, url: str, origin: str) -> None:
        """Case, the scheme's own port and the spelling of an address make no difference; the scheme does."""
        assert url_origin(url) == origin

    @pytest.mark.parametrize(
        "url",
        [
            *("", "ehr.example.com", "/r4", "//ehr.example.com", "https:ehr.example.com", "https:/x.example"),
            *("https://", "https://@ehr.example.com", "https://a@b@c", "https://ehr.example.com.", "https://a..b"),
            *("https://ehr.example.com:", "https://ehr.example.com:x", "https://ehr.example.com:0443443"),
            *("https://[::1", "https://::1", "https://2130706433", "https://0x7f.1", "https://a%2eb"),
            *("https://\u0435hr.example.com", "https://a b", " https://ehr.example.com", "ftp://ehr.example.com"),
        ],
    )  # fmt: skip
    def test_is_refused_where_parsers_differ(self, url: str) -> None:
        """What could be read in two ways is read in none, and not quoted."""
        with pytest.raises(TokenOriginError) as caught:
            url_origin(url)
        assert not url or url not in str(caught.value)

    def test_says_what_is_wrong(self) -> None:
        """In one sentence, with the rule that the URL breaks."""
        with pytest.raises(TokenOriginError) as caught:
            url_origin("https://a..b")
        assert caught.value.message == (
            "The URL of the request has a host that is not a plain DNS name "
            "(international names go in as xn--…)."
        )

    @given(st.text(max_size=60), st.sampled_from(["https://ehr.example.com", "https://", ""]))
    def test_anything_else_is_our_error(self, text: str, start: str) -> None:
        """No text makes another exception, and what starts with home is home only if a delimiter follows."""
        try:
            origin = url_origin(start + text)
        except TokenOriginError:
            return
        if start == "https://ehr.example.com" and origin == start:
            assert text[:1] in ("", "/", "?", "#", "\\", ":")


class TestGuard:
    @pytest.mark.parametrize(
        "url",
        [
            *(BASE, "https://ehr.example.com", "https://ehr.example.com/", "https://ehr.example.com?page=2"),
            *(f"{BASE}/Patient/1", f"{BASE}/Patient?url=http%3A%2F%2Fx&a=..%2f", f"{BASE}/$export"),
            *(f"{BASE}/Patient/a.b..c", f"{BASE}/Patient/%24everything", f"{BASE}/.well-known/x"),
            *(f"{BASE}//Patient", "https://ehr.example.com/x"),
        ],
    )  # fmt: skip
    def test_admits_its_origin(self, url: str) -> None:
        """Every path there, and anything in a query, is the server's own business."""
        assert guard().check(url) is None

    @given(st.text(alphabet="ehr.xampl:/@%2fF5cC?#\\0a", max_size=40))
    def test_the_short_way_admits_no_more(self, text: str) -> None:
        """Of URLs as a library writes them, what is admitted at a glance is what the full check admits."""
        for url in (f"https://{text}", f"https://ehr.example.com{text}", f"https://ehr.example.com/{text}"):
            if guard().admits(url):
                guard().check(url)

    @pytest.mark.parametrize(
        "path", ["/.", "/..", "/r4/../x", "/%2E%2e", "/a%2fb", "/a%5Cb", "/a\\b", "/a b", "/\x00"]
    )
    def test_refuses_doubtful_paths(self, path: str) -> None:
        """Behind one host there may be many tenants, and a path that leads from one to another."""
        assert not guard().admits(f"https://ehr.example.com{path}") or path in ("/a b", "/\x00")
        with pytest.raises(TokenOriginError, match="read differently"):
            guard().check(f"https://ehr.example.com{path}")

    def test_a_query_does_not_slow_it_down(self) -> None:
        """What stands behind the question mark has no say in the short way either."""
        assert guard().admits(f"{BASE}/Patient?url=http%3A%2F%2Fx&a=/../")

    def test_on_this_machine(self) -> None:
        """The permission for loopback holds for home and for what is listed, and only with it."""
        loopback = {"fhir_base": "http://127.0.0.1:8000/r4", "allow_insecure_loopback": True}
        config = SmartConfig(client_id="c", client_auth=PublicClient(), **loopback)  # type: ignore[arg-type]
        made = BearerGuard.of(config, origins=["http://127.0.0.1:9000"])
        assert made.admits("http://127.0.0.1:8000/r4/Patient")
        assert made.admits("http://127.0.0.1:9000/bulk/1")
        with pytest.raises(ConfigurationError, match="plain http"):
            BearerGuard.of(
                replace(config, fhir_base=BASE, allow_insecure_loopback=False), origins=["http://127.0.0.1"]
            )

    def test_refusals_are_what_the_configuration_says(self) -> None:
        """A 401, unless the registration knows a server that has other ways."""
        assert guard().rejected_statuses == frozenset({401})
        assert guard(token_rejected_statuses=(401, 403)).rejected_statuses == frozenset({401, 403})
        around = BearerGuard.around(BASE)
        assert (around.rejected_statuses, around.hinted) == (frozenset({401}), frozenset())

    def test_its_repr_says_each_thing_once(self) -> None:
        """What is derived is left out."""
        assert "_places" not in repr(guard())

    def test_names_both_origins(self) -> None:
        """The error says where it was going and where the token belongs, and nothing of the query."""
        with pytest.raises(TokenOriginError) as caught:
            guard().check("https://evil.test:8443/Patient/1?name=Smith")
        assert caught.value.endpoint == "https://evil.test:8443"
        assert "https://ehr.example.com" in caught.value.message
        assert "Smith" not in str(caught.value)

    def test_listed_origins(self) -> None:
        """Origins that the caller lists are as good as home; a path in them is left out of account."""
        listed = BearerGuard.of(
            SmartConfig(fhir_base=BASE, client_id="c", client_auth=PublicClient()), origins=(f"{FILES}/bulk",)
        )
        assert listed.admits(f"{FILES}/other")
        assert not listed.admits("https://files.example.com.evil.test/")

    @pytest.mark.parametrize(
        "origins", [FILES, ["http://files.example.com"], ["files.example.com"], ["https://u@x"]]
    )
    def test_unusable_origins(self, origins: Any) -> None:
        """A string is a list of letters, and plain http is no place for a token."""
        config = SmartConfig(fhir_base=BASE, client_id="c", client_auth=PublicClient())
        with pytest.raises(ConfigurationError) as caught:
            BearerGuard.of(config, origins=origins)
        assert caught.value.field == "origins"
        assert ("must be a list" in caught.value.message) is isinstance(origins, str)

    def test_trusted_origins_are_for_credentials(self) -> None:
        """Where stored tokens may be renewed is not where they may be shown."""
        with pytest.raises(TokenOriginError):
            guard(trusted_origins=(FILES,)).check(f"{FILES}/x")

    def test_around_any_server(self) -> None:
        """Without a session, plain http is one origin among others."""
        around = BearerGuard.around("http://open.example.org:8080/fhir")
        assert around.check("http://open.example.org:8080/other") is None
        with pytest.raises(TokenOriginError, match=r"belongs to http://open\.example\.org:8080"):
            around.check("https://open.example.org:8080/fhir")


class TestHops:
    def test_at_home(self) -> None:
        """Redirects within the origins that get the token are fine."""
        assert guard().check_hops([Hop(f"{BASE}/a", True), Hop("https://ehr.example.com/b", True)]) is None
        assert guard().check_hops([Hop(FILES, False)], frozenset({FILES})) is None

    @pytest.mark.parametrize(("carried", "said"), [(False, "did not go along"), (True, "Revoke the token")])
    def test_astray(self, carried: bool, said: str) -> None:
        """The first hop that left them is named, and what became of the token."""
        with pytest.raises(TokenOriginError, match=said) as caught:
            guard().check_hops([Hop(BASE, True), Hop("https://evil.test/?a=b", carried), Hop(FILES, False)])
        assert caught.value.endpoint == "https://evil.test"
        assert caught.value.advice

    def test_to_nowhere(self) -> None:
        """A URL that cannot be read is astray as well."""
        with pytest.raises(TokenOriginError, match="parsers read differently"):
            guard().check_hops([Hop("https://ehr.example.com@evil.test/", False)])


class TestToken:
    @pytest.mark.rule("CTX-12")
    def test_its_locations_count(self, receive: Callable[..., Token], config: SmartConfig) -> None:
        """The server itself says at which further FHIR endpoints the token is good."""
        token = receive("https://other.example.com/r4", "https://third.example.com:8443/x")
        named = frozenset({"https://other.example.com", "https://third.example.com:8443"})
        assert token_origins(token) == named
        made = BearerGuard.of(config, token)
        assert made.hinted == named
        with pytest.raises(TokenOriginError):
            made.check("https://other.example.com/r4")
        assert made.check("https://other.example.com/r4/Patient", named) is None

    def test_most_name_none(self, receive: Callable[..., Token]) -> None:
        """No authorization_details, or a token of somebody's own: nothing beyond home."""
        assert token_origins(receive()) == frozenset()
        assert token_origins(Foreign(Secret("x"))) == frozenset()

    def test_header(self, receive: Callable[..., Token]) -> None:
        """The scheme is written as RFC 6750 has it, whatever the server wrote."""
        token = replace(receive(), access_token=Secret("abc"))
        assert authorization(token) == "Bearer abc"
        with pytest.raises(ConfigurationError):
            authorization(replace(token, access_token=Secret("a\nb")))
