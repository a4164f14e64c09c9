"""The invented data holds together."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest

from smart_async.sandbox.data import RESOURCE_TYPES, compartment, synthetic_resources


def test_every_type_has_resources():
    """Each served type has at least one resource, under its own id."""
    resources = synthetic_resources()
    assert tuple(resources) == RESOURCE_TYPES
    for resource_type, entries in resources.items():
        assert entries
        assert all(
            (entry["id"], entry["resourceType"]) == (identifier, resource_type)
            for identifier, entry in entries.items()
        )


def test_references_resolve():
    """Every reference leads to a resource that exists."""
    resources = synthetic_resources()
    for reference in re.findall(r'"reference": "([^"]+)"', json.dumps(resources)):
        resource_type, identifier = reference.split("/")
        assert identifier in resources[resource_type]


def test_ids_are_fhir_ids():
    """Every id is one that FHIR allows."""
    for entries in synthetic_resources().values():
        assert all(re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", identifier) for identifier in entries)


def test_compartments():
    """Everything but a practitioner is about exactly one patient."""
    resources = synthetic_resources()
    about = {kind: {compartment(entry) for entry in entries.values()} for kind, entries in resources.items()}
    assert about.pop("Practitioner") == {None}
    assert all(patients == set(resources["Patient"]) for patients in about.values())


def test_the_same_on_every_start():
    """Two sandboxes have equal data and share none of it."""
    one, other = synthetic_resources(), synthetic_resources()
    assert one == other
    one["Patient"]["patient-amber"]["active"] = False
    assert other["Patient"]["patient-amber"]["active"] is True


def series(patient, code):
    """Return the values of one code for one patient, by date."""
    return {
        entry["effectiveDateTime"][:10]: entry
        for entry in synthetic_resources()["Observation"].values()
        if compartment(entry) == patient and entry["code"]["coding"][0]["code"] == code
    }


@pytest.mark.parametrize("code", ["8302-2", "29463-7", "8867-4", "85354-9"])
def test_every_patient_has_a_course(code):
    """Height, weight, heart rate and blood pressure of every patient span years, in order of their dates."""
    for patient in synthetic_resources()["Patient"]:
        days = list(series(patient, code))
        assert days == sorted(days)
        assert (date.fromisoformat(days[-1]) - date.fromisoformat(days[0])).days > 3 * 365


@pytest.mark.parametrize("patient", ["patient-fable", "patient-harper"])
def test_children_grow(patient):
    """From visit to visit a child is taller and heavier, and was born before the first."""
    born = synthetic_resources()["Patient"][patient]["birthDate"]
    for code in ("8302-2", "29463-7", "9843-4"):
        courses = series(patient, code)
        values = [entry["valueQuantity"]["value"] for entry in courses.values()]
        assert values == sorted(values)
        assert born < min(courses)


def test_blood_pressure_has_components():
    """A blood pressure is a panel with systolic and diastolic, the former the higher."""
    for entry in series("patient-amber", "85354-9").values():
        systolic, diastolic = (part["valueQuantity"]["value"] for part in entry["component"])
        assert "valueQuantity" not in entry
        assert 80 < diastolic + 20 < systolic < 180


def test_medications_say_how_to_take_them():
    """Each order has a dosage in words."""
    orders = synthetic_resources()["MedicationRequest"].values()
    assert all(order["dosageInstruction"][0]["text"] for order in orders)
