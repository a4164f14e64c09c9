"""What a request is answered whose user is not signed in, or cannot be served just now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from smart_async.errors import SmartError
from smart_async.integrations.starlette._errors import NotSignedInError, UnavailableError
from smart_async.integrations.starlette._pages import protect
from smart_async.integrations.starlette._parts import Parts

__all__ = ("Answers", "is_page")


class Answers:
    """
    Answers for what went wrong in an endpoint of the app.

    Args:
        parts: What the routes share.
        session: Returns the signed-in user of a request, or raises why there is none.
    """

    def __init__(self, parts: Parts, session: Callable[[Request], Awaitable[object]]) -> None:
        self._parts = parts
        self._session = session

    async def answer(self, request: Request, error: Exception) -> Response:
        """
        Answer a request in whose middle *error* was raised.

        Args:
            request: The request.
            error: What was raised.

        Raises:
            Exception: *error* itself, where it has nothing to do with who is signed in.
        """
        if isinstance(error, SmartError):
            error = await self._why(request, error)
        if isinstance(error, UnavailableError):
            return await self._unavailable(request, error)
        if not isinstance(error, NotSignedInError):
            raise error
        if error.page:
            return protect(PlainTextResponse("", 303), error.headers)
        content = {"error": "not_signed_in", "login": error.login_url}
        return protect(JSONResponse(content, 401), error.headers)

    async def _why(self, request: Request, error: SmartError) -> Exception:
        """Return what an error in the middle of a request means: perhaps the session has ended."""
        if getattr(request.state, "signed_in", None) is None:
            return error
        try:
            _ = await self._session(request)
        except (NotSignedInError, UnavailableError) as reason:
            return reason
        return error

    async def _unavailable(self, request: Request, error: UnavailableError) -> Response:
        if is_page(request) or self._parts.on_failure is not None:
            response = await self._parts.failed(request, error.error)
            return protect(response, error.headers) if response.status_code >= 500 else response
        return protect(JSONResponse({"error": "temporarily_unavailable"}, 503), error.headers)


def is_page(request: Request) -> bool:
    """
    Return whether a person waits for a page, and not a script for data.

    Args:
        request: The request.
    """
    mode = request.headers.get("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in request.headers.get("accept", "")
