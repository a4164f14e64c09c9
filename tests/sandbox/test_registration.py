"""Clients that register themselves, and manage that later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smart_async.sandbox import Sandbox

REGISTER = "https://sandbox.example/oauth2/register"
CALLBACK = "https://app.example.com/callback"


@pytest.fixture
def backend(ec_key) -> dict[str, Any]:
    return {
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "response_types": [],
        "client_name": "Nightly",
        "scope": "system/*.rs",
        "jwks": {"keys": [ec_key.jwk]},
    }


def app(**changes: Any) -> dict[str, Any]:
    return {"redirect_uris": [CALLBACK], "scope": "openid patient/*.rs", **changes}


def send(hand, document, method="POST", url=REGISTER, token=None, **headers):
    sent = {"Content-Type": "application/json", **headers}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return hand.send(method, url, body=body, headers=sent)


def register(hand, document, **more):
    response = send(hand, document, **more)
    assert response.status == 201, response.body
    return json.loads(response.body)


def test_discovery_names_the_endpoint(hand):
    """Clients find the endpoint in the discovery document."""
    response = hand.read(".well-known/smart-configuration", None)
    assert json.loads(response.body)["registration_endpoint"] == REGISTER


def test_a_backend_client(hand, backend):
    """A registered client gets a token at once, with the key that it registered."""
    answer = register(hand, backend)
    client_id = answer.pop("client_id")
    assert answer.pop("registration_access_token")
    assert answer == {
        **backend,
        "redirect_uris": [],
        "client_id_issued_at": int(hand.clock.now),
        "registration_client_uri": f"{REGISTER}/{client_id}",
    }
    verdict = hand.verdict
    assert (verdict.endpoint, verdict.client_id, verdict.accepted) == ("register", client_id, True)
    assert hand.backend("system/Patient.rs", claims={"iss": client_id, "sub": client_id}).status == 200


def test_answers_are_not_cached(hand, backend):
    """An answer with credentials is kept by nobody."""
    assert send(hand, backend).headers["cache-control"] == "no-store"


def test_defaults(hand):
    """What is left out is as RFC 7591 has it: a secret, a code, and what the sandbox made up."""
    answer = register(hand, {"redirect_uris": [CALLBACK]})
    assert answer["token_endpoint_auth_method"] == "client_secret_basic"
    assert (answer["grant_types"], answer["response_types"]) == (["authorization_code"], ["code"])
    assert answer["client_secret_expires_at"] == 0
    assert len(answer["client_secret"]) >= 32
    assert "openid" in answer["scope"].split()


def test_each_client_is_another(hand):
    """Two registrations share neither id nor secret nor token."""
    one, two = register(hand, app()), register(hand, app())
    for name in ("client_id", "client_secret", "registration_access_token"):
        assert one[name] != two[name]


def test_unknown_members_are_left_out(hand):
    """A member that the sandbox does not know is ignored, and not repeated."""
    answer = register(hand, app(subject_type="pairwise", client_name="Growth"))
    assert "subject_type" not in answer
    assert answer["client_name"] == "Growth"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uris": CALLBACK}, "invalid_client_metadata"),
        ({"redirect_uris": [""]}, "invalid_client_metadata"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.example.com/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example.com/"]}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": None}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"jwks_uri": "https://app.example.com/jwks"}, "invalid_client_metadata"),
        ({"jwks": []}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"], "response_types": []}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        (
            {
                "grant_types": ["client_credentials"],
                "response_types": [],
                "token_endpoint_auth_method": "none",
            },
            "invalid_client_metadata",
        ),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"response_types": []}, "invalid_client_metadata"),
        ({"scope": "patient/*.q"}, "invalid_client_metadata"),
        ({"scope": ""}, "invalid_client_metadata"),
        ({"client_uri": "http://app.example.com"}, "invalid_client_metadata"),
        ({"client_id": "mine"}, "invalid_client_metadata"),
        ({"client_secret": "mine"}, "invalid_client_metadata"),
        ({"registration_access_token": "mine"}, "invalid_client_metadata"),
    ],
)
def test_wrong_metadata(hand, changes, code):
    """Metadata with one thing wrong is refused with RFC 7591's codes, and no client is made."""
    response = send(hand, app(**changes))
    assert response.status == 400, response.body
    assert json.loads(response.body)["error"] == code
    assert not hand.verdict.accepted
    assert hand.verdict.rule.startswith("RFC 7591")


@pytest.mark.rule("AS-13", "AS-14")
@pytest.mark.parametrize("changes", [{"d": "AAAA"}, {"kid": None}])
def test_keys_are_public_and_named(hand, backend, changes):
    """A private key is refused, as is a key that nobody could find."""
    key = {**backend["jwks"]["keys"][0], **changes}
    assert send(hand, {**backend, "jwks": {"keys": [key]}}).status == 400


@pytest.mark.parametrize(
    ("body", "headers", "url"),
    [
        (b"redirect_uris=x", {"Content-Type": "application/x-www-form-urlencoded"}, REGISTER),
        (b"[]", {}, REGISTER),
        (b"{", {}, REGISTER),
        (b'{"scope": "openid", "scope": "openid"}', {}, REGISTER),
        (b"{}", {}, f"{REGISTER}?software_id=x"),
    ],
)
def test_wrong_requests(hand, body, headers, url):
    """The metadata is one JSON object in the body, and nothing else."""
    response = send(hand, body, url=url, **headers)
    assert (response.status, hand.verdict.rule) == (400, "RFC 7591 §3.1")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_registers(hand, method):
    """The endpoint itself takes POST only."""
    assert (send(hand, app(), method).status, hand.verdict.rule) == (400, "RFC 7591 §3.1")


