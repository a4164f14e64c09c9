"""Each knob: what goes over the wire without it, and what with it. The numbers are those of the ranking."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from smart_async import (
    ClientSecret,
    ConfigurationError,
    DiscoveryError,
    EHRLaunch,
    IdTokenError,
    OAuthError,
    PendingAuthorization,
    PrivateKeyJWT,
    PublicClient,
    Secret,
    SigningKey,
    SmartClient,
    SmartConfig,
    Token,
)
from smart_async.keys.base64url import b64url_decode
from smart_async.messages import Headers, Request, Response
from smart_async.smart.bearer import BearerGuard
from smart_async.smart.vendors import PRESETS
from smart_async.transports.scripted import ScriptedTransport, json_response

NOW = 1_750_000_000.0
BASE = "https://ehr.example.com/r4"
DOCUMENT = {
    "issuer": "https://sso.example.com",
    "jwks_uri": "https://sso.example.com/oauth2/keys",
    "authorization_endpoint": "https://sso.example.com/oauth2/authorize",
    "token_endpoint": "https://sso.example.com/oauth2/token",
    "introspection_endpoint": "https://sso.example.com/oauth2/introspect",
    "revocation_endpoint": "https://sso.example.com/oauth2/revoke",
    "registration_endpoint": "https://sso.example.com/oauth2/register",
    "grant_types_supported": ["authorization_code", "client_credentials"],
    "code_challenge_methods_supported": ["S256"],
    "capabilities": ["launch-standalone", "client-public"],
}
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "rest": [
        {
            "mode": "server",
            "security": {
                "extension": [
                    {
                        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                        "extension": [
                            {"url": "authorize", "valueUri": "https://old.example.com/authorize"},
                            {"url": "token", "valueUri": "https://old.example.com/token"},
                        ],
                    }
                ]
            },
        }
    ],
}
BACKEND = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "scope": "system/*.rs"}
LOGIN = {
    "access_token": "at-1",
    "token_type": "Bearer",
    "expires_in": 1800,
    "scope": "launch/patient patient/*.rs offline_access",
    "refresh_token": "rt-1",
    "patient": "p-1",
}
NOT_FOUND = Response(status=404)


class Clock:
    def wall(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 1_000.0


class Wire:
    """Clients whose requests are kept, and whose answers come from a script."""

    def __init__(self) -> None:
        self.transport = ScriptedTransport()

    def client(self, *answers: Response, **knobs: Any) -> SmartClient:
        self.transport.add(*answers)
        settings = {
            "fhir_base": BASE,
            "client_id": "growth-chart",
            "client_auth": ClientSecret("s3cret"),
            "redirect_uri": "https://app.example.com/callback",
            "scope": "launch/patient patient/*.rs offline_access",
            "attempts": 1,
            **knobs,
        }
        return SmartClient(SmartConfig(**settings), transport=self.transport, clock=Clock())

    def pending(self, launch: EHRLaunch | None = None, **knobs: Any) -> PendingAuthorization:
        return self.client(json_response(DOCUMENT), **knobs).authorize(launch=launch)

    def backend(self, *answers: Response, scope: str = "system/*.rs", **knobs: Any) -> Request:
        """The token request of a backend token."""
        document = () if knobs.get("discovery") == "off" else (json_response(DOCUMENT),)
        client = self.client(*document, *(answers or (json_response(BACKEND),)), **knobs)
        client.backend_token(scope)
        return self.requests[-1]

    def login(
        self, *later: Response, signed: Callable[..., str] | None = None, answer: Any = LOGIN, **knobs: Any
    ) -> tuple[SmartClient, Token]:
        """A finished login; its code request is the one to the token endpoint."""
        client = self.client(json_response(DOCUMENT), **knobs)
        pending = client.authorize()
        if signed is not None:
            assert pending.nonce is not None
            answer = {**answer, "id_token": signed(nonce=pending.nonce.reveal())}
        self.transport.add(json_response(answer), *later)
        return client, client.exchange_code(pending, f"{pending.redirect_uri}?code=c&state={pending.state}")

    def refresh(self, **knobs: Any) -> dict[str, str]:
        """The form of a refresh."""
        client, token = self.login(**knobs)
        self.transport.add(json_response({**LOGIN, "access_token": "at-2"}))
        client.refresh(token)
        return form(self.requests[-1])

    @property
    def requests(self) -> list[Request]:
        return self.transport.requests


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate("ES384", kid="key-1")


def form(request: Request) -> dict[str, str]:
    pairs = parse_qsl((request.body or b"").decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def query(pending: PendingAuthorization) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(pending.url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def assertion(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = form(request)["client_assertion"].split(".")
    return json.loads(b64url_decode(header)), json.loads(b64url_decode(claims))


class TestDefaults:
    def test_every_knob_is_off(self) -> None:
        """Without a word a configuration does what the specification says, and nothing for one server."""
        config = SmartConfig(fhir_base=BASE, client_id="c", client_auth=PublicClient())
        expected = {
            "redirect_uri": None,
            "scope": "",
            "vendor": None,
            "strict": False,
            "allow_insecure_loopback": False,
            "trusted_origins": (),
            "discovery": "well-known",
            "discovery_url": None,
            "follow_discovery_redirects": False,
            "authorization_endpoint": None,
            "token_endpoint": None,
            "introspection_endpoint": None,
            "revocation_endpoint": None,
            "registration_endpoint": None,
            "aud": "base",
            "response_mode": None,
            "assertion_audience": None,
            "assertion_lifetime": 300,
            "assertion_backdate": 60,
            "assertion_nbf": False,
            "assertion_header": {},
            "client_id_in_body": False,
            "extra_authorize_params": {},
            "extra_token_params": {},
            "extra_discovery_headers": {},
            "extra_token_headers": {},
            "refresh_includes_scope": False,
            "refresh_includes_client_id": False,
            "token_request": "form",
            "retry_bare_400": False,
            "token_rejected_statuses": (401,),
            "introspection_auth": "client",
            "id_token": "verify",
            "id_token_issuer": None,
            "jwks_uri": None,
            "patient_from": ("token",),
        }
        found = {knob.name: getattr(config, knob.name) for knob in fields(config)}
        assert {name: value for name, value in found.items() if name in expected} == expected

    def test_help_shows_the_defaults(self) -> None:
        """The signature of the class says what a knob is when it is left out."""
        shown = {knob.name: repr(knob.default) for knob in fields(SmartConfig)}
        assert (shown["aud"], shown["assertion_lifetime"], shown["id_token"]) == ("'base'", "300", "'verify'")


class TestAud:
    """1"""

    @pytest.mark.rule("AL-12")
    @pytest.mark.parametrize(
        ("base", "aud", "sent"),
        [
            (BASE, ..., BASE),
            (f"{BASE}/", ..., f"{BASE}/"),
            (f"{BASE}/", "base", f"{BASE}/"),
            (f"{BASE}/", "strip-slash", BASE),
            (BASE, "strip-slash", BASE),
            (BASE, "https://api.example.com/v1", "https://api.example.com/v1"),
            (BASE, None, None),
        ],
    )
    def test_on_the_wire(self, wire: Wire, base: str, aud: Any, sent: str | None) -> None:
        """As given, without its slash, another one, or none."""
        knobs = {} if aud is ... else {"aud": aud}
        assert query(wire.pending(fhir_base=base, **knobs)).get("aud") == sent

    @pytest.mark.rule("AL-13")
    @pytest.mark.parametrize(
        ("aud", "sent"),
        [
            ("base", f"{BASE}/"),
            ("strip-slash", BASE),
            (None, None),
            ("https://x.example", "https://x.example"),
        ],
    )
    def test_of_an_ehr_launch(self, wire: Wire, aud: str | None, sent: str | None) -> None:
        """There it is the iss as it was received, by the same policy."""
        launch = EHRLaunch(iss=f"{BASE}/", launch="x")
        assert query(wire.pending(launch, aud=aud)).get("aud") == sent

    @pytest.mark.parametrize(
        "aud", ["", "root", "http://api.example.com", "https://a.example/x#y", "Base", 5]
    )
    def test_nonsense_is_refused(self, wire: Wire, aud: Any) -> None:
        """A typing error must not become the audience."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(aud=aud)
        assert caught.value.field == "aud"


