"""Reading the pages of a FHIR server's answer with the HTTP client that an app already has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, overload, runtime_checkable

from smart_async.errors import ConfigurationError
from smart_async.limits import PAGES
from smart_async.messages import Headers, JSONObject, Response
from smart_async.smart.bearer import BearerGuard, Hop
from smart_async.smart.paging import Trail

__all__ = ("AsyncFhirPages", "FhirPages", "fhir_pages")


class _Answer(Protocol):
    """What is needed of the answers of httpx and httpx2."""

    @property
    def status_code(self) -> int: ...


class _Client(Protocol):
    """What is needed of `httpx.Client` and `httpx2.Client`."""

    def build_request(self, method: str, url: str, /) -> Any: ...
    def send(self, request: Any, /) -> _Answer: ...


class _AsyncClient(Protocol):
    """What is needed of `httpx.AsyncClient` and `httpx2.AsyncClient`."""

    def build_request(self, method: str, url: str, /) -> Any: ...
    def send(self, request: Any, /) -> Awaitable[_Answer]: ...


@runtime_checkable
class _ChecksUrls(Protocol):
    """The `Auth` of a session: it knows where its token may go."""

    def check_url(self, url: str) -> None: ...


@overload
def fhir_pages(
    client: _Client,
    first: str,
    *,
    params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Any = None,
    max_pages: int = PAGES,
) -> FhirPages: ...


@overload
def fhir_pages(
    client: _AsyncClient,
    first: str,
    *,
    params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Any = None,
    max_pages: int = PAGES,
) -> AsyncFhirPages: ...


def fhir_pages(
    client: Any,
    first: str,
    *,
    params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    auth: Any = None,
    max_pages: int = PAGES,
) -> FhirPages | AsyncFhirPages:
    """
    Read an answer page by page, each a Bundle as the server sent it.

    With a blocking client: `for bundle in fhir_pages(http, "Observation?patient=1")`; with an async one the
    same with `async for`. The link from a page to the next is followed within the origins that the session's
    token is for, and without a session within the origin of the first page. Any other ends in an error,
    before anything is sent.

    Nothing is repeated. But a page that could not be fetched does not end it either: `next` asks for the
    same page again.

    Args:
        client: A client of httpx or httpx2, best with `base_url` and `auth=session.auth()`.
        first: The URL of the first page, relative to the client's `base_url`.
        params: Search parameters of the first page, where *first* has none; the links carry them on.
        headers: Header fields of each request, such as `Prefer`.
        auth: `session.auth()`, where the client serves several sessions and has none of its own.
        max_pages: Pages after which it ends in an error, in case the server never stops.

    Returns:
        An iterator over the pages. A client's own exceptions, such as those for a broken connection, come
        through it.

    Raises:
        ConfigurationError: If an argument cannot be used.
        TokenOriginError: While iterating: a link or redirect leads to where the token must not go.
        OAuthError: While iterating: the server refused; `status` and its own words are in it.
        ProtocolError: While iterating: what came is no Bundle, or its link cannot be followed.

    Spec: HL7 FHIR R4, RESTful API (paging); SMART App Launch 2.2, app launch (access the FHIR API).
    """
    if not callable(getattr(client, "build_request", None)) or not callable(getattr(client, "send", None)):
        raise ConfigurationError(
            f"fhir_pages takes a client of httpx or httpx2, not {type(client).__name__}.", field="client"
        )
    kind = AsyncFhirPages if hasattr(client, "__aenter__") else FhirPages
    return kind(client, first, params=params, headers=headers, auth=auth, max_pages=max_pages)


class _Pages:
    """What both colours do between their requests."""

    def __init__(
        self, client: Any, first: str, *, params: Any, headers: Any, auth: Any, max_pages: int
    ) -> None:
        if params and "?" in first:
            raise ConfigurationError(
                "fhir_pages was given params and a URL with a query; httpx would send the params only.",
                field="params",
                advice="Put all search parameters in one of them.",
            )
        self._client = client
        self._params = params
        self._headers: dict[str, str] = {**_accept(client), **(headers or {})}
        self._options: dict[str, Any] = {} if auth is None else {"auth": auth}
        auth = getattr(client, "auth", None) if auth is None else auth
        self._guard = None if isinstance(auth, _ChecksUrls) else _guard(client, first)
        check: Callable[[str], None] = auth.check_url if self._guard is None else self._guard.check
        self._trail = Trail(first, check=check, max_pages=max_pages)

    def _request(self) -> Any:
        url = self._trail.move()
        if url is None:
            return None
        if self._trail.started:
            request = self._client.build_request("GET", url, headers=self._headers)
            # Default parameters of the client would take the place of those in the link.
            request.url = type(request.url)(url)
        else:
            request = self._client.build_request("GET", url, params=self._params, headers=self._headers)
        # Once more, as the library reads it: what two parsers read differently goes nowhere.
        self._trail.check(str(request.url))
        return request

    def _arrived(self, answer: Any) -> JSONObject:
        if self._guard is not None:
            hops = [Hop(str(each.request.url), carried=False) for each in (*answer.history, answer)]
            self._guard.check_hops(hops)
        return self._trail.arrive(
            Response(
                status=answer.status_code,
                headers=Headers(answer.headers.multi_items()),
                body=answer.content,
                url=str(answer.request.url),
            )
        )


class FhirPages(_Pages, Iterator[JSONObject]):
    """The pages of one answer, read with a blocking client; made by `fhir_pages`."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> JSONObject:
        request = self._request()
        if request is None:
            raise StopIteration
        return self._arrived(self._client.send(request, **self._options))


class AsyncFhirPages(_Pages, AsyncIterator[JSONObject]):
    """The pages of one answer, read with an async client; made by `fhir_pages`."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JSONObject:
        request = self._request()
        if request is None:
            raise StopAsyncIteration
        return self._arrived(await self._client.send(request, **self._options))


def _accept(client: Any) -> dict[str, str]:
    # The library's own */* makes some servers answer with XML or a web page.
    chosen = getattr(client, "headers", {}).get("accept", "*/*") != "*/*"
    return {} if chosen else {"Accept": "application/fhir+json"}


def _guard(client: Any, first: str) -> BearerGuard:
    base = str(getattr(client, "base_url", ""))
    if not base and "://" not in first:
        raise ConfigurationError(
            "fhir_pages was given a relative URL and a client without base_url.",
            field="first",
            advice="Make the client with base_url= the FHIR base.",
        )
    return BearerGuard.around(base or first)
