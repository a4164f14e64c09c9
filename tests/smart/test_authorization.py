"""The authorization request, and the pending login that is kept until the browser comes back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_async import (
    ConfigurationError,
    DiscoveryError,
    EHRLaunch,
    LaunchRejectedError,
    PendingAuthorization,
    Scopes,
    Secret,
    SmartConfig,
)
from smart_async.flow import Now, Send
from smart_async.messages import Response
from smart_async.smart.authorization import authorize, scope_findings
from smart_async.smart.pkce import code_challenge
from smart_async.smart.state import ClientState

Start = Callable[..., PendingAuthorization]


@pytest.fixture
def start(
    state: ClientState, script: Any, json_response: Callable[..., Response], document: dict[str, Any]
) -> Start:
    """Starts a login: `launch` and `scope` as for `authorize`, `found` changes the discovery document."""

    def run(
        *, launch: EHRLaunch | None = None, scope: Any = None, found: Any = None, **changes: Any
    ) -> PendingAuthorization:
        state.config = replace(state.config, **changes)
        state.cached = None
        script.answer(json_response(document | (found or {})))
        pending: PendingAuthorization = script.run(authorize(state, launch=launch, scope=scope))
        return pending

    return run


def query(pending: PendingAuthorization) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(pending.url).query, keep_blank_values=True, strict_parsing=True)


class TestStandalone:
    @pytest.mark.rule(
        "AL-05", "AL-06", "AL-07", "AL-09", "AL-12", "AL-14", "AL-15", "AL-18", "AL-19", "AL-24", "AL-25"
    )
    def test_the_request_holds_exactly_these_parameters(self, start: Start) -> None:
        """All required parameters once, no launch, no max_age, no resource, and a nonce for openid."""
        pending = start()
        assert pending.nonce is not None
        assert query(pending) == [
            ("response_type", "code"),
            ("client_id", "growth-chart"),
            ("redirect_uri", "https://app.example.com/callback"),
            ("scope", "openid fhirUser launch/patient patient/*.rs offline_access"),
            ("state", pending.state),
            ("aud", "https://ehr.example.com/r4"),
            ("nonce", pending.nonce.reveal()),
            ("code_challenge", code_challenge(pending.code_verifier)),
            ("code_challenge_method", "S256"),
        ]
        assert pending.url.startswith("https://sso.example.com/oauth2/authorize?response_type=code&")

    @pytest.mark.rule("AL-09", "AL-18", "AL-20")
    def test_the_form_holds_the_same(self, start: Start) -> None:
        """The browser may post what it could get."""
        pending = start()
        assert pending.form.action == "https://sso.example.com/oauth2/authorize"
        assert list(pending.form.fields) == query(pending)

    @pytest.mark.rule("AL-19")
    def test_everything_is_percent_encoded(self, start: Start) -> None:
        """Slashes, colons, blanks and the characters of granular scopes cannot be misread."""
        scope = "patient/Observation.rs?category=http://t.example/c|vital-signs&x=y"
        pending = start(scope=scope)
        assert dict(query(pending))["scope"] == scope
        assert re.fullmatch(r"[A-Za-z0-9_.~%&=\-]+", urlsplit(pending.url).query)
        assert "+" not in pending.url

    @pytest.mark.rule("AL-12")
    @pytest.mark.parametrize("base", ["https://ehr.example.com/r4/", "https://EHR.example.com:443/R4"])
    def test_aud_is_the_fhir_base_byte_for_byte(self, start: Start, base: str) -> None:
        """Slash, port and letter case stay: servers compare it as text."""
        assert dict(query(start(fhir_base=base)))["aud"] == base

    def test_no_nonce_without_openid(self, start: Start) -> None:
        """Some servers answer 400 to a parameter they do not know."""
        pending = start(scope="launch/patient patient/*.rs")
        assert pending.nonce is None
        assert "nonce" not in dict(query(pending))

    @pytest.mark.rule("AL-10", "AL-16")
    def test_state_verifier_and_nonce_are_fresh_each_time(self, start: Start) -> None:
        """Three random values for each login, none of them ever again, 43 characters each."""
        values = []
        for _ in range(50):
            pending = start()
            assert pending.nonce is not None
            values += [pending.state, pending.code_verifier.reveal(), pending.nonce.reveal()]
        assert len(set(values)) == 150
        assert [value for value in values if not re.fullmatch(r"[A-Za-z0-9_-]{43}", value)] == []

    @pytest.mark.rule("AL-14", "AL-15", "DI-09")
    @pytest.mark.parametrize("methods", [None, [], ["plain"], "S256", ["S256"]])
    def test_s256_is_sent_whatever_the_server_lists(self, start: Start, methods: Any) -> None:
        """PKCE has no switch, not even one in the server's document."""
        found = dict(query(start(found={"code_challenge_methods_supported": methods})))
        assert found["code_challenge_method"] == "S256"
        assert len(found["code_challenge"]) == 43

    @pytest.mark.rule("DI-11", "AL-22")
    def test_scopes_are_neither_added_nor_taken_away(self, start: Start) -> None:
        """Lists of supported scopes are never complete, so nothing is compared with them."""
        scope = "launch/encounter patient/Unheard.cruds __vendor.x"
        assert start(scope=scope, found={"scopes_supported": []}).scope == scope

    def test_scopes_can_be_given_as_scopes(self, start: Start) -> None:
        """The typed form is as good as the text."""
        assert start(scope=Scopes.parse("openid patient/*.rs")).scope == "openid patient/*.rs"

    def test_it_expires_after_ten_minutes(self, start: Start, script: Any) -> None:
        """The time is the wall clock's, for a stored login outlives a process."""
        pending = start()
        assert (pending.created_at, pending.expires_at) == (script.wall, script.wall + 600)

    def test_it_remembers_where_it_was_started(self, start: Start) -> None:
        """Registration, issuer and token endpoint are kept for the exchange."""
        assert start(found={"authorization_response_iss_parameter_supported": True}).binding.to_members() == {
            "fhir_base": "https://ehr.example.com/r4",
            "client_id": "growth-chart",
            "issuer": "https://sso.example.com",
            "token_endpoint": "https://sso.example.com/oauth2/token",
        }

    def test_it_remembers_what_the_server_promises(self, start: Start) -> None:
        """Whether callbacks name the issuer is decided at the start, not when one comes back."""
        assert start(found={"authorization_response_iss_parameter_supported": True}).iss_expected is True
        assert start().iss_expected is False


