"""Scopes as the sandbox reads, grants and compares them."""

from __future__ import annotations

from itertools import combinations

import pytest

from smart_async.sandbox.scopes import covers, data_scopes, grant_scopes, parse_data_scope, read_scope
from smart_async.sandbox.verdicts import RefusedError

ALL = ("openid", "launch/patient", "patient/*.cruds", "user/*.cruds", "system/*.cruds")


@pytest.mark.rule("SC-01")
def test_all_permissions():
    """All 31 ordered parts of cruds are read, and written back as they were."""
    perms = ["".join(part) for size in range(1, 6) for part in combinations("cruds", size)]
    assert len(perms) == 31
    assert [scope.text for scope in data_scopes(f"user/Patient.{perm}" for perm in perms)] == [
        f"user/Patient.{perm}" for perm in perms
    ]


@pytest.mark.rule("SC-04", "SC-05")
@pytest.mark.parametrize(("old", "letters"), [("read", "rs"), ("write", "cud"), ("*", "cruds")])
def test_old_form(old, letters):
    """Old permissions are words and not letters."""
    scope = parse_data_scope(f"patient/*.{old}")
    assert scope is not None
    assert (scope.letters, scope.v1, scope.text) == (letters, True, f"patient/*.{old}")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("patient/Observation.sr", "SC-01"),
        ("patient/Observation.dus", "SC-01"),
        ("patient/Observation.rr", "SC-01"),
        ("patient/Observation.", "SC-01"),
        ("Observation.rs", "SC-02"),
        ("patient/observation.rs", "SC-02"),
        ("patient/Observation", "SC-02"),
        ("patient/Observation.rs?", "SC-03"),
        ("patient/Observation.rs?category", "SC-03"),
        ("patient/Observation.rs?a=b&", "SC-03"),
        ("patient/Observation.rs?=b", "SC-03"),
        ('a"b', "SC-12"),
        ("a\\b", "SC-12"),
        ("ä", "SC-12"),
        ("a  b", "RFC 6749 §3.3"),
        ("launch/ImagingStudy", "CTX-15"),
    ],
)
@pytest.mark.rule("SC-01", "SC-02", "SC-03", "SC-12", "SC-17", "CTX-15")
def test_malformed(text, rule):
    """A scope outside the grammar is refused with its rule."""
    with pytest.raises(RefusedError) as caught:
        read_scope(text)
    assert (caught.value.rule, caught.value.error) == (rule, "invalid_scope")


def test_repeated_scopes():
    """A scope that is named twice counts once, in the order of the first."""
    assert read_scope("b a b") == ("b", "a")


@pytest.mark.parametrize(
    ("requested", "registered", "granted"),
    [
        ("patient/*.cruds", ALL, "patient/*.rs"),
        ("patient/*.read patient/*.*", ALL, "patient/*.read"),
        ("patient/*.write", ALL, ""),
        ("patient/Patient.r", ALL, "patient/Patient.r"),
        ("patient/*.rs", ("patient/Patient.rs", "user/*.rs"), "patient/Patient.rs"),
        ("patient/*.rs", ("patient/Patient.rs", "patient/*.r"), "patient/*.r patient/Patient.rs"),
        ("patient/*.rs", ("patient/*.rs", "patient/Patient.rs"), "patient/*.rs"),
        ("patient/Encounter.rs", ("patient/Patient.rs",), ""),
        ("patient/*.read", ("patient/*.r",), "patient/*.r"),
        ("openid fhirUser __x https://e.example/s launch/imagingstudy", ALL, "openid"),
        ("patient/Observation.rs?category=a", ALL, "patient/Observation.rs?category=a"),
        ("patient/Observation.rs?date=a", ALL, ""),
        (
            "patient/Observation.rs?category=a",
            ("patient/Observation.r?code=b",),
            "patient/Observation.r?category=a&code=b",
        ),
    ],
)
@pytest.mark.rule("SC-11", "SC-13", "SC-16", "BS-13")
def test_grant(requested, registered, granted):
    """What is granted lies within what was asked for and what was registered."""
    assert " ".join(grant_scopes(read_scope(requested), registered)) == granted


@pytest.mark.parametrize(
    ("granted", "wanted", "expected"),
    [
        ("patient/*.rs", "patient/Patient.r", True),
        ("patient/*.r patient/*.s", "patient/Patient.rs", True),
        ("patient/*.read", "patient/Patient.rs", True),
        ("patient/Patient.rs", "patient/*.rs", False),
        ("user/*.rs", "patient/Patient.r", False),
        ("patient/Observation.rs?category=a", "patient/Observation.rs", False),
        ("patient/Observation.rs", "patient/Observation.rs?category=a", True),
        ("openid", "openid", True),
        ("openid", "fhirUser", False),
    ],
)
@pytest.mark.rule("SC-07", "SC-08", "SC-09")
def test_covers(granted, wanted, expected):
    """Coverage is compared, not text, and never across levels."""
    assert covers(granted.split(), wanted) is expected
