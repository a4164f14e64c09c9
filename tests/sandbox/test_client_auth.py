"""One way of authenticating, and the registered one."""

from __future__ import annotations

import base64
import json

import pytest


def basic(text):
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


SECRET = basic("symmetric:p@ss:w/rd+1")
REFRESH = {"grant_type": "refresh_token", "refresh_token": "unknown"}


def outcome(hand, response):
    return response.status, json.loads(response.body)["error"], hand.verdict.rule


@pytest.mark.rule("TK-09")
def test_basic(hand):
    """HTTP Basic with id and secret as they are authenticates a symmetric client."""
    response = hand.post(REFRESH, headers=SECRET)
    assert outcome(hand, response) == (400, "invalid_grant", "RFC 6749 §5.2")
    assert hand.verdict.client_id == "symmetric"


@pytest.mark.rule("TK-05")
def test_public(hand):
    """A public client names itself in the body."""
    response = hand.post({**REFRESH, "client_id": "public"})
    assert outcome(hand, response) == (400, "invalid_grant", "RFC 6749 §5.2")
    assert hand.verdict.client_id == "public"


@pytest.mark.parametrize(
    ("authorization", "rule"),
    [
        pytest.param(SECRET["Authorization"].replace("Basic", "Digest"), "TK-09", id="another scheme"),
        pytest.param("Basic !!!", "TK-09", id="not base64"),
        pytest.param("Basic " + base64.b64encode(b"\xff:").decode(), "TK-09", id="not UTF-8"),
        pytest.param(basic("nobody")["Authorization"], "TK-09", id="no colon"),
        pytest.param(basic("symmetric:wrong")["Authorization"], "TK-09", id="wrong secret"),
        pytest.param(basic("nobody:x")["Authorization"], "AS-21", id="unknown client"),
        pytest.param(basic("public:x")["Authorization"], "TK-07", id="public client"),
        pytest.param(basic("asymmetric:x")["Authorization"], "TK-07", id="client with keys"),
    ],
)
@pytest.mark.rule("TK-07", "TK-09", "AS-20")
def test_wrong_basic(hand, authorization, rule):
    """Wrong credentials in the Authorization header are answered with a challenge."""
    response = hand.post(REFRESH, headers={"Authorization": authorization})
    assert outcome(hand, response) == (401, "invalid_client", rule)
    assert response.headers["www-authenticate"] == 'Basic realm="sandbox"'


@pytest.mark.rule("TK-06")
def test_client_id_beside_basic(hand):
    """A client that authenticates leaves client_id out of the body."""
    response = hand.post({**REFRESH, "client_id": "symmetric"}, headers=SECRET)
    assert outcome(hand, response) == (400, "invalid_request", "TK-06")


@pytest.mark.rule("TK-06")
def test_client_id_beside_assertion(hand):
    """The same beside an assertion."""
    response = hand.post({**REFRESH, **hand.proof(), "client_id": "asymmetric"})
    assert outcome(hand, response) == (400, "invalid_request", "TK-06")


@pytest.mark.rule("TK-10")
def test_two_methods(hand):
    """Basic and an assertion together are one method too many."""
    response = hand.post({**REFRESH, **hand.proof()}, headers=SECRET)
    assert outcome(hand, response) == (400, "invalid_request", "TK-10")


@pytest.mark.rule("TK-10")
def test_secret_beside_assertion(hand):
    """A secret in the body beside an assertion is one method too many."""
    response = hand.post({**REFRESH, **hand.proof(), "client_secret": "x"})
    assert outcome(hand, response) == (400, "invalid_request", "TK-10")


@pytest.mark.rule("TK-09")
def test_secret_in_the_body(hand):
    """SMART knows no client_secret_post."""
    response = hand.post({**REFRESH, "client_id": "symmetric", "client_secret": "p@ss:w/rd+1"})
    assert outcome(hand, response) == (401, "invalid_client", "TK-09")


@pytest.mark.parametrize(
    ("client_id", "rule"),
    [({}, "TK-05"), ({"client_id": "nobody"}, "AS-21"), ({"client_id": "symmetric"}, "TK-07"),
     ({"client_id": "asymmetric"}, "TK-07")],
)  # fmt: skip
@pytest.mark.rule("TK-05", "TK-07", "RF-03")
def test_no_authentication(hand, client_id, rule):
    """Only a public client may send nothing but its id."""
    response = hand.post({**REFRESH, **client_id})
    assert outcome(hand, response) == (401, "invalid_client", rule)
