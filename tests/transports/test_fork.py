"""A process that forks does not share its connections with its child."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import Httpx2Transport, HttpxTransport

BLOCKING = """
import os, sys
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import {kind}

request = Request(method="GET", url=sys.argv[1], purpose="discovery")
transport = {kind}()
assert transport.send(request, Timeouts()).status == 200
child = os.fork()
status = transport.send(request, Timeouts()).status
transport.close()
if not child:
    os._exit(0 if status == 200 else 1)
assert os.waitpid(child, 0)[1] == 0
print(status)
"""

ASYNC = """
import os, sys, anyio
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.transports import {kind}

request = Request(method="GET", url=sys.argv[1], purpose="discovery")
transport = {kind}()

async def ask(last):
    status = (await transport.async_send(request, Timeouts())).status
    if last:
        await transport.aclose()
    return status

async def parent():
    assert await ask(False) == 200
    child = os.fork()
    if not child:
        os._exit(anyio_in_child())
    assert os.waitpid(child, 0)[1] == 0
    print(await ask(True))

def anyio_in_child():
    import asyncio, threading
    asyncio._set_running_loop(None)
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(asyncio.run(ask(True))))
    thread.start()
    thread.join()
    return 0 if statuses == [200] else 1

anyio.run(parent)
"""


@pytest.mark.parametrize("library", ["Httpx", "Httpx2"])
@pytest.mark.parametrize("script", [BLOCKING, ASYNC], ids=["blocking", "async"])
def test_a_fork_drops_the_connections(servers, library, script):
    """Parent keeps its connection, child opens its own; two processes on one would mix up answers."""
    pytest.importorskip(library.lower(), reason=f"needs the extra {library.lower()}")
    server = servers.honest()
    kind = f"{'Async' if script is ASYNC else ''}{library}Transport"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script.format(kind=kind), server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "200", "")
    assert (len(server.requests), server.connections) == (3, 2)


@pytest.mark.parametrize("kind", [HttpxTransport, Httpx2Transport])
def test_another_process_gets_its_own_connections(servers, kind):
    """What a fork does, seen from within one process: the old connections are closed, new ones opened."""
    server = servers.honest()
    request = Request(method="GET", url=server.url, purpose="discovery")
    with kind() as transport:
        transport.send(request, Timeouts())
        (inherited,) = transport._slots.backend._streams
        transport._pid = -1
        transport.send(request, Timeouts())
        assert inherited.get_extra_info("socket").fileno() == -1
        assert server.connections == 2
