"""A transport without a network: it answers from a script, for tests of apps and of this library."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from smart_async.limits import Timeouts
from smart_async.messages import Headers, JSONObject, Request, Response

__all__ = ("Answer", "ScriptedTransport", "json_response")

Answer: TypeAlias = Response | BaseException | Callable[[Request], Response | Awaitable[Response]]
"""One entry of a script: an answer, an error to raise, or a function that makes an answer."""


class ScriptedTransport:
    """
    Answer requests in memory, in the order of a script, and keep what was asked.

    It serves both colours, so the same script tests `SmartClient` and `AsyncSmartClient`. A request
    beyond the script is an `AssertionError`: code that asks more often than expected is what such a test
    is there to find.

    Args:
        answers: What to answer with, in order: a `Response`, an exception to raise, or a function that
            gets the `Request` and returns a `Response` (or raises). For an async client that function
            may be a coroutine function.

    Attributes:
        requests: Every request that was sent, in order.
        closed: Whether `close` or `aclose` was called.

    >>> transport = ScriptedTransport(json_response({"ok": True}))
    >>> request = Request(method="GET", url="https://ehr.example.com/r4", purpose="fhir")
    >>> transport.send(request, Timeouts()).body
    b'{"ok": true}'
    >>> transport.requests == [request]
    True
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = deque(answers)
        self._scripted = len(answers)
        self.requests: list[Request] = []
        self.closed = False

    @property
    def unused(self) -> int:
        """How many answers nobody has asked for yet."""
        return len(self._answers)

    def add(self, *answers: Answer) -> None:
        """Append *answers* to the script."""
        self._answers.extend(answers)
        self._scripted += len(answers)

    def assert_all_used(self) -> None:
        """
        Check that the whole script was played.

        Raises:
            AssertionError: If answers are left over.
        """
        if self._answers:
            asked = ", ".join(map(repr, self.requests)) or "nothing"
            raise AssertionError(f"{self.unused} of {self._scripted} answers were not used; sent: {asked}")

    def send(self, request: Request, timeouts: Timeouts) -> Response:  # noqa: ARG002 - the interface's
        """Return the next answer of the script for *request*."""
        answer = self._next(request)
        if not isinstance(answer, Response):
            close = getattr(answer, "close", None)
            if close is not None:
                close()
            raise AssertionError(  # noqa: TRY004 - it fails a test, as the other two do
                "A coroutine function stands in the script of a synchronous client."
            )
        return _addressed(answer, request)

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:  # noqa: ARG002
        """Return the next answer of the script for *request*, after one point where it may be cancelled."""
        import anyio.lowlevel  # importing this library loads no anyio

        await anyio.lowlevel.checkpoint()
        answer = self._next(request)
        return _addressed(answer if isinstance(answer, Response) else await answer, request)

    def close(self) -> None:
        """Note that the transport was closed."""
        self.closed = True

    async def aclose(self) -> None:
        """Note that the transport was closed."""
        self.closed = True

    def _next(self, request: Request) -> Response | Awaitable[Response]:
        self.requests.append(request)
        if not self._answers:
            raise AssertionError(
                f"request {len(self.requests)} is one too many for a script of {self._scripted}: {request!r}"
            )
        answer = self._answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Response) else answer(request)


def json_response(
    document: JSONObject, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """
    Make a JSON answer for a script.

    Args:
        document: The object to send.
        status: The HTTP status.
        headers: Header fields beside the content type.

    >>> json_response({"error": "invalid_grant"}, status=400).status
    400
    """
    fields = {"content-type": "application/json", **(headers or {})}
    return Response(status=status, headers=Headers(fields), body=json.dumps(document).encode())


def _addressed(response: Response, request: Request) -> Response:
    return response if response.url else replace(response, url=request.url)
