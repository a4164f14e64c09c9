"""A way to run commands in this process and in one of their own, and a sandbox to run them against."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from smart_async.cli.app import app
from smart_async.files import write_private_key
from smart_async.keys import SigningKey, public_jwks
from smart_async.sandbox import Sandbox, serve

CLEAN = ("SMART_", "FHIR_BASE_URL", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "PY_COLORS", "GITHUB_ACTIONS")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path.parent / f"{tmp_path.name}-state"))
    for name in list(os.environ):
        if name.startswith(CLEAN):
            monkeypatch.delenv(name)


@pytest.fixture
def run() -> Callable[..., Any]:
    """Return a function that runs a command in this process."""
    return lambda *words, **extra: CliRunner().invoke(app, [str(word) for word in words], **extra)


@pytest.fixture
def script() -> Callable[..., Any]:
    """Return a function that runs `python -m smart_async` in a process of its own."""

    def start(*words: object, python: tuple[str, ...] = ("-m", "smart_async"), **env: str) -> Any:
        return subprocess.run(
            [sys.executable, *python, *map(str, words)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return start


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """Return a sandbox on a loopback port."""
    with serve(Sandbox()) as sandbox:
        yield sandbox


@pytest.fixture
def registered(served: Sandbox, tmp_path: Path) -> SimpleNamespace:
    """Return a registered client: its key file, and the words that name it to `token`."""
    key = SigningKey.generate("ES384", kid="cli-key")
    path = tmp_path / "key.pem"
    write_private_key(path, key)
    served.register_client(client_id="cli-app", jwks=public_jwks([key]))
    words = ["--fhir-base", served.fhir_base, "--allow-insecure-loopback", "--client-id", "cli-app"]
    return SimpleNamespace(path=path, words=[*words, "--key", str(path), "--kid", "cli-key"])
