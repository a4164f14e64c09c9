"""Requests over httpx, for `SmartClient` and `AsyncSmartClient`: the default."""

from __future__ import annotations

from smart_async.transports._engine import Family
from smart_async.transports._httpx_async import AsyncFamilyTransport
from smart_async.transports._httpx_sync import FamilyTransport

__all__ = ("AsyncHttpxTransport", "HttpxTransport")

_HTTPX = Family(library="httpx", engine="httpcore")


class HttpxTransport(FamilyTransport):
    """
    Requests over httpx, for `SmartClient`.

    The options and their rules are those of `FamilyTransport`.

    >>> HttpxTransport(max_connections=4)
    <HttpxTransport, at most 4 connections>
    """

    family = _HTTPX


class AsyncHttpxTransport(AsyncFamilyTransport):
    """
    Requests over httpx, for `AsyncSmartClient` on asyncio and trio.

    The options and their rules are those of `AsyncFamilyTransport`.

    >>> AsyncHttpxTransport(max_connections=4)
    <AsyncHttpxTransport, at most 4 connections>
    """

    family = _HTTPX
