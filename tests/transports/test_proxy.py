"""Requests through an HTTP proxy, which is used when it is named and only then."""

from __future__ import annotations

import pytest
from loopback import tunnel

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import HttpxTransport
from smart_async.transports._routes import Proxy


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


@pytest.mark.parametrize(
    ("refusal", "user", "said"),
    [
        ("407 Proxy Authentication Required", "", "wants a user name and a password"),
        ("407 Proxy Authentication Required", "ann:secret@", "does not accept the user name and password"),
        ("502 Bad Gateway", "ann:secret@", "refused to open a way to the server: its answer was 502."),
    ],
)
def test_a_proxy_that_refuses(caller, servers, authority, ca_file, refusal, user, said):
    """A proxy that opens no way is named as the problem, with what to do; nothing was sent."""
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.honest(b"no", status=refusal)
    caller.open(ca_file=ca_file, proxy=f"http://{user}127.0.0.1:{proxy.port}")
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    assert f"The proxy 127.0.0.1:{proxy.port} {said}" in caught.value.message
    assert (caught.value.sent, caught.value.status, server.connections) == (False, None, 0)
    assert ("percent-encoded" if refusal.startswith("407") else "no_proxy") in caught.value.advice
    assert "secret" not in str(caught.value)


def test_a_proxy_that_is_not_there(caller, servers, authority, ca_file):
    """Where the proxy takes no connection, the proxy is named, not the server."""
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.honest()
    proxy.close()
    caller.open(ca_file=ca_file, proxy=f"http://ann:secret@127.0.0.1:{proxy.port}")
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    assert caught.value.message == f"No connection to the proxy 127.0.0.1:{proxy.port} could be opened."
    assert "Check the proxy's address" in caught.value.advice
    assert (caught.value.sent, server.connections) == (False, 0)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("at_fault", ["proxy", "server"])
def test_whose_certificate_is_bad(caller, servers, authority, ca_file, at_fault):
    """With a proxy that is spoken to over TLS, the error says whose certificate is bad."""
    names = {"proxy": "127.0.0.1", "server": "127.0.0.1", at_fault: "127.0.0.2"}
    server = servers.honest(cert=authority.issue_cert(names["server"]))
    proxy = servers.start(tunnel, authority.issue_cert(names["proxy"]))
    caller.open(ca_file=ca_file, proxy=proxy.url)
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    who = f"proxy 127.0.0.1:{proxy.port}" if at_fault == "proxy" else "server"
    assert caught.value.message.startswith(f"The certificate of the {who} is not accepted: ")
    assert (caught.value.sent, server.requests) == (False, [])


def test_a_proxy_without_tls(caller, servers, authority, ca_file):
    """An https:// URL for a proxy that speaks plain http, the common slip, is answered with what to try."""
    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.start(lambda connection: connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    caller.open(ca_file=ca_file, proxy=proxy.url.replace("http://", "https://"))
    with pytest.raises(TransportError) as caught:
        ask(caller, server)
    assert caught.value.message == (
        f"No secure connection could be agreed with the proxy 127.0.0.1:{proxy.port}."
    )
    assert "try an http:// URL" in caught.value.advice
    assert (caught.value.sent, server.connections) == (False, 0)


def test_hosts_without_the_proxy(caller, servers, authority, ca_file):
    """A host in no_proxy is reached directly, the others through the proxy, over one transport."""
    inside = servers.honest(b"inside", cert=authority.issue_cert("localhost"))
    outside = servers.honest(b"outside", cert=authority.issue_cert("127.0.0.1"))
    proxy = servers.start(tunnel)
    caller.open(ca_file=ca_file, proxy=proxy.url, no_proxy=["localhost"])
    url = inside.url.replace("127.0.0.1", "localhost")
    for fresh in (False, False, True):
        request = Request(method="GET", url=url, purpose="token", fresh=fresh)
        assert caller.send(request).body == b"inside"
        request = Request(method="GET", url=outside.url, purpose="token", fresh=fresh)
        assert caller.send(request).body == b"outside"
    assert (inside.connections, outside.connections, proxy.connections) == (2, 2, 2)
    assert all(request.startswith(b"CONNECT 127.0.0.1:") for request in proxy.requests)


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


@pytest.mark.parametrize("seconds", [-1, 86_401, True, "5", None, float("nan")])
def test_keep_alive_times_that_cannot_be_used(seconds):
    """The time that an idle connection is kept is a number of seconds up to a day."""
    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(keepalive_expiry=seconds)
    assert caught.value.field == "keepalive_expiry"


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
    assert Proxy.from_url(proxy).place == f"proxy.example.com:{port}"
