"""`session.httpx2_auth()`: the bearer token in the requests of a user's own httpx2 client."""

from __future__ import annotations

from typing import TypeVar

import httpx2

from smart_async.interfaces import AccessToken
from smart_async.transports._httpx_auth import AsyncBearerFlow, BearerFlow

__all__ = ("AsyncHttpx2Auth", "Httpx2Auth")

T = TypeVar("T", bound=AccessToken)


class Httpx2Auth(BearerFlow[T], httpx2.Auth):
    """
    Adds the token to the requests of a `httpx2.Client`.

    The arguments and rules are those of `BearerFlow`.
    """

    held = httpx2.ByteStream


class AsyncHttpx2Auth(AsyncBearerFlow[T], httpx2.Auth):
    """
    Adds the token to the requests of a `httpx2.AsyncClient`, on asyncio and trio.

    The arguments and rules are those of `AsyncBearerFlow`.
    """

    held = httpx2.ByteStream
