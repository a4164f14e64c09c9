"""Requests through an HTTP proxy, which is used when it is named and only then."""

from __future__ import annotations

import socket
import threading

import pytest

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import HttpxTransport


def tunnel(connection):
    """Do as a proxy does: open the way that CONNECT asks for, or pass a plain request on."""
    request = connection.read_request()
    if not request.startswith(b"CONNECT "):
        connection.reply(b"through the proxy")
        return
    host, _, port = request.split()[1].decode().partition(":")
    with socket.create_connection((host, int(port))) as target:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=pump, args=(target, connection.sock), daemon=True)
        back.start()
        pump(connection.sock, target)
        back.join(10)


def pump(source, sink):
    """Copy what arrives at *source* to *sink* until there is no more."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def ask(caller, server, **fields):
    request = Request(method="GET", url=f"{server.url}/r4", purpose="token", fresh=True, **fields)
    return caller.send(request, Timeouts())


@pytest.mark.parametrize("secure", [False, True])
def test_https_through_a_tunnel(caller, servers, authority, ca_file, secure):
    """An https request goes through a tunnel, and the server's own certificate is checked at its end."""
    server = servers.honest(b"far away", cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.start(tunnel, authority.issue_cert("127.0.0.1") if secure else None)
    caller.open(ca_file=ca_file, proxy=proxy.url)
    assert ask(caller, server).body == b"far away"
    assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1" % server.port)
    assert (proxy.connections, server.connections) == (1, 1)


def test_plain_http_is_handed_over(caller, servers):
    """A plain request for this machine is handed to the proxy whole."""
    server = servers.honest()
    proxy = servers.start(tunnel)
    caller.open(proxy=proxy.url + "/")
    assert ask(caller, server).body == b"through the proxy"
    assert server.connections == 0


def test_name_and_password(caller, servers, authority, ca_file):
    """User name and password go to the proxy and not to the server; percent signs are decoded."""
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.start(tunnel)
    caller.open(ca_file=ca_file, proxy=f"http://ann:p%40ss@127.0.0.1:{proxy.port}")
    ask(caller, server)
    assert b"Proxy-Authorization: Basic YW5uOnBAc3M=" in proxy.requests[0]
    assert b"authorization" not in server.requests[0].lower()
    assert "p%40ss" not in repr(caller.transport)


@pytest.mark.parametrize("refusal", ["407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_proxy_that_refuses(caller, servers, authority, ca_file, refusal):
    """A proxy that opens no way is named as the problem; the server was not sent anything."""
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.honest(b"no", status=refusal)
    caller.open(ca_file=ca_file, proxy=f"http://ann:secret@127.0.0.1:{proxy.port}")
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    assert (caught.value.sent, caught.value.message) == (False, "The proxy did not open a way to the server.")
    assert "secret" not in str(caught.value)
    assert server.connections == 0


def test_a_proxy_that_breaks_off(caller, servers, authority, ca_file):
    """A proxy that hangs up at CONNECT has sent nothing to the server."""
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    caller.open(ca_file=ca_file, proxy=servers.once(lambda c: None).url)
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    assert (caught.value.sent, server.connections) == (False, 0)


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy.example.com:8080",
        "socks5://proxy.example.com:1080",
        "http://proxy.example.com/path",
        "http://proxy.example.com:99999",
        "http://ann:secret@pröxy.example.com:8080",
        "http://ann:secret@:8080",
        "http://ann:secret@evil@proxy.example.com",
        "",
    ],
)
def test_proxies_that_cannot_be_used(proxy):
    """A proxy that is no URL of an HTTP proxy is refused at once, and its password is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(proxy=proxy)
    assert caught.value.field == "proxy"
    assert "http://proxy.example.com:8080" in caught.value.advice
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("number", [0, -1, 1001, True, "10", None, 2.5])
def test_numbers_of_connections_that_cannot_be_used(number):
    """The number of connections is a whole number from 1 to 1000."""
    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(max_connections=number)
    assert caught.value.field == "max_connections"


@pytest.mark.parametrize(
    ("proxy", "port"),
    [
        ("http://proxy.example.com", 80),
        ("https://proxy.example.com", 443),
        ("HTTP://Proxy.example.com:81/", 81),
    ],
)
def test_ports_of_proxies(proxy, port):
    """A proxy without a port is asked at that of its scheme."""
    engine = HttpxTransport(proxy=proxy)._load()
    assert engine._proxy.url.origin.port == port
    assert engine._proxy.url.host == b"proxy.example.com"
