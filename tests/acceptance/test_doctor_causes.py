"""
Acceptance: what the doctor says of faults that people really meet.

Every fault breaks one thing in a set-up that works, and says beforehand, in plain words, what the right cause
is. The doctor is called as its user would: on the command line with and without `--try`, and as a library.
It must name that cause first, in words that help, on healthy set-ups none, and of two faults both.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme
from breakable import SECRET, Asked, Setup, page, reply
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from loopback import Servers, tunnel
from typer.testing import CliRunner

from smart_async import SigningKey
from smart_async.cli.app import app
from smart_async.smart.diagnosis.catalogue import CATALOGUE

OTHER_SECRET = "another-s3cr3t"
PHRASE, OTHER_PHRASE = "open-sesame-7", "open-barley-8"
PRIVATE_MEMBER = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v"
NOT_PROVOKED = {
    *("assertion-window", "signing-failed", "jwks-cached", "discovery-strict", "vendor-preset", "clock"),
    *("client-refused", "request-refused"),  # what remains where nothing can be said
}
"""Causes that no set-up here leads to; their own tests do."""
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, PLAIN = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


@dataclass(frozen=True)
class World:
    """What faults are made of; made once, for keys and certificates take time."""

    keys: dict[str, SigningKey]
    authority: trustme.CA
    ca_file: str
    servers: Servers
    folder: Path

    def setup(self, key: str = "EC", *, https: bool = False, **options: Any) -> Setup:
        """A set-up that works."""
        made = {"tls": self.leaf(), "app_tls": self.leaf(), "ca_file": self.ca_file} if https else {}
        return Setup(self.servers, self.folder, self.keys[key], **{**made, **options})

    def leaf(self, *names: str, **dates: Any) -> trustme.LeafCert:
        """A certificate for 127.0.0.1, or other names."""
        return self.authority.issue_cert(*(names or ("127.0.0.1",)), **dates)

    def file(self, setup: Setup, data: bytes | str) -> None:
        """Put something else into the key file."""
        setup.key_file.write_bytes(data if isinstance(data, bytes) else data.encode())
        setup.key_file.chmod(0o600)

    def put(self, setup: Setup, key: str) -> None:
        """Put another key into the key file."""
        self.file(setup, self.keys[key].private_pem())


Break = Callable[[World], Setup]
Harm = Callable[[Setup, World], None]
Shown = Literal["always", "tried", "listed", "program"]
"""Who sees it: all; who tries; who does not, as a token refutes it; programs, where no option makes it."""


@dataclass(frozen=True)
class Fault:
    """One thing that is broken, and what was said about it before the doctor was asked."""

    name: str
    cause: str
    statement: str
    words: tuple[str, ...]
    breaks: Break
    shown: Shown


FAULTS: dict[str, Fault] = {}


def fault(cause: str, statement: str, *words: str, shown: Shown = "always") -> Callable[[Break], Break]:
    """Note a fault: its cause, the same in plain words, what a user must read, and who sees it."""

    def note(breaks: Break) -> Break:
        name = breaks.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, cause, statement, words, breaks, shown)
        return breaks

    return note


# The key file


@fault("key-unreadable", "There is no key file at that path.", "no such file|not exist|no file|there is no")
def key_missing(world: World) -> Setup:
    setup = world.setup()
    setup.key_file.unlink()
    return setup


@fault("key-passphrase", "The key is encrypted and no passphrase was given.", "passphrase")
def key_encrypted(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, world.keys["EC"].private_pem(PHRASE.encode()))
    return setup


@fault("key-passphrase", "The passphrase is not the key's.", "passphrase", "wrong|not fit|does not")
def key_wrong_passphrase(world: World) -> Setup:
    setup = key_encrypted(world)
    setup.passphrase = OTHER_PHRASE
    return setup


@fault("key-public", "The file holds the certificate, not the private key.", "certificate", "private key")
def key_is_certificate(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, world.leaf().cert_chain_pems[0].bytes())
    return setup


@fault("key-public", "The file holds the public key, not the private one.", "public", "private")
def key_is_public(world: World) -> Setup:
    setup = world.setup()
    private = serialization.load_pem_private_key(world.keys["EC"].private_pem(), None)
    world.file(setup, private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return setup


@fault("key-public", "The file holds the public JWK Set, not the private key.", "public|private")
def key_is_jwks(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, json.dumps(setup.jwks))
    return setup


@fault("key-public", "The file holds a certificate request, not the private key.", "request", "private key")
def key_is_request(world: World) -> Setup:
    setup = world.setup()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example.com")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    world.file(setup, made.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()).public_bytes(PEM))
    return setup


@fault("key-kind", "The key is in OpenSSH's own format.", "OpenSSH|ssh")
def key_is_openssh(world: World) -> Setup:
    setup = world.setup()
    private = ec.generate_private_key(ec.SECP384R1())
    world.file(setup, private.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, PLAIN))
    return setup


@fault(
    "key-curve",
    "The key is of a curve that SMART does not use (P-256).",
    "P-256|secp256r1",
    "P-384|ES384|RSA",
)
def key_is_p256(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, PLAIN))
    return setup


@fault("key-weak", "The RSA key is too short.", "1024", "2048")
def key_is_short(world: World) -> Setup:
    setup = world.setup()
    short = rsa.generate_private_key(65537, 1024)
    world.file(setup, short.private_bytes(PEM, PKCS8, PLAIN))
    return setup


@fault("key-unreadable", "The key file is empty.", "empty|no private key|holds no|nothing")
def key_file_is_empty(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, b"")
    return setup


@fault(
    "key-kind",
    "The key lost its line breaks on its way through an environment variable.",
    "PEM|line|cannot be read",
)
def key_has_escaped_newlines(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, world.keys["EC"].private_pem().strip().replace(b"\n", b"\\n"))
    return setup


# The key and what is published of it


@fault(
    "jwks-key",
    "The key in the file is not the one that is published under this kid.",
    "key-1",
    "another|different|not the|match",
)
def key_is_another(world: World) -> Setup:
    setup = world.setup()
    world.put(setup, "other EC")
    return setup


@fault(
    "jwks-key",
    "The key's signature does not fit the registered public key.",
    "signature|public key|registered",
    shown="tried",
)
def key_is_another_registered_by_value(world: World) -> Setup:
    setup = world.setup()
    setup.by_value()
    world.put(setup, "other EC")
    return setup


@fault("jwks-kid-other", "The kid is mistyped: published is key-1, sent is Key-1.", "Key-1", "key-1", "kid")
def kid_mistyped(world: World) -> Setup:
    setup = world.setup()
    setup.kid = "Key-1"
    return setup


@fault(
    "jwks-kid-other",
    "No kid was given, so the thumbprint is sent, which is not the one published.",
    "kid",
    "key-1",
)
def kid_left_out(world: World) -> Setup:
    setup = world.setup()
    setup.kid = None
    return setup


@fault("jwks-kid-missing", "The published key has no kid.", "kid", "publish|JWK Set|add")
def kid_not_in_jwks(world: World) -> Setup:
    setup = world.setup()
    del setup.jwks["keys"][0]["kid"]
    return setup


@fault("jwks-kid", "The new key is not published yet: only the old one is.", "key-2", "publish|JWK Set")
def kid_not_published(world: World) -> Setup:
    setup = world.setup()
    world.put(setup, "other EC")
    setup.kid = "key-2"
    return setup


@fault(
    "key-unknown",
    "The server does not know that kid (keys were registered by value).",
    "kid",
    "key-2|register",
    shown="tried",
)
def kid_not_registered(world: World) -> Setup:
    setup = world.setup()
    setup.by_value()
    setup.kid = "key-2"
    return setup


@fault(
    "jwks-kid-twice",
    "Two published keys have the same kid.",
    "key-1",
    "two|twice|same|more than one|several|both",
)
def kid_published_twice(world: World) -> Setup:
    setup = world.setup()
    twin = {**world.keys["other EC"].public_jwk(), "kid": "key-1"}
    setup.jwks["keys"].insert(0, twin)
    return setup


@fault(
    "server-stale-jwks",
    "The server still has the old JWK Set: it has cached it.",
    "cache|old|hours|again later|wait",
    shown="tried",
)
def jwks_cached_by_server(world: World) -> Setup:
    setup = world.setup()
    setup.sandbox.faults.add("stale_client_keys")
    setup.diagnose()  # the server sees the old set
    world.put(setup, "other EC")
    setup.kid = "key-2"
    setup.jwks["keys"].append({**world.keys["other EC"].public_jwk(), "kid": "key-2"})
    return setup


# Where it is published


@fault(
    "jwks-auth",
    "The JWK Set is behind a login: 401.",
    "401",
    "JWK Set|jwks",
    "login|authenticat|public|without",
)
def jwks_needs_login(world: World) -> Setup:
    setup = world.setup()
    setup.publish(lambda _: reply({"error": "unauthorized"}, 401, WWW_Authenticate='Basic realm="app"'))
    return setup


@fault("jwks-status", "There is nothing at the JWK Set URL: 404.", "404", "JWK Set|jwks")
def jwks_not_found(world: World) -> Setup:
    setup = world.setup()
    setup.publish(lambda _: page("Not Found", 404))
    return setup


@fault("jwks-html", "At the JWK Set URL is a web page.", "HTML|web page|not JSON|not a JWK Set")
def jwks_is_html(world: World) -> Setup:
    setup = world.setup()
    setup.publish(lambda _: page("Welcome, please sign in"))
    return setup


@fault("jwks-http", "The JWK Set URL is plain http.", "https")
def jwks_over_http(world: World) -> Setup:
    setup = world.setup()
    setup.jwks_url = "http://app.example.com/jwks.json"
    return setup


@fault("jwks-redirect", "The JWK Set URL redirects.", "redirect")
def jwks_redirects(world: World) -> Setup:
    setup = world.setup()
    url = f"{setup.app.url}/v2/jwks.json"
    setup.publish(lambda _: reply(b"", 302, Location=url))
    setup.app.answers["/v2/jwks.json"] = lambda _: reply(setup.jwks)
    return setup


@fault(
    "jwks-private",
    "The private key is published.",
    "private",
    "new key|replace|revoke|withdraw|at once|rotate",
)
def jwks_shows_private_key(world: World) -> Setup:
    setup = world.setup()
    setup.jwks["keys"][0]["d"] = PRIVATE_MEMBER
    return setup


@fault("jwks-use", "The published key is for encryption (use=enc).", "enc", "sig")
def jwks_use_is_enc(world: World) -> Setup:
    setup = world.setup()
    setup.jwks["keys"][0]["use"] = "enc"
    return setup


@fault("jwks-alg", "The published key has another alg (RS256) than the key signs with.", "RS256", "RS384")
def jwks_alg_is_rs256(world: World) -> Setup:
    setup = world.setup("RSA")
    setup.jwks["keys"][0]["alg"] = "RS256"
    return setup


@fault("jwks-empty", "The JWK Set holds no keys.", "empty|no key|holds no")
def jwks_is_empty(world: World) -> Setup:
    setup = world.setup()
    setup.jwks["keys"].clear()
    return setup


@fault("jwks-invalid", "What is published is one key, not a set.", "keys", "JWK Set")
def jwks_is_one_jwk(world: World) -> Setup:
    setup = world.setup()
    setup.publish(lambda _: reply(setup.jwks["keys"][0]))
    return setup


@fault(
    "jwks-unreachable", "The web server with the JWK Set is down.", "JWK Set|jwks", "reach|connect|refused"
)
def jwks_server_down(world: World) -> Setup:
    setup = world.setup()
    setup.app.server.close()
    return setup


@fault("jwks-auth", "The JWK Set answers 403 to programs: a bot filter.", "403", "JWK Set|jwks")
def jwks_behind_bot_filter(world: World) -> Setup:
    setup = world.setup()
    setup.publish(lambda _: page("Attention Required!", 403))
    return setup


@fault(
    "jwks-tls", "The certificate of the site with the JWK Set has run out.", "certificate", "expired|run out"
)
def jwks_certificate_expired(world: World) -> Setup:
    old = world.leaf(not_before=LONG_AGO, not_after=LONG_AGO + DAY)
    return world.setup(https=True, app_tls=old)


@fault("jku-differs", "The jku that is sent is not the registered URL (a slash).", "jku", "registered")
def jku_differs(world: World) -> Setup:
    setup = world.setup(https=True)
    setup.registered_jwks_url = setup.jwks_url
    setup.jku = f"{setup.jwks_url}/"
    return setup


@fault("jwks-elsewhere", "The URL with the keys is not the one that was registered.", "registered")
def jwks_url_is_not_the_registered(world: World) -> Setup:
    setup = world.setup()
    setup.registered_jwks_url = f"{setup.app.url}/old/jwks.json"
    setup.register(jwks_uri=setup.registered_jwks_url)
    return setup


# Clocks


@fault(
    "clock-fast", "Our clock is ten minutes ahead of the server's.", "clock", "ahead|fast", "10 min|60\\d s"
)
def clock_ahead(world: World) -> Setup:
    setup = world.setup()
    setup.sandbox.faults.add("clock_skew", seconds=-600)
    return setup


@fault(
    "clock-slow",
    "Our clock is ten minutes behind the server's.",
    "clock",
    "behind|slow",
    "10 min|[56]\\d\\d s",
)
def clock_behind(world: World) -> Setup:
    setup = world.setup()
    setup.sandbox.faults.add("clock_skew", seconds=600)
    return setup


# Discovery


@fault("fhir-base-path", "The FHIR base is wrong: nothing is there.", "FHIR base", "404")
def base_is_wrong(world: World) -> Setup:
    setup = world.setup()
    setup.fhir_base = setup.ehr.url + "/r4"
    return setup


@fault("fhir-base-path", "The FHIR base is the URL of the discovery document.", "well-known|FHIR base")
def base_is_document_url(world: World) -> Setup:
    setup = world.setup()
    setup.fhir_base += "/.well-known/smart-configuration"
    return setup


@fault("configuration", "The FHIR base is http in the place of https.", "https")
def base_is_http(world: World) -> Setup:
    setup = world.setup()
    setup.fhir_base = "http://ehr.example.com/fhir"
    return setup


@fault(
    "discovery-missing",
    "The server has no discovery document: a 404 page.",
    "404",
    "FHIR base|smart-configuration|discovery",
)
def document_is_404_page(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.document_path, lambda _: page("404 - File or directory not found.", 404))
    return setup


@fault("discovery-html", "Discovery leads to a web page, not to a document.", "HTML|web page|not JSON")
def document_is_html(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.document_path, lambda _: page("Patient portal"))
    return setup


@fault("discovery-invalid", "The discovery document is broken JSON.", "JSON")
def document_is_not_json(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.document_path, lambda _: reply('{"token_endpoint": "https://'))
    return setup


@fault("token-endpoint-missing", "The discovery document names no token endpoint.", "token.endpoint")
def document_without_token_endpoint(world: World) -> Setup:
    setup = world.setup()
    setup.document(token_endpoint=...)
    return setup


@fault(
    "discovery-refused",
    "The discovery document wants a login.",
    "401",
    "discovery|smart-configuration|document",
)
def document_needs_login(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.document_path, lambda _: reply({"error": "unauthorized"}, 401))
    return setup


@fault("discovery-redirect", "Discovery redirects.", "redirect")
def document_redirects(world: World) -> Setup:
    setup = world.setup()
    url = f"{setup.fhir_base}/v2/.well-known/smart-configuration"
    setup.at(setup.document_path, lambda _: reply(b"", 301, Location=url))
    return setup


@fault(
    "discovery-failing",
    "The EHR is in maintenance: discovery says 503.",
    "503",
    "later|maintenance|unavailable|overload",
)
def document_is_503(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.document_path, lambda _: page("Scheduled maintenance", 503, Retry_After="1"))
    return setup


@fault(
    "auth-method",
    "The server does not take private_key_jwt.",
    "private_key_jwt|key",
    "client_secret|secret",
    shown="listed",
)
def document_without_private_key_jwt(world: World) -> Setup:
    setup = world.setup()
    setup.document(
        token_endpoint_auth_methods_supported=["client_secret_basic"],
        capabilities=["client-confidential-symmetric", "permission-v2"],
    )
    return setup


@fault("algorithm", "The server takes RS384 only, the key signs ES384.", "RS384", "ES384")
def document_wants_rs384(world: World) -> Setup:
    setup = world.setup()
    setup.document(token_endpoint_auth_signing_alg_values_supported=["RS384"])
    return setup


@fault("grant-type", "The server does not do client_credentials.", "client_credentials", shown="listed")
def document_without_client_credentials(world: World) -> Setup:
    setup = world.setup()
    setup.document(grant_types_supported=["authorization_code"])
    return setup


# The token endpoint


@fault("token-endpoint-http", "The token endpoint is plain http.", "token.endpoint", "https")
def token_endpoint_is_http(world: World) -> Setup:
    setup = world.setup()
    setup.document(token_endpoint="http://login.example.com/token")
    return setup


@fault("tls-expired", "The token endpoint is on a host with a wrong certificate.", "certificate", "expired")
def token_endpoint_has_expired_certificate(world: World) -> Setup:
    setup = world.setup(https=True)
    bad = world.setup(https=True, tls=world.leaf(not_before=LONG_AGO, not_after=LONG_AGO + DAY))
    setup.document(token_endpoint=bad.ehr.url + setup.token_path)
    return setup


@fault(
    "token-endpoint-host",
    "The token endpoint is a host that does not exist.",
    "token.endpoint",
    "reach|resolve|name|found",
)
def token_endpoint_is_elsewhere(world: World) -> Setup:
    setup = world.setup()
    setup.document(token_endpoint="https://login.invalid/token")
    return setup


@fault("token-endpoint-missing-page", "There is nothing at the token endpoint: 404.", "404", "token.endpoint")
def token_endpoint_is_404(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.token_path, lambda _: page("Not Found", 404))
    return setup


@fault("token-endpoint-method", "The token endpoint does not take POST: 405.", "405", "token.endpoint")
def token_endpoint_is_405(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.token_path, lambda _: reply(b"", 405, Allow="GET"))
    return setup


@fault(
    "token-endpoint-redirect", "The token endpoint redirects to a login page.", "redirect", "token.endpoint"
)
def token_endpoint_redirects(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.token_path, lambda _: reply(b"", 302, Location="https://sso.example.com/login"))
    return setup


@fault(
    "token-endpoint-html", "At the token endpoint is a web page.", "HTML|web page|not JSON", "token.endpoint"
)
def token_endpoint_is_page(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.token_path, lambda _: page("Sign in"))
    return setup


@fault(
    "blocked",
    "A firewall in front of the token endpoint forbids us.",
    "403",
    "firewall|allow.?list|gateway|block|page",
)
def token_endpoint_behind_firewall(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.token_path, lambda _: page("Request blocked", 403))
    return setup


# The network


@fault("server-unreachable", "Nothing listens there.", "refused|nothing listens|listen|port")
def port_closed(world: World) -> Setup:
    setup = world.setup()
    setup.ehr.server.close()
    return setup


@fault("host-unknown", "The host name does not exist.", "name|host|DNS|resolve")
def host_unknown(world: World) -> Setup:
    setup = world.setup()
    setup.fhir_base = "https://ehr.invalid/fhir"
    return setup


@fault("tls-expired", "The server's certificate has run out.", "certificate", "expired")
def tls_expired(world: World) -> Setup:
    return world.setup(https=True, tls=world.leaf(not_before=LONG_AGO, not_after=LONG_AGO + DAY))


@fault("tls-name", "The server's certificate is for another name.", "certificate", "name|host|127.0.0.1")
def tls_wrong_name(world: World) -> Setup:
    return world.setup(https=True, tls=world.leaf("ehr.example.com"))


@fault(
    "tls-untrusted",
    "The server's certificate is from an authority that is not trusted here.",
    "certificate",
    "ca.file",
)
def tls_unknown_authority(world: World) -> Setup:
    return world.setup(https=True, ca_file=None)


@fault("tls-old", "The server speaks only old TLS.", "TLS 1\\.2|TLSv1\\.2")
def tls_old(world: World) -> Setup:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    world.leaf().configure_cert(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_1
    made.set_ciphers("ALL:@SECLEVEL=0")
    return world.setup(https=True, tls=made)


@fault(
    "tls-client-certificate",
    "The server wants a client certificate (mutual TLS).",
    "client certificate|mutual",
)
def tls_wants_client_certificate(world: World) -> Setup:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    world.leaf().configure_cert(made)
    world.authority.configure_trust(made)
    made.verify_mode = ssl.CERT_REQUIRED
    return world.setup(https=True, tls=made)


@fault("tls-failed", "The URL says https, the port speaks plain http.", "no TLS")
def tls_missing(world: World) -> Setup:
    def plain(connection: Any) -> None:
        connection.sock.recv(1)
        connection.reply(b"", status="400 Bad Request")

    setup = world.setup()
    setup.fhir_base = world.servers.start(plain).url.replace("http://", "https://")
    return setup


@fault("no-answer", "Something swallows the packets (a firewall): no answer.", "time|answer|firewall")
def silent_server(world: World) -> Setup:
    setup = world.setup()
    dead = world.servers.start(lambda connection: connection.stop.wait(30))
    setup.fhir_base = f"{dead.url}/fhir"
    setup.timeout = 0.4
    return setup


@fault("proxy-failed", "The proxy is not there.", "proxy")
def proxy_down(world: World) -> Setup:
    setup = world.setup(https=True)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        setup.proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    return setup


@fault("proxy-failed", "The proxy wants a password.", "proxy", "407|password|login|authenticat")
def proxy_wants_password(world: World) -> Setup:
    setup = world.setup(https=True)
    gate = world.servers.once(
        lambda connection: connection.reply(
            b"", status="407 Proxy Authentication Required", headers=('Proxy-Authenticate: Basic realm="p"',)
        )
    )
    setup.proxy = gate.url
    return setup


# What the server does not want


@fault(
    "client-unknown",
    "The client id is unknown to this server: it is that of another environment.",
    "client.id",
    "environment|sandbox|production|unknown|not know",
    shown="tried",
)
def client_unknown(world: World) -> Setup:
    setup = world.setup()
    setup.client_id = "nightly-job-staging"
    return setup


@fault(
    "registered-with-secret",
    "The client is registered with a secret, not with a key.",
    "secret",
    shown="tried",
)
def client_has_secret(world: World) -> Setup:
    setup = world.setup()
    setup.register(client_secret=SECRET, grant_types=["client_credentials"])
    return setup


@fault("secret-wrong", "The client secret is wrong.", "secret", shown="tried")
def secret_wrong(world: World) -> Setup:
    setup = world.setup()
    setup.register(client_secret=SECRET, grant_types=["client_credentials"])
    setup.secret, setup.jwks_url = OTHER_SECRET, None
    return setup


@fault(
    "registered-with-key", "The client is registered with a key, but sends a secret.", "key", shown="tried"
)
def secret_where_key_is_registered(world: World) -> Setup:
    setup = world.setup()
    setup.secret = SECRET
    return setup


@fault(
    "grant-not-allowed",
    "The client may not use client_credentials.",
    "client_credentials|backend",
    "register|allow|enable",
    shown="tried",
)
def client_without_grant(world: World) -> Setup:
    setup = world.setup()
    setup.register(
        jwks_uri=setup.jwks_url,
        grant_types=["authorization_code"],
        redirect_uris=["https://app.example.com/callback"],
    )
    return setup


@fault("scope-not-allowed", "The client may not ask for this scope.", "scope", shown="tried")
def scope_not_allowed(world: World) -> Setup:
    setup = world.setup()
    setup.register(jwks_uri=setup.jwks_url, scope="system/Observation.rs")
    return setup


@fault("scope-level", "A backend job cannot have a user scope.", "user/", "system/")
def scope_is_user(world: World) -> Setup:
    setup = world.setup()
    setup.scope = "user/Patient.rs"
    return setup


@fault("scope-level", "A backend job cannot have a patient scope.", "patient/", "system/")
def scope_is_patient(world: World) -> Setup:
    setup = world.setup()
    setup.scope = "patient/Patient.rs launch/patient"
    return setup


@fault("scope-syntax", "The server knows SMART v1 scopes only; .rs is v2.", "v1|\\.read", "scope")
def scope_v1_only(world: World) -> Setup:
    setup = world.setup()
    setup.document(
        capabilities=["client-confidential-asymmetric", "permission-v1"],
        scopes_supported=["system/*.read", "system/Patient.read"],
    )

    def judged(asked: Asked) -> Any:
        return reply({"error": "invalid_scope"}, 400) if ".rs" in asked.form.get("scope", "") else None

    setup.at(setup.token_path, judged)
    return setup


@fault("aud-wrong", "The assertion's aud is not what the server wants.", "aud", shown="program")
def audience_is_base(world: World) -> Setup:
    setup = world.setup()
    setup.settings["assertion_audience"] = setup.fhir_base
    return setup


@fault("rate-limited", "Too many requests: 429.", "429", "wait|later|too many|rate", shown="tried")
def server_says_429(world: World) -> Setup:
    setup = world.setup()
    setup.refuse({"message": "Too many requests"}, 429, Retry_After="0")
    return setup


@fault(
    "server-failing",
    "The server is away for the moment: 503.",
    "503",
    "later|again|unavailable|overload",
    shown="tried",
)
def server_says_503(world: World) -> Setup:
    setup = world.setup()
    setup.refuse({"message": "upstream"}, 503, Retry_After="0")
    return setup


@fault("server-failing", "The server broke down: 500.", "500", "server", shown="tried")
def server_says_500(world: World) -> Setup:
    setup = world.setup()
    setup.refuse("NullReferenceException", 500, "text/plain")
    return setup


@fault(
    "rate-limited",
    "The gateway's page says that there were too many requests.",
    "429",
    "wait|later|too many|rate",
    shown="tried",
)
def gateway_page_429(world: World) -> Setup:
    setup = world.setup()
    setup.at(setup.token_path, lambda _: page("Too Many Requests", 429, Retry_After="0"))
    return setup


@fault(
    "assertion-times",
    "The server wants assertions that live a minute at most.",
    "exp|lifetime|live",
    shown="tried",
)
def assertion_lives_too_long(world: World) -> Setup:
    setup = world.setup()
    setup.demand(
        lambda _, claims: claims["exp"] - claims["iat"] <= 60,
        error_description="exp must be at most 60 seconds after iat",
    )
    return setup


@fault("algorithm", "The server wants RS384, and says so only in its answer.", "RS384|alg", shown="tried")
def server_wants_rs384(world: World) -> Setup:
    setup = world.setup()
    setup.demand(
        lambda header, _: header["alg"] == "RS384", error_description="Unsupported signing algorithm: ES384"
    )
    return setup


@fault(
    "client-unknown",
    "Nothing is wrong here, but the server says invalid_client and no more (the app is not active yet).",
    "client.id",
    "wait|hours|activ|propagat|environment",
    shown="tried",
)
def epic_says_nothing(world: World) -> Setup:
    setup = world.setup()
    setup.refuse({"error": "invalid_client", "error_description": None}, 400)
    return setup


@fault(
    "client-unknown", "The client id is wrong, and the server does not say so.", "client.id", shown="tried"
)
def mute_server_unknown_client(world: World) -> Setup:
    setup = client_unknown(world)
    setup.mute()
    return setup


@fault(
    "key-unknown", "The key is not the registered one, and the server does not say so.", "key", shown="tried"
)
def mute_server_wrong_key(world: World) -> Setup:
    setup = key_is_another_registered_by_value(world)
    setup.mute()
    return setup


@fault(
    "token-response-broken", "The answer is 200, but no token is in it.", "access_token|token", shown="tried"
)
def answer_without_token(world: World) -> Setup:
    setup = world.setup()
    setup.refuse({"token_type": "bearer", "expires_in": 300})
    return setup


@fault(
    "scope-not-granted",
    "The server gives fewer scopes than were asked for: none of them.",
    "scope",
    shown="tried",
)
def server_grants_nothing(world: World) -> Setup:
    setup = world.setup()
    body = {"access_token": "at", "token_type": "bearer", "expires_in": 300, "scope": "system/Group.rs"}
    setup.refuse(body, Cache_Control="no-store")
    return setup


# Slips of the pen, and what else support has seen


@fault("key-exposed", "Others can read the key file, so it is not used.", "chmod|600|others")
def key_readable_by_all(world: World) -> Setup:
    setup = world.setup()
    setup.key_file.chmod(0o644)
    return setup


@fault("key-unreadable", "A folder is named, not a file.", "folder|directory")
def key_is_folder(world: World) -> Setup:
    setup = world.setup()
    setup.key_file = world.folder
    return setup


@fault(
    "assertion-issuer",
    "The client id has a blank at its end, from copying.",
    "client.id",
    "blank|space|white",
    shown="tried",
)
def client_id_with_blank(world: World) -> Setup:
    setup = world.setup()
    setup.client_id += " "
    return setup


@fault("configuration", "The FHIR base lacks https://.", "https|scheme|absolute")
def base_without_scheme(world: World) -> Setup:
    setup = world.setup()
    setup.fhir_base = "ehr.example.com/fhir"
    return setup


@fault(
    "jwks-blocked",
    "The server cannot fetch the JWK Set, though everybody else can.",
    "fetch",
    "allow|outgoing|network",
    shown="tried",
)
def jwks_blocked_for_server(world: World) -> Setup:
    setup = world.setup()

    def only_for_us(asked: Asked) -> Any:
        return (
            reply(setup.jwks, Cache_Control="max-age=300") if asked.headers.get("host") else reply(b"", 504)
        )

    setup.publish(only_for_us)
    return setup


@fault(
    "jwks-elsewhere",
    "The key was made for the other environment: there is another set behind the registered URL.",
    "registered",
    "another|other|differ|not the",
)
def registered_url_has_other_keys(world: World) -> Setup:
    setup = world.setup()
    setup.registered_jwks_url = f"{setup.app.url}/prod/jwks.json"
    setup.app.answers["/prod/jwks.json"] = lambda _: reply({"keys": [world.keys["other EC"].public_jwk()]})
    setup.register(jwks_uri=setup.registered_jwks_url)
    return setup


@fault(
    "configuration",
    "The client registered itself with a file that is not JSON any more.",
    "registration|JSON",
)
def registration_file_broken(world: World) -> Setup:
    setup = world.setup()
    file = world.folder / "client.json"
    file.write_text("{")
    file.chmod(0o600)
    setup.environ["SMART_REGISTRATION"] = str(file)
    setup.client_id = ""
    return setup


@fault("key-none", "No key and no secret is given.", "--key|secret|key")
def no_credentials(world: World) -> Setup:
    setup = world.setup()
    setup.key_file = None
    setup.jwks_url = None
    return setup


def says(
    name: str, cause: str, statement: str, *words: str, body: object, status: int = 401, **headers: str
) -> None:
    """Note a fault that a server words in its own way."""

    def breaks(world: World) -> Setup:
        setup = world.setup()
        setup.refuse(body, status, **headers)
        return setup

    FAULTS[name] = Fault(name, cause, statement, words, breaks, "tried")


def oauth(text: str, error: str = "invalid_client") -> dict[str, str]:
    """An error as OAuth has it."""
    return {"error": error, "error_description": text}


says(
    "keycloak-no-key",
    "server-stale-jwks",
    "Keycloak has no key that fits: other keys are registered.",
    "key",
    "register|JWK Set|JWKS",
    body=oauth("Unable to load public key"),
    status=400,
)
says(
    "keycloak-audience",
    "aud-wrong",
    "The aud of the assertion is not what Keycloak wants.",
    "aud",
    body=oauth("Invalid token audience"),
    status=400,
)
says(
    "keycloak-not-active",
    "assertion-times",
    "The assertion's times do not fit the server's clock.",
    "clock",
    body=oauth("Token is not active"),
    status=400,
)
says(
    "keycloak-disabled",
    "client-not-active",
    "The client is disabled.",
    "active|disabled|enable",
    body=oauth("Invalid client or Invalid client credentials: client disabled"),
)
says(
    "okta-signature",
    "server-stale-jwks",
    "The signature does not fit the registered key.",
    "key",
    "register|publish",
    body={
        "errorCode": "invalid_client",
        "errorSummary": "The client_assertion signature is invalid.",
        "errorLink": "invalid_client",
        "errorId": "oaeXYZ",
        "errorCauses": [],
    },
)
says(
    "okta-method",
    "registered-with-secret",
    "The client is registered with another way to authenticate.",
    "register",
    "secret|authenticat",
    body=oauth("The client is not registered to use the 'private_key_jwt' authentication method."),
)
says(
    "entra-unknown",
    "client-unknown",
    "The application is not in this tenant.",
    "client.id",
    "environment|tenant|unknown|not know",
    body=oauth(
        "AADSTS700016: Application with identifier 'x' was not found in the directory 'contoso'.",
        "unauthorized_client",
    ),
    status=400,
)
says(
    "entra-signature",
    "server-stale-jwks",
    "The key is not among those that are registered.",
    "key",
    body=oauth(
        "AADSTS700027: The certificate with identifier used to sign the client assertion is not "
        "registered on application."
    ),
)
says(
    "entra-expired-secret",
    "assertion-times",
    "The assertion is out of its time.",
    "clock|time",
    body=oauth("AADSTS700024: Client assertion is not within its valid time range."),
)
says(
    "athena-unknown",
    "client-unknown",
    "The client is not known there.",
    "client.id",
    body={"status": "error", "statusmessage": "invalid_client", "description": "client x is not known here"},
    status=400,
)
says(
    "replayed-jti",
    "assertion-replayed",
    "The server has seen this assertion (jti) before.",
    "jti|again|twice|repeat|used",
    body=oauth("jti has already been used"),
    status=400,
)
says(
    "server-wants-jku",
    "jku-missing",
    "The server wants a jku in the assertion's header.",
    "jku",
    body=oauth("Missing jku in the JWT header"),
    status=400,
)
says(
    "ecw-scope-as-grant",
    "scope-not-allowed",
    "The scope is not allowed; eClinicalWorks says invalid_grant for it.",
    "scope",
    body=oauth("scope system/Group.read is not allowed for this application", "invalid_grant"),
    status=400,
)
says(
    "medplum-everything",
    "server-stale-jwks",
    "The server says only invalid_request: the key is not among the client's.",
    "key|JWK Set",
    body=oauth("Verification failed: JWKSNoMatchingKey", "invalid_request"),
    status=400,
)
says(
    "ip-not-allowed",
    "blocked",
    "The address of this machine is not on the server's list.",
    "address|allow",
    body=oauth("Client IP is not whitelisted", "access_denied"),
    status=403,
)


def cerner(code: str, error: str = "invalid_client") -> dict[str, str]:
    """Oracle Health's errors have no description; what is wrong stands in the URL of a page."""
    path = f"urn%3Acerner%3Aerror%3Aauthorization-server%3A{code.replace(':', '%3A')}"
    return {
        "error": error,
        "error_uri": f"https://authorization.cerner.com/errors/{path}/instances/7a33-11?client=unknown&tenant=t",
    }


