"""The clients: thin facades over the flows, one for each colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.clients._async import AsyncSmartClient
    from smart_async.clients._sync import SmartClient

__all__ = ("AsyncSmartClient", "SmartClient")

_HOMES = {"AsyncSmartClient": "_async", "SmartClient": "_sync"}

__getattr__, __dir__ = loading(__name__, _HOMES)
