"""
Acceptance 21, in its changed form: no API accepts an EHR that is not registered, and none resolves a host
that neither the caller nor the registered server's own document named; T09, T01.
"""

from __future__ import annotations

import inspect
import socket
from dataclasses import replace

import pytest

from smart_async import (
    AsyncEHRRegistry,
    AsyncSmartClient,
    ConfigurationError,
    DiscoveryError,
    EHRLaunch,
    EHRRegistry,
    LaunchRejectedError,
    SmartClient,
    SmartConfig,
    SmartError,
)
from smart_async.messages import parse_url

INTERNAL = "https://169.254.169.254/latest"
# Hosts that a resolver takes for an address, or that two parsers read differently.
ODD = [
    "https://127.1/r4",
    "https://0x7f000001/r4",
    "https://2130706433/r4",
    "https://017700000001/r4",
    "https://0/r4",
    "https://127.0.0.1.:443/r4",
    "https://[::ffff:127.0.0.1%25eth0]/r4",
    "https://[fe80::1%eth0]/r4",
    "https://[x]/r4",
    "https://ehr.example.com@127.0.0.1/r4",
    "https://127.0.0.1\\@ehr.example.com/r4",
    "https://ehr。example/r4",
    "https:///r4",
    "https:127.0.0.1/r4",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x",
    "data:application/json,{}",
    "gopher://127.0.0.1:6379/_x",
    "http://169.254.169.254/r4",
    "http://metadata.google.internal/r4",
    "http://localhost.evil.example/r4",
    "http://127.0.0.1.nip.io/r4",
]


@pytest.fixture
def resolved(monkeypatch):
    """Every host that anything tries to resolve or connect to."""
    asked: list[object] = []

    def refuse(*arguments, **named):
        asked.append(arguments)
        raise socket.gaierror("nothing is resolved in this test")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.mark.parametrize("url", ODD)
@pytest.mark.parametrize("field", ["fhir_base", "token_endpoint", "jwks_uri", "discovery_url"])
def test_odd_hosts_are_no_hosts(url, field, config, resolved):
    """None can be configured, plain http on loopback allowed or not, and nothing is looked up to find out."""
    for loopback in (False, True):
        with pytest.raises(ConfigurationError):
            replace(config, **{field: url}, allow_insecure_loopback=loopback)
    assert resolved == []


@pytest.mark.parametrize("url", ODD)
def test_odd_hosts_in_a_document(url, colour, net, provider, config):
    """An endpoint of that kind counts as missing: nothing is sent to it."""
    provider.serve(provider.document(token_endpoint=url))
    client = colour.make(config, transport=net, clock=provider.clock)
    with pytest.raises(DiscoveryError):
        colour.call(client.backend_token)
    assert {request.url.split("/")[2] for request in net.requests} == {"ehr.example.com"}


def everywhere(provider, tools):
    """A hostile answer that names an internal host wherever a URL may stand, but for the endpoints."""
    provider.serve(
        provider.document(
            management_endpoint=INTERNAL,
            smart_app_state_endpoint=INTERNAL,
            user_access_brand_bundle=INTERNAL,
            associated_endpoints=[{"url": INTERNAL, "capabilities": ["smart-app-state"]}],
            registration_endpoint=INTERNAL,
            introspection_endpoint=INTERNAL,
            revocation_endpoint=INTERNAL,
            x_logo=INTERNAL,
        ),
        provider.openid(userinfo_endpoint=INTERNAL, end_session_endpoint=INTERNAL),
    )
    provider.token_changes = {
        "smart_style_url": INTERNAL,
        "fhirContext": [{"reference": f"{INTERNAL}/Observation/1"}, {"canonical": INTERNAL, "type": "X"}],
        "authorization_details": [
            {"type": "smart_on_fhir", "locations": [INTERNAL], "scope": "patient/*.rs"}
        ],
        "iss": INTERNAL,
        "aud": INTERNAL,
    }


