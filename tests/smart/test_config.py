"""The registration: what is accepted, and which field is named when something is not."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from smart_async import ConfigurationError, PrivateKeyJWT, PublicClient, SigningKey, SmartConfig


@pytest.fixture
def refused(config: SmartConfig) -> Callable[..., ConfigurationError]:
    """Changes a valid registration and returns the error that this ends in."""

    def change(**changes: Any) -> ConfigurationError:
        with pytest.raises(ConfigurationError) as caught:
            replace(config, **changes)
        return caught.value

    return change


class TestFhirBase:
    @pytest.mark.rule("DI-18")
    @pytest.mark.parametrize(
        "base",
        [
            "http://ehr.example.com/r4",
            "https://user@ehr.example.com/r4",
            "https://user:pw@ehr.example.com/r4",
            "https://good.example@evil.example/r4",
            "https://ehr.example.com/r4#x",
            "https://ehr.example.com/r4?x=1",
            "https://ehr.exämple.com/r4",
            "https://ehr.example.com:99999/r4",
            "https://ehr.example.com:0/r4",
            "https://ehr.example.com:-1/r4",
            "https://ehr.example.com\\@evil.test/r4",
            "http://localhost.evil.test/r4",
            "http://127.0.0.1/r4",
            "https:///r4",
            "https:r4",
            "https://[x]/r4",
            "https://a%00.b/r4",
            "https://ehr.example.com./r4",
            "https://ehr.example.com/r4/../evil",
            "https://ehr.example.com/r4\n",
            " https://ehr.example.com/r4",
            "https://" + "a" * 300 + ".example/r4",
            "https://2130706433/r4",
            "",
            None,
            b"https://ehr.example.com/r4",
        ],
    )
    def test_a_base_that_parsers_could_disagree_on_is_refused(
        self, refused: Callable[..., ConfigurationError], base: Any
    ) -> None:
        """Plain http, user names, fragments, queries, odd hosts and ports: refused, naming the field."""
        error = refused(fhir_base=base)
        assert error.field == "fhir_base"
        assert "fhir_base" in str(error)

    @pytest.mark.rule("AL-12")
    @pytest.mark.parametrize(
        "base", ["https://ehr.example.com/r4", "https://EHR.example.com:443/r4/", "https://ehr.example.com"]
    )
    def test_it_is_kept_byte_for_byte(self, config: SmartConfig, base: str) -> None:
        """Servers compare `aud` as text, so nothing is tidied up."""
        assert replace(config, fhir_base=base).fhir_base == base

    @pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.8.9.1:1", "[::1]:8080"])
    def test_loopback_http_has_to_be_asked_for(
        self, config: SmartConfig, refused: Callable[..., ConfigurationError], host: str
    ) -> None:
        """Plain http on this machine works with allow_insecure_loopback, and the refusal says so."""
        base = f"http://{host}/r4"
        assert "allow_insecure_loopback=True" in str(refused(fhir_base=base))
        assert replace(config, fhir_base=base, allow_insecure_loopback=True).fhir_base == base

    @pytest.mark.parametrize("host", ["localhost.evil.test", "ehr.example.com", "10.0.0.1", "0.0.0.0"])
    def test_allow_insecure_loopback_allows_nothing_else(
        self, refused: Callable[..., ConfigurationError], host: str
    ) -> None:
        """The switch opens plain http for loopback hosts only."""
        error = refused(fhir_base=f"http://{host}/r4", allow_insecure_loopback=True)
        assert error.field == "fhir_base"


class TestClientId:
    @pytest.mark.rule("AL-06")
    @pytest.mark.parametrize("client_id", ["growth-chart", "a b", "x" * 900, "~!@"])
    def test_any_visible_ascii_is_accepted(self, config: SmartConfig, client_id: str) -> None:
        """Some servers issue signed JWTs of 900 characters as client ids."""
        assert replace(config, client_id=client_id).client_id == client_id

    @pytest.mark.rule("AL-06")
    @pytest.mark.parametrize("client_id", ["", "growth\nchart", "größe", "a\x7f", None, 7])
    def test_anything_else_is_refused(
        self, refused: Callable[..., ConfigurationError], client_id: Any
    ) -> None:
        """An empty id, control characters, other alphabets and other types are mistakes."""
        assert refused(client_id=client_id).field == "client_id"


class TestRedirectUri:
    @pytest.mark.rule("AL-01", "AL-07")
    @pytest.mark.parametrize(
        "uri",
        [
            "https://app.example.com/callback",
            "https://app.example.com",
            "https://app.example.com/callback?tenant=4",
            "http://localhost:8765/callback",
            "http://127.0.0.1:8765/callback",
            "http://[::1]/callback",
            "com.example.growth-chart:/callback",
            "com.example.growth-chart://callback",
        ],
    )
    def test_web_loopback_and_private_schemes_are_kept_as_they_are(
        self, config: SmartConfig, uri: str
    ) -> None:
        """Web apps use https, native ones loopback or a scheme of their own; all byte for byte."""
        assert replace(config, redirect_uri=uri).redirect_uri == uri

    @pytest.mark.rule("AL-01")
    @pytest.mark.parametrize(
        "uri",
        [
            "https://*.example.com/callback",
            "https://app.example.com/*",
            "com.example.app:/*",
            "https://app.example.com/callback#done",
            "https://app.example.com/callback#",
            "com.example.app:/callback#",
            "http://app.example.com/callback",
            "http://localhost.evil.test/callback",
            "/callback",
            "app.example.com/callback",
            "",
            "https://[x/callback",
            "https://[x]/callback",
            "com.example.app:/call back",
            "com.example.app:/callback\n",
            "javascript:alert(1)",
            "urn:ietf:wg:oauth:2.0:oob",
        ],
    )
    def test_wildcards_fragments_and_half_addresses_are_refused(
        self, refused: Callable[..., ConfigurationError], uri: str
    ) -> None:
        """A redirect URI is fixed and fully specified, and a code never travels over plain http."""
        error = refused(redirect_uri=uri)
        assert error.field == "redirect_uri"
        assert "redirect_uri" in str(error)

    def test_backend_clients_need_none(self, config: SmartConfig) -> None:
        """Only the user-facing flow needs a redirect URI."""
        assert replace(config, redirect_uri=None).redirect_uri is None


class TestScope:
    @pytest.mark.parametrize(
        "scope", ["", "openid", "patient/Observation.rs?category=http://x.example/c|vital-signs system/*.rs"]
    )
    def test_scopes_are_kept_as_they_are(self, config: SmartConfig, scope: str) -> None:
        """What is asked for is the app's business."""
        assert replace(config, scope=scope).scope == scope

    @pytest.mark.parametrize("scope", ['a"b', "a\\b", "a\nb", "ä", None, ["openid"]])
    def test_characters_that_no_scope_holds_are_refused(
        self, refused: Callable[..., ConfigurationError], scope: Any
    ) -> None:
        """Quotes, backslashes, controls and other types are mistakes, noticed before anything is sent."""
        assert refused(scope=scope).field == "scope"


