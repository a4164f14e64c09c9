"""`session.auth()`: the bearer token in the requests of a user's own httpx client."""

from __future__ import annotations

from typing import TypeVar

import httpx

from smart_async.interfaces import AccessToken
from smart_async.transports._httpx_auth import AsyncBearerFlow, BearerFlow

__all__ = ("AsyncHttpxAuth", "HttpxAuth")

T = TypeVar("T", bound=AccessToken)


class HttpxAuth(BearerFlow[T], httpx.Auth):
    """
    Adds the token to the requests of a `httpx.Client`.

    The arguments and rules are those of `BearerFlow`.
    """

    held = httpx.ByteStream


class AsyncHttpxAuth(AsyncBearerFlow[T], httpx.Auth):
    """
    Adds the token to the requests of a `httpx.AsyncClient`, on asyncio and trio.

    The arguments and rules are those of `AsyncBearerFlow`.
    """

    held = httpx.ByteStream
