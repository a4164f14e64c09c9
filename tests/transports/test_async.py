"""What only the async transports can get wrong: cancellation, loops, blocking."""

from __future__ import annotations

import asyncio
import gc
import threading

import anyio
import pytest

from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import AsyncHttpx2Transport, AsyncHttpxTransport

pytestmark = pytest.mark.anyio

KINDS = pytest.mark.parametrize("kind", [AsyncHttpxTransport, AsyncHttpx2Transport])


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def request_to(server, **fields):
    return Request(method="GET", url=f"{server.url}/r4", purpose="discovery", **fields)


@KINDS
@pytest.mark.parametrize("kept", [False, True])
async def test_cancellation_at_each_step(kind, servers, kept):
    """Wherever a request is cancelled, the next one gets its only connection, or a new one, at once."""
    server = servers.honest()
    async with kind(max_connections=1) as transport:
        for steps in range(60):
            if kept:
                await transport.async_send(request_to(server), Timeouts())
            async with anyio.create_task_group() as group:
                group.start_soon(transport.async_send, request_to(server), Timeouts())
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert (await transport.async_send(request_to(server), Timeouts(pool=5))).status == 200


@pytest.mark.parametrize("kind", [AsyncHttpxTransport, AsyncHttpx2Transport])
def test_native_cancellation_at_each_step(kind, servers):
    """The same holds for a task that asyncio itself cancels, which no scope of anyio shields."""
    server = servers.honest()

    async def cancel_everywhere():
        async with kind(max_connections=1) as transport:
            for steps in range(60):
                task = asyncio.create_task(transport.async_send(request_to(server), Timeouts()))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert (await transport.async_send(request_to(server), Timeouts(pool=5))).status == 200

    asyncio.run(cancel_everywhere())


@KINDS
async def test_cancellation_in_mid_request(kind, servers):
    """A request that is cancelled while the server thinks lets go of its connection at once."""
    arrived, hung_up = threading.Event(), threading.Event()

    def behave(connection):
        connection.read_request()
        arrived.set()
        while connection.sock.recv(100):
            pass
        hung_up.set()

    server = servers.start(behave)
    async with kind(max_connections=1) as transport:
        async with anyio.create_task_group() as group:
            group.start_soon(transport.async_send, request_to(server), Timeouts())
            assert await anyio.to_thread.run_sync(arrived.wait, 10)
            group.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(hung_up.wait, 10)
        honest = servers.honest()
        assert (await transport.async_send(request_to(honest), Timeouts())).status == 200


@KINDS
async def test_a_cancelled_request_does_not_disturb_its_neighbour(kind, servers):
    """A pool with a cancelled request is kept until the other requests in it are over."""
    go, both = threading.Event(), threading.Barrier(3)

    def behave(connection):
        request = connection.read_request()
        both.wait(10)
        go.wait(10)
        if b"neighbour" in request:
            connection.reply(b"undisturbed")

    server = servers.start(behave)
    answers = []
    async with kind() as transport:

        async def neighbour():
            request = Request(method="GET", url=f"{server.url}/neighbour", purpose="token")
            answers.append((await transport.async_send(request, Timeouts())).body)

        async with anyio.create_task_group() as group:
            group.start_soon(neighbour)
            async with anyio.create_task_group() as doomed:
                doomed.start_soon(transport.async_send, request_to(server), Timeouts())
                await anyio.to_thread.run_sync(both.wait, 10)
                doomed.cancel_scope.cancel()
            go.set()
    assert answers == [b"undisturbed"]


@KINDS
async def test_no_generator_is_left_behind(kind, servers):
    """A body that is not read to its end leaves nothing for the garbage collector to complain about."""
    server = servers.honest(b"x" * 1_000_000)
    async with kind() as transport:
        with pytest.raises(TransportError):
            await transport.async_send(request_to(server), Timeouts())
        gc.collect()
        await anyio.lowlevel.checkpoint()


@KINDS
async def test_no_generator_is_left_behind_by_a_cancelled_body(kind, servers):
    """Wherever a POST is cancelled, its body leaves nothing for the garbage collector either."""
    server = servers.honest()
    async with kind() as transport:
        request = Request(method="POST", url=server.url, purpose="token", body=b"x" * 1000, fresh=True)
        for steps in range(40):
            async with anyio.create_task_group() as group:
                group.start_soon(transport.async_send, request, Timeouts())
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
        gc.collect()
        await anyio.lowlevel.checkpoint()


@KINDS
async def test_errors_come_alone(kind, servers):
    """No exception group comes out, even where several addresses were tried."""
    server = servers.honest()
    server.close()
    url = f"http://localhost:{server.port}/"
    async with kind() as transport:
        with pytest.raises(TransportError) as caught:
            await transport.async_send(Request(method="GET", url=url, purpose="token"), Timeouts())
    assert caught.value.sent is False
    assert caught.value.__context__ is None


@KINDS
async def test_closing_twice_and_unused(kind):
    """A transport that was never used can be closed, twice."""
    transport = kind()
    await transport.aclose()
    await transport.aclose()


@pytest.mark.parametrize("kind", [AsyncHttpxTransport, AsyncHttpx2Transport])
def test_one_loop_after_another(kind, servers, anyio_backend):
    """One transport serves several event loops in turn, and forgets those that are over."""
    server = servers.honest()
    transport, tokens = kind(), []

    async def use():
        tokens.append(anyio.lowlevel.current_token())
        request = request_to(server, fresh=True)
        return (await transport.async_send(request, Timeouts())).status

    assert [anyio.run(use, backend=anyio_backend) for _ in range(3)] == [200] * 3
    assert server.connections == 3
    if anyio_backend == "asyncio":
        assert len(transport._loops) == 1


@KINDS
async def test_another_process_gets_its_own_connections(kind, servers):
    """In a process that is not the one it was used in, a transport opens connections anew."""
    server = servers.honest()
    async with kind() as transport:
        await transport.async_send(request_to(server), Timeouts())
        (parents,) = transport._loops.values()
        transport._pid = -1
        await transport.async_send(request_to(server), Timeouts())
        assert server.connections == 2
        await parents.aclose()


@KINDS
async def test_the_loop_is_not_blocked(kind, servers, anyio_backend, authority, ca_file):
    """Loading the library and reading certificates happens off the event loop."""
    if anyio_backend == "trio":
        pytest.skip("blockbuster watches asyncio")
    import blockbuster

    server = servers.honest(cert=authority.issue_cert("127.0.0.1"))
    with blockbuster.blockbuster_ctx("smart_async"):
        async with kind(ca_file=ca_file) as transport:
            assert (await transport.async_send(request_to(server), Timeouts())).status == 200
    assert asyncio.get_running_loop().is_running()
