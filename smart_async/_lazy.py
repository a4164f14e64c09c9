"""
Packages whose names load when they are used.

A name of such a package stands in four places: in an import for type checkers, in `__all__`, in the table of
its home, and in the home itself. Tests hold them together.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ("loading",)


def loading(
    package: str, homes: Mapping[str, str], *, root: str | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    Return the two functions that make a module's names load on first use: its `__getattr__` and `__dir__`.

    Each name is looked up once; from then on it is an ordinary attribute of the module.

    Args:
        package: The module's own name, `__name__`.
        homes: The module that defines each name, relative to *root*.
        root: The package that these modules are in; None for *package* itself.
    """
    names = vars(sys.modules[package])

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{root or package}.{homes[name]}"), name)
        names[name] = value
        return value

    def listed() -> list[str]:
        return sorted({*names, *homes})

    return load, listed