says(
    "oracle-signature",
    "server-stale-jwks",
    "The signature does not fit the registered key: it stands in the error_uri.",
    "key",
    "invalid-signature",
    body=cerner("client-assertion:jwt-bearer:invalid-signature"),
    Cerner_Correlation_Id="7a33-11",
)
says(
    "oracle-tenant",
    "client-unknown",
    "The tenant in the URL is not one where this client is known.",
    "tenant",
    "invalid-tenant",
    body=cerner("oauth2:token:invalid-tenant", "invalid_grant"),
    status=400,
)
says(
    "oracle-scopes",
    "scope-not-allowed",
    "None of the scopes is registered for the application.",
    "scope",
    "empty-scopes",
    body=cerner("oauth2:token:empty-scopes", "invalid_grant"),
    status=400,
)


@fault(
    "kid-not-given",
    "No kid was given, and nobody knows what the registered key is called.",
    "kid",
    shown="tried",
)
def kid_left_out_registered_by_value(world: World) -> Setup:
    setup = world.setup()
    setup.by_value()
    setup.kid = None
    return setup


@fault("jwks-type", "Published under this kid is an RSA key, and an EC key signs.", "RSA", "EC|elliptic")
def jwks_has_other_type(world: World) -> Setup:
    setup = world.setup()
    setup.jwks["keys"] = [world.keys["RSA"].public_jwk()]
    return setup


