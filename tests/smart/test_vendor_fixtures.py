"""What production servers send, read through the public client: one class for each family of servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from smart_async import (
    ClientMetadata,
    ClientSecret,
    ConfigurationError,
    DiscoveryError,
    EHRLaunch,
    OAuthError,
    PrivateKeyJWT,
    PublicClient,
    Scopes,
    Secret,
    SigningKey,
    SmartClient,
    SmartConfig,
    Token,
    TokenResponseError,
)
from smart_async.keys.base64url import b64url_decode
from smart_async.messages import Headers, Request, Response
from smart_async.transports.scripted import ScriptedTransport, json_response

VECTORS = Path(__file__).parents[1] / "vectors" / "vendors"
NOW = 1_750_000_000.0


class Clock:
    """Half past nothing, for ever."""

    def wall(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 1_000.0


def load(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return data


def answer(described: dict[str, Any]) -> Response:
    """The answer that a vector describes: `status`, and `body` as JSON or `text` as it stands."""
    headers = {
        "Content-Type": described.get("content_type", "application/json"),
        **described.get("headers", {}),
    }
    text = described["text"] if "text" in described else json.dumps(described["body"])
    return Response(status=described["status"], headers=Headers(headers), body=text.encode())


def page(html: str, status: int = 200) -> Response:
    return Response(status=status, headers=Headers({"Content-Type": "text/html"}), body=html.encode())


def form(request: Request) -> dict[str, str]:
    """The form of a request, in which no field occurs twice."""
    pairs = parse_qsl((request.body or b"").decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def assertion_of(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = form(request)["client_assertion"].split(".")
    return json.loads(b64url_decode(header)), json.loads(b64url_decode(claims))


def basic(request: Request) -> str:
    scheme, _, value = request.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(value).decode()


def rules(findings: Any) -> set[str]:
    return {finding.rule for finding in findings}


class Server:
    """One vendor's vector, and clients that are answered from it."""

    def __init__(self, name: str) -> None:
        self.data = load(name)
        self.transport = ScriptedTransport()

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def client(self, *answers: Response, **knobs: Any) -> SmartClient:
        self.transport.add(*answers)
        settings = {
            "fhir_base": self["fhir_base"],
            "client_id": "growth-chart",
            "client_auth": ClientSecret("s3cret"),
            "redirect_uri": "https://app.example.com/callback",
            "scope": "launch/patient patient/*.rs",
            "attempts": 1,
            **knobs,
        }
        return SmartClient(SmartConfig(**settings), transport=self.transport, clock=Clock())

    def document(self) -> Response:
        return json_response(self["smart_configuration"])

    def login(
        self,
        client: SmartClient,
        token: dict[str, Any],
        *later: Response,
        id_token: Callable[..., str] | None = None,
        launch: EHRLaunch | None = None,
    ) -> Token:
        """Log in, with *token* as the answer, and an ID token that repeats the nonce."""
        pending = client.authorize(launch=launch)
        if id_token is not None:
            assert pending.nonce is not None
            token = {**token, "id_token": id_token(nonce=pending.nonce.reveal())}
        self.transport.add(json_response(token), *later)
        result = client.exchange_code(pending, f"{pending.redirect_uri}?code=c-1&state={pending.state}")
        self.transport.assert_all_used()
        return result

    def refused(
        self, client: SmartClient, described: dict[str, Any], scope: str = "system/*.rs"
    ) -> OAuthError:
        """The error that a backend request ends in when it is answered with *described*."""
        self.transport.add(answer(described))
        with pytest.raises(OAuthError) as caught:
            client.backend_token(scope)
        self.transport.assert_all_used()
        assert caught.value.status == described["status"]
        return caught.value

    @property
    def last(self) -> Request:
        return self.transport.requests[-1]


@pytest.fixture(scope="session")
def es384() -> SigningKey:
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture(scope="session")
def rsa() -> SigningKey:
    return SigningKey.generate("RS384", kid="5d2b0f7e-3c1a-4b6e-9f00-1f8f3a7f6d11", key_size=2048)


