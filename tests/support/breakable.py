"""
A client's whole set-up as people have it, with each part of it within reach of a test that breaks it.

There is an EHR (the sandbox on a loopback port, every path of which can be made to answer otherwise), the
site where the app publishes its JWK Set, a file with the private key, and the words that its user types.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme
from loopback import Connection, Server, Servers

from smart_async import (
    ClientSecret,
    ConfigurationError,
    Diagnosis,
    PrivateKeyJWT,
    SigningKey,
    SmartConfig,
    Timeouts,
    config_from_env,
    diagnose,
    load_signing_key,
)
from smart_async.files import write_private_key
from smart_async.messages import Headers, Request, Response
from smart_async.sandbox import Sandbox

__all__ = ("JWKS_PATH", "SECRET", "Answer", "Setup", "Site", "assertion_of", "page", "reply")

JWKS_PATH = "/jwks.json"
SECRET = "s3cr3t-of-the-app"
CLIENT = "nightly-job"
_HOP = ("content-length", "transfer-encoding", "connection")

Answer = Callable[["Asked"], Response | None]
"""What a path answers instead; None lets the request through after all."""


@dataclass(frozen=True)
class Asked:
    """One request to a site."""

    method: str
    path: str
    headers: Headers
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of the form in the body."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


def reply(
    body: object = b"", status: int = 200, content_type: str = "application/json", **headers: str
) -> Response:
    """An answer with *body*: bytes or text as they stand, anything else as JSON."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else _json(body)
    fields = {
        "Content-Type": content_type,
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    return Response(status=status, headers=Headers(fields), body=data)


def page(title: str, status: int = 200, **headers: str) -> Response:
    """An HTML page."""
    return reply(
        f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>",
        status,
        "text/html; charset=utf-8",
        **headers,
    )


def assertion_of(asked: Asked) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims of the client assertion in a token request, or None without one."""
    text = asked.form.get("client_assertion")
    if text is None:
        return None
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in text.split(".")[:2])
    return head, claims


def _json(body: object) -> bytes:
    return json.dumps(body).encode()


class Site:
    """
    A web server on loopback, every path of which can be made to answer otherwise.

    Args:
        servers: Who starts it.
        behind: What answers where nothing else is said.
        tls: Its certificate, or a whole context; plain http without.
    """

    def __init__(
        self, servers: Servers, behind: Answer, tls: trustme.LeafCert | ssl.SSLContext | None = None
    ) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Asked] = []
        self._behind = behind
        self.server: Server = servers.start(self._behave, tls)
        self.url = self.server.url

    def _behave(self, connection: Connection) -> None:
        while raw := connection.read_request():
            response = self.answer(_parsed(raw))
            lines = tuple(
                f"{name}: {text}" for name, text in response.headers.items() if name.lower() not in _HOP
            )
            connection.reply(response.body, status=f"{response.status} Reason", headers=lines)

    def answer(self, asked: Asked) -> Response:
        """What the site answers to a request."""
        self.asked.append(asked)
        response = None
        if special := self.answers.get(asked.path.partition("?")[0]):
            response = special(asked)
        return response or self._behind(asked) or reply({"error": "not found"}, 404)


def _parsed(raw: bytes) -> Asked:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
    return Asked(method, path, Headers([(name, text) for name, text in fields]), body)


@dataclass
class Setup:
    """
    A backend client that works: its key, its registration, its JWK Set, and how its user calls the doctor.

    Args:
        servers: Who starts the sites.
        folder: Where files go.
        key: The client's key.
        tls: The certificate of the EHR; plain http without.
        app_tls: That of the app's own site.
    """

    servers: Servers
    folder: Path
    key: SigningKey
    tls: trustme.LeafCert | ssl.SSLContext | None = None
    app_tls: trustme.LeafCert | ssl.SSLContext | None = None
    kid: str | None = "key-1"
    client_id: str = CLIENT
    scope: str = "system/Patient.rs"
    jku: str | None = None
    alg: str | None = None
    vendor: str | None = None
    secret: str | None = None
    ca_file: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    registered_jwks_url: str | None = None
    trusted: tuple[str, ...] = ()
    insecure: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    passphrase: str | None = None

    def __post_init__(self) -> None:
        self.tokens: list[str] = []
        self.sandbox = Sandbox(fetch=self._fetch)
        self.app = Site(self.servers, lambda _: None, self.app_tls)
        self.ehr = Site(self.servers, self._sandbox, self.tls)
        self.sandbox.move(self.ehr.url)
        self.fhir_base = self.sandbox.fhir_base
        self.key_file: Path | None = self.folder / "key.pem"
        write_private_key(self.folder / "key.pem", self.key, overwrite=True)
        self.jwks: dict[str, Any] = {"keys": [self.key.public_jwk()]}
        self.jwks_url: str | None = self.app.url + JWKS_PATH
        self.publish(lambda _: reply(self.jwks, Cache_Control="public, max-age=300"))
        self.register(jwks_uri=self.jwks_url)

    # What can be broken

    def publish(self, answer: Answer) -> None:
        """Answer so where the JWK Set is."""
        self.app.answers[JWKS_PATH] = answer

    def register(self, **registration: Any) -> None:
        """Register the client with the EHR, in the place of what was registered before."""
        self.sandbox.register_client(client_id=CLIENT, **registration)

    def by_value(self) -> None:
        """Register the keys as they are now by value, and publish them nowhere."""
        self.register(jwks=json.loads(json.dumps(self.jwks)))
        self.jwks_url = None

    def at(self, path: str, answer: Answer) -> None:
        """Answer so at a path of the EHR."""
        self.ehr.answers[path] = answer

    @property
    def document_path(self) -> str:
        """Where the EHR's document is."""
        return "/fhir/.well-known/smart-configuration"

    @property
    def token_path(self) -> str:
        """Where the EHR gives tokens."""
        return self.sandbox.token_endpoint.removeprefix(self.ehr.url)

    def document(self, **changes: Any) -> None:
        """Change members of the EHR's document; `...` removes one."""

        def changed(asked: Asked) -> Response:
            made = self._sandbox(asked)
            merged = {**json.loads(made.body), **changes}
            return reply(
                {name: value for name, value in merged.items() if value is not ...}, Date=date_of(made)
            )

        self.at(self.document_path, changed)

    def mute(self) -> None:
        """Let the EHR say as little as some do: every refused client is an `invalid_client`, and no more."""

        def terse(asked: Asked) -> Response:
            made = self._sandbox(asked)
            if b'"invalid_client"' not in made.body:
                return made
            return reply({"error": "invalid_client", "error_description": None}, 400, Date=date_of(made))

        self.at(self.token_path, terse)

    def demand(self, holds: Callable[[dict[str, Any], dict[str, Any]], bool], **words: Any) -> None:
        """Let the EHR refuse every assertion of which *holds*(header, claims) is false."""

        def checked(asked: Asked) -> Response | None:
            parts = assertion_of(asked)
            if parts is None or holds(*parts):
                return None
            said = {"error": "invalid_client", "error_description": None, **words}
            return reply(said, 400, Date=date_of(self._sandbox(Asked("GET", "/", Headers(), b""))))

        self.at(self.token_path, checked)

    def refuse(self, *answers: Any, **headers: str) -> None:
        """Let the EHR answer every token request with this reply's arguments."""
        self.at(self.token_path, lambda _: reply(*answers, **headers))

    # What the user does

    def words(self, *, try_token: bool) -> list[str]:
        """The command line."""
        options: list[tuple[str, object]] = [
            ("--fhir-base", self.fhir_base),
            ("--client-id", self.client_id),
            ("--key", None if self.secret or self.key_file is None else self.key_file),
            ("--kid", self.kid),
            ("--jku", self.jku),
            ("--alg", self.alg),
            ("--vendor", self.vendor),
            ("--scope", self.scope),
            ("--jwks-url", self.jwks_url),
            ("--registered-jwks-url", self.registered_jwks_url),
            ("--ca-file", self.ca_file),
            ("--proxy", self.proxy),
            ("--timeout", self.timeout),
            *(("--trusted-origin", origin) for origin in self.trusted),
        ]
        words = ["doctor", "--json"]
        for name, value in options:
            words += [] if value is None else [name, str(value)]
        words += ["--allow-insecure-loopback"] if self.insecure else []
        return [*words, "--try"] if try_token else words

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the command."""
        secret = {"SMART_CLIENT_SECRET": self.secret} if self.secret else {}
        phrase = {"SMART_KEY_PASSPHRASE": self.passphrase} if self.passphrase else {}
        return {**secret, **phrase, **self.environ}

    def diagnose(self, **arguments: Any) -> Diagnosis:
        """What the library says, asked by the same user in a program."""
        problem, config, findings = None, None, []
        try:
            config = self.config(findings)
        except ConfigurationError as exc:
            problem = exc
        given: Mapping[str, Any] = {
            "try_token": True,
            "scope": self.scope,
            "jwks_url": self.jwks_url,
            "registered_jwks_url": self.registered_jwks_url,
            "key_problem": problem,
            "findings": findings,
            "ca_file": self.ca_file,
            "proxy": self.proxy,
            "timeouts": None
            if self.timeout is None
            else Timeouts(total=self.timeout, discovery=self.timeout),
        }
        return diagnose(config, **{**given, **arguments})

    def config(self, findings: list[Any]) -> SmartConfig:
        """The configuration that the options mean."""
        auth: Any
        if self.key_file is None:
            return config_from_env({"FHIR_BASE_URL": self.fhir_base, "SMART_CLIENT_ID": self.client_id})
        if self.secret:
            auth = ClientSecret(self.secret)
        else:
            phrase = self.passphrase and self.passphrase.encode()
            key = load_signing_key(
                self.key_file, kid=self.kid, passphrase=phrase, algorithm=self.alg, findings=findings
            )
            auth = PrivateKeyJWT(key, jku=self.jku, algorithm=self.alg)
        return SmartConfig(
            fhir_base=self.fhir_base,
            client_id=self.client_id,
            client_auth=auth,
            scope=self.scope,
            vendor=self.vendor,
            trusted_origins=self.trusted,
            allow_insecure_loopback=self.insecure,
            **self.settings,
        )

    def _sandbox(self, asked: Asked) -> Response:
        headers = Headers([(name, text) for name, text in asked.headers.items() if name.lower() not in _HOP])
        request = Request(
            method=asked.method,
            url=self.sandbox.base_url + asked.path,
            purpose="fhir",
            headers=headers,
            body=asked.body or None,
        )
        response = self.sandbox.transport().send(request, Timeouts())
        if b'"access_token"' in response.body:
            self.tokens.append(json.loads(response.body)["access_token"])
        return response

    def _fetch(self, url: str) -> Response:
        """What the EHR gets from the app's site: the same as everybody."""
        path = url.removeprefix(self.app.url)
        return self.app.answer(Asked("GET", path, Headers(), b"")) if path != url else reply(status=404)


def date_of(response: Response) -> str:
    """The server's own clock."""
    return response.headers["date"]
