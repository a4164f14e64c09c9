"""Findings, as they are shown."""

from __future__ import annotations

import pytest

from smart_async.messages import Finding


@pytest.mark.parametrize(
    ("advice", "line"),
    [
        ("", "warning DI-09: A SHOULD is missing."),
        ("Tell the vendor.", "warning DI-09: A SHOULD is missing. Tell the vendor."),
    ],
)
def test_one_line(advice, line):
    """A finding is one line with severity, rule, message and, where there is any, advice."""
    finding = Finding(rule="DI-09", severity="warning", message="A SHOULD is missing.", advice=advice)
    assert str(finding) == line


def test_a_value():
    """Findings with the same contents are equal and can be kept in a set."""
    one, other = (Finding(rule="X", severity="info", message="m") for _ in range(2))
    assert {one, other} == {one}
    with pytest.raises(AttributeError):
        one.rule = "Y"
