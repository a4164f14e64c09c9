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
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from smart_async._values import dataclass

if TYPE_CHECKING:
    from smart_async.interfaces import AsyncSigner, Signer, Stored
    from smart_async.messages import Event, Request, Response

__all__ = (
    "Delete",
    "Emit",
    "Exclusive",
    "Flow",
    "Instant",
    "Load",
    "Now",
    "Save",
    "Send",
    "Sign",
    "Sleep",
    "Step",
    "delete",
    "emit",
    "exclusive",
    "load",
    "now",
    "save",
    "send",
    "sign",
    "sleep",
)

T = TypeVar("T")

# The steps of every token request are made thousands of times a second and live for a moment, so they are no
# frozen dataclasses: those are three times as slow to make, and beside a signature that shows.


@dataclass(slots=True)
class Send:
    """Send `request`; the outcome is its `Response`, stamped with the time it was received."""

    request: Request


@dataclass(slots=True)
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


@dataclass(slots=True)
class Instant:
    """
    One moment on both clocks: `wall` in Unix seconds, `monotonic` in seconds from an arbitrary start.

    `deadline` is when the operation has to be over, on the monotonic clock. A flow that is driven without one
    sees it in the past, and tries nothing twice.
    """

    wall: float
    monotonic: float
    deadline: float = 0.0


@dataclass(frozen=True, slots=True)
class Exclusive:
    """
    Run `flow` while no other flow runs under the same `key`; the outcome is its result.

    Without `leased` that holds among the flows of this client. With it, the store's lease of the key is held:
    it holds among all who share the store, and what `flow` saves is saved under that lease.
    """

    key: str
    flow: Flow[Any]
    leased: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Read `key` from the store; the outcome is what is `Stored`, or None."""

    key: str


@dataclass(frozen=True, slots=True)
class Save:
    """
    Store `data` under `key` if its version is still `expected`; the outcome is the new version, or None.

    With `fenced`, a lease that is held must also be the latest one.
    """

    key: str
    data: bytes = field(repr=False)
    expected: str | None
    fenced: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """Forget what is stored under `key`; there is no outcome."""

    key: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell whoever listens about `event`; there is no outcome."""

    event: Event


Step: TypeAlias = Send | Sign | Now | Sleep | Exclusive | Load | Save | Delete | Emit
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


def exclusive(key: str, flow: Flow[T], *, leased: bool = False) -> Flow[T]:
    """Return the result of *flow*, run while no other flow runs under *key*; see `Exclusive`."""
    result: T = yield Exclusive(key, flow, leased)
    return result


def load(key: str) -> Flow[Stored | None]:
    """Return what is stored under *key*, or None."""
    stored: Stored | None = yield Load(key)
    return stored


def save(key: str, data: bytes, *, expected: str | None, fenced: bool = True) -> Flow[str | None]:
    """Store *data* under *key* and return its version, or None if another version was there; see `Save`."""
    step = Save(key, data, expected, fenced)
    del data  # error reporters show the variables of every frame
    version: str | None = yield step
    return version


def delete(key: str) -> Flow[None]:
    """Forget what is stored under *key*."""
    yield Delete(key)


def emit(event: Event) -> Flow[None]:
    """Tell whoever listens about *event*."""
    yield Emit(event)
