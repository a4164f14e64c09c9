"""Backend Services: a token for the client itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smart_async import ConfigurationError, OAuthError, Scopes, Secret, TokenResponseError, TransportError
from smart_async.flow import Now, Send, Sign
from smart_async.keys.base64url import b64url_decode
from smart_async.smart.backend import DEFAULT_SCOPE, backend_token

ANSWER = {"access_token": "be-91c0", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs"}


@pytest.fixture
def run(script, state, document, json_response):
    """Asks for a backend token and answers with *answer*."""

    def fetch(answer=ANSWER, status=200, **arguments):
        script.answer(json_response(document), json_response(answer, status))
        return script.run(backend_token(state, **arguments))

    return fetch


@pytest.mark.rule("BS-02", "BS-03", "TK-06", "TK-10", "AS-11")
def test_the_request_has_exactly_four_fields(run, script, form_of):
    """Grant type, scope and the assertion pair; no client_id, no aud, no header."""
    token = run()
    assert script.kinds == [Now, Send, Now, Sign, Send]
    request = script.requests[1]
    form = form_of(request)
    assertion = form.pop("client_assertion")
    assert form == {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert "authorization" not in request.headers
    assert json.loads(b64url_decode(assertion.split(".")[1]))["aud"] == request.url
    assert (token.access_token, token.refresh_token, token.findings) == (Secret("be-91c0"), None, ())


@pytest.mark.rule("BS-01")
def test_default_scope():
    """Reading and searching everything is what a backend asks for unless told otherwise."""
    assert DEFAULT_SCOPE == "system/*.rs"


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        ("system/Observation.rs system/Patient.rs", "system/Observation.rs system/Patient.rs"),
        (Scopes("system/Group.read"), "system/Group.read"),
        (["system/Patient.rs", "system/Group.rs"], "system/Patient.rs system/Group.rs"),
        ("clientCreds", "clientCreds"),
        ("https://ws-fhir.example/.default", "https://ws-fhir.example/.default"),
    ],
)
def test_scopes_are_sent_as_they_are(run, script, form_of, scope, sent):
    """Any scope can be asked for, as text, as `Scopes` or one by one."""
    run(scope=scope)
    assert form_of(script.requests[1])["scope"] == sent


@pytest.mark.parametrize("scope", ["", "   ", [], 'system/"', "système"])
def test_no_scope_is_refused_before_anything(script, state, scope):
    """Without a usable scope nothing is sent."""
    with pytest.raises(ConfigurationError) as caught:
        script.run(backend_token(state, scope=scope))
    assert (caught.value.field, script.steps) == ("scope", [])


@pytest.mark.rule("BS-04", "BS-05")
@pytest.mark.parametrize(
    ("scope", "noted"),
    [("user/*.rs", True), ("patient/Patient.rs system/*.rs", True), ("system/*.rs", False), ("fhir", False)],
)
def test_other_levels_are_sent_and_noted(run, scope, noted):
    """user/ and patient/ scopes need an agreement with the server; the finding says so."""
    token = run(scope=scope)
    assert ("BS-04" in [finding.rule for finding in token.findings]) is noted


@pytest.mark.rule("BS-08")
def test_a_refresh_token_is_ignored(run):
    """A backend asks again with a new assertion; a refresh token would only lie around."""
    token = run({**ANSWER, "refresh_token": "r-1"})
    assert token.refresh_token is None
    assert [finding.rule for finding in token.findings] == ["BS-08"]


@pytest.mark.rule("BS-07")
def test_long_lifetimes_are_accepted(run, script):
    """The specification recommends 300 seconds, its own sample shows 3600."""
    assert run({**ANSWER, "expires_in": 3600}).expires_at == script.wall + 3600


@pytest.mark.rule("BS-13")
def test_a_narrower_grant_is_shown(run):
    """What was granted is what the token says, not what was asked for."""
    assert str(run({**ANSWER, "scope": "system/Patient.r"}).scopes) == "system/Patient.r"


@pytest.mark.rule("BS-06")
@pytest.mark.parametrize(
    ("member", "noted"), [("expires_in", ["TK-15"]), ("scope", ["TK-13"]), ("token_type", ["TK-13"])]
)
def test_missing_members_are_noted(run, member, noted):
    """Members that the specification demands are found missing; the token is used all the same."""
    token = run({name: value for name, value in ANSWER.items() if name != member})
    assert [finding.rule for finding in token.findings] == noted


@pytest.mark.rule("BS-06")
def test_a_missing_token_is_an_error(run):
    """Without an access token there is nothing to use."""
    with pytest.raises(TokenResponseError):
        run({"token_type": "bearer"})


@pytest.mark.rule("BS-11")
def test_a_sparse_server_suffices(script, state, json_response):
    """A document with a token endpoint alone, and no redirect URI, is all that a backend needs."""
    state.config = replace(state.config, redirect_uri=None)
    script.answer(json_response({"token_endpoint": "oauth2/token"}), json_response(ANSWER))
    token = script.run(backend_token(state))
    assert script.requests[1].url == "https://ehr.example.com/oauth2/token"
    assert token.binding.token_endpoint == "https://ehr.example.com/oauth2/token"


@pytest.mark.rule("BS-09", "AS-10")
def test_asking_again_makes_a_new_assertion(run, script, state, json_response, form_of):
    """The second request differs in `jti`, and discovery is remembered."""
    run()
    script.answer(json_response(ANSWER)).run(backend_token(state))
    first, second = (form_of(request)["client_assertion"] for request in script.requests[1:])
    jtis = [json.loads(b64url_decode(one.split(".")[1]))["jti"] for one in (first, second)]
    assert jtis[0] != jtis[1]


@pytest.mark.rule("AS-20")
def test_a_refusal(run):
    """`invalid_client` with a null description is typed, with what to check."""
    with pytest.raises(OAuthError) as caught:
        run({"error": "invalid_client", "error_description": None}, 401)
    assert (caught.value.error, caught.value.description, caught.value.status) == (
        "invalid_client",
        None,
        401,
    )


def test_a_lost_answer_may_be_repeated(script, state, document, json_response):
    """client_credentials can be asked for twice, so a lost answer is a plain transport error."""
    script.answer(json_response(document), TransportError("Reset.", sent=None))
    with pytest.raises(TransportError) as caught:
        script.run(backend_token(state))
    assert type(caught.value) is TransportError
    assert script.requests[1].fresh is False
