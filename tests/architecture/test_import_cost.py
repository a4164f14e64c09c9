"""Importing the package costs nothing that is not used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"httpx", "httpx2", "joserfc", "cryptography", "anyio", "starlette", "trio"}

BACKEND = """
from smart_async import PrivateKeyJWT, SigningKey, SmartClient, SmartConfig
from smart_async.transports import ScriptedTransport, json_response
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

key = ec.generate_private_key(ec.SECP384R1())
pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
config = SmartConfig(
    fhir_base="https://ehr.example.com/r4",
    client_id="nightly",
    client_auth=PrivateKeyJWT(SigningKey.from_pem(pem, kid="k")),
)
metadata = {"token_endpoint": "https://ehr.example.com/token"}
token = {"access_token": "t", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs"}
script = ScriptedTransport(json_response(metadata), json_response(token))
assert SmartClient(config, transport=script).backend_token().access_token.reveal() == "t"
"""


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter has loaded after running *code*."""
    code = (
        f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import smart_async",
        "from smart_async import SmartError, Secret, Limits",
        "import smart_async.transports",
        "from smart_async import SmartConfig, Scopes, Token",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    """No import of names alone loads an HTTP library, joserfc, cryptography or anyio."""
    assert loaded_by(statement) & HEAVY == set()


def test_a_backend_token_needs_no_joserfc() -> None:
    """A PEM key and a backend token work without joserfc, and without any HTTP library but the one used."""
    loaded = loaded_by(BACKEND)
    assert loaded & HEAVY == {"cryptography"}


def test_the_check_sees_what_is_loaded() -> None:
    """A module that is loaded is found."""
    assert "cryptography" in loaded_by("import cryptography")
