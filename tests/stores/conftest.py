"""Each store in turn, and what tests of several of them share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smart_async.stores import FileStore, MemoryStore

KINDS = ["memory", "file", "encrypted file", pytest.param("redis", marks=pytest.mark.peers)]


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
