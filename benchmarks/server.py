"""
A trivial server on loopback, in a process of its own: one answer for each path, and no work.

    python -m benchmarks.server        prints its port, and ends when its standard input does
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from benchmarks.matter import PATIENT, TOKEN, discovery
from benchmarks.net import answer

__all__ = ("served",)


class Trivial(asyncio.Protocol):
    """
    One connection.

    Args:
        answers: What each path is answered with.
    """

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer += data
        while (request := self._next()) is not None:
            path = request.split(b" ", 2)[1].rpartition(b"/")[2]
            # Set by connection_made, before any data can come.
            self._transport.write(self._answers[path])  # type: ignore[attr-defined]

    def _next(self) -> bytes | None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        lengths = (
            line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-le")
        )
        length = int(next(lengths, b"0"))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        return head


async def serve() -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    answers: dict[bytes, bytes] = {}
    server = await loop.create_server(lambda: Trivial(answers), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers |= {
        b"smart-configuration": answer(discovery(f"http://127.0.0.1:{port}")),
        b"token": answer(TOKEN),
        b"p1": answer(PATIENT),
    }
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def served() -> Iterator[str]:
    """Run the server, and give its origin."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


if __name__ == "__main__":
    asyncio.run(serve())
