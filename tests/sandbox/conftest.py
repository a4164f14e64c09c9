"""Requests to the sandbox, written by hand: no code of the client side is used here."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
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


# A browser for the pages: httpx for cookies and redirects, html.parser for what is on them.

VOID = {"input", "meta", "link", "br", "img", "hr"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None
    pieces: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str, default: str | None = None) -> str | None:
        return self.attributes.get(name, default)

    def ancestors(self) -> list[str]:
        return [] if self.parent is None else [self.parent.tag, *self.parent.ancestors()]

    def all(self, *tags: str) -> list[Element]:
        below = [found for child in self.children for found in child.all(*tags)]
        return [*([self] if self.tag in tags else []), *below]


class Tree(HTMLParser):
    """The elements of a page; a page whose tags do not fit together is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("document", {}, None)
        self.feed(text)
        self.close()
        assert self.here is self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute occurs twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        element: Element | None = self.here
        while element is not None:
            element.pieces.append(data)
            element = element.parent


@dataclass
class Page:
    """A page as it came back."""

    response: httpx.Response
    browser: Surfer

    def __post_init__(self) -> None:
        self.root = Tree(self.response.text).root

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def path(self) -> str:
        return self.response.url.path

    @property
    def text(self) -> str:
        return self.root.text

    @property
    def heading(self) -> str:
        (heading,) = self.all("h1")
        return heading.text

    @property
    def policy(self) -> dict[str, list[str]]:
        parts = (part.split() for part in self.response.headers["content-security-policy"].split(";"))
        return {name: sources for name, *sources in parts}

    def all(self, *tags: str) -> list[Element]:
        return self.root.all(*tags)

    def one(self, identifier: str) -> Element:
        (found,) = [one for one in self.root.all(*self.tags()) if one.get("id") == identifier]
        return found

    def tags(self) -> set[str]:
        def walk(element: Element) -> set[str]:
            return {element.tag}.union(*map(walk, element.children))

        return walk(self.root)

    def alert(self) -> str:
        (found,) = [one for one in self.all("div") if one.get("role") == "alert"]
        return found.text

    def form_with(self, control: str) -> Element:
        for form in self.all("form"):
            if any(one.get("name") == control for one in form.all("input", "select", "textarea", "button")):
                return form
        raise AssertionError(f"no form has {control}")

    def submit(self, control: str, /, press: str | None = None, **values: Any) -> Page:
        """Submit the form that has *control*, filled in as it stands, with changes; `...` unticks."""
        form = self.form_with(control)
        fields = changed(_filled_in(form), {name.replace("__", "-"): value for name, value in values.items()})
        if press is not None:
            fields[control] = press
        method, action = form.get("method", "get"), form.get("action", self.path)
        return self.browser.go(action, method=method or "get", fields=fields)


def _filled_in(form: Element) -> dict[str, str]:
    fields: dict[str, str] = {}
    for one in form.all("input", "select", "textarea"):
        name, kind = one.get("name"), one.get("type", "text")
        if name is None or (kind in ("checkbox", "radio") and "checked" not in one.attributes):
            continue
        if one.tag == "select":
            options = one.all("option")
            chosen = [option for option in options if "selected" in option.attributes] or options[:1]
            fields[name] = chosen[0].get("value", chosen[0].text) or ""
        else:
            fields[name] = one.text if one.tag == "textarea" else one.get("value", "on") or ""
    return fields


class Wire(httpx.BaseTransport):
    """Carries requests to the sandbox in memory; everybody else is an app that says what it got."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if f"{request.url.scheme}://{request.url.netloc.decode()}" != self.sandbox.base_url:
            return httpx.Response(200, text="<!doctype html><html><body><h1>the app</h1></body></html>")
        sent = Request(
            method=request.method,
            url=str(request.url),
            purpose="fhir",
            headers=Headers(request.headers.items()),
            body=request.read() or None,
        )
        answer = self.sandbox.transport().send(sent, Timeouts())
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)


class Surfer:
    """A browser without scripts."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx.Client(
            transport=Wire(sandbox), base_url=sandbox.base_url, follow_redirects=True, trust_env=False
        )

    def go(
        self, url: str, *, method: str = "get", fields: Mapping[str, str] | None = None, **more: Any
    ) -> Page:
        url = str(self.http.base_url.join(url))
        if method == "get":
            return Page(self.http.get(url, params=fields or None, **more), self)
        return Page(self.http.post(url, data=dict(fields or {}), **more), self)


@pytest.fixture
def asking(clock: Clock, ec_key: Key, rsa_key: Key) -> Hand:
    """A hand for a sandbox that asks its users, with an app that has a name and a launch URL."""
    sandbox = Sandbox(clock=clock, auto_consent=False)
    sandbox.register_client(
        client_id="asymmetric",
        client_name="Growth Chart",
        redirect_uris=[CALLBACK],
        launch_url="https://app.example.com/launch",
        jwks={"keys": [ec_key.jwk]},
    )
    return Hand(sandbox, clock, ec_key, rsa_key)


@pytest.fixture
def surfer(asking: Hand) -> Surfer:
    return Surfer(asking.sandbox)


@pytest.fixture
def new_surfer(asking: Hand) -> Callable[[], Surfer]:
    """Make another browser at the same sandbox."""
    return lambda: Surfer(asking.sandbox)
