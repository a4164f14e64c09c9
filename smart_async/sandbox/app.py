"""The ASGI app: which path is whose, and what browser apps of other origins may read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request as WebRequest
from starlette.responses import Response as WebResponse
from starlette.routing import Route

from smart_async.messages import Headers, Response
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.replies import json_reply
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.verdicts import Case, Ledger, Received, RefusedError

__all__ = ("Document", "Endpoint", "build_app")

Document: TypeAlias = Callable[[], Response]
"""Makes an answer that does not depend on the request."""

_BODY_BYTES = 256 * 1024
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Endpoint(Protocol):
    """Something that judges requests."""

    def answer(self, case: Case) -> Response:
        """Return the answer, or raise `RefusedError`."""
        ...

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request."""
        ...


def build_app(
    *,
    documents: Mapping[str, Document],
    endpoints: Mapping[str, tuple[str, Endpoint]],
    ledger: Ledger,
    registry: Registry,
    place: Place,
    settings: Settings,
) -> Starlette:
    """
    Return the ASGI app.

    Its endpoints never wait for anything but the request's own body, so they run without an event loop;
    and one lock makes the sandbox's state safe for several threads.

    Args:
        documents: Public documents, by path.
        endpoints: Judging endpoints, by path, each with the name that its verdicts carry.
        ledger: Where requests and verdicts are noted.
        registry: The known clients; their origins may read the answers of the endpoints.
        place: The sandbox's URLs.
        settings: The clock.
    """
    lock = threading.Lock()

    async def receive(request: WebRequest) -> Received:
        received = await _received(request, place, settings.clock())
        with lock:
            ledger.receive(received)
        return received

    def public(document: Document) -> Callable[[WebRequest], object]:
        async def serve(request: WebRequest) -> WebResponse:
            _ = await receive(request)
            if request.method == "OPTIONS":
                return _web(_preflight(), "*")
            if request.method not in ("GET", "HEAD"):
                return _web(json_reply({"error": "method not allowed"}, status=405), "*")
            return _web(document(), "*")

        return serve

    def judged(name: str, endpoint: Endpoint) -> Callable[[WebRequest], object]:
        async def serve(request: WebRequest) -> WebResponse:
            received = await receive(request)
            origin = received.headers.get("origin")
            allowed = origin if origin in registry.origins() else None
            if request.method == "OPTIONS":
                return _web(_preflight(), allowed)
            with lock:
                return _web(_judge(Case(endpoint=name, received=received), endpoint, ledger), allowed)

        return serve

    routes = [Route(path, public(document), methods=_METHODS) for path, document in documents.items()]
    routes += [Route(path, judged(*pair), methods=_METHODS) for path, pair in endpoints.items()]
    return Starlette(routes=routes)


def _judge(case: Case, endpoint: Endpoint, ledger: Ledger) -> Response:
    try:
        response = endpoint.answer(case)
    except RefusedError as exc:
        ledger.close(case, exc)
        return endpoint.refuse(exc)
    ledger.close(case, None)
    return response


async def _received(request: WebRequest, place: Place, now: float) -> Received:
    body = b""
    async for piece in request.stream():
        body += piece[: _BODY_BYTES + 1 - len(body)]
    query: str = request.scope["query_string"].decode("latin-1")
    path: str = request.scope["path"]
    return Received(
        method=request.method,
        url=place.base_url + path + (f"?{query}" if query else ""),
        path=path,
        query=query,
        headers=Headers(request.headers.items()),
        body=body,
        received_at=now,
    )


def _preflight() -> Response:
    fields = [
        ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept"),
        ("Access-Control-Max-Age", "600"),
    ]
    return Response(status=204, headers=Headers(fields))


def _web(response: Response, origin: str | None) -> WebResponse:
    headers = dict(response.headers)
    if origin is not None:
        headers |= {"access-control-allow-origin": origin, "vary": "Origin"}
        headers["access-control-expose-headers"] = "WWW-Authenticate"
    return WebResponse(response.body, status_code=response.status, headers=headers)
