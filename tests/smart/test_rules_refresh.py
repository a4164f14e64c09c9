"""Rules of refreshing that concern the kind of client and what the server advertises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ClientSecret, PublicClient
from smart_async.smart.refresh import refresh
from smart_async.smart.token_response import parse_token_response

ANSWER = {"access_token": "at-2", "token_type": "Bearer", "expires_in": 1800, "scope": "patient/*.rs"}


@pytest.fixture
def token(token_document, json_response, binding):
    """The token of a finished login."""
    return parse_token_response(json_response(token_document), binding=binding, requested_scope="")


@pytest.mark.rule("RF-04", "TK-05")
def test_a_public_client_names_itself(script, state, token, document, json_response, form_of):
    """Nobody else tells the server whose refresh token it is; nothing authenticates the request."""
    state.config = replace(state.config, client_auth=PublicClient())
    script.answer(json_response(document), json_response(ANSWER))
    script.run(refresh(state, token))
    assert form_of(script.requests[1]) == {
        "grant_type": "refresh_token",
        "refresh_token": "r-2c44-refresh",
        "client_id": "growth-chart",
    }
    assert "authorization" not in script.requests[1].headers


@pytest.mark.rule("RF-03", "TK-06", "TK-09")
def test_a_client_with_a_secret_authenticates(script, state, token, document, json_response, form_of):
    """Basic on refresh as at the exchange, and no client_id beside it."""
    state.config = replace(state.config, client_auth=ClientSecret("m0ss-GREEN-kettle"))
    script.answer(json_response(document), json_response(ANSWER))
    script.run(refresh(state, token))
    assert form_of(script.requests[1]) == {"grant_type": "refresh_token", "refresh_token": "r-2c44-refresh"}
    assert script.requests[1].headers["authorization"] == ("Basic Z3Jvd3RoLWNoYXJ0Om0wc3MtR1JFRU4ta2V0dGxl")


@pytest.mark.rule("DI-13")
@pytest.mark.parametrize("listed", [["authorization_code"], [], None])
def test_the_listed_grant_types_forbid_nothing(script, state, token, document, json_response, listed):
    """Servers refresh and leave refresh_token out of their list."""
    document["grant_types_supported"] = listed
    script.answer(json_response(document), json_response(ANSWER))
    assert script.run(refresh(state, token)).access_token.reveal() == "at-2"
