"""Authentication beside the token endpoint: nothing leaves for an origin that nobody vouched for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smart_async import ClientSecret, ConfigurationError, EndpointChangedError, PublicClient, Secret
from smart_async.keys.base64url import b64url_decode
from smart_async.smart.client_auth import Authentication
from smart_async.smart.endpoint_auth import authenticate_at, check_origin

TOKEN = "https://sso.example.com/oauth2/token"
HERE = "https://sso.example.com/oauth2/introspect"
ELSEWHERE = "https://tokens.example.net/introspect"


@pytest.fixture
def authenticate(script, state, metadata):
    """Authenticates at an endpoint, with changes to the configuration."""

    def run(endpoint, method="client", bearer=None, **config):
        state.config = replace(state.config, **config)
        return script.run(authenticate_at(state, metadata, endpoint, method=method, bearer=bearer))

    return run


def audience(found: Authentication) -> object:
    assertion = dict(found.fields)["client_assertion"]
    return json.loads(b64url_decode(assertion.split(".")[1]))["aud"]


@pytest.mark.rule("AS-09")
def test_the_audience_on_the_same_origin(authenticate):
    """Servers expect the token URL as aud at their other endpoints as well."""
    assert audience(authenticate(HERE)) == TOKEN
    assert audience(authenticate("https://SSO.example.com:443/x")) == TOKEN


def test_a_configured_audience_on_the_same_origin(authenticate):
    """Keycloak expects its issuer everywhere."""
    assert (
        audience(authenticate(HERE, assertion_audience="https://issuer.example")) == "https://issuer.example"
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        ELSEWHERE,
        "https://sso.example.com.evil.example/introspect",
        "https://sso.example.com:8443/introspect",
        "http://sso.example.com/oauth2/introspect",
        "not a url",
    ],
)
@pytest.mark.parametrize("method", ["client", "bearer", "none"])
def test_nothing_for_another_origin(script, state, authenticate, endpoint, method):
    """Neither credentials nor a token are made ready for it; the advice names the setting."""
    with pytest.raises(EndpointChangedError, match="nothing was sent") as caught:
        authenticate(endpoint, method, Secret("at"))
    assert script.steps == []
    assert "trusted_origins" in str(caught.value.advice)


@pytest.mark.parametrize("audience_override", [None, "https://issuer.example", TOKEN])
def test_the_audience_on_a_trusted_origin(authenticate, audience_override):
    """There the assertion is good for that endpoint alone, whatever the token endpoint wants as aud."""
    found = authenticate(
        ELSEWHERE, trusted_origins=("https://tokens.example.net",), assertion_audience=audience_override
    )
    assert audience(found) == ELSEWHERE


def test_the_configuration_is_not_changed_by_it(authenticate, state):
    """The token endpoint still gets its own audience afterwards."""
    authenticate(ELSEWHERE, trusted_origins=("https://tokens.example.net",), assertion_audience="urn:a")
    assert state.config.assertion_audience == "urn:a"
    assert audience(authenticate(HERE)) == "urn:a"


@pytest.mark.rule("TK-10", "IN-02")
def test_bearer_and_none(authenticate):
    """A bearer is the only thing sent, and so is nothing."""
    assert authenticate(HERE, "bearer", Secret("at-1")) == Authentication(
        headers=(("Authorization", "Bearer at-1"),)
    )
    assert authenticate(HERE, "none", Secret("at-1")) == Authentication()


def test_no_bearer(authenticate):
    """Without an access token there is nothing to ask with."""
    with pytest.raises(ConfigurationError, match="no access token"):
        authenticate(HERE, "bearer")


@pytest.mark.rule("TK-05", "TK-09")
def test_the_other_client_types(authenticate):
    """The one object authenticates here as it does at the token endpoint."""
    assert authenticate(HERE, client_auth=PublicClient()).fields == (("client_id", "growth-chart"),)
    headers = authenticate(HERE, client_auth=ClientSecret("s3")).headers
    assert headers[0][1].startswith("Basic ")


def test_check_origin(state, metadata):
    """The same origin and a trusted one are fine."""
    check_origin(state, metadata, HERE)
    state.config = replace(state.config, trusted_origins=("https://tokens.example.net/",))
    check_origin(state, metadata, ELSEWHERE)
