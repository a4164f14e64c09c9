"""What a client may say of itself, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from smart_async import ClientMetadata, ConfigurationError, Scopes, SigningKey, public_jwks

URI = "https://app.example.com/callback"


@pytest.fixture(scope="module")
def jwks(signing_key: SigningKey) -> dict[str, Any]:
    return public_jwks([signing_key])


def test_members_go_out_as_rfc_7591_spells_them(jwks):
    """Every member that is set is sent under its own name, lists as lists, and nothing else is."""
    members: dict[str, Any] = {
        "redirect_uris": [URI, "http://127.0.0.1/cb", "com.example.app:/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "client_name": "Growth chart für Kinder",
        "client_uri": "https://app.example.com/",
        "logo_uri": "https://app.example.com/logo.png",
        "scope": "openid patient/*.rs",
        "contacts": ["ops@app.example.com"],
        "tos_uri": "https://app.example.com/tos?lang=en",
        "policy_uri": "https://app.example.com/privacy",
        "jwks": jwks,
        "software_id": "growth-chart",
        "software_version": "2.1",
        "software_statement": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        "id_token_signed_response_alg": "RS256",
        "token_endpoint_auth_signing_alg": "ES384",
        "application_type": "private",
        "client_name#de": "Wachstum",
    }
    assert ClientMetadata.from_members(members).to_members() == members
    assert ClientMetadata.from_members(members).extra == {"client_name#de": "Wachstum"}


def test_what_is_left_out_is_not_sent():
    """None is silence, and an empty list is an answer: a client without a login has no response type."""
    assert ClientMetadata().to_members() == {}
    assert ClientMetadata(response_types=()).to_members() == {"response_types": []}


@pytest.mark.rule("AS-14", "AS-15", "BS-01")
def test_a_backend_client_in_one_line(signing_key, jwks):
    """A backend client has a key, client_credentials, and no login."""
    assert ClientMetadata.for_backend(signing_key, client_name="Nightly").to_members() == {
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["client_credentials"],
        "response_types": [],
        "client_name": "Nightly",
        "scope": "system/*.rs",
        "jwks": jwks,
    }


@pytest.mark.rule("AS-15")
def test_keys_by_url(signing_key):
    """A client that hosts its keys registers where, and not the keys."""
    members = ClientMetadata.for_backend(jwks_uri="https://app.example.com/jwks").to_members()
    assert members["jwks_uri"] == "https://app.example.com/jwks"
    assert "jwks" not in members
    with pytest.raises(ConfigurationError, match="jwks and jwks_uri are both given"):
        ClientMetadata.for_backend(signing_key, jwks_uri="https://app.example.com/jwks")


@pytest.mark.rule("BS-01")
def test_a_backend_client_needs_a_key():
    """Backend Services are for clients with keys."""
    with pytest.raises(ConfigurationError, match="registers its public keys"):
        ClientMetadata.for_backend(client_name="Nightly")


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "client_secret_basic"),
        ({"public": True}, "none"),
        ({"jwks_uri": "https://app.example.com/jwks"}, "private_key_jwt"),
    ],
)
def test_an_app_in_one_line(options, method):
    """An app authenticates by what it has: keys, a secret to come, or nothing."""
    app = ClientMetadata.for_app(redirect_uris=[URI], scope=Scopes("openid patient/*.rs"), **options)
    assert app.token_endpoint_auth_method == method
    assert app.grant_types == ("authorization_code", "refresh_token")
    assert app.response_types == ("code",)
    assert app.redirect_uris == (URI,)
    assert app.scope == "openid patient/*.rs"


def test_a_public_app_has_no_keys(signing_key, jwks):
    """An app with a key authenticates by it, and is not public."""
    app = ClientMetadata.for_app(signing_key, redirect_uris=[URI], scope="openid")
    assert (app.token_endpoint_auth_method, app.jwks) == ("private_key_jwt", jwks)
    with pytest.raises(ConfigurationError, match="public client has no keys"):
        ClientMetadata.for_app(signing_key, redirect_uris=[URI], scope="openid", public=True)


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [
        ("redirect_uris", URI, "list of strings"),
        ("redirect_uris", [5], "non-empty string"),
        ("redirect_uris", ["https://*.example.com/cb"], "wildcard"),
        ("redirect_uris", ["http://app.example.com/cb"], "plain http"),
        ("redirect_uris", ["https://app.example.com/cb#top"], "fragment"),
        ("redirect_uris", [""], "non-empty string"),
        ("token_endpoint_auth_method", "private key", "visible ASCII"),
        ("token_endpoint_auth_method", ["none"], "non-empty string"),
        ("grant_types", "client_credentials", "list of strings"),
        ("response_types", [None], "non-empty string"),
        ("client_name", "", "non-empty string"),
        ("client_name", "two\nlines", "control characters"),
        ("client_uri", "http://app.example.com", "plain http"),
        ("logo_uri", "javascript:alert(1)", "absolute URL"),
        ("scope", ["openid"], "one string"),
        ("scope", 'patient/"', "character"),
        ("contacts", "ops@app.example.com", "list of strings"),
        ("tos_uri", "https://user@app.example.com/", "user name"),
        ("policy_uri", 7, "non-empty string"),
        ("jwks_uri", "file:///etc/keys", "not file"),
        ("jwks", [], "JSON object"),
        ("jwks", {}, "keys"),
        ("jwks", {"keys": {}}, "keys"),
        ("jwks", {"keys": ["key"]}, "unusable key"),
        ("jwks", {"keys": [{"kty": "oct", "k": "AAAA"}]}, "private members"),
        ("jwks", {"keys": [{"kty": "OKP", "x": "AAAA"}]}, "unusable key"),
        ("jwks", {"keys": [{"kty": "RSA", "n": "AAAA", "e": "AQAB", "kid": 1}]}, "kid"),
        ("jwks", {"keys": [{"kty": "RSA", "n": "AAAA", "e": "AQAB"}] * 101}, "100 keys"),
        ("software_statement", "eyJ hb", "visible ASCII"),
        ("id_token_signed_response_alg", "none", "one of RS256"),
        ("token_endpoint_auth_signing_alg", "HS256", "one of RS256"),
        ("token_endpoint_auth_signing_alg", ["RS384"], "one of RS256"),
        ("extra", ["x"], "JSON object"),
        ("extra", {"x": float("nan")}, "JSON cannot hold"),
        ("extra", {"x": {1, 2}}, "JSON cannot hold"),
        ("extra", {"x": "a" * 300_000}, "larger than"),
        ("extra", {"client_name": "twice"}, "field of its own"),
        ("extra", {"client_id": "mine"}, "the server decides"),
        ("extra", {"client_secret": "mine"}, "the server decides"),
    ],
)
def test_each_member_is_checked(member, value, rule):
    """A value that cannot work is refused at once, naming its member and the rule."""
    with pytest.raises(ConfigurationError, match=rule) as caught:
        ClientMetadata(**{member: value})
    assert caught.value.field in (member, "redirect_uri")
    assert caught.value.__cause__ is None


@pytest.mark.rule("AS-14")
@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_private_key_material_is_never_registered(jwks, member):
    """A JWK with any private member is refused, and the value is not quoted."""
    with pytest.raises(ConfigurationError, match=f"private members \\({member}\\)") as caught:
        ClientMetadata(jwks={"keys": [{**jwks["keys"][0], member: "c2VjcmV0"}]})
    assert "c2VjcmV0" not in str(caught.value)


def test_it_cannot_be_changed_from_outside(signing_key):
    """Lists and objects are copied, so that what was checked is what is sent."""
    uris, jwks, extra = [URI], public_jwks([signing_key]), {"x": [1]}
    metadata = ClientMetadata(redirect_uris=uris, jwks=jwks, extra=extra)
    before = metadata.to_members()
    uris.append("https://evil.example/cb")
    jwks["keys"][0]["x"] = "AAAA"
    extra["x"].append(2)
    assert metadata.to_members() == before | {"jwks": public_jwks([signing_key])}
    assert metadata.redirect_uris == (URI,)
    assert metadata.extra == {"x": [1]}


def test_keys_and_statements_stay_out_of_reprs(signing_key):
    """A repr is short, and shows neither key nor software statement."""
    text = repr(ClientMetadata(jwks=public_jwks([signing_key]), software_statement="eyJhbGciOi.e30.c2ln"))
    assert "eyJ" not in text
    assert signing_key.public_jwk()["x"] not in text


@pytest.mark.parametrize("member", ["client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri"])
def test_loopback_urls_need_a_word(member):
    """Plain http passes on loopback only, and only where the configuration allows it."""
    metadata = ClientMetadata(**{member: "http://127.0.0.1:8000/x"})
    metadata.check_urls(allow_insecure_loopback=True)
    with pytest.raises(ConfigurationError, match="plain http") as caught:
        metadata.check_urls(allow_insecure_loopback=False)
    assert caught.value.field == member
