"""
The sandbox's patients: invented, and named so that nobody takes them for real.

The same data on every start, so that tests and documentation can name an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

__all__ = ("DEFAULT_USER", "RESOURCE_TYPES", "Resource", "compartment", "synthetic_resources")

Resource: TypeAlias = dict[str, Any]
"""A FHIR resource as JSON."""

RESOURCE_TYPES = ("Patient", "Condition", "Encounter", "MedicationRequest", "Observation", "Practitioner")
"""What the FHIR endpoint serves."""

DEFAULT_USER = "Practitioner/doctor-demo"
"""Who is signed in, unless the sandbox is told otherwise."""

_LOINC = "http://loinc.org"
_SNOMED = "http://snomed.info/sct"
_CATEGORIES = "http://terminology.hl7.org/CodeSystem"

_PATIENTS = (
    ("amber", "Sampleton", "Amber", "female", "1958-03-14", "hypertension", "lisinopril"),
    ("basil", "Testwell", "Basil", "male", "1971-11-02", "diabetes", "metformin"),
    ("clover", "Mockingham", "Clover", "female", "1986-07-29", "asthma", "salbutamol"),
    ("dexter", "Fakerson", "Dexter", "male", "1993-01-08", "hypertension", "lisinopril"),
    ("ember", "Placeholder", "Ember", "other", "2004-09-17", "asthma", "salbutamol"),
    ("fable", "Demoville", "Fable", "female", "2016-05-23", "hayfever", "cetirizine"),
)
_PRACTITIONERS = (("doctor-demo", "Demo", "Doctor"), ("nurse-nominal", "Nominal", "Nurse"))
_CONDITIONS = {
    "hypertension": ("38341003", "Hypertensive disorder"),
    "diabetes": ("44054006", "Type 2 diabetes mellitus"),
    "asthma": ("195967001", "Asthma"),
    "hayfever": ("21719001", "Allergic rhinitis due to pollen"),
}
_VITALS = (
    ("8867-4", "Heart rate", "beats/minute", "/min", 64),
    ("9279-1", "Respiratory rate", "breaths/minute", "/min", 14),
    ("8310-5", "Body temperature", "Cel", "Cel", 36.6),
    ("8302-2", "Body height", "cm", "cm", 162),
    ("29463-7", "Body weight", "kg", "kg", 61),
)
_VISITS = ("2024-02-06", "2025-01-21")


def synthetic_resources() -> dict[str, dict[str, Resource]]:
    """Return all resources, by type and id."""
    resources: dict[str, dict[str, Resource]] = {name: {} for name in RESOURCE_TYPES}
    for resource in _everything():
        resources[resource["resourceType"]][resource["id"]] = resource
    return resources


def compartment(resource: Resource) -> str | None:
    """Return the id of the patient whom *resource* is about, or None if it is about nobody."""
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    reference = resource.get("subject", {}).get("reference", "")
    kind, _, identifier = reference.partition("/")
    return identifier if kind == "Patient" else None


def _everything() -> Iterator[Resource]:
    for identifier, family, given in _PRACTITIONERS:
        name = {"family": family, "given": [given]}
        yield {"resourceType": "Practitioner", "id": identifier, "active": True, "name": [name]}
    for number, row in enumerate(_PATIENTS):
        yield from _chart(number, *row)


def _chart(
    number: int, key: str, family: str, given: str, gender: str, born: str, condition: str, drug: str
) -> Iterator[Resource]:
    patient = f"patient-{key}"
    subject = {"reference": f"Patient/{patient}", "display": f"{given} {family}"}
    yield {
        "resourceType": "Patient",
        "id": patient,
        "active": True,
        "identifier": [{"system": "urn:example:sandbox:record", "value": f"SBX-{number + 1:04}"}],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "gender": gender,
        "birthDate": born,
    }
    yield _condition(key, subject, condition)
    yield _medication(key, subject, drug)
    for visit, date in enumerate(_VISITS, start=1):
        yield _encounter(key, subject, visit, date)
        yield from _observations(key, subject, visit, date, number)


def _condition(key: str, subject: Resource, condition: str) -> Resource:
    code, display = _CONDITIONS[condition]
    return {
        "resourceType": "Condition",
        "id": f"condition-{key}-1",
        "clinicalStatus": _concept(f"{_CATEGORIES}/condition-clinical", "active", "Active"),
        "verificationStatus": _concept(f"{_CATEGORIES}/condition-ver-status", "confirmed", "Confirmed"),
        "category": [_concept(f"{_CATEGORIES}/condition-category", "problem-list-item", "Problem List Item")],
        "code": _concept(_SNOMED, code, display),
        "subject": subject,
        "recordedDate": _VISITS[0],
    }


def _medication(key: str, subject: Resource, drug: str) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "id": f"medication-{key}-1",
        "status": "active",
        "intent": "order",
        "category": [_concept(f"{_CATEGORIES}/medicationrequest-category", "community", "Community")],
        "medicationCodeableConcept": {"text": drug},
        "subject": subject,
        "encounter": {"reference": f"Encounter/encounter-{key}-1"},
        "authoredOn": _VISITS[0],
        "requester": {"reference": DEFAULT_USER},
    }


def _encounter(key: str, subject: Resource, visit: int, date: str) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": f"encounter-{key}-{visit}",
        "status": "finished",
        "class": {"system": f"{_CATEGORIES}/v3-ActCode", "code": "AMB", "display": "ambulatory"},
        "subject": subject,
        "participant": [{"individual": {"reference": DEFAULT_USER}}],
        "period": {"start": f"{date}T09:00:00Z", "end": f"{date}T09:30:00Z"},
    }


def _observations(key: str, subject: Resource, visit: int, date: str, number: int) -> Iterator[Resource]:
    for index, (code, display, unit, ucum, value) in enumerate(_VITALS, start=1):
        observation = _vital(f"{key}-{visit}-{index}", code, display, subject, visit, date)
        amount = round(value + (number * 3 + visit) % 7 * value * 0.01, 1)
        observation["valueQuantity"] = _quantity(amount, unit, ucum)
        yield observation
    pressure = _vital(
        f"{key}-{visit}-{len(_VITALS) + 1}", "85354-9", "Blood pressure panel", subject, visit, date
    )
    pressure["component"] = [
        {"code": _concept(_LOINC, code, display), "valueQuantity": _quantity(amount, "mmHg", "mm[Hg]")}
        for code, display, amount in (
            ("8480-6", "Systolic blood pressure", 112 + number * 4 + visit),
            ("8462-4", "Diastolic blood pressure", 70 + number * 2 + visit),
        )
    ]
    yield pressure


def _vital(suffix: str, code: str, display: str, subject: Resource, visit: int, date: str) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"observation-{suffix}",
        "status": "final",
        "category": [_concept(f"{_CATEGORIES}/observation-category", "vital-signs", "Vital Signs")],
        "code": _concept(_LOINC, code, display),
        "subject": subject,
        "encounter": {"reference": f"Encounter/encounter-{suffix.split('-')[0]}-{visit}"},
        "effectiveDateTime": f"{date}T09:10:00Z",
    }


def _concept(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _quantity(value: float, unit: str, ucum: str) -> Resource:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": ucum}