class TestAssertionTimes:
    @pytest.mark.rule("AS-09")
    @pytest.mark.parametrize(("lifetime", "backdate"), [(300, 60), (1, 0), (300, 299), (120, 0)])
    def test_up_to_five_minutes(self, config: SmartConfig, lifetime: int, backdate: int) -> None:
        """Every whole number of seconds that leaves an assertion alive is accepted."""
        changed = replace(config, assertion_lifetime=lifetime, assertion_backdate=backdate)
        assert (changed.assertion_lifetime, changed.assertion_backdate) == (lifetime, backdate)

    @pytest.mark.rule("AS-09")
    @pytest.mark.parametrize(
        ("lifetime", "backdate", "field"),
        [
            (301, 60, "assertion_lifetime"),
            (0, 0, "assertion_lifetime"),
            (-1, 0, "assertion_lifetime"),
            (300.0, 60, "assertion_lifetime"),
            (True, 0, "assertion_lifetime"),
            ("300", 60, "assertion_lifetime"),
            (300, -1, "assertion_backdate"),
            (300, 301, "assertion_backdate"),
            (300, None, "assertion_backdate"),
            (60, 60, "assertion_backdate"),
        ],
    )
    def test_longer_or_born_expired_is_refused(
        self, refused: Callable[..., ConfigurationError], lifetime: Any, backdate: Any, field: str
    ) -> None:
        """An assertion lives five minutes at most, and at least until it is sent."""
        assert refused(assertion_lifetime=lifetime, assertion_backdate=backdate).field == field


