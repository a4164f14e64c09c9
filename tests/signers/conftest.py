"""Keys that play the part of remote ones, and a KMS over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smart_async import SigningKey

SMART = ("RS384", "ES384")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, for tests marked with anyio."""
    backend: str = request.param
    return backend


@pytest.fixture(params=SMART)
def algorithm(request: pytest.FixtureRequest) -> str:
    """Each algorithm that SMART asks for in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """An RSA key."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def ec_key() -> ec.EllipticCurvePrivateKey:
    """A P-384 key."""
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def private_key(algorithm: str, rsa_key: Any, ec_key: Any) -> Any:
    """A private key for the algorithm."""
    return {"RS384": rsa_key, "ES384": ec_key}[algorithm]


@pytest.fixture
def elsewhere(private_key: Any) -> SigningKey:
    """The key that a remote service holds."""
    return SigningKey.from_key(private_key, kid="key-1")


@pytest.fixture(scope="session")
def kms_url() -> Iterator[str]:
    """A KMS on a free loopback port."""
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