class TestDiscovery:
    """2"""

    def test_one_document_by_default(self, wire: Wire) -> None:
        """The smart-configuration is asked for, and nothing else."""
        metadata = wire.client(json_response(DOCUMENT)).discover()
        assert [request.url for request in wire.requests] == [f"{BASE}/.well-known/smart-configuration"]
        assert set(metadata.sources.values()) == {"well-known"}

    def test_off_asks_nobody(self, wire: Wire) -> None:
        """Only the endpoints that were given are there; nothing is missed in a document nobody read."""
        client = wire.client(
            discovery="off",
            token_endpoint="https://t.example/token",
            authorization_endpoint="https://a.example/authorize",
        )
        metadata = client.discover()
        assert (metadata.token_endpoint, metadata.authorization_endpoint, metadata.issuer) == (
            "https://t.example/token",
            "https://a.example/authorize",
            None,
        )
        assert set(metadata.sources.values()) == {"configuration"}
        assert metadata.conformance() == ()
        assert client.authorize().url.startswith("https://a.example/authorize?")
        assert wire.requests == []

    def test_off_and_strict_have_nothing_to_refuse(self, wire: Wire) -> None:
        """Without a document there is none that could break a rule."""
        client = wire.client(discovery="off", strict=True, token_endpoint="https://t.example/token")
        assert client.discover().token_endpoint == "https://t.example/token"

    def test_off_without_an_authorization_endpoint(self, wire: Wire) -> None:
        """A backend needs none; a login says that it is missing."""
        with pytest.raises(DiscoveryError, match="authorization_endpoint"):
            wire.client(discovery="off", token_endpoint="https://t.example/token").authorize()

    def test_metadata_asks_for_the_capability_statement(self, wire: Wire) -> None:
        """It alone, as JSON."""
        metadata = wire.client(json_response(STATEMENT), discovery="metadata").discover()
        (request,) = wire.requests
        assert request.url == f"{BASE}/metadata"
        assert request.headers["accept"] == "application/fhir+json, application/json;q=0.9"
        assert request.max_bytes == 8 * 1024 * 1024
        assert (metadata.token_endpoint, metadata.sources["token_endpoint"]) == (
            "https://old.example.com/token",
            "capability-statement",
        )

    @pytest.mark.parametrize(
        "first",
        [
            Response(status=400),
            Response(status=401),
            NOT_FOUND,
            Response(status=500),
            Response(status=302, headers=Headers({"Location": "https://x.example/"})),
            Response(status=200, body=b"<html></html>"),
            Response(status=200, body=b"[]"),
            json_response({}),
            json_response({"token_endpoint": ""}),
            json_response({"token_endpoint": None}),
        ],
    )
    def test_auto_goes_on_after_any_failure(self, wire: Wire, first: Response) -> None:
        """A status, a page, an array, a document without a token endpoint: /metadata is next."""
        metadata = wire.client(first, json_response(STATEMENT), discovery="auto").discover()
        assert metadata.token_endpoint == "https://old.example.com/token"
        assert [urlsplit(request.url).path for request in wire.requests] == [
            "/r4/.well-known/smart-configuration",
            "/r4/metadata",
        ]

    def test_auto_ends_with_the_openid_configuration(self, wire: Wire) -> None:
        """It has the endpoints of servers that know no SMART; the source of each field is kept."""
        configuration = {**DOCUMENT, "userinfo_endpoint": "https://sso.example.com/me"}
        answers = (NOT_FOUND, NOT_FOUND, json_response(configuration))
        metadata = wire.client(*answers, discovery="auto").discover()
        assert wire.requests[-1].url == f"{BASE}/.well-known/openid-configuration"
        assert metadata.token_endpoint == DOCUMENT["token_endpoint"]
        assert set(metadata.sources.values()) == {"openid-configuration"}
        assert "userinfo_endpoint" not in metadata.raw

    def test_auto_fills_gaps_and_overrules_nothing(self, wire: Wire) -> None:
        """Issuer and keys come from the OpenID configuration; what was known stays."""
        partial = {"token_endpoint": "https://first.example/token", "issuer": ""}
        configuration = {
            "issuer": "https://sso.example.com",
            "token_endpoint": "https://second.example/token",
        }
        client = wire.client(
            json_response(partial),
            json_response({**configuration, "jwks_uri": "https://sso.example.com/keys"}),
            discovery="auto",
            scope="openid",
        )
        metadata = client.discover()
        assert metadata.token_endpoint == "https://first.example/token"
        assert (metadata.issuer, metadata.jwks_uri) == (
            "https://sso.example.com",
            "https://sso.example.com/keys",
        )
        assert metadata.sources == {
            "token_endpoint": "well-known",
            "issuer": "openid-configuration",
            "jwks_uri": "openid-configuration",
        }

    def test_auto_asks_no_more_than_it_needs(self, wire: Wire) -> None:
        """A complete first document is the only one."""
        wire.client(json_response(DOCUMENT), discovery="auto", scope="openid").discover()
        assert len(wire.requests) == 1

    def test_auto_without_any_document_names_the_first_failure(self, wire: Wire) -> None:
        """Three refusals: the one of the smart-configuration says most."""
        answers = (Response(status=403), NOT_FOUND, NOT_FOUND)
        with pytest.raises(DiscoveryError, match="403"):
            wire.client(*answers, discovery="auto").discover()

    def test_auto_with_an_issuer_and_nothing_else(self, wire: Wire) -> None:
        """An OpenID configuration without endpoints does not hide why there are none."""
        answers = (Response(status=403), NOT_FOUND, json_response({"issuer": "https://sso.example.com"}))
        with pytest.raises(DiscoveryError, match="403"):
            wire.client(*answers, discovery="auto").discover()

    @pytest.mark.parametrize("mode", ["well-known", "metadata", "auto"])
    def test_a_configured_endpoint_does_without_documents(self, wire: Wire, mode: str) -> None:
        """A document that is not there is passed over with a finding, where the token endpoint is known."""
        answers = [NOT_FOUND] * (3 if mode == "auto" else 1)
        metadata = wire.client(*answers, discovery=mode, token_endpoint="https://t.example/token").discover()
        assert metadata.token_endpoint == "https://t.example/token"
        assert [finding.rule for finding in metadata.findings] == ["DI-03"]
        wire.transport.assert_all_used()

    @pytest.mark.parametrize("mode", ["well-known", "metadata", "auto"])
    def test_a_server_that_is_down_will_be_missed(self, wire: Wire, mode: str) -> None:
        """Its document may name an issuer and more; for the moment there is none, and that is not kept."""
        answers = [Response(status=503)] * (3 if mode == "auto" else 1)
        client = wire.client(*answers, discovery=mode, token_endpoint="https://t.example/token")
        with pytest.raises(DiscoveryError, match="try again later"):
            client.discover()
        wire.transport.add(json_response(DOCUMENT if mode != "metadata" else STATEMENT))
        assert client.discover().token_endpoint == "https://t.example/token"

    def test_strict_refuses_what_was_passed_over(self, wire: Wire) -> None:
        """A missing document breaks a rule."""
        with pytest.raises(DiscoveryError, match="DI-03"):
            wire.client(NOT_FOUND, json_response(STATEMENT), discovery="auto", strict=True).discover()

    @pytest.mark.rule("DI-01")
    def test_discovery_url(self, wire: Wire) -> None:
        """The document is fetched from elsewhere; base and audience stay what they are."""
        url = "https://ehr.example.com/.well-known/smart-configuration?tenant=1"
        pending = wire.pending(discovery_url=url)
        assert (wire.requests[0].url, query(pending)["aud"]) == (url, BASE)

    @pytest.mark.parametrize(
        "name",
        [
            "authorization_endpoint",
            "token_endpoint",
            "introspection_endpoint",
            "revocation_endpoint",
            "registration_endpoint",
        ],
    )
    def test_each_endpoint_can_be_replaced(self, wire: Wire, name: str) -> None:
        """The configured one is used, the discovered one stays in `raw`, and the source says so."""
        url = "https://other.example.com/x/?a=1"
        metadata = wire.client(json_response(DOCUMENT), **{name: url}).discover()
        assert getattr(metadata, name) == url
        assert (metadata.sources[name], metadata.raw[name]) == ("configuration", DOCUMENT[name])
        assert metadata.sources["issuer"] == "well-known"

    def test_a_replaced_token_endpoint_gets_the_request(self, wire: Wire, key: SigningKey) -> None:
        """Byte for byte, a slash at its end included, and the assertion is made out to it."""
        url = "https://other.example.com/token/"
        request = wire.backend(token_endpoint=url, client_auth=PrivateKeyJWT(key))
        assert (request.url, assertion(request)[1]["aud"]) == (url, url)

    def test_replaced_endpoints_get_their_requests(self, wire: Wire) -> None:
        """Introspection and revocation go where the configuration says."""
        ends = {
            "introspection_endpoint": "https://sso.example.com/i",
            "revocation_endpoint": "https://sso.example.com/r",
        }
        client, token = wire.login(**ends)
        wire.transport.add(json_response({"active": True}), Response(status=200), Response(status=200))
        client.introspect(token)
        client.revoke(token)
        urls = {request.purpose: request.url for request in wire.requests}
        assert urls["introspection"] == ends["introspection_endpoint"]
        assert urls["revocation"] == ends["revocation_endpoint"]

    @pytest.mark.rule("DI-14")
    @pytest.mark.parametrize("mode", ["well-known", "metadata", "auto"])
    def test_no_document_is_asked_for_with_credentials(self, wire: Wire, mode: str) -> None:
        """No rung of the ladder carries an Authorization or a body."""
        answers = [NOT_FOUND] * (3 if mode == "auto" else 1)
        with pytest.raises(DiscoveryError):
            wire.client(*answers, discovery=mode).discover()
        assert [(request.body, "authorization" in request.headers) for request in wire.requests] == [
            (None, False)
        ] * len(answers)

    @pytest.mark.parametrize("mode", ["well-known", "metadata", "auto"])
    def test_redirects_are_followed_only_on_demand(self, wire: Wire, mode: str) -> None:
        """Off: an error that names the target. On: https, three times at most, without extra headers."""
        moved = Response(status=307, headers=Headers({"Location": "https://new.example.com/doc"}))
        document = json_response(STATEMENT if mode == "metadata" else DOCUMENT)
        if mode != "auto":
            with pytest.raises(DiscoveryError, match=r"https://new\.example\.com"):
                wire.client(moved, discovery=mode).discover()
        client = wire.client(
            *[moved] * 3,
            document,
            discovery=mode,
            follow_discovery_redirects=True,
            extra_discovery_headers={"X-Who": "me"},
        )
        asked = len(wire.requests)
        assert client.discover().token_endpoint
        assert ["x-who" in request.headers for request in wire.requests[asked:]] == [
            True,
            False,
            False,
            False,
        ]
        assert len({request.headers["accept"] for request in wire.requests[asked:]}) == 1

    @pytest.mark.parametrize(
        "location", ["http://ehr.example.com/doc", "file:///etc/passwd", "", "https://a.example@b.example/"]
    )
    def test_redirects_to_nowhere(self, wire: Wire, location: str) -> None:
        """Plain http, other schemes and names in front of the host are not followed at all."""
        moved = Response(status=302, headers=Headers({"Location": location}))
        with pytest.raises(DiscoveryError):
            wire.client(moved, follow_discovery_redirects=True).discover()
        assert len(wire.requests) == 1


