"""The sandbox on a real socket of this machine, and of this machine only."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from smart_async.errors import ConfigurationError
from smart_async.messages import is_loopback
from smart_async.sandbox.documents import NOTICE
from smart_async.sandbox.ehr import Sandbox
from smart_async.sandbox.wire import LINE, SocketLine

__all__ = ("serve",)

_log = logging.getLogger("smart_async.sandbox")
_START_TIMEOUT = 10.0


@contextmanager
def serve(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> Generator[Sandbox, None, None]:
    """
    Serve *sandbox* over plain http on a loopback address, in a thread, until the block ends.

    Within the block `sandbox.base_url` is the real address; afterwards it is what it was.

    Args:
        sandbox: The sandbox.
        host: A loopback host: `127.0.0.1`, `::1` or `localhost`.
        port: A port, or 0 for a free one.

    Yields:
        The sandbox.

    Raises:
        ConfigurationError: If the host is not loopback, or the port cannot be had.
    """
    if not is_loopback(host):
        raise ConfigurationError(
            f"The sandbox is not for production and listens on loopback only, not on {host!r}.",
            field="host",
            advice="Use 127.0.0.1, ::1 or localhost.",
        )
    listener = _listen(host, port)
    before = sandbox.base_url
    shown = f"[{host}]" if ":" in host else host
    sandbox.move(f"http://{shown}:{listener.getsockname()[1]}")
    try:
        with _running(_Server(_config(sandbox)), listener):
            _log.warning("%s Serving at %s, FHIR base %s.", NOTICE, sandbox.base_url, sandbox.fhir_base)
            yield sandbox
    finally:
        sandbox.move(before)
        listener.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.settled.set()


@contextmanager
def _running(server: _Server, listener: socket.socket) -> Generator[None, None, None]:
    thread = threading.Thread(target=server.run, args=([listener],), name="smart-async sandbox", daemon=True)
    thread.start()
    try:
        if not server.settled.wait(_START_TIMEOUT) or not server.started:
            raise ConfigurationError("The sandbox could not be started.", field="port")
        yield
    finally:
        server.should_exit = True
        thread.join()


def _config(sandbox: Sandbox) -> uvicorn.Config:
    return uvicorn.Config(
        _with_line(sandbox.app),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,  # the sandbox's clock makes it
        timeout_graceful_shutdown=1,
    )


def _with_line(app: Any) -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        # uvicorn hands out no connection, but its send is a method of the object that has it.
        scope[LINE] = SocketLine(send.__self__.transport)
        await app(scope, receive, send)

    return serve


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if not 0 <= port <= 65535:
            raise OSError("ports go from 0 to 65535")
        listener = socket.create_server((host, port), family=family)
    except OSError as exc:
        raise ConfigurationError(
            f"The sandbox cannot listen on {host}, port {port}: {exc}.",
            field="port",
            advice="Choose another port, or 0 for a free one.",
        ) from None
    # asyncio does so only for sockets that name their protocol; without it each answer waits for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