class TestEpic:
    """7.1"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("epic")

    @pytest.fixture
    def client(self, server: Server) -> SmartClient:
        return server.client(
            server.document(),
            vendor="epic",
            client_auth=ClientSecret("pa ss+word/1", basic_encoding="form"),
            scope="openid fhirUser patient/Patient.read",
        )

    @pytest.fixture
    def token(self, server: Server, client: SmartClient, issuer: Any) -> Token:
        def id_token(**claims: Any) -> str:
            return issuer.token(  # type: ignore[no-any-return]
                iss=server["smart_configuration"]["issuer"],
                fhirUser=f"{server['fhir_base']}/Patient/eAbc.123",
                **claims,
            )

        later = (json_response({}, status=404), json_response(issuer.jwks()))
        launch = EHRLaunch(iss=server["fhir_base"], launch="header.claims.signature")
        return server.login(client, server["token"], *later, id_token=id_token, launch=launch)

    @pytest.mark.rule("TK-13", "CTX-03", "DI-11")
    def test_the_token(self, token: Token) -> None:
        """Lower-case type, scopes of a shape of their own, a banner that is a string, members of its own."""
        assert token.context.patient == "eAbc.123"
        assert token.context.need_patient_banner is True
        assert token.context.smart_style_url == "https://ehr-a.example/style.json"
        assert str(token.scopes) == "Patient.read Patient.search user/Observation.Read"
        assert token.expires_at == NOW + 3540
        assert token.raw["__epic.dstu2.patient"] == "T1xyz"
        assert token.raw["loginDepartment"] == "101"
        assert token.identity is not None
        assert token.identity.fhir_user is not None
        assert (token.identity.fhir_user.type, token.identity.fhir_user.local) == ("Patient", True)

    def test_basic_is_form_encoded(self, token: Token, server: Server) -> None:
        """Epic form-encodes id and secret before base64, as RFC 6749 says."""
        request = next(sent for sent in server.transport.requests if sent.purpose == "token")
        assert basic(request) == "growth-chart:pa+ss%2Bword%2F1"

    @pytest.mark.rule("RF-07", "RF-09", "DI-13")
    def test_a_refresh_keeps_what_it_does_not_repeat(
        self, token: Token, client: SmartClient, server: Server
    ) -> None:
        """No new refresh token and no patient in the answer: both stay as they were."""
        server.transport.add(json_response(server["refresh"]))
        renewed = client.refresh(token)
        assert renewed.access_token == Secret("opaque-0002")
        assert renewed.refresh_token == Secret("rt-a1")
        assert renewed.context.patient == "eAbc.123"
        assert renewed.identity == token.identity

    def test_an_error_without_a_description(self, server: Server, client: SmartClient) -> None:
        """A null description is none, and the advice says what to check."""
        error = server.refused(client, server["error"])
        assert (error.error, error.error_description) == ("invalid_client", None)
        assert "JWK Set" in str(error)

    def test_before_2021_only_the_capability_statement_knows(self, server: Server) -> None:
        """A 404 leads on to /metadata, asked for as JSON: without Accept it answers in XML."""
        client = server.client(
            json_response({}, status=404),
            json_response(server["capability_statement"]),
            vendor="epic",
            extra_discovery_headers={"Epic-Client-ID": "growth-chart"},
        )
        metadata = client.discover()
        assert metadata.token_endpoint == "https://ehr-a.example/ic-oauth/oauth2/token"
        assert metadata.registration_endpoint == "https://ehr-a.example/ic-oauth/oauth2/register"
        assert metadata.sources["token_endpoint"] == "capability-statement"
        first, second, *more = server.transport.requests
        assert second.url == f"{server['fhir_base']}/metadata"
        assert second.headers["accept"] == "application/fhir+json, application/json;q=0.9"
        assert [request.headers["epic-client-id"] for request in (first, second)] == ["growth-chart"] * 2
        assert more == []

    @pytest.mark.rule("IN-01")
    def test_introspection_takes_the_token_as_bearer(
        self, token: Token, client: SmartClient, server: Server
    ) -> None:
        """The preset asks with the access token, and sends no secret along."""
        endpoint = "https://ehr-a.example/ic-oauth/oauth2/introspect"
        asking = server.client(server.document(), vendor="epic", introspection_endpoint=endpoint)
        server.transport.add(json_response({"active": False}))
        assert asking.introspect(token).active is False
        assert server.last.url == endpoint
        assert server.last.headers["authorization"] == "Bearer opaque-0001"
        assert form(server.last) == {"token": "opaque-0001"}


class TestOracleHealth:
    """7.2"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("oracle_health")

    def login(self, server: Server, issuer: Any, claims: dict[str, Any], **knobs: Any) -> Token:
        client = server.client(
            server.document(),
            vendor="oracle-health",
            scope="openid fhirUser launch/patient patient/Observation.read offline_access",
            id_token_issuer=server["id_token_claims"]["iss"],
            jwks_uri=server["smart_configuration"]["jwks_uri"],
            **knobs,
        )

        def id_token(**more: Any) -> str:
            return issuer.token(**{**server["id_token_claims"], **claims, **more})  # type: ignore[no-any-return]

        return server.login(client, server["token"], json_response(issuer.jwks()), id_token=id_token)

    @pytest.mark.rule("ID-03", "ID-09")
    def test_the_issuer_is_not_the_one_of_discovery(self, server: Server, issuer: Any) -> None:
        """Its issuer is per tenant and ends in a slash; the user may be a Person."""
        token = self.login(server, issuer, {})
        assert token.identity is not None
        assert token.identity.issuer == "https://auth-b.example/tenants/t-0001/oidc/idsps/t-0001/"
        assert token.identity.fhir_user is not None
        assert token.identity.fhir_user.type == "Person"
        assert server.last.url == "https://auth-b.example/jwk"
        assert (token.context.patient, token.context.tenant) == (None, "t-0001")
        assert token.expires_at == NOW + 570

    @pytest.mark.rule("CTX-01")
    def test_the_patient_comes_from_fhir_user(self, server: Server, issuer: Any) -> None:
        """A standalone patient app finds its patient in fhirUser, if it says that it wants to."""
        user = {"fhirUser": "https://fhir-b.example/r4/t-0001/Patient/12724066"}
        token = self.login(server, issuer, user, patient_from=("token", "fhirUser"))
        assert token.context.patient == "12724066"
        assert any("found by fhirUser" in finding.message for finding in token.findings)

    def test_a_foreign_patient_is_not_taken(self, server: Server, issuer: Any) -> None:
        """An id of another server would name somebody else on this one."""
        user = {"fhirUser": "https://other.example/r4/Patient/12724066"}
        token = self.login(server, issuer, user, patient_from=("token", "fhirUser"))
        assert token.context.patient is None

    @pytest.mark.rule("RF-07", "DI-13")
    def test_a_refresh_has_no_refresh_token(self, server: Server) -> None:
        """grant_types_supported lacks refresh_token, and a refresh works; its token stays."""
        client = server.client(server.document(), vendor="oracle-health")
        token = server.login(client, server["token"])
        server.transport.add(json_response(server["refresh"]))
        assert client.refresh(token).refresh_token == Secret("rt-b1")

    def test_an_error_with_an_address(self, server: Server) -> None:
        """The address with the explanation is kept."""
        error = server.refused(server.client(server.document()), server["error"])
        assert (error.error, error.error_uri) == (
            "invalid_grant",
            "https://auth-b.example/errors/urn%3Acerner%3Aerror",
        )

    def test_the_host_alone_is_no_fhir_base(self, server: Server) -> None:
        """Every well-known path at the host's root answers 502."""
        client = server.client(page("<html>Bad Gateway</html>", 502), fhir_base="https://fhir-b.example")
        with pytest.raises(DiscoveryError) as caught:
            client.discover()
        assert caught.value.status == 502

    def test_another_profile_is_an_override(self, server: Server) -> None:
        """An app registered for v2 signs in at the v2 profile, which discovery does not name."""
        endpoint = "https://auth-b.example/tenants/t-0001/protocols/oauth2/profiles/smart-v2/authorize"
        client = server.client(server.document(), authorization_endpoint=endpoint)
        assert client.authorize().url.startswith(f"{endpoint}?response_type=code&")
        assert client.discover().sources["authorization_endpoint"] == "configuration"


