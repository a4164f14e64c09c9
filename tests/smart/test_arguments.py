"""Arguments of the wrong type, at each flow: an error that says where to get the right one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ClientMetadata, ConfigurationError, EHRLaunch, SigningKey
from smart_async.smart.authorization import authorize
from smart_async.smart.callback import exchange_code
from smart_async.smart.dynamic_client import register_dynamic_client
from smart_async.smart.introspection import introspect
from smart_async.smart.jwt_bearer import jwt_bearer_token
from smart_async.smart.refresh import refresh
from smart_async.smart.registration import register
from smart_async.smart.registration_management import (
    delete_registration,
    read_registration,
    update_registration,
)
from smart_async.smart.revocation import revoke
from smart_async.smart.style import fetch_style
from smart_async.smart.token_response import parse_token_response

URL = "https://app.example.com/callback?code=canary&state=s"
JSON = '{"version": 1, "access_token": "canary"}'
METADATA = ClientMetadata.for_backend(SigningKey.generate("ES384", kid="k"))

CALLS = {
    "stored login": (lambda s: exchange_code(s, JSON, URL), "PendingAuthorization.from_json"),
    "swapped": (lambda s: exchange_code(s, URL, JSON), "the callback comes second"),
    "no login": (lambda s: exchange_code(s, None, URL), "PendingAuthorization.from_json"),
    "launch as URL": (lambda s: authorize(s, launch=URL), "EHRLaunch.from_url"),
    "launch as mapping": (lambda s: authorize(s, launch={"iss": "x"}), "EHRLaunch.from_url"),
    "style": (lambda s: fetch_style(s, JSON), "Token.from_json"),
    "refresh": (lambda s: refresh(s, JSON), "Token.from_json"),
    "introspect": (lambda s: introspect(s, JSON), "Token.from_json"),
    "revoke": (lambda s: revoke(s, JSON), "Token.from_json"),
    "register": (lambda s: register(s, {"client_name": "canary"}), "ClientMetadata"),
    "read": (lambda s: read_registration(s, JSON), "ClientRegistration.from_json"),
    "update": (lambda s: update_registration(s, JSON, METADATA), "ClientRegistration.from_json"),
    "update with a dict": (lambda s: update_registration(s, JSON, {"client_name": "x"}), "ClientMetadata"),
    "delete": (lambda s: delete_registration(s, JSON), "ClientRegistration.from_json"),
    "dynamic client": (lambda s: register_dynamic_client(s, JSON, None), "Token.from_json"),
    "key as text": (lambda s: jwt_bearer_token(s, key="canary.pem"), "SigningKey.from_pem"),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_an_argument_of_the_wrong_type(name, script, state):
    """It is a configuration error with advice, nothing is sent, and the argument is not quoted."""
    call, advice = CALLS[name]
    with pytest.raises(ConfigurationError) as caught:
        script.run(call(state))
    assert advice in caught.value.advice
    assert "canary" not in str(caught.value)
    assert (bool(caught.value.field), script.requests) == (True, [])


@pytest.mark.parametrize("url", [None, 5, b"https://app.example.com/?iss=a&launch=b"])
def test_a_launch_url_that_is_no_text(url):
    """EHRLaunch.from_url takes text only."""
    with pytest.raises(ConfigurationError, match="url must be a str"):
        EHRLaunch.from_url(url)


@pytest.mark.parametrize(
    ("scope", "login", "advice"),
    [
        ("system/*.rs", True, "call backend_token() again"),
        ("system/*.rs", False, "call backend_token() again"),
        ("custom", False, "call backend_token(), or jwt_bearer_token(), again"),
        ("patient/*.rs", True, "offline_access"),
    ],
)
def test_a_token_without_refresh_token(scope, login, advice, script, state, binding, json_response):
    """What to do instead depends on how the token was got."""
    answer = {"access_token": "a", "token_type": "Bearer", "expires_in": 60, "scope": scope, "patient": "p"}
    token = parse_token_response(json_response(answer), binding=binding, requested_scope=scope)
    if not login:
        state = replace(state, config=replace(state.config, redirect_uri=None))
    with pytest.raises(ConfigurationError, match="no refresh token") as caught:
        script.run(refresh(state, token))
    assert (advice in caught.value.advice, script.requests) == (True, [])
