"""`make demo-web` as it is run: the program says what to open, serves it, and ends with Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from browsers import log_in

pytestmark = pytest.mark.peers

PROGRAM = Path(__file__).parents[2] / "docs/examples/demo_web.py"


class Started:
    """What the program said that it serves."""

    def __init__(self, app_url: str) -> None:
        self.app_url = app_url


def test_it_runs_until_it_is_interrupted(browsing: Any) -> None:
    """A login works at the printed address; Ctrl-C ends app and sandboxes without complaint."""
    ports = ("--port", "0", "--hospital-port", "0", "--clinic-port", "0")
    with subprocess.Popen(
        [sys.executable, "-W", "error", PROGRAM, *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", program.stdout.readline())
            assert found is not None
            page = browsing.open()
            log_in(page, Started(found[0]))
            page.wait_for_load_state("networkidle")  # its icon may still be on the way
            page.close()
            program.send_signal(signal.SIGINT)
            assert program.wait(20) == 0
            assert program.stderr is not None
            out, err = program.stdout.read(), program.stderr.read()
        finally:
            program.kill()
    assert "Ctrl-C ends all three." in out
    assert all(line.startswith("smart-async sandbox:") for line in err.splitlines()), err


def test_it_refuses_a_port_that_is_taken() -> None:
    """Asked for a port that somebody has, it says so; the usual ones it replaces by free ones."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, PROGRAM, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"Port {port} on 127.0.0.1 cannot be had: choose another.")
