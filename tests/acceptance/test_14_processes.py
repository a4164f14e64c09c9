"""
Eight processes renew one session, and one of them is killed in the middle.

The server rotates the refresh token at each renewal and revokes the login when it sees one twice. It runs
here, on loopback; the processes share a folder or a Redis server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from renewing_worker import open_store
from rotating import RotatingServer, config_for

from smart_async import SigningKey, SmartClient
from smart_async.files import write_private_key
from smart_async.limits import Timeouts
from smart_async.messages import Request

WORKER = Path(__file__).parents[1] / "support/renewing_worker.py"
PROCESSES, EACH = 8, 25
TRAP = 20
"""Which token request costs its sender the life: nobody can be done by then."""
LEASE = 6.0
"""Seconds that a lease lasts in Redis, for these tests: longer than a busy machine lets one of many wait."""


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the `RotatingServer`, or to the trap that is set."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the discovery request."""
        self._answer("GET", None)

    def do_POST(self) -> None:
        """Answer a token request."""
        self._answer("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, method: str, body: bytes | None) -> None:
        if method == "POST" and not self.server.lets_pass(int(self.headers.get("X-Worker", "0"))):
            self.close_connection = True
            return
        request = Request(method=method, url=self.server.base + self.path, purpose="token", body=body)
        response = self.server.model.send(request, Timeouts())
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """The authorization server on a free port, with a trap for one worker."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server_address[1]}"
        self.model = RotatingServer(self.base)
        self.trap_at: int | None = None
        self.killed_at: float | None = None
        self.killed: int | None = None
        self._seen = 0
        self._turn = threading.Lock()

    def lets_pass(self, worker: int) -> bool:
        """Return whether a token request is answered; the one at the trap costs its sender the life."""
        with self._turn:
            self._seen += 1
            if self._seen != self.trap_at:
                return True
            os.kill(worker, signal.SIGKILL)
            self.killed, self.killed_at = worker, time.monotonic()
            return False


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.peers)])
def store_spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the workers share their tokens."""
    if request.param == "file":
        return str(tmp_path / "tokens")
    url: str = request.getfixturevalue("redis_server").url()
    return url


class Crew:
    """The workers of one test."""

    def __init__(self, server: Server, spec: str, folder: Path, grace: str = "") -> None:
        self.store = open_store(spec, LEASE)
        key = SigningKey.generate("ES384", kid="key-1")
        self.pem = folder / "key.pem"
        write_private_key(self.pem, key)
        config = config_for(server.model, key, allow_insecure_loopback=True)
        self.client = SmartClient(config, store=self.store)
        self.session = self.client.session(server.model.login(now=time.time()))
        self.session.get_token()
        arguments = [server.base, spec, str(LEASE), str(self.pem), self.session.key, str(EACH), grace]
        self.command = [sys.executable, str(WORKER), *arguments]

    def close(self) -> None:
        """Close what is open."""
        self.client.close()
        self.store.close()

    def work(self) -> tuple[dict[int, list[dict[str, Any]]], dict[int, int]]:
        """Run all workers to their end; return what each said and how it ended."""
        processes = [
            subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
        ]
        said: dict[int, list[dict[str, Any]]] = {}

        def listen(process: subprocess.Popen[str]) -> None:
            said[process.pid] = [json.loads(line) for line in process.stdout or () if line.endswith("\n")]

        threads = [threading.Thread(target=listen, args=(process,)) for process in processes]
        for thread in threads:
            thread.start()
        for process, thread in zip(processes, threads, strict=True):
            process.wait(100)
            thread.join()
            process.stdout.close()
        return said, {process.pid: process.returncode for process in processes}


@pytest.fixture
def crew(server: Server, store_spec: str, tmp_path: Path) -> Iterator[Crew]:
    """Workers for either store."""
    crew = Crew(server, store_spec, tmp_path)
    yield crew
    crew.close()


def test_nothing_is_sent_twice(server, crew):
    """Eight processes, 25 refreshes each: 200 rotations, no refresh token sent twice."""
    said, ended = crew.work()
    assert set(ended.values()) == {0}
    assert [lines[-1]["done"] for lines in said.values()] == [EACH] * PROCESSES
    assert server.model.grants == ["refresh_token"] * (PROCESSES * EACH)
    assert server.model.replays == []
    assert server.model.good(crew.client.load_session(crew.session.key).token)


def test_killed_in_the_middle(server, crew, store_spec):
    """A worker dies while its refresh token is under way: the others say so at once, and send nothing."""
    server.trap_at = TRAP
    said, ended = crew.work()
    others = [pid for pid in ended if pid != server.killed]
    assert ended[server.killed] == -signal.SIGKILL
    assert [ended[pid] for pid in others] == [1] * (PROCESSES - 1)
    last = [said[pid][-1] for pid in others]
    assert {line["outcome"].split(":")[0] for line in last} == {"OutcomeUnknownError"}
    # The kernel frees a dead process's lock at once; in Redis its lease has to run out.
    waited = min(line["at"] for line in last) - server.killed_at
    # A second, and on a busy machine as much more as its slowest turns took without anybody dying.
    before = sorted(line["at"] for lines in said.values() for line in lines if line["at"] < server.killed_at)
    slow = 3 * max(later - earlier for earlier, later in pairwise(before))
    assert waited < (LEASE if store_spec.startswith("redis") else 0) + 1.0 + slow
    assert server.model.replays == []
    # Here the server had not taken it. The refresh token is kept, and works if somebody says so.
    session = crew.client.load_session(crew.session.key)
    assert server.model.good(session.token)
    assert server.model.good(session.renew(after_unknown=True))


def test_killed_where_servers_forgive(server, tmp_path):
    """With the grace try the others go on by themselves: one repetition, which the server had not seen."""
    crew = Crew(server, str(tmp_path / "tokens"), tmp_path, grace="grace")
    server.trap_at = TRAP
    said, ended = crew.work()
    assert sorted(ended.values()) == [-signal.SIGKILL] + [0] * (PROCESSES - 1)
    assert [said[pid][-1]["done"] for pid in ended if pid != server.killed] == [EACH] * (PROCESSES - 1)
    assert server.model.replays == []
    crew.close()
