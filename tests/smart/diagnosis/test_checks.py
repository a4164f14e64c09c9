"""What each check says where nothing is wrong, or not enough to be a cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smart_async import ClientSecret, PrivateKeyJWT, PublicClient, SigningKey
from smart_async.errors import OAuthError, ProtocolError
from smart_async.messages import Finding
from smart_async.smart.diagnosis import TlsFacts
from smart_async.smart.diagnosis.check_answer import check_answer
from smart_async.smart.diagnosis.evidence import Evidence, Fetched
from smart_async.smart.diagnosis.gather import attempt
from smart_async.smart.diagnosis.makes import NOTES, make_of, preset_for
from smart_async.smart.diagnosis.sheet import Sheet
from smart_async.smart.scopes import Scopes
from smart_async.smart.state import ClientState

BASE = "https://ehr.example.com/r4"
WELL_KNOWN = f"{BASE}/.well-known/smart-configuration"
TOKEN = "https://ehr.example.com/oauth2/token"
JWKS = "https://app.example.net/jwks.json"
NOW = 1_800_000_000.0


def line(found: Any, check: str) -> Any:
    """The line of a check."""
    return next(each for each in found.checks if each.id == check)


@pytest.mark.parametrize(
    ("auth", "said", "why"),
    [
        (ClientSecret("swordfish"), "authenticates with a client secret", ""),
        (PublicClient(), "authenticates with no key", "A public client proves nothing"),
    ],
)
def test_other_ways_to_authenticate(world: Any, document: Any, auth: Any, said: str, why: str) -> None:
    """Without a key there is no key, no kid and no assertion to look at."""
    document(
        token_endpoint_auth_methods_supported=None, token_endpoint_auth_signing_alg_values_supported=None
    )
    world.pages[TOKEN] = world.pages[TOKEN](world.sent[0]) if world.sent else world.pages[TOKEN]
    world.config = replace(world.config, client_auth=auth)
    found = world.diagnose(jwks_url=None)
    assert (said in line(found, "key").explanation, line(found, "assertion").status) == (True, "skipped")
    assert ("kid" in {each.id for each in found.checks}, why in line(found, "token").explanation) == (
        False,
        True,
    )


def test_a_secret_that_the_server_takes(world: Any, document: Any, make: Any) -> None:
    """A secret is fine where the server lists one."""
    document(token_endpoint_auth_methods_supported=["client_secret_basic"])
    world.config = replace(world.config, client_auth=ClientSecret("swordfish"))
    world.pages[TOKEN] = make({"access_token": "abc", "token_type": "Bearer", "expires_in": 60})
    assert world.diagnose(jwks_url=None).granted


def test_an_app_with_users_is_not_tried(world: Any) -> None:
    """Its tokens need somebody who signs in; patient scopes are no fault then."""
    world.config = replace(
        world.config, redirect_uri="https://app.example.net/callback", scope="launch/patient patient/*.rs"
    )
    found = world.diagnose()
    assert (found.causes, found.tried) == ((), False)
    assert "smart-async login" in line(found, "token").explanation
    assert world.diagnose(scope="system/*.rs").tried


def test_a_signer_that_publishes_nothing(world: Any, key: SigningKey) -> None:
    """A signer without a public half is not compared, and that is said."""

    class Bare:
        kid, algorithm, blocking = "key-1", "ES384", False

        def sign(self, signing_input: bytes) -> bytes:
            return key.sign(signing_input)

    world.config = replace(world.config, client_auth=PrivateKeyJWT(Bare()))
    found = world.diagnose()
    assert (found.causes, "cannot be told" in line(found, "jwks-key").explanation) == ((), True)


def test_a_signer_with_an_algorithm_of_its_own(
    world: Any, published: Any, document: Any, key: SigningKey
) -> None:
    """What no standard names is not judged by type."""

    class Own:
        kid, algorithm, blocking = "key-1", "XX1", False

        def sign(self, signing_input: bytes) -> bytes:
            return b"signed"

    world.config = replace(world.config, client_auth=PrivateKeyJWT(Own()))
    document(token_endpoint_auth_signing_alg_values_supported=None)
    published(alg="XX1")
    assert world.causes() == []


@pytest.mark.parametrize(
    ("headers", "said", "status"),
    [
        ({}, "There are none", "ok"),
        ({"Cache_Control": "public, max-age=300"}, "max-age=300", "ok"),
        ({"Cache_Control": "max-age=x"}, "max-age=x", "ok"),
        ({"Cache_Control": "max-age=604800"}, "604800 s", "warning"),
    ],
)
def test_how_long_the_set_is_kept(world: Any, published: Any, headers: Any, said: str, status: str) -> None:
    """A copy that is kept for days hides a new key for days."""
    published(headers=headers)
    found = line(world.diagnose(), "jwks-caching")
    assert (said in found.explanation, found.status) == (True, status)


def test_a_set_on_loopback_with_another_label(world: Any, make: Any, key: SigningKey) -> None:
    """Plain http is fine on loopback where it is allowed; the label is noted."""
    url = "http://127.0.0.1:8000/jwks"
    world.config = replace(world.config, allow_insecure_loopback=True)
    for label in ("text/plain", ""):
        world.pages[url] = make({"keys": [key.public_jwk()]}, Content_Type=label)
        world.pages[url] = replace(world.pages[url], headers={"content-type": label})
        found = world.diagnose(jwks_url=url)
        assert (found.causes, line(found, "jwks").status) == ((), "warning")
        assert "loopback only" in line(found, "jwks").explanation


@pytest.mark.parametrize(
    ("jku", "jwks_url", "registered", "status", "said"),
    [
        (None, JWKS, None, "ok", "best unless"),
        (None, JWKS, JWKS, "ok", "best unless"),
        (None, f"{JWKS}?v=2", JWKS, "warning", "jwks.json?…, registered is"),
        (JWKS, None, None, "ok", "not known here"),
        (JWKS, None, JWKS, "ok", "It is the registered URL"),
    ],
)
def test_the_urls_of_the_set(
    world: Any,
    key: SigningKey,
    jku: str | None,
    jwks_url: str | None,
    registered: str | None,
    status: str,
    said: str,
) -> None:
    """Sent, published and registered URL are compared as far as they are known."""
    world.config = replace(world.config, client_auth=PrivateKeyJWT(key, jku=jku))
    found = world.diagnose(jwks_url=jwks_url, registered_jwks_url=registered)
    assert (found.causes, line(found, "jku").status) == ((), status)
    assert said in line(found, "jku").explanation


@pytest.mark.parametrize(
    ("ahead", "status", "said"),
    [
        (0, "ok", "They agree"),
        (20, "ok", "20 s ahead of the server's. 40 s remain"),
        (40, "warning", "20 s remain"),
        (-20, "ok", "20 s behind the server's. 220 s remain"),
        (-200, "warning", "40 s remain"),
    ],
)
def test_what_the_clocks_leave(world: Any, ahead: float, status: str, said: str) -> None:
    """The difference is told, and how much more is bearable."""
    world.now = NOW + ahead
    found = line(world.diagnose(), "clock")
    assert (found.status, said in found.explanation) == (status, True)


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Jan 2027 00:00:00 GMT"])
def test_a_server_without_a_usable_date(world: Any, make: Any, date: str) -> None:
    """Nobody can tell then."""
    for url in (WELL_KNOWN, TOKEN):
        page = world.pages[url]
        page = page if not callable(page) else make({"access_token": "abc", "token_type": "Bearer"})
        world.pages[url] = replace(page, headers={"content-type": "application/json", "date": date})
    assert line(world.diagnose(), "clock").status == "skipped"


def test_a_copy_from_a_cache_tells_an_older_time(world: Any, document: Any, make: Any) -> None:
    """The Age of an answer is added to its Date, and a Date without a zone is GMT."""
    page = world.pages[WELL_KNOWN]
    date = "Fri, 15 Jan 2027 06:00:00"
    world.pages[WELL_KNOWN] = replace(page, headers={**page.headers, "date": date, "age": "7200"})
    world.pages[TOKEN] = replace(make({}, 401), headers={})
    assert "clock" not in str(world.causes())
    assert line(world.diagnose(), "clock").explanation.startswith("They agree")


@pytest.mark.parametrize(
    ("there", "said"),
    [(0.0, "disagrees with this machine, too"), (900.0, "the server's clock that is wrong")],
)
def test_a_third_clock_has_an_opinion(
    world: Any, make: Any, key: SigningKey, there: float, said: str
) -> None:
    """Where the host of the JWK Set agrees with us, it is the server that is wrong."""
    world.now = NOW + 900
    world.pages[JWKS] = make({"keys": [key.public_jwk()]}, at=NOW + there)
    assert said in world.diagnose().causes[0].explanation


def test_a_set_on_the_servers_own_host_is_no_third(world: Any, make: Any, key: SigningKey) -> None:
    """Its clock is the server's."""
    url = "https://ehr.example.com/jwks"
    world.now = NOW + 900
    world.pages[url] = make({"keys": [key.public_jwk()]})
    assert "JWK Set" not in world.diagnose(jwks_url=url).causes[0].explanation
    world.pages[JWKS] = make({"keys": [key.public_jwk()]}, date=False)
    assert "JWK Set" not in world.diagnose().causes[0].explanation


