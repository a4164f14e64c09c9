"""Acceptance 8: a server's metadata narrows the algorithms, and never widens them; T27, T28, T13."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ConfigurationError, IdTokenError
from smart_async.keys import ALGORITHMS, parse_jwks, verify_jws
from smart_async.smart import id_token as room


@pytest.fixture
def login(colour, net, provider, config, tools):
    """Signs in with an ID token of the key *kid*, at a server that lists *listed*."""
    config = replace(config, scope="openid launch/patient patient/*.rs offline_access")

    def run(listed, kid="RS256", **header):
        provider.serve(openid=provider.openid(id_token_signing_alg_values_supported=listed))
        provider.jwks_members = [provider.jwk(kid)]
        client = colour.make(config, transport=net, clock=provider.clock)
        pending = colour.call(client.authorize)
        claims = provider.claims(nonce=pending.nonce.reveal())
        provider.id_token = provider.sign(claims, kid, **header)
        return colour.call(client.exchange_code, pending, tools.callback_url(pending))

    return run


@pytest.mark.parametrize(
    "listed", [["none"], ["HS256"], ["none", "HS256"], [], [None], [5], ["rs256"], ["RS256 "], ["ES256"]]
)
def test_nothing_is_left(listed, login):
    """A list without the token's algorithm, or with nothing of ours at all, refuses every token."""
    with pytest.raises(IdTokenError) as caught:
        login(listed)
    assert caught.value.reason == "alg"


@pytest.mark.parametrize("alg", ["none", "HS256", "HS512", "None", "nOnE", "EdDSA", "ES256K", "RS1", "dir"])
def test_metadata_cannot_widen(alg, login):
    """An algorithm that is listed and not ours stays refused."""
    with pytest.raises(IdTokenError) as caught:
        login([alg, "RS256"], alg=alg)
    assert caught.value.reason == "alg"


@pytest.mark.parametrize("listed", [..., None, "RS256", {}, ["RS256"], ["none", "HS256", "RS256", None]])
def test_what_is_left_is_accepted(listed, login):
    """No list, no readable list, or one with the token's algorithm beside nonsense: accepted."""
    assert login(listed).identity.subject == "u-1"


@pytest.mark.parametrize("kid", ["ES256", "PS384"])
def test_only_the_listed_ones(kid, login):
    """A good algorithm that is not listed is refused, and accepted once it is."""
    with pytest.raises(IdTokenError) as caught:
        login(["RS256"], kid)
    assert caught.value.reason == "alg"
    assert login(["RS256", kid], kid).identity.subject == "u-1"


def test_union_in_the_place_of_intersection_would_be_noticed(monkeypatch, login):
    """With the one line changed that the tests above guard, they would fail."""
    monkeypatch.setattr(
        room,
        "_allowed",
        lambda listed: tuple({*room.ID_TOKEN_ALGORITHMS, *(listed or ())} - {"none", "HS256"}),
    )
    assert login(["ES256"]).identity.subject == "u-1"


def test_the_verifier_has_no_empty_list(provider, tools):
    """`[]` is no list of defaults, and what is not asymmetric cannot be asked for at all."""
    token, keys = provider.sign({"a": 1}), parse_jwks({"keys": [provider.jwk()]})
    assert verify_jws(token, keys, algorithms=ALGORITHMS).claims() == {"a": 1}
    for empty in ([], (), set(), iter(())):
        with pytest.raises(Exception, match="No signature algorithm is left"):
            verify_jws(token, keys, algorithms=empty)
    for foreign in ("none", "HS256", "RSA-OAEP", ""):
        with pytest.raises(ConfigurationError):
            verify_jws(token, keys, algorithms=["RS256", foreign])


@pytest.mark.parametrize("listed", [["plain"], [], "S256", None, ..., ["plain", "S256"], [5]])
def test_pkce_is_always_s256(listed, colour, net, provider, config):
    """Whatever the server says of code challenges, the method is S256 and never plain."""
    provider.serve(provider.document(code_challenge_methods_supported=listed))
    pending = colour.call(colour.make(config, transport=net, clock=provider.clock).authorize)
    sent = dict(pending.form.fields)
    assert sent["code_challenge_method"] == "S256"
    assert len(sent["code_challenge"]) == 43
    assert sent["code_challenge"] != pending.code_verifier.reveal()


@pytest.mark.parametrize("listed", [["HS256"], ["none"], ["RS256"]])
def test_our_own_signature_follows_no_weaker_list(listed, colour, net, provider, config):
    """Where the server accepts nothing that the key signs with, no assertion is sent at all."""
    provider.serve(provider.document(token_endpoint_auth_signing_alg_values_supported=listed))
    client = colour.make(config, transport=net, clock=provider.clock)
    with pytest.raises(ConfigurationError, match="ES384"):
        colour.call(client.backend_token)
    assert net.of("token") == []
