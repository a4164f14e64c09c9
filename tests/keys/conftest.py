"""Keys made once per run, and the published vectors."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smart_async.keys import SigningKey

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="session")
def smart_vectors():
    return json.loads((VECTORS / "smart.json").read_text())


@pytest.fixture(scope="session")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def p384_key():
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture(scope="session")
def p256_key():
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="session")
def rsa_signer(rsa_key):
    return SigningKey.from_key(rsa_key, kid="rsa-1")


@pytest.fixture(scope="session")
def ec_signer(p384_key):
    return SigningKey.from_key(p384_key, kid="ec-1")