class TestClientAuth:
    """3, 6"""

    @pytest.mark.rule("TK-06")
    @pytest.mark.parametrize("listed", [[], ["private_key_jwt"], ["client_secret_post"], ["none"]])
    def test_what_is_configured_wins(self, wire: Wire, listed: list[str]) -> None:
        """The server's list is advertising: Basic was registered, and Basic is sent, backend included."""
        document = {**DOCUMENT, "token_endpoint_auth_methods_supported": listed}
        wire.client(json_response(document), json_response(BACKEND)).backend_token()
        request = wire.requests[-1]
        assert (
            base64.b64decode(request.headers["authorization"].removeprefix("Basic "))
            == b"growth-chart:s3cret"
        )
        assert "client_id" not in form(request)

    def test_a_secret_in_the_form(self, wire: Wire) -> None:
        """client_secret_post: both in the form, no header."""
        request = wire.backend(client_auth=ClientSecret("s3cret", method="post"))
        assert form(request)["client_secret"] == "s3cret"
        assert "authorization" not in request.headers

    def test_a_public_client_gets_no_backend_token(self, wire: Wire) -> None:
        """It is refused before anything is sent, discovery included."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(client_auth=PublicClient()).backend_token()
        assert (caught.value.field, wire.requests) == ("client_auth", [])

    def test_a_public_client_logs_in(self, wire: Wire) -> None:
        """Its id is in the form, and PKCE proves the rest."""
        wire.login(client_auth=PublicClient())
        sent = form(wire.requests[-1])
        assert (sent["client_id"], len(sent["code_verifier"]) >= 43) == ("growth-chart", True)

    def test_client_id_in_body(self, wire: Wire, key: SigningKey) -> None:
        """Beside an assertion only where the server insists."""
        assert "client_id" not in form(wire.backend(client_auth=PrivateKeyJWT(key)))
        request = wire.backend(client_auth=PrivateKeyJWT(key), client_id_in_body=True)
        assert form(request)["client_id"] == "growth-chart"


class TestAssertion:
    """4, 7, 10, 16"""

    @pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"])
    def test_the_key_decides_the_algorithm(self, wire: Wire, algorithm: str) -> None:
        """Any of them can be asked for when the key is loaded."""
        made = SigningKey.generate(algorithm, kid="k", key_size=2048)
        assert assertion(wire.backend(client_auth=PrivateKeyJWT(made)))[0]["alg"] == algorithm

    @pytest.mark.rule("AS-22")
    def test_a_list_that_is_wrong_can_be_overruled(self, wire: Wire, key: SigningKey) -> None:
        """By default a key that the server lists no algorithm for is refused; named by hand it signs."""
        document = {**DOCUMENT, "token_endpoint_auth_signing_alg_values_supported": ["RS256"]}
        with pytest.raises(ConfigurationError, match="algorithm="):
            wire.client(json_response(document), client_auth=PrivateKeyJWT(key)).backend_token()
        auth = PrivateKeyJWT(key, algorithm="ES384")
        wire.client(json_response(document), json_response(BACKEND), client_auth=auth).backend_token()
        assert assertion(wire.requests[-1])[0]["alg"] == "ES384"

    @pytest.mark.rule("AS-08", "AS-09")
    def test_as_it_is_by_default(self, wire: Wire, key: SigningKey) -> None:
        """Three header members, six claims; the audience is one string, the time is a minute back."""
        header, claims = assertion(wire.backend(client_auth=PrivateKeyJWT(key)))
        assert header == {"alg": "ES384", "kid": "key-1", "typ": "JWT"}
        assert sorted(claims) == ["aud", "exp", "iat", "iss", "jti", "sub"]
        assert (claims["aud"], claims["iat"], claims["exp"]) == (
            DOCUMENT["token_endpoint"],
            NOW - 60,
            NOW + 240,
        )

    @pytest.mark.parametrize("audience", ["https://sso.example.com", "ssas", "urn:x"])
    def test_assertion_audience(self, wire: Wire, key: SigningKey, audience: str) -> None:
        """An issuer, a constant, an internal URL: as given, though the request goes to the token endpoint."""
        request = wire.backend(client_auth=PrivateKeyJWT(key), assertion_audience=audience)
        assert (assertion(request)[1]["aud"], request.url) == (audience, DOCUMENT["token_endpoint"])

    @pytest.mark.rule("AS-09")
    def test_times(self, wire: Wire, key: SigningKey) -> None:
        """Lifetime and backdate are as configured; nbf is added where it is asked for, equal to iat."""
        request = wire.backend(
            client_auth=PrivateKeyJWT(key), assertion_lifetime=120, assertion_backdate=10, assertion_nbf=True
        )
        claims = assertion(request)[1]
        assert (claims["iat"], claims["nbf"], claims["exp"]) == (NOW - 10, NOW - 10, NOW + 110)

    def test_header_members(self, wire: Wire, key: SigningKey) -> None:
        """Members are added, replaced and left out; jku is the authentication's own."""
        auth = PrivateKeyJWT(key, jku="https://app.example.com/jwks.json")
        extra = {"kid": None, "x5t#S256": "Zm9v", "typ": "client-authentication+jwt"}
        assert assertion(wire.backend(client_auth=auth, assertion_header=extra))[0] == {
            "alg": "ES384",
            "typ": "client-authentication+jwt",
            "jku": "https://app.example.com/jwks.json",
            "x5t#S256": "Zm9v",
        }

    @pytest.mark.parametrize("name", ["alg", "ALG", "jku", "jwk", "crit", "b64"])
    def test_header_members_that_are_not_for_the_taking(self, wire: Wire, name: str) -> None:
        """What decides how a signature is verified cannot be set by hand."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(assertion_header={name: "none"})
        assert caught.value.field == "assertion_header"

    def test_the_other_assertion_is_made_alike(self, wire: Wire, key: SigningKey) -> None:
        """An assertion that is the grant itself follows the same knobs."""
        client = wire.client(
            json_response(DOCUMENT),
            json_response(BACKEND),
            client_auth=PublicClient(),
            assertion_audience="urn:x",
            assertion_nbf=True,
            assertion_header={"kid": None},
        )
        client.jwt_bearer_token(key=key)
        header, claims, _ = form(wire.requests[-1])["assertion"].split(".")
        assert json.loads(b64url_decode(header)) == {"alg": "ES384", "typ": "JWT"}
        decoded = json.loads(b64url_decode(claims))
        assert (decoded["aud"], decoded["nbf"]) == ("urn:x", decoded["iat"])


class TestScopes:
    """5"""

    @pytest.mark.rule("DI-11", "AL-22")
    @pytest.mark.parametrize("supported", [[], ["openid"], ["patient/*.read"]])
    def test_sent_verbatim(self, wire: Wire, supported: list[str]) -> None:
        """scopes_supported filters nothing, and nothing is added."""
        client = wire.client(json_response({**DOCUMENT, "scopes_supported": supported}))
        scope = "launch/patient patient/Observation.rs?category=http://x.example//c|lab fhir a:b"
        assert query(client.authorize(scope=scope))["scope"] == scope

    @pytest.mark.parametrize(
        "scope", ["system/*.*", "clientCreds", "https://ws.example/.default", "system/Patient.$export"]
    )
    def test_literal_backend_scopes(self, wire: Wire, scope: str) -> None:
        """What a server wants as a constant is sent as that constant."""
        assert form(wire.backend(scope=scope))["scope"] == scope


class TestExtras:
    """8"""

    def test_nothing_extra_by_default(self, wire: Wire) -> None:
        """Neither header nor parameter beyond what the protocol asks for."""
        request = wire.backend()
        assert sorted(wire.requests[0].headers) == ["accept"]
        assert sorted(request.headers) == ["accept", "authorization", "content-type"]
        assert sorted(form(request)) == ["grant_type", "scope"]

    def test_of_the_authorization_request(self, wire: Wire) -> None:
        """Added behind the others, in the URL and in the form, both encoded."""
        pending = wire.pending(extra_authorize_params={"login_hint": "münch & co", "a&b#c": "1"})
        assert query(pending)["login_hint"] == "münch & co"
        assert query(pending)["a&b#c"] == "1"
        assert dict(pending.form.fields)["a&b#c"] == "1"
        assert urlsplit(pending.url).fragment == ""
        assert "münch" not in repr(pending)

    def test_of_every_token_request(self, wire: Wire) -> None:
        """Code, refresh and client_credentials alike; headers as well as fields."""
        knobs = {"extra_token_params": {"practice": "7"}, "extra_token_headers": {"X-Practice": "seven"}}
        client, token = wire.login(**knobs)
        wire.transport.add(json_response(LOGIN), json_response(BACKEND))
        client.refresh(token)
        client.backend_token()
        sent = [request for request in wire.requests if request.purpose == "token"]
        assert [form(request)["practice"] for request in sent] == ["7"] * 3
        assert [request.headers["x-practice"] for request in sent] == ["seven"] * 3
        assert "x-practice" not in wire.requests[0].headers

    def test_a_scope_is_sent_where_there_is_none(self, wire: Wire) -> None:
        """MeldRx wants it with the code; a request that has its own keeps that one, and has it once."""
        knobs = {"extra_token_params": {"scope": "patient/*.rs"}}
        client, _ = wire.login(**knobs)
        assert form(wire.requests[-1])["scope"] == "patient/*.rs"
        wire.transport.add(json_response(BACKEND))
        client.backend_token("system/*.rs")
        assert form(wire.requests[-1])["scope"] == "system/*.rs"

    @pytest.mark.parametrize("mode", ["well-known", "metadata", "auto"])
    def test_of_discovery(self, wire: Wire, mode: str) -> None:
        """Every document is asked for with them, and nothing else is."""
        answers = [NOT_FOUND] * (2 if mode == "auto" else 0)
        document = json_response(STATEMENT if mode == "metadata" else DOCUMENT)
        client = wire.client(
            *answers, document, discovery=mode, extra_discovery_headers={"Epic-Client-ID": "g"}
        )
        wire.transport.add(json_response(BACKEND))
        client.backend_token()
        *documents, token = wire.requests
        assert {request.headers["epic-client-id"] for request in documents} == {"g"}
        assert "epic-client-id" not in token.headers

    @pytest.mark.parametrize(
        ("knob", "name"),
        [
            *(
                ("extra_authorize_params", name)
                for name in ("state", "aud", "nonce", "code_challenge_method")
            ),
            *(
                ("extra_authorize_params", name)
                for name in ("redirect_uri", "launch", "response_mode", "Scope")
            ),
            *(
                ("extra_token_params", name)
                for name in ("code", "client_secret", "assertion", "refresh_token")
            ),
            *(("extra_token_params", name) for name in ("client_id", "client_assertion", "grant_type")),
            *(("extra_token_headers", name) for name in ("Authorization", "content-type", "Host", "Cookie")),
            *(("extra_token_headers", name) for name in ("Transfer-Encoding", "Content-Length", "Accept")),
            *(
                ("extra_discovery_headers", name)
                for name in ("authorization", "Connection", "Accept-Encoding")
            ),
        ],
    )
    def test_what_the_protocol_sets_itself(self, wire: Wire, knob: str, name: str) -> None:
        """State, PKCE, credentials and framing cannot be overwritten from the side."""
        with pytest.raises(ConfigurationError, match="the protocol sets itself") as caught:
            wire.client(**{knob: {name: "x"}})
        assert caught.value.field == knob

    @pytest.mark.parametrize(
        ("knob", "extras"),
        [
            ("extra_token_headers", {"X-A": "b\r\nX-C: d"}),
            ("extra_token_headers", {"X A": "b"}),
            ("extra_token_headers", {"X-A": " b"}),
            ("extra_token_headers", {"X-A": "b "}),
            ("extra_token_headers", {"X-A": "ü"}),
            ("extra_token_headers", {"": "b"}),
            ("extra_token_headers", {"X-A": None}),
            ("extra_discovery_headers", {"X-A\n": "b"}),
            ("extra_token_params", {"a": None}),
            ("extra_token_params", {"a": 5}),
            ("extra_token_params", {5: "a"}),
            ("extra_token_params", {"": "a"}),
            ("extra_token_params", {"a": "b\x00"}),
            ("extra_token_params", {"a": "\ud800"}),
            ("extra_authorize_params", {"a\n": "b"}),
            ("extra_authorize_params", [("a", "b")]),
            ("extra_authorize_params", "a=b"),
            ("assertion_header", {"x5t": 5}),
            ("assertion_header", None),
        ],
    )
    def test_what_cannot_be_sent(self, wire: Wire, knob: str, extras: Any) -> None:
        """Line breaks, blanks at an edge, other types: refused when the configuration is made."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(**{knob: extras})
        assert caught.value.field == knob

    def test_they_are_copied(self, wire: Wire) -> None:
        """A mapping that changes later does not change the configuration."""
        extras = {"practice": "7"}
        client = wire.client(extra_token_params=extras)
        extras["grant_type"] = "evil"
        assert client.config.extra_token_params == {"practice": "7"}
        with pytest.raises(TypeError):
            client.config.extra_token_params["code"] = "x"  # type: ignore[index]