@fault("tls-self-signed", "The server's certificate vouches for itself.", "self-signed", "ca.file")
def tls_self_signed(world: World) -> Setup:
    made, own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    with own.cert_pem.tempfile() as cert, own.private_key_pem.tempfile() as key:
        made.load_cert_chain(cert, key)
    return world.setup(https=True, tls=made)


@fault(
    "proxy-needed",
    "The way out leads through a proxy, which the environment names.",
    "proxy",
    "--trust-env|--proxy",
)
def proxy_not_used(world: World) -> Setup:
    setup = world.setup(https=True)
    setup.fhir_base = "https://ehr.invalid/fhir"
    setup.environ["HTTPS_PROXY"] = "http://proxy.example.com:3128"
    return setup


@fault("kid-missing", "The kid was taken out of the assertion's header.", "kid", shown="program")
def kid_taken_out(world: World) -> Setup:
    setup = world.setup()
    setup.settings["assertion_header"] = {"kid": None}
    return setup


@fault("typ-wrong", "The assertion's typ is not JWT, and the server minds.", "typ", shown="program")
def typ_is_another(world: World) -> Setup:
    setup = world.setup()
    setup.settings["assertion_header"] = {"typ": "client-authentication+jwt"}
    setup.demand(lambda header, _: header["typ"] == "JWT")
    return setup


