"""
The listener on loopback that a browser comes back to after a login: it takes one callback, and no more.

Whatever runs on this machine, and any web page through the browser, can knock here. So it answers a GET of
one path under its own name alone, shows nobody what was sent, and is gone as soon as the login is over.

Spec: RFC 8252, sections 7.3 and 8.3.
"""

from __future__ import annotations

import os
import socketserver
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any

from smart_async.cli.loopback import LISTENING, Place, judge
from smart_async.errors import ConfigurationError, TransportError

__all__ = ("CallbackListener", "listening")

_CONNECTIONS = 16
_PATIENCE = 10
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Connection": "close",
}
# Nothing that was sent is ever repeated on a page.
_TEXTS = {
    HTTPStatus.OK: "The answer has arrived. You can close this window and go back to the terminal.",
    HTTPStatus.GONE: "This login has been answered already. You can close this window.",
}
_NOTHING = "There is nothing here."


class CallbackListener:
    """
    Waits for the one callback of a login.

    Args:
        place: Where to listen.
        redirect_uri: The redirect URI as it was given.

    Raises:
        ConfigurationError: If the port cannot be had.
    """

    def __init__(self, place: Place, redirect_uri: str) -> None:
        try:
            self._server = _Server(place, self)
        except OSError as exc:
            raise ConfigurationError(
                f"Nothing can listen on {place.host}, port {place.port}: {exc.strerror or exc}.",
                field="port",
                advice="See what else listens there, or choose another port that is registered.",
            ) from None
        self.place = Place(host=place.host, port=self._server.server_port, path=place.path, named=place.named)
        self.redirect_uri = redirect_uri if place.named else f"http://{self.place.authority}{place.path}"
        self._arrived, self._lock = threading.Event(), threading.Lock()
        self._callback: str | None = None

    def wait(self, seconds: float) -> str:
        """
        Return the URL that the browser came back to.

        Args:
            seconds: How long to wait.

        Raises:
            TransportError: If nobody came.
        """
        if not self._arrived.wait(seconds) or self._callback is None:
            raise TransportError(
                f"The browser did not come back within {seconds:g} seconds.",
                endpoint=self.redirect_uri,
                advice="Sign in again, and see what the last page in the browser says. A browser on another "
                "machine cannot reach this one's loopback address.",
                sent=None,
            )
        return self._callback

    def take(self, method: str, target: str, hosts: Sequence[str], mode: str | None) -> HTTPStatus:
        """Return the status for a request, and keep the first that may be the callback."""
        status = judge(self.place, method, target, hosts, mode)
        if status is not HTTPStatus.OK:
            return status
        with self._lock:
            if self._callback is not None:
                return HTTPStatus.GONE
            self._callback = f"http://{self.place.authority}{target}"
        return status

    def answered(self) -> None:
        """Let `wait` return, now that the browser has its page."""
        self._arrived.set()

    @contextmanager
    def running(self) -> Generator[CallbackListener]:
        """Listen in a thread until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def listening(redirect_uri: str | None, port: int) -> Generator[CallbackListener]:
    """
    Listen for the callback of a login until the block ends.

    Args:
        redirect_uri: The registered redirect URI; None for `LISTENING`.
        port: The port to take if the URI names none; 0 for a free one.

    Raises:
        ConfigurationError: If nobody can listen there.
    """
    uri = redirect_uri or LISTENING
    with CallbackListener(Place.of(uri, port), uri).running() as listener:
        yield listener


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # On Windows this would let another program take the port over.
    allow_reuse_address = os.name == "posix"

    def __init__(self, place: Place, listener: CallbackListener) -> None:
        self.listener = listener
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self.address_family = AF_INET6 if ":" in place.host else AF_INET
        host = "127.0.0.1" if place.host == "localhost" else place.host
        super().__init__((host, place.port), _Handler)

    def server_bind(self) -> None:
        """Take the port, without asking the DNS for this machine's name as the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless there are too many already."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then make room for the next one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever hung up half-way needs no traceback on the user's terminal."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    # Narrower than in the base class: only this server makes these handlers.
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # the one server that makes it

    def parse_request(self) -> bool:
        """Judge any request that can be read at all, whatever its method; there is no second one."""
        if super().parse_request():
            listener = self.server.listener
            hosts: list[str] = self.headers.get_all("Host", [])
            target = self.requestline.split()[1]  # the base class tidies up .path
            status = listener.take(self.command, target, hosts, self.headers.get("Sec-Fetch-Mode"))
            try:
                self.send_error(status)
            finally:
                if status is HTTPStatus.OK:
                    listener.answered()
        return False

    # The arguments are those of the base class.
    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer with one of the fixed pages; the base class would quote the request."""
        text = _TEXTS.get(HTTPStatus(code), _NOTHING)
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>smart-async</title></head>'
            f"<body><p>{text}</p></body></html>"
        ).encode()
        self.close_connection = True
        self.send_response_only(code)
        for name, value in {**_HEADERS, "Content-Length": str(len(page))}.items():
            self.send_header(name, value)
        if code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        if getattr(self, "command", None) != "HEAD":
            self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a request line holds the code."""
