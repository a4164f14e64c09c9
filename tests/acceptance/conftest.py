"""
A world in memory for attacks: an EHR with its authorization server, attackers beside it, a clock that can
be set, and clients of all three colours behind one face.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.lowlevel import checkpoint
from browsers import browsing, chromium, demo
from loopback import authority, ca_file, caller, servers

from smart_async import (
    AsyncSmartClient,
    ClientSecret,
    PrivateKeyJWT,
    PublicClient,
    SigningKey,
    SmartClient,
    SmartConfig,
    TransportError,
)
from smart_async.limits import Timeouts
from smart_async.messages import Headers, Request, Response

# Servers on real sockets, for attacks on the network; and a browser, for attacks on pages.
__all__ = ("authority", "browsing", "ca_file", "caller", "chromium", "demo", "servers")

FHIR_BASE = "https://ehr.example.com/r4"
SSO = "https://sso.example.com"
CALLBACK = "https://app.example.com/callback"
SECRET = "p@ss:w/rd+1"
NOW = 1_750_000_000.0

Answer = Response | Exception | Callable[[Request], Response]


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with *document* as JSON, or bytes as they stand."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Response(
        status=status, headers=Headers({"Content-Type": "application/json", **(headers or {})}), body=body
    )


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """*base* with *changes*; `...` removes a member."""
    return {name: value for name, value in {**base, **changes}.items() if value is not ...}


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def wall(self) -> float:
        """Unix seconds."""
        return self.now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.now - NOW + 1000.0


class Net:
    """
    All servers there are, by URL. It is a transport of both colours, and keeps every request.

    A URL that nobody serves is out of reach; trying it is kept, too: no request may be sent there at all.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Answer] = {}
        self.requests: list[Request] = []

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """The answer of the server at that URL."""
        self.requests.append(request)
        found = self.routes.get(request.url.partition("?")[0])
        if found is None:
            raise TransportError("There is no such server.", endpoint=request.url, sent=False)
        if isinstance(found, Exception):
            raise found
        response = found if isinstance(found, Response) else found(request)
        return replace(response, url=request.url)

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """The same, where a real transport would wait."""
        await checkpoint()
        return self.send(request, timeouts)

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def to(self, host: str) -> list[Request]:
        """The requests that went to a host whose name holds *host*."""
        return [request for request in self.requests if host in request.url.split("/")[2]]

    def of(self, purpose: str) -> list[Request]:
        """The requests with one purpose."""
        return [request for request in self.requests if request.purpose == purpose]


def form_of(request: Request) -> dict[str, str]:
    """The form of a request."""
    assert request.body is not None
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


