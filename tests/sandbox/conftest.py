"""Requests to the sandbox, written by hand: no code of the client side is used here."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from smart_async.limits import Timeouts
from smart_async.messages import Headers, Request, Response
from smart_async.sandbox import Sandbox, Verdict

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CALLBACK = "https://app.example.com/callback"
FORM = "application/x-www-form-urlencoded"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8))


@dataclass
class Clock:
    """A clock that stands still until somebody moves it."""

    now: float = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


@dataclass
class Key:
    """A private key with its public JWK, and a signature made step by step."""

    private: Any
    algorithm: str
    jwk: dict[str, Any]

    def sign(self, data: bytes) -> bytes:
        if self.algorithm.startswith("RS"):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA384())
        size = (self.private.curve.key_size + 7) // 8
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA384())))
        return r.to_bytes(size) + s.to_bytes(size)


def ec_jwk(private: Any, kid: str, crv: str, size: int) -> dict[str, Any]:
    point = private.public_key().public_numbers()
    return {"kty": "EC", "kid": kid, "crv": crv, "x": number(point.x, size), "y": number(point.y, size)}


def make_rsa(kid: str, bits: int = 2048) -> Key:
    private = rsa.generate_private_key(65537, bits)
    numbers = private.public_key().public_numbers()
    return Key(private, "RS384", {"kty": "RSA", "kid": kid, "n": number(numbers.n), "e": number(numbers.e)})


def make_ec(kid: str) -> Key:
    private = ec.generate_private_key(ec.SECP384R1())
    return Key(private, "ES384", ec_jwk(private, kid, "P-384", 48))


def changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Apply *changes* to *base*; `...` removes a member."""
    return {name: value for name, value in {**base, **changes}.items() if value is not ...}


@dataclass
class Hand:
    """A client without any library: every request is put together from its parts."""

    sandbox: Sandbox
    clock: Clock
    ec_key: Key
    rsa_key: Key
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def send(
        self,
        method: str,
        url: str,
        *,
        fields: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        sent = dict(headers or {})
        if fields is not None:
            body = urlencode(fields).encode()
            sent.setdefault("Content-Type", FORM)
        request = Request(method=method, url=url, purpose="token", headers=Headers(sent), body=body)
        return self.sandbox.transport().send(request, Timeouts())

    @property
    def verdict(self) -> Verdict:
        return self.sandbox.verdicts[-1]

    @property
    def remarks(self) -> list[str | None]:
        """The rules of the remarks on accepted requests."""
        return [verdict.rule for verdict in self.sandbox.verdicts if verdict.accepted and verdict.rule]

    def assertion(
        self, claims: Mapping[str, Any] = {}, header: Mapping[str, Any] = {}, key: Key | None = None
    ) -> str:
        key = key or self.ec_key
        now = int(self.clock.now)
        full_header = changed({"alg": key.algorithm, "kid": key.jwk["kid"], "typ": "JWT"}, header)
        full_claims = changed(
            {
                "iss": "asymmetric",
                "sub": "asymmetric",
                "aud": self.sandbox.token_endpoint,
                "exp": now + 240,
                "iat": now - 60,
                "jti": secrets.token_hex(16),
            },
            claims,
        )
        signed = ".".join(b64(json.dumps(part).encode()) for part in (full_header, full_claims))
        return f"{signed}.{b64(key.sign(signed.encode()))}"

    def proof(self, **parts: Any) -> dict[str, str]:
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(**parts)}

    def post(self, fields: Mapping[str, Any], path: str = "/oauth2/token", **more: Any) -> Response:
        return self.send("POST", self.sandbox.base_url + path, fields=fields, **more)

    def backend(self, scope: str = "system/*.rs", **parts: Any) -> Response:
        return self.post({"grant_type": "client_credentials", "scope": scope, **self.proof(**parts)})

    def authorization(self, **changes: Any) -> dict[str, str]:
        base = {
            "response_type": "code",
            "client_id": "asymmetric",
            "redirect_uri": CALLBACK,
            "scope": "openid fhirUser launch/patient patient/*.rs offline_access",
            "state": secrets.token_urlsafe(32),
            "aud": self.sandbox.fhir_base,
            "code_challenge": b64(hashlib.sha256(self.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        return changed(base, changes)

    def ask(self, fields: Mapping[str, str], method: str = "GET") -> Response:
        """Send an authorization request and return the answer as it is."""
        self.verifier = secrets.token_urlsafe(32) if "code_challenge" not in fields else self.verifier
        url = f"{self.sandbox.base_url}/oauth2/authorize"
        if method == "POST":
            return self.send("POST", url, fields=fields)
        return self.send("GET", f"{url}?{urlencode(fields)}")

    def callback(self, **changes: Any) -> dict[str, str]:
        """Make an authorization request and return the parameters that come back."""
        self.verifier = secrets.token_urlsafe(32)
        location = self.ask(self.authorization(**changes)).headers["location"]
        return dict(parse_qsl(urlsplit(location).query))

    def exchange(self, code: str, /, **changes: Any) -> Response:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        }
        return self.post(changed({**fields, **self.proof()}, changes))

    def login(self, **changes: Any) -> dict[str, Any]:
        """Log in as the asymmetric client and return the token response."""
        return json.loads(self.exchange(self.callback(**changes)["code"]).body)

    def refresh(self, refresh_token: str, /, **changes: Any) -> Response:
        fields = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.post(changed({**fields, **self.proof()}, changes))

    def read(self, path: str, token: str | None, method: str = "GET", **headers: str) -> Response:
        sent = dict(headers) if token is None else {"Authorization": f"Bearer {token}", **headers}
        return self.send(method, f"{self.sandbox.fhir_base}/{path}", headers=sent)

    def system_token(self, scope: str = "system/*.rs") -> str:
        return json.loads(self.backend(scope).body)["access_token"]


@pytest.fixture(scope="session")
def ec_key() -> Key:
    return make_ec("key-ec")


@pytest.fixture(scope="session")
def rsa_key() -> Key:
    return make_rsa("key-rsa")


@pytest.fixture(scope="session")
def make_key() -> Callable[..., Key]:
    """Make another key: `make_key("EC", kid)` or `make_key("RSA", kid, bits)`."""
    return lambda kind, kid, *bits: make_ec(kid) if kind == "EC" else make_rsa(kid, *bits)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock, ec_key: Key, rsa_key: Key) -> Sandbox:
    sandbox = Sandbox(clock=clock)
    sandbox.register_client(
        client_id="asymmetric", redirect_uris=[CALLBACK], jwks={"keys": [ec_key.jwk, rsa_key.jwk]}
    )
    sandbox.register_client(client_id="symmetric", redirect_uris=[CALLBACK], client_secret="p@ss:w/rd+1")
    sandbox.register_client(client_id="public", redirect_uris=[CALLBACK])
    return sandbox


@pytest.fixture
def hand(sandbox: Sandbox, clock: Clock, ec_key: Key, rsa_key: Key) -> Hand:
    return Hand(sandbox, clock, ec_key, rsa_key)


@pytest.fixture
def make_hand(clock: Clock, ec_key: Key, rsa_key: Key) -> Callable[..., Hand]:
    """Make a sandbox of other settings, with the asymmetric client registered, and a hand for it."""

    def make(**settings: Any) -> Hand:
        sandbox = Sandbox(clock=clock, **settings)
        sandbox.register_client(client_id="asymmetric", redirect_uris=[CALLBACK], jwks={"keys": [ec_key.jwk]})
        return Hand(sandbox, clock, ec_key, rsa_key)

    return make
