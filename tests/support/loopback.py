"""
Servers on loopback that behave as told, well or badly, and one way to call every transport and client.

A folder of tests takes what it needs into its conftest.py.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio.from_thread
import pytest
import trustme

from smart_async import AsyncSmartClient, SmartClient, SmartConfig
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports import (
    AsyncHttpx2Transport,
    AsyncHttpxTransport,
    Httpx2Transport,
    HttpxTransport,
)


class Connection:
    """The server's end of one connection, with what a behaviour needs."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self.stop = server.stop
        self._buffer = b""

    def read_request(self) -> bytes:
        """Return the next whole request, or b"" at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self._buffer += data
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            data = self.sock.recv(65536)
            if not data:
                return b""
            rest += data
        self._buffer = rest[length:]
        request = head + b"\r\n\r\n" + rest[:length]
        self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, body: bytes = b"{}", *, status: str = "200 OK", headers: tuple[str, ...] = ()) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def drip(self, data: bytes) -> None:
        """Send *data* a byte at a time, each well within any read timeout."""
        for position in range(len(data)):
            if self.stop.wait(0.02):
                return
            self.send(data[position : position + 1])

    def reset(self) -> None:
        """End the connection the hard way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


Behaviour = Callable[[Connection], None]


@dataclass
class Server:
    """A server on 127.0.0.1 that treats each connection as *behave* says."""

    behave: Behaviour
    tls: ssl.SSLContext | None = None
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stop.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(partial(self._serve, sock))

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                self._open.discard(sock)
                sock = self.tls.wrap_socket(sock, server_side=True)
                self._open.add(sock)
            self.behave(Connection(self, sock))
        except (OSError, ValueError):
            pass  # the client went away, which many a test wants it to
        finally:
            self._open.discard(sock)
            sock.close()


def tunnel(connection: Connection) -> None:
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


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy what arrives at *source* to *sink* until there is no more."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Servers:
    """Starts servers for one test."""

    def __init__(self) -> None:
        self._running: list[Server] = []

    def start(self, behave: Behaviour, cert: trustme.LeafCert | ssl.SSLContext | None = None) -> Server:
        """Start a server that treats each connection as *behave* says, over TLS where *cert* is given."""
        if isinstance(cert, trustme.LeafCert):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            cert.configure_cert(context)
            cert = context
        server = Server(behave, cert)
        self._running.append(server)
        return server

    def honest(
        self, body: bytes = b"{}", *, cert: trustme.LeafCert | ssl.SSLContext | None = None, **reply: object
    ) -> Server:
        """Start a server that answers every request with *body*, and keeps connections."""

        def behave(connection: Connection) -> None:
            while connection.read_request():
                connection.reply(body, **reply)

        return self.start(behave, cert)

    def once(self, action: Callable[[Connection], None]) -> Server:
        """Start a server that reads a request, does *action* and hangs up."""

        def behave(connection: Connection) -> None:
            if connection.read_request():
                action(connection)

        return self.start(behave)

    def close(self) -> None:
        for server in self._running:
            server.close()


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Start servers, and stop them when the test is over."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of that authority's certificate."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


SYNC = {"httpx": HttpxTransport, "httpx2": Httpx2Transport}
ASYNC = {"httpx": AsyncHttpxTransport, "httpx2": AsyncHttpx2Transport}


class Caller:
    """Calls transports and clients of either colour in the same way, so that one test serves all."""

    def __init__(self, colour: str, library: str, stack: contextlib.ExitStack) -> None:
        self.colour = colour
        self.library = library
        self._stack = stack
        self._portal = None
        if colour != "sync":
            self._portal = stack.enter_context(anyio.from_thread.start_blocking_portal(colour))
        self.transport = self.open()

    def open(self, **options: object) -> HttpxTransport | AsyncHttpxTransport:
        """Make a transport with *options*, use it from now on, and close it after the test."""
        self.transport = (SYNC if self._portal is None else ASYNC)[self.library](**options)
        self._stack.callback(self.close, self.transport)
        return self.transport

    def client(self, config: SmartConfig, **arguments: object) -> Any:
        """Make a client that uses the transport."""
        kind = SmartClient if self._portal is None else AsyncSmartClient
        return kind(config, **{"transport": self.transport, **arguments})

    def call(self, method: Callable[..., Any], *arguments: object, **named: object) -> Any:
        """Return the result of a client's method."""
        if self._portal is None:
            return method(*arguments, **named)
        return self._portal.call(partial(method, *arguments, **named))

    def send(self, request: Request, timeouts: Timeouts | None = None) -> Response:
        timeouts = timeouts or Timeouts()
        if self._portal is None:
            return self.transport.send(request, timeouts)
        return self._portal.call(self.transport.async_send, request, timeouts)

    def close(self, transport: HttpxTransport | AsyncHttpxTransport | None = None) -> None:
        transport = transport or self.transport
        if self._portal is None:
            transport.close()
        else:
            self._portal.call(transport.aclose)


@pytest.fixture(params=[f"{colour}-{library}" for library in SYNC for colour in ("sync", "asyncio", "trio")])
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    """Each of the HTTP transports, on each kind of event loop."""
    colour, _, library = request.param.partition("-")
    with contextlib.ExitStack() as stack:
        yield Caller(colour, library, stack)
