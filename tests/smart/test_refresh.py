"""Refreshing: what is sent, to whom, and what becomes of the old token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import (
    ConfigurationError,
    ContextChangedError,
    EndpointChangedError,
    OAuthError,
    OutcomeUnknownError,
    Scopes,
    Secret,
    Token,
    TransportError,
)
from smart_async.flow import Now, Send, Sign
from smart_async.smart.refresh import narrowed_scope, refresh
from smart_async.smart.token_response import parse_token_response

ANSWER = {"access_token": "at-2", "token_type": "bearer", "expires_in": 1800, "scope": "patient/*.rs"}


@pytest.fixture
def token(token_document, json_response, binding) -> Token:
    """The token of a finished login."""
    return parse_token_response(json_response(token_document), binding=binding, requested_scope="")


@pytest.mark.rule("RF-01", "RF-03", "TK-06", "TK-10")
def test_the_request(script, state, token, document, json_response, form_of):
    """Discovery, then one form with the refresh token and a fresh assertion, on a fresh connection."""
    script.answer(json_response(document), json_response(ANSWER))
    new = script.run(refresh(state, token))
    assert script.kinds == [Now, Send, Now, Sign, Send]
    request = script.requests[1]
    form = form_of(request)
    assert form.pop("client_assertion").count(".") == 2
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": "r-2c44-refresh",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    assert "authorization" not in request.headers
    assert (request.url, request.fresh) == ("https://sso.example.com/oauth2/token", True)
    assert new.access_token == Secret("at-2")


@pytest.mark.rule("RF-05", "RF-07", "RF-09")
def test_rotation_and_what_is_kept(script, state, token, document, json_response, form_of):
    """A new refresh token takes the place of the old one; without one, and for all context, the old stays."""
    script.answer(json_response(document), json_response({**ANSWER, "refresh_token": "r-3"}))
    second = script.run(refresh(state, token))
    assert (second.refresh_token, second.context) == (Secret("r-3"), token.context)
    assert second.launch_scopes == token.launch_scopes
    script.answer(json_response(ANSWER), json_response(ANSWER))
    third = script.run(refresh(state, second))
    assert third.refresh_token == Secret("r-3")
    script.run(refresh(state, third))
    assert form_of(script.requests[-1])["refresh_token"] == "r-3"


@pytest.mark.rule("RF-02")
def test_a_narrower_scope_is_sent(script, state, token, document, json_response, form_of):
    """Less than was granted may be asked for, and is what an answer without scope is taken to mean."""
    answer = {name: value for name, value in ANSWER.items() if name != "scope"}
    script.answer(json_response(document), json_response(answer))
    new = script.run(refresh(state, token, scope="patient/Patient.rs"))
    assert form_of(script.requests[1])["scope"] == "patient/Patient.rs"
    assert (str(new.scopes), new.launch_scopes) == ("patient/Patient.rs", token.launch_scopes)
    assert "RF-08" in [finding.rule for finding in new.findings]


def test_without_a_scope_all_that_was_granted_comes_back(script, state, token, document, json_response):
    """After a narrowed token, a refresh without scope stands for everything granted at launch."""
    narrowed = replace(token, scopes=Scopes("patient/Patient.rs"))
    answer = {name: value for name, value in ANSWER.items() if name != "scope"}
    script.answer(json_response(document), json_response(answer))
    assert script.run(refresh(state, narrowed)).scopes == token.launch_scopes


@pytest.mark.rule("RF-02")
@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        (None, None),
        ("openid fhirUser launch/patient patient/*.rs offline_access", None),
        ("offline_access patient/*.rs launch/patient fhirUser openid", None),
        ("openid fhirUser launch/patient patient/*.read offline_access", None),
        ("patient/*.rs", "patient/*.rs"),
        ("patient/Observation.rs?category=laboratory", "patient/Observation.rs?category=laboratory"),
        (Scopes("patient/Patient.r"), "patient/Patient.r"),
        (["patient/Patient.r", "openid"], "patient/Patient.r openid"),
    ],
)
def test_scope_is_a_strict_subset_or_left_out(token, scope, sent):
    """The full grant is asked for by saying nothing; only a strict subset is ever sent."""
    assert narrowed_scope(token, scope) == sent


@pytest.mark.rule("RF-02")
@pytest.mark.parametrize("scope", ["patient/*.cruds", "user/*.rs", "openid system/*.rs", "fhir", "launch"])
def test_more_scope_is_refused_here(script, state, token, scope):
    """A refresh cannot widen the grant, so nothing is sent."""
    with pytest.raises(ConfigurationError) as caught:
        script.run(refresh(state, token, scope=scope))
    assert (script.steps, caught.value.field) == ([], "scope")
    assert scope.split(" ")[-1] in caught.value.message


@pytest.mark.parametrize("scope", ["", "  ", 'a"b', "a\nb"])
def test_no_scope_and_no_scopes(script, state, token, scope):
    """An empty scope is a mistake, and so is text that is none."""
    with pytest.raises(ConfigurationError):
        script.run(refresh(state, token, scope=scope))
    assert script.steps == []


def test_a_token_without_refresh_token(script, state, token):
    """Without a refresh token there is nothing to send; the advice names the scope to ask for."""
    with pytest.raises(ConfigurationError, match="offline_access"):
        script.run(refresh(state, replace(token, refresh_token=None)))
    assert script.steps == []


@pytest.mark.parametrize("thing", [None, "{}", Secret("r")])
def test_what_is_no_token(script, state, thing):
    """Stored JSON is not a token yet; the advice says how it becomes one."""
    with pytest.raises(ConfigurationError, match=r"Token\.from_json"):
        script.run(refresh(state, thing))


@pytest.mark.rule("RF-12")
@pytest.mark.parametrize(
    ("member", "value"), [("client_id", "other-app"), ("fhir_base", "https://ehr.example.com/r5")]
)
def test_a_token_of_another_registration(script, state, token, member, value):
    """A refresh token is bound to its client and server; nothing is sent for another one."""
    other = replace(token, binding=replace(token.binding, **{member: value}))
    with pytest.raises(ConfigurationError, match="belongs to client"):
        script.run(refresh(state, other))
    assert script.steps == []


@pytest.mark.parametrize(
    "moved",
    [
        {"token_endpoint": "https://evil.example/oauth2/token"},
        {"token_endpoint": "https://sso.example.com:8443/oauth2/token"},
        {"token_endpoint": "https://sso.example.com.evil.example/token"},
        {"issuer": "https://evil.example"},
    ],
)
def test_nothing_goes_to_a_server_that_moved(script, state, token, document, json_response, moved):
    """Where discovery now names another origin, the refresh token stays here."""
    script.answer(json_response({**document, **moved}))
    with pytest.raises(EndpointChangedError, match="Nothing was sent") as caught:
        script.run(refresh(state, token))
    assert len(script.requests) == 1
    assert "trusted_origins" in caught.value.advice
    assert "r-2c44" not in str(caught.value)


def test_a_server_may_move_to_a_trusted_origin(script, state, token, document, json_response):
    """An origin in `trusted_origins` gets the refresh token, and the new token belongs there."""
    state.config = replace(state.config, trusted_origins=("https://new.example",))
    moved = {"token_endpoint": "https://new.example/token", "issuer": "https://new.example"}
    script.answer(json_response({**document, **moved}), json_response(ANSWER))
    new = script.run(refresh(state, token))
    assert script.requests[1].url == "https://new.example/token"
    assert new.binding.token_endpoint == "https://new.example/token"


def test_another_path_on_the_same_server_is_no_move(script, state, token, document, json_response):
    """Servers rename their endpoints; the origin is what counts."""
    script.answer(
        json_response({**document, "token_endpoint": "https://sso.example.com/v2/token"}),
        json_response(ANSWER),
    )
    script.run(refresh(state, token))
    assert script.requests[1].url == "https://sso.example.com/v2/token"


@pytest.mark.rule("RF-10")
def test_a_spent_refresh_token(script, state, token, document, json_response):
    """`invalid_grant` reaches the caller with the advice to sign in again; the old token is untouched."""
    script.answer(
        json_response(document),
        json_response({"error": "invalid_grant", "error_description": "r-2c44-refresh is unknown"}, 400),
    )
    with pytest.raises(OAuthError) as caught:
        script.run(refresh(state, token))
    assert (caught.value.error, caught.value.description) == ("invalid_grant", "<hidden> is unknown")
    assert "new login" in caught.value.advice
    assert token.refresh_token == Secret("r-2c44-refresh")


@pytest.mark.rule("RF-06")
def test_an_unknown_outcome_is_not_repeated(script, state, token, document, json_response):
    """A refresh token is sent once; a lost answer is an error of its own kind."""
    script.answer(json_response(document), TransportError("Reset.", sent=None))
    with pytest.raises(OutcomeUnknownError):
        script.run(refresh(state, token))
    script.finished()


def test_a_request_that_never_left(script, state, token, document, json_response):
    """A refused connection is told apart: trying again is safe."""
    script.answer(json_response(document), TransportError("Refused.", sent=False))
    with pytest.raises(TransportError) as caught:
        script.run(refresh(state, token))
    assert (type(caught.value), caught.value.sent) == (TransportError, False)


def test_another_patient(script, state, token, document, json_response):
    """A refresh for another patient is loud, and the new token is handed over on the error."""
    script.answer(
        json_response(document), json_response({**ANSWER, "patient": "p-9", "refresh_token": "r-3"})
    )
    with pytest.raises(ContextChangedError) as caught:
        script.run(refresh(state, token))
    assert caught.value.token.refresh_token == Secret("r-3")
    assert caught.value.token.context.patient == "p-9"
