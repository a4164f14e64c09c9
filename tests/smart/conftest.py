"""Flows driven by hand: a script performs each step, so nothing here needs a network, a loop or a clock."""

from __future__ import annotations

import base64
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import pytest
from versioned import VersionedStore

from smart_async import PrivateKeyJWT, SigningKey, SmartConfig, StoreError, Token
from smart_async.flow import (
    Delete,
    Emit,
    Exclusive,
    Flow,
    Instant,
    Load,
    Now,
    Save,
    Send,
    Sign,
    Sleep,
    Step,
)
from smart_async.messages import Event, Headers, Request, Response
from smart_async.smart.binding import Binding
from smart_async.smart.metadata import SmartMetadata, parse_metadata
from smart_async.smart.state import CachedMetadata, ClientState
from smart_async.smart.token_response import parse_token_response

T = TypeVar("T")
FHIR_BASE = "https://ehr.example.com/r4"


def make_response(
    document: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes | None = None,
) -> Response:
    """An answer with *document* as JSON, or with *body* as it stands."""
    return Response(
        status=status,
        headers=Headers({"Content-Type": "application/json", **(headers or {})}),
        body=json.dumps(document).encode() if body is None else body,
    )


class CountingEntropy:
    """Random bytes that differ at every call and are the same in every run."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(size, "big")


Answer: TypeAlias = Response | BaseException | Callable[[Request], "Response | BaseException"]


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Script:
    """
    Performs the steps of a flow: `Now` from its own clock, `Sign` with the signer, `Send` from a list,
    `Sleep` by letting time pass, `Exclusive` by running the inner flow, under the store's lease if it wants
    that, `Load`, `Save` and `Delete` with the store, `Emit` by noting the event.

    An exception among the answers is thrown into the flow at its `Send`. A request beyond the list fails
    the test, and so does `finished()` while answers are left over. Each answer may be a function, which is
    called with the request. With `crash_at`, the flow dies right before that step, counted from 1, as a
    process does: `Crash` is raised, and the flow is only closed.
    """

    wall: float = 1_750_000_000.0
    monotonic: float = 1_000.0
    answers: deque[Answer] = field(default_factory=deque)
    steps: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    store: VersionedStore = field(default_factory=VersionedStore)
    events: list[Event] = field(default_factory=list)
    deadline: float = 0.0
    crash_at: int | None = None
    fence: int | None = None

    def answer(self, *answers: Answer) -> Script:
        """Append *answers* to the list."""
        self.answers.extend(answers)
        return self

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        self.wall += seconds
        self.monotonic += seconds

    def run(self, flow: Flow[T]) -> T:
        """Perform *flow* to its end and return its result, or raise what it raises."""
        try:
            return self._run(flow)
        finally:
            flow.close()

    def _run(self, flow: Flow[T]) -> T:
        outcome: Any = None
        failure: BaseException | None = None
        while True:
            try:
                step = flow.send(outcome) if failure is None else flow.throw(failure)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            outcome, failure = None, None
            self.steps.append(step)
            if len(self.steps) == self.crash_at:
                raise Crash
            match step:
                case Now():
                    outcome = Instant(self.wall, self.monotonic, self.deadline)
                case Sign(signer, signing_input):
                    outcome = signer.sign(signing_input)  # type: ignore[union-attr]
                case Send(request):
                    outcome, failure = self._send(request)
                case Sleep(seconds):
                    self.advance(seconds)
                case Exclusive(key, inner, leased):
                    try:
                        outcome = self._exclusive(key, inner, leased)
                    except Exception as exc:
                        failure = exc
                case Load() | Save() | Delete():
                    try:
                        outcome = self.store.perform(step, self.fence)
                    except StoreError as exc:
                        failure = exc
                case Emit(event):
                    self.events.append(event)
                case _:
                    raise AssertionError(f"the flow asked for {step!r}")

    def _exclusive(self, key: str, flow: Flow[T], leased: bool) -> T:
        if not leased:
            return self.run(flow)
        assert self.fence is None, "no flow waits for a lease while it holds one"
        try:
            self.fence = self.store.acquire(key)
            return self.run(flow)
        finally:
            self.fence = None

    def _send(self, request: Request) -> tuple[Response | None, BaseException | None]:
        self.requests.append(request)
        if not self.answers:
            raise AssertionError(f"request number {len(self.requests)} was not expected: {request!r}")
        answer = self.answers.popleft()
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException):
            return None, answer
        url = answer.url or request.url
        return Response(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            url=url,
            received_at=self.wall,
            truncated=answer.truncated,
        ), None

    def finished(self) -> None:
        """Check that every answer was asked for."""
        assert list(self.answers) == []

    @property
    def kinds(self) -> list[type[Step]]:
        """The kinds of the steps performed, in order."""
        return [type(step) for step in self.steps]


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """An ES384 key, made once."""
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture
def config(signing_key: SigningKey) -> SmartConfig:
    """A registration that allows every flow."""
    return SmartConfig(
        fhir_base=FHIR_BASE,
        client_id="growth-chart",
        client_auth=PrivateKeyJWT(signing_key),
        redirect_uri="https://app.example.com/callback",
        scope="openid fhirUser launch/patient patient/*.rs offline_access",
    )


@pytest.fixture
def state(config: SmartConfig) -> ClientState:
    """The client of `config`, nothing discovered yet, with random bytes that can be foretold."""
    return ClientState(config=config, entropy=CountingEntropy())


@pytest.fixture
def document() -> dict[str, Any]:
    """A smart-configuration document without a fault, with every member of the specification."""
    return {
        "issuer": "https://sso.example.com",
        "jwks_uri": "https://sso.example.com/oauth2/keys",
        "authorization_endpoint": "https://sso.example.com/oauth2/authorize",
        "token_endpoint": "https://sso.example.com/oauth2/token",
        "registration_endpoint": "https://sso.example.com/oauth2/register",
        "introspection_endpoint": "https://sso.example.com/oauth2/introspect",
        "revocation_endpoint": "https://sso.example.com/oauth2/revoke",
        "management_endpoint": "https://portal.example.com/my-apps",
        "smart_app_state_endpoint": "https://state.example.com/fhir",
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "scopes_supported": ["openid", "fhirUser", "launch", "launch/patient", "patient/*.rs"],
        "capabilities": [
            "launch-ehr",
            "launch-standalone",
            "authorize-post",
            "client-public",
            "client-confidential-symmetric",
            "client-confidential-asymmetric",
            "sso-openid-connect",
            "context-ehr-patient",
            "context-ehr-encounter",
            "context-standalone-patient",
            "permission-patient",
            "permission-user",
            "permission-offline",
            "permission-v2",
        ],
        "associated_endpoints": [
            {"url": "https://state.example.com/fhir", "capabilities": ["smart-app-state"]}
        ],
        "user_access_brand_bundle": "https://www.example.com/brands.json",
        "user_access_brand_identifier": {"system": "urn:ietf:rfc:3986", "value": "https://example.com"},
    }


@pytest.fixture
def script() -> Script:
    """A script without answers; give it some with `script.answer(...)`."""
    return Script()


@pytest.fixture
def crash() -> type[BaseException]:
    """What a script with `crash_at` raises."""
    return Crash


@pytest.fixture
def json_response() -> Callable[..., Response]:
    """Builds an answer: `json_response(document, status=200, headers=None, body=None)`."""
    return make_response


@pytest.fixture
def metadata(document: dict[str, Any]) -> SmartMetadata:
    """The good document, parsed."""
    return parse_metadata(document, fhir_base=FHIR_BASE, url=f"{FHIR_BASE}/.well-known/smart-configuration")


@pytest.fixture
def binding(config: SmartConfig, metadata: SmartMetadata) -> Binding:
    """Where the tokens of these tests belong."""
    return Binding.of(config, metadata)


@pytest.fixture
def token_document() -> dict[str, Any]:
    """A token response without a fault, as a user-facing login gets it."""
    return {
        "access_token": "opaque-7Fq2-access",
        "token_type": "Bearer",
        "expires_in": 1800,
        "scope": "openid fhirUser launch/patient patient/*.rs offline_access",
        "refresh_token": "r-2c44-refresh",
        "patient": "p-3307",
        "encounter": "e-9921",
        "need_patient_banner": False,
        "intent": "vitals-trend",
        "smart_style_url": "https://ehr.example.com/style/v14.json",
        "tenant": "wb-north",
        "fhirContext": [{"reference": "ServiceRequest/sr-71"}],
        "__nightMode": True,
    }


@pytest.fixture
def login(token_document: dict[str, Any], binding: Binding) -> Token:
    """The token of a login an hour long that has just happened, without an ID token."""
    document = {
        **token_document,
        "access_token": "at-1",
        "refresh_token": "r-1",
        "expires_in": 3600,
        "scope": "launch/patient patient/*.rs offline_access",
    }
    response = make_response(document).stamped(1_750_000_000.0)
    return parse_token_response(response, binding=binding, requested_scope="")


@pytest.fixture
def refreshed() -> Callable[..., Response]:
    """Builds the answer to a refresh: `refreshed(2)` has at-2 and r-2; `...` leaves out a member."""

    def make(number: int, **changes: Any) -> Response:
        document = {
            "access_token": f"at-{number}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "launch/patient patient/*.rs offline_access",
            "refresh_token": f"r-{number}",
            **changes,
        }
        return make_response({name: value for name, value in document.items() if value is not ...})

    return make


@pytest.fixture
def known_state(state: ClientState, metadata: SmartMetadata) -> ClientState:
    """The client of `config`, with the server's document in its cache for good."""
    state.cached = CachedMetadata(metadata, math.inf)
    return state