def test_an_assertion_without_margin(world: Any) -> None:
    """Exp exactly five minutes ahead leaves no room for a clock that is fast."""
    world.config = replace(world.config, assertion_backdate=0)
    found = line(world.diagnose(), "assertion")
    assert (found.status, "no room" in found.explanation) == ("warning", True)


class Elsewhere(PrivateKeyJWT):
    """Signs at another time, or for somebody else."""

    def authenticate(self, config: Any, metadata: Any, audience: str, *, entropy: Any) -> Any:
        """An assertion that breaks two rules."""
        config = replace(config, client_id="somebody-else")
        flow = super().authenticate(config, metadata, audience, entropy=entropy)
        step = next(flow)
        try:
            while True:
                outcome = yield step
                wall = getattr(outcome, "wall", None)
                step = flow.send(replace(outcome, wall=wall - 5000) if wall else outcome)
        except StopIteration as stop:
            return stop.value


def test_an_assertion_that_breaks_the_rules(world: Any, refuse: Any, key: SigningKey) -> None:
    """Somebody else's issuer and a validity that is over are seen before the server sees them."""
    refuse()
    world.config = replace(world.config, client_auth=Elsewhere(key))
    assert world.causes() == ["assertion-issuer", "assertion-window"]


def test_discovery_switched_off(world: Any, refuse: Any) -> None:
    """The endpoints are the configuration's; an audience of another kind is what such servers want."""
    world.config = replace(
        world.config,
        discovery="off",
        token_endpoint=TOKEN,
        assertion_audience="https://inner.example.com/token",
    )
    found = world.diagnose()
    assert (found.causes, "Switched off" in line(found, "discovery").explanation) == ((), True)
    assert line(found, "assertion").status == "warning"


