"""An Epic device from its first login to a token of its own, and the look of the EHR, in every colour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from smart_async import PublicClient, SigningKey, SmartConfig, public_jwks
from smart_async.smart.jwt_bearer import JWT_BEARER
from smart_async.transports import ScriptedTransport, json_response

DOCUMENT = {
    "token_endpoint": "https://ehr.example.com/oauth2/token",
    "authorization_endpoint": "https://ehr.example.com/oauth2/authorize",
    "registration_endpoint": "https://ehr.example.com/oauth2/register",
}
TOKEN = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "scope": "patient/*.rs"}


@pytest.fixture
def public(config: SmartConfig) -> SmartConfig:
    return replace(config, client_auth=PublicClient())


def signed_in(colour: Any, client: Any) -> Any:
    """Sign a user in with the script's next two answers."""
    pending = colour.call(client.authorize)
    callback = f"{pending.redirect_uri}?code=c-1&state={pending.state}"
    return colour.call(client.exchange_code, pending, callback)


def test_a_device_becomes_a_client_of_its_own(
    colour: Any, public: SmartConfig, signing_key: SigningKey
) -> None:
    """The token of a login registers the device's key, and the key then gets tokens by itself."""
    registered = {
        "client_id": "G-device",
        "jwks": public_jwks([signing_key]),
        "grant_types": [JWT_BEARER],
        "token_endpoint_auth_method": "none",
    }
    transport = ScriptedTransport(
        json_response(DOCUMENT), json_response(TOKEN), json_response(registered, status=201)
    )
    client = colour.make(public, transport=transport)
    token = signed_in(colour, client)
    registration = colour.call(client.register_dynamic_client, token, signing_key)
    transport.add(json_response(DOCUMENT), json_response(TOKEN))
    device = colour.make(registration.config(public), transport=transport)
    own = colour.call(device.jwt_bearer_token, key=signing_key)
    transport.assert_all_used()
    assert own.binding.client_id == "G-device"
    assert [request.purpose for request in transport.requests[2:]] == ["registration", "discovery", "token"]


def test_the_style_of_the_ehr(colour: Any, public: SmartConfig) -> None:
    """The style object that a login names is fetched without the token."""
    style_url = "https://ehr.example.com/style/v1.json"
    transport = ScriptedTransport(
        json_response(DOCUMENT),
        json_response({**TOKEN, "smart_style_url": style_url}),
        json_response({"color_text": "#222"}),
    )
    client = colour.make(public, transport=transport)
    style = colour.call(client.fetch_style, signed_in(colour, client))
    assert style.values == {"color_text": "#222"}
    assert "authorization" not in transport.requests[2].headers
