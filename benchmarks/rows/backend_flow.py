"""
Row 2: a backend token, the whole flow, against a hand-written call that sends the same body.

Both run over an HTTP engine wired to memory. Discovery is cached, as it is for all but the first token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from benchmarks.matter import SCOPE, TOKEN, TOKEN_URL, config, metadata, pem
from benchmarks.measure import Effort, Result, alternate, async_calls, calls, compared
from benchmarks.net import answer, wire_client, wire_transport
from smart_async import AsyncSmartClient, SmartClient
from smart_async.smart.state import CachedMetadata
from smart_async.transports import open_async_transport, open_transport

ROW = 2
LIMIT = 1.05
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def discovered(client: Any) -> Any:
    """Return *client*, of either colour, as it is after discovery."""
    client._state.cached = CachedMetadata(metadata(), fresh_until=float("inf"))
    return client


def form(key: ECKey, client_id: str = "growth-chart", token_url: str = TOKEN_URL) -> dict[str, str]:
    """
    Return the form of a token request, its assertion made with joserfc.

    Args:
        key: The private key.
        client_id: The client.
        token_url: The token endpoint.
    """
    now = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": token_url}
    claims |= {"iat": now - 60, "exp": now + 240, "jti": str(uuid4())}
    header = {"alg": "ES384", "kid": "key-1", "typ": "JWT"}
    return {
        "grant_type": "client_credentials",
        "scope": SCOPE,
        "client_assertion_type": TYPE,
        "client_assertion": jwt.encode(header, claims, key, algorithms=["ES384"]),
    }


def by_hand(http: Any, key: ECKey) -> Callable[[], object]:
    """
    Return what somebody would write without a library.

    Args:
        http: A blocking client of httpx or httpx2.
        key: The private key.
    """

    def run() -> object:
        response = http.post(TOKEN_URL, data=form(key), headers={"Accept": "application/json"})
        response.raise_for_status()
        return response.json()["access_token"]

    return run


def async_by_hand(http: Any, key: ECKey) -> Callable[[], Any]:
    """Return the same for an async client."""

    async def run() -> object:
        response = await http.post(TOKEN_URL, data=form(key), headers={"Accept": "application/json"})
        response.raise_for_status()
        return response.json()["access_token"]

    return run


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    answered = answer(TOKEN)
    key = ECKey.import_key(pem("ES384"))
    libraries: tuple[ModuleType, ...] = (httpx, httpx2)
    for library in libraries:
        name = library.__name__
        client = discovered(SmartClient(config(), transport=wire_transport(open_transport(name), answered)))
        hand = by_hand(wire_client(library, answered, asynchronous=False), key)
        pairs = alternate(calls(lambda client=client: client.backend_token(SCOPE)), calls(hand), effort)
        yield compared(ROW, f"backend token, {name}, sync", f"{name} + joserfc", pairs, limit=LIMIT)
    with asyncio.Runner() as runner:
        for library in libraries:
            name = library.__name__
            transport = wire_transport(open_async_transport(name), answered)
            aclient = discovered(AsyncSmartClient(config(), transport=transport))
            ahand = async_by_hand(wire_client(library, answered, asynchronous=True), key)
            pairs = alternate(
                async_calls(lambda aclient=aclient: aclient.backend_token(SCOPE), runner),
                async_calls(ahand, runner),
                effort,
            )
            yield compared(ROW, f"backend token, {name}, async", f"{name} + joserfc", pairs, limit=LIMIT)