def test_discovery_from_elsewhere(world: Any, make: Any) -> None:
    """Where the CapabilityStatement stands in, the passed-over document is a finding and no cause."""
    world.pages[WELL_KNOWN] = make({}, 404)
    oauth = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [{"url": "token", "valueUri": TOKEN}],
    }
    world.pages[f"{BASE}/metadata"] = make(
        {
            "resourceType": "CapabilityStatement",
            "rest": [{"mode": "server", "security": {"extension": [oauth]}}],
        }
    )
    world.config = replace(world.config, discovery="auto")
    found = world.diagnose()
    assert (found.causes, line(found, "conformance").status) == ((), "warning")


def test_redirected_discovery_is_followed_where_allowed(world: Any, make: Any) -> None:
    """The document at the end counts."""
    end = "https://ehr.example.com/moved"
    world.pages[end] = world.pages[WELL_KNOWN]
    world.pages[WELL_KNOWN] = make({}, 302, Location=end)
    world.config = replace(world.config, follow_discovery_redirects=True)
    assert world.causes() == []


def test_findings_are_listed(world: Any, document: Any) -> None:
    """Each broken rule stands under the check, with its id; what is only worth knowing is no warning."""
    document(code_challenge_methods_supported=["plain"], grant_types_supported=None)
    found = line(world.diagnose(), "conformance")
    assert (found.status, found.details[0].startswith("error DI-08")) == ("warning", True)
    document(
        capabilities=["client-confidential-asymmetric", "permission-v2", "launch-ehr", "context-ehr-patient"]
    )
    assert "DI-15" in str(line(world.diagnose(), "conformance").details)


