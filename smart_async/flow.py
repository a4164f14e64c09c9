"""
Flows: plans that decide and never wait.

A flow is a plain generator. It yields a step (send this, sign that), somebody performs the step, and the
flow goes on with the outcome, until it returns its result. Order and decisions are thereby written once;
whether the performer blocks, awaits or reads from a script is not the flow's business.

```python
def introspect(endpoint: str, token: str) -> Flow[TokenStatus]:
    response = yield from send(introspection_request(endpoint, token))
    return parse_introspection(response)
```

Inside a flow always write `yield from`: a flow that is only called does nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from smart_async.interfaces import AsyncSigner, Signer
from smart_async.messages import Request, Response

__all__ = (
    "Exclusive",
    "Flow",
    "Instant",
    "Now",
    "Send",
    "Sign",
    "Sleep",
    "Step",
    "exclusive",
    "now",
    "send",
    "sign",
    "sleep",
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send `request`; the outcome is its `Response`, stamped with the time it was received."""

    request: Request


@dataclass(frozen=True, slots=True)
class Sign:
    """Have `signer` sign `signing_input`; the outcome is the signature's bytes."""

    signer: Signer | AsyncSigner
    signing_input: bytes


@dataclass(frozen=True, slots=True)
class Now:
    """Tell the time; the outcome is an `Instant`."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for `seconds`; there is no outcome."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: `wall` in Unix seconds, `monotonic` in seconds from an arbitrary start."""

    wall: float
    monotonic: float


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Run `flow` while no other flow of this client runs under the same `key`; the outcome is its result."""

    key: str
    flow: Flow[Any]


Step: TypeAlias = Send | Sign | Now | Sleep | Exclusive
"""What a flow may ask for."""

Flow: TypeAlias = Generator[Step, Any, T]
"""A plan that ends in a T."""


def send(request: Request) -> Flow[Response]:
    """Send *request* and return its response."""
    response: Response = yield Send(request)
    return response


def sign(signer: Signer | AsyncSigner, signing_input: bytes) -> Flow[bytes]:
    """Return *signer*'s signature of *signing_input*."""
    signature: bytes = yield Sign(signer, signing_input)
    return signature


def now() -> Flow[Instant]:
    """Return the time. Ask again after every wait: minutes may have passed."""
    instant: Instant = yield Now()
    return instant


def sleep(seconds: float) -> Flow[None]:
    """Wait for *seconds*."""
    yield Sleep(seconds)


def exclusive(key: str, flow: Flow[T]) -> Flow[T]:
    """Return the result of *flow*, run while no other flow of this client runs under *key*."""
    result: T = yield Exclusive(key, flow)
    return result
