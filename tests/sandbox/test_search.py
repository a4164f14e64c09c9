"""Search parameters, on the sandbox's own data."""

from __future__ import annotations

import pytest

from smart_async.sandbox.data import synthetic_resources
from smart_async.sandbox.search import matches


@pytest.mark.parametrize(
    ("resource_type", "wanted", "found"),
    [
        ("Patient", {"_id": "patient-amber"}, 1),
        ("Patient", {"_id": "patient-amber,patient-basil"}, 2),
        ("Patient", {"gender": "female"}, 4),
        ("Patient", {"family": "mock"}, 1),
        ("Patient", {"family": "clover"}, 0),
        ("Patient", {"given": "Clover"}, 1),
        ("Patient", {"name": "clo"}, 1),
        ("Condition", {"patient": "patient-amber"}, 2),
        ("Condition", {"subject": "Patient/patient-amber"}, 2),
        ("Condition", {"clinical-status": "active", "code": "195967001"}, 2),
        ("Condition", {"code": "http://loinc.org|195967001"}, 0),
        ("Condition", {"category": "problem-list-item"}, 14),
        ("Encounter", {"status": "finished", "patient": "patient-basil"}, 7),
        ("Encounter", {"category": "x"}, 0),
        ("Observation", {"encounter": "encounter-basil-2"}, 7),
        ("Observation", {"code": "http://loinc.org|8867-4", "patient": "patient-basil"}, 7),
        ("Observation", {"code": "8867-4,8310-5", "patient": "patient-basil"}, 14),
        ("Practitioner", {"patient": "patient-amber"}, 0),
        ("Practitioner", {"name": "Demo"}, 1),
    ],
)
def test_matches(resource_type, wanted, found):
    """All parameters must fit; commas separate alternatives."""
    resources = synthetic_resources()[resource_type].values()
    assert sum(matches(resource, wanted.items()) for resource in resources) == found


def test_encoded_values():
    """Values within a scope are percent-encoded."""
    resource = synthetic_resources()["Observation"]["observation-amber-1-1"]
    wanted = [("code", "http%3A%2F%2Floinc.org%7C8867-4")]
    assert (matches(resource, wanted, encoded=True), matches(resource, wanted)) == (True, False)
