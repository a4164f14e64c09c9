"""The app's own little web server on loopback: it takes the callback and publishes the public keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from smart_async.messages import Headers, JSONObject, Request, Response
from smart_async.transports import Exchange

__all__ = ("AppServer",)

_CALLBACK = "/callback"
_JWKS = "/jwks.json"
_PAGE = b"You are signed in. You can close this window."


class AppServer:
    """
    Serves `/callback` and `/jwks.json` on a free port of 127.0.0.1.

    Args:
        jwks: The public JWK Set to publish.
        on_fetch: Called with each exchange in which somebody fetched the JWK Set, in the thread that
            answered it.
    """

    def __init__(self, jwks: JSONObject, on_fetch: Callable[[Exchange], None]) -> None:
        self._jwks = json.dumps(jwks).encode()
        self._on_fetch = on_fetch
        self._server = _Server(("127.0.0.1", 0), self)
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"
        self.callbacks: list[str] = []

    @property
    def redirect_uri(self) -> str:
        """Where the browser comes back to."""
        return self.base_url + _CALLBACK

    @property
    def jwks_uri(self) -> str:
        """Where the public keys are."""
        return self.base_url + _JWKS

    @contextmanager
    def running(self) -> Generator[AppServer, None, None]:
        """Serve in a thread until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, path: str, headers: Headers) -> Response:
        """Return the answer to a GET of *path*."""
        url, start = self.base_url + path, time.monotonic()
        if path.partition("?")[0] == _CALLBACK:
            self.callbacks.append(url)
            return Response(status=200, headers=Headers({"content-type": "text/plain"}), body=_PAGE, url=url)
        if path != _JWKS:
            return Response(status=404, url=url)
        kind = Headers({"content-type": "application/json", "cache-control": "max-age=300"})
        response = Response(status=200, headers=kind, body=self._jwks, url=url)
        request = Request(method="GET", url=url, purpose="jwks", headers=headers)
        seconds = time.monotonic() - start
        self._on_fetch(Exchange(request=request, response=response, error=None, seconds=seconds))
        return response


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], app: AppServer) -> None:
        self.app = app
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    # Narrower than in the base class: only this server makes these handlers.
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        response = self.server.app.answer(self.path, Headers(self.headers.items()))
        self.send_response(response.status)
        for name, value in {**response.headers, "content-length": str(len(response.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        _ = self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: a request line holds the code."""
