"""Each store in turn, and what tests of several of them share."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from smart_async.stores import FileStore, MemoryStore

KINDS = ["memory", "file", "encrypted file", pytest.param("redis", marks=pytest.mark.peers)]


def load_peer() -> ModuleType:
    """Return tests/peers/redis_server.py."""
    path = Path(__file__).parents[1] / "peers/redis_server.py"
    spec = importlib.util.spec_from_file_location("redis_server_of_the_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(spec.name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "RedisServer"):
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a Redis server until the session ends."""
    server = load_peer().RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=KINDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Return a function that opens the same store once more, as another worker would."""
    kind, opened = request.param, []
    if kind == "memory":
        only = MemoryStore()
        make = lambda: only  # noqa: E731
    elif kind == "redis":
        from smart_async.stores import RedisStore

        server, prefix = request.getfixturevalue("redis_server"), f"test-{secrets.token_hex(8)}:"
        make = lambda: RedisStore(server.url(), prefix=prefix)  # noqa: E731
    else:
        key = secrets.token_bytes(32) if kind == "encrypted file" else None
        make = lambda: FileStore(tmp_path / "tokens", encryption_key=key)  # noqa: E731

    def opening() -> Any:
        opened.append(make())
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Any]) -> Any:
    """Return each store in turn."""
    return open_store()