def test_the_initial_access_token(make_hand):
    """A sandbox with an initial access token lets in who presents it, and nobody else."""
    hand = make_hand(initial_access_token="iat-1")
    for token in (None, "iat-2", "iat-1x"):
        response = send(hand, app(), token=token)
        assert response.status == 401
        assert json.loads(response.body)["error"] == "invalid_token"
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert send(hand, app(), Authorization="Basic iat-1").status == 401
    assert register(hand, app(), token="iat-1")["client_id"]
    assert "iat-1" not in repr(hand.sandbox)


@pytest.fixture
def mine(hand) -> dict[str, Any]:
    return register(hand, app(client_name="Growth"))


def manage(hand, mine, method, document=None, **more):
    more.setdefault("token", mine["registration_access_token"])
    return send(hand, {} if document is None else document, method, mine["registration_client_uri"], **more)


def test_reading(hand, mine):
    """The bearer of the registration's token sees what is registered."""
    response = manage(hand, mine, "GET")
    assert (response.status, json.loads(response.body)) == (200, mine)
    assert hand.verdict.client_id == mine["client_id"]


def wanted(mine, **changes):
    own = ("registration_access_token", "registration_client_uri")
    own += ("client_secret_expires_at", "client_id_issued_at")
    return {**{name: value for name, value in mine.items() if name not in own}, **changes}


def test_updating(hand, mine):
    """An update replaces all that was registered; the secret stays."""
    document = wanted(mine, redirect_uris=[CALLBACK + "/2"])
    del document["client_name"]
    response = manage(hand, mine, "PUT", document)
    changed = {**mine, "redirect_uris": [CALLBACK + "/2"]}
    del changed["client_name"]
    assert (response.status, json.loads(response.body)) == (200, changed)
    asked = hand.ask(hand.authorization(client_id=mine["client_id"], scope="openid patient/*.rs"))
    assert asked.status == 400
    fields = hand.authorization(
        client_id=mine["client_id"], redirect_uri=CALLBACK + "/2", scope="openid patient/*.rs"
    )
    assert hand.ask(fields).headers["location"].startswith(CALLBACK + "/2?code=")


def test_updating_to_a_key(hand, mine, ec_key):
    """A client that changes to a key loses its secret, and one that changes back gets a new one."""
    document = wanted(mine, token_endpoint_auth_method="private_key_jwt", jwks={"keys": [ec_key.jwk]})
    changed = json.loads(manage(hand, mine, "PUT", document).body)
    assert "client_secret" not in changed
    document = wanted(mine)
    del document["client_secret"]
    again = json.loads(manage(hand, mine, "PUT", document).body)
    assert again["client_secret"] not in (None, mine["client_secret"])


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "another"},
        {"client_secret": "chosen"},
        {"registration_access_token": "x"},
        {"registration_client_uri": "x"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": 0},
    ],
)
def test_wrong_updates(hand, mine, changes):
    """An update cannot decide what the server decides."""
    response = manage(hand, mine, "PUT", wanted(mine, **changes))
    assert (response.status, hand.verdict.rule) == (400, "RFC 7592 §2.2")
    assert json.loads(manage(hand, mine, "GET").body) == mine


def test_a_refused_update_changes_nothing(hand, mine):
    """An update with one thing wrong leaves the registration as it was."""
    assert manage(hand, mine, "PUT", wanted(mine, redirect_uris=[])).status == 400
    assert json.loads(manage(hand, mine, "GET").body) == mine


def test_deleting(hand, backend):
    """A deleted client is unknown, and so are its tokens and its registration."""
    mine = register(hand, backend)
    client = {"iss": mine["client_id"], "sub": mine["client_id"]}
    token = json.loads(hand.backend("system/Patient.rs", claims=client).body)["access_token"]
    assert hand.read("Patient", token).status == 200
    response = manage(hand, mine, "DELETE")
    assert (response.status, response.body) == (204, b"")
    assert hand.read("Patient", token).status == 401
    assert hand.backend("system/Patient.rs", claims=client).status == 401
    assert manage(hand, mine, "GET").status == 401


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_management_wants_its_own_token(hand, mine, method):
    """No token, a wrong one and another client's open nothing, whether the client exists or not."""
    other = register(hand, app())["registration_access_token"]
    for token in (None, "wrong", other, mine["client_secret"]):
        response = manage(hand, mine, method, wanted(mine), token=token)
        assert (response.status, hand.verdict.rule) == (401, "RFC 7592 §2")
    unknown = {**mine, "registration_client_uri": f"{REGISTER}/unknown"}
    assert manage(hand, unknown, method).status == 401
    assert json.loads(manage(hand, mine, "GET").body) == mine


def test_other_methods(hand, mine):
    """A registration is read, updated and deleted; nothing else can be done with it."""
    assert manage(hand, mine, "POST").status == 405


def test_the_registry_is_one(hand, mine):
    """A client registered by itself is a client like those that an administrator registers."""
    sandbox: Sandbox = hand.sandbox
    sandbox.register_client(client_id=mine["client_id"], client_secret="chosen", redirect_uris=[CALLBACK])
    fields = hand.authorization(client_id=mine["client_id"], scope="openid patient/*.rs")
    assert "code=" in hand.ask(fields).headers["location"]
