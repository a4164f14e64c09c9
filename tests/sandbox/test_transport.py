"""The sandbox without a socket: plain code, asyncio, trio."""

from __future__ import annotations

import asyncio
import json
import threading

import anyio
import pytest

from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.sandbox import Sandbox
from smart_async.sandbox.transport import SandboxTransport


def discovery(sandbox, **changes):
    url = f"{sandbox.fhir_base}/.well-known/smart-configuration"
    return Request(**{"method": "GET", "url": url, "purpose": "discovery", **changes})


def test_without_an_event_loop(sandbox):
    """A request from plain code is answered, and no event loop is made for it."""
    response = sandbox.transport().send(discovery(sandbox), Timeouts())
    assert (response.status, json.loads(response.body)["issuer"]) == (200, sandbox.issuer)
    assert response.url == discovery(sandbox).url
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_async(sandbox, hand, anyio_backend):
    """The same transport answers under asyncio and trio, many requests at a time."""
    transport, statuses = sandbox.transport(), []

    async def one():
        statuses.append((await transport.async_send(discovery(sandbox), Timeouts())).status)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    await transport.aclose()
    assert statuses == [200] * 20


def test_threads(hand):
    """Threads that replay one assertion get exactly one token between them."""
    fields = {"grant_type": "client_credentials", "scope": "system/*.rs", **hand.proof()}
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(hand.post(fields).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [401] * 7


@pytest.mark.parametrize(
    "url", ["https://other.example/fhir/metadata", "https://sandbox.example:444/fhir/metadata"]
)
def test_other_origins_are_out_of_reach(sandbox, url):
    """A request to another origin surely was not sent."""
    with pytest.raises(TransportError) as caught:
        sandbox.transport().send(discovery(sandbox, url=url), Timeouts())
    assert caught.value.sent is False
    assert sandbox.requests == []


def test_the_default_port_is_the_same_origin(sandbox):
    """An origin with its scheme's own port is the same origin."""
    request = discovery(sandbox, url="https://SANDBOX.example:443/fhir/metadata")
    assert sandbox.transport().send(request, Timeouts()).status == 200


def test_closed(sandbox):
    """A closed transport sends nothing."""
    transport = sandbox.transport()
    transport.close()
    with pytest.raises(TransportError) as caught:
        transport.send(discovery(sandbox), Timeouts())
    assert (caught.value.sent, sandbox.requests) == (False, [])


def test_too_large_an_answer(sandbox):
    """An answer larger than the request allows is an error."""
    with pytest.raises(TransportError) as caught:
        sandbox.transport().send(discovery(sandbox, max_bytes=10), Timeouts())
    assert caught.value.status == 200


def test_an_app_that_waits_is_a_mistake():
    """An app that suspends cannot be driven without a loop, and says so."""

    async def waits(scope, receive, send):
        await asyncio.sleep(1)

    class Never:
        def __await__(self):
            yield

    async def suspends(scope, receive, send):
        await Never()

    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match="waited for something"):
        SandboxTransport(suspends, sandbox._place).send(discovery(sandbox), Timeouts())


def test_unknown_paths(hand):
    """A path that nobody serves is a 404."""
    assert hand.send("GET", hand.sandbox.base_url + "/nothing").status == 404


def test_body_is_bounded(hand):
    """No more than 256 KiB of a body are kept."""
    response = hand.send("POST", hand.sandbox.token_endpoint, body=b"a" * 300_000)
    assert (response.status, len(hand.sandbox.requests[-1].body)) == (400, 256 * 1024 + 1)
