"""Where an answer ends, and that nothing behind it is ever taken for the next one."""

from __future__ import annotations

import gzip
import threading
from itertools import product

import pytest

from smart_async.messages import Request
from smart_async.transports._framing import Framing

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n"
WHOLE = {
    "length": LENGTH,
    "length 0": b"HTTP/1.1 401 No\r\ncontent-LENGTH:0\r\n\r\n",
    "chunked": CHUNKED,
    "trailers": CHUNKED[:-2] + b"X-A: 1\r\nX-B: 2\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no reason": b"HTTP/1.1 204\r\n\r\n",
    "informational first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + LENGTH,
}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_exact_answers(data, size):
    """An answer is exact at its last byte, not before and not after, however it is cut up."""
    framing = Framing()
    for start in range(0, len(data), size):
        assert framing.exact is False
        framing.feed(data[start : start + size])
    assert framing.exact is True
    assert framing.begin() is True
    assert framing.exact is False
    framing.feed(data)
    assert framing.exact is True
    framing.feed(b"x")
    assert framing.exact is False
    assert framing.begin() is False


@pytest.mark.parametrize(
    "data",
    [
        LENGTH + LENGTH,
        CHUNKED + CHUNKED,
        LENGTH + b"\r\n",
        WHOLE["no content"] + b"x",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end of the connection",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_anything_else(data):
    """What is not seen to end exactly, doubtful framing included, never is, whatever follows."""
    framing = Framing()
    assert framing.begin() is True
    framing.feed(data)
    assert framing.begin() is False
    framing.feed(b"")
    assert framing.exact is False
    framing.feed(b"x")
    assert framing.exact is False


@pytest.mark.parametrize("whole", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_connections_are_kept(caller, servers, whole):
    """Honest answers of either framing leave the connection to the next request."""

    def behave(connection):
        while connection.read_request():
            connection.send(whole)

    server = servers.start(behave)
    for number in range(3):
        caller.send(Request(method="GET", url=f"{server.url}/{number}", purpose="discovery"))
    assert (len(server.requests), server.connections) == (3, 1)


def test_bytes_before_the_first_request():
    """A server that speaks before it is asked has nothing to say to the first request."""
    framing = Framing()
    framing.feed(LENGTH[:10])
    assert framing.begin() is False


@pytest.fixture(params=["in time", "too early"])
def engines_look(request, monkeypatch):
    """
    When the engine looks whether an idle connection can be used again.

    Too early is between the end of an answer and the choice of the next connection, where threads can meet.
    """
    if request.param == "too early":
        for core, (colour, prefix) in product(
            ("httpcore", "httpcore2"), (("_sync", ""), ("_async", "Async"))
        ):
            monkeypatch.setattr(
                f"{core}.{colour}.http11.{prefix}HTTP11Connection.has_expired", lambda self: False
            )


@pytest.mark.usefixtures("engines_look")
@pytest.mark.parametrize("kind", ["twice", "chunked twice", "longer than said"])
def test_an_answer_to_somebody_else(caller, servers, kind):
    """What follows an answer on its connection is never the answer to the next request, nor read at all."""

    def behave(connection):
        while request := connection.read_request():
            name = request.split()[1][1:]
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name)
            chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (
                len(name),
                name,
            )
            connection.send(
                {
                    "twice": 2 * (head + name),
                    "chunked twice": 2 * chunks,
                    "longer than said": head + name + head + b"evil!",
                }[kind]
            )

    server = servers.start(behave)
    for name in ("first", "other", "third"):
        request = Request(method="GET", url=f"{server.url}/{name}", purpose="discovery")
        assert caller.send(request).body == name.encode()
    assert server.connections == 3


@pytest.mark.usefixtures("engines_look")
def test_an_answer_that_comes_late(caller, servers):
    """Bytes that arrive while a connection is idle are found when the next request would go out on it."""
    sent = threading.Event()

    def behave(connection):
        while request := connection.read_request():
            name = request.split()[1][1:]
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name) + name)
            connection.send(LENGTH)
            sent.set()

    server = servers.start(behave)
    for name in ("first", "other", "third"):
        request = Request(method="GET", url=f"{server.url}/{name}", purpose="discovery")
        assert caller.send(request).body == name.encode()
        assert sent.wait(10)
        sent.clear()
    assert server.connections == 3


def test_compressed_answers(caller, servers):
    """Compression has nothing to do with framing: the connection is kept."""
    server = servers.honest(gzip.compress(b"{}"), headers=("Content-Encoding: gzip",))
    for number in range(2):
        request = Request(method="GET", url=f"{server.url}/{number}", purpose="discovery")
        assert caller.send(request).body == b"{}"
    assert server.connections == 1
