"""What `transport=` may be, and what is loaded when."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import smart_async.transports
from smart_async.errors import ConfigurationError
from smart_async.interfaces import AsyncTransport, Transport
from smart_async.transports import (
    AsyncHttpx2Transport,
    AsyncHttpxTransport,
    ClientCertificate,
    Httpx2Transport,
    HttpxTransport,
    ScriptedTransport,
    open_async_transport,
    open_transport,
)


@pytest.mark.parametrize(("given", "kind"), [(None, "Httpx"), ("httpx", "Httpx"), ("httpx2", "Httpx2")])
def test_names(given, kind):
    """None and the names of the two libraries mean the transport over that library, with the options."""
    blocking = open_transport(given, max_connections=3)
    waiting = open_async_transport(given, max_connections=4)
    assert repr(blocking) == f"<{kind}Transport, at most 3 connections>"
    assert repr(waiting) == f"<Async{kind}Transport, at most 4 connections>"
    assert isinstance(blocking, Transport)
    assert isinstance(waiting, AsyncTransport)


@pytest.mark.parametrize("opener", [open_transport, open_async_transport])
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_options(opener, library):
    """Every option of the transports is one of both openers, under the same name, and arrives."""
    options = {
        "proxy": "http://proxy.example.com:8080",
        "no_proxy": "hospital.example",
        "ca_file": "/etc/ca.pem",
        "cert": ClientCertificate(certfile="/etc/client.pem"),
        "max_connections": 3,
        "keepalive_expiry": 2.5,
        "trust_env": True,
    }
    made = opener(library, **options)
    assert {name: getattr(made._options, name) for name in options} == options
    names = set(inspect.signature(opener).parameters) - {"transport"}
    assert names == set(inspect.signature(type(made)).parameters) == set(options)


def test_objects_are_used_as_they_are():
    """An object with the right methods is returned untouched, whatever its class."""
    both = ScriptedTransport()
    assert open_transport(both) is both
    assert open_async_transport(both) is both


@pytest.mark.parametrize(
    ("opener", "given", "said"),
    [
        (open_transport, "requests", "no transport of that name"),
        (open_transport, "", "no transport of that name"),
        (open_async_transport, "aiohttp", "no transport of that name"),
        (open_transport, AsyncHttpxTransport(), "AsyncHttpxTransport cannot serve SmartClient"),
        (open_async_transport, HttpxTransport(), "HttpxTransport cannot serve AsyncSmartClient"),
        (open_transport, 5, "int cannot serve SmartClient"),
    ],
)
def test_what_is_no_transport(opener, given, said):
    """An unknown name or an object of the other colour is refused, and the choices are named."""
    with pytest.raises(ConfigurationError) as caught:
        opener(given)
    assert said in caught.value.message
    assert caught.value.field == "transport"
    assert '"httpx" or "httpx2"' in caught.value.advice


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("opener", [open_transport, open_async_transport])
def test_http_clients_are_no_transports(library, opener):
    """A client of the user's, which may follow redirects and keep cookies, is refused for credentials."""
    module = pytest.importorskip(library, reason=f"needs the extra {library}")

    class Derived(module.Client):
        pass

    for kind in (module.Client, Derived, module.AsyncClient):
        with pytest.raises(ConfigurationError) as caught:
            opener(kind(follow_redirects=True))
        assert caught.value.field == "transport"


@pytest.mark.parametrize("kind", [Httpx2Transport, AsyncHttpx2Transport])
def test_a_library_that_is_not_installed(kind, monkeypatch):
    """Without httpx2 the error names the pip line that installs it."""
    monkeypatch.setitem(sys.modules, "httpcore2", None)
    with pytest.raises(ConfigurationError) as caught:
        kind()
    assert 'pip install "smart-async[httpx2]"' in str(caught.value)


def test_nothing_is_loaded_before_the_first_request():
    """Importing the package and making a transport loads no HTTP library, and takes no time."""
    pytest.importorskip("httpx2", reason="needs the extra httpx2")
    script = (
        "import sys, smart_async.transports as t\n"
        "t.HttpxTransport(), t.AsyncHttpxTransport(), t.Httpx2Transport(), t.ScriptedTransport()\n"
        "heavy = {'httpx', 'httpx2', 'httpcore', 'httpcore2', 'anyio', 'trio', 'asyncio', 'certifi'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names():
    """Every name that is promised can be had and is listed, and no other."""
    for name in smart_async.transports.__all__:
        assert getattr(smart_async.transports, name) is not None
    assert set(smart_async.transports._HOMES) == set(smart_async.transports.__all__)
    assert set(smart_async.transports.__all__) <= set(dir(smart_async.transports))
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        smart_async.transports.nothing_of_the_kind  # noqa: B018 - asking is the test


def test_with_blocks(servers):
    """The blocking transport closes at the end of a with block."""
    from smart_async.limits import Timeouts
    from smart_async.messages import Request

    request = Request(method="GET", url=servers.honest().url, purpose="discovery")
    with HttpxTransport() as transport:
        assert transport.send(request, Timeouts()).status == 200
    with pytest.raises(ConfigurationError):
        transport.send(request, Timeouts())
