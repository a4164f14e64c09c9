"""A small world in which a client is healthy, until a test breaks one thing in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

import pytest

from smart_async import PrivateKeyJWT, SigningKey, SmartConfig
from smart_async.errors import TransportError
from smart_async.flow import Flow, Instant, Now, Send, Sign
from smart_async.messages import Headers, Request, Response
from smart_async.smart.diagnosis import Diagnosis, Evidence, attempt, gather, judge
from smart_async.smart.scopes import Scopes
from smart_async.smart.state import ClientState

NOW = 1_800_000_000.0
BASE = "https://ehr.example.com/r4"
WELL_KNOWN = f"{BASE}/.well-known/smart-configuration"
TOKEN = "https://ehr.example.com/oauth2/token"
JWKS = "https://app.example.net/jwks.json"
DOCUMENT: dict[str, Any] = {
    "authorization_endpoint": "https://ehr.example.com/oauth2/authorize",
    "token_endpoint": TOKEN,
    "grant_types_supported": ["authorization_code", "client_credentials"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
    "scopes_supported": ["system/*.rs"],
    "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    "code_challenge_methods_supported": ["S256"],
}
ISSUED = {
    "access_token": "tell-nobody-this-token",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "system/*.rs",
}
REFUSED = {"error": "invalid_client"}


def answer(body: Any, status: int = 200, *, at: float = NOW, date: bool = True, **headers: str) -> Response:
    """An answer: JSON, or bytes as they are."""
    fields = {"Content-Type": "application/json"}
    if date:
        fields["Date"] = formatdate(at, usegmt=True)
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status=status, headers=Headers(fields), body=content)


@dataclass
class World:
    """Servers by URL; what is not there cannot be reached."""

    config: SmartConfig | None
    pages: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    sent: list[Request] = field(default_factory=list)
    now: float = NOW

    def answer(self, request: Request) -> Response:
        """What the server says to *request*."""
        self.sent.append(request)
        page = self.pages.get(request.url, TransportError("No connection could be opened.", sent=False))
        if isinstance(page, Exception):
            raise page
        found: Response = page(request) if callable(page) else page
        return replace(found, url=request.url, received_at=self.now)

    def perform(self, flow: Flow[None]) -> None:
        """Perform the steps of *flow*."""
        outcome: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(outcome)
            except StopIteration:
                return
            outcome, failure = None, None
            try:
                match step:
                    case Send():
                        outcome = self.answer(step.request)
                    case Sign():
                        outcome = step.signer.sign(step.signing_input)  # type: ignore[union-attr]
                    case Now():
                        outcome = Instant(self.now, 0.0)
                    case _:
                        raise AssertionError(step)
            except AssertionError:
                raise
            except Exception as exc:
                failure = exc

    def evidence(self, **options: Any) -> Evidence:
        """The facts."""
        values = {"jwks_url": JWKS, "try_token": True, **self.options, **options}
        tls = values.pop("tls", None)
        scope = values.pop("scope", None) or (self.config.scope if self.config else "system/*.rs")
        evidence = Evidence(config=self.config, scopes=Scopes(scope), tls=tls, **values)
        state = ClientState(config=self.config) if self.config else None
        self.perform(gather(state, evidence))
        if state is not None:
            self.perform(attempt(state, evidence))
        return evidence

    def diagnose(self, **options: Any) -> Diagnosis:
        """The diagnosis."""
        return judge(self.evidence(**options))

    def causes(self, **options: Any) -> list[str]:
        """The ids of the causes, in their order."""
        return [cause.id for cause in self.diagnose(**options).causes]


@pytest.fixture(scope="session")
def key() -> SigningKey:
    """The client's key."""
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture(scope="session")
def other() -> SigningKey:
    """Another key with the same id."""
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture(scope="session")
def rsa() -> SigningKey:
    """An RSA key with the same id."""
    return SigningKey.generate("RS384", kid="key-1", key_size=2048)


@pytest.fixture
def config(key: SigningKey) -> SmartConfig:
    """A registration."""
    return SmartConfig(
        fhir_base=BASE, client_id="nightly-job", client_auth=PrivateKeyJWT(key), scope="system/*.rs"
    )


@pytest.fixture
def world(config: SmartConfig, key: SigningKey) -> World:
    """A world in which nothing is wrong."""
    jwks = {"keys": [key.public_jwk()]}
    return World(
        config,
        {
            WELL_KNOWN: answer(DOCUMENT),
            JWKS: answer(jwks, Cache_Control="max-age=300"),
            TOKEN: lambda request: answer(
                ISSUED if b"client_assertion=" in (request.body or b"") else REFUSED,
                200 if b"client_assertion=" in (request.body or b"") else 401,
            ),
        },
    )


@pytest.fixture
def refuse(world: World) -> Callable[..., None]:
    """Return a function that makes the token endpoint say no."""

    def no(
        error: str | None = "invalid_client", description: str | None = None, status: int = 401, **more: Any
    ) -> None:
        body = {"error": error, "error_description": description}
        world.pages[TOKEN] = answer({name: value for name, value in body.items() if value}, status, **more)

    return no


@pytest.fixture
def document(world: World) -> Callable[..., None]:
    """Return a function that changes the discovery document; None takes a member out."""

    def change(**members: Any) -> None:
        changed = {**DOCUMENT, **members}
        world.pages[WELL_KNOWN] = answer(
            {name: value for name, value in changed.items() if value is not None}
        )

    return change


@pytest.fixture
def published(world: World, key: SigningKey) -> Callable[..., None]:
    """Return a function that publishes other keys, or the key with changed members."""

    def publish(*keys: Any, headers: dict[str, str] | None = None, **members: Any) -> None:
        found = list(keys) or [
            {name: value for name, value in {**key.public_jwk(), **members}.items() if value}
        ]
        world.pages[JWKS] = answer({"keys": found}, **(headers or {}))

    return publish


@pytest.fixture
def make() -> Callable[..., Response]:
    """Return a function that makes an answer."""
    return answer
