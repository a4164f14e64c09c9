"""`diagnose` and `async_diagnose`: against the sandbox, and against TLS as it should not be."""

from __future__ import annotations

import datetime
import json
import ssl
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import trustme

from smart_async import (
    ClientSecret,
    KeyRing,
    PrivateKeyJWT,
    SigningKey,
    SmartConfig,
    async_diagnose,
    diagnose,
    public_jwks,
)
from smart_async.clients._tls import look_at_tls
from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.sandbox import Sandbox
from smart_async.transports import ClientCertificate

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Routed:
    """A transport of both colours: the sandbox, and pages elsewhere."""

    def __init__(self, sandbox: Sandbox, pages: dict[str, Response] | None = None) -> None:
        self.inner = sandbox.transport()
        self.pages = pages or {}

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """The page, or what the sandbox says."""
        if request.url in self.pages:
            return replace(self.pages[request.url], url=request.url)
        return self.inner.send(request, timeouts)

    def close(self) -> None:
        """Nothing to close."""

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """The same."""
        return self.send(request, timeouts)

    async def aclose(self) -> None:
        """The same."""


@pytest.fixture
def sandbox(signing_key: SigningKey) -> Sandbox:
    """A sandbox that knows the client."""
    sandbox = Sandbox()
    sandbox.register_client(client_id="app", jwks=public_jwks([signing_key]))
    return sandbox


@pytest.fixture
def job(sandbox: Sandbox, signing_key: SigningKey) -> SmartConfig:
    """The client's registration."""
    return SmartConfig(fhir_base=sandbox.fhir_base, client_id="app", client_auth=PrivateKeyJWT(signing_key))


@pytest.fixture
def look(colour: Any) -> Callable[..., Any]:
    """Return a function that diagnoses in each colour."""

    def call(config: SmartConfig | None, **options: Any) -> Any:
        return colour.call(diagnose if colour.name == "sync" else async_diagnose, config, **options)

    return call


def test_both_colours_see_the_same(look: Any, sandbox: Sandbox, job: SmartConfig) -> None:
    """A healthy client is healthy, a stranger is a stranger, on every event loop and none."""
    transport = Routed(sandbox)
    healthy = look(job, transport=transport, try_token=True)
    stranger = look(replace(job, client_id="stranger"), transport=transport, try_token=True)
    assert (healthy.ok, healthy.granted, stranger.causes[0].id) == (True, True, "client-unknown")
    assert look(job, transport=transport).ok


def test_a_transport_of_ones_own_stays_open(look: Any, sandbox: Sandbox, job: SmartConfig) -> None:
    """Who gave the transport closes it; TLS is not looked at beside it."""
    found = look(job, transport=Routed(sandbox))
    tls = next(check for check in found.checks if check.id == "tls")
    assert (tls.status, "a transport of your own" in tls.explanation) == ("skipped", True)


def test_no_configuration_at_all(look: Any) -> None:
    """The error that stood in its way is the cause; with neither there is nothing to say."""
    found = look(None, key_problem=ConfigurationError("fhir_base is no URL.", field="fhir_base"))
    assert [cause.id for cause in found.causes] == ["configuration"]
    with pytest.raises(ConfigurationError, match="nothing to diagnose"):
        look(None)


@cache
def some_keys() -> tuple[SigningKey, SigningKey, SigningKey]:
    """An elliptic-curve key, an RSA key, and one without a kid of its own."""
    rsa = SigningKey.generate("RS384", kid="rsa", key_size=2048)
    return SigningKey.generate("ES384", kid="ec"), rsa, SigningKey.generate("ES384")


