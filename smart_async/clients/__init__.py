"""The clients: thin facades over the flows, one for each colour."""

from smart_async.clients._async import AsyncSmartClient
from smart_async.clients._sync import SmartClient

__all__ = ("AsyncSmartClient", "SmartClient")