class TestTrustedOrigins:
    def test_they_are_kept_as_origins(self, config: SmartConfig) -> None:
        """A list is accepted, and each entry is reduced to the origin that is compared later."""
        changed = replace(config, trusted_origins=["https://NEW.example.com:443/x", "https://b.example:8443"])  # type: ignore[arg-type]
        assert changed.trusted_origins == ("https://new.example.com", "https://b.example:8443")

    @pytest.mark.parametrize(
        "origins", ["https://new.example.com", ("http://new.example.com",), ("new.example.com",), ("*",)]
    )
    def test_a_single_string_and_anything_but_https_is_refused(
        self, refused: Callable[..., ConfigurationError], origins: Any
    ) -> None:
        """One string is a tuple of letters to Python, and plain http is trusted by nobody."""
        assert refused(trusted_origins=origins).field == "trusted_origins"


class TestClientAuth:
    @pytest.mark.parametrize("make", [lambda key: key, lambda key: None, lambda key: PrivateKeyJWT])
    def test_a_bare_key_is_refused_with_the_way_out(
        self, refused: Callable[..., ConfigurationError], signing_key: SigningKey, make: Callable[[Any], Any]
    ) -> None:
        """Passing the key itself is a likely slip, so the error shows what to write."""
        error = refused(client_auth=make(signing_key))
        assert error.field == "client_auth"
        assert "PrivateKeyJWT(key)" in str(error)

    def test_it_gets_to_see_the_configuration(self, config: SmartConfig) -> None:
        """An authentication can refuse a registration that it does not work with."""

        class Picky:
            def check(self, config: SmartConfig) -> None:
                raise ConfigurationError("not here", field=config.client_id)

            def authenticate(self) -> None: ...

        with pytest.raises(ConfigurationError, match="not here") as caught:
            replace(config, client_auth=Picky())  # type: ignore[arg-type]  # wrong or looser on purpose
        assert caught.value.field == "growth-chart"


class TestValue:
    def test_it_cannot_be_changed(self, config: SmartConfig) -> None:
        """It is shared between threads and loops, so it is frozen."""
        with pytest.raises(FrozenInstanceError):
            config.fhir_base = "https://evil.example/r4"  # type: ignore[misc]

    def test_its_repr_shows_no_key(self, config: SmartConfig, signing_key: SigningKey) -> None:
        """Configurations end up in logs; a private key must not."""
        assert "growth-chart" in repr(config)
        assert "BEGIN" not in repr(config)
        assert '"d"' not in repr(config)


