"""Introspection: who may ask, what is sent where, and answers of every kind."""

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
    Scopes,
    Token,
    TransportError,
)
from smart_async.keys.base64url import b64url_decode
from smart_async.limits import Limits
from smart_async.messages import Headers, Response, Secret
from smart_async.smart.client_auth import Authentication
from smart_async.smart.identity import identity_from_claims
from smart_async.smart.introspection import (
    TokenStatus,
    introspect,
    introspection_request,
    parse_introspection,
)
from smart_async.smart.token_response import parse_token_response

ENDPOINT = "https://sso.example.com/oauth2/introspect"
ACTIVE = {
    "active": True,
    "client_id": "growth-chart",
    "scope": "launch openid fhirUser patient/Observation.rs",
    "exp": 1_750_001_800,
    "patient": "p-3307",
    "encounter": "e-9921",
    "iss": "https://sso.example.com",
    "sub": "u-58121",
    "fhirUser": "https://ehr.example.com/r4/Practitioner/dr-9",
}


@pytest.fixture
def token(token_document, json_response, binding) -> Token:
    return parse_token_response(json_response(token_document), binding=binding, requested_scope="")


@pytest.fixture
def ask(script, state, document, json_response, token):
    """Introspects the token, with changes to the configuration, the document or the answer."""

    def run(answer=ACTIVE, status=200, *, changes=None, subject=None, **config):
        state.config = replace(state.config, **config)
        script.answer(json_response({**document, **(changes or {})}))
        script.answer(answer if isinstance(answer, Response) else json_response(answer, status))
        return script.run(introspect(state, subject or token))

    return run


def rules(status):
    return [finding.rule for finding in status.findings]


# ---------------------------------------------------------------------------------------- the request


@pytest.mark.rule("IN-01", "TK-07", "TK-10")
def test_the_request_of_a_client_with_a_key(ask, script, form_of):
    """A form with the token and an assertion that names the token endpoint."""
    ask()
    request = script.requests[1]
    form = form_of(request)
    claims = json.loads(b64url_decode(form.pop("client_assertion").split(".")[1]))
    assert claims["aud"] == "https://sso.example.com/oauth2/token"
    assert form == {
        "token": "opaque-7Fq2-access",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert (request.method, request.url, request.purpose) == ("POST", ENDPOINT, "introspection")
    assert dict(request.headers) == {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
    }


@pytest.mark.rule("IN-01", "IN-02", "TK-10")
@pytest.mark.parametrize(
    ("changed", "header", "fields"),
    [
        ({"introspection_auth": "bearer"}, "Bearer opaque-7Fq2-access", ["token"]),
        ({"introspection_auth": "none"}, None, ["token"]),
        ({"client_auth": ClientSecret("s3")}, "Basic Z3Jvd3RoLWNoYXJ0OnMz", ["token"]),
        ({"client_auth": ClientSecret("s3", "post")}, None, ["token", "client_id", "client_secret"]),
        ({"client_auth": PublicClient()}, None, ["token", "client_id"]),
    ],
)
def test_who_asks(ask, script, form_of, changed, header, fields):
    """The client, the token's bearer, or nobody: one of them and nothing beside it."""
    ask(**changed)
    request = script.requests[1]
    assert (request.headers.get("authorization"), list(form_of(request))) == (header, fields)


def test_the_request_is_limited():
    """The client's limit is what the transport reads at most."""
    request = introspection_request(ENDPOINT, Secret("t"), Authentication(), limits=Limits(document_bytes=9))
    assert (request.max_bytes, request.body) == (9, b"token=t")


@pytest.mark.rule("IN-01")
@pytest.mark.parametrize("auth", ["client", "bearer", "none"])
@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://evil.example", "introspection_endpoint": "https://evil.example/i"},
        {"introspection_endpoint": "https://evil.example/i"},
        {"introspection_endpoint": "https://sso.example.com:444/oauth2/introspect"},
        {"introspection_endpoint": "https://sso.example.com.evil.example/i"},
    ],
)
def test_audience_injection(ask, script, auth, changes):
    """A document that names the honest token endpoint and its own introspection endpoint gets nothing."""
    with pytest.raises(EndpointChangedError):
        ask(changes=changes, introspection_auth=auth)
    assert [request.purpose for request in script.requests] == ["discovery"]


