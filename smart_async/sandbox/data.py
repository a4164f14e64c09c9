"""
The sandbox's data: charts made from what `people` says, as one would find them in an EHR.

The same data on every start, so that tests and documentation can name an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from smart_async.sandbox.codes import CATEGORIES, SNOMED, Resource, concept
from smart_async.sandbox.people import PATIENTS, PRACTITIONERS, Person
from smart_async.sandbox.vitals import vital_signs

__all__ = ("DEFAULT_USER", "RESOURCE_TYPES", "Resource", "compartment", "synthetic_resources")

RESOURCE_TYPES = ("Patient", "Condition", "Encounter", "MedicationRequest", "Observation", "Practitioner")
"""What the FHIR endpoint serves."""

DEFAULT_USER = "Practitioner/doctor-demo"
"""Who is signed in, unless the sandbox is told otherwise."""

_CHILDRENS_DOCTOR = "Practitioner/paediatrician-pretend"
_CONDITIONS = {
    "asthma": ("195967001", "Asthma"),
    "diabetes": ("44054006", "Type 2 diabetes mellitus"),
    "eczema": ("24079001", "Atopic dermatitis"),
    "fibrillation": ("49436004", "Atrial fibrillation"),
    "hayfever": ("21719001", "Allergic rhinitis due to pollen"),
    "hypertension": ("38341003", "Hypertensive disorder"),
    "kidney": ("709044004", "Chronic kidney disease"),
    "migraine": ("37796009", "Migraine"),
    "obesity": ("414916001", "Obesity"),
    "osteoarthritis": ("396275006", "Osteoarthritis"),
}
_DOSES = {
    "apixaban": "1 tablet of 5 mg twice a day",
    "atorvastatin": "1 tablet of 20 mg in the evening",
    "bisoprolol": "1 tablet of 2.5 mg in the morning",
    "budesonide": "1 puff of 200 µg twice a day",
    "cetirizine": "5 ml of syrup once a day while pollen flies",
    "hydrocortisone": "a thin layer of 1 % cream once a day",
    "lisinopril": "1 tablet of 10 mg in the morning",
    "metformin": "1 tablet of 500 mg with breakfast and dinner",
    "paracetamol": "1 tablet of 500 mg when needed, at most 6 a day",
    "salbutamol": "1 or 2 puffs of 100 µg when needed",
    "sumatriptan": "1 tablet of 50 mg at the onset of a headache",
}


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
    for identifier, family, given, title in PRACTITIONERS:
        name = {"family": family, "given": [given], **({"prefix": [title]} if title else {})}
        yield {"resourceType": "Practitioner", "id": identifier, "active": True, "name": [name]}
    for number, person in enumerate(PATIENTS, start=1):
        yield from _chart(number, person)


def _chart(number: int, person: Person) -> Iterator[Resource]:
    doctor = _CHILDRENS_DOCTOR if person.child else DEFAULT_USER
    subject = {"reference": f"Patient/patient-{person.key}", "display": f"{person.given} {person.family}"}
    yield {
        "resourceType": "Patient",
        "id": f"patient-{person.key}",
        "active": True,
        "identifier": [{"system": "urn:example:sandbox:record", "value": f"SBX-{number:04}"}],
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "gender": person.gender,
        "birthDate": str(person.born),
        "generalPractitioner": [{"reference": doctor}],
    }
    for index, name in enumerate(person.conditions, start=1):
        yield _condition(person, index, name, subject)
    for index, name in enumerate(person.medications, start=1):
        yield _medication(person, index, name, subject, doctor)
    for visit, day in enumerate(person.visits, start=1):
        yield _encounter(person, visit, day, subject, doctor)
    yield from vital_signs(person, number, subject)


def _condition(person: Person, index: int, name: str, subject: Resource) -> Resource:
    code, display = _CONDITIONS[name]
    noted = str(_visit(person, index))
    return {
        "resourceType": "Condition",
        "id": f"condition-{person.key}-{index}",
        "clinicalStatus": concept(f"{CATEGORIES}/condition-clinical", "active", "Active"),
        "verificationStatus": concept(f"{CATEGORIES}/condition-ver-status", "confirmed", "Confirmed"),
        "category": [concept(f"{CATEGORIES}/condition-category", "problem-list-item", "Problem List Item")],
        "code": concept(SNOMED, code, display),
        "subject": subject,
        "onsetDateTime": noted,
        "recordedDate": noted,
    }


def _medication(person: Person, index: int, name: str, subject: Resource, doctor: str) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "id": f"medication-{person.key}-{index}",
        "status": "active",
        "intent": "order",
        "category": [concept(f"{CATEGORIES}/medicationrequest-category", "community", "Community")],
        "medicationCodeableConcept": {"text": name},
        "subject": subject,
        "encounter": {"reference": f"Encounter/encounter-{person.key}-{index}"},
        "authoredOn": str(_visit(person, index)),
        "requester": {"reference": doctor},
        "dosageInstruction": [{"text": _DOSES[name]}],
    }


def _encounter(person: Person, visit: int, day: date, subject: Resource, doctor: str) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": f"encounter-{person.key}-{visit}",
        "status": "finished",
        "class": {"system": f"{CATEGORIES}/v3-ActCode", "code": "AMB", "display": "ambulatory"},
        "subject": subject,
        "participant": [{"individual": {"reference": doctor}}],
        "period": {"start": f"{day}T09:00:00Z", "end": f"{day}T09:30:00Z"},
    }


def _visit(person: Person, number: int) -> date:
    return person.visits[number - 1]