class TestIdToken:
    """9"""

    def login(
        self, wire: Wire, issuer: Any, *later: Response, claims: dict[str, Any] | None = None, **knobs: Any
    ) -> Token:
        def id_token(**more: Any) -> str:
            return issuer.token(**{**(claims or {}), **more})  # type: ignore[no-any-return]

        knobs = {"scope": "openid fhirUser launch/patient", **knobs}
        answer = {**LOGIN, "scope": "openid fhirUser launch/patient"}
        return wire.login(*later, signed=id_token, answer=answer, **knobs)[1]

    @pytest.mark.rule("ID-02")
    def test_by_default(self, wire: Wire, issuer: Any) -> None:
        """Verified, with keys from the issuer that discovery names."""
        later = (json_response(issuer.configuration()), json_response(issuer.jwks()))
        token = self.login(wire, issuer, *later)
        assert token.identity is not None
        assert [request.url for request in wire.requests[-2:]] == [
            "https://sso.example.com/.well-known/openid-configuration",
            "https://sso.example.com/oauth2/keys",
        ]

    @pytest.mark.rule("ID-03")
    def test_another_issuer_is_refused_unless_it_is_configured(self, wire: Wire, issuer: Any) -> None:
        """The issuer is compared byte for byte with the one that is expected."""
        claims = {"iss": "https://oidc.example.com/t/"}
        later = (json_response(issuer.configuration()), json_response(issuer.jwks()))
        with pytest.raises(IdTokenError):
            self.login(wire, issuer, *later, claims=claims)
        configuration = issuer.configuration(issuer="https://oidc.example.com/t/")
        later = (json_response(configuration), json_response(issuer.jwks()))
        token = self.login(wire, issuer, *later, claims=claims, id_token_issuer="https://oidc.example.com/t/")
        assert token.identity is not None
        assert wire.requests[-2].url == "https://oidc.example.com/t/.well-known/openid-configuration"

    def test_keys_from_elsewhere(self, wire: Wire, issuer: Any) -> None:
        """A configured jwks_uri is the only place that is asked."""
        url = "https://keys.example.com/jwks"
        asked = len(wire.requests)
        token = self.login(wire, issuer, json_response(issuer.jwks()), jwks_uri=url)
        assert token.identity is not None
        assert [request.url for request in wire.requests[asked + 2 :]] == [url]

    def test_warn(self, wire: Wire, issuer: Any) -> None:
        """A token that cannot be trusted leaves no identity, and a finding."""
        later = (json_response(issuer.configuration()), json_response(issuer.jwks()))
        token = self.login(wire, issuer, *later, claims={"aud": "other"}, id_token="warn")
        assert token.identity is None
        assert "ID-01" in {finding.rule for finding in token.findings}

    def test_off(self, wire: Wire, issuer: Any) -> None:
        """Nothing is fetched and nothing believed."""
        token = self.login(wire, issuer, claims={"aud": "other"}, id_token="off")
        assert (token.identity, wire.requests[-1].purpose) == (None, "token")