class TestAthenahealth:
    """7.3"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("athenahealth")

    def test_the_right_name_wins(self, server: Server) -> None:
        """With both members there the one of the specification counts, and an issuer elsewhere is fine."""
        metadata = server.client(server.document()).discover()
        assert "private_key_jwt" in metadata.token_endpoint_auth_methods_supported
        assert metadata.issuer == "https://athena-okta.example/oauth2/as1"
        assert metadata.raw["token_endpoint_auth_methods"] == ["client_secret_basic", "none"]

    @pytest.mark.rule("ID-08")
    def test_a_nonce_goes_with_openid(self, server: Server) -> None:
        """It is required there, and sent wherever openid is asked for."""
        pending = server.client(server.document(), scope="openid launch/patient").authorize()
        assert "nonce" in dict(pending.parameters)

    @pytest.mark.rule("RF-03")
    def test_a_refresh_names_scope_and_client(self, server: Server) -> None:
        """The preset adds both, as the vendor documents."""
        client = server.client(server.document(), vendor="athenahealth")
        token = server.login(client, server["token"])
        assert token.raw["ah_practice"] == "Organization/a-1.Practice-55"
        server.transport.add(json_response(server["refresh"]))
        client.refresh(token)
        assert form(server.last) == {
            "grant_type": "refresh_token",
            "refresh_token": "rt-c1",
            "scope": "openid fhirUser launch/patient patient/Patient.read",
            "client_id": "growth-chart",
        }

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_malformed_extension_is_passed_by(self, server: Server, order: int) -> None:
        """Of two oauth-uris extensions the one with the right URL counts, wherever it stands."""
        statement = server["capability_statement"]
        statement["rest"][0]["security"]["extension"] = statement["rest"][0]["security"]["extension"][::order]
        metadata = server.client(json_response(statement), discovery="metadata").discover()
        assert metadata.token_endpoint == "https://api-c.example/oauth2/v1/token"

    def test_too_many_requests(self, server: Server) -> None:
        """A throttled request says so in its status and in its advice."""
        error = server.refused(server.client(server.document()), server["throttled"])
        assert (error.error, error.error_description) == (None, "Over Rate Limit")
        assert "Too many requests" in str(error)

    def test_athena_flow_has_errors_of_its_own(self, server: Server) -> None:
        """The code stands in statusmessage."""
        error = server.refused(server.client(server.document()), server["flow_error"])
        assert (error.error, error.error_description) == ("invalid_client", "client x is not known here")


class TestEClinicalWorks:
    """7.4"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("eclinicalworks")

    @pytest.mark.rule("CTX-01", "ID-09")
    def test_the_patient_is_in_fhir_user(self, server: Server, issuer: Any) -> None:
        """No patient in the token response; aud goes without the slash that the base has."""
        client = server.client(
            server.document(),
            scope="openid fhirUser launch/patient patient/Patient.read",
            aud="strip-slash",
            patient_from=("token", "fhirUser"),
        )
        later = (json_response({}, status=404), json_response(issuer.jwks()))
        token = server.login(
            client,
            server["token"],
            *later,
            id_token=lambda **claims: issuer.token(**server["id_token_claims"], **claims),
        )
        assert token.context.patient == "pt-5.61"

    def test_aud_without_its_slash(self, server: Server) -> None:
        """strip-slash changes what is sent as aud, and not where discovery looks."""
        pending = server.client(server.document(), aud="strip-slash").authorize()
        assert dict(pending.parameters)["aud"] == "https://fhir-d.example/fhir/r4/PRAC01"

    @pytest.mark.rule("DI-12")
    def test_odd_scopes_and_old_names_are_kept(self, server: Server) -> None:
        """A doubled slash inside a scope stays; a capability under both names is one."""
        metadata = server.client(server.document()).discover()
        assert metadata.scopes_supported[-1].startswith(
            "patient/Observation.rs?category=http://terminology.hl7.org//"
        )
        assert metadata.supports("context-banner")
        assert metadata.supports("context-passthrough-style")

    @pytest.mark.parametrize(
        ("index", "code"), [(0, "invalid_grant"), (1, "access_denied"), (2, "invalid_client")]
    )
    def test_errors_with_any_status(self, server: Server, index: int, code: str) -> None:
        """A refusal may come as 500; its code is read all the same."""
        assert server.refused(server.client(server.document()), server["errors"][index]).error == code


class TestVeradigm:
    """7.5"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("veradigm")

    @pytest.fixture
    def access_token(self, server: Server) -> str:
        segments = ({"alg": "RS256"}, server["access_token_claims"])
        encoded = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in segments
        ]
        return ".".join([*encoded, "c2ln"])

    def test_the_wrong_name_is_read(self, server: Server) -> None:
        """Auth methods under their wrong name are read once each, with a finding."""
        metadata = server.client(server.document()).discover()
        assert metadata.token_endpoint_auth_methods_supported == (
            "client_secret_basic",
            "client_secret_post",
            "tls_client_auth",
        )
        assert metadata.scopes_supported.count("offline_access") == 1
        assert any("is read in its place" in finding.message for finding in metadata.findings)

    def test_a_key_works_though_it_is_not_listed(self, server: Server, es384: SigningKey) -> None:
        """The configured authentication wins: private_key_jwt is not in the list, and works."""
        client = server.client(
            server.document(),
            json_response({**server["token"], "access_token": "t"}),
            client_auth=PrivateKeyJWT(es384),
        )
        assert client.backend_token("user/*.read").access_token == Secret("t")

    @pytest.mark.rule("CTX-01")
    def test_the_patient_is_in_the_access_token(self, server: Server, access_token: str) -> None:
        """It is read where the configuration names the claim, and nowhere else."""
        document = {**server["token"], "access_token": access_token}
        named = server.client(
            server.document(), patient_from=("token", "access_token_claim:local_patient_id")
        )
        assert server.login(named, document).context.patient == "pt-e.42"
        plain = server.client(server.document())
        assert server.login(plain, document).context.patient is None

    @pytest.mark.rule("DI-03")
    def test_the_old_media_type_of_fhir(self, server: Server) -> None:
        """The body decides what it is, not application/json+fhir."""
        statement = json_response(
            server["capability_statement"], headers={"Content-Type": "application/json+fhir"}
        )
        metadata = server.client(statement, discovery="metadata").discover()
        assert metadata.token_endpoint == server["smart_configuration"]["token_endpoint"]


class TestNextGen:
    """7.6"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("nextgen_enterprise")

    @pytest.mark.rule("ID-03")
    def test_two_documents_contradict_each_other(self, server: Server, issuer: Any) -> None:
        """Issuer and keys of the ID token are configured; the patient is in the answer."""
        configuration = server["openid_configuration"]
        client = server.client(
            server.document(),
            scope="openid fhirUser launch/patient patient/*.read offline_access",
            aud=None,
            id_token_issuer=configuration["issuer"],
            jwks_uri=configuration["jwks_uri"],
        )
        token = server.login(
            client,
            server["token"],
            json_response(issuer.jwks()),
            id_token=lambda **claims: issuer.token(iss=configuration["issuer"], **claims),
        )
        assert token.identity is not None
        assert (token.context.patient, server.last.url) == ("pt-f-7", configuration["jwks_uri"])

    def test_system_apps_have_a_token_endpoint_of_their_own(self, server: Server, es384: SigningKey) -> None:
        """It replaces the discovered one, and is the audience of the assertion."""
        client = server.client(
            server.document(),
            json_response({**server["token"], "scope": "system/*.read"}),
            client_auth=PrivateKeyJWT(es384),
            token_endpoint=server["system_token_endpoint"],
        )
        client.backend_token("system/*.read")
        assert server.last.url == server["system_token_endpoint"]
        assert assertion_of(server.last)[1]["aud"] == server["system_token_endpoint"]


