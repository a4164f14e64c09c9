"""The token endpoint: what it gives, and each rule broken once."""

from __future__ import annotations

import json

import pytest

CALLBACK = "https://app.example.com/callback"


def outcome(hand, response):
    document = json.loads(response.body)
    assert document["error_description"].startswith(hand.verdict.rule.replace("§", "section "))
    return response.status, document["error"], hand.verdict.rule


@pytest.mark.rule("TK-12", "TK-13", "TK-15", "CTX-01", "CTX-03", "BS-06")
def test_code_exchange(hand):
    """A code becomes an access token with scope, context, identity and refresh token."""
    response = hand.exchange(hand.callback()["code"])
    token = json.loads(response.body)
    assert set(token) == {
        "access_token", "token_type", "expires_in", "scope", "patient", "need_patient_banner", "id_token",
        "refresh_token",
    }  # fmt: skip
    assert (token["token_type"], token["expires_in"], token["patient"]) == ("Bearer", 3600, "patient-amber")
    assert token["scope"] == "openid fhirUser launch/patient patient/*.rs offline_access"
    assert (response.headers["cache-control"], response.headers["pragma"]) == ("no-store", "no-cache")


def test_code_exchange_of_a_public_client(hand):
    """A public client exchanges its code with client_id and verifier alone."""
    code = hand.callback(client_id="public")["code"]
    response = hand.exchange(code, client_id="public", client_assertion=..., client_assertion_type=...)
    assert (response.status, hand.verdict.client_id) == (200, "public")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"grant_type": ...}, (400, "invalid_request", "TK-02"), id="no grant_type"),
        pytest.param(
            {"grant_type": "password"}, (400, "unsupported_grant_type", "RFC 6749 §5.2"), id="password"
        ),
        pytest.param({"code": ...}, (400, "invalid_request", "TK-02"), id="no code"),
        pytest.param({"code": "x"}, (400, "invalid_grant", "RFC 6749 §4.1.3"), id="unknown code"),
        pytest.param({"redirect_uri": ...}, (400, "invalid_request", "TK-03"), id="no redirect_uri"),
        pytest.param(
            {"redirect_uri": CALLBACK + "/"}, (400, "invalid_grant", "TK-03"), id="other redirect_uri"
        ),
        pytest.param({"code_verifier": ...}, (400, "invalid_request", "TK-04"), id="no verifier"),
        pytest.param({"code_verifier": "A" * 43}, (400, "invalid_grant", "TK-04"), id="wrong verifier"),
        pytest.param({"code_verifier": "A" * 42}, (400, "invalid_grant", "AL-16"), id="short verifier"),
        pytest.param(
            {"code_verifier": "ä" * 43}, (400, "invalid_grant", "AL-16"), id="verifier with umlauts"
        ),
    ],
)
@pytest.mark.rule("TK-02", "TK-03", "TK-04", "AL-16")
def test_exchange_rules(hand, changes, expected):
    """A wrong exchange is refused, and the code still works for the right one."""
    code = hand.callback()["code"]
    assert outcome(hand, hand.exchange(code, **changes)) == expected
    assert hand.exchange(code).status == 200


@pytest.mark.rule("TK-02")
@pytest.mark.parametrize("name", ["scope", "state", "aud"])
def test_parameters_without_a_place(hand, name):
    """scope, state and aud are not part of an exchange; they are remarked upon."""
    assert hand.exchange(hand.callback()["code"], **{name: "x"}).status == 200
    assert hand.remarks == ["TK-02"]


def test_code_of_another_client(hand):
    """A code is worth nothing to another client."""
    code = hand.callback(client_id="public")["code"]
    assert outcome(hand, hand.exchange(code)) == (400, "invalid_grant", "RFC 6749 §4.1.3")


def test_code_expires(hand):
    """A code can be exchanged for less than 60 seconds."""
    code = hand.callback()["code"]
    hand.clock.now += 60
    assert outcome(hand, hand.exchange(code)) == (400, "invalid_grant", "RFC 6749 §4.1.2")
    hand.clock.now -= 0.5
    assert hand.exchange(code).status == 200


def test_code_used_twice_revokes(hand):
    """A code used twice was stolen: what it gave is revoked."""
    code = hand.callback()["code"]
    token = json.loads(hand.exchange(code).body)
    assert outcome(hand, hand.exchange(code)) == (400, "invalid_grant", "RFC 6749 §4.1.2")
    assert hand.read("Patient/patient-amber", token["access_token"]).status == 401
    assert outcome(hand, hand.refresh(token["refresh_token"])) == (400, "invalid_grant", "RF-10")


@pytest.mark.rule("RF-01", "RF-05", "RF-08")
def test_refresh_rotates(hand):
    """A refresh gives a new access token and replaces the refresh token."""
    first = hand.login()
    second = json.loads(hand.refresh(first["refresh_token"]).body)
    third = json.loads(hand.refresh(second["refresh_token"]).body)
    assert len({token["refresh_token"] for token in (first, second, third)}) == 3
    assert (third["scope"], third["patient"], third["expires_in"]) == (first["scope"], "patient-amber", 3600)


@pytest.mark.rule("RF-06")
def test_refresh_token_used_twice_revokes(hand):
    """A replaced refresh token used again revokes everything of the login."""
    first = hand.login()
    second = json.loads(hand.refresh(first["refresh_token"]).body)
    assert outcome(hand, hand.refresh(first["refresh_token"])) == (400, "invalid_grant", "RF-06")
    assert outcome(hand, hand.refresh(second["refresh_token"])) == (400, "invalid_grant", "RF-10")
    assert hand.read("Patient/patient-amber", second["access_token"]).status == 401