def test_a_document_full_of_internal_hosts(colour, net, provider, config, tools):
    """Sign in, refresh, ask, revoke, read the style: nobody but the server itself is asked for anything."""
    everywhere(provider, tools)
    config = replace(config, scope="openid fhirUser launch/patient patient/*.rs offline_access")
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    claims = provider.claims(
        nonce=pending.nonce.reveal(), fhirUser=f"{INTERNAL}/Practitioner/1", picture=INTERNAL
    )
    provider.id_token = provider.sign(claims, x5c=[INTERNAL])
    token = colour.call(client.exchange_code, pending, tools.callback_url(pending))
    assert token.identity.fhir_user.url.startswith(INTERNAL)
    for method in (client.introspect, client.revoke, client.fetch_style):
        with pytest.raises(SmartError):
            colour.call(method, token)
    assert net.to("169.254") == []
    assert {request.url.split("/")[2] for request in net.requests} == {"ehr.example.com", "sso.example.com"}


@pytest.mark.parametrize("header", ["jku", "x5u", "jwk"])
def test_a_token_that_says_where_its_key_is(header, colour, net, provider, config, tools):
    """The header is refused before anything is fetched for it."""
    config = replace(config, scope="openid launch/patient patient/*.rs")
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    claims = provider.claims(nonce=pending.nonce.reveal())
    provider.id_token = provider.sign(claims, **{header: INTERNAL})
    with pytest.raises(SmartError):
        colour.call(client.exchange_code, pending, tools.callback_url(pending))
    assert net.of("jwks") == []
    assert net.to("169.254") == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["/.well-known/smart-configuration", "/token", "/keys"])
def test_a_redirect_to_an_internal_host(status, place, colour, net, provider, config, tools):
    """No redirect leads there."""
    config = replace(config, scope="openid launch/patient patient/*.rs")
    client = colour.make(config, transport=net, clock=provider.clock)
    base = provider.base if place.startswith("/.well") else provider.sso
    redirect = tools.answer(b"", status, {"Location": INTERNAL})
    if place == "/.well-known/smart-configuration":
        net.routes[base + place] = redirect
        with pytest.raises(SmartError):
            colour.call(client.authorize)
    else:
        pending = colour.call(client.authorize)
        provider.id_token = provider.sign(provider.claims(nonce=pending.nonce.reveal()))
        net.routes[base + place] = redirect
        with pytest.raises(SmartError):
            colour.call(client.exchange_code, pending, tools.callback_url(pending))
    assert net.to("169.254") == []


def test_no_method_takes_a_server(config, resolved):
    """
    Which server is spoken to is the configuration's to say: no method of a client has a parameter for one.

    The registry has two, and looks both up among what is configured.
    """
    for kind in (SmartClient, AsyncSmartClient):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                taken = set(inspect.signature(method).parameters)
                assert not taken & {"iss", "issuer", "fhir_base", "url", "host", "endpoint", "server"}, name
    for kind in (EHRRegistry, AsyncEHRRegistry):
        registry = kind([config])
        with pytest.raises(LaunchRejectedError):
            registry.client("https://evil.example/r4")
        with pytest.raises(LaunchRejectedError):
            registry.launch("https://app.example.com/?iss=https%3A%2F%2Fevil.example&launch=x")
    assert resolved == []


def test_refusals_over_the_real_transport_resolve_nothing(colour, config, resolved):
    """Before a refused launch or a misplaced login nothing is looked up, by the default transport either."""
    client = colour.make(config)
    for call in (
        lambda: colour.call(client.authorize, launch=EHRLaunch(iss="https://evil.example/r4", launch="x")),
        lambda: colour.call(client.exchange_code, None, "https://app.example.com/callback"),
        lambda: colour.call(client.refresh, None),
        lambda: SmartConfig(fhir_base=INTERNAL[:5], client_id="c", client_auth=config.client_auth),
    ):
        with pytest.raises(SmartError):
            call()
    assert resolved == []


def test_the_host_that_is_compared_is_the_host_that_is_named():
    """What was accepted has one reading; see also the fuzzer's target for URLs."""
    made = parse_url("https://EHR.example.com:443/r4", field="x")
    assert (made.host, made.port, made.origin) == ("ehr.example.com", 443, "https://ehr.example.com")
