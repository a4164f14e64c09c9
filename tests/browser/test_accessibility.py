"""axe-core finds nothing to object to on any page: names, landmarks, contrast, order, on both screens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browsers import allow, choose_patient, log_in, sign_in, start
from node import install

pytestmark = pytest.mark.peers

HERE = Path(__file__).parent
RUN = """
async (options) => (await axe.run(document, options)).violations.map((each) =>
  `${each.id}: ${each.help} at ${each.nodes.map((node) => node.target.join(' ')).join(', ')}`)
"""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core, installed once."""
    install(HERE)
    return (HERE / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def objections(page: Any, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[str] = page.evaluate(RUN, {"runOnly": TAGS, "resultTypes": ["violations"]})
    return [f"{page.url.partition('?')[0]}: {each}" for each in found]


def test_axe_sees_what_is_wrong(browsing: Any, axe: str) -> None:
    """A page without a title, with an unnamed picture and grey on grey, is objected to for each of them."""
    page = browsing.open()
    page.set_content("<html><body style='background:#888;color:#999'><img src='data:,'>Text</body></html>")
    found = " ".join(objections(page, axe))
    for rule in ("document-title", "html-has-lang", "image-alt", "color-contrast", "landmark-one-main"):
        assert f"{rule}:" in found, found


@pytest.mark.parametrize(("size", "dark"), [("phone", False), ("desktop", True)])
def test_every_page_of_a_login(browsing: Any, demo: Any, axe: str, size: str, dark: bool) -> None:
    """From the app's front page to the chart and out again."""
    page = browsing.open(size, dark=dark)
    page.goto(demo.app_url)
    found = objections(page, axe)
    start(page, demo)
    found += objections(page, axe)
    sign_in(page)
    found += objections(page, axe)
    choose_patient(page)
    found += objections(page, axe)
    allow(page)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    page.get_by_text("Blood pressure as a table").click()
    found += objections(page, axe)
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    found += objections(page, axe)
    page.goto(f"{demo.app_url}/smart/login")
    found += objections(page, axe)
    page.goto(f"{demo.app_url}/smart/launch?iss=https%3A%2F%2Felsewhere.example&launch=x")
    found += objections(page, axe)
    browsing.watch.expect(400)
    assert found == []


@pytest.mark.parametrize(("size", "dark"), [("phone", False), ("desktop", True)])
def test_every_page_of_the_sandbox(browsing: Any, demo: Any, axe: str, size: str, dark: bool) -> None:
    """The launcher, the apps, the faults, and the inspector with a login to look at."""
    page = browsing.open(size, dark=dark)
    log_in(page, demo)
    found = []
    for path in ("/", "/clients", "/faults", "/inspect"):
        page.goto(f"{demo.hospital.base_url}{path}")
        for summary in page.locator("summary").all()[:3]:
            summary.click()
        found += objections(page, axe)
    assert found == []
