"""Real servers, started once for all tests on free loopback ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from joserfc.jwk import ECKey, Key, RSAKey

HERE = Path(__file__).parent / "oidc_provider"
ALGORITHMS = ("RS384", "ES384")
REDIRECT_URI = "https://app.example.com/callback"
REGISTERED_SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access system/*.rs system/Patient.rs"
LOGIN_STEPS = 10
NODE = (20, 12)  # the oldest with crypto.hash, which oidc-provider calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One running oidc-provider, and the private keys of the clients that are registered there."""

    issuer: str
    fhir_base: str
    keys: dict[str, Key]
    redirect_uri: str = REDIRECT_URI

    def seen(self) -> list[dict[str, Any]]:
        """Return what the server noted about each token request, oldest first."""
        noted: list[dict[str, Any]] = httpx.get(f"{self.issuer}/seen", trust_env=False).json()
        return noted

    def log_in(self, url: str) -> str:
        """Go through the login that starts at *url* as a browser would; return the callback's URL."""
        with httpx.Client(trust_env=False) as browser:
            for _ in range(LOGIN_STEPS):
                answer = browser.get(url)
                assert answer.is_redirect, f"{answer.status_code} from {url}: {answer.text[:500]}"
                url = urljoin(url, answer.headers["location"])
                if url.startswith(self.redirect_uri):
                    return url
        raise AssertionError(f"no callback after {LOGIN_STEPS} redirects")


def new_key(algorithm: str) -> Key:
    """Make a private key for *algorithm*, with a kid."""
    parameters = {"use": "sig", "alg": algorithm, "kid": f"{algorithm.lower()}-key"}
    if algorithm == "RS384":
        return RSAKey.generate_key(2048, parameters)
    return ECKey.generate_key("P-384", parameters)


def client_metadata(algorithm: str, key: Key) -> dict[str, Any]:
    """Return the registration of the client `app-<algorithm>` with the public half of *key*."""
    return {
        "client_id": f"app-{algorithm}",
        "redirect_uris": [REDIRECT_URI],
        "response_types": ["code"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": algorithm,
        "scope": REGISTERED_SCOPE,
        "jwks": {"keys": [key.as_dict(private=False)]},
    }


def find_node() -> str:
    """Return the folder of a Node that is new enough: this environment's own, or one on the path."""
    for folder in (str(Path(sys.executable).parent), *os.environ.get("PATH", "").split(os.pathsep)):
        node = shutil.which("node", path=folder)
        if node and shutil.which("npm", path=folder):
            version = subprocess.run(
                [node, "--version"], capture_output=True, text=True, timeout=30, check=False
            )
            if tuple(map(int, re.findall(r"\d+", version.stdout)[:2])) >= NODE:
                return folder
    pytest.fail(f"No Node {NODE[0]}.{NODE[1]} or newer with npm. Run: make test-peers", pytrace=False)


@pytest.fixture(scope="session")
def node_path() -> str:
    """Return a PATH that starts with Node, once the npm packages are installed."""
    path = os.pathsep.join([find_node(), os.environ.get("PATH", "")])
    stamp = HERE / "node_modules" / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < (HERE / "package.json").stat().st_mtime:
        npm = shutil.which("npm", path=path)
        assert npm is not None
        done = subprocess.run(
            [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"],
            cwd=HERE,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"npm install failed:\n{done.stdout}{done.stderr}"
        stamp.touch()
    return path


@pytest.fixture(scope="session")
def oidc_provider(node_path: str) -> Iterator[Peer]:
    """Run oidc-provider with one private_key_jwt client per algorithm until the session ends."""
    keys = {algorithm: new_key(algorithm) for algorithm in ALGORITHMS}
    clients = [client_metadata(algorithm, key) for algorithm, key in keys.items()]
    node = shutil.which("node", path=node_path)
    assert node is not None
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [node, "server.mjs"],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdin.write(json.dumps({"clients": clients}) + "\n")
            server.stdin.flush()
            line = server.stdout.readline()
            if line:
                yield Peer(keys=keys, **json.loads(line))
        finally:
            server.stdin.close()  # it ends with its standard input, also behind a launcher script
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
            log.seek(0)
            print(log.read())  # shown beside a failure
        if not line:
            pytest.fail("oidc-provider did not start", pytrace=False)


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    """Return each algorithm that SMART asks for in turn."""
    name: str = request.param
    return name
