"""Each rule about client assertions, broken once."""

from __future__ import annotations

import base64
import json

import pytest

NOW = 1_800_000_000


def refused(hand, response, rule):
    document = json.loads(response.body)
    assert (response.status, document["error"]) == (401, "invalid_client")
    assert document["error_description"].startswith(rule.replace("§", "section "))
    assert (hand.verdict.accepted, hand.verdict.rule, hand.verdict.endpoint) == (False, rule, "token")


@pytest.mark.rule("AS-02", "AS-03", "AS-07")
@pytest.mark.parametrize("name", ["ec_key", "rsa_key"])
def test_valid_assertion_is_accepted(hand, name):
    """A correct ES384 or RS384 assertion authenticates its client."""
    response = hand.backend(key=getattr(hand, name))
    assert (response.status, hand.verdict.rule, hand.verdict.client_id) == (200, None, "asymmetric")


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        pytest.param({"alg": ...}, "AS-04", id="no alg"),
        pytest.param({"alg": ["ES384"]}, "AS-04", id="alg is a list"),
        pytest.param({"alg": "none"}, "AS-22", id="alg none"),
        pytest.param({"alg": "HS256"}, "AS-22", id="alg symmetric"),
        pytest.param({"alg": "ES256"}, "AS-22", id="alg not offered"),
        pytest.param({"typ": ...}, "AS-04", id="no typ"),
        pytest.param({"typ": "jwt"}, "AS-04", id="typ in lower case"),
        pytest.param({"kid": ...}, "AS-04", id="no kid"),
        pytest.param({"kid": ""}, "AS-04", id="empty kid"),
        pytest.param({"kid": 7}, "AS-04", id="kid is a number"),
        pytest.param({"kid": "another"}, "AS-18", id="unknown kid"),
        pytest.param({"kid": "key-rsa"}, "AS-18", id="kid of a key of the other type"),
        pytest.param({"jku": "https://app.example.com/jwks"}, "AS-06", id="jku without a registered URL"),
        pytest.param({"crit": ["b64"]}, "RFC 7515 §4.1.11", id="crit"),
    ],
)
@pytest.mark.rule("AS-04", "AS-06", "AS-18", "AS-20", "AS-22")
def test_header_rules(hand, header, rule):
    """A header that breaks a rule is refused with that rule."""
    refused(hand, hand.backend(header=header), rule)


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        pytest.param({"iss": ...}, "AS-07", id="no iss"),
        pytest.param({"iss": ["asymmetric"]}, "AS-07", id="iss is a list"),
        pytest.param({"iss": ..., "sub": ...}, "AS-07", id="neither iss nor sub"),
        pytest.param({"iss": ["a"], "sub": ["a"]}, "AS-07", id="iss and sub are lists"),
        pytest.param({"sub": ...}, "AS-07", id="no sub"),
        pytest.param({"sub": "another"}, "AS-07", id="sub is not iss"),
        pytest.param({"iss": "nobody", "sub": "nobody"}, "AS-21", id="unknown client"),
        pytest.param({"iss": "public", "sub": "public"}, "AS-15", id="client without keys"),
        pytest.param({"aud": ...}, "AS-08", id="no aud"),
        pytest.param({"aud": ["https://sandbox.example/oauth2/token"]}, "AS-08", id="aud is a list"),
        pytest.param({"aud": "https://sandbox.example"}, "AS-08", id="aud is the issuer"),
        pytest.param({"aud": "https://sandbox.example/oauth2/token/"}, "AS-08", id="aud with a slash"),
        pytest.param({"aud": "https://sandbox.example/oauth2/introspect"}, "AS-08", id="aud of a neighbour"),
        pytest.param({"exp": ...}, "AS-09", id="no exp"),
        pytest.param({"exp": True}, "AS-09", id="exp is true"),
        pytest.param({"exp": NOW + 100.5}, "AS-09", id="exp is a fraction"),
        pytest.param({"exp": str(NOW + 100)}, "AS-09", id="exp is text"),
        pytest.param({"exp": NOW}, "AS-09", id="expired"),
        pytest.param({"exp": NOW + 301}, "AS-09", id="exp too far ahead"),
        pytest.param({"iat": NOW + 1}, "RFC 7523 §3", id="iat in the future"),
        pytest.param({"iat": "now"}, "RFC 7523 §3", id="iat is text"),
        pytest.param({"iat": None}, "RFC 7523 §3", id="iat is null"),
        pytest.param({"nbf": NOW + 1}, "RFC 7523 §3", id="nbf in the future"),
        pytest.param({"jti": ...}, "AS-10", id="no jti"),
        pytest.param({"jti": ""}, "AS-10", id="empty jti"),
        pytest.param({"jti": 5}, "AS-10", id="jti is a number"),
    ],
)
@pytest.mark.rule("AS-07", "AS-08", "AS-09", "AS-10", "AS-20", "AS-21")
def test_claim_rules(hand, claims, rule):
    """A claim that breaks a rule is refused with that rule."""
    refused(hand, hand.backend(claims=claims), rule)


@pytest.mark.rule("AS-09")
@pytest.mark.parametrize("claims", [{"exp": NOW + 1}, {"exp": NOW + 300}, {"iat": ...}, {"nbf": NOW - 5.5}])
def test_claims_at_the_edge_are_accepted(hand, claims):
    """An expiry of up to five minutes is accepted, and iat and nbf are optional."""
    assert hand.backend(claims=claims).status == 200


