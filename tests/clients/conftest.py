"""Clients of all three colours behind one face, so that one test covers SmartClient and AsyncSmartClient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from loopback import authority, ca_file, servers

from smart_async import AsyncSmartClient, PrivateKeyJWT, SigningKey, SmartClient, SmartConfig

__all__ = ("authority", "ca_file", "servers")

COLOURS = ("sync", "asyncio", "trio")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, for tests marked with anyio."""
    backend: str = request.param
    return backend


class Colour:
    """
    Makes clients of one colour and calls their methods as if all of them were blocking.

    An asynchronous client is driven by one event loop in a thread, which lives as long as the test.
    """

    def __init__(self, name: str, portal: BlockingPortal | None) -> None:
        self.name = name
        self.portal = portal

    def make(self, config: SmartConfig, **arguments: Any) -> SmartClient | AsyncSmartClient:
        """A client of this colour."""
        return (SmartClient if self.portal is None else AsyncSmartClient)(config, **arguments)

    def call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The result of a client's method."""
        if self.portal is None:
            return method(*arguments, **named)
        return self.portal.call(partial(method, *arguments, **named))

    def close(self, client: SmartClient | AsyncSmartClient) -> None:
        """Closes a client."""
        self.call(client.close if isinstance(client, SmartClient) else client.aclose)


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Each of the three colours."""
    if request.param == "sync":
        yield Colour("sync", None)
        return
    with start_blocking_portal(request.param) as portal:
        yield Colour(request.param, portal)


@pytest.fixture(scope="session", params=["ES384", "RS384"])
def any_key(request: pytest.FixtureRequest) -> SigningKey:
    """A key of either kind that SMART asks clients to support."""
    return SigningKey.generate(request.param, kid="key-1", key_size=2048)


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """An ES384 key."""
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture
def config(signing_key: SigningKey) -> SmartConfig:
    """A registration that allows every flow."""
    return SmartConfig(
        fhir_base="https://ehr.example.com/r4",
        client_id="growth-chart",
        client_auth=PrivateKeyJWT(signing_key),
        redirect_uri="https://app.example.com/callback",
        scope="launch/patient patient/*.rs offline_access",
    )
