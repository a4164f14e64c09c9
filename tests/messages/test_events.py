"""Events: what happened, as one line, and never who it was about."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from smart_async.messages import Event

EVENT = Event(name="retry", fhir_base="https://ehr.example.com/r4", client_id="growth-chart")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "retry growth-chart at https://ehr.example.com/r4"),
        ({"attempt": 2}, "retry growth-chart at https://ehr.example.com/r4, attempt 2"),
        ({"seconds": 0.25}, "retry growth-chart at https://ehr.example.com/r4, 0.250 s"),
        (
            {
                "name": "token.refresh.fail",
                "status": 400,
                "error": "invalid_grant",
                "seconds": 1,
                "attempt": 3,
            },
            "token.refresh.fail growth-chart at https://ehr.example.com/r4, attempt 3, invalid_grant, "
            "status 400, 1.000 s",
        ),
    ],
)
def test_one_line(changes, line):
    """An event reads as one line; what there was not is left out."""
    assert str(replace(EVENT, **changes)) == line


def test_there_is_no_place_for_a_secret():
    """No member could hold a token, a subject or a patient."""
    names = [field.name for field in fields(Event)]
    assert names == ["name", "fhir_base", "client_id", "attempt", "seconds", "status", "error"]
