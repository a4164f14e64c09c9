"""The two servers of the soak test, each in processes of its own that are killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urljoin

import httpx
from joserfc.jwk import RSAKey
from node import install

from smart_async import ClientMetadata, PrivateKeyJWT, SigningKey, SmartConfig

HERE = Path(__file__).parent
NODE_FOLDER = HERE.parent / "peers" / "oidc_provider"
CALLBACK = "https://app.example.com/callback"
# No certificates: all is plain http on loopback, and to load the usual ones takes longer than the requests.
OUTSIDE: dict[str, Any] = {
    "trust_env": False,
    "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    "timeout": 30,
}


class Peer:
    """
    A server behind the protocol of lines that both speak on their standard input and output.

    Attributes:
        generation: How often it has been started: what it knew before, it has forgotten.
        fhir_base: Its FHIR base, the same in every generation.
    """

    name: ClassVar[str]
    scope: ClassVar[str]
    pages: ClassVar[str | None] = None
    """A search with an answer of several pages, if it has any."""

    def __init__(self, key: SigningKey, client_ids: list[str]) -> None:
        self.key = key
        self.client_ids = client_ids
        self.generation = 0
        self.fhir_base = ""
        self._port = 0
        # A server keeps its keys when it is started again; whoever knows them may not ask for a minute.
        made = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        self._server_key = made.as_dict(private=True)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the server

    def start(self) -> None:
        """Start it, and wait until it listens."""
        process = subprocess.Popen(
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=NODE_FOLDER,
            start_new_session=True,  # Node may be behind a launcher, and both have to be killed
        )
        self._process = process
        clients = [self.registration(each) for each in self.client_ids]
        ready = self.ask({"port": self._port, "clients": clients, "keys": [self._server_key]})
        self.issuer, self.fhir_base = ready["issuer"], ready["fhir_base"]
        self._port = int(self.fhir_base.split("/")[2].rpartition(":")[2])
        self.generation += 1

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Write a line, and return what is answered."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with self._lock:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self.name} ended by itself:\n{self._log.read()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it as a power failure would."""
        process, self._process = self._process, None
        if process is None:
            return
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._log.close()

    def config(self, client_id: str) -> SmartConfig:
        """Return the registration of one of its clients."""
        return SmartConfig(
            fhir_base=self.fhir_base,
            client_id=client_id,
            client_auth=PrivateKeyJWT(self.key),
            redirect_uri=CALLBACK,
            scope=self.scope,
            allow_insecure_loopback=True,
        )

    def wish(self, name: str) -> ClientMetadata:
        """Return what a newcomer registers with."""
        return ClientMetadata.for_app(
            redirect_uris=[CALLBACK], scope="launch/patient patient/*.rs", client_name=name
        )

    def browse(self, url: str) -> str:
        """Go through a login as a browser would; return the callback's URL."""
        with httpx.Client(**OUTSIDE) as browser:
            for _ in range(10):
                answer = browser.get(url)
                if not answer.is_redirect:
                    break
                url = urljoin(url, answer.headers["location"])
                if url.startswith(CALLBACK):
                    return url
        raise httpx.RemoteProtocolError(f"{answer.status_code} where a redirect was expected")

    def initial_access_token(self) -> str | None:
        """Return what a newcomer has to show, if anything."""
        return None

    def command(self) -> list[str]:
        """Return the program to start."""
        raise NotImplementedError

    def registration(self, client_id: str) -> dict[str, Any]:
        """Return the registration of a client, as the program takes it."""
        raise NotImplementedError


class SandboxPeer(Peer):
    """The sandbox, which misbehaves when told to."""

    name = "sandbox"
    scope = "openid fhirUser launch/patient patient/*.rs offline_access"
    pages = "Observation?patient=patient-amber"

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "ehr.py")]

    def registration(self, client_id: str) -> dict[str, Any]:
        return {
            "client_id": client_id,
            "redirect_uris": [CALLBACK],
            "jwks": {"keys": [self.key.public_jwk()]},
        }

    def misbehave(self, fault: str, **options: Any) -> None:
        """Add a fault."""
        self.ask({"fault": fault, **options})

    def calm(self) -> None:
        """Remove the faults that were added."""
        self.ask({"calm": True})

    def report(self) -> dict[str, dict[str, int]]:
        """Return what struck, what was presented twice and what was asked, in this generation."""
        return self.ask({"report": True})


class OidcProviderPeer(Peer):
    """npm's oidc-provider."""

    name = "oidc-provider"
    scope = "openid fhirUser launch/patient patient/*.rs offline_access"

    def command(self) -> list[str]:
        node = shutil.which("node", path=install(NODE_FOLDER))
        assert node is not None
        return [node, "server.mjs"]

    def registration(self, client_id: str) -> dict[str, Any]:
        return {
            "client_id": client_id,
            "redirect_uris": [CALLBACK],
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": self.key.algorithm,
            "scope": f"{self.scope} system/*.rs system/Patient.rs",
            "jwks": {"keys": [self.key.public_jwk()]},
        }

    def initial_access_token(self) -> str | None:
        answer = httpx.post(f"{self.issuer}/initial-access-token", **OUTSIDE).raise_for_status()
        token: str = answer.json()["initial_access_token"]
        return token