@dataclass
class Provider:
    """An EHR and its authorization server: its documents, its keys, and what it answers."""

    net: Net
    clock: Clock
    base: str = FHIR_BASE
    sso: str = SSO
    keys: dict[str, SigningKey] = field(default_factory=dict)
    id_token: str | None = None
    token_changes: dict[str, Any] = field(default_factory=dict)
    jwks_members: list[Any] | None = None

    def document(self, **changes: Any) -> dict[str, Any]:
        """The smart-configuration document."""
        base = {
            "issuer": self.sso,
            "jwks_uri": f"{self.sso}/keys",
            "authorization_endpoint": f"{self.sso}/authorize",
            "token_endpoint": f"{self.sso}/token",
            "registration_endpoint": f"{self.sso}/register",
            "introspection_endpoint": f"{self.sso}/introspect",
            "revocation_endpoint": f"{self.sso}/revoke",
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["launch-ehr", "launch-standalone", "sso-openid-connect"],
        }
        return changed(base, changes)

    def openid(self, **changes: Any) -> dict[str, Any]:
        """The OpenID configuration."""
        return changed({"issuer": self.sso, "jwks_uri": f"{self.sso}/keys"}, changes)

    def serve(self, document: dict[str, Any] | None = None, openid: dict[str, Any] | None = None) -> None:
        """Serve these documents from now on, and an honest answer at each endpoint."""
        self.net.routes.update(
            {
                f"{self.base}/.well-known/smart-configuration": answer(document or self.document()),
                f"{self.sso}/.well-known/openid-configuration": answer(openid or self.openid()),
                f"{self.sso}/keys": lambda _: answer({"keys": self._keys()}),
                f"{self.sso}/token": self._token,
                f"{self.sso}/introspect": answer({"active": True}),
                f"{self.sso}/revoke": answer(b""),
                f"{self.sso}/register": self._register,
                f"{self.sso}/register/c1": self._register,
            }
        )

    def key(self, kid: str = "RS256", alg: str | None = None) -> SigningKey:
        """The key *kid*, made when it is first needed; by default its id is its algorithm."""
        if kid not in self.keys:
            self.keys[kid] = SigningKey.generate(alg or kid, kid=kid, key_size=2048)
        return self.keys[kid]

    def jwk(self, kid: str = "RS256", alg: str | None = None, /, **changes: Any) -> dict[str, Any]:
        """A public key; `...` removes a member."""
        return changed(self.key(kid, alg).public_jwk(), changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a login that has just happened."""
        now = int(self.clock.now)
        base = {"iss": self.sso, "sub": "u-1", "aud": "growth-chart", "iat": now, "exp": now + 600}
        return changed(base, changes)

    def sign(
        self, claims: Any, kid: str = "RS256", alg: str | None = None, /, header: Any = None, **changes: Any
    ) -> str:
        """An ID token of *claims*; *changes* go to its header, unless all of that is given."""
        key = self.key(kid, alg)
        head = changed({"alg": key.algorithm, "kid": kid}, changes) if header is None else header
        signed = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{b64(key.sign(signed.encode()))}"

    def _keys(self) -> list[Any]:
        return [self.jwk()] if self.jwks_members is None else self.jwks_members

    def _token(self, request: Request) -> Response:
        members = {
            "access_token": "at-1",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": form_of(request).get("scope", "openid launch/patient patient/*.rs offline_access"),
            "refresh_token": "rt-1",
            "patient": "p-1",
            "id_token": self.id_token or ...,
        }
        return answer(changed(members, self.token_changes))

    def _register(self, request: Request) -> Response:
        sent = json.loads(request.body or b"{}")
        made = {
            **sent,
            "client_id": "c1",
            "registration_client_uri": f"{self.sso}/register/c1",
            "registration_access_token": "rat-1",
        }
        if request.method == "DELETE":
            return answer(b"", 204)
        return answer(made, 201 if request.method == "POST" else 200)


class Colour:
    """
    Makes clients of one colour and calls their methods as if all of them were blocking.

    An asynchronous client is driven by one event loop in a thread, which lives as long as the test.
    """

    def __init__(self, name: str, portal: BlockingPortal | None) -> None:
        self.name = name
        self.portal = portal

    def make(self, config: SmartConfig, **arguments: Any) -> Any:
        """A client of this colour."""
        return (SmartClient if self.portal is None else AsyncSmartClient)(config, **arguments)

    def call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The result of a client's method."""
        if self.portal is None:
            return method(*arguments, **named)
        return self.portal.call(partial(method, *arguments, **named))


@pytest.fixture(params=["sync", "asyncio", "trio"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Each of the three colours."""
    if request.param == "sync":
        yield Colour("sync", None)
        return
    with start_blocking_portal(request.param) as portal:
        yield Colour(request.param, portal)


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """An ES384 key."""
    return SigningKey.generate("ES384", kid="key-1")


@pytest.fixture(scope="session")
def server_keys() -> dict[str, SigningKey]:
    """The authorization server's keys, made once per run."""
    return {}


@pytest.fixture
def clock() -> Clock:
    """A clock moved by hand."""
    return Clock()


@pytest.fixture
def net() -> Net:
    """An empty world."""
    return Net()


@pytest.fixture
def provider(net: Net, clock: Clock, server_keys: dict[str, SigningKey]) -> Provider:
    """An honest EHR, already serving."""
    provider = Provider(net, clock, keys=server_keys)
    provider.serve()
    return provider


@pytest.fixture
def config(signing_key: SigningKey) -> SmartConfig:
    """A registration that allows every flow."""
    return SmartConfig(
        fhir_base=FHIR_BASE,
        client_id="growth-chart",
        client_auth=PrivateKeyJWT(signing_key),
        redirect_uri=CALLBACK,
        scope="launch/patient patient/*.rs offline_access",
    )


@pytest.fixture(params=["public", "symmetric", "asymmetric"])
def any_config(request: pytest.FixtureRequest, config: SmartConfig) -> SmartConfig:
    """A registration of each client type."""
    kinds = {"public": PublicClient(), "symmetric": ClientSecret(SECRET), "asymmetric": config.client_auth}
    return replace(config, client_auth=kinds[request.param])


def callback_url(pending: Any, *, path: str = CALLBACK, **changes: Any) -> str:
    """The honest callback of a pending login, changed."""
    parameters = changed({"code": "code-1", "state": pending.state}, changes)
    return f"{path}?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())


@pytest.fixture
def tools() -> Any:
    """The helpers of this file, for tests that cannot import it."""

    class Tools:
        answer = staticmethod(answer)
        b64 = staticmethod(b64)
        changed = staticmethod(changed)
        form_of = staticmethod(form_of)
        callback_url = staticmethod(callback_url)

    return Tools
