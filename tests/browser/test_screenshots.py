"""The documentation's pictures, taken anew with `make screenshots`; nothing else runs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from browsers import allow, choose_patient, log_in, sign_in, start

FOLDER = os.environ.get("SCREENSHOTS", "")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not FOLDER, reason="pictures are taken by: make screenshots"),
]


def take(page: Any, name: str, **options: Any) -> None:
    """Keep a picture of the page, or of a part of it."""
    from PIL import Image

    path = Path(FOLDER) / f"{name}.png"
    page.screenshot(path=path, animations="disabled", **options)
    with Image.open(path) as picture:
        # Few colours, and the rare ones among them: a line of a graph covers little.
        small = picture.convert("RGB").quantize(
            96, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    small.save(path, optimize=True)
    assert path.stat().st_size < 120_000, path.stat().st_size


def test_the_chart(browsing: Any, demo: Any, size: str) -> None:
    """The demo app's chart, on both screens; on a phone what one sees first."""
    page = browsing.open(size)
    log_in(page, demo)
    take(page, f"chart-{size}", full_page=size == "desktop")


def test_the_sandbox(browsing: Any, demo: Any) -> None:
    """Launcher, consent, and the inspector with one request unfolded."""
    page = browsing.open()
    start(page, demo)
    sign_in(page)
    choose_patient(page)
    take(page, "sandbox-consent", full_page=True)
    allow(page)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    page.goto(f"{demo.hospital.base_url}/?client=chart-viewer&patient=patient-fable")
    take(page, "sandbox-launcher", full_page=True)
    page.goto(f"{demo.hospital.base_url}/inspect?client=chart-viewer")
    page.locator("summary").filter(has_text="/oauth2/token").first.click()
    take(page.locator("details[open]").first, "sandbox-inspector")