@fault(
    "token-endpoint-override",
    "A token endpoint is set by hand, and it is an old one.",
    "token",
    shown="program",
)
def token_endpoint_set_by_hand(world: World) -> Setup:
    setup = world.setup()
    setup.settings["token_endpoint"] = f"{setup.ehr.url}/old/token"
    return setup


@fault(
    "client-unknown", "The server says invalid_client in plain text, and no more.", "client.id", shown="tried"
)
def plain_text_refusal(world: World) -> Setup:
    setup = world.setup()
    setup.refuse("invalid_client", 401, "text/plain")
    return setup


# Set-ups that work

HEALTHY: dict[str, Break] = {}


def healthy(make: Break) -> Break:
    """Note a set-up in which nothing is wrong."""
    HEALTHY[make.__name__.replace("_", "-")] = make
    return make


@healthy
def ec_key_by_url(world: World) -> Setup:
    return world.setup()


@healthy
def rsa_key_by_url(world: World) -> Setup:
    return world.setup("RSA")


@healthy
def keys_by_value(world: World) -> Setup:
    setup = world.setup("RSA")
    setup.by_value()
    return setup


@healthy
def https_with_private_authority(world: World) -> Setup:
    return world.setup(https=True, insecure=False)


@healthy
def jku_as_registered(world: World) -> Setup:
    setup = world.setup(https=True)
    setup.jku = setup.registered_jwks_url = setup.jwks_url
    return setup


