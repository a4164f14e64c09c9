"""
Row 5: what a new process pays before it can work: the imports, and all the way to its first token.

Both sides are processes of their own, one after the other in alternating rounds. Imports are the processor
time of the import statement alone; a whole process is all the processor time it used, from start to end.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.matter import pem
from benchmarks.measure import Effort, Pairs, Result, compared
from benchmarks.server import served

ROW = 5
IMPORT_LIMIT, PROCESS_LIMIT = 0.25, 1.0
OURS = "from smart_async import SmartClient, SmartConfig, PrivateKeyJWT, SigningKey"
IMPORTS = {
    "httpx + joserfc + anyio": ("import httpx, anyio; from joserfc import jwt, jwk", IMPORT_LIMIT),
    "Authlib": (
        "from authlib.integrations.httpx_client import OAuth2Client\n"
        "from authlib.oauth2.rfc7523 import PrivateKeyJWT",
        None,
    ),
    "MSAL": ("from msal import ConfidentialClientApplication", None),
    "fhirclient": ("from fhirclient import client", None),
}
COLD = Path(__file__).parent.parent / "cold"
ROUNDS = 9

# Bytecode is there when a process starts, as pip leaves it: one run of each comes before the first round.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def import_seconds(statement: str) -> float:
    """Return the processor seconds that a new interpreter takes for *statement*."""
    code = f"import time\nstarted = time.process_time()\n{statement}\nprint(time.process_time() - started)"
    command = [sys.executable, "-c", code]
    return float(subprocess.check_output(command, text=True, env=ENVIRONMENT))


def process_seconds(script: str, *arguments: str) -> float:
    """Return the processor seconds of a whole process that runs *script*, one of `COLD`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, COLD / script, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def paired(ours: Callable[[], float], baseline: Callable[[], float], rounds: int) -> Pairs:
    """Return the rounds of two processes that take turns, after one of each."""
    ours(), baseline()
    return Pairs(tuple((ours(), baseline()) for _ in range(rounds)))


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    rounds = effort.at_most(ROUNDS)
    for name, (statement, limit) in IMPORTS.items():
        pairs = paired(partial(import_seconds, OURS), partial(import_seconds, statement), rounds)
        yield compared(ROW, "imports", name, pairs, limit=limit, unit="ms")
    with tempfile.TemporaryDirectory() as folder, served() as origin:
        for script, name, kind, limit in (
            ("by_hand.py", "httpx + joserfc", "ES384", PROCESS_LIMIT),
            ("with_authlib.py", "Authlib", "RSA-2048", None),
        ):
            key = Path(folder, f"{kind}.pem")
            key.write_bytes(pem(kind))
            arguments = (f"{origin}/r4", str(key))
            ours = partial(process_seconds, "ours.py", *arguments)
            pairs = paired(ours, partial(process_seconds, script, *arguments), rounds)
            yield compared(ROW, f"process to its first token, {kind}", name, pairs, limit=limit, unit="ms")
