"""TLS as every HTTP transport does it: never weaker, never by the environment's leave (rule T52)."""

from __future__ import annotations

import contextlib
import datetime
import ssl
import warnings

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Secret
from smart_async.transports import ClientCertificate
from smart_async.transports._engine import Engine, Options
from smart_async.transports.httpx import HttpxTransport

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def ask(caller, server):
    """Send a request that needs a new connection."""
    request = Request(method="GET", url=f"{server.url}/r4", purpose="token", fresh=True)
    return caller.send(request, Timeouts())


def refusal(caller, server):
    """Send a request that must not arrive, and return the error."""
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    assert caught.value.sent is False
    assert server.requests == []
    return caught.value


def test_a_good_certificate(caller, servers, authority, ca_file):
    """A certificate of the named authority for the right host is accepted."""
    caller.open(ca_file=ca_file)
    server = servers.honest(b"secure", cert=authority.issue_cert("127.0.0.1"))
    assert ask(caller, server).body == b"secure"


def test_a_host_by_name(caller, servers, authority, ca_file):
    """The certificate is checked against the name in the URL, not against the address behind it."""
    caller.open(ca_file=ca_file)
    server = servers.honest(cert=authority.issue_cert("localhost"))
    url = server.url.replace("127.0.0.1", "localhost")
    assert caller.send(Request(method="GET", url=url, purpose="discovery")).status == 200


@pytest.mark.rule("TK-11")
@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("expired", "certificate has expired"),
        ("wrong name", "IP address mismatch"),
        ("unknown authority", "unable to get local issuer certificate"),
        ("self-signed", "self-signed certificate"),
    ],
)
def test_a_bad_certificate(caller, servers, authority, ca_file, kind, problem):
    """Each flaw of a certificate is named, nothing is sent, and the advice names ca_file."""
    caller.open(ca_file=ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind == "expired":
        day = datetime.timedelta(days=1)
        authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + day).configure_cert(
            context
        )
    elif kind == "wrong name":
        authority.issue_cert("127.0.0.2").configure_cert(context)
    else:
        other = trustme.CA()
        leaf = other.issue_cert("127.0.0.1")
        leaf.configure_cert(context)
        if kind == "self-signed":
            with other.cert_pem.tempfile() as cert, other.private_key_pem.tempfile() as key:
                context.load_cert_chain(cert, key)
    error = refusal(caller, servers.honest(cert=context))
    assert error.message.startswith("The certificate of the server is not accepted: ")
    assert problem in error.message
    assert "ca_file" in error.advice


def test_public_authorities_are_the_default(caller, servers, authority):
    """Without ca_file the public authorities are trusted, and a private one is not."""
    error = refusal(caller, servers.honest(cert=authority.issue_cert("127.0.0.1")))
    assert "unable to get local issuer" in error.message


@pytest.mark.rule("AS-12", "BS-10")
def test_old_protocol_versions(caller, servers, authority, ca_file):
    """A server that speaks nothing newer than TLS 1.1 is refused."""
    caller.open(ca_file=ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    error = refusal(caller, servers.honest(cert=context))
    assert error.message == "No secure connection could be agreed with the server."


def test_no_tls_at_all(caller, servers, ca_file):
    """A server that answers in plain HTTP where TLS is expected is refused."""
    caller.open(ca_file=ca_file)
    server = servers.start(lambda connection: connection.send(b"HTTP/1.1 200 OK\r\n\r\n"))
    server.tls = None
    url = server.url.replace("http://", "https://")
    with pytest.raises(TransportError) as caught:
        caller.send(Request(method="GET", url=url, purpose="token"), Timeouts())
    assert caught.value.sent is False
    assert caught.value.message == "No secure connection could be agreed with the server."


def test_a_handshake_that_hangs_up(caller, servers, ca_file):
    """A server that hangs up during the handshake was not sent anything."""
    caller.open(ca_file=ca_file)
    server = servers.start(lambda connection: connection.reset())
    url = server.url.replace("http://", "https://")
    with pytest.raises(TransportError) as caught:
        caller.send(Request(method="GET", url=url, purpose="token"), Timeouts())
    assert caught.value.sent is False


@pytest.mark.rule("TK-11", "AS-12", "BS-10")
def test_the_context_itself():
    """Certificate and host name are demanded, TLS 1.2 is the least, and no option could change it."""
    context = Engine(HttpxTransport.family, Options())._context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None
    for name in ("verify", "ssl_context"):
        with pytest.raises(TypeError):
            HttpxTransport(**{name: False})


class TestClientCertificate:
    """Mutual TLS: the client shows a certificate of its own."""

    @pytest.fixture
    def server(self, servers, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return servers.honest(b"known", cert=context)

    @pytest.fixture
    def files(self, authority, tmp_path):
        """Write a client certificate, its key, the key encrypted, and both in one file."""
        leaf = authority.issue_cert("client@example.com")
        key = leaf.private_key_pem.bytes()
        encrypted = serialization.load_pem_private_key(key, None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
        cert = leaf.cert_chain_pems[0].bytes()
        for name, content in {"cert": cert, "key": key, "locked": encrypted, "both": key + cert}.items():
            (tmp_path / name).write_bytes(content)
        return tmp_path

    @pytest.mark.parametrize("kind", ["two files", "one file", "encrypted", "encrypted, plain password"])
    def test_it_is_shown(self, caller, server, files, ca_file, kind):
        """Certificate and key work from one file or two, the key encrypted or not."""
        cert = {
            "two files": ClientCertificate(certfile=files / "cert", keyfile=files / "key"),
            "one file": ClientCertificate(certfile=files / "both"),
            "encrypted": ClientCertificate(
                certfile=files / "cert", keyfile=files / "locked", password=Secret("open sesame")
            ),
            "encrypted, plain password": ClientCertificate(
                certfile=str(files / "cert"), keyfile=str(files / "locked"), password="open sesame"
            ),
        }[kind]
        assert "sesame" not in repr(cert)
        caller.open(ca_file=ca_file, cert=cert)
        assert ask(caller, server).body == b"known"

    def test_without_it(self, caller, server, ca_file):
        """A server that insists on a certificate ends the exchange, which is reported as ours."""
        caller.open(ca_file=ca_file)
        with pytest.raises(TransportError):
            ask(caller, server)
        assert server.requests == []

    @pytest.mark.parametrize(
        ("options", "field", "said"),
        [
            ({"cert": ("cert", "locked", None)}, "cert", "encrypted and no password"),
            ({"cert": ("cert", "locked", "wrong")}, "cert", "cannot be used"),
            ({"cert": ("key", None, None)}, "cert", "cannot be used"),
            ({"cert": ("absent", None, None)}, "cert", "No such file"),
            ({"ca_file": "absent"}, "ca_file", "No such file"),
            ({"ca_file": "key"}, "ca_file", "cannot be used"),
        ],
    )
    def test_files_that_cannot_be_used(self, caller, server, files, ca_file, options, field, said):
        """A file that is missing, of the wrong kind or locked is named by its setting; nothing is sent."""
        if "cert" in options:
            certfile, keyfile, password = options["cert"]
            cert = ClientCertificate(
                certfile=files / certfile, keyfile=keyfile and files / keyfile, password=password
            )
            caller.open(ca_file=ca_file, cert=cert)
        else:
            caller.open(ca_file=files / options["ca_file"])
        with pytest.raises(ConfigurationError) as caught:
            ask(caller, server)
        assert caught.value.field == field
        assert said in caught.value.message
        with contextlib.suppress(ConfigurationError):
            caller.close()
        assert server.connections == 0
