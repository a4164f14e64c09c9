"""Each rule about authorization requests, broken once."""

from __future__ import annotations

import uuid
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from smart_async import SigningKey, public_jwks

CALLBACK = "https://app.example.com/callback"


def came_back(response):
    location = response.headers["location"]
    assert location.startswith(CALLBACK + "?")
    return dict(parse_qsl(urlsplit(location).query))


@pytest.mark.parametrize(("method", "status"), [("GET", 302), ("POST", 303)])
@pytest.mark.rule("AL-18", "AL-19", "AL-20", "CB-04", "CB-10")
def test_success(hand, method, status):
    """A correct request comes back with code, the same state and the issuer."""
    fields = hand.authorization()
    response = hand.ask(fields, method)
    parameters = came_back(response)
    assert (response.status, set(parameters)) == (status, {"code", "state", "iss"})
    assert (parameters["state"], parameters["iss"]) == (fields["state"], hand.sandbox.issuer)
    assert (hand.verdict.endpoint, hand.verdict.client_id, hand.verdict.rule) == (
        "authorize",
        "asymmetric",
        None,
    )
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "error", "rule"),
    [
        pytest.param({"response_type": ...}, "invalid_request", "AL-06", id="no response_type"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", "AL-06", id="implicit"),
        pytest.param({"scope": ...}, "invalid_scope", "AL-08", id="no scope"),
        pytest.param({"scope": ""}, "invalid_scope", "AL-08", id="empty scope"),
        pytest.param({"scope": "patient/Observation.sr"}, "invalid_scope", "SC-01", id="scope out of order"),
        pytest.param({"scope": "__nothing"}, "invalid_scope", "SC-17", id="nothing to grant"),
        pytest.param({"state": ...}, "invalid_request", "AL-09", id="no state"),
        pytest.param({"aud": ...}, "invalid_request", "AL-12", id="no aud"),
        pytest.param(
            {"aud": "https://sandbox.example/fhir/"}, "invalid_request", "AL-12", id="aud with slash"
        ),
        pytest.param({"code_challenge": ...}, "invalid_request", "AL-14", id="no challenge"),
        pytest.param({"code_challenge_method": ...}, "invalid_request", "AL-15", id="no method"),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", "AL-15", id="plain"),
        pytest.param({"code_challenge": "A" * 42}, "invalid_request", "AL-16", id="short challenge"),
        pytest.param({"code_challenge": "A" * 43 + "="}, "invalid_request", "AL-16", id="padded challenge"),
        pytest.param({"max_age": "5"}, "invalid_request", "AL-24", id="max_age"),
        pytest.param({"client_secret": "x"}, "invalid_request", "TK-11", id="secret in the browser"),
        pytest.param({"code_verifier": "x"}, "invalid_request", "TK-11", id="verifier in the browser"),
        pytest.param({"scope": "launch patient/*.rs"}, "invalid_request", "AL-03", id="scope without launch"),
        pytest.param({"launch": "x"}, "invalid_request", "AL-04", id="launch without scope"),
        pytest.param({"launch": "x", "scope": "launch"}, "invalid_request", "AL-03", id="unknown launch"),
        pytest.param({"launch": "x", "aud": "y"}, "invalid_request", "AL-13", id="launch with another aud"),
    ],
)
@pytest.mark.rule("AL-06", "AL-08", "AL-09", "AL-12", "AL-14", "AL-15", "AL-16", "AL-24", "CB-05")
def test_errors_go_back_to_the_app(hand, changes, error, rule):
    """A wrong request of a known client comes back with OAuth's error and the broken rule."""
    parameters = came_back(hand.ask(hand.authorization(**changes)))
    assert (parameters["error"], parameters["error_description"].split(":")[0]) == (error, rule)
    assert (parameters["iss"], "code" in parameters) == (hand.sandbox.issuer, False)
    assert ("state" in parameters) == ("state" not in changes)
    assert (hand.verdict.accepted, hand.verdict.rule) == (False, rule)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param({"client_id": ...}, "AL-06", id="no client"),
        pytest.param({"client_id": "nobody"}, "AL-06", id="unknown client"),
        pytest.param({"redirect_uri": ...}, "AL-07", id="no redirect URI"),
        pytest.param({"redirect_uri": CALLBACK + "/"}, "AL-07", id="redirect URI with a slash"),
        pytest.param({"redirect_uri": "https://evil.example.net/"}, "AL-07", id="foreign redirect URI"),
    ],
)
@pytest.mark.rule("AL-06", "AL-07")
def test_errors_that_stay(hand, changes, rule):
    """Without a trusted redirect URI the user gets a page and goes nowhere."""
    response = hand.ask(hand.authorization(**changes))
    assert (response.status, "location" in response.headers, hand.verdict.rule) == (400, False, rule)
    assert rule in response.body.decode()


