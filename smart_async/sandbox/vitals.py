"""
Vital signs over the years: a course that a chart can show, the same on every start.

The figures look like those of a person, with a little unrest from visit to visit, and mean nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from smart_async.sandbox.codes import CATEGORIES, LOINC, Resource, concept, quantity
from smart_async.sandbox.people import Person

__all__ = ("vital_signs",)

_GROWTH = (
    (0, 50.0, 3.4, 34.5), (6, 67.0, 7.7, 43.0), (12, 75.5, 9.4, 46.0), (24, 87.5, 12.0, 48.0),
    (36, 96.0, 14.2, 49.3), (48, 103.0, 16.2, 50.0), (60, 109.5, 18.3, 50.6), (72, 115.5, 20.6, 51.2),
    (84, 121.5, 23.0, 51.7), (96, 127.0, 25.6, 52.1), (108, 132.5, 28.5, 52.5), (120, 138.0, 32.0, 52.9),
)  # fmt: skip
"""About how children grow: months, centimetres, kilograms, and the head's circumference in centimetres."""

_HEAD_MONTHS = 36


class _Sign(NamedTuple):
    code: str
    display: str
    unit: str
    ucum: str
    value: float


def vital_signs(person: Person, number: int, subject: Resource) -> Iterator[Resource]:
    """
    Yield the observations of all visits of *person*, visit by visit.

    Args:
        person: The patient.
        number: A number of their own, which sets their unrest apart from that of others.
        subject: The reference to them.
    """
    for visit, day in enumerate(person.visits, start=1):
        signs = [*_signs(person, number, visit, day)]
        for index, sign in enumerate(signs, start=1):
            observation = _observation(person, visit, index, sign.code, sign.display, subject, day)
            observation["valueQuantity"] = quantity(round(sign.value, 1), sign.unit, sign.ucum)
            yield observation
        yield _pressure(person, number, visit, len(signs) + 1, subject, day)


def _signs(person: Person, number: int, visit: int, day: date) -> Iterator[_Sign]:
    months = person.months(day)
    height, weight, head = _size(person, number, visit, months)
    beats = 70.0 if not person.child else 132 - 40 * min(months, 96) / 96
    breaths = 14.0 if not person.child else 38 - 18 * min(months, 96) / 96
    yield _Sign("8867-4", "Heart rate", "beats/minute", "/min", round(beats + 5 * _unrest(number, visit, 1)))
    yield _Sign(
        "9279-1",
        "Respiratory rate",
        "breaths/minute",
        "/min",
        round(breaths + 1.5 * _unrest(number, visit, 2)),
    )
    yield _Sign("8310-5", "Body temperature", "Cel", "Cel", 36.7 + 0.3 * _unrest(number, visit, 3))
    yield _Sign("8302-2", "Body height", "cm", "cm", height)
    yield _Sign("29463-7", "Body weight", "kg", "kg", weight)
    yield _Sign("39156-5", "Body mass index", "kg/m2", "kg/m2", weight / (height / 100) ** 2)
    if person.child and months <= _HEAD_MONTHS:
        yield _Sign("9843-4", "Head circumference", "cm", "cm", head)


def _size(person: Person, number: int, visit: int, months: float) -> tuple[float, float, float]:
    unrest = _unrest(number, visit, 4)
    if not person.child:
        return person.height, person.weight + person.gain * (visit - 1) + 0.8 * unrest, 0.0
    height, weight, head = _average(months)
    part = min(months, 60) / 60
    return (
        height + person.height * part + 0.4 * unrest,
        weight + person.weight * part + 0.02 * weight * unrest,
        head + 0.2 * unrest,
    )


def _average(months: float) -> tuple[float, float, float]:
    later = min(max(bisect_right(_GROWTH, months, key=lambda row: row[0]), 1), len(_GROWTH) - 1)
    before, after = _GROWTH[later - 1], _GROWTH[later]
    part = (months - before[0]) / (after[0] - before[0])
    height, weight, head = (
        low + (high - low) * part for low, high in zip(before[1:], after[1:], strict=True)
    )
    return height, weight, head


def _pressure(person: Person, number: int, visit: int, index: int, subject: Resource, day: date) -> Resource:
    growth = 1.0 * (visit - 1) if person.child else -person.settles * (visit - 1)
    systolic = round(person.systolic + growth + 3 * _unrest(number, visit, 5))
    diastolic = round(systolic * 0.62 + 2 * _unrest(number, visit, 6))
    pressure = _observation(
        person, visit, index, "85354-9", "Blood pressure panel with all children optional", subject, day
    )
    pressure["component"] = [
        {"code": concept(LOINC, code, display), "valueQuantity": quantity(amount, "mmHg", "mm[Hg]")}
        for code, display, amount in (
            ("8480-6", "Systolic blood pressure", systolic),
            ("8462-4", "Diastolic blood pressure", diastolic),
        )
    ]
    return pressure


def _observation(
    person: Person, visit: int, index: int, code: str, display: str, subject: Resource, day: date
) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"observation-{person.key}-{visit}-{index}",
        "status": "final",
        "category": [concept(f"{CATEGORIES}/observation-category", "vital-signs", "Vital Signs")],
        "code": concept(LOINC, code, display),
        "subject": subject,
        "encounter": {"reference": f"Encounter/encounter-{person.key}-{visit}"},
        "effectiveDateTime": f"{day}T09:10:00Z",
    }


def _unrest(number: int, visit: int, what: int) -> float:
    # Between -1 and 1, looking random and being the same on every machine to the digits that are shown.
    return math.sin(number * 12.9898 + visit * 78.233 + what * 37.719)
