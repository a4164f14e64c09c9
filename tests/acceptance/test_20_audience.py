"""Acceptance 20: whom an assertion is made out to, and that nobody else gets it; T05."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from smart_async import (
    AsyncEHRRegistry,
    DiscoveryError,
    EHRRegistry,
    EndpointChangedError,
    PrivateKeyJWT,
    SigningKey,
    SmartError,
)
from smart_async.keys import parse_jwks, verify_jws

SSO = "https://sso.example.com"
EVIL = "https://evil.example"


def assertion_of(tools, request):
    form = tools.form_of(request)
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return form["client_assertion"]


def parts(assertion):
    return [
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in assertion.split(".")[:2]
    ]


@pytest.mark.parametrize("alg", ["ES384", "RS384"])
def test_the_rules_of_inferno(alg, colour, net, provider, config, tools):
    """What the SMART client test kit checks, of every assertion that every flow sends."""
    key = SigningKey.generate(alg, kid="key-1", key_size=2048)
    config = replace(config, client_auth=PrivateKeyJWT(key))
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    token = colour.call(client.exchange_code, pending, tools.callback_url(pending))
    colour.call(client.refresh, token)
    colour.call(client.backend_token)
    colour.call(client.introspect, token)
    colour.call(client.revoke, token)
    sent = [request for request in net.requests if request.body and b"client_assertion" in request.body]
    assert len(sent) == 6
    public = parse_jwks({"keys": [key.public_jwk()]})
    ids = set()
    for request in sent:
        assertion = assertion_of(tools, request)
        header, claims = parts(assertion)
        assert header == {"alg": alg, "kid": "key-1", "typ": "JWT"}
        assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti"}
        assert (claims["iss"], claims["sub"]) == ("growth-chart", "growth-chart")
        assert claims["aud"] == f"{SSO}/token"
        now = int(provider.clock.now)
        assert claims["iat"] <= now < claims["exp"]
        assert claims["exp"] - claims["iat"] <= 300
        assert claims["exp"] - now <= 300
        ids.add(claims["jti"])
        assert verify_jws(assertion, public, algorithms=[alg]).claims() == claims
        form = tools.form_of(request)
        assert "client_id" not in form
        assert "client_secret" not in form
        assert "authorization" not in request.headers
    assert len(ids) == len(sent)


@pytest.mark.parametrize(
    "url",
    [
        f"{SSO}/token/",
        f"{SSO}/Token",
        "https://SSO.example.com/token",
        f"{SSO}:443/token",
        f"{SSO}/token?tenant=a",
        f"{SSO}//token",
        f"{SSO}/t%6Fken",
    ],
)
def test_the_audience_is_the_discovered_text(url, colour, net, provider, config, tools):
    """One string, byte for byte: no slash, case, port or escape is tidied up on the way."""
    provider.serve(provider.document(token_endpoint=url))
    net.routes[url.partition("?")[0]] = tools.answer({"access_token": "x", "token_type": "Bearer"})
    client = colour.make(config, transport=net, clock=provider.clock)
    colour.call(client.backend_token)
    (request,) = net.of("token")
    assert request.url == url
    assert parts(assertion_of(tools, request))[1]["aud"] == url


INJECTIONS = {
    "introspection": {"introspection_endpoint": f"{EVIL}/introspect"},
    "revocation": {"revocation_endpoint": f"{EVIL}/revoke"},
    "both": {"introspection_endpoint": f"{EVIL}/introspect", "revocation_endpoint": f"{EVIL}/revoke"},
    "issuer of the attacker": {"issuer": EVIL, "introspection_endpoint": f"{EVIL}/introspect"},
    "a look-alike": {"introspection_endpoint": "https://sso.example.com.evil.example/introspect"},
    "the same host, another port": {"introspection_endpoint": "https://sso.example.com:8443/introspect"},
    "authorization": {"authorization_endpoint": f"{EVIL}/authorize"},
    "registration": {"registration_endpoint": f"{EVIL}/register"},
}


@pytest.mark.parametrize("name", INJECTIONS)
def test_audience_injection(name, colour, net, provider, config, tools):
    """
    A hostile server names the honest token endpoint and its own for the rest.

    Every assertion made for it would be good at the honest server, so it must never get one.
    """
    net.routes.update(
        {
            f"{EVIL}/introspect": tools.answer({"active": True}),
            f"{EVIL}/revoke": tools.answer(b""),
            "https://sso.example.com.evil.example/introspect": tools.answer({"active": True}),
            "https://sso.example.com:8443/introspect": tools.answer({"active": True}),
        }
    )
    provider.serve(provider.document(**INJECTIONS[name]))
    client = colour.make(config, transport=net, clock=provider.clock)
    token = colour.call(client.backend_token)
    for method in (client.introspect, client.revoke):
        try:
            colour.call(method, token)
        except SmartError as refused:
            assert type(refused) is EndpointChangedError  # noqa: PT017 - some are let through, to the honest
    for request in net.requests:
        if request.body and b"client_assertion" in request.body:
            assert request.url.startswith(f"{SSO}/")


def test_a_trusted_origin_gets_its_own(colour, net, provider, config, tools):
    """An endpoint elsewhere that is trusted by name gets assertions that are good there and nowhere else."""
    there = "https://other.example/introspect"
    provider.serve(provider.document(introspection_endpoint=there))
    net.routes[there] = tools.answer({"active": True})
    for audience in (None, f"{SSO}/token"):
        trusting = replace(config, trusted_origins=("https://other.example",), assertion_audience=audience)
        client = colour.make(trusting, transport=net, clock=provider.clock)
        colour.call(client.introspect, colour.call(client.backend_token))
        assert parts(assertion_of(tools, net.requests[-1]))[1]["aud"] == there


def test_two_registrations_that_share_a_token_endpoint(colour, net, provider, config):
    """The same client id and token endpoint under two issuers: whoever comes second is refused."""
    evil = type(provider)(net, provider.clock, base="https://evil.example/r4", sso=EVIL)
    evil.serve(evil.document(token_endpoint=f"{SSO}/token"))
    kind = EHRRegistry if colour.portal is None else AsyncEHRRegistry
    registry = kind([config, replace(config, fhir_base=evil.base)], transport=net, clock=provider.clock)
    assert colour.call(registry.client(provider.base).backend_token)
    with pytest.raises(DiscoveryError, match="another issuer"):
        colour.call(registry.client(evil.base).backend_token)
    assert colour.call(registry.client(provider.base).backend_token)
    assert len(net.of("token")) == 2


def test_two_fhir_bases_of_one_server_are_fine(colour, net, provider, config):
    """One authorization server in front of two FHIR versions is how vendors do it."""
    second = type(provider)(net, provider.clock, base="https://ehr.example.com/dstu2")
    second.serve()
    kind = EHRRegistry if colour.portal is None else AsyncEHRRegistry
    registry = kind([config, replace(config, fhir_base=second.base)], transport=net, clock=provider.clock)
    for base in (provider.base, second.base):
        assert colour.call(registry.client(base).backend_token)


def test_a_key_for_each_server(colour, net, provider, config):
    """With a client id of its own at each server, even a copied token endpoint is no conflict."""
    evil = type(provider)(net, provider.clock, base="https://evil.example/r4", sso=EVIL)
    evil.serve(evil.document(token_endpoint=f"{SSO}/token"))
    kind = EHRRegistry if colour.portal is None else AsyncEHRRegistry
    other = replace(config, fhir_base=evil.base, client_id="at-evil")
    registry = kind([config, other], transport=net, clock=provider.clock)
    assert colour.call(registry.client(evil.base).backend_token)
    assert colour.call(registry.client(provider.base).backend_token)
