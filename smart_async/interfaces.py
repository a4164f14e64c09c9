"""
Everything that can be replaced, on one page.

Give a client your own object with these methods and it works with that. Each interface that may have to
wait has an async twin whose method starts with `async_`, so that one class can serve both colours.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

from smart_async._values import dataclass

if TYPE_CHECKING:
    from smart_async.limits import Timeouts
    from smart_async.messages import Request, Response, Secret

__all__ = (
    "AccessToken",
    "AsyncSigner",
    "AsyncTokenSource",
    "AsyncTransport",
    "Clock",
    "Lease",
    "Signer",
    "Stored",
    "TokenSource",
    "TokenStore",
    "Transport",
)


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


@dataclass(frozen=True, slots=True)
class Stored:
    """
    What a store holds under one key.

    Args:
        data: The bytes, as they were saved.
        version: Names this state of the key; every save makes a new one.
    """

    data: bytes = field(repr=False)
    version: str


@runtime_checkable
class Lease(Protocol):
    """
    The right to change one key, held by one holder at a time among threads, processes and machines.

    A holder can be stopped for longer than a lease lasts, and another then holds the next one. So each
    lease has a number that only grows, and a store refuses to save for a lease that is not the latest.
    """

    @property
    def fence(self) -> int:
        """The lease's number; a later lease of the same key has a higher one."""
        ...

    def release(self) -> None:
        """
        Give the lease back, and save under it no more.

        This never raises: twice, or after the lease has run out, it does nothing, and where the store
        cannot be reached the lease ends by itself.
        """
        ...


@runtime_checkable
class TokenStore(Protocol):
    """
    Keeps bytes under opaque keys, for tokens that have to survive a restart or be shared by workers.

    A store is written once, in plain code; async clients call it in a worker thread. It raises nothing but
    `StoreError`, and is safe to use from several threads.
    """

    def load(self, key: str) -> Stored | None:
        """Return what is stored under *key*, or None."""
        ...

    def save(self, key: str, data: bytes, *, expected: str | None, lease: Lease | None = None) -> str | None:
        """
        Store *data* under *key* if nobody has changed it meanwhile.

        Args:
            key: The key.
            data: The bytes.
            expected: The version that *data* was made from; None if nothing was stored.
            lease: The lease of *key* that this store gave, if one is held; a stale or released one saves
                nothing. Without one the version alone decides, and the holder of a lease is not waited for.

        Returns:
            The new version, or None if the version was another or the lease is stale, and then nothing
            was changed.
        """
        ...

    def delete(self, key: str, *, expected: str | None = None) -> bool:
        """
        Forget *key*.

        Args:
            key: The key.
            expected: Only if this is its version; None for whatever is there.

        Returns:
            Whether something was there and is now gone.
        """
        ...

    def acquire(self, key: str, *, wait: float) -> Lease:
        """
        Return the lease of *key* as soon as nobody else holds it.

        Args:
            key: The key.
            wait: Seconds to wait at most.

        Raises:
            StoreError: If it is still held by somebody else after *wait* seconds.
        """
        ...

    def close(self) -> None:
        """Release whatever the store holds open."""
        ...


class AccessToken(Protocol):
    """What a request to a FHIR server needs of a token; `Token` has it."""

    @property
    def access_token(self) -> Secret:
        """What opens the server: visible ASCII, so that it fits into a header as it is."""
        ...


AccessTokenT = TypeVar("AccessTokenT", bound=AccessToken)


class TokenSource(Protocol[AccessTokenT]):
    """
    Hands out access tokens that work, for requests sent by a blocking HTTP client.

    `SmartSession` is one. Write your own where tokens come from elsewhere: from a sidecar, from a test.
    """

    def ready(self) -> AccessTokenT | None:
        """
        Return the token at hand, if it can be used right now.

        This is asked before each request. It waits for nothing: no lock, no store, no network.
        """
        ...

    def get_token(self) -> AccessTokenT:
        """
        Return a token that can be used, fetching or renewing one where needed.

        Raises:
            SmartError: If there is none to be had.
        """
        ...

    def invalidate(self, token: AccessTokenT) -> None:
        """
        Take note that a server refused *token*, so that the next one handed out is another.

        This sends nothing, and does nothing if *token* has been replaced already.

        Args:
            token: What `ready` or `get_token` returned.
        """
        ...


class AsyncTokenSource(Protocol[AccessTokenT]):
    """
    Hands out access tokens that work, for requests sent by an async HTTP client; the twin of `TokenSource`.

    Only getting a token may have to wait.
    """

    def ready(self) -> AccessTokenT | None:
        """Return the token at hand, if it can be used right now."""
        ...

    async def get_token(self) -> AccessTokenT:
        """Return a token that can be used, fetching or renewing one where needed."""
        ...

    def invalidate(self, token: AccessTokenT) -> None:
        """Take note that a server refused *token*, so that the next one handed out is another."""
        ...