def test_a_trusted_origin_gets_an_assertion_of_its_own(ask, script, form_of):
    """What the trusted endpoint receives cannot be spent at the token endpoint."""
    url = "https://tokens.example.net/i"
    ask(
        changes={"introspection_endpoint": url},
        trusted_origins=("https://tokens.example.net",),
        assertion_audience="https://sso.example.com/oauth2/token",
    )
    assertion = form_of(script.requests[1])["client_assertion"]
    assert json.loads(b64url_decode(assertion.split(".")[1]))["aud"] == url
    assert script.requests[1].url == url


def test_no_endpoint(ask, script):
    """Without an endpoint the advice names the setting."""
    with pytest.raises(ConfigurationError, match="names no introspection_endpoint") as caught:
        ask(changes={"introspection_endpoint": None})
    assert "set introspection_endpoint" in str(caught.value.advice)
    assert len(script.requests) == 1


def test_a_configured_endpoint(ask, script):
    """An endpoint that the server does not list can be configured."""
    ask(
        changes={"introspection_endpoint": None},
        introspection_endpoint="https://sso.example.com/hidden/introspect",
    )
    assert script.requests[1].url == "https://sso.example.com/hidden/introspect"


def test_a_token_of_another_registration(script, state, token):
    """It is not sent anywhere."""
    other = replace(token, binding=replace(token.binding, client_id="other"))
    with pytest.raises(ConfigurationError, match="other"):
        script.run(introspect(state, other))
    assert script.steps == []


@pytest.mark.parametrize("thing", ["opaque-7Fq2-access", None, Secret("t"), {}])
def test_what_is_no_token(script, state, thing):
    """A mistake of the caller is told as one, and without quoting what might be a token."""
    with pytest.raises(ConfigurationError, match=r"Token\.from_json") as caught:
        script.run(introspect(state, thing))
    assert "opaque" not in str(caught.value)


def test_a_server_that_has_moved(ask, script):
    """If discovery now names another token endpoint, nothing is sent."""
    moved = {"token_endpoint": "https://new.example/t", "introspection_endpoint": "https://new.example/i"}
    with pytest.raises(EndpointChangedError):
        ask(changes=moved)
    assert len(script.requests) == 1


# ---------------------------------------------------------------------------------------- the answer


@pytest.mark.rule("IN-03", "IN-04")
def test_an_active_token(ask):
    """Everything that the server knows is typed, context and identity included."""
    status = ask()
    assert (status.active, status.client_id, status.expires_at) == (True, "growth-chart", 1_750_001_800.0)
    assert status.scopes == Scopes("launch openid fhirUser patient/Observation.rs")
    assert (status.context.patient, status.context.encounter) == ("p-3307", "e-9921")
    assert (status.issuer, status.subject) == ("https://sso.example.com", "u-58121")
    assert (status.fhir_user, rules(status), status.raw) == (ACTIVE["fhirUser"], [], ACTIVE)


@pytest.mark.rule("IN-05")
@pytest.mark.parametrize("answer", [{"active": False}, {"active": False, "scope": "x", "exp": "odd"}])
def test_an_inactive_token(ask, answer):
    """That a token is dead is an answer; nothing else in it is believed."""
    assert ask(answer) == TokenStatus(active=False, raw=answer)


@pytest.mark.rule("IN-03")
@pytest.mark.parametrize("name", ["scope", "client_id", "exp"])
@pytest.mark.parametrize("value", [None, 0.0, [], {}, True, ...])
def test_a_required_member_is_missing(ask, name, value):
    """An active token has scope, client and expiry; what lacks or cannot be read is a finding."""
    if (name, value) in (("exp", 0.0), ("scope", [])):
        assert ask({**ACTIVE, name: value}).active
        return
    status = ask({key: val for key, val in {**ACTIVE, name: value}.items() if val is not ...})
    assert [str(found) for found in status.findings] == [
        f"warning IN-03: The introspection response lacks {name}."
    ]


