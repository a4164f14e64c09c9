"""Requests over httpx2, the maintained continuation of httpx; install it as `smart-async[httpx2]`."""

from __future__ import annotations

from smart_async.transports._engine import Family
from smart_async.transports._httpx_async import AsyncFamilyTransport
from smart_async.transports._httpx_sync import FamilyTransport

__all__ = ("AsyncHttpx2Transport", "Httpx2Transport")

_HTTPX2 = Family(library="httpx2", engine="httpcore2", extra="httpx2")


class Httpx2Transport(FamilyTransport):
    """
    Requests over httpx2, for `SmartClient`.

    The options and their rules are those of `FamilyTransport`.

    >>> Httpx2Transport(max_connections=4)
    <Httpx2Transport, at most 4 connections>
    """

    family = _HTTPX2


class AsyncHttpx2Transport(AsyncFamilyTransport):
    """
    Requests over httpx2, for `AsyncSmartClient` on asyncio and trio.

    The options and their rules are those of `AsyncFamilyTransport`.

    >>> AsyncHttpx2Transport(max_connections=4)
    <AsyncHttpx2Transport, at most 4 connections>
    """

    family = _HTTPX2
