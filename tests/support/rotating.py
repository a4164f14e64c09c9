"""
An authorization server in memory that rotates refresh tokens, and revokes a login when it sees one twice.

It is a transport of both colours. Each request passes through several checkpoints before it takes effect and
several after, so that a test can cancel it at every one of them; what arrived and what it did is kept.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from anyio.lowlevel import checkpoint

from smart_async import PrivateKeyJWT, SigningKey, SmartConfig, Token
from smart_async.limits import Timeouts
from smart_async.messages import Headers, Request, Response, Secret
from smart_async.smart.binding import Binding
from smart_async.smart.launch import LaunchContext
from smart_async.smart.scopes import Scopes

__all__ = ("CHECKPOINTS", "RotatingServer", "config_for")

CHECKPOINTS = 3
"""Checkpoints before a request takes effect, and again after it."""


class RotatingServer:
    """
    The server of one FHIR base.

    `lose` makes the answer to the next token request get lost after it took effect, as an exception.
    """

    def __init__(self, base: str = "https://ehr.example.com/r4", *, rotates: bool = True) -> None:
        self.base = base
        self.rotates = rotates
        self.requests: list[Request] = []
        self.grants: list[str] = []
        self.replays: list[str] = []
        self.issued = 0
        self.lifetime = 3600
        self.lose: Exception | None = None
        self.hook: Callable[[], object] = lambda: None
        self.live: dict[str, str] = {}  # refresh token -> login
        self.spent: dict[str, str] = {}
        self._lock = threading.Lock()

    def login(self, scope: str = "patient/*.rs offline_access", *, now: float = 1_750_000_000.0) -> Token:
        """A token as a login has it."""
        refresh_token = self._rotated(f"login-{self.issued + 1}")
        access_token = Secret(f"at-{self.issued}")
        return Token(
            access_token=access_token,
            expires_at=now + self.lifetime,
            refresh_token=Secret(refresh_token),
            scopes=Scopes(scope),
            launch_scopes=Scopes(scope),
            context=LaunchContext(),
            raw={"access_token": access_token},
            binding=Binding(
                fhir_base=self.base, client_id="app", issuer=None, token_endpoint=f"{self.base}/token"
            ),
            issued_at=now,
        )

    @property
    def token_requests(self) -> list[Request]:
        """The token requests that took effect or were refused."""
        return [each for each in self.requests if each.method == "POST"]

    def good(self, token: Token) -> bool:
        """Whether the refresh token of *token* would be taken now."""
        return token.refresh_token is not None and token.refresh_token.reveal() in self.live

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """Answer *request*."""
        self.hook()
        with self._lock:
            response = self._answer(request)
        self.hook()
        return response

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """Answer *request*, with checkpoints before and after it takes effect."""
        for _ in range(CHECKPOINTS):
            self.hook()
            await checkpoint()
        with self._lock:
            response = self._answer(request)
        for _ in range(CHECKPOINTS):
            self.hook()
            await checkpoint()
        return response

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def _answer(self, request: Request) -> Response:
        self.requests.append(request)
        if request.method == "GET":
            return self._json(request, {"token_endpoint": f"{self.base}/token", "capabilities": []})
        form = dict(parse_qsl((request.body or b"").decode()))
        self.grants.append(form["grant_type"])
        answer = self._token(form)
        lost, self.lose = self.lose, None
        if lost is not None:
            raise lost
        return self._json(request, answer, 400 if "error" in answer else 200)

    def _token(self, form: dict[str, str]) -> dict[str, Any]:
        refresh_token = None
        if form["grant_type"] == "refresh_token":
            given = form["refresh_token"]
            if given in self.spent:
                self.replays.append(given)
                login = self.spent[given]
                self.live = {each: of for each, of in self.live.items() if of != login}
            if given not in self.live:
                return {"error": "invalid_grant"}
            refresh_token = given
            if self.rotates:
                self.spent[given] = login = self.live.pop(given)
                refresh_token = self._rotated(login)
        self.issued += 1
        members = {
            "access_token": f"at-{self.issued}",
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": form.get("scope", "patient/*.rs offline_access"),
        }
        return members if refresh_token is None else {**members, "refresh_token": refresh_token}

    def _rotated(self, login: str) -> str:
        self.issued += 1
        self.live[f"rt-{self.issued}"] = login
        return f"rt-{self.issued}"

    @staticmethod
    def _json(request: Request, document: dict[str, Any], status: int = 200) -> Response:
        return Response(
            status=status,
            headers=Headers({"Content-Type": "application/json"}),
            body=json.dumps(document).encode(),
            url=request.url,
        )


def config_for(server: RotatingServer, key: SigningKey, **changes: Any) -> SmartConfig:
    """The registration of the client `app` at *server*."""
    return SmartConfig(fhir_base=server.base, client_id="app", client_auth=PrivateKeyJWT(key), **changes)
