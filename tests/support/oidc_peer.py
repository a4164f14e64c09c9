"""
npm's oidc-provider, started once for all tests on a free loopback port, and each way to use the library.

A folder of tests takes what it needs into its conftest.py.
"""

from __future__ import annotations

import inspect
import json
import secrets
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import anyio
import httpx
import pytest
from joserfc.jwk import ECKey, Key, RSAKey
from node import install

from smart_async import AsyncSmartClient, SmartClient, SmartConfig, Token

HERE = Path(__file__).parents[1] / "peers" / "oidc_provider"
ALGORITHMS = ("RS384", "ES384")
REDIRECT_URI = "https://app.example.com/callback"
REGISTERED_SCOPE = (
    "openid fhirUser launch launch/patient patient/*.rs offline_access system/*.rs system/Patient.rs"
)
LOGIN_STEPS = 10
# No certificates: all is plain http on loopback, and to load the usual ones takes longer than the requests.
OUTSIDE: dict[str, Any] = {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
"""How a browser or another bystander of the library talks to a server."""


class Form(HTMLParser):
    """The one form of a page: where it goes, how, and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = self.method = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form, and each of its fields."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            assert not self.action, "one form is expected"
            self.action, self.method = values["action"], values["method"].upper()
        elif tag == "input":
            assert values["name"] not in self.fields, "each field is expected once"
            self.fields[values["name"]] = values["value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One running oidc-provider, its clients' registrations, and the private keys of those that have one."""

    issuer: str
    fhir_base: str
    launch: str = field(repr=False)
    keys: dict[str, Key]
    clients: dict[str, dict[str, Any]] = field(repr=False)
    redirect_uri: str = REDIRECT_URI

    def seen(self) -> list[dict[str, Any]]:
        """Return what the server noted about each request of a client, oldest first."""
        noted: list[dict[str, Any]] = httpx.get(f"{self.issuer}/seen", **OUTSIDE).json()
        return noted

    def keys_of_server(self) -> dict[str, Any]:
        """Return the server's public keys as it publishes them."""
        jwks: dict[str, Any] = httpx.get(f"{self.issuer}/jwks", **OUTSIDE).raise_for_status().json()
        return jwks

    def rotate(self) -> None:
        """Give the server new keys to sign with, beside the old ones."""
        httpx.post(f"{self.issuer}/rotate", **OUTSIDE).raise_for_status()

    def initial_access_token(self) -> str:
        """Return a new permission to register."""
        answer = httpx.post(f"{self.issuer}/initial-access-token", **OUTSIDE).raise_for_status()
        token: str = answer.json()["initial_access_token"]
        return token

    def read_patient(self, token: Token) -> httpx.Response:
        """Ask the FHIR server for its Patient with *token*."""
        bearer = {"Authorization": f"Bearer {token.access_token.reveal()}"}
        return httpx.get(f"{self.fhir_base}/Patient/pat-1", headers=bearer, **OUTSIDE)

    def log_in(self, url: str) -> str:
        """Go through the login that starts at *url* as a browser would; return the callback's URL."""
        callback = self.browse("GET", url)
        assert isinstance(callback, str), "the callback came as a form"
        return callback

    def log_in_by_form(self, page: str) -> str:
        """Go through the login that starts with the form of *page*; return the callback's URL."""
        form = Form(page)
        callback = self.browse(form.method, form.action, form.fields)
        assert isinstance(callback, str), "the callback came as a form"
        return callback

    def browse(self, method: str, url: str, fields: dict[str, str] | None = None) -> str | Form:
        """Send a request and follow it as a browser would, to the callback's URL or the callback's form."""
        with httpx.Client(**OUTSIDE) as browser:
            for _ in range(LOGIN_STEPS):
                answer = browser.request(method, url, data=fields)
                if answer.status_code == 200 and "<form" in answer.text:
                    form = Form(answer.text)
                    assert (form.method, form.action) == ("POST", self.redirect_uri)
                    return form
                assert answer.is_redirect, f"{answer.status_code} from {url}: {answer.text[:500]}"
                method, fields, url = "GET", None, urljoin(url, answer.headers["location"])
                if url.startswith(self.redirect_uri):
                    return url
        raise AssertionError(f"no callback after {LOGIN_STEPS} redirects")


class Colour:
    """One way to use the library: a facade, an event loop or none, and an HTTP library."""

    def __init__(self, name: str, transport: str) -> None:
        self.name = name
        self.transport = transport

    @asynccontextmanager
    async def client(self, config: SmartConfig, **options: Any) -> AsyncIterator[Any]:
        """Open a client, and close it in its own way; `call` its methods."""
        if self.name == "sync":
            with SmartClient(config, transport=self.transport, **options) as client:
                yield client
        else:
            async with AsyncSmartClient(config, transport=self.transport, **options) as client:
                yield client

    async def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call *method*, and wait for its result where it has to be waited for."""
        result = method(*args, **kwargs)
        assert inspect.isawaitable(result) is (self.name != "sync")
        return await result if inspect.isawaitable(result) else result

    def run(self, workflow: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *workflow* on this colour's event loop, or on none."""
        if self.name != "sync":
            anyio.run(workflow, backend=self.name)
            return
        with pytest.raises(StopIteration):  # it ends without having waited for anything
            workflow().send(None)


def new_key(algorithm: str) -> Key:
    """Make a private key for *algorithm*, with a kid."""
    parameters = {"use": "sig", "alg": algorithm, "kid": f"{algorithm.lower()}-key"}
    if algorithm == "RS384":
        return RSAKey.generate_key(2048, parameters)
    return ECKey.generate_key("P-384", parameters)


def client_metadata(client_id: str, method: str, **further: Any) -> dict[str, Any]:
    """Return the registration of a client that does everything, save what only one with credentials may."""
    grants = ["authorization_code", "refresh_token", *(["client_credentials"] if method != "none" else [])]
    return {
        "client_id": client_id,
        "redirect_uris": [REDIRECT_URI],
        "response_types": ["code"],
        "grant_types": grants,
        "token_endpoint_auth_method": method,
        "scope": REGISTERED_SCOPE,
        **further,
    }


def key_metadata(algorithm: str, key: Key) -> dict[str, Any]:
    """Return the registration of the client `app-<algorithm>` with the public half of *key*."""
    return client_metadata(
        f"app-{algorithm}",
        "private_key_jwt",
        token_endpoint_auth_signing_alg=algorithm,
        jwks={"keys": [key.as_dict(private=False)]},
        # One of them gets its ID tokens signed by an elliptic curve, too.
        id_token_signed_response_alg="ES384" if algorithm == "ES384" else "RS256",
    )


def all_clients(keys: dict[str, Key]) -> dict[str, dict[str, Any]]:
    """Return a registration for each client type, and for each way to send a secret."""
    random = secrets.token_urlsafe(24)
    basic, post = "client_secret_basic", "client_secret_post"
    return {
        "public": client_metadata("app-public", "none"),
        # All that Basic can carry as it is, to a server that decodes what it gets.
        "literal": client_metadata("app-literal", basic, client_secret=f"{random}-._~!*'():/?#[]@$&,;="),
        # What means something else where it is not encoded, in the id as well.
        "form": client_metadata("chart:form/1+2 3%2B", basic, client_secret=f"{random}+ %25:&=%"),
        "post": client_metadata("app-post", post, client_secret=f"{random}+%25&=;%"),
        **{algorithm: key_metadata(algorithm, key) for algorithm, key in keys.items()},
    }


@pytest.fixture(scope="session")
def node_path() -> str:
    """Return a PATH that starts with Node, once the npm packages are installed."""
    return install(HERE)


@pytest.fixture(scope="session")
def oidc_provider(node_path: str) -> Iterator[Peer]:
    """Run oidc-provider with a client of each type until the session ends."""
    keys = {algorithm: new_key(algorithm) for algorithm in ALGORITHMS}
    clients = all_clients(keys)
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
            server.stdin.write(json.dumps({"clients": list(clients.values())}) + "\n")
            server.stdin.flush()
            line = server.stdout.readline()
            if line:
                yield Peer(keys=keys, clients=clients, **json.loads(line))
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


@pytest.fixture(params=["sync", "asyncio", "trio"])
def colour_name(request: pytest.FixtureRequest) -> str:
    """Return each colour's name in turn."""
    name: str = request.param
    return name


@pytest.fixture(params=["httpx", "httpx2"])
def colour(request: pytest.FixtureRequest, colour_name: str) -> Colour:
    """Return each colour over each HTTP library."""
    pytest.importorskip(request.param, reason=f"needs the extra {request.param}")
    return Colour(colour_name, request.param)