class TestMeditech:
    """7.7"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("meditech")

    @pytest.mark.rule("DI-01")
    def test_the_document_is_at_the_root(self, server: Server) -> None:
        """discovery_url says where; the FHIR base stays what is sent as aud."""
        client = server.client(server.document(), discovery_url=server["discovery_url"])
        pending = client.authorize()
        assert server.last.url == "https://greenfield-g.example/.well-known/smart-configuration"
        assert dict(pending.parameters)["aud"] == server["fhir_base"]
        metadata = client.discover()
        assert (metadata.issuer, metadata.registration_endpoint) == (
            "https://greenfield-g.example/",
            "https://greenfield-g.example/oauth/register",
        )

    def test_not_entitled_is_not_a_wrong_secret(self, server: Server) -> None:
        """unauthorized_client and invalid_client are told apart, each with advice of its own."""
        client = server.client(server.document(), discovery_url=server["discovery_url"])
        errors = [server.refused(client, described) for described in server["errors"]]
        assert [error.error for error in errors] == ["unauthorized_client", "invalid_client"]
        assert errors[0].advice != errors[1].advice

    @pytest.mark.rule("DI-03")
    def test_the_alias_host_answers_with_a_page(self, server: Server) -> None:
        """200 and HTML is no document, and the message says that it is a page."""
        with pytest.raises(DiscoveryError) as caught:
            server.client(page(server["alias"])).discover()
        assert "HTML" in str(caught.value)


class TestModMed:
    """7.8"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("modmed")

    @pytest.mark.rule("AS-07", "AS-22")
    def test_a_bulk_client_signs_with_es384(self, server: Server, es384: SigningKey) -> None:
        """The audience is the URL that is posted to; the base that the token works on is kept."""
        client = server.client(
            server.document(),
            json_response(server["token"]),
            client_auth=PrivateKeyJWT(es384),
            extra_token_params={"encryption_method": "ES384"},
        )
        token = client.backend_token("system/Patient.rs")
        header, claims = assertion_of(server.last)
        assert (header["alg"], claims["aud"]) == ("ES384", server["smart_configuration"]["token_endpoint"])
        assert form(server.last)["encryption_method"] == "ES384"
        assert "client_id" not in form(server.last)
        assert token.raw["allowedFhirUrl"] == server["fhir_base"]
        assert token.expires_at == NOW + 1800

    def test_an_app_has_its_secret_in_the_form(self, server: Server) -> None:
        """client_secret_post sends no header."""
        client = server.client(server.document(), client_auth=ClientSecret("s3cret", method="post"))
        server.login(client, {**server["token"], "scope": "openid"})
        sent = form(server.last)
        assert (sent["client_id"], sent["client_secret"]) == ("growth-chart", "s3cret")
        assert "authorization" not in server.last.headers

    def test_errors(self, server: Server) -> None:
        """A wrong client and the old scope syntax are what OAuth calls them."""
        client = server.client(server.document())
        assert (
            server.refused(client, server["errors"][0]).error_description
            == "client could not be authenticated"
        )
        assert server.refused(client, server["errors"][1], "system/Patient.read").error == "invalid_scope"


class TestAdvancedMD:
    """7.9"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("advancedmd")

    def test_aud_is_the_root_of_the_api(self, server: Server) -> None:
        """Discovery and aud are above the FHIR base of the organisation."""
        root = server["smart_configuration"]["issuer"]
        client = server.client(server.document(), discovery_url=server["discovery_url"], aud=root)
        token = server.login(client, server["token"])
        assert server.transport.requests[0].url == server["discovery_url"]
        assert (token.context.patient, token.context.need_patient_banner) == ("174-9", False)
        assert (token.raw["userId"], token.raw["aud"], token.raw["fhirUser"]) == (
            "u-h",
            root,
            "Patient/174-9",
        )
        assert token.expires_at == NOW + 3599

    def test_aud_as_sent(self, server: Server) -> None:
        """An explicit aud is sent as it stands, also in answer to an EHR launch."""
        root = server["smart_configuration"]["issuer"]
        client = server.client(server.document(), discovery_url=server["discovery_url"], aud=root)
        launch = EHRLaunch(iss=server["fhir_base"], launch="x")
        assert dict(client.authorize(launch=launch).parameters)["aud"] == root

    def test_an_unknown_path_answers_in_fhir(self, server: Server) -> None:
        """An OperationOutcome with 404 is a failed discovery."""
        with pytest.raises(DiscoveryError, match="404"):
            server.client(answer(server["unknown"])).discover()

    def test_bulk_takes_more_parameters(self, server: Server, rsa: SigningKey) -> None:
        """A user name and a password beside the assertion: sent, and never shown."""
        client = server.client(
            server.document(),
            json_response({**server["token"], "scope": "system/*.rs"}),
            discovery_url=server["discovery_url"],
            client_auth=PrivateKeyJWT(rsa),
            extra_token_params={"username": "apiuser", "password": "Grün-77", "officekey": "174"},
        )
        client.backend_token()
        assert form(server.last)["password"] == "Grün-77"
        assert "Grün-77" not in repr(client.config) + repr(client) + repr(server.last)


class TestBlueButton:
    """7.10"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("bluebutton")

    def test_no_parameter_that_it_does_not_know(self, server: Server) -> None:
        """The preset leaves aud out; without openid there is no nonce either."""
        pending = server.client(server.document(), vendor="bluebutton").authorize()
        assert sorted(name for name, _ in pending.parameters) == sorted(
            [
                "response_type",
                "client_id",
                "redirect_uri",
                "scope",
                "state",
                "code_challenge",
                "code_challenge_method",
            ]
        )
        assert len(pending.state) >= 16

    def test_the_token(self, server: Server) -> None:
        """A v1 document with v2 endpoints, no issuer, an id that begins with a minus, an empty member."""
        client = server.client(server.document(), vendor="bluebutton")
        token = server.login(client, server["token"])
        assert (token.context.patient, token.raw["access_grant_expiration"]) == ("-1000001", "")
        assert client.discover().issuer is None
        assert server.last.url == "https://bb-i.example/v2/o/token/"

    def test_errors(self, server: Server) -> None:
        """One shape of its own, and OAuth's."""
        client = server.client(server.document())
        own, usual = [server.refused(client, described) for described in server["errors"]]
        assert (own.error, own.error_description) == (None, "Invalid parameters: aud")
        assert usual.error == "invalid_client"


