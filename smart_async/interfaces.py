"""
Everything that can be replaced, on one page.

Give a client your own object with these methods and it works with that. Each interface that may have to
wait has an async twin whose method starts with `async_`, so that one class can serve both colours.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from smart_async.limits import Timeouts
from smart_async.messages import Request, Response

__all__ = ("AsyncSigner", "AsyncTransport", "Clock", "Signer", "Transport")


@runtime_checkable
class Transport(Protocol):
    """
    Sends one request and returns one response, for `SmartClient`.

    A transport never follows a redirect, never reads more than `request.max_bytes` of the answer, keeps
    the deadlines of *timeouts*, opens a new connection where `request.fresh` asks for it, and raises
    nothing but `TransportError`.
    """

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        """Send *request* and return its response."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


@runtime_checkable
class AsyncTransport(Protocol):
    """Sends one request and returns one response, for `AsyncSmartClient`; the twin of `Transport`."""

    async def async_send(self, request: Request, timeouts: Timeouts) -> Response:
        """Send *request* and return its response."""
        ...

    async def aclose(self) -> None:
        """Release the connections."""
        ...


@runtime_checkable
class Signer(Protocol):
    """
    Makes signatures with a private key, wherever that key is.

    `sign` returns the signature as JWS wants it: for ES384 the 96 bytes R‖S, not DER.
    """

    @property
    def kid(self) -> str:
        """The key's id in the published JWK Set."""
        ...

    @property
    def algorithm(self) -> str:
        """The JWS algorithm, such as `RS384` or `ES384`."""
        ...

    @property
    def blocking(self) -> bool:
        """Whether `sign` may take long enough to stall an event loop: a network call, a smart card."""
        ...

    def sign(self, signing_input: bytes) -> bytes:
        """Return the JWS signature of *signing_input*."""
        ...


@runtime_checkable
class AsyncSigner(Protocol):
    """Makes signatures by awaiting something, for `AsyncSmartClient` only; the twin of `Signer`."""

    @property
    def kid(self) -> str:
        """The key's id in the published JWK Set."""
        ...

    @property
    def algorithm(self) -> str:
        """The JWS algorithm, such as `RS384` or `ES384`."""
        ...

    async def async_sign(self, signing_input: bytes) -> bytes:
        """Return the JWS signature of *signing_input*."""
        ...


@runtime_checkable
class Clock(Protocol):
    """Tells the time; replace it to test what happens at expiry without waiting for it."""

    def wall(self) -> float:
        """Return Unix seconds: what servers and tokens speak of."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back: what deadlines are measured with."""
        ...