class TestIntrospection:
    """12"""

    @pytest.mark.rule("IN-01")
    @pytest.mark.parametrize(
        ("knobs", "sent"),
        [
            ({}, "Basic Z3Jvd3RoLWNoYXJ0OnMzY3JldA=="),
            ({"introspection_auth": "client"}, "Basic Z3Jvd3RoLWNoYXJ0OnMzY3JldA=="),
            ({"introspection_auth": "bearer"}, "Bearer at-1"),
            ({"introspection_auth": "none"}, None),
        ],
    )
    def test_who_asks(self, wire: Wire, knobs: dict[str, Any], sent: str | None) -> None:
        """The client, the token itself, or nobody; the form holds the token alone."""
        client, token = wire.login(**knobs)
        wire.transport.add(json_response({"active": True}))
        assert client.introspect(token).active is True
        assert wire.requests[-1].headers.get("authorization") == sent
        assert form(wire.requests[-1]) == {"token": "at-1"}


class TestRetry:
    """13"""

    BARE = Response(status=400, body=b"Bad Request")

    def test_never_by_default(self, wire: Wire) -> None:
        """A refusal is a refusal."""
        with pytest.raises(OAuthError):
            wire.backend(self.BARE)
        assert len(wire.requests) == 2

    @pytest.mark.rule("BS-03")
    def test_once_where_it_is_asked_for(self, wire: Wire, key: SigningKey) -> None:
        """The second request has an assertion of its own."""
        wire.backend(self.BARE, json_response(BACKEND), retry_bare_400=True, client_auth=PrivateKeyJWT(key))
        first, second = (assertion(request)[1]["jti"] for request in wire.requests[1:])
        assert first != second

    def test_not_twice(self, wire: Wire) -> None:
        """Two bare refusals are the answer."""
        with pytest.raises(OAuthError):
            wire.backend(self.BARE, self.BARE, retry_bare_400=True)
        assert len(wire.requests) == 3

    @pytest.mark.parametrize(
        "answer",
        [
            json_response({"error": "invalid_client"}, status=400),
            json_response({"error": "invalid_client"}, status=401),
            Response(status=401),
            Response(status=429),
            Response(status=500),
        ],
    )
    def test_not_after_anything_else(self, wire: Wire, answer: Response) -> None:
        """An OAuth error or another status is no hiccup."""
        with pytest.raises(OAuthError):
            wire.backend(answer, retry_bare_400=True)
        assert len(wire.requests) == 2

    @pytest.mark.parametrize("step", ["code", "refresh"])
    def test_not_for_what_works_once(self, wire: Wire, step: str) -> None:
        """A code or a refresh token is never sent a second time."""
        client = wire.client(json_response(DOCUMENT), retry_bare_400=True)
        pending = client.authorize()
        callback = f"{pending.redirect_uri}?code=c&state={pending.state}"
        if step == "code":
            wire.transport.add(self.BARE)
            with pytest.raises(OAuthError):
                client.exchange_code(pending, callback)
        else:
            wire.transport.add(json_response(LOGIN), self.BARE)
            token = client.exchange_code(pending, callback)
            with pytest.raises(OAuthError):
                client.refresh(token)
        wire.transport.assert_all_used()