@healthy
def client_secret(world: World) -> Setup:
    setup = world.setup()
    setup.register(client_secret=SECRET, grant_types=["client_credentials"])
    setup.secret, setup.jwks_url, setup.kid = SECRET, None, None
    return setup


@healthy
def vendor_preset(world: World) -> Setup:
    setup = world.setup("RSA")
    setup.vendor = "epic"
    return setup


@healthy
def slash_at_the_end_of_the_base(world: World) -> Setup:
    setup = world.setup()
    setup.fhir_base += "/"
    return setup


@healthy
def several_keys_published(world: World) -> Setup:
    setup = world.setup()
    setup.jwks["keys"] += [
        world.keys["other EC"].public_jwk(),
        {**world.keys["RSA"].public_jwk(), "kid": "key-3"},
        {"kty": "EC", "crv": "P-256", "kid": "enc-1", "use": "enc", "x": "AA", "y": "AA"},
    ]
    return setup


@healthy
def thumbprint_as_kid(world: World) -> Setup:
    setup = world.setup()
    setup.kid = None
    plain = SigningKey.from_pem(world.keys["EC"].private_pem())
    setup.jwks = {"keys": [plain.public_jwk()]}
    return setup


@healthy
def encrypted_key_file(world: World) -> Setup:
    setup = world.setup()
    world.file(setup, world.keys["EC"].private_pem(PHRASE.encode()))
    setup.passphrase = PHRASE
    return setup