@pytest.fixture
def form_of() -> Callable[[Request], dict[str, str]]:
    """Reads the form of a request, and fails where a field occurs twice."""

    def read(request: Request) -> dict[str, str]:
        assert request.body is not None
        pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    return read


@pytest.fixture(scope="session")
def smart_vectors() -> dict[str, Any]:
    """The published keys and assertions of the reference's appendix A."""
    vectors: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "smart.json").read_text())
    return vectors


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An OpenID provider put together by hand: its keys, its documents and the ID tokens that it signs."""

    url = "https://sso.example.com"
    jwks_uri = "https://sso.example.com/oauth2/keys"

    def __init__(self) -> None:
        self._keys: dict[str, SigningKey] = {}

    def key(self, kid: str = "RS256", alg: str | None = None) -> SigningKey:
        """The key *kid*, made when it is first needed; by default its id is its algorithm."""
        if kid not in self._keys:
            self._keys[kid] = SigningKey.generate(alg or kid, kid=kid, key_size=2048)
        return self._keys[kid]

    def jwk(self, name: str = "RS256", algorithm: str | None = None, /, **changes: Any) -> dict[str, Any]:
        """The public key *name*; `...` removes a member."""
        return self.changed(dict(self.key(name, algorithm).public_jwk()), changes)

    def jwks(self, *jwks: dict[str, Any]) -> dict[str, Any]:
        """A JWK Set of *jwks*, by default of the one RS256 key."""
        return {"keys": list(jwks or [self.jwk()])}

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """The OpenID configuration."""
        return self.changed({"issuer": self.url, "jwks_uri": self.jwks_uri}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a login that has just happened, by the clock of `Script`."""
        base = {
            "iss": self.url,
            "sub": "u-58121",
            "aud": "growth-chart",
            "iat": 1_750_000_000,
            "exp": 1_750_003_600,
            "nonce": "n-1",
            "fhirUser": "Practitioner/dr-9",
        }
        return self.changed(base, changes)

    def token(
        self, kid: str = "RS256", header: Mapping[str, Any] | None = None, payload: Any = None, **claims: Any
    ) -> str:
        """An ID token signed with the key *kid*, with changed claims or another payload."""
        key = self.key(kid)
        head = self.changed({"alg": key.algorithm, "kid": kid, "typ": "JWT"}, header or {})
        body = self.claims(**claims) if payload is None else payload
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (head, body))
        return f"{signed}.{_b64(key.sign(signed.encode()))}"

    @staticmethod
    def changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Apply *changes* to *base*; `...` removes a member."""
        return {name: value for name, value in {**base, **changes}.items() if value is not ...}


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """An OpenID provider for the issuer of `document`."""
    return Issuer()
