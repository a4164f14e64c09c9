"""
The pytest plugin: fixtures for tests of apps.

Nothing is loaded before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from smart_async.keys.signing_key import SigningKey
    from smart_async.sandbox import Sandbox, SandboxTransport
    from smart_async.smart.config import SmartConfig
    from smart_async.transports import ScriptedTransport

__all__ = (
    "smart_asymmetric_config",
    "smart_backend_config",
    "smart_key",
    "smart_public_config",
    "smart_sandbox",
    "smart_scripted_transport",
    "smart_served_sandbox",
    "smart_symmetric_config",
    "smart_transport",
)


@pytest.fixture(scope="session")
def smart_key() -> SigningKey:
    """Return an ES384 key, made once per run."""
    from smart_async.keys.signing_key import SigningKey

    return SigningKey.generate("ES384")


@pytest.fixture
def smart_sandbox() -> Sandbox:
    """Return a SMART EHR in memory: `smart_transport` reaches it. Make its faults with `.faults.add(…)`."""
    from smart_async.sandbox import Sandbox

    return Sandbox()


@pytest.fixture
def smart_transport(smart_sandbox: Sandbox) -> SandboxTransport:
    """Return the transport for clients of `smart_sandbox`, of both colours."""
    return smart_sandbox.transport()


@pytest.fixture
def smart_served_sandbox() -> Iterator[Sandbox]:
    """Return a SMART EHR on a free loopback port, for browsers and for other processes."""
    from smart_async.sandbox import Sandbox, serve

    with serve(Sandbox()) as sandbox:
        yield sandbox


@pytest.fixture
def smart_public_config(smart_sandbox: Sandbox) -> SmartConfig:
    """Return the configuration of a public client, registered with `smart_sandbox`."""
    from smart_async.testing.clients import registered

    return registered(smart_sandbox, "public")


@pytest.fixture
def smart_symmetric_config(smart_sandbox: Sandbox) -> SmartConfig:
    """Return the configuration of a client with a secret, registered with `smart_sandbox`."""
    from smart_async.testing.clients import registered

    return registered(smart_sandbox, "symmetric")


@pytest.fixture
def smart_asymmetric_config(smart_sandbox: Sandbox, smart_key: SigningKey) -> SmartConfig:
    """Return the configuration of a client with a key, registered with `smart_sandbox`."""
    from smart_async.testing.clients import registered

    return registered(smart_sandbox, "asymmetric", key=smart_key)


@pytest.fixture
def smart_backend_config(smart_sandbox: Sandbox, smart_key: SigningKey) -> SmartConfig:
    """Return the configuration of a client without users, registered with `smart_sandbox`."""
    from smart_async.testing.clients import registered

    return registered(smart_sandbox, "backend", key=smart_key)


@pytest.fixture
def smart_scripted_transport() -> Iterator[Callable[..., ScriptedTransport]]:
    """
    Return a function that makes a transport from a script of answers.

    The test fails if answers are left over at its end.
    """
    from smart_async.transports import ScriptedTransport

    made: list[ScriptedTransport] = []

    def make(*answers: Any) -> ScriptedTransport:
        made.append(ScriptedTransport(*answers))
        return made[-1]

    yield make
    for transport in made:
        transport.assert_all_used()
