"""Importing the package costs nothing that is not used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"httpx", "httpx2", "joserfc", "cryptography", "anyio", "starlette", "trio"}

FOUR_NAMES = "from smart_async import PrivateKeyJWT, SigningKey, SmartClient, SmartConfig"
"""What the documentation's first page imports."""

OURS_AT_MOST = 20
"""Modules of the library behind the four names: facade, configuration, key, and what defines them."""

FOR_LATER = {"email", "hashlib", "hmac", "importlib.metadata", "ipaddress", "json", "logging", "secrets"} | {
    "socket",
    "ssl",
    "urllib.parse",
}
"""Modules of the standard library that work needs, and names do not."""

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


def modules_of(code: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after running *code*."""
    code = f"{code}\nimport sys\nloaded = sorted(sys.modules)\nimport json\nprint(json.dumps(loaded))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def loaded_by(code: str) -> set[str]:
    """Return their top-level packages."""
    return {name.partition(".")[0] for name in modules_of(code)}


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


def test_the_four_names_load_no_work() -> None:
    """The names of a first program load definitions; parsers, hashes and flows wait for the first use."""
    loaded = modules_of(FOUR_NAMES)
    # An installed package with a .pth file of its own may have loaded anything before that.
    assert loaded & FOR_LATER <= modules_of("")
    assert len([name for name in loaded if name.startswith("smart_async.")]) <= OURS_AT_MOST


def test_a_backend_token_reads_no_package_metadata() -> None:
    """The version in the User-Agent is known without looking for it among the installed packages."""
    assert {"email.utils", "importlib.metadata"} & modules_of(BACKEND) <= modules_of("")


def test_a_backend_token_needs_no_joserfc() -> None:
    """A PEM key and a backend token work without joserfc, and without any HTTP library but the one used."""
    loaded = loaded_by(BACKEND)
    assert loaded & HEAVY == {"cryptography"}


def test_the_check_sees_what_is_loaded() -> None:
    """A module that is loaded is found."""
    assert "cryptography" in loaded_by("import cryptography")