class TestBCDA:
    """7.11, and section 3"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("bcda")

    @pytest.fixture
    def client(self, server: Server) -> SmartClient:
        return server.client(vendor="bcda", token_endpoint=server["token_endpoint"])

    @pytest.mark.rule("TK-15")
    def test_credentials_and_no_body(self, server: Server, client: SmartClient) -> None:
        """One request: Basic, no body, no discovery; a string of digits and a lower-case type come back."""
        server.transport.add(json_response(server["token"]))
        token = client.backend_token("system/*.read")
        (request,) = server.transport.requests
        assert (request.method, request.url, request.body) == ("POST", server["token_endpoint"], b"")
        assert basic(request) == "growth-chart:s3cret"
        assert token.expires_at == NOW + 1200
        assert "TK-15" in rules(token.findings)

    @pytest.mark.parametrize("auth", [ClientSecret("s", method="post"), PublicClient()])
    def test_credentials_need_a_place(self, server: Server, auth: Any) -> None:
        """Without a body nothing but Basic can be sent; that is said when the configuration is made."""
        with pytest.raises(ConfigurationError) as caught:
            server.client(vendor="bcda", token_endpoint=server["token_endpoint"], client_auth=auth)
        assert caught.value.field == "token_request"

    def test_a_refusal_in_plain_text(self, server: Server, client: SmartClient) -> None:
        """The text reaches the caller."""
        error = server.refused(client, server["refused"])
        assert (error.error, error.error_description) == (None, "Unauthorized")

    @pytest.mark.parametrize(("name", "seconds"), [("throttled", 300.0), ("maintenance", 1.0)])
    def test_it_says_how_long_to_wait(
        self, server: Server, client: SmartClient, name: str, seconds: float
    ) -> None:
        """Retry-After is on the error, as 429 and 503 have it."""
        assert server.refused(client, server[name]).retry_after == seconds

    def test_its_capability_statement_knows_one_endpoint(self, server: Server) -> None:
        """A token endpoint alone is enough for a backend, under whatever code."""
        metadata = server.client(
            json_response(server["capability_statement"]), discovery="metadata"
        ).discover()
        assert (metadata.token_endpoint, metadata.authorization_endpoint) == (server["token_endpoint"], None)

    @pytest.mark.rule("BS-02", "AS-08", "AS-09", "AS-11")
    def test_ssas(self, server: Server, rsa: SigningKey) -> None:
        """Exact headers, a macaroon for a client id, a constant for an audience, `iat` and five minutes."""
        macaroon = "MDAyY2xvY2F0aW9uIGh0dHA6Ly9zc2FzCg==" * 40
        ssas = server["ssas"]
        client = server.client(
            json_response(ssas["token"]),
            vendor="bcda-ssas",
            client_id=macaroon,
            client_auth=PrivateKeyJWT(rsa),
            token_endpoint=ssas["token_endpoint"],
            assertion_audience=ssas["audience"],
        )
        token = client.backend_token("system/*.*")
        (request,) = server.transport.requests
        assert sorted(request.headers) == ["accept", "content-type"]
        assert request.headers["accept"] == "application/json"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert sorted(form(request)) == ["client_assertion", "client_assertion_type", "grant_type", "scope"]
        assert form(request)["scope"] == "system/*.*"
        header, claims = assertion_of(request)
        assert (claims["iss"], claims["sub"], claims["aud"]) == (macaroon, macaroon, "ssas.example")
        assert claims["exp"] - claims["iat"] == 300
        assert (header["kid"], header["alg"]) == (rsa.kid, "RS384")
        assert (token.expires_at, token.scopes) == (NOW + 1200, Scopes("system/*.*"))

    def test_ssas_writes_sentences(self, server: Server, rsa: SigningKey) -> None:
        """A sentence where the code belongs is a description."""
        client = server.client(
            vendor="bcda-ssas",
            client_auth=PrivateKeyJWT(rsa),
            token_endpoint="https://ssas-j.example/v2/token",
        )
        error = server.refused(client, server["ssas"]["error"])
        assert (error.error, error.error_description) == (None, "content type header not supported")


class TestAB2D:
    """7.12, and section 3"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("ab2d")

    @pytest.fixture
    def client(self, server: Server) -> SmartClient:
        return server.client(vendor="ab2d", token_endpoint=server["token_endpoint"])

    def test_a_secret_and_a_scope_of_its_own(self, server: Server, client: SmartClient) -> None:
        """No discovery; Basic and a form with clientCreds go to another host."""
        server.transport.add(json_response(server["token"]))
        token = client.backend_token("clientCreds")
        (request,) = server.transport.requests
        assert request.url == server["token_endpoint"]
        assert form(request) == {"grant_type": "client_credentials", "scope": "clientCreds"}
        assert basic(request) == "growth-chart:s3cret"
        assert (token.scopes, token.expires_at) == (Scopes("clientCreds"), NOW + 3600)

    def test_okta_has_errors_of_its_own(self, server: Server, client: SmartClient) -> None:
        """Okta has errorCode and errorSummary for code and description."""
        error = server.refused(client, server["error"], "clientCreds")
        assert error.error == "invalid_client"
        assert error.error_description == "Invalid value for 'client_id' parameter."

    def test_maintenance(self, server: Server, client: SmartClient) -> None:
        """503 is the server's trouble, and its message is kept."""
        error = server.refused(client, server["maintenance"], "clientCreds")
        assert (error.error_description, error.retry_after) == ("maintenance mode", None)

    def test_without_an_endpoint_it_cannot_be_configured(self, server: Server) -> None:
        """The preset turns discovery off, so the endpoint has to be given, and the error names it."""
        with pytest.raises(ConfigurationError) as caught:
            server.client(vendor="ab2d")
        assert caught.value.field == "token_endpoint"


