"""
The peer itself, driven by requests built by hand, without this library.

What the library's tests against it are worth depends on the peer being as strict as it claims.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt

pytestmark = pytest.mark.peers

Peer: TypeAlias = Any
"""The fixture's `Peer`: a conftest cannot be imported."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ByHand:
    """A client without any library: one method per message."""

    def __init__(self, peer: Peer, algorithm: str, http: httpx.Client) -> None:
        self.peer = peer
        self.algorithm = algorithm
        self.client_id = f"app-{algorithm}"
        self.http = http
        base = peer.fhir_base
        self.metadata: dict[str, Any] = self.http.get(f"{base}/.well-known/smart-configuration").json()
        self.verifier = secrets.token_urlsafe(32)

    def assertion(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.metadata["token_endpoint"],
            "jti": secrets.token_urlsafe(32),
            "iat": now - 60,
            "exp": now + 240,
        }
        key = self.peer.keys[self.algorithm]
        header = {"alg": self.algorithm, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(header, claims | changes, key, algorithms=[self.algorithm])

    def authorization_url(self, **changes: str) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.peer.redirect_uri,
            "scope": "openid fhirUser launch/patient patient/*.rs offline_access",
            "state": "state-of-this-login",
            "aud": self.peer.fhir_base,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        query |= changes
        parameters = urlencode({name: value for name, value in query.items() if value})
        return f"{self.metadata['authorization_endpoint']}?{parameters}"

    def callback(self) -> dict[str, str]:
        """Log in, and return the callback's parameters."""
        callback = self.peer.log_in(self.authorization_url())
        return {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}

    def post(self, *, assertion: str | None = None, **fields: str) -> httpx.Response:
        form = fields | {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
        }
        return self.http.post(self.metadata["token_endpoint"], data=form)

    def redeem(self, code: str, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.peer.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self.post(**form | changes)

    def refresh(self, refresh_token: str) -> httpx.Response:
        return self.post(grant_type="refresh_token", refresh_token=refresh_token)


@pytest.fixture
def by_hand(oidc_provider: Peer, algorithm: str) -> Any:
    """Return a hand-made client for each algorithm."""
    with httpx.Client(trust_env=False) as http:
        yield ByHand(oidc_provider, algorithm, http)


def test_code_and_refresh(by_hand: ByHand) -> None:
    """A login ends with tokens, a launch context and an issuer; a refresh rotates the refresh token."""
    callback = by_hand.callback()
    assert callback["state"] == "state-of-this-login"
    assert callback["iss"] == by_hand.metadata["issuer"]
    first = by_hand.redeem(callback["code"]).json()
    assert first["token_type"] == "Bearer"
    assert first["patient"] == "pat-1"
    assert set(first["scope"].split()) == {
        "openid", "fhirUser", "launch/patient", "patient/*.rs", "offline_access",
    }  # fmt: skip
    second = by_hand.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]


def test_a_refresh_token_works_once(by_hand: ByHand) -> None:
    """A rotated refresh token that comes back is refused, and takes its successor with it."""
    first = by_hand.redeem(by_hand.callback()["code"]).json()
    second = by_hand.refresh(first["refresh_token"]).json()
    again = by_hand.refresh(first["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert by_hand.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_code_works_once(by_hand: ByHand) -> None:
    """A code that comes back is refused."""
    code = by_hand.callback()["code"]
    assert by_hand.redeem(code).status_code == 200
    assert by_hand.redeem(code).json()["error"] == "invalid_grant"


def test_client_credentials(by_hand: ByHand) -> None:
    """A backend service gets a token for system scopes, and reads a Patient with it."""
    answer = by_hand.post(grant_type="client_credentials", scope="system/*.rs").json()
    assert answer["scope"] == "system/*.rs"
    url = f"{by_hand.peer.fhir_base}/Patient/pat-1"
    allowed = by_hand.http.get(url, headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert allowed.json()["resourceType"] == "Patient"
    assert by_hand.http.get(url).status_code == 401


def test_pkce_is_demanded(by_hand: ByHand) -> None:
    """Without a challenge there is no login, and with the wrong verifier there is no token."""
    url = by_hand.authorization_url(code_challenge="", code_challenge_method="")
    assert "error=invalid_request" in by_hand.peer.log_in(url)
    answer = by_hand.redeem(by_hand.callback()["code"], code_verifier=secrets.token_urlsafe(32))
    assert answer.json()["error"] == "invalid_grant"


def test_the_audience_is_checked(by_hand: ByHand) -> None:
    """A login for another FHIR server is refused."""
    assert "error=invalid_request" in by_hand.peer.log_in(by_hand.authorization_url(aud="https://other.test"))


@pytest.mark.parametrize(
    "changes",
    [{"aud": "https://other.test/token"}, {"iss": "someone"}, {"jti": ""}, {"exp": 1_700_000_000}],
    ids=lambda changes: next(iter(changes)),
)
def test_bad_assertions_are_refused(by_hand: ByHand, changes: dict[str, Any]) -> None:
    """An assertion for another server, from another issuer, without an id or out of time gets no token."""
    answer = by_hand.post(grant_type="client_credentials", assertion=by_hand.assertion(**changes))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_assertion_works_once(by_hand: ByHand) -> None:
    """An assertion that comes back is refused."""
    assertion = by_hand.assertion()
    assert by_hand.post(grant_type="client_credentials", assertion=assertion).status_code == 200
    assert by_hand.post(grant_type="client_credentials", assertion=assertion).status_code == 401


def test_a_foreign_key_is_refused(by_hand: ByHand) -> None:
    """An assertion signed with a key that is not registered gets no token."""
    other = by_hand.peer.keys[by_hand.algorithm].generate_key(
        **({"key_size": 2048} if by_hand.algorithm == "RS384" else {"crv": "P-384"})
    )
    header = {"alg": by_hand.algorithm, "kid": by_hand.peer.keys[by_hand.algorithm].kid, "typ": "JWT"}
    claims = jwt.decode(by_hand.assertion(), by_hand.peer.keys[by_hand.algorithm], [by_hand.algorithm]).claims
    forged = jwt.encode(header, claims, other, algorithms=[by_hand.algorithm])
    assert by_hand.post(grant_type="client_credentials", assertion=forged).status_code == 401


def test_the_server_says_what_it_saw(by_hand: ByHand) -> None:
    """The server's notes name the last request's parameters and its assertion."""
    assertion = by_hand.assertion()
    by_hand.post(grant_type="client_credentials", assertion=assertion)
    last = by_hand.peer.seen()[-1]
    assert last["outcome"] == "granted"
    assert last["header"] == {
        "alg": by_hand.algorithm,
        "kid": f"{by_hand.algorithm.lower()}-key",
        "typ": "JWT",
    }
    assert sorted(last["parameters"]) == ["client_assertion", "client_assertion_type", "grant_type"]
    assert last["authorization_header"] is False
