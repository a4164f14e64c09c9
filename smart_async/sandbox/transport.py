"""Requests to the sandbox without a socket, from plain code and from any event loop."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import unquote, urlsplit

from anyio import sleep
from anyio.lowlevel import checkpoint

from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Headers, Request, Response, parse_url
from smart_async.sandbox.settings import Place
from smart_async.sandbox.wire import LINE, MemoryLine

__all__ = ("SandboxTransport",)


class SandboxTransport:
    """
    A transport, sync and async in one, that hands requests straight to the sandbox's ASGI app.

    It knows the sandbox's own origin only; everything else is out of reach, as a server that is down.

    Args:
        app: The ASGI app; its coroutines must never suspend.
        place: The sandbox's URLs.
    """

    def __init__(self, app: Any, place: Place) -> None:
        self._app = app
        self._place = place
        self._closed = False

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """
        Send *request* and return its response, which takes time only where a fault asks for it.

        Raises:
            TransportError: If the URL is not the sandbox's, the transport is closed, the answer is too large,
                or a fault keeps the answer back.
        """
        line, outcome = self._pass_on(request)
        time.sleep(min(line.seconds, _patience(request, timeouts)))
        return _conclude(line, outcome, request, timeouts)

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """Send *request* and return its response, as `send` does; it can be cancelled as a real one can."""
        await checkpoint()
        line, outcome = self._pass_on(request)
        if line.seconds:
            await sleep(min(line.seconds, _patience(request, timeouts)))
        return _conclude(line, outcome, request, timeouts)

    def close(self) -> None:
        """Refuse all further requests."""
        self._closed = True

    async def aclose(self) -> None:
        """Refuse all further requests."""
        self.close()

    def _pass_on(self, request: Request) -> tuple[MemoryLine, Response]:
        origin = parse_url(request.url, field="url", allow_insecure_loopback=True, allow_query=True).origin
        if self._closed:
            raise TransportError("The transport is closed.", endpoint=request.url, sent=False)
        if origin != self._place.origin:
            raise TransportError(
                "There is no such server: only the sandbox can be reached in memory.",
                endpoint=request.url,
                advice=f"The sandbox is at {self._place.base_url}.",
                sent=False,
            )
        line, answer = MemoryLine(), _Answer()
        _finish(self._app({**_scope(request), LINE: line}, _body_of(request), answer.receive))
        return line, Response(
            status=answer.status, headers=Headers(answer.headers), body=bytes(answer.body), url=request.url
        )


def _patience(request: Request, timeouts: Timeouts) -> float:
    total = timeouts.discovery if request.purpose in ("discovery", "jwks") else timeouts.total
    return min(timeouts.read, total)


def _conclude(line: MemoryLine, response: Response, request: Request, timeouts: Timeouts) -> Response:
    if line.seconds and line.seconds >= (patience := _patience(request, timeouts)):
        raise _lost(request, f"No answer came within {patience:g} seconds.")
    if line.dropped:
        raise _lost(request, "The connection broke off before the answer was complete.")
    if len(response.body) > request.max_bytes:
        raise TransportError(
            f"The answer has more than {request.max_bytes} bytes.",
            endpoint=request.url,
            status=response.status,
        )
    return response


def _lost(request: Request, message: str) -> TransportError:
    advice = "Whether the server acted on the request is unknown."
    return TransportError(message, endpoint=request.url, advice=advice, sent=None)


class _Answer:
    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()

    async def receive(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            ]
        else:
            self.body += message.get("body", b"")


def _body_of(request: Request) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.body or b"", "more_body": False}

    return receive


def _scope(request: Request) -> dict[str, Any]:
    parts = urlsplit(request.url)
    headers = {"host": parts.netloc, **request.headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": parts.scheme,
        "path": unquote(parts.path) or "/",
        "raw_path": (parts.path or "/").encode("ascii"),
        "root_path": "",
        "query_string": parts.query.encode("ascii"),
        "headers": [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (parts.hostname, parts.port),
    }


def _finish(coroutine: Coroutine[Any, Any, None]) -> None:
    # The app never waits, so one step is the whole way; an event loop would have nothing to do.
    try:
        _ = coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("the sandbox's app waited for something, which it must never do")
