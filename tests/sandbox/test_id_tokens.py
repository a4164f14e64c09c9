"""The ID token, verified with nothing but the published key."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet


def verified(hand, token):
    document = json.loads(hand.send("GET", hand.sandbox.base_url + "/oauth2/keys").body)
    assert all(not {"d", "p", "q"} & key.keys() for key in document["keys"])
    return jwt.decode(token["id_token"], KeySet.import_key_set(document), algorithms=["RS256"])


@pytest.mark.rule("ID-01", "ID-03", "ID-04", "ID-05", "ID-06", "ID-08", "ID-11", "ID-12")
def test_id_token(hand):
    """It is signed with RS256 by the published key and has all claims of the login."""
    token = hand.login(nonce="n-1")
    decoded = verified(hand, token)
    digest = hashlib.sha256(token["access_token"].encode()).digest()[:16]
    now = int(hand.clock.now)
    assert decoded.header["alg"] == "RS256"
    assert {name: value for name, value in decoded.claims.items() if name != "sub"} == {
        "iss": "https://sandbox.example",
        "aud": "asymmetric",
        "iat": now,
        "exp": now + 3600,
        "nonce": "n-1",
        "at_hash": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "fhirUser": "https://sandbox.example/fhir/Practitioner/doctor-demo",
    }
    assert decoded.claims["sub"]


def test_without_nonce_and_fhir_user(hand):
    """Nonce and fhirUser are there only if they were asked for; the user is the same."""
    one = verified(hand, hand.login(scope="openid")).claims
    other = verified(hand, hand.login(scope="openid fhirUser")).claims
    assert {"nonce", "fhirUser"} & one.keys() == set()
    assert one["sub"] == other["sub"]


def test_no_id_token_without_openid(hand):
    """Without openid there is none."""
    assert "id_token" not in hand.login(scope="fhirUser patient/*.rs launch/patient")