def test_system_scopes_that_are_not_listed(world: Any, document: Any) -> None:
    """Such lists are often incomplete, so this is no cause."""
    document(scopes_supported=["system/Patient.rs"])
    found = world.diagnose()
    assert (found.causes, line(found, "scopes").status) == ((), "warning")


def test_scopes_in_the_servers_version(world: Any, document: Any) -> None:
    """The fix is written out where it can be."""
    assert 'scope="system/Patient.rs"' in str(
        world.diagnose(scope="system/Patient.read", try_token=False).causes[0].fix
    )
    document(capabilities=["permission-v1"])
    assert ".read for .rs" in world.diagnose(try_token=False).causes[0].fix


@pytest.mark.parametrize(
    ("facts", "status", "said"),
    [
        (None, "skipped", "because"),
        (TlsFacts(host="h:443", problem="unreachable"), "skipped", "cannot be reached"),
        (TlsFacts(host="h:443", version="TLSv1.3"), "ok", "h:443, TLSv1.3."),
        (
            TlsFacts(host="h:443", version="TLSv1.3", names=("h",), issuer="CN=i", not_after=NOW + 9e6),
            "ok",
            "CN=i",
        ),
        (TlsFacts(host="h:443", version="TLSv1.3", not_after=NOW + 9e4), "warning", "That is soon"),
    ],
)
def test_what_is_said_of_tls(world: Any, facts: Any, status: str, said: str) -> None:
    """Version, names, issuer and expiry are told."""
    found = line(world.diagnose(tls=facts, tls_why_not="because" if facts is None else ""), "tls")
    assert (found.status, said in found.explanation) == (status, True)


def test_tls_that_nobody_looked_at(world: Any) -> None:
    """That is said as well."""
    assert line(world.diagnose(), "tls").explanation == "It was not looked at."


def test_a_probe_that_is_answered_with_a_token(world: Any, make: Any) -> None:
    """Whatever a healthy endpoint says to a request without credentials, it is there."""
    for status in (200, 400, 401, 403):
        world.pages[TOKEN] = make({"error": "invalid_request"}, status)
        found = world.diagnose(try_token=False)
        assert (found.causes, line(found, "token-endpoint").status) == ((), "ok")


def test_what_was_noticed_about_the_key_file(world: Any) -> None:
    """A key that others may read is a warning, and no reason to be refused."""
    finding = Finding(
        rule="key-file", severity="warning", message="Others can read it.", advice="Mount it 0400."
    )
    found = world.diagnose(key_findings=(finding,))
    assert (found.causes, line(found, "key").status, line(found, "key").details) == (
        (),
        "warning",
        ("Others can read it. Mount it 0400.",),
    )


def test_what_nobody_sends_is_said(world: Any, document: Any) -> None:
    """A request that cannot be signed for this server is not sent; the endpoint is looked at all the same."""
    document(token_endpoint_auth_signing_alg_values_supported=["RS384"])
    found = world.diagnose()
    assert ([each.id for each in found.causes], found.tried) == (["algorithm"], False)
    assert (
        "accepts only RS384" in line(found, "token").explanation,
        line(found, "token-endpoint").status,
    ) == (
        True,
        "ok",
    )


def test_findings_of_the_token_are_listed(world: Any, make: Any) -> None:
    """What is odd about a token is told; the token is not."""
    world.pages[TOKEN] = make({"access_token": "tell-nobody", "scope": "system/*.rs"})
    found = world.diagnose()
    assert (
        found.granted,
        len(line(found, "token").details) > 0,
        "tell-nobody" in json.dumps(found.to_dict()),
    ) == (
        True,
        True,
        False,
    )


