"""The clients: thin facades over the flows, one for each colour."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smart_async.clients._async import AsyncSmartClient
    from smart_async.clients._sync import SmartClient

__all__ = ("AsyncSmartClient", "SmartClient")

_HOMES = {"AsyncSmartClient": "_async", "SmartClient": "_sync"}


def __getattr__(name: str) -> Any:
    """Load the client of one colour without the other."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
