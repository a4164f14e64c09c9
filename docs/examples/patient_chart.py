"""What the chart page shows: read from the FHIR server, and put into plain values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx

from smart_async import Scopes, fhir_pages

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a list: what, more about it, and since when."""

    name: str
    detail: str = ""
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured value."""

    code: str
    name: str
    value: float
    unit: str
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientChart:
    """A patient's chart. A list is None where the user did not share that kind of data."""

    name: str
    born: date | None
    gender: str
    record: str
    conditions: list[Entry] | None
    medications: list[Entry] | None
    measurements: list[Measurement] | None

    def latest(self) -> list[Measurement]:
        """Return the newest measurement of each kind, in the order of the server."""
        return list({each.code: each for each in self.measurements or ()}.values())

    def age(self, today: date) -> int | None:
        """Return the patient's age in years."""
        if self.born is None:
            return None
        return today.year - self.born.year - ((today.month, today.day) < (self.born.month, self.born.day))


async def read_chart(http: httpx.AsyncClient, patient: str, scopes: Scopes) -> PatientChart:
    """
    Read a patient's chart.

    Args:
        http: A client that has the FHIR base as its base URL and sends the session's token.
        patient: The id of the patient in context.
        scopes: What was granted. The user may have agreed to less than the app asked for, so what the app
            must not read is not asked for.
    """
    person, conditions, medications, vitals = await asyncio.gather(
        _patient(http, patient, scopes),
        _search(http, "Condition", scopes, patient=patient, _count="50"),
        _search(http, "MedicationRequest", scopes, patient=patient, status="active", _count="50"),
        _search(http, "Observation", scopes, patient=patient, category="vital-signs", _count="100"),
    )
    return PatientChart(
        name=_person_name(person),
        born=_day(person.get("birthDate")),
        gender=person.get("gender", ""),
        record=next((each["value"] for each in person.get("identifier", []) if "value" in each), ""),
        conditions=None if conditions is None else [*map(_condition, conditions)],
        medications=None if medications is None else [*map(_medication, medications)],
        measurements=None if vitals is None else _measurements(vitals),
    )


async def _patient(http: httpx.AsyncClient, patient: str, scopes: Scopes) -> Resource:
    if not scopes.covers("patient/Patient.r"):
        return {}
    answer = await http.get(f"Patient/{patient}", headers={"Accept": "application/fhir+json"})
    person: Resource = answer.raise_for_status().json()
    return person


async def _search(
    http: httpx.AsyncClient, kind: str, scopes: Scopes, **parameters: str
) -> list[Resource] | None:
    if not scopes.covers(f"patient/{kind}.rs"):
        return None
    return [
        entry["resource"]
        async for bundle in fhir_pages(http, kind, params=parameters)
        for entry in bundle.get("entry", [])
        if entry.get("resource", {}).get("resourceType") == kind  # an OperationOutcome may stand among them
    ]


def _person_name(person: Resource) -> str:
    for name in person.get("name", []):
        if "text" in name:
            return str(name["text"])
        return " ".join([*name.get("given", []), name.get("family", "")]).strip()
    return ""


def _condition(resource: Resource) -> Entry:
    status = _text(resource.get("clinicalStatus", {})).lower()
    return Entry(name=_text(resource.get("code", {})), detail=status, day=_day(resource.get("onsetDateTime")))


def _medication(resource: Resource) -> Entry:
    doses = [each["text"] for each in resource.get("dosageInstruction", []) if "text" in each]
    name = _text(resource.get("medicationCodeableConcept", {}))
    return Entry(
        name=name[:1].upper() + name[1:], detail="; ".join(doses), day=_day(resource.get("authoredOn"))
    )


def _measurements(resources: Iterable[Resource]) -> list[Measurement]:
    found = [
        Measurement(
            code=_code(part.get("code", {})),
            name=_text(part.get("code", {})),
            value=float(part["valueQuantity"]["value"]),
            unit=_UNITS.get(part["valueQuantity"].get("unit", ""), part["valueQuantity"].get("unit", "")),
            day=day,
        )
        for resource in resources
        if (day := _day(resource.get("effectiveDateTime"))) is not None
        for part in [resource, *resource.get("component", [])]
        if "value" in part.get("valueQuantity", {})
    ]
    return sorted(found, key=lambda each: each.day)


_UNITS = {"Cel": "°C", "kg/m2": "kg/m²", "beats/minute": "/min", "breaths/minute": "/min"}
"""How units are shown that stand for machines in the record."""


def _text(concept: Resource) -> str:
    coded = next((each["display"] for each in concept.get("coding", []) if "display" in each), "")
    return str(concept.get("text") or coded or "Without a name")


def _code(concept: Resource) -> str:
    return next((str(each["code"]) for each in concept.get("coding", []) if "code" in each), _text(concept))


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:  # FHIR allows a year or a month alone
        return None