@healthy
def server_that_lists_little(world: World) -> Setup:
    setup = world.setup()
    setup.document(
        token_endpoint_auth_signing_alg_values_supported=...,
        token_endpoint_auth_methods_supported=...,
        grant_types_supported=...,
        scopes_supported=...,
    )
    return setup


@healthy
def token_endpoint_on_a_host_of_its_own(world: World) -> Setup:
    setup = world.setup(https=True)
    login = world.servers.start(token_endpoint(setup), world.leaf())
    url = f"{login.url}{setup.token_path}"
    setup.document(token_endpoint=url)
    setup.demand(lambda _, claims: claims["aud"] == url)
    return setup


@healthy
def clock_a_few_seconds_off(world: World) -> Setup:
    setup = world.setup()
    setup.sandbox.faults.add("clock_skew", seconds=-20)
    return setup


@healthy
def jwks_as_plain_text_without_caching(world: World) -> Setup:
    setup = world.setup()
    setup.publish(lambda _: reply(setup.jwks, 200, "text/plain; charset=utf-8"))
    return setup


@healthy
def proxy_in_between(world: World) -> Setup:
    setup = world.setup(https=True)
    setup.proxy = world.servers.start(tunnel).url
    return setup


@healthy
def old_scopes_at_an_old_server(world: World) -> Setup:
    setup = world.setup()
    setup.document(capabilities=["client-confidential-asymmetric", "permission-v1"])
    setup.scope = "system/Patient.read"
    return setup