class TestTypes:
    @pytest.mark.parametrize(
        "name",
        [
            *("redirect_uri", "discovery_url", "authorization_endpoint", "token_endpoint"),
            *("introspection_endpoint", "revocation_endpoint", "registration_endpoint", "jwks_uri"),
            *("aud", "assertion_audience", "id_token_issuer"),
        ],
    )
    @pytest.mark.parametrize("value", [5, b"https://a.example", ["https://a.example"], True])
    def test_texts_are_strings(
        self, refused: Callable[..., ConfigurationError], name: str, value: Any
    ) -> None:
        """Bytes, lists and numbers are slips that are named, not exceptions of another kind."""
        assert refused(**{name: value}).field == name

    @pytest.mark.parametrize(
        "name", ["assertion_audience", "id_token_issuer", "aud", "token_endpoint", "jwks_uri"]
    )
    def test_empty_is_not_left_out(self, refused: Callable[..., ConfigurationError], name: str) -> None:
        """An empty variable must not mean the default."""
        assert refused(**{name: ""}).field == name

    @pytest.mark.parametrize(
        "name",
        [
            *("strict", "allow_insecure_loopback", "follow_discovery_redirects", "assertion_nbf"),
            *("client_id_in_body", "refresh_includes_scope", "refresh_includes_client_id", "retry_bare_400"),
        ],
    )
    @pytest.mark.parametrize("value", ["no", "false", 0, 1, None])
    def test_switches_are_true_or_false(
        self, refused: Callable[..., ConfigurationError], name: str, value: Any
    ) -> None:
        """The text "no" is true to Python."""
        assert refused(**{name: value}).field == name

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("discovery", "on"),
            ("discovery", None),
            ("token_request", "json"),
            ("introspection_auth", "basic"),
            ("id_token", False),
            ("id_token", ["verify"]),
        ],
    )
    def test_choices_are_listed(
        self, refused: Callable[..., ConfigurationError], name: str, value: Any
    ) -> None:
        """A value that is none of them is answered with all of them."""
        error = refused(**{name: value})
        assert error.field == name
        assert "must be one of '" in str(error)

    @pytest.mark.parametrize("name", ["discovery_url", "token_endpoint", "jwks_uri"])
    @pytest.mark.parametrize(
        "url", ["http://a.example/x", "https://u@a.example/x", "https://a.example/x#y", "/x"]
    )
    def test_endpoints_are_https(
        self, refused: Callable[..., ConfigurationError], name: str, url: str
    ) -> None:
        """What is given by hand is no safer on the way than what is discovered."""
        assert refused(**{name: url}).field == name

    @pytest.mark.parametrize("origins", [5, None, (5,), {"https://a.example": 1}])
    def test_origins_are_a_list_of_strings(
        self, refused: Callable[..., ConfigurationError], origins: Any
    ) -> None:
        """Anything else is named."""
        assert refused(trusted_origins=origins).field == "trusted_origins"


class TestCopies:
    def test_a_copy_is_equal(self, config: SmartConfig) -> None:
        """Frameworks copy their settings; a read-only mapping in them is no hindrance."""
        public = replace(
            config, client_auth=PublicClient(), extra_token_params={"a": "b"}, vendor="epic", aud=None
        )
        for made in (copy.copy(public), copy.deepcopy(public), pickle.loads(pickle.dumps(public))):
            assert made == public
            assert made.extra_token_params == {"a": "b"}

    def test_it_can_be_a_key(self, config: SmartConfig) -> None:
        """Mappings do not count for the hash."""
        public = replace(config, client_auth=PublicClient(), extra_token_params={"a": "b"})
        assert {public: 1}[replace(public)] == 1

    def test_lists_become_tuples(self, config: SmartConfig) -> None:
        """What was checked cannot be changed through the list that it came in."""
        sources = ["token", "fhirUser"]
        changed = replace(config, patient_from=sources)  # type: ignore[arg-type]
        sources.append("nonsense")
        assert changed.patient_from == ("token", "fhirUser")


@pytest.mark.parametrize("attempts", [0, -1, 11, True, 2.0, "3", None])
def test_attempts_are_counted(config: SmartConfig, attempts: Any) -> None:
    """A request is sent once at least, and no server is asked for ever."""
    with pytest.raises(ConfigurationError, match="whole number from 1 to 10") as refused:
        replace(config, attempts=attempts)
    assert refused.value.field == "attempts"
    assert replace(config, attempts=10).attempts == 10
