"""A client for each device, as Epic has it: from the first login to the first token of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from smart_async import (
    ConfigurationError,
    EndpointChangedError,
    OAuthError,
    PublicClient,
    RegistrationChangedError,
    SigningKey,
    public_jwks,
)
from smart_async.smart.dynamic_client import register_dynamic_client
from smart_async.smart.jwt_bearer import JWT_BEARER, jwt_bearer_token
from smart_async.smart.token_response import parse_token_response


@pytest.fixture
def state(state: Any) -> Any:
    state.config = replace(state.config, client_auth=PublicClient())
    return state


@pytest.fixture
def token(state: Any, binding: Any, token_document: Any, json_response: Any) -> Any:
    return parse_token_response(json_response(token_document), binding=binding, requested_scope="openid")


@pytest.fixture
def answer(signing_key: SigningKey) -> dict[str, Any]:
    """What Epic answers, its own redirect URI of the app included."""
    return {
        "redirect_uris": ["https://app.example.com/callback", "https://app.example.com/other"],
        "token_endpoint_auth_method": "none",
        "grant_types": [JWT_BEARER],
        "software_id": "growth-chart",
        "client_id": "G65DA2AF4-1C91-11EC-9280-0050568B7514",
        "client_id_issued_at": 1_749_999_000,
        "jwks": public_jwks([signing_key]),
    }


def test_from_login_to_token(script, state, document, token, answer, signing_key, json_response, form_of):
    """Register with the token of the login, go on as the new client, and get a token with the key."""
    script.answer(json_response(document), json_response(answer, 201))
    registration = script.run(register_dynamic_client(state, token, signing_key))
    request = script.requests[1]
    assert request.headers["authorization"] == f"Bearer {token.access_token.reveal()}"
    assert json.loads(request.body) == {
        "software_id": "growth-chart",
        "jwks": public_jwks([signing_key]),
    }
    assert [finding.rule for finding in registration.findings] == ["registration-changed"]
    state.config = registration.config(state.config)
    assert state.config.client_id == "G65DA2AF4-1C91-11EC-9280-0050568B7514"
    assert state.config.client_auth == PublicClient()
    script.answer(json_response({"access_token": "at-2", "token_type": "Bearer", "expires_in": 3600}))
    fresh = script.run(jwt_bearer_token(state, key=signing_key))
    assert form_of(script.requests[-1])["client_id"] == registration.client_id
    assert fresh.access_token.reveal() == "at-2"


def test_other_keys_are_refused(script, state, document, token, answer, signing_key, json_response):
    """Of all that Epic may add, a key is not."""
    answer["jwks"] = public_jwks([SigningKey.generate("ES384", kid="key-1")])
    script.answer(json_response(document), json_response(answer, 201))
    with pytest.raises(RegistrationChangedError, match="jwks"):
        script.run(register_dynamic_client(state, token, signing_key))
    script.answer(json_response(answer, 201))
    allowed = register_dynamic_client(state, token, signing_key, allow_changes="jwks")
    assert script.run(allowed).client_id == answer["client_id"]


def test_a_site_without_dynamic_clients(script, state, document, token, signing_key, json_response):
    """A site that does not offer them answers 404, and that is said."""
    script.answer(json_response(document), json_response(None, 404, body=b""))
    with pytest.raises(OAuthError) as caught:
        script.run(register_dynamic_client(state, token, signing_key))
    assert "offers no dynamic registration" in caught.value.advice


def test_the_token_goes_home_only(script, state, document, token, signing_key, json_response):
    """A token of another client, or of a server that has moved since, is not sent."""
    foreign = replace(token, binding=replace(token.binding, client_id="another"))
    with pytest.raises(ConfigurationError, match="belongs to client another"):
        script.run(register_dynamic_client(state, foreign, signing_key))
    assert script.requests == []
    script.answer(json_response({**document, "issuer": "https://evil.example"}))
    with pytest.raises(EndpointChangedError):
        script.run(register_dynamic_client(state, token, signing_key))
    assert len(script.requests) == 1
