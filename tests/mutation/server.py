"""
Run tests over and over in one copy of the repository, each time in a fork of a process that is warm.

Started by run.py with the copy as its working directory. Imports what the tests import, but for our own
modules, and then forks for each request: a line of JSON in, a line of JSON out.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

MEMORY = 3 << 30
"""Bytes of address space; a mutant that repeats for ever must not take the machine with it."""

OPTIONS = (
    "-x",
    "-q",
    "--no-header",
    "--tb=line",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
    "--assert=plain",
)
_SHARED = (65537, 2048)
"""Exponent and bits of the keys that are made once for all."""
# Plugins are imported before pytest could rewrite their assertions, which it remarks on.
QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


class Chosen:
    """Keep the chosen tests, the quickest file first, and note how long each takes."""

    def __init__(self, nodes: list[str] | None) -> None:
        self.order = None if nodes is None else {node: place for place, node in enumerate(nodes)}
        self.seconds: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        order = self.order
        if order is not None:
            items[:] = sorted((i for i in items if i.nodeid in order), key=lambda item: order[item.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def run(request: dict[str, Any], output: str) -> None:
    """Run the tests of *request* and end this process, which is the fork."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Path(output).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import pytest
    from hypothesis import HealthCheck, settings
    from hypothesis.internal.conjecture import providers

    settings.register_profile(
        "mutate",
        max_examples=30,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutate")
    # It would read all our modules anew each time, for the constants in them.
    providers._get_local_constants = providers.Constants  # type: ignore[assignment]  # replaced on purpose
    chosen = Chosen(request["nodes"])
    sys.dont_write_bytecode = request["file"] is not None
    status = pytest.main([*OPTIONS, *QUIET, *request["options"], *request["paths"]], plugins=[chosen])
    if request["notes"]:
        ours = f"{Path.cwd()}{os.sep}"
        modules = [
            name
            for name, module in list(sys.modules.items())
            if (file := getattr(module, "__file__", None)) and not file.startswith(ours)
        ]
        Path(request["notes"]).write_text(json.dumps({"seconds": chosen.seconds, "modules": modules}))
    sys.stdout.flush()
    os._exit(int(status))


def wait(child: int, seconds: float) -> int | None:
    """Return the exit status of *child*, None when the time was up; its own children end with it."""
    until = time.monotonic() + seconds
    status: int | None = None
    while time.monotonic() < until:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
            break
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return status


def share_keys() -> None:
    """Make some RSA keys, which the tests of each fork then find made: they are half of what those take."""
    rsa: Any = sys.modules.get("cryptography.hazmat.primitives.asymmetric.rsa")
    if rsa is None:
        return
    make = rsa.generate_private_key
    made = iter([make(*_SHARED) for _ in range(8)])

    def generate(public_exponent: int, key_size: int, *rest: Any) -> Any:
        found = next(made, None) if (public_exponent, key_size) == _SHARED else None
        return found or make(public_exponent, key_size, *rest)

    rsa.generate_private_key = generate


def tidy(kept: frozenset[str]) -> None:
    """Remove what a mutant put into the copy instead of where it belongs: the next one would find it."""
    for path in Path.cwd().iterdir():
        if path.name not in kept:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def serve() -> None:
    """Answer requests until there are no more."""
    replies = os.fdopen(os.dup(1), "w")
    kept = frozenset(path.name for path in Path.cwd().iterdir())
    os.dup2(2, 1)
    output = f"{Path.cwd()}.out"
    for line in sys.stdin:
        request = json.loads(line)
        for name in request.get("preload", ()):
            with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
                importlib.import_module(name)
        if request.get("preload"):
            share_keys()
        gc.freeze()
        started = time.monotonic()
        path = Path(request["file"]) if request["file"] else None
        whole = path.read_text("utf-8") if path else ""
        if path:
            path.write_text(request["source"], "utf-8")
        try:
            child = os.fork()
            if child == 0:
                try:
                    run(request, output)
                finally:
                    os._exit(70)
            status = wait(child, request["seconds"])
        finally:
            if path:
                path.write_text(whole, "utf-8")
            tidy(kept)
        tail = Path(output).read_text("utf-8", "replace")[-6000:]
        replies.write(
            json.dumps({"status": status, "output": tail, "seconds": time.monotonic() - started}) + "\n"
        )
        replies.flush()


if __name__ == "__main__":
    serve()
