"""Proxies and certificates from the environment: where they were asked for, and nowhere else."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import HttpxTransport
from smart_async.transports._engine import Engine, Options
from smart_async.transports._environment import environment_exceptions, environment_proxies, environment_roots

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Take the machine's own settings away."""
    for name in (*VARIABLES, *map(str.lower, VARIABLES), "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


def ask(caller, server):
    return caller.send(Request(method="GET", url=f"{server.url}/r4", purpose="token", fresh=True), Timeouts())


@pytest.fixture
def https_server(servers, authority):
    return servers.honest(b"direct", cert=authority.issue_cert("127.0.0.1"))


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_variable(caller, servers, https_server, ca_file, monkeypatch, variable):
    """A proxy variable is ignored, and used with trust_env=True."""
    proxy = servers.honest(b"", status="502 Bad Gateway")
    monkeypatch.setenv(variable, proxy.url)
    caller.open(ca_file=ca_file)
    assert ask(caller, https_server).body == b"direct"
    assert proxy.connections == 0
    caller.open(ca_file=ca_file, trust_env=True)
    with pytest.raises(TransportError, match=f"The proxy 127.0.0.1:{proxy.port} refused"):
        ask(caller, https_server)
    assert proxy.requests[0].startswith(b"CONNECT ")


def test_excepted_hosts(caller, servers, https_server, ca_file, monkeypatch):
    """NO_PROXY counts with trust_env=True, also beside a proxy that was given as an option."""
    proxy = servers.honest(b"", status="502 Bad Gateway")
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")
    caller.open(ca_file=ca_file, proxy=proxy.url, trust_env=True)
    assert ask(caller, https_server).body == b"direct"
    for options in ({}, {"trust_env": True, "no_proxy": ""}):
        caller.open(ca_file=ca_file, proxy=proxy.url, **options)
        with pytest.raises(TransportError):
            ask(caller, https_server)


def test_an_option_wins(caller, https_server, ca_file, monkeypatch):
    """Where the option is given its variable is not even read: an unusable one does no harm."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    monkeypatch.setenv("NO_PROXY", "https://not a host")
    caller.open(ca_file=ca_file, proxy="http://127.0.0.1:9", no_proxy="*", trust_env=True)
    assert ask(caller, https_server).body == b"direct"


def test_a_certificate_file(caller, https_server, ca_file, monkeypatch):
    """SSL_CERT_FILE is ignored, and replaces the public authorities with trust_env=True."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    caller.open()
    with pytest.raises(TransportError, match="not accepted"):
        ask(caller, https_server)
    caller.open(trust_env=True)
    assert ask(caller, https_server).body == b"direct"


def test_a_certificate_folder(caller, https_server, authority, monkeypatch, tmp_path):
    """SSL_CERT_DIR with hashed names is used with trust_env=True, and then instead of the public ones."""
    pem = authority.cert_pem.bytes()
    (tmp_path / f"{subject_hash(pem)}.0").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    caller.open(trust_env=True)
    assert ask(caller, https_server).body == b"direct"


def subject_hash(pem):
    """Return the name that OpenSSL looks for: a hash of the subject in its canonical form."""
    subject = x509.load_pem_x509_certificate(pem).subject
    canonical = b""
    for rdn in subject.rdns:
        (attribute,) = rdn
        oid = der(0x06, oid_bytes(attribute.oid.dotted_string))
        value = der(0x0C, " ".join(attribute.value.split()).lower().encode())
        canonical += der(0x31, der(0x30, oid + value))
    return f"{int.from_bytes(hashlib.sha1(canonical).digest()[:4], 'little'):08x}"


def der(tag, content):
    """Return one DER element; short ones only."""
    assert len(content) < 128
    return bytes((tag, len(content))) + content


def oid_bytes(dotted):
    """Return an object identifier's content; only arcs below 128, as those of names are."""
    first, second, *rest = map(int, dotted.split("."))
    return bytes((first * 40 + second, *rest))


def test_a_missing_certificate_file(monkeypatch):
    """A file that cannot be read is named by its variable."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(ConfigurationError) as caught:
        Engine(HttpxTransport.family, Options(trust_env=True))
    assert caught.value.field == "SSL_CERT_FILE"


def test_a_missing_certificate_folder(monkeypatch):
    """A folder that is not there is named by its variable, before anything is sent."""
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(trust_env=True)
    assert caught.value.field == "SSL_CERT_DIR"


def test_it_is_read_once(monkeypatch):
    """A variable that is set later changes nothing: the way of a client's tokens does not move."""
    transport = HttpxTransport(trust_env=True)
    monkeypatch.setenv("HTTPS_PROXY", "http://late.example:8080")
    assert transport._load().routes.proxy("https", "ehr.example.com", 443) is None


def test_key_logs_are_never_written(monkeypatch, tmp_path):
    """SSLKEYLOGFILE would write down the keys of every connection; not even trust_env=True allows it."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert Engine(HttpxTransport.family, Options(trust_env=True))._context.keylog_filename is None
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"HTTPS_PROXY": ""}, {}),
        ({"HTTPS_PROXY": "http://a.example:1"}, {"https": "a.example:1"}),
        ({"HTTPS_PROXY": "a.example:1"}, {"https": "a.example:1"}),
        ({"HTTPS_PROXY": " http://a.example:1 "}, {"https": "a.example:1"}),
        (
            {"HTTPS_PROXY": "http://a.example:1", "https_proxy": "http://b.example:2"},
            {"https": "b.example:2"},
        ),
        ({"HTTPS_PROXY": "http://a.example:1", "https_proxy": ""}, {"https": "a.example:1"}),
        ({"HTTP_PROXY": "http://a.example:1"}, {"http": "a.example:1"}),
        ({"HTTP_PROXY": "http://a.example:1", "REQUEST_METHOD": "GET"}, {}),
        ({"http_proxy": "http://a.example:1", "REQUEST_METHOD": "GET"}, {"http": "a.example:1"}),
        ({"ALL_PROXY": "http://a.example:1"}, {"http": "a.example:1", "https": "a.example:1"}),
        (
            {"ALL_PROXY": "http://a.example:1", "HTTPS_PROXY": "http://b.example:2"},
            {"http": "a.example:1", "https": "b.example:2"},
        ),
    ],
)
def test_which_variable_counts(environ, expected):
    """Small letters come first, empty means unset, and a visitor's Proxy header is no setting."""
    assert {scheme: proxy.place for scheme, proxy in environment_proxies(environ).items()} == expected


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_variable_that_cannot_be_used(variable):
    """An unusable proxy is named by its variable, and its password is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        environment_proxies({variable: "socks5://ann:secret@proxy.example.com"})
    assert caught.value.field == variable
    assert caught.value.message.startswith(f"{variable} must be")
    assert "secret" not in str(caught.value)


def test_which_exceptions_count():
    """no_proxy comes before NO_PROXY, and neither means that nothing is excepted."""
    both = {"no_proxy": "a.example", "NO_PROXY": "b.example"}
    assert environment_exceptions(both).cover("a.example", 443) is True
    assert environment_exceptions(both).cover("b.example", 443) is False
    assert environment_exceptions({"NO_PROXY": "b.example"}).cover("b.example", 443) is True
    assert environment_exceptions({"NO_PROXY": " "}).cover("b.example", 443) is False


def test_certificates_by_default():
    """Unset and empty variables leave the public authorities."""
    assert environment_roots({}) == (None, None)
    assert environment_roots({"SSL_CERT_FILE": "", "SSL_CERT_DIR": " "}) == (None, None)