class TestPolicies:
    @pytest.mark.rule("AL-12", "AL-25")
    @pytest.mark.parametrize(
        ("aud", "sent"),
        [
            ("base", "https://ehr.example.com/r4/"),
            ("strip-slash", "https://ehr.example.com/r4"),
            ("https://ehr.example.com/other", "https://ehr.example.com/other"),
            (None, None),
        ],
    )
    def test_aud_follows_the_configuration(self, start: Start, aud: str | None, sent: str | None) -> None:
        """Nothing about aud is changed unless the configuration says so, and JSON remembers it."""
        pending = start(fhir_base="https://ehr.example.com/r4/", aud=aud)
        assert dict(query(pending)).get("aud") == sent
        assert PendingAuthorization.from_json(pending.to_json()) == pending

    @pytest.mark.rule("AL-26")
    def test_parameters_are_added_behind(self, start: Start) -> None:
        """Servers with parameters of their own get them, in the URL, the form and from JSON."""
        pending = start(response_mode="form_post", extra_authorize_params={"brand": "north & south"})
        assert query(pending)[-2:] == [("response_mode", "form_post"), ("brand", "north & south")]
        assert PendingAuthorization.from_json(pending.to_json()).form == pending.form

    @pytest.mark.parametrize("extra", [7, [["a"]], [["a", 7]], [[7, "a"]], ["abc"], [None], {"a": 1}])
    def test_damaged_ones_are_refused(self, start: Start, extra: Any) -> None:
        """A stored login holds pairs of strings there, or it is none."""
        members = json.loads(start().to_json())
        with pytest.raises(ConfigurationError):
            PendingAuthorization.from_json(json.dumps(members | {"extra": extra}))