class TestPatientFrom:
    """14"""

    CLAIMED = base64.urlsafe_b64encode(b'{"local_patient_id": "Patient/p-9"}').decode().rstrip("=")

    @pytest.mark.parametrize(
        ("sources", "answered", "patient"),
        [
            (("token",), None, None),
            (("token", "access_token_claim:local_patient_id"), None, "p-9"),
            (("access_token_claim:nope", "access_token_claim:local_patient_id"), None, "p-9"),
            (("access_token_claim:nope",), None, None),
            (("access_token_claim:local_patient_id",), "p-1", "p-1"),
            ((), None, None),
        ],
    )
    def test_in_the_access_token(
        self, wire: Wire, sources: tuple[str, ...], answered: str | None, patient: str | None
    ) -> None:
        """Only where it is said, in the order that is said, and never against the token response."""
        answer = {**LOGIN, "access_token": f"e30.{self.CLAIMED}.c2ln", "patient": answered}
        _, token = wire.login(answer=answer, patient_from=sources)
        assert token.context.patient == patient

    @pytest.mark.parametrize("access_token", ["opaque", "a.b.c", "e30.W10.x", "e30.!!.x"])
    def test_an_opaque_token_holds_none(self, wire: Wire, access_token: str) -> None:
        """What is no JWT is not one, and no error either."""
        answer = {**LOGIN, "access_token": access_token, "patient": None}
        _, token = wire.login(answer=answer, patient_from=["access_token_claim:local_patient_id"])
        assert token.context.patient is None

    @pytest.mark.parametrize(
        ("user", "patient"),
        [
            ("Patient/p-7", "p-7"),
            (f"{BASE}/Patient/p-7", "p-7"),
            ("Practitioner/d", None),
            ("https://x.example/Patient/p-7", None),
        ],
    )
    def test_in_fhir_user(self, wire: Wire, issuer: Any, user: str, patient: str | None) -> None:
        """A verified user who is a patient here is the patient; one from elsewhere is not."""
        later = (json_response(issuer.configuration()), json_response(issuer.jwks()))
        _, token = wire.login(
            *later,
            signed=lambda **claims: issuer.token(fhirUser=user, **claims),
            answer={**LOGIN, "scope": "openid fhirUser", "patient": None},
            scope="openid fhirUser",
            patient_from=("fhirUser",),
        )
        assert token.context.patient == patient

    @pytest.mark.parametrize(
        "sources",
        ["fhirUser", ("fhiruser",), ("access_token_claim:",), ("access_token_claim",), (5,), None, 5],
    )
    def test_nonsense_is_refused(self, wire: Wire, sources: Any) -> None:
        """A typing error must not look nowhere in silence."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(patient_from=sources)
        assert caught.value.field == "patient_from"


class TestBasicEncoding:
    """15"""

    @pytest.mark.parametrize(
        ("encoding", "sent"),
        [
            (None, "growth-chart:a b+c/ü"),
            ("literal", "growth-chart:a b+c/ü"),
            ("form", "growth-chart:a+b%2Bc%2F%C3%BC"),
        ],
    )
    def test_on_the_wire(self, wire: Wire, encoding: Any, sent: str) -> None:
        """Literal as SMART has it, or form-encoded first as RFC 6749 has it."""
        auth = ClientSecret("a b+c/ü", **({} if encoding is None else {"basic_encoding": encoding}))
        request = wire.backend(client_auth=auth)
        assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == sent


class TestRegistration:
    """17"""

    def test_a_device_of_its_own(self, wire: Wire, key: SigningKey) -> None:
        """Software statement, keys and initial access token at Epic's, then the JWT bearer grant."""
        client, token = wire.login(client_auth=PublicClient())
        answer = {
            "client_id": "G-1",
            "software_id": "growth-chart",
            "token_endpoint_auth_method": "none",
            "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "jwks": {"keys": [dict(key.public_jwk())]},
        }
        wire.transport.add(json_response(answer, status=201), json_response(DOCUMENT), json_response(BACKEND))
        registration = client.register_dynamic_client(token, key)
        request = wire.requests[-1]
        assert request.headers["authorization"] == "Bearer at-1"
        sent = json.loads(request.body or b"")
        assert (sent["software_id"], sorted(sent)) == ("growth-chart", ["jwks", "software_id"])
        device = SmartClient(registration.config(client.config), transport=wire.transport, clock=Clock())
        assert device.jwt_bearer_token(key=key).access_token == Secret("at-1")
        fields = form(wire.requests[-1])
        assert (fields["grant_type"], fields["client_id"]) == (
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "G-1",
        )
        assert "client_assertion" not in fields


