"""A transport around another one that reports what goes through it."""

from __future__ import annotations

import time
from collections.abc import Callable

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.interfaces import AsyncTransport, Transport
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response

__all__ = ("Exchange", "TracingTransport")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """
    One request and what became of it.

    Its repr is safe to log: requests and responses show neither header values nor bodies. The objects
    themselves hold everything that was sent, credentials included.

    Args:
        request: What was sent.
        response: The answer, or None if there was none.
        error: What was raised instead, cancellation included, or None.
        seconds: How long it took.
    """

    request: Request
    response: Response | None
    error: BaseException | None
    seconds: float


class TracingTransport:
    """
    Pass requests on to another transport, and report each exchange when it is over.

    Args:
        inner: The transport that does the work, of either colour.
        on_exchange: Called with each `Exchange`, in the thread or task that sent the request. What it
            raises comes out of the request.

    >>> from smart_async.transports import ScriptedTransport, json_response
    >>> seen = []
    >>> transport = TracingTransport(ScriptedTransport(json_response({})), seen.append)
    >>> request = Request(method="GET", url="https://ehr.example.com/r4", purpose="fhir")
    >>> transport.send(request, Timeouts())
    <Response 200 from https://ehr.example.com/r4, 2 bytes>
    >>> seen[0].request is request, seen[0].error
    (True, None)
    """

    def __init__(self, inner: Transport | AsyncTransport, on_exchange: Callable[[Exchange], None]) -> None:
        self._inner = inner
        self._on_exchange = on_exchange

    @property
    def inner(self) -> Transport | AsyncTransport:
        """The transport that does the work."""
        return self._inner

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """Send *request* by the inner transport and report it."""
        inner = self._inner
        if not isinstance(inner, Transport):
            raise _wrong_colour(inner, "SmartClient")
        start = time.monotonic()
        try:
            response = inner.send(request, timeouts)
        except BaseException as exc:
            self._report(request, None, exc, start)
            raise
        self._report(request, response, None, start)
        return response

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """Send *request* by the inner transport and report it."""
        inner = self._inner
        if not isinstance(inner, AsyncTransport):
            raise _wrong_colour(inner, "AsyncSmartClient")
        start = time.monotonic()
        try:
            response = await inner.async_send(request, timeouts)
        except BaseException as exc:
            self._report(request, None, exc, start)
            raise
        self._report(request, response, None, start)
        return response

    def close(self) -> None:
        """Close the inner transport."""
        if isinstance(self._inner, Transport):
            self._inner.close()

    async def aclose(self) -> None:
        """Close the inner transport."""
        if isinstance(self._inner, AsyncTransport):
            await self._inner.aclose()

    def _report(
        self, request: Request, response: Response | None, error: BaseException | None, start: float
    ) -> None:
        seconds = time.monotonic() - start
        self._on_exchange(Exchange(request=request, response=response, error=error, seconds=seconds))


def _wrong_colour(inner: object, client: str) -> ConfigurationError:
    return ConfigurationError(
        f"{type(inner).__name__} cannot serve {client}.",
        field="transport",
        advice="The Async… transports are for AsyncSmartClient, the others for SmartClient.",
    )
