"""The tracing transport, from which the demo's and the diagnosis' screens are made."""

from __future__ import annotations

import anyio
import pytest

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Headers, Request
from smart_async.transports import (
    AsyncHttpxTransport,
    HttpxTransport,
    ScriptedTransport,
    TracingTransport,
    json_response,
)

REQUEST = Request(
    method="POST",
    url="https://ehr.example.com/token?x=canary",
    purpose="token",
    headers=Headers({"Authorization": "canary"}),
    body=b"canary",
)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def send(request):
    """Send the request by a transport, in each colour."""
    if request.param == "sync":
        return lambda transport: transport.send(REQUEST, Timeouts())
    return lambda transport: anyio.run(transport.async_send, REQUEST, Timeouts(), backend=request.param)


def test_an_exchange_is_reported(send):
    """Each exchange is reported with request, response and duration, and its repr shows no secret."""
    seen = []
    response = send(
        TracingTransport(ScriptedTransport(json_response({"access_token": "canary"})), seen.append)
    )
    (exchange,) = seen
    assert (exchange.request, exchange.response, exchange.error) == (REQUEST, response, None)
    assert 0 <= exchange.seconds < 10
    assert "canary" not in repr(exchange)


def test_a_failure_is_reported_and_raised(send):
    """An error is reported and comes out unchanged."""
    seen, error = [], TransportError("gone", sent=False)
    with pytest.raises(TransportError) as caught:
        send(TracingTransport(ScriptedTransport(error), seen.append))
    assert caught.value is error
    assert (seen[0].response, seen[0].error) == (None, error)


def test_a_cancellation_is_reported():
    """A cancelled request is reported, too: something may have been sent."""
    seen = []

    async def cancelled():
        with anyio.CancelScope() as scope:
            scope.cancel()
            await TracingTransport(ScriptedTransport(json_response({})), seen.append).async_send(
                REQUEST, Timeouts()
            )

    anyio.run(cancelled)
    assert seen[0].response is None
    assert isinstance(seen[0].error, BaseException)


def test_the_other_colour_is_refused():
    """A transport of one colour does not serve the other by being traced."""
    with pytest.raises(ConfigurationError, match="cannot serve SmartClient"):
        TracingTransport(AsyncHttpxTransport(), print).send(REQUEST, Timeouts())
    with pytest.raises(ConfigurationError, match="cannot serve AsyncSmartClient"):
        anyio.run(TracingTransport(HttpxTransport(), print).async_send, REQUEST, Timeouts())


def test_closing_closes_the_inner_one():
    """Closing goes through to the inner transport where that has the colour."""
    inner = ScriptedTransport()
    transport = TracingTransport(inner, print)
    assert transport.inner is inner
    transport.close()
    assert inner.closed
    inner.closed = False
    anyio.run(transport.aclose)
    assert inner.closed
    TracingTransport(AsyncHttpxTransport(), print).close()
    anyio.run(TracingTransport(HttpxTransport(), print).aclose)