class TestRefresh:
    """18"""

    def test_by_default(self, wire: Wire) -> None:
        """The refresh token and nothing else: no scope means all of it."""
        assert wire.refresh() == {"grant_type": "refresh_token", "refresh_token": "rt-1"}

    def test_scope(self, wire: Wire) -> None:
        """The granted scopes, as they were granted."""
        assert wire.refresh(refresh_includes_scope=True)["scope"] == LOGIN["scope"]

    def test_a_narrower_scope_is_the_callers(self, wire: Wire) -> None:
        """What is asked for is sent, once."""
        client, token = wire.login(refresh_includes_scope=True)
        wire.transport.add(json_response({**LOGIN, "scope": "patient/*.rs"}))
        client.refresh(token, scope="patient/*.rs")
        assert form(wire.requests[-1])["scope"] == "patient/*.rs"

    @pytest.mark.parametrize(
        "auth",
        [ClientSecret("s"), ClientSecret("s", method="post"), PublicClient()],
        ids=["basic", "post", "public"],
    )
    @pytest.mark.parametrize("in_body", [False, True])
    def test_client_id(self, wire: Wire, auth: Any, in_body: bool) -> None:
        """Once, whoever else names it."""
        sent = wire.refresh(client_auth=auth, refresh_includes_client_id=True, client_id_in_body=in_body)
        assert sent["client_id"] == "growth-chart"

    def test_not_with_the_code(self, wire: Wire) -> None:
        """Both knobs are for the refresh alone."""
        wire.login(refresh_includes_client_id=True, refresh_includes_scope=True)
        assert {"client_id", "scope"}.isdisjoint(form(wire.requests[-1]))


