"""The import contracts of pyproject.toml hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_import_contracts(root: Path) -> None:
    """Every import goes down the layers, and no pure room imports I/O, a clock or an HTTP library."""
    pytest.importorskip("importlinter", reason="needs import-linter (dependency group test)")
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_is_placed(root: Path, settings: dict[str, Any]) -> None:
    """A new room stands in the layers, and no layer is without a room."""
    layers = settings["tool"]["importlinter"]["contracts"][0]
    assert layers["exhaustive"] is True
    placed = {name.strip() for layer in layers["layers"] for name in layer.split("|")}
    rooms = {
        path.stem
        for path in (root / "smart_async").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - set(layers["exhaustive_ignores"]) - {"__init__"} == placed
