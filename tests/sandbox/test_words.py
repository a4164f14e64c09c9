"""Scopes in plain words."""

from __future__ import annotations

import pytest

from smart_async.sandbox.pages.words import scope_words
from smart_async.sandbox.scopes import PLAIN_SCOPES


@pytest.mark.parametrize(
    ("scope", "title", "detail"),
    [
        (
            "patient/Observation.rs",
            "See measurements and findings, such as vital signs",
            "Of this one patient.",
        ),
        (
            "patient/Observation.read",
            "See measurements and findings, such as vital signs",
            "Of this one patient.",
        ),
        ("user/Condition.s", "Search problems and diagnoses", "Of everybody whose record you may see."),
        ("patient/Patient.r", "Open name, birth date, sex and contact details", "Of this one patient."),
        ("patient/*.cruds", "See, add, change and delete everything in the record", "Of this one patient."),
        ("patient/*.*", "See, add, change and delete everything in the record", "Of this one patient."),
        (
            "patient/Observation.c",
            "Add measurements and findings, such as vital signs",
            "Of this one patient.",
        ),
        ("patient/Encounter.ud", "Change and delete visits and stays", "Of this one patient."),
        ("patient/Device.rs", "See entries of the kind Device", "Of this one patient."),
        (
            "system/Patient.rs",
            "See name, birth date, sex and contact details",
            "Of all patients, without anybody being signed in.",
        ),
        (
            "patient/Observation.rs?category=http%3A%2F%2Fx%7Cvital-signs&status=final",
            "See measurements and findings, such as vital signs",
            "Of this one patient. Only where category is vital-signs and status is final.",
        ),
        ("unheard-of", "Something that has no description", "Allow this only if you know what it means."),
    ],
)
def test_words(scope, title, detail):
    """Old and new forms, granular ones and unknown ones say what they allow, and keep the scope itself."""
    assert scope_words(scope) == (title, detail, scope)


@pytest.mark.parametrize("scope", PLAIN_SCOPES)
def test_every_plain_scope_has_words(scope):
    """Each scope that is not about data is described."""
    assert scope_words(scope).title != scope_words("unheard-of").title
