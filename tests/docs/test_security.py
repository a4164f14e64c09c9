"""The page of threats names every threat once, and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREATS = [*range(1, 37), *range(44, 55)]
PLANNED = {"T15", "T18"}
"""The threats of which a test is still to come; this list and the page have to agree."""


@pytest.fixture
def rows() -> dict[str, list[str]]:
    """The cells of each row of the page, by the threat's number."""
    lines = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| T")
    ]
    return {row[0].strip(): row for row in cells}


def test_every_threat_is_there(rows: dict[str, list[str]]) -> None:
    """Each has five cells, and none of them is empty."""
    assert list(rows) == [f"T{number:02}" for number in THREATS]
    assert [name for name, row in rows.items() if len(row) != 5 or not all(row)] == []


def test_every_test_exists(rows: dict[str, list[str]]) -> None:
    """A threat has a test, and a test that is named is a file."""
    named = {name: re.findall(r"`(tests/[^`]+)`", row[3]) for name, row in rows.items()}
    assert [path for paths in named.values() for path in paths if not (ROOT / path).is_file()] == []
    assert {name for name, row in rows.items() if "planned" in row[3]} == PLANNED
    assert [name for name, paths in named.items() if not paths and name not in PLANNED] == []


def test_every_acceptance_test_is_listed() -> None:
    """The README of the acceptance tests names each file of its folder."""
    folder = ROOT / "tests" / "acceptance"
    listed = set(re.findall(r"`(test_\w+\.py)`", (folder / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in folder.glob("test_*.py")} <= listed