class Page(HTMLParser):
    """Reads the form, the inputs and the scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class TestPage:
    @pytest.mark.rule("AL-20")
    @pytest.mark.parametrize("nonce", [None, "n-0S6"])
    def test_it_posts_exactly_the_form_however_hostile_the_launch(
        self, start: Start, nonce: str | None
    ) -> None:
        """Quotes and tags in what comes from outside stay text; without a CSP nonce there is no script."""
        handle = "\"><script>alert('1')</script>&amp;"
        pending = start(
            launch=EHRLaunch(iss="https://ehr.example.com/r4", launch=handle),
            found={"authorization_endpoint": "https://a.example/auth?a=1&amp;b='2'"},
        )
        page = Page(pending.form.html(nonce=nonce, button="<b>Go</b>"))
        assert [(field["name"], field["value"]) for field in page.all("input")] == list(pending.form.fields)
        assert page.all("form") == [{"method": "post", "action": "https://a.example/auth?a=1&amp;b='2'"}]
        assert page.all("script") == ([] if nonce is None else [{"nonce": nonce}])
        assert page.all("b") == []


class TestExistingQuery:
    @pytest.mark.rule("AL-26")
    @pytest.mark.parametrize(
        ("endpoint", "begin"),
        [
            ("https://a.example/auth", "https://a.example/auth?response_type=code&"),
            ("https://a.example/auth?tenant=4", "https://a.example/auth?tenant=4&response_type=code&"),
            ("https://a.example/auth?tenant=4&", "https://a.example/auth?tenant=4&response_type=code&"),
            ("https://a.example/auth?", "https://a.example/auth?response_type=code&"),
            ("https://a.example/auth?a=%2Fx&a=2", "https://a.example/auth?a=%2Fx&a=2&response_type=code&"),
        ],
    )
    def test_it_is_kept_in_front(self, start: Start, endpoint: str, begin: str) -> None:
        """The endpoint stays byte for byte, and the request is joined on with one separator."""
        assert start(found={"authorization_endpoint": endpoint}).url.startswith(begin)

    @pytest.mark.rule("AL-26")
    @pytest.mark.parametrize("name", ["aud", "%61ud"])
    def test_an_aud_of_its_own_is_not_sent_twice(self, start: Start, name: str) -> None:
        """One vendor's endpoint carries an aud; its value stands, in the URL and in the form."""
        pending = start(found={"authorization_endpoint": f"https://a.example/auth?{name}=theirs"})
        names = [name for name, _ in query(pending)]
        assert dict(query(pending))["aud"] == "theirs"
        assert sorted(set(names)) == sorted(names)
        assert "aud" not in dict(pending.form.fields)

    @pytest.mark.rule("AL-26")
    @pytest.mark.parametrize(
        "name",
        [
            "response_type",
            "client_id",
            "redirect_uri",
            "scope",
            "state",
            "st%61te",
            "nonce",
            "launch",
            "code_challenge",
            "code_challenge_method",
        ],
    )
    def test_any_other_parameter_of_ours_is_refused(self, start: Start, name: str) -> None:
        """Sent twice it would be ambiguous, left out it would be the server's choice."""
        with pytest.raises(DiscoveryError, match="already carries a parameter"):
            start(found={"authorization_endpoint": f"https://a.example/auth?{name}="})


class TestEHRLaunch:
    @pytest.mark.rule("AL-03", "AL-04", "AL-13", "AL-27")
    @pytest.mark.parametrize("iss", ["https://ehr.example.com/r4", "https://ehr.example.com/r4/"])
    def test_launch_is_echoed_and_aud_is_the_iss_received(self, start: Start, iss: str) -> None:
        """Byte for byte, with the scope launch in front and hints kept."""
        handle = "a+/=%20&b c"
        pending = start(launch=EHRLaunch(iss=iss, launch=handle), scope="launch/encounter user/*.rs")
        found = dict(query(pending))
        assert (found["launch"], found["aud"]) == (handle, iss)
        assert found["scope"] == "launch launch/encounter user/*.rs"

    @pytest.mark.rule("AL-04")
    def test_the_scope_launch_is_not_doubled(self, start: Start) -> None:
        """An app that asks for it itself is left alone."""
        launch = EHRLaunch(iss="https://ehr.example.com/r4", launch="1")
        assert start(launch=launch, scope="openid launch user/*.rs").scope == "openid launch user/*.rs"

    @pytest.mark.rule("AL-29")
    @pytest.mark.parametrize(
        "iss",
        [
            "https://evil.example",
            "https://evil.example/r4",
            "https://ehr.example.com.evil.example/r4",
            "https://ehr.example.com@evil.example/r4",
            "https://ehr.example.com/r4/../evil",
            "https://ehr.example.com/r4//",
            "https://ehr.example.com/r4?x",
            "https://ehr.example.com/r4#",
            "https://EHR.example.com/r4",
            "https://ehr.example.com:443/r4",
            "http://ehr.example.com/r4",
            "http://169.254.169.254/latest",
            "https://ehr.example.com",
            "https://ehr.example.com/r4b",
            "file:///etc/passwd",
            "r4",
        ],
    )
    def test_an_iss_that_is_not_configured_gets_no_request(
        self, state: ClientState, script: Any, iss: str
    ) -> None:
        """The browser says who the server is, so nothing at all is done for an unknown one."""
        with pytest.raises(LaunchRejectedError) as caught:
            script.run(authorize(state, launch=EHRLaunch(iss=iss, launch="1")))
        assert script.steps == []
        assert "evil" not in str(caught.value)


