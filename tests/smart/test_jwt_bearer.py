"""The JWT bearer grant: an assertion in, a token out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from smart_async import (
    ConfigurationError,
    OAuthError,
    OutcomeUnknownError,
    PublicClient,
    Secret,
    SigningKey,
    TransportError,
)
from smart_async.flow import Now, Send, Sign
from smart_async.keys.base64url import b64url_decode
from smart_async.smart.jwt_bearer import JWT_BEARER, jwt_bearer_token

TOKEN_URL = "https://sso.example.com/oauth2/token"


@pytest.fixture
def public(state: Any) -> Any:
    state.config = replace(state.config, client_auth=PublicClient(), client_id="G-device")
    return state


@pytest.fixture
def answer(json_response: Any) -> Any:
    return json_response({"access_token": "at-1", "token_type": "bearer", "expires_in": 3600, "patient": "p"})


def parts(jwt: str) -> tuple[Any, Any]:
    header, claims, _ = jwt.split(".")
    return json.loads(b64url_decode(header)), json.loads(b64url_decode(claims))


def test_a_device_signs_for_itself(script, public, document, answer, json_response, form_of, signing_key):
    """The assertion is about the client itself, for the token endpoint, and client_id stands beside it."""
    script.answer(json_response(document), answer)
    token = script.run(jwt_bearer_token(public, key=signing_key))
    assert script.kinds == [Now, Send, Now, Sign, Send]
    form = form_of(script.requests[1])
    assert form.keys() == {"grant_type", "assertion", "client_id"}
    assert (form["grant_type"], form["client_id"]) == (JWT_BEARER, "G-device")
    header, claims = parts(form["assertion"])
    assert header == {"alg": "ES384", "kid": "key-1", "typ": "JWT"}
    iat = int(script.wall) - 60
    jti = claims.pop("jti")
    assert claims == {"iss": "G-device", "sub": "G-device", "aud": TOKEN_URL, "iat": iat, "exp": iat + 300}
    assert len(jti) == 43
    assert script.requests[1].url == TOKEN_URL
    assert token.access_token == Secret("at-1")
    assert token.context.patient == "p"
    assert token.binding.client_id == "G-device"


def test_every_token_has_an_assertion_of_its_own(
    script, public, document, answer, json_response, form_of, signing_key
):
    """A server takes each assertion once."""
    script.answer(json_response(document), answer, answer)
    script.run(jwt_bearer_token(public, key=signing_key))
    script.run(jwt_bearer_token(public, key=signing_key))
    first, second = (parts(form_of(request)["assertion"])[1] for request in script.requests[1:])
    assert first["jti"] != second["jti"]


def test_the_knobs_of_assertions_count(script, public, document, answer, json_response, form_of, signing_key):
    """Audience, lifetime, backdate, nbf and header are the configuration's, as for client assertions."""
    public.config = replace(
        public.config,
        assertion_audience="https://issuer.example",
        assertion_lifetime=120,
        assertion_backdate=0,
        assertion_nbf=True,
        assertion_header={"x5t": "AAAA"},
    )
    script.answer(json_response(document), answer)
    script.run(jwt_bearer_token(public, key=signing_key))
    header, claims = parts(form_of(script.requests[1])["assertion"])
    assert header["x5t"] == "AAAA"
    assert claims["aud"] == "https://issuer.example"
    assert claims["exp"] - claims["iat"] == 120
    assert claims["nbf"] == claims["iat"] == int(script.wall)


@pytest.mark.parametrize("assertion", ["a.b.c", Secret("a.b.c")])
def test_a_ready_assertion_is_sent_as_it_is(
    script, state, document, answer, json_response, form_of, assertion
):
    """Somebody else's assertion goes out once, beside the client's own authentication."""
    script.answer(json_response(document), answer)
    token = script.run(jwt_bearer_token(state, assertion=assertion, scope="patient/*.rs"))
    form = form_of(script.requests[1])
    assert (form["assertion"], form["scope"]) == ("a.b.c", "patient/*.rs")
    assert "client_assertion" in form
    assert script.requests[1].fresh is True
    assert str(token.scopes) == "patient/*.rs"


@pytest.mark.parametrize("options", [{}, {"key": "mine", "assertion": "a.b.c"}])
def test_one_of_both_is_needed(script, public, signing_key, options):
    """Without key and assertion there is nothing to send, and with both it is unclear what."""
    options = {name: signing_key if name == "key" else value for name, value in options.items()}
    with pytest.raises(ConfigurationError, match="either a key or an assertion"):
        script.run(jwt_bearer_token(public, **options))
    assert script.steps == []


@pytest.mark.parametrize("assertion", ["", "a b", "ä", 5])
def test_an_assertion_is_text(script, public, assertion):
    """What cannot be a JWT is refused before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        script.run(jwt_bearer_token(public, assertion=assertion))
    assert caught.value.field == "assertion"
    assert script.steps == []


@pytest.mark.parametrize(
    ("options", "error"), [({"assertion": "a.b.c"}, OutcomeUnknownError), ({}, TransportError)]
)
def test_a_ready_assertion_is_not_repeated(
    script, public, document, json_response, signing_key, options, error
):
    """Of a ready assertion the outcome is unknown; a self-made one is made anew."""
    script.answer(json_response(document), TransportError("Reset.", sent=None))
    with pytest.raises(TransportError) as caught:
        script.run(jwt_bearer_token(public, **(options or {"key": signing_key})))
    assert type(caught.value) is error


def test_a_refusal_hides_the_assertion(script, public, document, json_response):
    """A server that quotes the assertion gets it struck out."""
    refusal = {"error": "invalid_grant", "error_description": "a.b.c has expired"}
    script.answer(json_response(document), json_response(refusal, 400))
    with pytest.raises(OAuthError) as caught:
        script.run(jwt_bearer_token(public, assertion="a.b.c"))
    assert caught.value.description == "<hidden> has expired"


def test_a_key_that_the_server_refuses_is_not_used(script, public, document, json_response):
    """An algorithm that discovery does not list fails before the request."""
    key = SigningKey.generate("ES256", kid="key-2")
    script.answer(json_response(document))
    with pytest.raises(ConfigurationError, match="ES256"):
        script.run(jwt_bearer_token(public, key=key))
    assert len(script.requests) == 1
