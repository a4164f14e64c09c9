"""The tool that breaks our code is honest: it tells a guard that notices from one that sleeps."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

GUARD = """
import blinker_room

def test_it():
    assert blinker_room.answer() == 42

def test_asleep():
    assert blinker_room.answer
"""


@pytest.fixture(scope="module")
def mutate(root: Path) -> ModuleType:
    """Return tests/mutate.py."""
    spec = importlib.util.spec_from_file_location("mutate", root / "tests/mutate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.modules["mutate"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


@pytest.mark.parametrize(
    ("old", "new", "guard", "outcome"),
    [
        ("return 42", "return 41", "test_it", "noticed"),
        ("return 42", "return 41", "test_asleep", "SURVIVED"),
        ("return 42", "return 41", None, "SURVIVED"),
        ("return 43", "return 41", "test_it", "STALE"),
        ("4", "5", "test_it", "STALE"),
        ("return 42", "return (", "test_it", "BROKEN"),
        ("return 42", "return 41", "test_gone", "BROKEN"),
    ],
)
def test_outcomes(
    mutate: ModuleType, tmp_path: Path, old: str, new: str, guard: str | None, outcome: str
) -> None:
    """Only a guard that ran and failed has noticed; whatever happens, the code is whole again afterwards."""
    code = "def answer():\n    return 42  # not 4\n"
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "blinker_room.py").write_text(code, "utf-8")
    (copy / "test_room.py").write_text(GUARD, "utf-8")
    fault = mutate.Fault(
        rule="XX-01",
        file="blinker_room.py",
        old=old,
        new=new,
        guards=() if guard is None else (f"test_room.py::{guard}",),
    )
    assert mutate.judge(fault, copy).outcome == outcome
    assert (copy / "blinker_room.py").read_text("utf-8") == code