class TestDPC:
    """7.13, and section 3"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("dpc")

    @pytest.fixture
    def client(self, server: Server, rsa: SigningKey) -> SmartClient:
        return server.client(
            vendor="dpc",
            client_id="W3sidiI6Mn1d" * 30,
            client_auth=PrivateKeyJWT(rsa),
            token_endpoint=server["token_endpoint"],
        )

    @pytest.mark.rule("BS-02", "AS-09")
    def test_an_assertion_that_does_not_outlive_five_minutes(
        self, server: Server, client: SmartClient
    ) -> None:
        """No skew is allowed there: even with a clock a minute fast, `exp` is within five minutes."""
        server.transport.add(json_response(server["token"]))
        token = client.backend_token("system/*.*")
        (request,) = server.transport.requests
        header, claims = assertion_of(request)
        assert claims["aud"] == server["token_endpoint"]
        assert claims["exp"] <= NOW - 60 + 300
        assert header["kid"] == "5d2b0f7e-3c1a-4b6e-9f00-1f8f3a7f6d11"
        assert form(request)["scope"] == "system/*.*"
        assert token.expires_at == NOW + 300

    def test_errors(self, server: Server, client: SmartClient) -> None:
        """An OperationOutcome, and the framework's own."""
        assert server.refused(client, server["error"]).error_description == "Not authorized"
        error = server.refused(client, server["missing_scope"])
        assert error.error_description == "There was an error processing your request."

    def test_the_sandbox_names_the_endpoint_of_production(self, server: Server, rsa: SigningKey) -> None:
        """What is configured wins over a CapabilityStatement that points elsewhere."""
        client = server.client(
            json_response(server["capability_statement"]),
            discovery="metadata",
            token_endpoint=server["token_endpoint"],
        )
        metadata = client.discover()
        assert metadata.token_endpoint == server["token_endpoint"]
        assert metadata.sources["token_endpoint"] == "configuration"
        assert metadata.raw["token_endpoint"] == "https://production-l.example/v1/Token/auth"


class TestVABackend:
    """7.14"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("va_backend")

    @pytest.fixture
    def client(self, server: Server) -> SmartClient:
        return server.client(
            vendor="va-backend",
            client_auth=PrivateKeyJWT(SigningKey.generate("RS256", kid="va", key_size=2048)),
            token_endpoint=server["token_endpoint"],
            assertion_audience=server["audience"],
            extra_token_params={"launch": server["launch"]},
        )

    def test_a_launch_beside_the_grant(self, server: Server, client: SmartClient) -> None:
        """The patient goes in as `launch`; the audience is not the URL that is posted to."""
        server.transport.add(json_response(server["token"]))
        token = client.backend_token("launch system/Patient.read")
        (request,) = server.transport.requests
        assert form(request)["launch"] == "eyJwYXRpZW50IjoiMTIzVjQ1NiJ9"
        header, claims = assertion_of(request)
        assert (header["alg"], claims["aud"]) == ("RS256", server["audience"])
        assert (token.context.patient, token.raw["state"]) == ("123V456", None)
        assert token.expires_at == NOW + 300

    def test_an_error_of_its_own(self, server: Server, client: SmartClient) -> None:
        """A code that OAuth does not know is handed on."""
        error = server.refused(client, server["error"], "launch system/Patient.read")
        assert (error.error, error.error_description) == (
            "invalid_launch",
            "The launch context is not valid.",
        )


class TestAzure:
    """7.15"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("azure")

    @pytest.mark.rule("TK-13", "TK-15")
    def test_strings_all_over(self, server: Server) -> None:
        """Digits in strings are read, and scopes without a grammar are sent as they are."""
        client = server.client(server.document(), json_response(server["token"]), vendor="azure-ahds")
        token = client.backend_token("https://ws-fhir.example/.default")
        assert form(server.last)["scope"] == "https://ws-fhir.example/.default"
        assert token.expires_at == NOW + 3599
        assert (token.raw["expires_on"], token.raw["resource"]) == ("1790000000", "https://ws-fhir.example")
        assert rules(token.findings) == {"TK-13", "TK-15"}

    def test_a_certificate_in_the_place_of_a_key_id(self, server: Server) -> None:
        """PS256 with x5t#S256, nbf and no kid, as Entra ID wants it."""
        client = server.client(
            server.document(),
            json_response(server["token"]),
            vendor="azure-ahds",
            client_auth=PrivateKeyJWT(SigningKey.generate("PS256", kid="unused", key_size=2048)),
            assertion_header={"kid": None, "x5t#S256": "Zm9vYmFy"},
        )
        client.backend_token("https://ws-fhir.example/.default")
        header, claims = assertion_of(server.last)
        assert header == {"alg": "PS256", "typ": "JWT", "x5t#S256": "Zm9vYmFy"}
        assert claims["nbf"] == claims["iat"]

    def test_security_may_be_off(self, server: Server) -> None:
        """400 with an OperationOutcome is a failed discovery, and the ladder goes on."""
        with pytest.raises(DiscoveryError) as caught:
            server.client(answer(server["disabled"])).discover()
        assert caught.value.status == 400
        client = server.client(
            answer(server["disabled"]),
            json_response({"resourceType": "CapabilityStatement"}),
            json_response({}, status=404),
            vendor="azure-ahds",
        )
        with pytest.raises(DiscoveryError) as caught:
            client.discover()
        assert caught.value.status == 400
        server.transport.assert_all_used()


class TestLinuxForHealth:
    """7.16"""

    @pytest.mark.rule("DI-06")
    @pytest.mark.parametrize("discovery", ["well-known", "auto"])
    def test_empty_strings_are_no_endpoints(self, discovery: str) -> None:
        """The error says that there is no token endpoint, and not that a URL is odd."""
        server = Server("linuxforhealth")
        client = server.client(server.document(), discovery=discovery)
        if discovery == "auto":
            server.transport.add(json_response({}, status=404), json_response({}, status=404))
        with pytest.raises(DiscoveryError) as caught:
            client.discover()
        assert caught.value.message == "The discovery document names no usable token_endpoint."
        server.transport.assert_all_used()

    def test_other_documents_fill_what_is_empty(self) -> None:
        """What one document leaves empty the next one may name; each is remembered."""
        server = Server("linuxforhealth")
        configuration = {"token_endpoint": "https://kc.example/token", "jwks_uri": "https://kc.example/jwks"}
        client = server.client(
            server.document(), json_response({}, status=404), json_response(configuration), discovery="auto"
        )
        metadata = client.discover()
        assert metadata.token_endpoint == "https://kc.example/token"
        assert metadata.response_types_supported == ("code", "token", "id_token token")
        assert metadata.sources["token_endpoint"] == "openid-configuration"
        assert metadata.sources["response_types"] == "well-known"


