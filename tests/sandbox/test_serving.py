"""The sandbox on a real loopback socket."""

from __future__ import annotations

import json
import logging
import socket
import threading
import urllib.error
import urllib.request

import pytest

from smart_async.errors import ConfigurationError
from smart_async.sandbox import Sandbox, serve, serving


def fetch(url, data=None):
    request = urllib.request.Request(url, data=data)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read()


@pytest.fixture
def served(hand):
    with serve(hand.sandbox):
        yield hand


def test_served(served):
    """Discovery over the socket names the real address, and a token request is judged there."""
    base = served.sandbox.base_url
    document = json.loads(fetch(f"{served.sandbox.fhir_base}/.well-known/smart-configuration")[1])
    assert base.startswith("http://127.0.0.1:")
    assert document["token_endpoint"] == f"{base}/oauth2/token"
    status, body = fetch(document["token_endpoint"], b"grant_type=x")
    assert (status, json.loads(body)["error"], served.verdict.rule) == (401, "invalid_client", "TK-05")


def test_memory_and_socket_are_one_sandbox(served):
    """A login in memory gives a token that works over the socket."""
    token = served.login()["access_token"]
    request = urllib.request.Request(
        f"{served.sandbox.fhir_base}/Patient/patient-amber", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.loads(answer.read())["id"] == "patient-amber"


def test_afterwards(sandbox, caplog):
    """After the block the port is closed, the thread is gone and the address is what it was."""
    before = set(threading.enumerate())
    with caplog.at_level(logging.WARNING, "smart_async.sandbox"), serve(sandbox):
        port = int(sandbox.base_url.rpartition(":")[2])
    assert sandbox.base_url == "https://sandbox.example"
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 1)
    assert "not for production" in caplog.text


def test_ipv6():
    """An IPv6 loopback address goes into brackets."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    sandbox = Sandbox()
    with serve(sandbox, host="::1"):
        assert sandbox.base_url.startswith("http://[::1]:")
        assert fetch(sandbox.base_url)[0] == 200


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "sandbox.example.com", "localhost.evil.test", ""]
)
def test_loopback_only(sandbox, host):
    """No other address is listened on."""
    with pytest.raises(ConfigurationError) as caught, serve(sandbox, host=host):
        pass
    assert caught.value.field == "host"


@pytest.mark.parametrize("taken", [True, False])
def test_ports_that_cannot_be_had(sandbox, taken):
    """A port in use, or no port at all, is said before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1] if taken else 99_999
        with pytest.raises(ConfigurationError) as caught, serve(sandbox, port=port):
            pass
    assert caught.value.field == "port"
    assert sandbox.base_url == "https://sandbox.example"


def test_a_server_that_does_not_start(sandbox, monkeypatch):
    """A server that fails at its start is an error and leaves nothing behind."""

    async def fail(self, sockets=None):
        self.should_exit = True

    monkeypatch.setattr(serving.uvicorn.Server, "startup", fail)
    with pytest.raises(ConfigurationError), serve(sandbox):
        pass
    assert sandbox.base_url == "https://sandbox.example"


def test_errors_in_the_block_come_through(sandbox):
    """What is raised in the block is raised by it, after the server has stopped."""
    with pytest.raises(KeyError), serve(sandbox):
        raise KeyError("mine")
    assert sandbox.base_url == "https://sandbox.example"