class TestRefusals:
    @pytest.mark.rule("AL-07")
    def test_without_redirect_uri(self, state: ClientState, script: Any) -> None:
        """Nobody could come back; nothing is sent."""
        state.config = replace(state.config, redirect_uri=None)
        with pytest.raises(ConfigurationError) as caught:
            script.run(authorize(state))
        assert (caught.value.field, script.steps) == ("redirect_uri", [])

    @pytest.mark.rule("AL-08")
    @pytest.mark.parametrize("scope", ["", "   ", None])
    def test_without_scope(self, state: ClientState, script: Any, scope: str | None) -> None:
        """A request without scope is refused here rather than there."""
        state.config = replace(state.config, scope="")
        with pytest.raises(ConfigurationError) as caught:
            script.run(authorize(state, scope=scope))
        assert (caught.value.field, script.steps) == ("scope", [])

    def test_with_a_scope_that_is_none(self, state: ClientState, script: Any) -> None:
        """A quote in a scope is noticed before anything is sent."""
        with pytest.raises(ConfigurationError):
            script.run(authorize(state, scope='patient/"*.rs'))
        assert script.steps == []

    @pytest.mark.rule("DI-07")
    @pytest.mark.parametrize(
        "endpoint", [None, "", "http://sso.example.com/authorize", "javascript:alert(1)"]
    )
    def test_at_a_server_where_nobody_can_sign_in(self, start: Start, endpoint: str | None) -> None:
        """A backend-only server is fine until a login is tried; no browser is sent to an unsafe address."""
        with pytest.raises(DiscoveryError, match="authorization_endpoint") as caught:
            start(found={"authorization_endpoint": endpoint})
        assert "backend_token()" in str(caught.value)

    def test_the_only_steps_are_the_time_and_discovery(self, start: Start, script: Any) -> None:
        """Starting a login sends nothing to the authorization server."""
        start()
        assert script.kinds == [Now, Send, Now]


class TestReprs:
    @pytest.mark.rule("AL-10")
    def test_nothing_that_an_attacker_could_use_is_shown(self, start: Start) -> None:
        """State, verifier, nonce and launch handle stay out of every repr."""
        launch = EHRLaunch(iss="https://ehr.example.com/r4", launch="handle-1")
        pending = start(launch=launch)
        assert pending.nonce is not None
        secrets = [pending.state, pending.code_verifier.reveal(), pending.nonce.reveal(), "handle-1"]
        for text in (repr(pending), str(pending), repr(pending.form)):
            assert [secret for secret in secrets if secret in text] == []


