"""The tool's own modules, which stand beside its tests and belong to no package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def making() -> Iterator[ModuleType]:
    """Return tests/mutation/making.py."""
    yield from _load("making")


@pytest.fixture(scope="session")
def run(making: ModuleType) -> Iterator[ModuleType]:
    """Return tests/mutation/run.py."""
    yield from _load("run")


def _load(name: str) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path, before = list(sys.path), sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        sys.path[:] = path
        yield module
    finally:
        sys.path[:] = path
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