@pytest.mark.rule("AL-07")
def test_an_unregistered_redirect_uri_is_shown_beside_the_registered_ones(hand):
    """Whoever wrote http for https, or one slash too many, sees it; a long one hides nothing."""
    page = hand.ask(hand.authorization(redirect_uri=CALLBACK + "/<b>")).body.decode()
    assert (f"sent: {CALLBACK}/&lt;b&gt;; registered: {CALLBACK}" in page, "<b>" in page) == (True, False)
    assert f"registered: {CALLBACK}" in hand.ask(hand.authorization(redirect_uri="x" * 1000)).body.decode()
    assert f"missing; registered: {CALLBACK}" in hand.ask(hand.authorization(redirect_uri=...)).body.decode()


@pytest.mark.rule("AL-07")
def test_a_client_without_redirect_uris(hand):
    """It is said that there are none."""
    hand.sandbox.register_client(client_id="bare", jwks=public_jwks([SigningKey.generate("ES384")]))
    asked = hand.authorization(client_id="bare", redirect_uri=CALLBACK)
    assert "registered: none" in hand.ask(asked).body.decode()


def test_pages_run_nothing(hand):
    """Whatever a request holds, the page shows it as text and forbids everything else."""
    response = hand.ask(hand.authorization(client_id="asymmetric", redirect_uri="x", evil="<script>"))
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
    body = b"<script>alert(1)</script>=1&<script>alert(1)</script>=2"
    page = hand.send(
        "POST",
        hand.sandbox.base_url + "/oauth2/authorize",
        body=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (page.status, b"<script>" in page.body, b"&lt;script&gt;" in page.body) == (400, False, True)


@pytest.mark.rule("AL-26")
def test_repeated_parameter(hand):
    """A parameter that occurs twice is an error, told to the app where the app is beyond doubt."""
    query = urlencode(hand.authorization()) + "&aud=x"
    response = hand.send("GET", f"{hand.sandbox.base_url}/oauth2/authorize?{query}")
    assert came_back(response)["error"] == "invalid_request"
    assert hand.verdict.rule == "RFC 6749 §3.2"


@pytest.mark.rule("AL-26")
def test_repeated_redirect_uri(hand):
    """Where the redirect URI itself occurs twice, nobody is sent anywhere."""
    query = urlencode(hand.authorization()) + "&redirect_uri=x"
    response = hand.send("GET", f"{hand.sandbox.base_url}/oauth2/authorize?{query}")
    assert (response.status, "location" in response.headers) == (400, False)


@pytest.mark.rule("AL-20")
def test_post_must_be_a_form(hand):
    """A POST that is no form is refused with a page."""
    response = hand.send("POST", hand.sandbox.base_url + "/oauth2/authorize", body=b"{}")
    assert (response.status, hand.verdict.rule) == (400, "AL-20")


@pytest.mark.rule("AL-10")
@pytest.mark.parametrize("state", ["short", "1" * 43, "12345678901234567890123456789012", "ab" * 30])
def test_guessable_state(hand, state):
    """A state that cannot hold 122 bits is remarked upon."""
    assert "code" in hand.callback(state=state)
    assert (hand.remarks, hand.verdict.accepted, hand.verdict.rule) == (["AL-10"], True, None)


@pytest.mark.rule("AL-10")
@pytest.mark.parametrize(
    "state", [str(uuid.UUID(int=0x1234567890ABCDEF1234567890ABCDEF)), "0123456789abcdef" * 2]
)
def test_sufficient_state(hand, state):
    """A random UUID is enough."""
    hand.callback(state=state)
    assert hand.remarks == []


@pytest.mark.rule("AL-10", "AL-16")
def test_repeated_state_and_challenge(hand):
    """A state or challenge of an earlier request is remarked upon."""
    fields = hand.authorization()
    hand.ask(fields)
    hand.ask(fields)
    assert hand.remarks == ["AL-10", "AL-16"]


@pytest.mark.rule("AL-28", "CTX-01")
def test_patient_scope_without_launch_patient(hand):
    """Patient scopes without launch/patient get a patient all the same, and a remark."""
    token = hand.login(scope="patient/*.rs")
    assert (token["patient"], hand.remarks) == ("patient-amber", ["AL-28"])


@pytest.mark.rule("AL-23")
def test_online_access_without_launch(hand):
    """online_access is for EHR launches: elsewhere it is not granted."""
    token = hand.login(scope="launch/patient patient/*.rs online_access")
    assert ("refresh_token" in token, hand.remarks) == (False, ["AL-23"])


def test_client_without_logins(hand):
    """A client that is registered for client credentials only cannot log users in."""
    hand.sandbox.register_client(
        client_id="robot",
        redirect_uris=[CALLBACK],
        jwks={"keys": [hand.ec_key.jwk]},
        grant_types=["client_credentials"],
    )
    parameters = came_back(hand.ask(hand.authorization(client_id="robot")))
    assert parameters["error"] == "unauthorized_client"


def test_redirect_uri_with_a_query(hand):
    """The redirect URI's own query is kept."""
    hand.sandbox.register_client(client_id="tenant", redirect_uris=[CALLBACK + "?t=7"])
    response = hand.ask(hand.authorization(client_id="tenant", redirect_uri=CALLBACK + "?t=7"))
    assert response.headers["location"].startswith(CALLBACK + "?t=7&code=")


@pytest.mark.rule("AL-03", "AL-04", "AL-13")
def test_ehr_launch(hand):
    """An EHR launch brings the context of its handle, extensions included."""
    launch = hand.sandbox.new_launch(
        patient="patient-basil",
        encounter="encounter-basil-2",
        need_patient_banner=False,
        intent="vitals-trend",
        fhirContext=[{"reference": "ServiceRequest/sr-71"}],
    )
    token = hand.login(launch=launch, scope="launch patient/*.rs online_access")
    assert (token["patient"], token["encounter"]) == ("patient-basil", "encounter-basil-2")
    assert (token["need_patient_banner"], token["intent"]) == (False, "vitals-trend")
    assert (token["fhirContext"], "refresh_token" in token) == ([{"reference": "ServiceRequest/sr-71"}], True)


@pytest.mark.rule("CTX-01")
def test_launch_without_patient(hand):
    """A launch without a patient gives no patient-level access."""
    token = hand.login(launch=hand.sandbox.new_launch(), scope="launch patient/*.rs user/*.rs launch/patient")
    assert (token["scope"], "patient" in token) == ("launch user/*.rs", False)


def test_expired_launch(hand):
    """A launch handle is good for ten minutes."""
    launch = hand.sandbox.new_launch(patient="patient-basil")
    hand.clock.now += 600
    assert hand.callback(launch=launch, scope="launch")["error_description"].startswith("AL-03")


def test_standalone_encounter(hand):
    """launch/encounter brings an encounter of the patient."""
    token = hand.login(scope="launch/encounter patient/*.rs launch/patient")
    assert (token["patient"], token["encounter"]) == ("patient-amber", "encounter-amber-1")


@pytest.mark.rule("CTX-14")
def test_no_context_without_asking(hand):
    """User-level access without launch scopes brings no context."""
    token = hand.login(scope="user/*.rs openid")
    assert {"patient", "encounter", "need_patient_banner"} & token.keys() == set()