@pytest.mark.rule("AS-19")
def test_replayed_jti(hand):
    """An assertion works once; the same jti of the same client is refused until it expires."""
    proof = hand.proof(claims={"jti": "once"})
    fields = {"grant_type": "client_credentials", "scope": "system/*.rs", **proof}
    assert hand.post(fields).status == 200
    refused(hand, hand.post(fields), "AS-19")
    hand.clock.now += 301
    assert hand.backend(claims={"jti": "once"}).status == 200


@pytest.mark.rule("AS-19")
def test_forged_assertion_leaves_the_jti_usable(hand, make_key):
    """An assertion with a wrong signature does not use up the jti in it."""
    forger = make_key("EC", "key-ec")
    refused(hand, hand.backend(claims={"jti": "mine"}, key=forger), "RFC 7515 §5.2")
    assert hand.backend(claims={"jti": "mine"}).status == 200


@pytest.mark.rule("AS-23")
def test_der_signature(hand):
    """An ES384 signature is R and S side by side, not the DER form that libraries make."""
    parts = hand.assertion().split(".")
    der = base64.urlsafe_b64encode(b"\x30\x64" + bytes(100)).rstrip(b"=").decode()
    proof = hand.proof() | {"client_assertion": ".".join([*parts[:2], der])}
    refused(hand, hand.post({"grant_type": "client_credentials", "scope": "system/*.rs", **proof}), "AS-23")


@pytest.mark.rule("AS-11")
@pytest.mark.parametrize(
    "text",
    ["a.b", "a.b.c.d", "ä.b.c", "e30.e30.", "a" * 16_385 + ".b.c", "A.e30.AA", "W10.e30.AA", "e30.W10.AA",
     "eyJhIjoxLCJhIjoyfQ.e30.AA"],
)  # fmt: skip
def test_malformed_assertions(hand, text):
    """What is no compact JWS of two JSON objects is refused as such."""
    proof = hand.proof() | {"client_assertion": text}
    refused(hand, hand.post({"grant_type": "client_credentials", "scope": "system/*.rs", **proof}), "AS-11")


@pytest.mark.rule("AS-11")
@pytest.mark.parametrize("missing", ["client_assertion", "client_assertion_type"])
def test_half_an_assertion(hand, missing):
    """client_assertion and its type come together."""
    proof = {name: value for name, value in hand.proof().items() if name != missing}
    refused(hand, hand.post({"grant_type": "client_credentials", "scope": "system/*.rs", **proof}), "AS-11")


@pytest.mark.rule("AS-18")
def test_two_keys_of_one_kid(hand):
    """Two keys of the same type with the same kid leave it open which one signed, so neither counts."""
    hand.sandbox.register_client(client_id="asymmetric", jwks={"keys": [hand.ec_key.jwk, hand.ec_key.jwk]})
    refused(hand, hand.backend(), "AS-18")


@pytest.mark.rule("AS-18")
def test_same_kid_of_two_types(hand, make_key):
    """The kid is looked for among keys of the algorithm's type only."""
    twin = make_key("RSA", "key-ec")
    hand.sandbox.register_client(client_id="asymmetric", jwks={"keys": [twin.jwk, hand.ec_key.jwk]})
    assert hand.backend().status == 200


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param({"x": ...}, "AS-13", id="no x"),
        pytest.param({"y": "a b"}, "AS-13", id="y is not base64url"),
        pytest.param({"crv": "P-256"}, "AS-23", id="another curve"),
        pytest.param({"x": "AA"}, "AS-23", id="coordinate too short"),
        pytest.param({"x": "A" * 64}, "AS-13", id="point off the curve"),
    ],
)
@pytest.mark.rule("AS-13", "AS-23")
def test_unusable_ec_keys(hand, changes, rule):
    """A registered EC key that lacks something is named as the fault."""
    jwk = {name: value for name, value in {**hand.ec_key.jwk, **changes}.items() if value is not ...}
    hand.sandbox.register_client(client_id="asymmetric", jwks={"keys": [jwk]})
    refused(hand, hand.backend(), rule)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param({"n": ...}, "AS-13", id="no n"),
        pytest.param({"e": 65537}, "AS-13", id="e is a number"),
        pytest.param({"n": "A"}, "RFC 7518 §3.3", id="n cannot be decoded"),
        pytest.param({"n": "_" * 171}, "RFC 7518 §3.3", id="1024 bits"),
        pytest.param({"n": "_" * 1400}, "RFC 7518 §3.3", id="8400 bits"),
    ],
)
def test_unusable_rsa_keys(hand, changes, rule):
    """A registered RSA key that lacks something, or is too weak, is named as the fault."""
    jwk = {name: value for name, value in {**hand.rsa_key.jwk, **changes}.items() if value is not ...}
    hand.sandbox.register_client(client_id="asymmetric", jwks={"keys": [jwk]})
    refused(hand, hand.backend(key=hand.rsa_key), rule)


@pytest.mark.rule("AS-04")
def test_long_and_unknown_headers_are_no_fault(hand):
    """Long header values and members that nobody knows do not stop a correct assertion."""
    assert hand.backend(header={"x5t#S256": "A" * 900, "note": "b"}).status == 200