def test_scope_as_a_list(json_response):
    """It is read as it is in token responses."""
    status = parse_introspection(json_response({**ACTIVE, "scope": ["openid", "patient/*.rs"]}))
    assert status.scopes == Scopes("openid patient/*.rs")


@pytest.mark.parametrize("scope", ['a"b', ["a\\b"], "a\nb"])
def test_scopes_that_cannot_be_ones(ask, scope):
    """Text that no scope may hold is a broken answer; the error names the endpoint."""
    with pytest.raises(ProtocolError, match="scope that cannot be one") as caught:
        ask({**ACTIVE, "scope": scope})
    assert caught.value.endpoint == ENDPOINT


@pytest.mark.rule("IN-04")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patient": "p-1"}, "differs in patient"),
        ({"patient": None}, "lacks patient"),
        ({"encounter": "e-1"}, "differs in encounter"),
        ({"sub": "u-1"}, "differs in sub"),
        ({"sub": None}, "lacks sub"),
        ({"iss": "https://evil.example"}, "differs in iss"),
    ],
)
def test_another_answer_than_the_token_response(ask, token, issuer, changes, message):
    """Context and identity are those of the token response; anything else is a finding."""
    identity, _ = identity_from_claims(issuer.claims(), fhir_base="https://ehr.example.com/r4")
    status = ask({**ACTIVE, **changes}, subject=replace(token, identity=identity))
    assert rules(status) == ["IN-04"]
    assert message in status.findings[0].message


def test_what_the_token_response_did_not_say(ask, token):
    """A patient found elsewhere, and a user who was not verified, need not be mirrored."""
    raw = {name: value for name, value in token.raw.items() if name not in ("patient", "encounter")}
    bare = {name: ACTIVE[name] for name in ("active", "client_id", "scope", "exp")}
    assert rules(ask(bare, subject=replace(token, raw=raw))) == []


@pytest.mark.parametrize(
    "answer", [{}, {"active": None}, {"active": "true"}, {"active": 1}, [], "x", None, {"error": "x"}]
)
def test_an_answer_that_does_not_say(ask, answer):
    """Whether the token is active is said with true or false."""
    with pytest.raises(ProtocolError) as caught:
        ask(answer)
    assert (caught.value.endpoint, caught.value.status) == (ENDPOINT, 200)


def test_a_refusal_as_plain_text(ask):
    """The SMART launcher refuses in plain text."""
    with pytest.raises(OAuthError) as caught:
        ask(Response(status=401, headers=Headers(), body=b"Authorization is required"))
    assert (caught.value.status, caught.value.error) == (401, None)
    assert caught.value.description == "Authorization is required"
    assert "introspection" in caught.value.message


def test_a_refusal_does_not_repeat_the_token(ask):
    """Servers quote what they were sent; the error does not."""
    with pytest.raises(OAuthError) as caught:
        ask({"error": "invalid_token", "error_description": "Bad opaque-7Fq2-access!"}, 401)
    assert caught.value.description == "Bad <hidden>!"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect(ask, script, json_response, status):
    """Credentials are never sent along; the error names the target's origin."""
    with pytest.raises(ProtocolError, match=r"https://evil\.example; credentials") as caught:
        ask(json_response({}, status, {"Location": "https://evil.example/i?t=1"}))
    assert (caught.value.status, len(script.requests)) == (status, 2)


def test_an_outage(script, state, document, json_response, token):
    """What the transport says reaches the caller as it is: asking again is harmless."""
    down = TransportError("down")
    script.answer(json_response(document), down)
    with pytest.raises(TransportError) as caught:
        script.run(introspect(state, token))
    assert caught.value is down


def test_nobody_is_shown(ask):
    """The repr names neither patient nor user."""
    shown = repr(ask())
    assert not [text for text in ("p-3307", "e-9921", "u-58121", "dr-9") if text in shown]
