"""A whole EHR on a loopback port, every answer of which a test can replace."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from loopback import Caller, Connection, Server, Servers

from smart_async import (
    ClientMetadata,
    PrivateKeyJWT,
    SigningKey,
    SmartConfig,
    Token,
)
from smart_async.limits import Timeouts

__all__ = ("ENDPOINTS", "Site")

ENDPOINTS = {
    "discovery": "/r4/.well-known/smart-configuration",
    "token": "/token",
    "introspection": "/introspect",
    "revocation": "/revoke",
    "registration": "/register",
    "jwks": "/keys",
}
"""The path of each kind of endpoint that credentials, or what decides on them, pass through."""

CALLBACK = "https://app.example.com/callback"


class Site:
    """
    An EHR with its authorization server, honest unless told otherwise.

    Args:
        servers: Who starts it.
        key: The key of the client, and of the server too: its algorithm is all that matters here.
    """

    def __init__(self, servers: Servers, key: SigningKey) -> None:
        self.key = key
        self.attacks: dict[str, Callable[[Connection], None]] = {}
        self.nonce = ""
        self.server: Server = servers.start(self._behave)
        self.url = self.server.url

    @property
    def paths(self) -> list[str]:
        """The path of every request that came, in order."""
        return [request.split()[1].decode() for request in self.server.requests]

    def attack(self, endpoint: str, action: Callable[[Connection], None]) -> None:
        """Answer at this endpoint with *action* from now on."""
        self.attacks = {ENDPOINTS[endpoint]: action}

    def operation(self, caller: Caller, endpoint: str, timeouts: Timeouts | None = None) -> Callable[[], Any]:
        """Make a client that is ready to talk to an endpoint, and return what makes it do so."""
        config = SmartConfig(
            fhir_base=f"{self.url}/r4",
            client_id="growth-chart",
            client_auth=PrivateKeyJWT(self.key),
            redirect_uri=CALLBACK,
            scope="openid launch/patient patient/*.rs offline_access",
            allow_insecure_loopback=True,
        )
        client = caller.client(config, timeouts=timeouts)
        if endpoint == "discovery":
            return lambda: caller.call(client.discover)
        self.attacks, attacks = {}, self.attacks
        pending = caller.call(client.authorize)
        self.nonce = pending.nonce.reveal()
        back = f"{CALLBACK}?code=code-1&state={quote(pending.state)}"
        if endpoint == "jwks":
            self.attacks = attacks
            return lambda: caller.call(client.exchange_code, pending, back)
        token: Token = caller.call(client.exchange_code, pending, back)
        self.attacks = attacks
        metadata = ClientMetadata.for_backend(self.key)
        return {
            "token": lambda: caller.call(client.refresh, token),
            "introspection": lambda: caller.call(client.introspect, token),
            "revocation": lambda: caller.call(client.revoke, token),
            "registration": lambda: caller.call(client.register, metadata),
        }[endpoint]

    def _behave(self, connection: Connection) -> None:
        while request := connection.read_request():
            path = request.split()[1].decode().partition("?")[0]
            if path in self.attacks:
                self.attacks[path](connection)
                return
            _, _, body = request.partition(b"\r\n\r\n")
            status, document = self._answer(path, body)
            connection.reply(
                json.dumps(document).encode(), status=status, headers=("Content-Type: application/json",)
            )

    def _answer(self, path: str, body: bytes) -> tuple[str, object]:
        if path == ENDPOINTS["discovery"]:
            return "200 OK", self._document()
        if path == "/.well-known/openid-configuration":
            return "200 OK", {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            return "200 OK", {"keys": [self.key.public_jwk()]}
        if path == "/introspect":
            return "200 OK", {"active": True}
        if path == "/register":
            return "201 Created", {**json.loads(body), "client_id": "c-1"}
        if path == "/revoke":
            return "200 OK", {}
        return ("200 OK", self._token()) if path == "/token" else ("404 Not Found", {})

    def _document(self) -> dict[str, Any]:
        names = ("token", "introspection", "revocation", "registration")
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            **{f"{name}_endpoint": self.url + ENDPOINTS[name] for name in names},
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["launch-standalone", "client-confidential-asymmetric", "sso-openid-connect"],
        }

    def _token(self) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "u-1",
            "aud": "growth-chart",
            "iat": now,
            "exp": now + 600,
            "nonce": self.nonce,
        }
        head = {"alg": self.key.algorithm, "kid": self.key.kid}
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        return {
            "access_token": "at-1",
            "refresh_token": "rt-1",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "openid launch/patient patient/*.rs offline_access",
            "patient": "p-1",
            "id_token": f"{signed}.{_b64(self.key.sign(signed.encode()))}",
        }


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
