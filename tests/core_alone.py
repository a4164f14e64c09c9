"""
Run the core's tests with the four runtime packages alone: `make test-core`.

A test outside the pure rooms that needs an extra is skipped, and says which one. In the pure rooms there
is no such excuse: there a missing module fails the test.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

PURE = ("errors", "limits", "messages", "interfaces", "flow", "keys", "smart")
"""Rooms whose tests must pass without any extra."""

ROOMS = (*PURE, "transports", "signers", "stores", "files", "clients")
"""Rooms whose tests run; those that need an extra are skipped."""

EXTRAS = {
    "boto3": "aws-kms", "botocore": "aws-kms", "httpx2": "httpx2", "jinja2": "sandbox", "pkcs11": "pkcs11",
    "rich": "cli", "redis": "redis", "starlette": "sandbox", "typer": "cli", "uvicorn": "sandbox",
}  # fmt: skip
"""Import names of what the extras bring, and the extra that brings it."""

PIP_LINE = re.compile(r"pip install \"smart-async\[([a-z0-9-]+)\]\"")

ROOT = Path(__file__).parent.parent


def may_skip(path: Path) -> bool:
    """Return whether a test at *path* may need an extra."""
    parts = {part.removesuffix(".py").removeprefix("test_") for part in path.relative_to(ROOT).parts}
    return not parts & set(PURE)


def missing_extra(error: BaseException | None) -> str | None:
    """Return the reason why *error* is an extra's absence, or None."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in EXTRAS:
            return f"needs the extra {EXTRAS[str(error.name).partition('.')[0]]}"
        # The library's own error names the pip line.
        if type(error).__name__ == "ConfigurationError" and (named := PIP_LINE.search(str(error))):
            return f"needs the extra {named[1]}"
        # A doctest wraps what its example raised.
        wrapped = getattr(error, "exc_info", (None, None))[1]
        error = wrapped or error.__cause__ or error.__context__
    return None


class SkipExtras:
    """Turn what fails for want of an extra into a skip with its reason."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._watch(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._watch(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        report = yield
        error = report.call.excinfo.value if report.failed and hasattr(report, "call") else None
        reason = missing_extra(error)
        if reason and may_skip(collector.path):
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 0, f"Skipped: {reason}")
        return report

    def _watch(self, item: pytest.Item) -> Generator[None, Any, Any]:
        try:
            return (yield)
        except Exception as error:
            reason = missing_extra(error)
            if reason is None or not may_skip(item.path):
                raise
            pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the run."""
    config.pluginmanager.register(SkipExtras())


def main() -> int:
    """Run the tests; 2 if this environment holds an extra's packages, and so proves nothing."""
    present = sorted(name for name in EXTRAS if importlib.util.find_spec(name))
    if present:
        print(f"Installed here: {', '.join(present)}. Run this through: make test-core", file=sys.stderr)
        return 2
    candidates = [
        ROOT / folder / pattern.format(room)
        for room in ROOMS
        for folder, pattern in (
            ("tests", "{}"), ("tests", "test_{}.py"), ("smart_async", "{}"), ("smart_async", "{}.py"),
        )
    ]  # fmt: skip
    paths = [str(path.relative_to(ROOT)) for path in candidates if path.exists()]
    # As a plugin by name, which the worker processes load as well.
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    sys.path.insert(0, os.environ["PYTHONPATH"])
    arguments = sys.argv[1:] or ["-n", "auto", "--dist", "worksteal", *paths]
    return int(pytest.main(["-q", "-p", "core_alone", *arguments]))


if __name__ == "__main__":
    sys.exit(main())