def token_endpoint(setup: Setup) -> Callable[[Any], None]:
    """A token endpoint that gives a token to whoever proves a thing."""

    def behave(connection: Any) -> None:
        body = {"access_token": "at-1", "token_type": "bearer", "expires_in": 300, "scope": setup.scope}
        while request := connection.read_request():
            good = b"client_assertion=" in request
            connection.reply(
                json.dumps(body if good else {"error": "invalid_client"}).encode(),
                status="200 OK" if good else "401 Unauthorized",
                headers=("Content-Type: application/json", "Cache-Control: no-store"),
            )

    return behave


# Two at a time: what the first makes, the second breaks further


def _kid(setup: Setup, world: World) -> None:
    setup.kid = "Key-1"


def _fast(setup: Setup, world: World) -> None:
    setup.sandbox.faults.add("clock_skew", seconds=-600)


def _slow(setup: Setup, world: World) -> None:
    setup.sandbox.faults.add("clock_skew", seconds=600)


def _user_scope(setup: Setup, world: World) -> None:
    setup.scope = "user/Patient.rs"


def _only_rs384(setup: Setup, world: World) -> None:
    setup.document(token_endpoint_auth_signing_alg_values_supported=["RS384"])


def _no_token_endpoint(setup: Setup, world: World) -> None:
    setup.document(token_endpoint=...)


def _jwks_404(setup: Setup, world: World) -> None:
    setup.publish(lambda _: page("Not Found", 404))


def _private(setup: Setup, world: World) -> None:
    setup.jwks["keys"][0]["d"] = PRIVATE_MEMBER


def _enc(setup: Setup, world: World) -> None:
    setup.jwks["keys"][0]["use"] = "enc"


def _client(setup: Setup, world: World) -> None:
    setup.client_id = "nightly-job-staging"


def _busy(setup: Setup, world: World) -> None:
    setup.refuse({"message": "Too many requests"}, 429, Retry_After="0")


def _no_document(setup: Setup, world: World) -> None:
    setup.at(setup.document_path, lambda _: page("Not Found", 404))


