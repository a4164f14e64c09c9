"""For all tests: which rule of the specification each of them guards, and a hypothesis that is warm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says where to write what guards what."""
    parser.addoption(
        "--conformance-json",
        metavar="PATH",
        help="write the node ids of the collected tests for each conformance rule to PATH",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write it, once all are collected and some perhaps deselected."""
    found: dict[str, list[str]] = {}
    for item in session.items:
        for rule in dict.fromkeys(rule for marker in item.iter_markers("rule") for rule in marker.args):
            found.setdefault(rule, []).append(item.nodeid)
    ordered = {rule: sorted(nodes) for rule, nodes in sorted(found.items())}
    if session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        session.config.stash[_GUARDS] = ordered
    if (path := session.config.getoption("--conformance-json")) is not None:
        Path(path).write_text(json.dumps(ordered, indent=1), encoding="utf-8")


_GUARDS = pytest.StashKey[dict[str, list[str]]]()


@pytest.fixture(scope="session")
def collected_guards(request: pytest.FixtureRequest) -> dict[str, list[str]] | None:
    """The node ids of the tests of each rule, if this run has collected all tests; else None."""
    return request.config.stash.get(_GUARDS, None)


@pytest.fixture(autouse=True, scope="session")
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the command line keep its tokens elsewhere than those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let hypothesis make ready before it times anything."""
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        make_ready()


@cache
def make_ready() -> None:
    """
    Draw some text.

    With the first one, hypothesis makes its tables and reads all modules for constants. On a slow machine
    that takes seconds, and the test that happened to come first would be failed for it.
    """

    @settings(max_examples=1, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.text())
    def draw(text: str) -> None:
        assert text is not None

    draw()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a Redis server until the session ends."""
    from redis_server import RedisServer  # needs redis, which the core's tests do without

    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
