"""Registrations that the sandbox takes, and those that it refuses."""

from __future__ import annotations

import pytest

from smart_async.errors import ConfigurationError

KEY = {"kty": "EC", "kid": "k", "crv": "P-384", "x": "A" * 64, "y": "A" * 64}
CALLBACK = ["https://app.example.com/cb"]
LOGIN = ("authorization_code", "refresh_token")


@pytest.mark.parametrize(
    ("registration", "kind", "grants"),
    [
        ({"redirect_uris": CALLBACK}, "public", LOGIN),
        ({"client_secret": "s", "redirect_uris": CALLBACK}, "symmetric", LOGIN),
        ({"jwks": {"keys": [KEY]}}, "asymmetric", ("client_credentials",)),
        (
            {"jwks_uri": "https://app.example.com/jwks", "redirect_uris": CALLBACK},
            "asymmetric",
            (*LOGIN, "client_credentials"),
        ),
        ({"redirect_uris": ["com.example.app:/cb", "http://127.0.0.1:5000/cb"]}, "public", LOGIN),
    ],
)
def test_kinds(sandbox, registration, kind, grants):
    """Kind and grants follow from what is registered."""
    client = sandbox.register_client(client_id="app", **registration)
    assert (client.kind, client.grant_types) == (kind, grants)


@pytest.mark.parametrize(
    ("registration", "field"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_id": "ä"}, "client_id"),
        ({"client_id": "a\n"}, "client_id"),
        ({"jwks": {"keys": [KEY]}, "client_secret": "s"}, "jwks"),
        ({"jwks": {"keys": [KEY]}, "jwks_uri": "https://app.example.com/j"}, "jwks"),
        ({"client_secret": ""}, "client_secret"),
        ({"jwks_uri": "http://app.example.com/jwks"}, "jwks_uri"),
        ({"jwks": {}}, "jwks"),
        ({"jwks": {"keys": []}}, "jwks"),
        ({"jwks": {"keys": ["k"]}}, "jwks"),
        ({"jwks": {"keys": [{"kty": "EC"}]}}, "jwks"),
        ({"jwks": {"keys": [{**KEY, "d": "AA"}]}}, "jwks"),
        ({"redirect_uris": []}, "grant_types"),
        ({"redirect_uris": ["/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["http://app.example.com/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://app.example.com/*"]}, "redirect_uris"),
        ({"redirect_uris": ["https://app.example.com/cb#x"]}, "redirect_uris"),
        ({"redirect_uris": [], "grant_types": ["authorization_code"]}, "redirect_uris"),
        ({"grant_types": ["password"]}, "grant_types"),
        ({"scope": "patient/Observation"}, "scope"),
    ],
)
@pytest.mark.rule("AL-01", "AS-13", "AS-14")
def test_refused(sandbox, registration, field):
    """A registration that contradicts the specification names the field at fault, and no secret."""
    with pytest.raises(ConfigurationError) as caught:
        sandbox.register_client(**{"client_id": "app", "redirect_uris": CALLBACK, **registration})
    assert caught.value.field == field
    assert "AA" not in str(caught.value)


def test_no_secret_in_the_repr(sandbox):
    """A client's repr holds neither its secret nor its keys."""
    client = sandbox.register_client(client_id="app", redirect_uris=CALLBACK, client_secret="hush")
    assert "hush" not in repr(client)
