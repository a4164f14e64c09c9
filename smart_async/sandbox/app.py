"""The ASGI app: which path is whose, what is done to an answer, and who else may read it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, NamedTuple, Protocol, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request as WebRequest
from starlette.responses import Response as WebResponse
from starlette.routing import Route

from smart_async.messages import Headers, Response
from smart_async.sandbox.callers import claimed_client
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.grants import GrantStore
from smart_async.sandbox.replies import json_reply
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.verdicts import Case, Ledger, Received, RefusedError
from smart_async.sandbox.wire import line_of

__all__ = ("Conduct", "Document", "Endpoint", "Page", "build_app")

Document: TypeAlias = Callable[[], Response]
"""Makes an answer that does not depend on the request."""

Page: TypeAlias = Callable[[Received], Response]
"""Answers a person's browser; such requests are neither judged nor noted."""

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


class _Outcome(NamedTuple):
    """What is done with a request: *response* after *delay* seconds, or no answer at all."""

    response: Response | None
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """
    How requests are dealt with: noted, struck by faults, judged, noted again.

    One lock makes the sandbox's state safe for several threads.

    Args:
        ledger: Where requests and verdicts are noted.
        faults: What goes wrong on demand.
        grants: Knows whose tokens are whose.
        registry: The known clients; their origins may read the answers of the endpoints.
        place: The sandbox's URLs.
        settings: The clock.
    """

    ledger: Ledger
    faults: Faults
    grants: GrantStore
    registry: Registry
    place: Place
    settings: Settings
    lock: Any = field(default_factory=threading.RLock)

    async def receive(self, request: WebRequest) -> Received:
        """Read a request."""
        body = b""
        async for piece in request.stream():
            body += piece[: _BODY_BYTES + 1 - len(body)]
        query: str = request.scope["query_string"].decode("latin-1")
        path: str = request.scope["path"]
        return Received(
            method=request.method,
            url=self.place.base_url + path + (f"?{query}" if query else ""),
            path=path,
            query=query,
            headers=Headers(request.headers.items()),
            body=body,
            received_at=self.settings.clock(),
        )

    def run(self, case: Case, judge: Callable[[Case], Response]) -> _Outcome:
        """Return what becomes of *case*, for which *judge* makes the answer."""
        with self.lock:
            case.caller = claimed_client(case.received, self.grants)
            outcome = self._outcome(case, judge)
            response = outcome.response
            self.ledger.answered(case, None if response is None else response.status)
        return outcome

    def judged(self, endpoint: Endpoint) -> Callable[[Case], Response]:
        """Return what makes the answers of *endpoint* and notes its verdicts."""

        def judge(case: Case) -> Response:
            try:
                response = endpoint.answer(case)
            except RefusedError as exc:
                self.ledger.close(case, exc)
                return endpoint.refuse(exc)
            self.ledger.close(case, None)
            return response

        return judge

    def _outcome(self, case: Case, judge: Callable[[Case], Response]) -> _Outcome:
        away = self.faults.take("unavailable", case)
        response = judge(case) if away is None else _unavailable(away.value or 0)
        slow = self.faults.take("slow", case)
        if case.endpoint == "token" and away is None and self.faults.take("lost_token_response", case):
            return _Outcome(None, slow.value or 0 if slow else 0)
        return _Outcome(response, slow.value or 0 if slow else 0)

    def web(self, response: Response, origin: str | None = None) -> WebResponse:
        """Return *response* with the server's date, readable by browser apps of *origin*."""
        headers = {"date": formatdate(self.settings.clock(), usegmt=True), **response.headers}
        if origin is not None:
            headers |= {"access-control-allow-origin": origin, "vary": "Origin"}
            headers["access-control-expose-headers"] = "WWW-Authenticate, Retry-After, Date"
        return WebResponse(response.body, status_code=response.status, headers=headers)


class _Silence(WebResponse):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - nothing is sent
        await line_of(scope).drop(receive)


def build_app(
    *,
    documents: Mapping[str, tuple[str, Document]],
    endpoints: Mapping[str, tuple[str, Endpoint]],
    pages: Mapping[str, Page],
    conduct: Conduct,
) -> Starlette:
    """
    Return the ASGI app.

    Its endpoints wait for nothing but the request's own body, and for time where a fault asks for it; so they
    run without an event loop.

    Args:
        documents: Public documents, by path, each with the name that faults know it by.
        endpoints: Judging endpoints, by path, each with the name that its verdicts carry.
        pages: Pages for people, by path.
        conduct: How requests are dealt with.
    """

    async def answer(request: WebRequest, case: Case, judge: Any, origin: str | None) -> WebResponse:
        if request.method == "OPTIONS":
            return conduct.web(_preflight(), origin)
        outcome = conduct.run(case, judge)
        if outcome.delay:
            await line_of(request.scope).wait(outcome.delay, request.receive)
        return _Silence() if outcome.response is None else conduct.web(outcome.response, origin)

    async def receive(request: WebRequest, name: str) -> Case:
        received = await conduct.receive(request)
        with conduct.lock:
            conduct.ledger.receive(received)
        return Case(endpoint=name, received=received)

    def public(name: str, document: Document) -> Callable[[WebRequest], object]:
        async def serve(request: WebRequest) -> WebResponse:
            return await answer(request, await receive(request, name), lend, "*")

        def lend(case: Case) -> Response:
            if case.received.method not in ("GET", "HEAD"):
                return json_reply({"error": "method not allowed"}, status=405)
            return document()

        return serve

    def judged(name: str, endpoint: Endpoint) -> Callable[[WebRequest], object]:
        judge = conduct.judged(endpoint)

        async def serve(request: WebRequest) -> WebResponse:
            case = await receive(request, name)
            origin = case.received.headers.get("origin")
            return await answer(
                request, case, judge, origin if origin in conduct.registry.origins() else None
            )

        return serve

    def shown(page: Page) -> Callable[[WebRequest], object]:
        async def serve(request: WebRequest) -> WebResponse:
            received = await conduct.receive(request)
            with conduct.lock:
                return conduct.web(page(received))

        return serve

    routes = [Route(path, public(*pair), methods=_METHODS) for path, pair in documents.items()]
    routes += [Route(path, judged(*pair), methods=_METHODS) for path, pair in endpoints.items()]
    routes += [Route(path, shown(page), methods=["GET", "HEAD", "POST"]) for path, page in pages.items()]
    return Starlette(routes=routes)


def _unavailable(seconds: float) -> Response:
    fields = (("Retry-After", f"{seconds:g}"), ("Cache-Control", "no-store"))
    return json_reply({"error": "temporarily_unavailable"}, status=503, headers=fields)


def _preflight() -> Response:
    fields = [
        ("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept"),
        ("Access-Control-Max-Age", "600"),
    ]
    return Response(status=204, headers=Headers(fields))