def healthy_setups(sandbox: Sandbox) -> list[tuple[SmartConfig, dict[str, Any]]]:
    """Ten registrations in which nothing is wrong."""
    ec, rsa, unnamed = some_keys()
    base = {"fhir_base": sandbox.fhir_base}
    url = "https://app.example.net/jwks.json"
    for name, keys in (("ec", [ec]), ("rsa", [rsa]), ("unnamed", [unnamed]), ("both", [ec, rsa])):
        sandbox.register_client(client_id=name, jwks=public_jwks(keys))
    ring = KeyRing(active=[ec], next=[rsa])
    return [
        (SmartConfig(**base, client_id="ec", client_auth=PrivateKeyJWT(ec)), {}),
        (SmartConfig(**base, client_id="rsa", client_auth=PrivateKeyJWT(rsa)), {}),
        (SmartConfig(**base, client_id="unnamed", client_auth=PrivateKeyJWT(unnamed)), {}),
        (SmartConfig(**base, client_id="both", client_auth=PrivateKeyJWT(ring)), {"jwks_url": url}),
        (SmartConfig(**base, client_id="ec", client_auth=PrivateKeyJWT(ec), scope="system/Patient.rs"), {}),
        (SmartConfig(**base, client_id="ec", client_auth=PrivateKeyJWT(ec), scope="system/Patient.read"), {}),
        (SmartConfig(**base, client_id="ec", client_auth=PrivateKeyJWT(ec), assertion_backdate=10), {}),
        (SmartConfig(**base, client_id="ec", client_auth=PrivateKeyJWT(ec), strict=True), {}),
        (
            SmartConfig(
                **base, client_id="ec", client_auth=PrivateKeyJWT(ec), token_endpoint=sandbox.token_endpoint
            ),
            {},
        ),
        (
            SmartConfig(
                **base,
                client_id="ec",
                client_auth=PrivateKeyJWT(ec),
                discovery="off",
                token_endpoint=sandbox.token_endpoint,
            ),
            {"registered_jwks_url": url},
        ),
    ]


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("try_token", [False, True])
def test_ten_healthy_setups_have_no_cause(number: int, try_token: bool) -> None:
    """Where nothing is wrong nothing is named."""
    sandbox = Sandbox()
    config, options = healthy_setups(sandbox)[number]
    keys = [signer.public_jwk() for signer in config.client_auth.signers]  # type: ignore[attr-defined]
    page = Response(
        status=200, headers={"content-type": "application/json"}, body=json.dumps({"keys": keys}).encode()
    )  # type: ignore[arg-type]  # wrong or looser on purpose
    transport = Routed(sandbox, {"https://app.example.net/jwks.json": page})
    found = diagnose(config, transport=transport, try_token=try_token, **options)
    assert (found.causes, found.granted) == ((), try_token)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"client_id": "another-environment"}, "client-unknown"),
        ({"assertion_audience": "https://sandbox.example/oauth2/tokens"}, "aud-wrong"),
        ({"fhir_base": "https://sandbox.example"}, "fhir-base-path"),
        ({"scope": "patient/*.rs"}, "scope-level"),
        ({"client_auth": PrivateKeyJWT(SigningKey.generate("ES384", kid="key-1"))}, "jwks-key"),
        ({"client_auth": PrivateKeyJWT(SigningKey.generate("ES384", kid="key-9"))}, "key-unknown"),
        ({"client_auth": PrivateKeyJWT(SigningKey.generate("ES384"))}, "kid-not-given"),
        ({"client_auth": ClientSecret("swordfish")}, "registered-with-key"),
        ({"client_id": "secretive"}, "registered-with-secret"),
    ],
)
def test_what_the_sandbox_refuses(sandbox: Sandbox, job: SmartConfig, change: Any, cause: str) -> None:
    """The strict judge and the diagnosis come to the same conclusion, although neither knows the other."""
    sandbox.register_client(
        client_id="secretive",
        client_secret="a-long-enough-secret",
        redirect_uris=["https://app.example.net/cb"],
    )
    found = diagnose(replace(job, **change), transport=Routed(sandbox), try_token=True)
    assert found.causes[0].id == cause


def test_nothing_secret_is_in_any_output(sandbox: Sandbox, signing_key: SigningKey, job: SmartConfig) -> None:
    """No key, signature, secret, token or hidden value appears in the report, as text or as JSON."""
    seen: list[bytes] = []

    class Listening(Routed):
        def send(self, request: Request, timeouts: Timeouts) -> Response:
            response = super().send(request, timeouts)
            seen.extend([request.body or b"", response.body])
            return response

    canary = "canary-4711"
    config = replace(
        job,
        assertion_header={"x-tenant": canary},
        extra_token_params={"password": canary},
        extra_token_headers={"X-Api-Key": canary},
        extra_discovery_headers={"X-Api-Key": canary},
    )
    for each in (
        config,
        replace(config, client_id="stranger"),
        replace(config, client_auth=ClientSecret(canary)),
    ):
        found = diagnose(
            each,
            transport=Listening(sandbox),
            try_token=True,
            jwks_url=f"https://sandbox.example/jwks?sig={canary}",
            registered_jwks_url=f"https://sandbox.example/registered?sig={canary}",
        )
        shown = f"{json.dumps(found.to_dict())} {found!r}"
        assert canary not in shown
        sent = b" ".join(seen).decode()
        for word in (
            part for text in sent.split("client_assertion=")[1:] for part in text.split("&")[0].split(".")
        ):
            assert len(word) < 8 or word not in shown
        assert signing_key.private_pem().decode().splitlines()[1] not in shown
        tokens = [json.loads(body).get("access_token") for body in seen if body[:1] == b"{"]
        assert [token for token in tokens if token and token in shown] == []


def bad_server(kind: str, authority: trustme.CA) -> ssl.SSLContext:
    """A TLS context with one flaw."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind == "expired":
        day = datetime.timedelta(days=1)
        authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + day).configure_cert(
            context
        )
    elif kind == "name":
        authority.issue_cert("127.0.0.2", "other.example").configure_cert(context)
    elif kind in ("untrusted", "self-signed"):
        other = trustme.CA()
        other.issue_cert("127.0.0.1").configure_cert(context)
        if kind == "self-signed":
            with other.cert_pem.tempfile() as cert, other.private_key_pem.tempfile() as key:
                context.load_cert_chain(cert, key)
    else:
        authority.issue_cert("127.0.0.1").configure_cert(context)
    if kind == "old":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("kind", ["expired", "name", "untrusted", "self-signed", "old"])
def test_tls_that_is_not_accepted(
    servers: Any, authority: Any, ca_file: str, kind: str, job: SmartConfig
) -> None:
    """Each flaw of a server's TLS is named, and nothing is sent to it."""
    server = servers.honest(cert=bad_server(kind, authority))
    config = replace(job, fhir_base=f"{server.url}/r4")
    found = diagnose(config, ca_file=ca_file, try_token=True)
    assert ([cause.id for cause in found.causes], server.requests) == ([f"tls-{kind}"], [])


