"""Revocation: both tokens, by whoever holds them, and never to somewhere else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smart_async import (
    ClientSecret,
    ConfigurationError,
    EndpointChangedError,
    OAuthError,
    ProtocolError,
    PublicClient,
    Token,
    TransportError,
)
from smart_async.keys.base64url import b64url_decode
from smart_async.limits import Limits
from smart_async.messages import Headers, Response, Secret
from smart_async.smart.client_auth import Authentication
from smart_async.smart.revocation import parse_revocation, revocation_request, revoke
from smart_async.smart.token_response import parse_token_response

ENDPOINT = "https://sso.example.com/oauth2/revoke"
GONE = Response(status=200)


@pytest.fixture
def token(token_document, json_response, binding) -> Token:
    return parse_token_response(json_response(token_document), binding=binding, requested_scope="")


@pytest.fixture
def run(script, state, document, json_response, token):
    """Revokes the token, with changes to the configuration or the document."""

    def run(*answers, changes=None, subject=None, **config):
        state.config = replace(state.config, **config)
        script.answer(json_response({**document, **(changes or {})}), *answers)
        result = script.run(revoke(state, subject or token))
        script.finished()
        return result

    return run


def test_both_tokens(run, script, form_of):
    """The refresh token first, for it could make another access token; then the access token."""
    assert run(GONE, GONE) is None
    requests = script.requests[1:]
    assert [(request.method, request.url, request.purpose) for request in requests] == [
        ("POST", ENDPOINT, "revocation")
    ] * 2
    forms = [form_of(request) for request in requests]
    assert [(form["token"], form["token_type_hint"]) for form in forms] == [
        ("r-2c44-refresh", "refresh_token"),
        ("opaque-7Fq2-access", "access_token"),
    ]
    claims = [json.loads(b64url_decode(form["client_assertion"].split(".")[1])) for form in forms]
    assert {claim["aud"] for claim in claims} == {"https://sso.example.com/oauth2/token"}
    assert claims[0]["jti"] != claims[1]["jti"]


def test_an_access_token_alone(run, script, token):
    """Without a refresh token there is one request."""
    run(GONE, subject=replace(token, refresh_token=None))
    assert len(script.requests) == 2


@pytest.mark.rule("TK-05", "TK-09", "TK-10")
@pytest.mark.parametrize(
    ("auth", "header", "fields"),
    [
        (PublicClient(), None, ["token", "token_type_hint", "client_id"]),
        (ClientSecret("s3"), "Basic Z3Jvd3RoLWNoYXJ0OnMz", ["token", "token_type_hint"]),
    ],
)
def test_the_other_client_types(run, script, form_of, auth, header, fields):
    """A public client names itself; a secret goes where it goes at the token endpoint."""
    run(GONE, GONE, client_auth=auth)
    for request in script.requests[1:]:
        assert (request.headers.get("authorization"), list(form_of(request))) == (header, fields)


def test_introspection_auth_is_for_introspection(run, script, form_of):
    """Where introspection takes a bearer, revocation still wants the client."""
    run(GONE, GONE, introspection_auth="bearer")
    assert "client_assertion" in form_of(script.requests[1])


def test_the_request_is_limited():
    """The client's limit is what the transport reads at most."""
    request = revocation_request(
        ENDPOINT, Secret("t"), "access_token", Authentication(), limits=Limits(document_bytes=9)
    )
    assert (request.max_bytes, request.body) == (9, b"token=t&token_type_hint=access_token")


@pytest.mark.parametrize("body", [b"", b"{}", b"OK", b"<html>", b'{"error":"unknown token"}', b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 204])
def test_yes_whatever_the_body(status, body):
    """200 means that the token is gone, known or not; the body says nothing."""
    assert parse_revocation(Response(status=status, body=body)) is None


@pytest.mark.parametrize("status", [201, 202, 206])
def test_neither_yes_nor_no(status):
    """Another answer leaves open whether the token works."""
    with pytest.raises(ProtocolError, match="may still work") as caught:
        parse_revocation(Response(status=status, url=ENDPOINT))
    assert (caught.value.status, caught.value.endpoint) == (status, ENDPOINT)


