"""The scripted transport, which other people's tests rely on."""

from __future__ import annotations

import anyio
import pytest

from smart_async.errors import TransportError
from smart_async.interfaces import AsyncTransport, Transport
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.transports import ScriptedTransport, json_response

REQUEST = Request(method="GET", url="https://ehr.example.com/r4", purpose="discovery")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def play(request):
    """Send a request by a scripted transport, in each colour."""
    if request.param == "sync":
        return lambda transport, sent=REQUEST: transport.send(sent, Timeouts())
    return lambda transport, sent=REQUEST: anyio.run(
        transport.async_send, sent, Timeouts(), backend=request.param
    )


def test_answers_come_in_order(play):
    """Responses, functions and errors are used in the order of the script."""
    transport = ScriptedTransport(
        json_response({"a": 1}),
        lambda request: Response(status=204, url=request.url + "/own"),
        TransportError("gone", sent=False),
    )
    assert play(transport) == Response(
        status=200, headers=json_response({}).headers, body=b'{"a": 1}', url=REQUEST.url
    )
    assert play(transport).url == REQUEST.url + "/own"
    with pytest.raises(TransportError, match="gone"):
        play(transport)
    assert transport.requests == [REQUEST] * 3
    transport.assert_all_used()


def test_one_request_too_many(play):
    """A request beyond the script fails the test, and says which one it was."""
    transport = ScriptedTransport(json_response({}))
    play(transport)
    with pytest.raises(AssertionError, match="request 2 is one too many for a script of 1: <Request GET"):
        play(transport)


def test_answers_left_over(play):
    """A script that was not played to its end fails the test when asked."""
    transport = ScriptedTransport()
    transport.add(json_response({}), json_response({}))
    with pytest.raises(AssertionError, match="2 of 2 answers were not used; sent: nothing"):
        transport.assert_all_used()
    play(transport)
    assert transport.unused == 1
    with pytest.raises(AssertionError, match="1 of 2 answers were not used; sent: <Request GET"):
        transport.assert_all_used()


def test_coroutine_functions_in_a_script():
    """A coroutine function may answer an async client, and is refused for a blocking one."""

    async def answer(request):
        await anyio.lowlevel.checkpoint()
        return json_response({"url": request.url})

    transport = ScriptedTransport(answer, answer)
    assert anyio.run(transport.async_send, REQUEST, Timeouts()).status == 200
    with pytest.raises(AssertionError, match="coroutine function"):
        transport.send(REQUEST, Timeouts())


def test_what_is_no_response():
    """A function that returns something else is found out."""
    with pytest.raises(AssertionError):
        ScriptedTransport(lambda request: None).send(REQUEST, Timeouts())


def test_cancellation_comes_before_the_answer():
    """A cancelled async request takes no answer from the script."""
    transport = ScriptedTransport(json_response({}))

    async def cancelled():
        with anyio.CancelScope() as scope:
            scope.cancel()
            await transport.async_send(REQUEST, Timeouts())
        return scope.cancelled_caught

    assert anyio.run(cancelled)
    assert (transport.requests, transport.unused) == ([], 1)


def test_both_colours_and_closing():
    """It satisfies both interfaces and notes that it was closed."""
    for close in (lambda t: t.close(), lambda t: anyio.run(t.aclose)):
        transport = ScriptedTransport()
        assert isinstance(transport, Transport)
        assert isinstance(transport, AsyncTransport)
        assert not transport.closed
        close(transport)
        assert transport.closed


def test_json_responses():
    """Header fields are added to the content type, or replace it."""
    response = json_response({"a": "ü"}, status=400, headers={"retry-after": "5"})
    assert (response.status, response.headers["retry-after"]) == (400, "5")
    assert response.headers["content-type"] == "application/json"
    assert json_response({}, headers={"content-type": "text/plain"}).headers["content-type"] == "text/plain"