def test_tls_that_is_fine(look: Any, servers: Any, authority: Any, ca_file: str, job: SmartConfig) -> None:
    """Version, names, issuer and expiry are told."""
    server = servers.honest(cert=bad_server("none", authority))
    found = look(replace(job, fhir_base=f"{server.url}/r4"), ca_file=ca_file)
    tls = next(check for check in found.checks if check.id == "tls")
    assert (tls.status, "TLSv1.3, certificate for 127.0.0.1, issued by" in tls.explanation) == ("ok", True)
    assert found.causes[0].id == "token-endpoint-missing"


def test_a_server_that_speaks_no_tls(servers: Any, ca_file: str) -> None:
    """A port that answers in plain HTTP agrees on nothing."""
    server = servers.start(lambda connection: connection.send(b"HTTP/1.1 200 OK\r\n\r\n"))
    assert look_at_tls(server.url.replace("http:", "https:"), ca_file).problem == "failed"


def test_hosts_that_are_not_there(servers: Any, ca_file: str) -> None:
    """No host and no port are told apart."""
    server = servers.start(lambda connection: None)
    server.close()
    assert look_at_tls(f"https://127.0.0.1:{server.port}", ca_file).problem == "unreachable"
    assert look_at_tls("https://nobody.invalid", ca_file).problem == "unknown-host"


def test_a_certificate_that_cannot_be_looked_at_twice(servers: Any, authority: Any, ca_file: str) -> None:
    """Where the second handshake fails, the verdict of the first stands."""
    context = bad_server("name", authority)
    handshakes: list[int] = []

    def behave(connection: Any) -> None:
        handshakes.append(1)
        if len(handshakes) == 1:
            connection.sock = context.wrap_socket(connection.sock, server_side=True)
        else:
            connection.reset()

    server = servers.start(behave)
    facts = look_at_tls(server.url.replace("http:", "https:"), ca_file)
    assert (facts.problem, facts.issuer) == ("name", None)


def test_a_certificate_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old certificate has no alternative names; what cannot be read at all is left out."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from smart_async.clients import _tls

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LONG_AGO)
        .not_valid_after(LONG_AGO + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    der = made.public_bytes(serialization.Encoding.DER)
    for content, issuer in ((der, "CN=old"), (b"no certificate", None)):
        monkeypatch.setattr(_tls, "_handshake", lambda *_, content=content: ("TLSv1.3", content))
        facts = look_at_tls("https://old.example")
        assert (facts.names, facts.issuer, facts.problem) == ((), issuer, None)


def test_a_forgotten_proxy(look: Any, job: SmartConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment that nobody used is named, without its password."""
    for name in ("https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    config = replace(job, fhir_base="https://127.0.0.1:9/r4")
    for value in ("http://user:pass@proxy.example:8080", "user:pass@proxy.example:8080"):
        monkeypatch.setenv("HTTPS_PROXY", value)
        found = look(config, try_token=True)
        assert found.causes[0].id == "proxy-needed"
        assert "proxy.example:8080 (HTTPS_PROXY)" in found.causes[0].explanation
        assert "pass" not in str(found.to_dict())
    found = look(config, proxy="http://127.0.0.1:9")
    assert (found.causes[0].id, "through a proxy" in str(found.checks)) == ("proxy-failed", True)
    monkeypatch.delenv("HTTPS_PROXY")
    assert look(config).causes[0].id == "server-unreachable"


def test_mutual_tls_is_not_looked_at(job: SmartConfig, authority: Any, tmp_path: Any) -> None:
    """A server that asks for a certificate cannot be looked at without one."""
    leaf = authority.issue_cert("client.example")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    config = replace(job, fhir_base="https://127.0.0.1:9/r4")
    found = diagnose(config, cert=ClientCertificate(certfile=str(tmp_path / "cert.pem")), trust_env=True)
    assert "own certificate" in next(check for check in found.checks if check.id == "tls").explanation


def test_plain_http_on_loopback(servers: Any, job: SmartConfig) -> None:
    """There is no TLS to look at."""
    server = servers.honest(b"{}")
    config = replace(job, fhir_base=f"{server.url}/r4", allow_insecure_loopback=True)
    assert "Plain http" in next(check for check in diagnose(config).checks if check.id == "tls").explanation


def test_an_error_of_the_transport_closes_it(job: SmartConfig) -> None:
    """What is not ours is not swallowed."""

    class Broken:
        def send(self, request: Request, timeouts: Timeouts) -> Response:
            raise TransportError("No connection could be opened.", sent=False)

        def close(self) -> None:
            raise AssertionError("it stays the caller's")

    assert diagnose(job, transport=Broken()).causes[0].id == "server-unreachable"
