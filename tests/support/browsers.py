"""
A headless Chromium that notes everything a page must not do: run planted code, break its policy, log errors.

A folder of tests takes the fixtures into its conftest.py.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from demo_web import Demo
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 800}}
"""The two screens on which layout is looked at."""

_CONSENT = re.compile(r"/login/[^/]+/consent$")
_BLOCKED = """
document.addEventListener('securitypolicyviolation', (event) =>
  noteBlocked(`${event.effectiveDirective} blocked ${event.blockedURI} on ${document.URL.split('?')[0]}`));
"""


class Watch:
    """
    What the pages of one browser context did that they must not do.

    Attributes:
        ran: What planted code called out.
        faults: Blocked requests, errors on the console, uncaught errors, dialogs, failed requests.
        refused: The statuses of 400 and above that came.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.ran: list[str] = []
        self.faults: list[str] = []
        self.refused: list[int] = []
        context.expose_function("planted", lambda where: self.ran.append(where))
        context.expose_function("noteBlocked", lambda what: self.faults.append(what))
        context.add_init_script(_BLOCKED)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        context.on("dialog", self._dialog)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        # That a page came with an error's status is noted below, and expected by some tests.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"console: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.ran.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _failed(self, request: Request) -> None:
        # A click on the way to the first click's page aborts that one.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {urlsplit(request.url).path} {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.refused.append(response.status)

    def expect(self, *statuses: int) -> None:
        """Take these statuses of errors, and no others, as what had to come."""
        assert list(statuses) == self.refused, self.refused
        self.refused.clear()

    def check(self) -> None:
        """Fail if anything was noted."""
        assert not self.ran, f"planted code ran: {self.ran}"
        assert not self.faults, self.faults
        assert not self.refused, f"statuses {self.refused}"


class Browsing:
    """Opens pages in contexts of their own, as different people's browsers, each watched."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.watches: list[Watch] = []

    def open(self, size: str = "desktop", *, dark: bool = False, **options: Any) -> Page:
        """Return a page in a new browser context."""
        context = self._browser.new_context(
            viewport=SIZES[size],
            color_scheme="dark" if dark else "light",
            has_touch=size == "phone",
            **options,
        )
        context.set_default_timeout(15_000)
        self.watches.append(Watch(context))
        return context.new_page()

    def close(self) -> None:
        """Close them all, once they have said what they had to say."""
        for context in self._browser.contexts:
            for page in context.pages:
                page.evaluate("null")
            context.close()

    @property
    def watch(self) -> Watch:
        """The watch over the page that was opened last."""
        return self.watches[-1]


def find_chromium() -> str:
    """Return the path of this machine's Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.fail("No Chromium. On Debian run: apt-get install chromium", pytrace=False)


def launched(*arguments: str) -> Iterator[Browser]:
    """Run a Chromium until the generator is closed."""
    from playwright.sync_api import sync_playwright

    # The blocking Playwright keeps an event loop in this thread: it must end before other folders' tests.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            # Those who run tests as root, in a container, have no other choice.
            chromium_sandbox=False,
            args=["--disable-dev-shm-usage", *arguments],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A Chromium for the tests of one module."""
    yield from launched()


@pytest.fixture
def browsing(chromium: Browser) -> Iterator[Browsing]:
    """Watched pages, and a failure if one did what it must not do."""
    browsing = Browsing(chromium)
    yield browsing
    browsing.close()
    for watch in browsing.watches:
        watch.check()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """The demo app beside its two sandboxes."""
    from demo_web import running

    with running(0, 0, 0) as demo:
        yield demo


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    """Each screen in turn."""
    name: str = request.param
    return name


def start(page: Page, demo: Demo, place: str = "Sandbox Hospital") -> None:
    """Go from the app's front page to the sign-in page of *place*."""
    page.goto(demo.app_url)
    page.get_by_role("link", name="Choose where to sign in").click()
    page.get_by_role("link", name=place).click()


def sign_in(page: Any, who: str = "Dr. Doctor Demo") -> None:
    """Sign in as *who* at the sandbox; *page* may be a frame."""
    page.get_by_label(who).check()
    page.get_by_role("button", name="Sign in").click()


def choose_patient(page: Any, patient: str = "Amber Sampleton") -> None:
    """Choose the patient at the sandbox."""
    page.get_by_role("button", name=patient).click()


def allow(page: Any) -> None:
    """Agree at the sandbox to what is ticked."""
    page.get_by_role("button", name="Allow").click()


def hold_callback(page: Page, demo: Demo) -> str:
    """Sign in at the hospital up to the redirect to the callback; return where it would have led."""
    start(page, demo)
    sign_in(page)
    choose_patient(page)
    held: list[str] = []

    def hold(route: Any) -> None:
        # What a redirect leads to cannot be held back, so the redirect is.
        held.append(route.fetch(max_redirects=0).headers["location"])
        route.fulfill(body="<!doctype html><h1>Held back</h1>", content_type="text/html")

    page.route(_CONSENT, hold)
    allow(page)
    page.get_by_role("heading", name="Held back").wait_for()
    page.unroute(_CONSENT)
    assert len(held) == 1
    return held[0]


def log_in(page: Page, demo: Demo, patient: str = "Amber Sampleton") -> None:
    """Go from the app's front page to the chart of *patient*."""
    start(page, demo)
    sign_in(page)
    choose_patient(page, patient)
    allow(page)
    page.get_by_role("heading", name=patient).wait_for()
