"""Scopes as a caller asks for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import ClientMetadata, ConfigurationError, Scope, Scopes
from smart_async.smart.authorization import authorize
from smart_async.smart.backend import backend_token
from smart_async.smart.jwt_bearer import jwt_bearer_token
from smart_async.smart.refresh import narrowed_scope
from smart_async.smart.scopes import asked_scopes
from smart_async.smart.token_response import parse_token_response

COMMAS = [
    "openid,fhirUser",
    "openid, fhirUser",
    "system/Patient.rs,system/Task.rs",
    "patient/*.rs,launch",
    "openid,",
]


@pytest.mark.parametrize("scope", COMMAS)
def test_commas_between_scopes_are_refused(scope):
    """The advice says that scopes are separated with blanks."""
    with pytest.raises(ConfigurationError, match="comma between scopes") as caught:
        asked_scopes(scope)
    assert "with blanks" in caught.value.advice
    with pytest.raises(ConfigurationError, match="comma between scopes"):
        asked_scopes([scope])


@pytest.mark.parametrize(
    "scope", ["patient/Condition.rs?category=a,b openid", "user/Task.rs?code=http://x.org|1,2"]
)
def test_a_comma_in_a_value_stays(scope):
    """Granular scopes may hold commas."""
    assert str(asked_scopes(scope)) == scope


def test_every_form_is_taken():
    """Text, scopes, and lists of either."""
    wanted = Scopes("openid launch")
    assert [asked_scopes(form) for form in (wanted, "openid launch", ["openid", Scope("launch")])] == [
        wanted
    ] * 3


@pytest.mark.parametrize("scope", [5, None, b"openid", [5], ["openid", None]])
def test_what_is_no_scope_is_refused(scope):
    """A wrong type is a configuration error."""
    with pytest.raises(ConfigurationError, match="scope must be text or Scopes, not"):
        asked_scopes(scope)


def test_every_flow_refuses_commas(state, config, script, binding, token_document, json_response):
    """Before anything is sent."""
    token = parse_token_response(json_response(token_document), binding=binding, requested_scope="")
    calls = [
        lambda: script.run(authorize(state, scope="openid,fhirUser")),
        lambda: script.run(backend_token(state, scope="openid,fhirUser")),
        lambda: script.run(jwt_bearer_token(state, assertion="a.b.c", scope="openid,fhirUser")),
        lambda: narrowed_scope(token, "openid,fhirUser"),
        lambda: replace(config, scope="openid,fhirUser"),
        lambda: ClientMetadata.for_app(redirect_uris=[], scope="openid,fhirUser"),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="comma between scopes"):
            call()
    assert script.requests == []


def test_a_server_may_send_commas(binding, token_document, json_response):
    """What a server sends is taken as it is."""
    answer = json_response(token_document | {"scope": "openid,fhirUser"})
    assert str(parse_token_response(answer, binding=binding, requested_scope="").scopes) == "openid,fhirUser"
