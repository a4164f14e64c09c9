"""The documents that a client starts from."""

from __future__ import annotations

import json
import re

import pytest


def get(hand, path, method="GET", **headers):
    return hand.send(method, hand.sandbox.base_url + path, headers=headers)


@pytest.mark.rule("DI-03", "DI-04", "DI-06", "DI-07", "DI-08", "DI-09", "DI-10", "DI-15")
def test_smart_configuration(hand):
    """Every required member is there, absolute, and S256 is the only PKCE method."""
    response = get(hand, "/fhir/.well-known/smart-configuration", Accept="text/html")
    document = json.loads(response.body)
    base = "https://sandbox.example"
    assert response.headers["content-type"] == "application/json"
    assert {name: url for name, url in document.items() if name.endswith(("endpoint", "uri", "issuer"))} == {
        "issuer": base,
        "jwks_uri": f"{base}/oauth2/keys",
        "authorization_endpoint": f"{base}/oauth2/authorize",
        "token_endpoint": f"{base}/oauth2/token",
        "introspection_endpoint": f"{base}/oauth2/introspect",
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "registration_endpoint": f"{base}/oauth2/register",
    }
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert {"authorization_code", "client_credentials"} <= set(document["grant_types_supported"])
    assert {"launch-ehr", "launch-standalone", "sso-openid-connect", "client-confidential-asymmetric"} <= set(
        document["capabilities"]
    )
    assert "not for production" in document["x_not_for_production"]


@pytest.mark.rule("ID-02", "ID-03")
def test_openid_configuration(hand):
    """The provider metadata agrees with the smart-configuration."""
    smart = json.loads(get(hand, "/fhir/.well-known/smart-configuration").body)
    openid = json.loads(get(hand, "/.well-known/openid-configuration").body)
    shared = ("issuer", "jwks_uri", "authorization_endpoint", "token_endpoint")
    assert [openid[name] for name in shared] == [smart[name] for name in shared]
    assert openid["id_token_signing_alg_values_supported"] == ["RS256"]


def test_capability_statement(hand):
    """The CapabilityStatement needs no token and names the endpoints in the older way."""
    response = get(hand, "/fhir/metadata")
    document = json.loads(response.body)
    (extension,) = document["rest"][0]["security"]["extension"]
    uris = {item["url"]: item["valueUri"] for item in extension["extension"]}
    assert (document["fhirVersion"], uris["token"]) == ("4.0.1", hand.sandbox.token_endpoint)
    assert "not for production" in document["implementation"]["description"]


def test_front_page(hand):
    """The front page says what this is, and what it is not, and leads to the documents."""
    response = get(hand, "/")
    assert (response.status, b"Not for production" in response.body) == (200, True)
    links = re.findall(r'<a href="(https:[^"]*)">', response.body.decode())
    base = hand.sandbox.fhir_base
    assert links == [f"{base}/.well-known/smart-configuration", f"{base}/metadata"]
    assert [get(hand, link.partition(hand.sandbox.base_url)[2]).status for link in links] == [200, 200]


@pytest.mark.parametrize("path", ["/fhir/.well-known/smart-configuration", "/fhir/metadata", "/oauth2/keys"])
def test_any_origin_may_read_documents(hand, path):
    """Browser apps of every origin can read public documents, preflight included."""
    origin = {"Origin": "https://anywhere.example.net"}
    assert get(hand, path, **origin).headers["access-control-allow-origin"] == "*"
    preflight = get(hand, path, "OPTIONS", **origin)
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "*")


def test_documents_are_read_only(hand):
    """A document cannot be posted to."""
    assert get(hand, "/fhir/metadata", "POST").status == 405


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://app.example.com", True), ("https://evil.example.net", False)]
)
def test_registered_origins_may_use_the_endpoints(hand, origin, allowed):
    """Token endpoint and FHIR API are open to the origins of registered redirect URIs."""
    for path in ("/oauth2/token", "/fhir/Patient"):
        for method in ("OPTIONS", "POST"):
            response = get(hand, path, method, Origin=origin)
            assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
