"""What the other tests rely on: the watch sees planted code run, and everything else that must not happen."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.peers

ADDRESS = "https://planted.example/"
PLANTED = "<img src='data:,x' onerror=\"planted('image')\"><script>planted('script')</script>"


def planted(browsing: Any, body: str, policy: str | None = None) -> Any:
    page = browsing.open()
    headers = {"Content-Type": "text/html"} | ({"Content-Security-Policy": policy} if policy else {})
    page.route(f"{ADDRESS}**", lambda route: route.fulfill(body=f"<!doctype html>{body}", headers=headers))
    page.goto(ADDRESS)
    return browsing.watch


def test_code_that_runs_is_seen(browsing: Any) -> None:
    """Where markup is let through, the watch hears of it: from a handler, a script and a dialog."""
    watch = planted(browsing, f"{PLANTED}<script>alert('here')</script>")
    browsing.watches[-1].ran.sort()
    assert watch.ran == ["dialog here", "image", "script"]
    watch.ran.clear()


def test_code_in_a_frame_is_seen(browsing: Any) -> None:
    """It hears of what runs in frames, too."""
    watch = planted(browsing, f'<iframe src="data:text/html,{quote(PLANTED, safe="")}"></iframe>')
    assert sorted(watch.ran) == ["image", "script"]
    watch.ran.clear()


def test_what_a_policy_blocks_is_seen(browsing: Any) -> None:
    """Where a policy alone stops planted code, that is a fault of the page all the same."""
    watch = planted(browsing, PLANTED, policy="default-src 'none'")
    assert watch.ran == []
    assert any("script-src" in fault for fault in watch.faults), watch.faults
    assert any("img-src" in fault for fault in watch.faults), watch.faults
    watch.faults.clear()


def test_errors_are_seen(browsing: Any) -> None:
    """Uncaught errors, what is logged as an error, and statuses of errors are seen."""
    watch = planted(browsing, "<script>console.error('logged'); missing.call()</script>")
    assert any("logged" in fault for fault in watch.faults), watch.faults
    assert any("uncaught" in fault for fault in watch.faults), watch.faults
    watch.faults.clear()