@pytest.mark.rule("RF-07", "RF-09")
def test_refresh_without_rotation_or_context(make_hand):
    """A sandbox can keep the refresh token and leave the context out."""
    hand = make_hand(rotate_refresh_tokens=False, repeat_context=False)
    first = hand.login()
    for _ in range(2):
        again = json.loads(hand.refresh(first["refresh_token"]).body)
        assert {"refresh_token", "patient"} & again.keys() == set()


@pytest.mark.rule("RF-02")
def test_refresh_with_less_scope(hand):
    """A refresh can ask for less; the grant itself stays as it was."""
    first = hand.login()
    narrow = json.loads(hand.refresh(first["refresh_token"], scope="patient/Patient.r").body)
    assert (narrow["scope"], "id_token" in narrow) == ("patient/Patient.r", False)
    assert hand.read("Observation/observation-amber-1-1", narrow["access_token"]).status == 403
    assert json.loads(hand.refresh(narrow["refresh_token"]).body)["scope"] == first["scope"]


@pytest.mark.rule("RF-02")
@pytest.mark.parametrize("scope", ["patient/*.cruds", "user/Patient.r", "openid launch/encounter"])
def test_refresh_with_more_scope(hand, scope):
    """A refresh cannot ask for more, and the refresh token is not used up by the attempt."""
    first = hand.login()
    assert outcome(hand, hand.refresh(first["refresh_token"], scope=scope)) == (400, "invalid_scope", "RF-02")
    assert hand.refresh(first["refresh_token"]).status == 200


@pytest.mark.rule("RF-02")
def test_refresh_with_the_same_scope(hand):
    """Repeating the whole grant is remarked upon."""
    first = hand.login()
    assert hand.refresh(first["refresh_token"], scope=first["scope"]).status == 200
    assert hand.remarks == ["RF-02"]


@pytest.mark.rule("RF-12")
def test_refresh_token_of_another_client(hand):
    """A refresh token is bound to its client."""
    response = hand.refresh(
        hand.login()["refresh_token"], client_id="public", client_assertion=..., client_assertion_type=...
    )
    assert outcome(hand, response) == (400, "invalid_grant", "RF-12")


@pytest.mark.rule("RF-01", "RF-10")
def test_refresh_rules(hand):
    """A missing, unknown or expired refresh token is refused."""
    token = hand.login()["refresh_token"]
    assert outcome(hand, hand.refresh("")) == (400, "invalid_request", "RF-01")
    assert outcome(hand, hand.refresh("x")) == (400, "invalid_grant", "RFC 6749 §5.2")
    hand.clock.now += 90 * 24 * 3600
    assert outcome(hand, hand.refresh(token)) == (400, "invalid_grant", "RF-10")


@pytest.mark.rule("RF-11")
def test_no_refresh_token_without_asking(hand):
    """Without offline_access there is no refresh token."""
    assert "refresh_token" not in hand.login(scope="launch/patient patient/*.rs")


@pytest.mark.rule("BS-02", "BS-06", "BS-07", "BS-08")
def test_client_credentials(hand):
    """A backend client gets a short-lived token, and nothing else."""
    response = hand.backend("system/Patient.rs system/Observation.r")
    assert json.loads(response.body).keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert json.loads(response.body)["expires_in"] == 300
    assert json.loads(response.body)["scope"] == "system/Patient.rs system/Observation.r"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("scope", "rule"),
    [("", "BS-02"), ("user/*.rs", "BS-04"), ("patient/*.rs system/*.rs", "BS-04"), ("openid", "BS-13"),
     ("system/*.cud", "BS-13"), ("system/Patient", "SC-02")],
)  # fmt: skip
@pytest.mark.rule("BS-02", "BS-04", "BS-13")
def test_client_credentials_scope(hand, scope, rule):
    """Backend scopes are system scopes within the pre-authorization."""
    assert outcome(hand, hand.backend(scope)) == (400, "invalid_scope", rule)


@pytest.mark.rule("BS-13")
def test_grant_stays_within_the_pre_authorization(hand):
    """A wildcard gives what was pre-authorized, and the answer says so."""
    hand.sandbox.register_client(
        client_id="asymmetric",
        jwks={"keys": [hand.ec_key.jwk]},
        scope="system/Patient.rs system/Observation.r",
    )
    assert json.loads(hand.backend("system/*.rs").body)["scope"] == "system/Observation.r system/Patient.rs"


@pytest.mark.rule("BS-01")
def test_client_credentials_of_other_clients(hand):
    """Public clients have no access of their own, and a secret is remarked upon."""
    fields = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    response = hand.post({**fields, "client_id": "public"})
    assert outcome(hand, response) == (400, "unauthorized_client", "RFC 6749 §5.2")
    grants = ["client_credentials"]
    hand.sandbox.register_client(client_id="public", grant_types=grants)
    response = hand.post({**fields, "client_id": "public"})
    assert outcome(hand, response) == (400, "unauthorized_client", "BS-01")
    hand.sandbox.register_client(client_id="s", client_secret="s", grant_types=grants)
    assert hand.post(fields, headers={"Authorization": "Basic czpz"}).status == 200
    assert hand.remarks == ["BS-01"]


@pytest.mark.rule("TK-01")
def test_the_request_must_be_a_form_post(hand):
    """A GET, JSON, or parameters in the URL are refused."""
    url = hand.sandbox.token_endpoint
    assert outcome(hand, hand.send("GET", url)) == (400, "invalid_request", "TK-01")
    json_body = {"Content-Type": "application/json"}
    assert outcome(hand, hand.send("POST", url, body=b"{}", headers=json_body))[2] == "TK-01"
    assert outcome(hand, hand.send("POST", url + "?code=x", fields={"a": "b"}))[2] == "TK-01"
