"""
Acceptance: TLS as hospitals have it, through the clients; T52.

A server that cannot prove who it is, or speaks an old version, is sent nothing. What the environment says
about proxies, certificates, passwords and key logs does not count unless it was asked for; a certificate
authority, a client certificate and a proxy of the user's are options with a name.
"""

from __future__ import annotations

import datetime
import json
import ssl
import warnings
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from loopback import Caller, Server, Servers, tunnel

from smart_async import ClientSecret, Secret, SmartConfig, TransportError
from smart_async.limits import Timeouts
from smart_async.transports import ClientCertificate

SECRET = "not-for-strangers"
OLD = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def ehr(connection: Any) -> None:
    """An EHR that gives a token to whoever asks."""
    while request := connection.read_request():
        if b"smart-configuration" in request:
            place = f"https://127.0.0.1:{connection.server.port}"
            document = {
                "token_endpoint": f"{place}/token",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
                "capabilities": ["client-confidential-symmetric"],
            }
        else:
            document = {
                "access_token": "at-1",
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": "system/*.rs",
            }
        connection.reply(
            json.dumps(document).encode(),
            headers=("Content-Type: application/json", "Cache-Control: no-store"),
        )


def get_token(caller: Caller, server: Server) -> str:
    """The access token that a new client over the caller's transport gets."""
    config = SmartConfig(
        fhir_base=f"https://127.0.0.1:{server.port}/r4",
        client_id="nightly-job",
        client_auth=ClientSecret(SECRET),
        attempts=1,
    )
    client = caller.client(config, timeouts=Timeouts(connect=5))
    return str(caller.call(client.backend_token, "system/*.rs").access_token.reveal())


def refused(caller: Caller, server: Server) -> TransportError:
    """The error of a client that must not send anything."""
    with pytest.raises(TransportError) as caught:
        get_token(caller, server)
    assert (caught.value.sent, server.requests) == (False, [])
    assert caught.value.advice
    assert SECRET not in str(caught.value)
    return caught.value


def context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """The server's half of TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(made)
    return made


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings of this machine."""
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(servers: Servers, authority: trustme.CA) -> Server:
    """An EHR with a certificate of a private authority."""
    return servers.start(ehr, authority.issue_cert("127.0.0.1"))


class TestBadServers:
    """None of them is sent a request, let alone a secret."""

    def test_an_expired_certificate(
        self, caller: Caller, servers: Servers, authority: trustme.CA, ca_file: str
    ) -> None:
        """A certificate that has run out is refused, and said so."""
        leaf = authority.issue_cert("127.0.0.1", not_before=OLD, not_after=OLD + DAY)
        caller.open(ca_file=ca_file)
        assert "expired" in refused(caller, servers.start(ehr, leaf)).message

    def test_a_wrong_name(
        self, caller: Caller, servers: Servers, authority: trustme.CA, ca_file: str
    ) -> None:
        """A good certificate of another host proves nothing."""
        caller.open(ca_file=ca_file)
        assert "mismatch" in refused(caller, servers.start(ehr, authority.issue_cert("127.0.0.2"))).message

    def test_a_self_signed_certificate(self, caller: Caller, servers: Servers, ca_file: str) -> None:
        """A certificate that vouches for itself is refused, even where a private authority is trusted."""
        own = trustme.CA()
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with own.cert_pem.tempfile() as cert, own.private_key_pem.tempfile() as key:
            made.load_cert_chain(cert, key)
        caller.open(ca_file=ca_file)
        assert "self-signed" in refused(caller, servers.start(ehr, made)).message

    def test_an_unknown_authority(self, caller: Caller, server: Server) -> None:
        """A private authority is trusted only by name, and the advice says under which."""
        caller.open()
        assert "ca_file" in str(refused(caller, server).advice)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    def test_old_versions(
        self,
        caller: Caller,
        servers: Servers,
        authority: trustme.CA,
        ca_file: str,
        version: ssl.TLSVersion,
    ) -> None:
        """A server that speaks TLS 1.0 or 1.1 only is refused."""
        made = context(authority.issue_cert("127.0.0.1"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made.minimum_version = made.maximum_version = version
        made.set_ciphers("ALL:@SECLEVEL=0")
        caller.open(ca_file=ca_file)
        assert "TLS 1.2" in str(refused(caller, servers.start(ehr, made)).advice)


class TestTheEnvironment:
    """It belongs to whoever set the variables, who need not be the user."""

    def test_it_is_ignored(
        self,
        caller: Caller,
        servers: Servers,
        server: Server,
        ca_file: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Any,
    ) -> None:
        """No proxy, authority, password file or key log of the environment's has any effect."""
        proxy = servers.start(tunnel)
        netrc, log = tmp_path / "netrc", tmp_path / "keys.log"
        netrc.write_text("machine 127.0.0.1 login eve password evil\n")
        (tmp_path / ".netrc").write_text(netrc.read_text())
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("SSLKEYLOGFILE", str(log))
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        caller.open()
        refused(caller, server)
        caller.open(ca_file=ca_file)
        assert get_token(caller, server) == "at-1"
        assert (proxy.connections, log.exists()) == (0, False)
        assert b"authorization" not in server.requests[0].lower()
        assert b"ZXZl" not in b"".join(server.requests)

    def test_it_counts_when_asked_for(
        self,
        caller: Caller,
        servers: Servers,
        server: Server,
        ca_file: str,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Any,
    ) -> None:
        """trust_env=True takes the proxy and the authority from it, but never writes down keys."""
        proxy = servers.start(tunnel)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
        caller.open(trust_env=True)
        assert get_token(caller, server) == "at-1"
        assert {request.split()[0] for request in proxy.requests} == {b"CONNECT"}
        assert not (tmp_path / "keys.log").exists()
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        before = proxy.connections
        caller.open(trust_env=True)
        assert get_token(caller, server) == "at-1"
        assert proxy.connections == before


class TestNamedOptions:
    """What a hospital's network needs, each by its name."""

    def test_a_private_authority(self, caller: Caller, server: Server, ca_file: str) -> None:
        """ca_file names the authority to trust."""
        caller.open(ca_file=ca_file)
        assert get_token(caller, server) == "at-1"

    @pytest.mark.parametrize("locked", [False, True])
    def test_a_client_certificate(
        self,
        caller: Caller,
        servers: Servers,
        authority: trustme.CA,
        ca_file: str,
        tmp_path: Any,
        locked: bool,
    ) -> None:
        """A server that insists on a certificate is shown cert, its key encrypted or not."""
        made = context(authority.issue_cert("127.0.0.1"))
        authority.configure_trust(made)
        made.verify_mode = ssl.CERT_REQUIRED
        server = servers.start(ehr, made)
        leaf = authority.issue_cert("nightly-job@hospital.example")
        cipher: Any = serialization.BestAvailableEncryption(b"open sesame")
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            cipher if locked else serialization.NoEncryption(),
        )
        (tmp_path / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        (tmp_path / "key.pem").write_bytes(key)
        cert = ClientCertificate(
            certfile=tmp_path / "cert.pem",
            keyfile=tmp_path / "key.pem",
            password=Secret("open sesame") if locked else None,
        )
        caller.open(ca_file=ca_file)
        with pytest.raises(TransportError):
            get_token(caller, server)
        assert server.requests == []
        caller.open(ca_file=ca_file, cert=cert)
        assert get_token(caller, server) == "at-1"

    @pytest.mark.parametrize("secure", [False, True])
    def test_a_proxy(
        self,
        caller: Caller,
        servers: Servers,
        server: Server,
        authority: trustme.CA,
        ca_file: str,
        secure: bool,
    ) -> None:
        """The proxy sees the host's name and its own password, and nothing of what is said."""
        proxy = servers.start(tunnel, authority.issue_cert("127.0.0.1") if secure else None)
        scheme = "https" if secure else "http"
        caller.open(ca_file=ca_file, proxy=f"{scheme}://ann:p%40ss@127.0.0.1:{proxy.port}")
        assert get_token(caller, server) == "at-1"
        seen = b"".join(proxy.requests)
        assert b"Proxy-Authorization: Basic YW5uOnBAc3M=" in seen
        assert (b"nightly-job" in seen, SECRET.encode() in seen) == (False, False)
        assert b"proxy-authorization" not in b"".join(server.requests).lower()

    @pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
    def test_a_proxy_that_refuses(
        self, caller: Caller, servers: Servers, server: Server, ca_file: str, status: str
    ) -> None:
        """A proxy's refusal is a typed error with advice, and without the password."""
        proxy = servers.honest(b"no", status=status)
        caller.open(ca_file=ca_file, proxy=f"http://ann:p%40ss@127.0.0.1:{proxy.port}")
        error = refused(caller, server)
        assert f"The proxy 127.0.0.1:{proxy.port}" in error.message
        assert ("p%40ss" in repr(vars(error)), "p@ss" in repr(vars(error))) == (False, False)