def test_the_servers_words_are_handed_on(world: Any, refuse: Callable[..., None]) -> None:
    """Support asks for the correlation id."""
    refuse("invalid_client", "no reason at all", X_Correlation_Id="c-123")
    found = world.diagnose()
    assert (found.server["correlation_id"], found.server["status"]) == ("c-123", 401)
    assert "c-123" in line(found, "token").explanation


def test_the_report_in_json(world: Any, refuse: Callable[..., None]) -> None:
    """The report is one JSON object, and says that it may be pasted."""
    refuse()
    document = json.loads(json.dumps(world.diagnose().to_dict()))
    assert set(document) == {
        "summary", "ok", "fhir_base", "client_id", "tried", "granted", "causes", "checks", "vendor",
        "vendor_notes", "assertion", "server", "note",
    }  # fmt: skip
    assert document["note"].startswith("Safe to paste")
    assert set(document["causes"][0]) == {"id", "title", "explanation", "fix", "certainty"}
    assert set(document["assertion"]["claims"]) == {"iss", "sub", "aud", "iat", "exp", "jti"}
    assert document["assertion"]["signature"] == "<hidden>"


def test_a_cause_as_text(world: Any) -> None:
    """A cause reads as one paragraph."""
    cause = world.diagnose(jwks_url="http://app.example.net/").causes[0]
    assert str(cause) == f"{cause.title} {cause.explanation} {cause.fix}"


def test_configured_header_members_are_hidden(world: Any) -> None:
    """What was configured may be secret; its name is enough."""
    world.config = replace(world.config, assertion_header={"x-tenant": "s3cret", "x5t": "abc"})
    header = world.diagnose().assertion["header"]
    assert (header["x-tenant"], header["x5t"]) == ("<hidden>", "abc")


def test_every_make_is_known_by_its_address() -> None:
    """Each make with notes has a sign, and a sign leads to its notes."""
    urls = {
        "epic": "https://fhir.hospital.example/interconnect-prd/api/FHIR/R4",
        "oracle-health": "https://fhir-ehr-code.cerner.com/r4/t",
        "keycloak": "https://sso.example.com/realms/smart",
        "azure-ahds": "https://ws-fhir.fhir.azurehealthcareapis.com",
        "smart-launcher": "https://launch.smarthealthit.org/v/r4/fhir",
    }
    assert {make: make_of([None, url]) for make, url in urls.items()} == {make: make for make in urls}
    assert (make_of([BASE]), preset_for("keycloak"), preset_for("epic")) == (None, None, "epic")
    assert all(NOTES.values())


def test_an_answer_of_our_own_error_kind(world: Any) -> None:
    """A protocol error that is no redirect is a broken answer, also if nothing was kept of it."""
    evidence = Evidence(
        config=world.config, scopes=Scopes("system/*.rs"), answer=ProtocolError("It is broken.")
    )
    assert check_answer(evidence, Sheet()) == ("token-response-broken",)


def test_nothing_to_fetch_is_no_document() -> None:
    """An outcome without an answer holds neither JSON nor HTML."""
    fetched = Fetched(url=JWKS)
    assert (fetched.document, fetched.is_html) == (None, False)


def test_an_attempt_that_cannot_be_made_asks_nothing(world: Any) -> None:
    """Without metadata nothing is sent."""
    evidence = Evidence(config=world.config, scopes=Scopes("system/*.rs"), try_token=True)
    world.perform(attempt(ClientState(config=world.config), evidence))
    assert (world.sent, evidence.answer) == ([], None)


def test_a_refusal_of_a_client_without_a_key_set(world: Any) -> None:
    """The clocks are compared with whatever answered."""
    evidence = Evidence(
        config=None, scopes=Scopes("system/*.rs"), answer=OAuthError("no", error="invalid_client")
    )
    sheet = Sheet()
    assert check_answer(evidence, sheet) == ()
    assert next(iter(sheet.causes)) == "secret-wrong"
