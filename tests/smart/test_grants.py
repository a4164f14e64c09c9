"""The token request: one form, one authentication, and what is known when it fails."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smart_async import Limits, OutcomeUnknownError, PrivateKeyJWT, Secret, SigningKey, TransportError
from smart_async.errors import ConfigurationError
from smart_async.flow import Now, Send, Sign
from smart_async.keys.base64url import b64url_decode
from smart_async.smart.client_auth import Authentication
from smart_async.smart.grants import request_token, token_request

URL = "https://sso.example.com/oauth2/token"
FIELDS = (("grant_type", "client_credentials"), ("scope", "system/*.rs"))


@pytest.mark.rule("TK-01", "TK-10")
def test_the_request_is_one_form(form_of):
    """POST, form-encoded without a charset, JSON wanted, nothing in the query, no Authorization header."""
    request = token_request(URL, FIELDS, Authentication(fields=(("client_assertion", "a.b.c"),)), fresh=True)
    assert (request.method, request.url, request.purpose) == ("POST", URL, "token")
    assert dict(request.headers) == {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
    }
    assert form_of(request) == {**dict(FIELDS), "client_assertion": "a.b.c"}
    assert request.fresh is True


def test_headers_of_an_authentication_are_sent(form_of):
    """A method that works by header is added as it stands, and the body holds nothing of it."""
    request = token_request(
        URL, FIELDS, Authentication(headers=(("Authorization", "Basic eA=="),)), fresh=False
    )
    assert request.headers["authorization"] == "Basic eA=="
    assert form_of(request) == dict(FIELDS)
    assert request.fresh is False


def test_secrets_are_revealed_in_the_body_only(form_of):
    """A secret field stays masked until it is part of the body, and no repr shows the body."""
    request = token_request(URL, (("refresh_token", Secret("r-2c44/+ä")),), Authentication(), fresh=True)
    assert form_of(request) == {"refresh_token": "r-2c44/+ä"}
    assert "r-2c44" not in repr(request)


def test_the_limits_of_the_client_are_the_transports():
    """A transport reads no more of the answer than the client allows."""
    limits = Limits(document_bytes=1000)
    assert token_request(URL, FIELDS, Authentication(), fresh=True, limits=limits).max_bytes == 1000
    assert token_request(URL, FIELDS, Authentication(), fresh=True).max_bytes == Limits().document_bytes


def test_signing_comes_right_before_sending(script, state, metadata, json_response):
    """Ask the time, sign, send: nothing in between lets the assertion grow old."""
    response = script.answer(json_response({})).run(request_token(state, metadata, FIELDS, once=False))
    assert script.kinds == [Now, Sign, Send]
    assert (response.status, response.url, script.requests[0].url) == (200, URL, URL)


@pytest.mark.rule("AS-08")
@pytest.mark.parametrize("endpoint", [URL + "/", "https://SSO.example.com/oauth2/token", URL + "?tenant=1"])
def test_the_audience_is_the_url_posted_to(script, state, metadata, json_response, form_of, endpoint):
    """Another endpoint than the discovered one is both posted to and named, byte for byte."""
    script.answer(json_response({})).run(request_token(state, metadata, FIELDS, once=True, endpoint=endpoint))
    assert script.requests[0].url == endpoint
    assert claims_of(form_of(script.requests[0]))["aud"] == endpoint


def claims_of(form):
    return json.loads(b64url_decode(form["client_assertion"].split(".")[1]))


@pytest.mark.rule("AS-10", "BS-03")
def test_every_attempt_has_a_fresh_assertion(script, state, metadata, json_response, form_of):
    """After a failure the caller's next attempt is signed anew, with another jti and the time of then."""
    script.answer(TransportError("Timed out.", sent=None), json_response({}))
    with pytest.raises(TransportError):
        script.run(request_token(state, metadata, FIELDS, once=False))
    script.advance(30)
    script.run(request_token(state, metadata, FIELDS, once=False))
    first, second = (claims_of(form_of(request)) for request in script.requests)
    assert first["jti"] != second["jti"]
    assert second["iat"] - first["iat"] == 30


@pytest.mark.parametrize("sent", [None, True])
@pytest.mark.parametrize("status", [None, 200])
def test_an_unknown_outcome_is_said_as_such(script, state, metadata, sent, status):
    """A code or refresh token that may have arrived is not repeated; the error says what to do."""
    failure = TransportError("The server did not answer in time.", endpoint=URL, sent=sent, status=status)
    script.answer(failure)
    with pytest.raises(OutcomeUnknownError) as caught:
        script.run(request_token(state, metadata, FIELDS, once=True))
    error = caught.value
    assert error.message == (
        "The token request may or may not have taken effect: The server did not answer in time."
    )
    assert (error.endpoint, error.status, error.sent) == (URL, status, None)
    assert "not repeated" in error.advice
    assert error.__cause__ is failure
    assert len(script.requests) == 1


def test_a_request_that_never_left_is_passed_on(script, state, metadata):
    """Where the request certainly never left, its error says so and repeating is safe."""
    failure = TransportError("The connection was refused.", endpoint=URL, sent=False)
    script.answer(failure)
    with pytest.raises(TransportError) as caught:
        script.run(request_token(state, metadata, FIELDS, once=True))
    assert caught.value is failure


@pytest.mark.parametrize("sent", [None, True, False])
def test_a_repeatable_request_fails_plainly(script, state, metadata, sent):
    """A grant that may be repeated has no unknown outcome worth naming."""
    failure = TransportError("Reset.", endpoint=URL, sent=sent)
    script.answer(failure)
    with pytest.raises(TransportError) as caught:
        script.run(request_token(state, metadata, FIELDS, once=False))
    assert caught.value is failure


@pytest.mark.rule("AS-22")
def test_nothing_is_sent_that_cannot_succeed(script, state, metadata):
    """A key that the server does not accept fails before the request."""
    listed = replace(metadata, token_endpoint_auth_signing_alg_values_supported=("RS384",))
    with pytest.raises(ConfigurationError):
        script.run(request_token(state, listed, FIELDS, once=True))
    assert script.requests == []


@pytest.mark.rule("AS-02", "AS-11")
def test_rs384_goes_the_same_way(script, state, metadata, json_response, form_of):
    """An RSA key signs RS384 without being told to."""
    key = SigningKey.generate("RS384", kid="rsa-1", key_size=2048)
    state.config = replace(state.config, client_auth=PrivateKeyJWT(key))
    script.answer(json_response({})).run(request_token(state, metadata, FIELDS, once=False))
    header = form_of(script.requests[0])["client_assertion"].split(".")[0]
    assert json.loads(b64url_decode(header)) == {"alg": "RS384", "kid": "rsa-1", "typ": "JWT"}