def test_try_again_later(run, json_response):
    """503 says when to come again; the token still works."""
    busy = json_response({}, 503, {"Retry-After": "30"})
    with pytest.raises(OAuthError) as caught:
        run(busy, busy)
    assert (caught.value.status, caught.value.retry_after) == (503, 30.0)
    assert "revocation" in caught.value.message


def test_a_refused_refresh_token_does_not_save_the_access_token(run, script, form_of, json_response):
    """Both are tried, and the first refusal is reported."""
    refused = json_response({"error": "invalid_request"}, 400)
    with pytest.raises(OAuthError) as caught:
        run(refused, GONE)
    assert (caught.value.error, form_of(script.requests[2])["token"]) == (
        "invalid_request",
        "opaque-7Fq2-access",
    )


def test_an_access_token_that_cannot_be_revoked(run, json_response):
    """Oracle Health revokes refresh tokens only; the advice says that it ends by itself."""
    with pytest.raises(OAuthError) as caught:
        run(GONE, json_response({"error": "unsupported_token_type"}, 400))
    assert "ends by itself" in str(caught.value.advice)


def test_a_refusal_does_not_repeat_a_token(run, json_response):
    """Servers quote what they were sent; the error does not."""
    quoting = {"error": "invalid_request", "error_description": "r-2c44-refresh, opaque-7Fq2-access"}
    with pytest.raises(OAuthError) as caught:
        run(json_response(quoting, 400), GONE)
    assert caught.value.description == "<hidden>, <hidden>"


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect(run, script, json_response, status):
    """Nothing is sent along."""
    redirect = json_response({}, status, {"Location": "https://evil.example/r"})
    with pytest.raises(ProtocolError, match=r"revocation endpoint redirected.*https://evil\.example"):
        run(redirect, redirect)
    assert {request.url for request in script.requests[1:]} == {ENDPOINT}


def test_an_outage_stops_it(script, state, document, json_response, token):
    """If the server cannot be reached, the second token is not tried: it would wait as long again."""
    script.answer(json_response(document), TransportError("down"))
    with pytest.raises(TransportError):
        script.run(revoke(state, token))
    assert len(script.requests) == 2


def test_another_origin_gets_nothing(run, script):
    """A revocation endpoint elsewhere sees neither tokens nor credentials."""
    with pytest.raises(EndpointChangedError):
        run(changes={"revocation_endpoint": "https://evil.example/r"})
    assert len(script.requests) == 1


def test_a_trusted_origin(run, script, form_of):
    """A trusted one gets assertions that are good there alone."""
    url = "https://tokens.example.net/r"
    run(GONE, GONE, changes={"revocation_endpoint": url}, trusted_origins=("https://tokens.example.net",))
    assertion = form_of(script.requests[1])["client_assertion"]
    assert json.loads(b64url_decode(assertion.split(".")[1]))["aud"] == url


def test_no_endpoint(run, script):
    """Many servers have none; the advice says what to do instead."""
    with pytest.raises(ConfigurationError, match="names no revocation_endpoint") as caught:
        run(changes={"revocation_endpoint": None})
    assert "Forget the token" in str(caught.value.advice)


def test_a_token_of_another_registration(script, state, token):
    """It is not sent anywhere."""
    other = replace(token, binding=replace(token.binding, fhir_base="https://ehr.example.com/r5"))
    with pytest.raises(ConfigurationError):
        script.run(revoke(state, other))
    assert script.steps == []


@pytest.mark.parametrize("thing", ["r-2c44-refresh", None, Secret("t")])
def test_what_is_no_token(script, state, thing):
    """A mistake of the caller is told as one."""
    with pytest.raises(ConfigurationError, match=r"Token\.from_json"):
        script.run(revoke(state, thing))


def test_a_server_that_has_moved(run, script):
    """If discovery now names another token endpoint, nothing is sent."""
    with pytest.raises(EndpointChangedError):
        run(
            changes={
                "token_endpoint": "https://new.example/t",
                "revocation_endpoint": "https://new.example/r",
            }
        )
    assert len(script.requests) == 1


def test_headers(run, script):
    """A form goes out, and JSON is asked for."""
    run(GONE, GONE)
    assert script.requests[1].headers == Headers(
        {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    )
