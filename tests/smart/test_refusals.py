"""What a FHIR server means when it refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from smart_async import OAuthError, Scopes, Secret, Token
from smart_async.messages import Headers, Response
from smart_async.smart.refusals import parse_refusal, refuse_insufficient_scope, shown_url
from smart_async.smart.token_response import parse_token_response

URL = "https://ehr.example.com/r4/Task?owner=Smith"


@dataclass(frozen=True)
class Foreign:
    """A token of somebody's own, which knows no scopes."""

    access_token: Secret


@pytest.fixture
def token(token_document: Any, json_response: Any, binding: Any) -> Callable[[str], Token]:
    made = parse_token_response(json_response(token_document), binding=binding, requested_scope="")
    return lambda scope: replace(made, scopes=Scopes.parse(scope))


def refused(challenge: str | None, token: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        refuse_insufficient_scope(challenge, token, url=URL, status=403)
    return caught.value


def challenge(scope: str) -> str:
    return f'Bearer realm="x", error="insufficient_scope", error_description="no", scope="{scope}"'


@pytest.mark.parametrize(
    ("granted", "needed", "missing"),
    [
        ("patient/Task.rs", "patient/Task.cud", "patient/Task.cud"),
        ("patient/Task.rs openid", "patient/Task.rs patient/Task.c", "patient/Task.c"),
        ("patient/*.read", "patient/Task.rs user/Task.r", "user/Task.r"),
        ("patient/Task.cruds", "patient/Task.r", "patient/Task.r"),
        ("", "whatever:it-is", "whatever:it-is"),
        ("patient/Task.rs", "\u00fcber", "\u00fcber"),
    ],
)
def test_the_missing_scope_is_named(
    token: Callable[[str], Token], granted: str, needed: str, missing: str
) -> None:
    """What was granted already is not missing; where we count otherwise, the server's words stand."""
    error = refused(challenge(needed), token(granted))
    assert f"Missing: {missing}. Granted: {granted or 'nothing'}." in error.message
    assert (error.scope, error.error, error.status) == (needed, "insufficient_scope", 403)
    assert (error.description, error.endpoint) == ("no", URL.partition("?")[0])
    assert "Smith" not in str(error)


def test_a_server_that_does_not_say(token: Callable[[str], Token]) -> None:
    """Then the message says so."""
    error = refused("Bearer error=insufficient_scope", token("openid"))
    assert "does not say which" in str(error)
    assert (error.scope, error.description) == (None, None)


def test_a_token_that_does_not_say() -> None:
    """Without known scopes the server's list is all there is."""
    error = refused(challenge("patient/Task.c"), Foreign(Secret("x")))
    assert "Missing: patient/Task.c." in error.message
    assert "Granted" not in str(error)


def test_text_is_cleaned_and_cut(token: Callable[[str], Token]) -> None:
    """A server's text cannot fill a log or drive a terminal."""
    error = refused(challenge("x" * 2000 + "\u202e"), token("openid"))
    assert len(str(error)) < 1200
    assert error.scope is not None
    assert "\u202e" not in error.scope


def test_it_survives_pickle(token: Callable[[str], Token]) -> None:
    """As every error does, the scope with it."""
    error = pickle.loads(pickle.dumps(refused(challenge("a/b.c"), token("openid"))))
    assert (error.scope, error.error) == ("a/b.c", "insufficient_scope")


@pytest.mark.parametrize(
    "said", [None, "", "Bearer", 'Bearer error="invalid_token"', 'DPoP error="insufficient_scope"']
)
def test_anything_else_is_no_error(token: Callable[[str], Token], said: str | None) -> None:
    """Only the Bearer scheme's own code counts."""
    assert refuse_insufficient_scope(said, token("openid"), url=URL, status=403) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://ehr.example.com/r4/Task"),
        ("https://ehr.example.com/r4/Patient/p-1/_history/2?x#y", "https://ehr.example.com/r4/Patient/…"),
        ("https://ehr.example.com/r4#x", "https://ehr.example.com/r4"),
        ("https://ehr.example.com/R4/metadata", "https://ehr.example.com/R4/metadata"),
    ],
)
def test_no_id_is_shown(url: str, shown: str) -> None:
    """Neither the query nor the id of a resource is in an error."""
    assert shown_url(url) == shown


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 429, 500, 503])
def test_an_answer_that_says_no(status: int) -> None:
    """Status, the server's words and the time to wait reach the caller, with advice that fits."""
    body = b'{"resourceType": "OperationOutcome", "issue": [{"diagnostics": "Search expired"}]}'
    response = Response(status=status, body=body, url=URL, headers=Headers({"Retry-After": "7"}))
    error = parse_refusal(response)
    assert (error.status, error.description, error.retry_after) == (status, "Search expired", 7.0)
    assert error.endpoint == "https://ehr.example.com/r4/Task"
    assert "endpoint's URL" not in str(error) or status == 422


def test_an_oauth_code_keeps_its_advice() -> None:
    """A server that answers in OAuth's words is taken at them."""
    error = parse_refusal(Response(status=401, body=b'{"error": "invalid_token"}', url=URL))
    assert error.error == "invalid_token"
    assert error.advice == "The access token is expired, revoked or not meant for this; get a new one."
