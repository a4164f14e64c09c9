"""What a token says when fewer scopes were granted than asked for."""

from __future__ import annotations

import pytest

from smart_async.messages import Finding
from smart_async.smart.backend import backend_token
from smart_async.smart.refresh import refresh
from smart_async.smart.token_response import parse_token_response

ANSWER = {"access_token": "a", "token_type": "Bearer", "expires_in": 60}


def less(token) -> list[Finding]:
    return [finding for finding in token.findings if finding.rule == "TK-16"]


@pytest.mark.rule("TK-16")
@pytest.mark.parametrize(
    ("granted", "more", "missing"),
    [
        ("openid patient/Task.cruds offline_access", {}, None),
        ("offline_access  patient/Task.rs patient/Task.cud OpenID ", {}, None),
        ("openid patient/*.cruds", {"refresh_token": "r"}, None),
        ("openid patient/*.cruds", {}, "offline_access"),
        ("openid patient/Task.rs offline_access", {}, "patient/Task.cruds"),
        ("patient/Patient.rs", {}, "openid offline_access patient/Task.cruds"),
        ("", {}, "openid patient/Task.cruds offline_access"),
    ],
)
def test_less_than_asked_for_is_worth_knowing(granted, more, missing, binding, json_response):
    """A finding names each scope that is not covered; another spelling or more than asked is none."""
    answer = ANSWER | more | {"scope": granted, "patient": "p"}
    asked = "openid patient/Task.cruds offline_access"
    token = parse_token_response(json_response(answer), binding=binding, requested_scope=asked)
    found = [
        (f.severity, set(f.message.removesuffix(".").split(": ")[1].split()), "covers()" in f.advice)
        for f in less(token)
    ]
    assert found == ([("info", set(missing.split()), True)] if missing else [])


@pytest.mark.rule("TK-16")
@pytest.mark.parametrize(("patient", "count"), [("p", 0), (None, 1)])
def test_a_patient_answers_launch_patient(patient, count, binding, json_response):
    """Servers that name a patient often leave launch/patient out of the scopes."""
    answer = ANSWER | {"scope": "openid", "patient": patient}
    token = parse_token_response(
        json_response(answer), binding=binding, requested_scope="openid launch/patient"
    )
    assert len(less(token)) == count


@pytest.mark.rule("TK-16", "BS-13")
def test_a_backend_token_says_so_too(script, state, document, json_response):
    """The registration may permit less than the job asks for."""
    script.answer(json_response(document), json_response(ANSWER | {"scope": "system/Patient.rs"}))
    token = script.run(backend_token(state, scope="system/Patient.rs system/Task.rs"))
    assert [finding.message for finding in less(token)] == [
        "Less was granted than asked for: system/Task.rs."
    ]


@pytest.mark.rule("TK-16")
@pytest.mark.parametrize(
    ("scope", "granted", "count"),
    [
        (None, "patient/*.rs", 0),
        (None, "patient/Patient.rs", 1),
        ("patient/Patient.rs", "patient/Patient.rs", 0),
        ("patient/Patient.rs patient/Task.rs", "patient/Patient.rs", 1),
    ],
)
def test_a_refresh_is_compared_with_what_it_asked_for(
    scope, granted, count, script, state, document, json_response, token_document, binding
):
    """A refresh may ask for less, and names like openid come and go; only data that is missing counts."""
    first = token_document | {"scope": "openid patient/*.rs offline_access"}
    token = parse_token_response(json_response(first), binding=binding, requested_scope="")
    script.answer(json_response(document), json_response(ANSWER | {"scope": granted}))
    assert len(less(script.run(refresh(state, token, scope=scope)))) == count