class TestAidboxMedplumOpenEMR:
    """7.17"""

    @pytest.fixture
    def server(self) -> Server:
        return Server("aidbox_medplum_openemr")

    @pytest.mark.rule("TK-13", "TK-15")
    def test_aidbox_says_next_to_nothing(self, server: Server) -> None:
        """No expiry and no scope: unknown, and what was asked for; a later 401 will tell."""
        client = server.client(server.document(), json_response(server["aidbox"]))
        token = client.backend_token("system/Patient.rs")
        assert (token.expires_at, token.scopes) == (None, Scopes("system/Patient.rs"))
        assert token.expired(NOW + 10**9) is False

    @pytest.mark.rule("ID-01")
    def test_aidbox_keys_have_no_id(self, server: Server, issuer: Any) -> None:
        """A single key without kid verifies a token that names one."""
        client = server.client(
            server.document(), scope="openid launch/patient", id_token_issuer="https://box-p.example"
        )
        later = (json_response({}, status=404), json_response(issuer.jwks(issuer.jwk(kid=...))))
        token = server.login(
            client,
            {**server["aidbox"], "patient": "pt-1"},
            *later,
            id_token=lambda **claims: issuer.token(iss="https://box-p.example", **claims),
        )
        assert token.identity is not None

    @pytest.mark.rule("RF-05")
    def test_medplum_rotates(self, server: Server) -> None:
        """Objects and dotted names are kept; each refresh token takes the place of the one before."""
        client = server.client(server.document())
        token = server.login(client, server["medplum"])
        assert token.raw["hub.url"] == "wss://hub-p.example/ws"
        assert token.raw["profile"] == {"reference": "Practitioner/2"}
        server.transport.add(json_response(server["medplum_refresh"]))
        assert client.refresh(token).refresh_token == Secret("rt2")

    def test_medplum_calls_everything_invalid_request(self, server: Server) -> None:
        """So does a refresh token that has been used."""
        client = server.client(server.document())
        token = server.login(client, server["medplum"])
        server.transport.add(answer(server["medplum_error"]))
        with pytest.raises(OAuthError) as caught:
            client.refresh(token)
        assert (caught.value.error, caught.value.error_description) == ("invalid_request", "Invalid token")

    def test_openemr_has_a_minute(self, server: Server) -> None:
        """60 seconds are 60 seconds, and scopes for operations are kept."""
        client = server.client(server.document(), json_response(server["openemr"]))
        token = client.backend_token("system/Patient.read system/Patient.$export")
        assert token.expires_at == NOW + 60
        assert str(token.scopes) == "system/Patient.read system/Patient.$export"

    def test_openemr_names_its_public_client_once(self, server: Server) -> None:
        """The preset names client_id on refresh, whatever else names it already."""
        for auth in (PublicClient(), ClientSecret("s", method="post"), ClientSecret("s")):
            client = server.client(server.document(), vendor="openemr", client_auth=auth)
            token = server.login(client, server["medplum"])
            server.transport.add(json_response(server["medplum_refresh"]))
            client.refresh(token)
            assert form(server.last)["client_id"] == "growth-chart"

    def test_openemr_registers(self, server: Server) -> None:
        """A registration with a management token, and a secret that never expires."""
        document = {
            **server["smart_configuration"],
            "registration_endpoint": "https://box-p.example/auth/register",
        }
        client = server.client(
            json_response(document), json_response(server["openemr_registration"], status=201)
        )
        registration = client.register(
            ClientMetadata(
                client_name="Chart",
                redirect_uris=("https://app.example.com/callback",),
                token_endpoint_auth_method="client_secret_post",
                application_type="private",
            )
        )
        assert registration.registration_access_token == Secret("rat-1")
        assert registration.client_secret_expires_at is None
        assert json.loads(server.last.body or b"")["application_type"] == "private"


class Test1upHealth:
    """7.18 begins with what is blocked"""

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 502])
    def test_any_failure_leads_to_the_capability_statement(self, status: int) -> None:
        """A firewall answers 401 to the well-known path; /metadata is open. Where it came from is kept."""
        server = Server("1uphealth")
        client = server.client(
            answer({**server["blocked"], "status": status}),
            json_response(server["capability_statement"]),
            discovery="auto",
        )
        metadata = client.discover()
        assert metadata.token_endpoint == "https://auth-q.example/oauth2/token"
        assert set(metadata.sources.values()) == {"capability-statement"}
        (finding,) = metadata.findings
        assert (finding.rule, str(status) in finding.message) == ("DI-03", True)
        assert [urlsplit(request.url).path for request in server.transport.requests] == [
            "/fhir/r4/.well-known/smart-configuration",
            "/fhir/r4/metadata",
        ]

    def test_without_the_ladder_it_is_an_error(self) -> None:
        """By default nothing but the smart-configuration is asked for."""
        server = Server("1uphealth")
        with pytest.raises(DiscoveryError, match="401"):
            server.client(answer(server["blocked"])).discover()


DOCUMENT = {
    "issuer": "https://sso.example.com",
    "authorization_endpoint": "https://sso.example.com/authorize",
    "token_endpoint": "https://sso.example.com/token",
    "grant_types_supported": ["client_credentials"],
    "code_challenge_methods_supported": ["S256"],
    "capabilities": ["client-public"],
}
GOOD = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "scope": "system/*.rs"}


def hostile(*answers: Response, **knobs: Any) -> tuple[SmartClient, ScriptedTransport]:
    transport = ScriptedTransport(*answers)
    config = SmartConfig(
        **{
            "fhir_base": "https://ehr.example.com/r4",
            "client_id": "growth-chart",
            "client_auth": ClientSecret("s3cret"),
            "redirect_uri": "https://app.example.com/callback",
            "scope": "launch/patient patient/*.rs",
            "attempts": 1,
            **knobs,
        }
    )
    return SmartClient(config, transport=transport, clock=Clock()), transport


