"""Codes and quantities as FHIR writes them, as far as the sandbox's data needs them."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ("CATEGORIES", "LOINC", "SNOMED", "Resource", "concept", "quantity")

Resource: TypeAlias = dict[str, Any]
"""A FHIR resource, or a part of one, as JSON."""

LOINC = "http://loinc.org"
"""The code system of observations."""

SNOMED = "http://snomed.info/sct"
"""The code system of conditions."""

CATEGORIES = "http://terminology.hl7.org/CodeSystem"
"""Where the code systems of HL7's own begin."""


def concept(system: str, code: str, display: str) -> Resource:
    """Return a CodeableConcept with one coding."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def quantity(value: float, unit: str, ucum: str) -> Resource:
    """Return a Quantity with a UCUM code."""
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": ucum}
