"""Introspection and revocation."""

from __future__ import annotations

import json

import pytest

INTROSPECT, REVOKE = "/oauth2/introspect", "/oauth2/revoke"


def introspect(hand, token, **more):
    return json.loads(hand.post({"token": token, **hand.proof()}, INTROSPECT, **more).body)


@pytest.mark.rule("IN-01", "IN-03", "IN-04")
def test_active_token(hand):
    """A live token is described as it was issued, context and identity included."""
    token = hand.login()
    status = introspect(hand, token["access_token"])
    assert status.pop("sub")
    assert status == {
        "active": True,
        "scope": token["scope"],
        "client_id": "asymmetric",
        "exp": int(hand.clock.now + 3600),
        "token_type": "Bearer",
        "patient": "patient-amber",
        "need_patient_banner": True,
        "iss": "https://sandbox.example",
        "fhirUser": "https://sandbox.example/fhir/Practitioner/doctor-demo",
    }


@pytest.mark.rule("IN-03")
def test_refresh_and_system_tokens(hand):
    """A refresh token can be asked about; a token without identity is described without one."""
    token = hand.login(scope="openid patient/*.rs launch/patient offline_access")
    assert introspect(hand, token["refresh_token"])["exp"] == int(hand.clock.now) + 90 * 24 * 3600
    assert "fhirUser" not in introspect(hand, token["access_token"])
    assert "iss" not in introspect(hand, hand.system_token())


@pytest.mark.rule("IN-05")
def test_inactive_tokens(hand):
    """An unknown, expired or used token is inactive, and nothing more is said."""
    token = hand.login()
    hand.refresh(token["refresh_token"])
    assert introspect(hand, token["refresh_token"]) == {"active": False}
    assert introspect(hand, "unknown") == {"active": False}
    hand.clock.now += 3600
    assert introspect(hand, token["access_token"]) == {"active": False}


@pytest.mark.rule("IN-02")
def test_asking_about_others(hand):
    """A client learns about its own tokens only; the bearer of a live token about any."""
    token = hand.login()["access_token"]
    other = {"Authorization": "Basic c3ltbWV0cmljOnBAc3M6dy9yZCsx"}
    response = hand.post({"token": token}, INTROSPECT, headers=other)
    assert json.loads(response.body) == {"active": False}
    bearer = {"Authorization": f"Bearer {hand.system_token()}"}
    response = hand.post({"token": token}, INTROSPECT, headers=bearer)
    assert (json.loads(response.body)["active"], hand.verdict.endpoint) == (True, "introspect")


@pytest.mark.parametrize(
    ("fields", "headers", "status", "rule"),
    [
        ({"client_id": "public", "token": "x"}, {}, 401, "IN-02"),
        ({"token": "x"}, {"Authorization": "Bearer dead"}, 401, "IN-02"),
        ({"token": "x"}, {}, 401, "TK-05"),
        ({}, {"Authorization": "Basic c3ltbWV0cmljOnBAc3M6dy9yZCsx"}, 400, "IN-01"),
    ],
)
@pytest.mark.rule("IN-01", "IN-02")
def test_introspection_rules(hand, fields, headers, status, rule):
    """Introspection wants a token, and somebody who may ask."""
    response = hand.post(fields, INTROSPECT, headers=headers)
    assert (response.status, hand.verdict.rule) == (status, rule)


@pytest.mark.parametrize("audience", ["/oauth2/token", INTROSPECT])
def test_audience_at_introspection(hand, audience):
    """An assertion for introspection names the token endpoint, or the URL it is posted to."""
    proof = hand.proof(claims={"aud": hand.sandbox.base_url + audience})
    assert hand.post({"token": "x", **proof}, INTROSPECT).status == 200


def test_revoke_access_token(hand):
    """A revoked access token is dead; the refresh token of the login is not."""
    token = hand.login()
    response = hand.post({"token": token["access_token"], **hand.proof()}, REVOKE)
    assert (response.status, json.loads(response.body), hand.verdict.endpoint) == (200, {}, "revoke")
    assert hand.read("Patient/patient-amber", token["access_token"]).status == 401
    assert hand.refresh(token["refresh_token"]).status == 200


def test_revoke_refresh_token(hand):
    """A revoked refresh token takes everything of the login with it."""
    token = hand.login()
    assert hand.post({"token": token["refresh_token"], **hand.proof()}, REVOKE).status == 200
    assert hand.read("Patient/patient-amber", token["access_token"]).status == 401


def test_revoke_unknown_token(hand):
    """Revoking what is unknown succeeds, for public clients too."""
    assert hand.post({"token": "unknown", "client_id": "public"}, REVOKE).status == 200


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"client_id": "public"}, "invalid_request"), ({"client_id": "nobody", "token": "x"}, "invalid_client")],
)
def test_revocation_rules(hand, fields, error):
    """Revocation wants a token and a client."""
    assert json.loads(hand.post(fields, REVOKE).body)["error"] == error


def test_revoke_token_of_another_client(hand):
    """A client cannot revoke what is not its own."""
    token = hand.login()["access_token"]
    response = hand.post({"token": token, "client_id": "public"}, REVOKE)
    assert (json.loads(response.body)["error"], hand.verdict.rule) == ("invalid_grant", "RFC 7009 §2.1")
    assert hand.read("Patient/patient-amber", token).status == 200