class TestJSON:
    def test_it_survives_a_restart(self, start: Start) -> None:
        """Everything comes back equal, from text and from bytes, and makes the same request."""
        launch = EHRLaunch(iss="https://ehr.example.com/r4", launch="x")
        for pending in (start(), start(launch=launch), start(scope="patient/*.rs", found={"issuer": None})):
            text = pending.to_json()
            assert PendingAuthorization.from_json(text) == pending
            assert PendingAuthorization.from_json(text.encode()).url == pending.url

    def test_it_names_its_version_and_origin(self, start: Start) -> None:
        """A later release can tell what it reads, and where it belongs."""
        members = json.loads(start().to_json())
        assert (members["version"], members["type"]) == (1, "pending_authorization")
        assert (members["issuer"], members["token_endpoint"], members["client_id"], members["fhir_base"]) == (
            "https://sso.example.com",
            "https://sso.example.com/oauth2/token",
            "growth-chart",
            "https://ehr.example.com/r4",
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("version", 0),
            ("version", 2),
            ("version", "1"),
            ("version", None),
            ("type", "token"),
            ("type", None),
            ("state", ""),
            ("state", None),
            ("state", ["x"]),
            ("code_verifier", None),
            ("code_verifier", "short"),
            ("code_verifier", 7),
            ("nonce", 7),
            ("authorization_endpoint", "javascript:alert(1)"),
            ("authorization_endpoint", "http://sso.example.com/authorize"),
            ("authorization_endpoint", None),
            ("token_endpoint", "https://sso.example.com@evil.example/token"),
            ("token_endpoint", "file:///dev/null"),
            ("token_endpoint", None),
            ("issuer", 7),
            ("client_id", None),
            ("fhir_base", None),
            ("redirect_uri", None),
            ("scope", ["openid"]),
            ("aud", 7),
            ("launch", 7),
            ("created_at", True),
            ("created_at", "yesterday"),
            ("expires_at", None),
            ("expires_at", "never"),
            ("iss_expected", 1),
            ("iss_expected", None),
        ],
    )
    def test_one_changed_member_is_refused_unquoted(self, start: Start, name: str, value: Any) -> None:
        """Another version, another kind of thing, or a member that cannot be: start again."""
        pending = start()
        members = json.loads(pending.to_json())
        members[name] = value
        with pytest.raises(ConfigurationError) as caught:
            PendingAuthorization.from_json(json.dumps(members))
        assert "Start the login again" in str(caught.value)
        assert pending.code_verifier.reveal() not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_every_member_is_needed(self, start: Start) -> None:
        """Nothing is made up for what is not there."""
        members = json.loads(start().to_json())
        for name in members:
            with pytest.raises(ConfigurationError):
                PendingAuthorization.from_json(json.dumps({k: v for k, v in members.items() if k != name}))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "null",
            "[]",
            '"x"',
            "7",
            "{}",
            "{",
            b"\xff",
            "\ud800",
            '{"version": 1, "version": 1}',
            "[" * 10_000,
            None,
            7,
        ],
    )
    def test_something_else_is_refused(self, text: Any) -> None:
        """Whatever else is found in the store, the error is ours."""
        with pytest.raises(ConfigurationError, match="not a pending authorization"):
            PendingAuthorization.from_json(text)

    @given(data=st.data())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
    def test_only_our_error_escapes(self, start: Start, data: st.DataObject) -> None:
        """However one member is damaged, a pending login comes back or a ConfigurationError."""
        members = json.loads(start().to_json())
        name = data.draw(st.sampled_from(sorted(members)))
        members[name] = data.draw(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just([])
        )
        try:
            pending = PendingAuthorization.from_json(json.dumps(members))
        except ConfigurationError:
            return
        assert pending.url.startswith("https://sso.example.com/oauth2/authorize")
        assert isinstance(pending.code_verifier, Secret)


def test_the_configuration_is_not_touched(start: Start, config: SmartConfig, state: ClientState) -> None:
    """A scope given for one login is for that login only."""
    start(scope="openid")
    assert state.config == config


@pytest.mark.parametrize(
    ("scope", "rules"),
    [
        pytest.param("patient/*.rs launch/patient", (), id="complete"),
        pytest.param("user/*.rs", (), id="user"),
        pytest.param("patient/*.rs", ("AL-28",), marks=pytest.mark.rule("AL-28"), id="no-launch-patient"),
        pytest.param("launch online_access", ("AL-23",), marks=pytest.mark.rule("AL-23"), id="online"),
        pytest.param("fhirUser", ("AL-30",), marks=pytest.mark.rule("AL-30"), id="fhirUser-alone"),
        pytest.param("openid fhirUser", (), marks=pytest.mark.rule("AL-30"), id="openid-fhirUser"),
    ],
)
def test_an_odd_choice_of_scopes_is_noted_and_sent_all_the_same(scope: str, rules: tuple[str, ...]) -> None:
    """A standalone request that cannot mean what it says carries a finding, and goes out as written."""
    findings = scope_findings(Scopes(scope), None)
    assert tuple(finding.rule for finding in findings) == rules


@pytest.mark.rule("AL-23", "AL-28")
def test_an_ehr_launch_may_ask_for_online_access_and_needs_no_launch_patient() -> None:
    """What is odd in a standalone launch is normal in an EHR launch."""
    launch = EHRLaunch(iss="https://ehr.example.com/r4", launch="x")
    assert scope_findings(Scopes("launch patient/*.rs online_access"), launch) == ()


@pytest.mark.rule("AL-21")
@pytest.mark.parametrize(
    ("scopes", "capabilities", "expected"),
    [(2, ["authorize-post"], False), (200, ["authorize-post"], True), (200, [], False)],
)
def test_a_long_request_prefers_the_form_where_the_server_takes_one(
    start: Start, scopes: int, capabilities: list[str], expected: bool
) -> None:
    """A URL of more than 2,000 characters is better posted, if the server says that it can be."""
    wanted = " ".join(f"patient/Observation.rs?code={number}" for number in range(scopes))
    pending = start(scope=wanted, found={"capabilities": capabilities})
    assert pending.prefers_post is expected
    assert PendingAuthorization.from_json(pending.to_json()).prefers_post is expected
