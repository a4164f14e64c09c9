"""
Which requests may be made again after which failures, and when.

What decides is what the server may have done. A request that never left was not processed; one whose answer
was lost may have been; and a code, a rotating refresh token or a registration takes effect once, so that
repeating it can end the login at the server, or make a second client.

Spec: RFC 9110, section 9.2.2; RFC 6749, section 4.1.2 (a code used twice).
"""

from __future__ import annotations

from collections.abc import Callable

from smart_async._values import dataclass
from smart_async.errors import TransportError
from smart_async.flow import Flow, emit, now, send, sleep
from smart_async.limits import RETRY_AFTER_MAX, RETRY_PAUSE, RETRY_PAUSE_MAX
from smart_async.messages import Event, Request, Response
from smart_async.smart.entropy import Entropy
from smart_async.smart.oauth_errors import parse_oauth_error, retry_after
from smart_async.smart.state import ClientState

__all__ = ("CODE", "HARMLESS", "REGISTRATION", "ROTATING", "Retries", "fraction", "repeated", "send_repeated")

_BUSY = (429, 503)
_VERDICTS = ("invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client")
"""What no repetition changes, also where a server says it with a 500."""

_FRACTIONS = 1 << 53  # what a float can tell apart between 0 and 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """
    Say after which failures a kind of request may be made again; after one that never left, always.

    Args:
        unknown: After one that may have arrived, though no answer came.
        busy: After 429 or 503 with a `Retry-After`: the server says that it did nothing yet.
        broken: After any other 5xx, behind which anything may have happened.
    """

    unknown: bool
    busy: bool
    broken: bool


HARMLESS = Retries(unknown=True, busy=True, broken=True)
"""For what reads, what can be asked for any number of times, and a refresh token that never rotates."""

CODE = Retries(unknown=False, busy=False, broken=False)
"""For an authorization code, which a server may answer by revoking everything if it sees it twice."""

ROTATING = Retries(unknown=False, busy=True, broken=False)
"""For a refresh token that may have been replaced behind an answer that never came."""

REGISTRATION = Retries(unknown=False, busy=True, broken=False)
"""For a registration, which would make a second client."""


def repeated(state: ClientState, attempt: Callable[[], Flow[Response]], retries: Retries) -> Flow[Response]:
    """
    Return the answer to a request, made again where that is safe and may help.

    Args:
        state: The client; its configuration says how many attempts there are.
        attempt: Makes and sends the request, anew each time: an assertion serves one attempt only.
        retries: After which failures.

    Raises:
        TransportError: If the last attempt had no usable answer.
    """
    tried = 1
    while True:
        failure: TransportError | None = None
        response: Response | None = None
        try:
            response = yield from attempt()
        except TransportError as exc:
            failure = exc
        pause = _pause(failure, response, retries, tried, state.entropy)
        if pause is None or tried >= state.config.attempts or not (yield from _time_for(pause)):
            if response is None:
                raise failure or AssertionError  # one of the two there is
            return response
        yield from emit(_retry(state, failure, response, tried, pause))
        yield from sleep(pause)
        tried += 1


def send_repeated(state: ClientState, request: Request, retries: Retries = HARMLESS) -> Flow[Response]:
    """
    Return the answer to *request*, sent again where that is safe; for requests that hold no assertion.

    Args:
        state: The client.
        request: The request.
        retries: After which failures.

    Raises:
        TransportError: If the last attempt had no usable answer.
    """
    return repeated(state, lambda: send(request), retries)


def fraction(entropy: Entropy) -> float:
    """
    Return a random number from 0 up to 1.

    Args:
        entropy: The source of random bytes.
    """
    return (int.from_bytes(entropy(8), "big") >> 11) / _FRACTIONS


def _pause(
    failure: TransportError | None,
    response: Response | None,
    retries: Retries,
    tried: int,
    entropy: Entropy,
) -> float | None:
    """Return the seconds to wait before the next attempt, or None where there must not be one."""
    if response is not None:
        return _pause_after(response, retries, tried, entropy)
    if failure is None or failure.permanent or (failure.sent is not False and not retries.unknown):
        return None
    return _back_off(tried, entropy)


def _pause_after(response: Response, retries: Retries, tried: int, entropy: Entropy) -> float | None:
    if response.status in _BUSY and response.headers.get("retry-after") is not None:
        seconds = retry_after(response)
        # Told nonsense, or to wait for longer than anybody would, the caller had better know.
        return seconds if retries.busy and seconds is not None and seconds <= RETRY_AFTER_MAX else None
    if not retries.broken or response.status < 500 or parse_oauth_error(response).error in _VERDICTS:
        return None
    return _back_off(tried, entropy)


def _back_off(tried: int, entropy: Entropy) -> float:
    # Anything between nothing and the whole pause: clients that failed together must not return together.
    return float(min(RETRY_PAUSE_MAX, RETRY_PAUSE * 2 ** (tried - 1)) * fraction(entropy))


def _time_for(pause: float) -> Flow[bool]:
    instant = yield from now()
    return instant.monotonic + pause < instant.deadline


def _retry(
    state: ClientState, failure: TransportError | None, response: Response | None, tried: int, pause: float
) -> Event:
    return Event(
        name="retry",
        fhir_base=state.config.fhir_base,
        client_id=state.config.client_id,
        attempt=tried,
        seconds=pause,
        status=response.status if response is not None else None,
        error=type(failure).__name__ if failure is not None else None,
    )