class TestTokenRejectedStatuses:
    """20"""

    @pytest.mark.parametrize(
        ("knobs", "statuses"),
        [({}, {401}), ({"vendor": "ab2d"}, {401, 403}), ({"token_rejected_statuses": ()}, set())],
    )
    def test_of_the_guard(self, knobs: dict[str, Any], statuses: set[int]) -> None:
        """What counts as a refused token is the registration's; the auth of a session asks its guard."""
        config = SmartConfig(
            fhir_base=BASE, client_id="c", client_auth=PublicClient(), token_endpoint=f"{BASE}/t", **knobs
        )
        assert BearerGuard.of(config).rejected_statuses == statuses

    @pytest.mark.parametrize("statuses", [401, "401", (200,), (500,), (True,), ("401",), {401}])
    def test_nonsense_is_refused(self, wire: Wire, statuses: Any) -> None:
        """Only a status by which a client is refused can refuse a token."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(token_rejected_statuses=statuses)
        assert caught.value.field == "token_rejected_statuses"


class TestTokenRequest:
    """21"""

    def test_a_form_by_default(self, wire: Wire) -> None:
        """grant_type and scope, in a form."""
        assert form(wire.backend()) == {"grant_type": "client_credentials", "scope": "system/*.rs"}

    def test_nothing_but_credentials(self, wire: Wire) -> None:
        """basic-empty sends an empty body, extra parameters left out, extra headers sent."""
        request = wire.backend(
            token_request="basic-empty", extra_token_params={"a": "b"}, extra_token_headers={"X-A": "b"}
        )
        assert (request.body, request.headers["x-a"]) == (b"", "b")
        assert request.headers["authorization"].startswith("Basic ")

    def test_a_code_is_never_left_out(self, wire: Wire) -> None:
        """The knob is for client_credentials; a login needs its form."""
        sent = wire.refresh(token_request="basic-empty")
        assert sent["refresh_token"] == "rt-1"
        code = next(request for request in wire.requests if request.purpose == "token")
        assert form(code)["code"] == "c"

    @pytest.mark.parametrize(
        "make", [PrivateKeyJWT, lambda _: PublicClient(), lambda _: ClientSecret("s", method="post")]
    )
    def test_it_needs_basic(self, wire: Wire, key: SigningKey, make: Callable[[SigningKey], Any]) -> None:
        """An authentication that lives in the form would be lost."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(token_request="basic-empty", client_auth=make(key))
        assert caught.value.field == "token_request"


class TestFormPost:
    """22"""

    def test_not_asked_for_by_default(self, wire: Wire) -> None:
        """response_mode is the server's own."""
        assert "response_mode" not in query(wire.pending())

    @pytest.mark.parametrize("mode", ["form_post", "query"])
    def test_asked_for_and_read(self, wire: Wire, mode: Any) -> None:
        """The callback's form is handed over as a mapping."""
        client = wire.client(json_response(DOCUMENT), response_mode=mode)
        pending = client.authorize()
        assert query(pending)["response_mode"] == mode
        wire.transport.add(json_response(LOGIN))
        posted = {"code": "c", "state": pending.state, "session_state": "x"}
        assert client.exchange_code(pending, posted).access_token == Secret("at-1")

    @pytest.mark.parametrize("mode", ["fragment", "web_message", "", "query.jwt", True])
    def test_no_other_mode(self, wire: Wire, mode: Any) -> None:
        """What would bring the code where scripts read it is refused."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(response_mode=mode)
        assert caught.value.field == "response_mode"


class TestVendor:
    @pytest.mark.parametrize("vendor", sorted(PRESETS))
    def test_a_preset_fills_what_is_left_out(self, wire: Wire, vendor: str) -> None:
        """Each of its values is there, and every other knob is as without it."""
        knobs = {"token_endpoint": "https://t.example/token"}
        plain, config = wire.client(**knobs).config, wire.client(vendor=vendor, **knobs).config
        changed = {
            knob.name: getattr(config, knob.name)
            for knob in fields(config)
            if getattr(config, knob.name) != getattr(plain, knob.name)
        }
        assert changed == {"vendor": vendor} | {
            name: preset.value for name, preset in PRESETS[vendor].items()
        }

    @pytest.mark.parametrize(
        ("vendor", "knob"),
        [(vendor, knob) for vendor, presets in sorted(PRESETS.items()) for knob in presets],
    )
    def test_an_explicit_value_wins_even_if_it_is_the_default(
        self, wire: Wire, vendor: str, knob: str
    ) -> None:
        """Saying what would be so anyway is saying it."""
        plain = wire.client(token_endpoint="https://t.example/token").config
        client = wire.client(
            vendor=vendor, **{"token_endpoint": "https://t.example/token", knob: getattr(plain, knob)}
        )
        assert getattr(client.config, knob) == getattr(plain, knob)

    def test_on_the_wire(self, wire: Wire) -> None:
        """Blue Button's preset leaves aud out of the URL; said otherwise it is there."""
        assert "aud" not in query(wire.pending(vendor="bluebutton"))
        assert query(wire.pending(vendor="bluebutton", aud="base"))["aud"] == BASE

    def test_replace_keeps_what_was_filled_in(self, wire: Wire) -> None:
        """A changed copy is made of the values that it had, not of the preset again."""
        config = wire.client(vendor="athenahealth", refresh_includes_scope=False).config
        changed = replace(config, scope="launch/patient")
        assert (changed.refresh_includes_scope, changed.refresh_includes_client_id) == (False, True)

    @pytest.mark.parametrize("vendor", ["Epic", "cerner", "", "epic ", ["epic"], 5])
    def test_an_unknown_name_lists_the_known_ones(self, wire: Wire, vendor: Any) -> None:
        """A typing error in the name is answered with all names."""
        with pytest.raises(ConfigurationError) as caught:
            wire.client(vendor=vendor)
        assert caught.value.field == "vendor"
        assert ", ".join(sorted(PRESETS)) in str(caught.value)
