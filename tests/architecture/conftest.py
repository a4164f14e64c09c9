"""The package's sources, parsed once for all tests of its shape."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Source:
    """One module: its dotted name, its path and its syntax tree."""

    name: str
    path: Path
    tree: ast.Module


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def sources() -> list[Source]:
    """Return every module of the package."""
    found = []
    for path in sorted((ROOT / "smart_async").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Source(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return found


@pytest.fixture(scope="session")
def pure(sources: list[Source], settings: dict[str, Any]) -> list[Source]:
    """Return the modules of the pure rooms, as the import contract lists them."""
    contracts = settings["tool"]["importlinter"]["contracts"]
    (rooms,) = (contract["source_modules"] for contract in contracts if contract["name"].startswith("Pure"))
    return [source for source in sources if any(f"{source.name}.".startswith(f"{room}.") for room in rooms)]