class TestHostile:
    """7.18"""

    @pytest.mark.rule("DI-03")
    @pytest.mark.parametrize(
        "body",
        [
            b"<!DOCTYPE html><html><body><div id=root></div></body></html>",
            b"  \n<html></html>",
            b"[]",
            b'[{"token_endpoint": "https://sso.example.com/token"}]',
            b'"https://sso.example.com/token"',
            b"null",
            b"",
            json.dumps(DOCUMENT).encode()[:-20],
            b"\x1f\x8b\x08\x00" + b"\x00" * 40,
            b'{"token_endpoint": NaN}',
            b'{"token_endpoint": "https://a.example/t", "token_endpoint": "https://b.example/t"}',
            b'{"a":' * 5000,
        ],
        ids=[
            "spa",
            "blanks",
            "array",
            "list",
            "string",
            "null",
            "empty",
            "cut",
            "gzip",
            "nan",
            "twice",
            "deep",
        ],
    )
    def test_what_is_no_document(self, body: bytes) -> None:
        """Pages, arrays, halves and rubbish with status 200 end in one kind of error."""
        client, _ = hostile(Response(status=200, body=body))
        with pytest.raises(DiscoveryError):
            client.discover()

    def test_a_byte_order_mark(self) -> None:
        """It is tolerated, in front of any document."""
        mark = b"\xef\xbb\xbf"
        client, _ = hostile(
            Response(status=200, body=mark + json.dumps(DOCUMENT).encode()),
            Response(status=200, body=mark + json.dumps(GOOD).encode()),
        )
        assert client.backend_token().access_token == Secret("at-1")

    @pytest.mark.rule("DI-05", "DI-12", "DI-18")
    @pytest.mark.parametrize(
        ("base", "endpoint", "expected"),
        [
            ("https://gw.example.net/t7/fhir", "auth/token", "https://gw.example.net/t7/auth/token"),
            ("https://gw.example.net/t7/fhir/", "auth/token", "https://gw.example.net/t7/fhir/auth/token"),
            ("https://gw.example.net/t7/fhir", "/auth/token", "https://gw.example.net/auth/token"),
        ],
    )
    def test_relative_endpoints(self, base: str, endpoint: str, expected: str) -> None:
        """They start at the FHIR base as it was given, and duplicates in lists are one."""
        document = {**DOCUMENT, "token_endpoint": endpoint, "capabilities": ["launch-ehr", "launch-ehr", "x"]}
        client, _ = hostile(json_response(document), fhir_base=base)
        metadata = client.discover()
        assert (metadata.token_endpoint, metadata.capabilities) == (expected, ("launch-ehr", "x"))
        assert "DI-04" in rules(metadata.findings)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, status: int) -> None:
        """It is named in an error: nothing is asked of where it leads."""
        client, transport = hostile(Response(status=status, headers=Headers({"Location": "/fhir/other"})))
        with pytest.raises(DiscoveryError, match=r"to https://ehr\.example\.com"):
            client.discover()
        assert len(transport.requests) == 1

    @pytest.mark.rule("TK-15")
    @pytest.mark.parametrize(
        ("value", "expires_at"),
        [
            ("abc", None),
            ("-5", NOW),
            (-5, NOW),
            (3600.0, NOW + 3600),
            ("3600.0", NOW + 3600),
            (0, NOW),
            (None, None),
        ],
    )
    def test_expires_in(self, value: Any, expires_at: float | None) -> None:
        """A number in any dress is a number, nothing below zero is later than now, rubbish is unknown."""
        client, _ = hostile(json_response(DOCUMENT), json_response({**GOOD, "expires_in": value}))
        token = client.backend_token()
        assert token.expires_at == expires_at

    @pytest.mark.parametrize("value", [True, [300], {"s": 300}])
    def test_expires_in_of_no_sense(self, value: Any) -> None:
        """What can be no number at all is refused."""
        client, _ = hostile(json_response(DOCUMENT), json_response({**GOOD, "expires_in": value}))
        with pytest.raises(TokenResponseError):
            client.backend_token()

    def test_a_list_of_scopes(self) -> None:
        """It is joined, with a finding."""
        client, _ = hostile(json_response(DOCUMENT), json_response({**GOOD, "scope": ["a", "b"]}))
        token = client.backend_token("a b")
        assert (str(token.scopes), rules(token.findings)) == ("a b", {"TK-13"})

    @pytest.mark.rule("CTX-02")
    @pytest.mark.parametrize(
        ("value", "patient"),
        [
            ("Patient/9", "9"),
            (9, "9"),
            ("../../metadata", None),
            ({"$ne": 1}, None),
            ("x" * 65, None),
            ("..", None),
        ],
    )
    def test_a_patient(self, value: Any, patient: str | None) -> None:
        """A type in front is dropped, and what is no id is left out before it comes into a URL."""
        client, _ = hostile(json_response(DOCUMENT), json_response({**GOOD, "patient": value}))
        token = client.backend_token()
        assert (token.context.patient, "CTX-02" in rules(token.findings)) == (patient, True)

    @pytest.mark.parametrize("value", ["bearer ", " BEARER", "Bearer"])
    def test_token_type(self, value: str) -> None:
        """Blanks and case are nothing; what is sent is always Bearer."""
        client, _ = hostile(json_response(DOCUMENT), json_response({**GOOD, "token_type": value}))
        assert client.backend_token().token_type == "Bearer"

    @pytest.mark.parametrize("value", ["DPoP", "mac", "", 5])
    def test_another_token_type(self, value: Any) -> None:
        """A token of another kind cannot be used."""
        client, _ = hostile(json_response(DOCUMENT), json_response({**GOOD, "token_type": value}))
        with pytest.raises(TokenResponseError):
            client.backend_token()

    def test_five_megabytes_of_error(self) -> None:
        """A huge refusal ends in a short error, and never in its text."""
        client, transport = hostile(json_response(DOCUMENT), Response(status=500, body=b"A" * 5_000_000))
        with pytest.raises(OAuthError) as caught:
            client.backend_token()
        assert len(str(caught.value)) < 1500
        assert transport.requests[1].max_bytes == 256 * 1024

    def test_a_day_to_wait(self) -> None:
        """Retry-After is reported as it was said; nobody waits for it here."""
        refusal = Response(status=429, headers=Headers({"Retry-After": "86400"}))
        client, transport = hostile(json_response(DOCUMENT), refusal)
        with pytest.raises(OAuthError) as caught:
            client.backend_token()
        assert (caught.value.retry_after, len(transport.requests)) == (86_400.0, 2)

    @pytest.mark.parametrize(("value", "seconds"), [("60", 60.0), ("1750000090", 90.0), ("1749999000", 0.0)])
    def test_another_way_to_say_when(self, value: str, seconds: float) -> None:
        """X-RateLimit-Reset counts seconds from now or since 1970."""
        refusal = Response(status=429, headers=Headers({"X-RateLimit-Reset": value}))
        client, _ = hostile(json_response(DOCUMENT), refusal)
        with pytest.raises(OAuthError) as caught:
            client.backend_token()
        assert caught.value.retry_after == seconds

    def test_the_clock_of_the_server(self) -> None:
        """A Date ten minutes off changes nothing: expiry counts from when the answer arrived here."""
        late = {"Date": "Sun, 15 Jun 2025 15:16:40 GMT"}
        client, _ = hostile(json_response(DOCUMENT, headers=late), json_response(GOOD, headers=late))
        assert client.backend_token().expires_at == NOW + 300