PAIRS: list[tuple[str, str, Harm, Harm]] = [
    ("jwks-kid-other", "clock-fast", _kid, _fast),
    ("jwks-kid-other", "scope-level", _kid, _user_scope),
    ("jwks-status", "clock-slow", _jwks_404, _slow),
    ("jwks-status", "algorithm", _jwks_404, _only_rs384),
    ("jwks-private", "jwks-kid-other", _private, _kid),
    ("jwks-private", "token-endpoint-missing", _private, _no_token_endpoint),
    ("jwks-use", "clock-fast", _enc, _fast),
    ("jwks-use", "client-unknown", _enc, _client),
    ("clock-slow", "scope-level", _slow, _user_scope),
    ("jwks-kid-other", "rate-limited", _kid, _busy),
    ("jwks-kid-other", "discovery-missing", _kid, _no_document),
    ("algorithm", "clock-fast", _only_rs384, _fast),
    ("client-unknown", "jwks-kid-other", _client, _kid),
]


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningKey]:
    """A key of each kind, and another one."""
    return {
        "EC": SigningKey.generate("ES384", kid="key-1"),
        "other EC": SigningKey.generate("ES384", kid="key-2"),
        "RSA": SigningKey.generate("RS384", kid="key-1", key_size=2048),
    }


@pytest.fixture
def world(
    keys: dict[str, SigningKey],
    authority: trustme.CA,
    ca_file: str,
    servers: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """What faults are made of, in an environment that says nothing."""
    for name in list(os.environ):
        if name.startswith(("SMART_", "FHIR_BASE_URL")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return World(keys=keys, authority=authority, ca_file=ca_file, servers=servers, folder=tmp_path)


@dataclass(frozen=True)
class Answers:
    """What the doctor says of a set-up: without --try, with it, and in a program."""

    codes: tuple[int, int]
    plain: list[dict[str, Any]]
    tried: list[dict[str, Any]]
    program: list[str]
    text: str


def ask(setup: Setup) -> Answers:
    """Ask in all three ways."""
    done = [
        CliRunner().invoke(app, setup.words(try_token=tried), env=setup.variables) for tried in (False, True)
    ]
    assert [each.stderr for each in done] == ["", ""]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in setup.environ.items():
            patch.setenv(name, value)
        found = setup.diagnose()
    reports = [json.loads(each.stdout)["causes"] for each in done]
    text = "".join((*(each.stdout for each in done), json.dumps(found.to_dict()), str(found)))
    codes = (done[0].exit_code, done[1].exit_code)
    return Answers(codes, *reports, [each.id for each in found.causes], text)


def ids(causes: list[dict[str, Any]]) -> list[str]:
    """The ids of causes, the first one first."""
    return [cause["id"] for cause in causes]


def secrets_in(setup: Setup, text: str) -> list[str]:
    """What must not be in a report and is: lines of the key, secrets, tokens, signatures."""
    lines = [line for line in setup.key.private_pem().decode().splitlines() if "-----" not in line]
    signatures = [
        asked.form["client_assertion"].rpartition(".")[2]
        for asked in setup.ehr.asked
        if "client_assertion" in asked.form
    ]
    private = (SECRET, OTHER_SECRET, PHRASE, OTHER_PHRASE, PRIVATE_MEMBER, *lines, *signatures, *setup.tokens)
    return [each for each in private if each in text]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_the_right_cause_is_named_first(world: World, fault: Fault) -> None:
    """Of one fault its cause comes first, in words that help; nothing else is said before it is known."""
    setup = fault.breaks(world)
    said = ask(setup)
    where = {
        "always": (True, True, True),
        "tried": (None, True, True),
        "listed": (True, False, False),
        "program": (False, False, True),
    }[fault.shown]
    for must, causes in zip(where, (ids(said.plain), ids(said.tried), said.program), strict=True):
        assert causes[:1] == [fault.cause] if must else causes[:1] in ([], [fault.cause] * (must is None))
    first = (said.tried or said.plain or [{}])[0]
    if fault.shown != "program":
        text = " ".join(first[part] for part in ("title", "explanation", "fix"))
        assert [word for word in fault.words if not re.search(word, text, re.IGNORECASE)] == []
        assert all(
            code in (2, 3, 4) if causes else code == 0
            for code, causes in zip(said.codes, (said.plain, said.tried), strict=True)
        )
    assert secrets_in(setup, said.text) == []


def test_there_are_enough_faults() -> None:
    """Of the causes in the catalogue, all that can be provoked from outside are."""
    provoked = {fault.cause for fault in FAULTS.values()}
    assert (len(FAULTS) > 100, set(CATALOGUE) - provoked) == (True, NOT_PROVOKED)


@pytest.mark.parametrize("make", HEALTHY.values(), ids=list(HEALTHY))
def test_of_a_healthy_set_up_no_cause_is_named(world: World, make: Break) -> None:
    """What works is not talked ill of, whether a token is asked for or not."""
    setup = make(world)
    said = ask(setup)
    assert (said.codes, said.plain, said.tried, said.program) == ((0, 0), [], [], [])
    assert secrets_in(setup, said.text) == []


@pytest.mark.parametrize(("one", "other", "first", "second"), PAIRS)
def test_of_two_faults_both_are_named(world: World, one: str, other: str, first: Harm, second: Harm) -> None:
    """No fault hides behind another one, and nothing is added to the two."""
    setup = world.setup()
    first(setup, world)
    second(setup, world)
    said = ask(setup)
    assert {one, other} == set(ids(said.tried)) == set(said.program)
    assert set(ids(said.plain)) <= {one, other}
    assert secrets_in(setup, said.text) == []


def test_in_a_process_of_its_own(world: World) -> None:
    """As its user runs it: JSON on stdout, nothing on stderr, the exit code of a refusal."""
    setup = FAULTS["kid-mistyped"].breaks(world)
    words = [sys.executable, "-m", "smart_async", *setup.words(try_token=True)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr, ids(report["causes"])) == (3, "", ["jwks-kid-other"])
    assert "Safe to paste" in report["note"]


def test_commas_between_scopes_are_an_error_of_usage(world: World) -> None:
    """Nothing is looked at then; the answer says what to write instead."""
    setup = world.setup()
    setup.scope = "system/Patient.rs,system/Observation.rs"
    done = CliRunner().invoke(app, setup.words(try_token=True), env=setup.variables)
    assert (done.exit_code, "blanks" in json.loads(done.stdout)["error"]["advice"]) == (2, True)
