"""
The bearer token in the requests of a user's own client, over httpx and httpx2.

The two differ in the base class of an `Auth` only. httpx runs one flow around a request with all its
redirects; so a redirect is judged after it was followed. It strips the header on the way to another origin.

An Authorization header that a request already has is replaced. It is nearly always an older token: of a
redirect's `next_request`, or of a request that a retry library sends again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

from smart_async.errors import ConfigurationError
from smart_async.interfaces import AccessToken, AsyncTokenSource, TokenSource
from smart_async.smart.bearer import (
    BearerGuard,
    Hop,
    authorization,
    token_origins,
)
from smart_async.smart.refusals import refuse_insufficient_scope

__all__ = ("AsyncBearerFlow", "BearerFlow")

T = TypeVar("T", bound=AccessToken)


class _Bearer(Generic[T]):
    """What both colours do between their requests."""

    held: ClassVar[type]
    """The library's class of request bodies that are in memory, and so can be sent again."""

    def __init__(self, source: TokenSource[T] | AsyncTokenSource[T], guard: BearerGuard) -> None:
        self._guard = guard
        self._admits = guard.admits
        self._ready = source.ready
        self._invalidate = source.invalidate
        # The last token that was found to fit into a header. Nearly every request takes the short way.
        self._sound: T | None = None
        self._named: tuple[T | None, frozenset[str]] = (None, guard.hinted)

    def __repr__(self) -> str:
        """Say where the token goes, and nothing of the token."""
        return f"<{type(self).__name__} for {self._guard.home}>"

    def check_url(self, url: str) -> None:
        """
        Refuse a URL to which the token must not go.

        Args:
            url: An absolute URL.

        Raises:
            TokenOriginError: If the token at hand must not go there.
        """
        token = self._ready()
        # Without a token, what the last one named decides whether it is worth fetching the next.
        self._guard.check(url, self._named[1] if token is None else self._origins(token))

    def _attach(self, request: Any, token: T) -> None:
        url = str(request.url)
        if not self._admits(url):
            self._guard.check(url, self._origins(token))
        request.headers["Authorization"] = authorization(token)
        self._sound = token

    def _refused(self, response: Any, token: T) -> bool:
        """Judge *response*; return whether it says that *token* is no longer good."""
        status: int = response.status_code
        hops = [
            Hop(str(each.request.url), "authorization" in each.request.headers)
            for each in (*response.history, response)
        ]
        origins = self._origins(token)
        if (stray := self._guard.stray(hops, origins)) is not None and stray.carried:
            self._invalidate(token)
        self._guard.check_hops(hops, origins)
        # A redirect from one listed origin to another has lost the token on the way; it was not refused.
        if not hops[-1].carried:
            return False
        if status in (401, 403):
            said = response.headers.get("www-authenticate")
            refuse_insufficient_scope(said, token, url=hops[-1].url, status=status)
        return status in self._guard.rejected_statuses

    def _repeatable(self, request: Any, response: Any, token: T) -> bool:
        """Return whether another token may help, having told the source that this one does not."""
        if not self._refused(response, token):
            return False
        self._invalidate(token)
        # Half a body has been sent perhaps, and a generator cannot be rewound.
        return isinstance(request.stream, self.held)

    def _origins(self, token: T) -> frozenset[str]:
        known, origins = self._named
        if known is not token:
            origins = token_origins(token)
            self._named = (token, origins)
        return origins


class BearerFlow(_Bearer[T]):
    """
    Adds the token to requests of a blocking client, and gets another when it is refused.

    Args:
        source: Hands out the tokens.
        guard: Where they may go.
    """

    def __init__(self, source: TokenSource[T], guard: BearerGuard) -> None:
        super().__init__(source, guard)
        self._get_token = source.get_token

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Run around one request, redirects included; called by the client."""
        token = self._ready()
        if token is not None and token is self._sound and self._admits(str(request.url)):
            request.headers["Authorization"] = f"Bearer {token.access_token.reveal()}"
        else:
            if token is None:
                self.check_url(str(request.url))
                token = self._get_token()
            self._attach(request, token)
        response = yield request
        if response.status_code < 400 and not response.history:
            return
        if self._repeatable(request, response, token):
            another = self._get_token()
            if another.access_token != token.access_token:
                self._attach(request, another)
                response = yield request
                # Refused again, it stays valid: it may open everything but this.
                self._refused(response, another)

    def async_auth_flow(self, request: Any) -> NoReturn:
        """Refuse an async client, which this would block."""
        del request
        raise _wrong_colour("SmartSession", "a blocking client (httpx.Client)", "AsyncSmartClient")


class AsyncBearerFlow(_Bearer[T]):
    """
    Adds the token to requests of an async client; the twin of `BearerFlow`.

    Args:
        source: Hands out the tokens.
        guard: Where they may go.
    """

    def __init__(self, source: AsyncTokenSource[T], guard: BearerGuard) -> None:
        super().__init__(source, guard)
        self._get_token = source.get_token

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Run around one request, redirects included; called by the client."""
        token = self._ready()
        if token is not None and token is self._sound and self._admits(str(request.url)):
            request.headers["Authorization"] = f"Bearer {token.access_token.reveal()}"
        else:
            if token is None:
                self.check_url(str(request.url))
                token = await self._get_token()
            self._attach(request, token)
        response = yield request
        if response.status_code < 400 and not response.history:
            return
        if self._repeatable(request, response, token):
            another = await self._get_token()
            if another.access_token != token.access_token:
                self._attach(request, another)
                response = yield request
                self._refused(response, another)

    def sync_auth_flow(self, request: Any) -> NoReturn:
        """Refuse a blocking client, which cannot await."""
        del request
        raise _wrong_colour("AsyncSmartSession", "an async client (httpx.AsyncClient)", "SmartClient")


def _wrong_colour(session: str, client: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"This auth came from {session}, and works with {client} only.",
        field="auth",
        advice=f"Nothing was sent. Use {client}, or a session of {other}.",
    )
