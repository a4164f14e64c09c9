"""Acceptance 19: a server's keys: rotation, floods, bad keys, outages, tenants; T34, T35."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import IdTokenError, TransportError
from smart_async.limits import JWKS_COOLDOWN, JWKS_KEYS, JWKS_STALE, JWKS_TTL


class App:
    """A client that signs users in, one after another."""

    def __init__(self, colour, net, provider, config, tools) -> None:
        self.colour, self.net, self.provider, self.tools = colour, net, provider, tools
        config = replace(config, scope="openid launch/patient patient/*.rs offline_access")
        self.client = colour.make(config, transport=net, clock=provider.clock)

    def login(self, kid="RS256", alg=None, /, **header):
        pending = self.colour.call(self.client.authorize)
        claims = self.provider.claims(nonce=pending.nonce.reveal())
        self.provider.id_token = self.provider.sign(claims, kid, alg, **header)
        return self.colour.call(self.client.exchange_code, pending, self.tools.callback_url(pending)).identity

    def refused(self, *arguments, **header) -> str:
        with pytest.raises(IdTokenError) as caught:
            self.login(*arguments, **header)
        return str(caught.value.reason)

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return len([request for request in self.net.requests if request.url.endswith("/keys")])


@pytest.fixture
def app(colour, net, provider, config, tools):
    return App(colour, net, provider, config, tools)


def test_fetched_once(app):
    """A hundred logins within the lifetime of the keys need one request."""
    for _ in range(100):
        assert app.login()
    assert app.fetches == 1


def test_rotation(app, provider, clock):
    """The new key is found by asking again, without waiting for the old set to expire."""
    assert app.login()
    clock.now += JWKS_COOLDOWN
    provider.jwks_members = [provider.jwk("new", "RS256")]
    assert app.login("new", "RS256")
    assert app.fetches == 2
    clock.now += JWKS_COOLDOWN
    assert app.refused() == "key"  # the old key is gone, and is not believed any more


def test_rotation_just_before_signing(app, provider, clock):
    """A key that appears right after the set was fetched: refused for the cooldown, then found."""
    assert app.login()
    provider.jwks_members = [provider.jwk(), provider.jwk("new", "RS256")]
    clock.now += JWKS_COOLDOWN - 1
    assert app.refused("new", "RS256") == "key"
    clock.now += 1
    assert app.login("new", "RS256")
    assert app.fetches == 2


def test_a_flood_of_made_up_keys(app):
    """A thousand tokens with random key ids: two requests at most, and honest users still get in."""
    assert app.login()
    for number in range(1000):
        assert app.refused(kid=f"made-up-{number}") == "key"
    assert app.fetches <= 2
    assert app.login()


def test_a_flood_before_the_first_login(app):
    """The same against a client that knows no key yet."""
    for number in range(100):
        assert app.refused(kid=f"made-up-{number}") == "key"
    assert app.fetches <= 2


BAD_KEYS = {
    "not base64": {"kty": "RSA", "kid": "b", "n": "!!", "e": "AQAB"},
    "another curve": {"kty": "EC", "kid": "b", "crv": "P-224", "x": "AA", "y": "AA"},
    "another kind": {"kty": "AKP", "kid": "b", "alg": "ML-DSA-44", "pub": "AA"},
    "Edwards": {"kty": "OKP", "crv": "Ed25519", "kid": "b", "x": "AA"},
    "symmetric": {"kty": "oct", "kid": "RS256", "k": "AA"},
    "no numbers": {"kty": "RSA", "kid": "b"},
    "no kind": {"kid": "b"},
    "a number": 5,
    "null": None,
    "a list": [],
    "text": "key",
    "a kid of another type": {"kty": "RSA", "kid": 5, "n": "AA", "e": "AQAB"},
    "off the curve": {"kty": "EC", "kid": "b", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
}


@pytest.mark.parametrize("name", BAD_KEYS)
@pytest.mark.parametrize("first", [True, False])
def test_one_bad_key_among_good_ones(name, first, app, provider):
    """It is skipped, wherever it stands."""
    keys = [BAD_KEYS[name], provider.jwk()]
    provider.jwks_members = keys if first else keys[::-1]
    assert app.login()


@pytest.mark.parametrize("document", [{"keys": None}, {"keys": "x"}, {"keys": {}}, {"keys": 5}, {}, [], "x"])
def test_a_set_that_is_none(document, app, net, provider, tools):
    """What is no JWK Set is refused as such, and the access token is kept."""
    net.routes[f"{provider.sso}/keys"] = tools.answer(document)
    with pytest.raises(IdTokenError, match="JWK Set") as caught:
        app.login()
    assert caught.value.token.access_token.reveal() == "at-1"


def test_an_empty_set(app, provider):
    """No keys, no match."""
    provider.jwks_members = []
    assert app.refused() == "key"


@pytest.mark.parametrize(("count", "accepted"), [(JWKS_KEYS, True), (JWKS_KEYS + 1, False)])
def test_more_keys_than_anybody_has(count, accepted, app, provider):
    """A hundred keys are searched to the last one; a set of 101 is refused as a whole."""
    others = [{**provider.jwk("ES256"), "kid": f"k{number}"} for number in range(count - 1)]
    provider.jwks_members = [*others, provider.jwk()]
    if accepted:
        assert app.login()
        return
    with pytest.raises(IdTokenError):
        app.login()


def test_ten_megabytes(app, net, provider, tools):
    """A set of 10 MB is asked for with a limit far below, and one over the limit refused."""
    assert app.login()
    (request,) = [request for request in net.requests if request.url.endswith("/keys")]
    assert request.max_bytes == 256 * 1024
    provider.clock.now += JWKS_TTL
    net.routes[f"{provider.sso}/keys"] = tools.answer({"keys": [], "x": "x" * 300_000})
    assert app.login()  # the outage is bridged


def test_two_keys_of_the_same_name(app, provider):
    """Told apart by what they are for; refused where that does not help."""
    provider.jwks_members = [provider.jwk(), provider.jwk("ES256", kid="RS256")]
    assert app.login()
    app.provider.clock.now += JWKS_TTL
    provider.jwks_members = [provider.jwk(), provider.jwk("second", "RS256", kid="RS256")]
    assert app.refused() == "key"


@pytest.mark.parametrize("outage", ["error", "500", "garbage", "gone"])
def test_an_outage_is_bridged_for_an_hour(outage, app, net, provider, clock, tools):
    """Known keys outlive an outage of the server, and only so long; then it works again."""
    assert app.login()
    url = f"{provider.sso}/keys"
    good = net.routes[url]
    net.routes[url] = {
        "error": TransportError("Refused.", sent=False),
        "500": tools.answer(b"", 500),
        "garbage": tools.answer(b"<html>"),
        "gone": tools.answer(b"", 404),
    }[outage]
    clock.now += JWKS_TTL
    assert app.login()
    clock.now += JWKS_STALE - JWKS_TTL
    assert app.login()
    clock.now += 1
    with pytest.raises(IdTokenError):
        app.login()
    net.routes[url] = good
    clock.now += JWKS_COOLDOWN
    assert app.login()


def test_a_removed_key_is_not_bridged(app, provider, clock):
    """A set that was fetched without a key takes that key back at once; no stale copy stands in."""
    assert app.login()
    clock.now += JWKS_TTL
    provider.jwks_members = [provider.jwk("ES256")]
    assert app.refused() == "key"


def test_tenants_do_not_share_keys(colour, net, provider, config, tools):
    """Two EHRs with the same key id and different keys: neither's token is good at the other."""
    second = type(provider)(net, provider.clock, base="https://b.example/r4", sso="https://sso.b.example")
    second.serve()
    apps = [App(colour, net, one, replace(config, fhir_base=one.base), tools) for one in (provider, second)]
    assert all(app.login() for app in apps)
    provider.keys, second.keys = {**second.keys}, {**provider.keys}
    fixed = [app.provider.jwks_members for app in apps]
    provider.jwks_members, second.jwks_members = [second.jwk()], [provider.jwk()]
    assert fixed == [None, None]
    assert [app.refused() for app in apps] == ["signature", "signature"]
    assert all(app.fetches == 2 for app in apps)


def test_one_set_under_two_issuers(colour, net, provider, config, tools):
    """The same jwks_uri for two issuers, as on shared hosting: a token of the one is not the other's."""
    second = type(provider)(
        net, provider.clock, base="https://b.example/r4", sso="https://sso.b.example", keys=provider.keys
    )
    second.serve(openid=second.openid(jwks_uri=f"{provider.sso}/keys"))
    app = App(colour, net, second, replace(config, fhir_base=second.base), tools)
    assert app.login()
    second.claims = lambda **changes: provider.claims(**changes)  # signed with the shared key
    assert app.refused() == "iss"
