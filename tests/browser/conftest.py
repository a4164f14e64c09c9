"""Chromium, and the demo app beside its sandboxes; without Playwright and FastAPI nothing here can run."""

from __future__ import annotations

from importlib.util import find_spec

from browsers import browsing, chromium, demo, size

__all__ = ("browsing", "chromium", "demo", "size")

# Both come with the peers group only; the folder's tests are deselected wherever it is not installed.
collect_ignore_glob = [] if find_spec("playwright") and find_spec("fastapi") else ["test_*.py"]
