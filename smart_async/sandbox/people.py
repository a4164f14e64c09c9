"""
Who is in the sandbox: invented, and named so that nobody takes them for real.

What happens to them is written here in a few words; `data` and `vitals` make charts of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

__all__ = ("PATIENTS", "PRACTITIONERS", "Person")

PRACTITIONERS = (
    ("doctor-demo", "Demo", "Doctor", "Dr."),
    ("nurse-nominal", "Nominal", "Nurse", ""),
    ("paediatrician-pretend", "Pretend", "Paula", "Dr."),
)
"""Id, family name, given name and title of those who treat."""

_ADULT_VISITS = tuple(
    date.fromisoformat(day)
    for day in (
        "2019-02-12", "2020-01-28", "2021-03-02", "2022-02-08", "2023-01-24", "2024-02-06", "2025-01-21",
    )
)  # fmt: skip
_CHILD_MONTHS = (1, 2, 4, 6, 9, 12, 15, 18, 24, 30, 36, 48, 60, 72, 84, 96, 108)
_LAST_DAY = date(2025, 6, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    One patient.

    Args:
        key: What all their ids are made of: `patient-amber`.
        family: The family name.
        given: The given name.
        gender: FHIR's administrative gender.
        born: The day of birth.
        height: Centimetres as an adult; for a child what is added to an average one.
        weight: Kilograms at the first visit; for a child what is added to an average one.
        gain: Kilograms more at each later visit of an adult.
        systolic: The systolic blood pressure at the first visit.
        settles: How much the systolic pressure falls with each visit, under treatment.
        conditions: Their conditions, by name.
        medications: Their medications, by name.
    """

    key: str
    family: str
    given: str
    gender: str
    born: date
    height: float = 0
    weight: float = 0
    gain: float = 0
    systolic: int = 118
    settles: float = 0
    conditions: tuple[str, ...] = ()
    medications: tuple[str, ...] = ()

    @property
    def child(self) -> bool:
        """Whether they grow up before our eyes."""
        return self.born.year >= 2014

    @property
    def visits(self) -> tuple[date, ...]:
        """The days of their visits, the earliest first."""
        if not self.child:
            return _ADULT_VISITS
        days = (self.born + timedelta(days=round(months * 30.44)) for months in _CHILD_MONTHS)
        return tuple(day for day in days if day <= _LAST_DAY)

    def months(self, day: date) -> float:
        """Return their age on that day, in months."""
        return (day - self.born).days / 30.44


PATIENTS = (
    Person(
        key="amber", family="Sampleton", given="Amber", gender="female", born=date(1958, 3, 14),
        height=163, weight=74, gain=-0.6, systolic=158, settles=3.5,
        conditions=("hypertension", "osteoarthritis"), medications=("lisinopril", "paracetamol"),
    ),
    Person(
        key="basil", family="Testwell", given="Basil", gender="male", born=date(1971, 11, 2),
        height=178, weight=96, gain=-1.1, systolic=142, settles=2,
        conditions=("diabetes", "obesity"), medications=("metformin", "atorvastatin"),
    ),
    Person(
        key="clover", family="Mockingham", given="Clover", gender="female", born=date(1986, 7, 29),
        height=169, weight=62, gain=0.4, systolic=114,
        conditions=("asthma",), medications=("salbutamol", "budesonide"),
    ),
    Person(
        key="dexter", family="Fakerson", given="Dexter", gender="male", born=date(1993, 1, 8),
        height=184, weight=83, gain=0.8, systolic=134, settles=-0.5,
        conditions=("hypertension",), medications=("lisinopril",),
    ),
    Person(
        key="ember", family="Placeholder", given="Ember", gender="other", born=date(2004, 9, 17),
        height=172, weight=58, gain=1.3, systolic=112,
        conditions=("asthma", "hayfever"), medications=("salbutamol",),
    ),
    Person(
        key="fable", family="Demoville", given="Fable", gender="female", born=date(2016, 5, 23),
        height=1.5, weight=0.3, systolic=94,
        conditions=("hayfever",), medications=("cetirizine",),
    ),
    Person(
        key="gale", family="Trialby", given="Gale", gender="male", born=date(1946, 12, 5),
        height=171, weight=79, gain=-0.9, systolic=149, settles=1.5,
        conditions=("fibrillation", "hypertension", "kidney"),
        medications=("apixaban", "bisoprolol", "lisinopril"),
    ),
    Person(
        key="harper", family="Exampleson", given="Harper", gender="male", born=date(2021, 6, 10),
        height=-2, weight=-0.4, systolic=90,
        conditions=("eczema",), medications=("hydrocortisone",),
    ),
    Person(
        key="iris", family="Fictionelle", given="Iris", gender="female", born=date(1990, 4, 2),
        height=158, weight=55, gain=0.2, systolic=108,
        conditions=("migraine",), medications=("sumatriptan",),
    ),
)  # fmt: skip
"""All patients. The order is that of every list of them."""
