"""Whole logins in a browser: from the app, from an EHR, in a frame, twice at once, with a change of mind."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from browsers import SIZES, allow, choose_patient, hold_callback, log_in, sign_in, start

pytestmark = pytest.mark.peers

CALLBACK = re.compile(r"/smart/callback\?")


def launch(page: Any, demo: Any, patient: str = "Fable Demoville", *, framed: bool = False) -> None:
    page.goto(f"{demo.hospital.base_url}/?{urlencode({'client': 'chart-viewer'})}")
    page.get_by_label("Patient", exact=True).select_option(label=patient)
    page.get_by_label("Signed in").select_option(label="Dr. Doctor Demo")
    if framed:
        page.get_by_label("In a frame").check()
    page.get_by_role("button", name="Launch").click()


def facts(page: Any) -> list[str]:
    return [" ".join(text.split()) for text in page.locator("dl.facts > div").all_inner_texts()]


def codes_redeemed(demo: Any) -> int:
    return sum(v.accepted for v in demo.hospital.verdicts if v.endpoint == "token")


def test_a_user_signs_in_by_themselves(browsing: Any, demo: Any, size: str) -> None:
    """Choose the EHR, sign in, choose the patient, agree: the chart is there, and nothing lies in the URL."""
    before = len(demo.hospital.verdicts)  # the sandbox has seen other tests, some of which it refused
    page = browsing.open(size)
    log_in(page, demo)
    assert page.url == f"{demo.app_url}/chart"
    assert facts(page)[0].startswith("Born 14 Mar 1958")
    for section in ("Conditions", "Medications", "Latest observations", "Vital signs"):
        assert page.get_by_role("region", name=section).is_visible()
    assert page.get_by_text("Hypertensive disorder").is_visible()
    assert page.get_by_text("Lisinopril").is_visible()
    assert page.get_by_role("img", name="Blood pressure over time").is_visible()
    assert all(verdict.accepted for verdict in demo.hospital.verdicts[before:])


def test_the_other_ehr_is_another(browsing: Any, demo: Any) -> None:
    """Who chooses the clinic signs in there, and the hospital hears nothing of it."""
    page = browsing.open()
    before = len(demo.hospital.requests)
    start(page, demo, "Sandbox Clinic")
    assert page.url.startswith(demo.clinic.base_url)
    sign_in(page)
    choose_patient(page, "Basil Testwell")
    allow(page)
    page.get_by_role("heading", name="Basil Testwell").wait_for()
    assert "From Sandbox Clinic" in facts(page)
    assert len(demo.hospital.requests) == before


def test_an_ehr_launches_the_app(browsing: Any, demo: Any, size: str) -> None:
    """From the launcher, whose user and patient are known, one agreement leads to that patient's chart."""
    page = browsing.open(size)
    launch(page, demo)
    allow(page)
    page.get_by_role("heading", name="Fable Demoville").wait_for()
    assert page.get_by_role("img", name="Body height over time").is_visible()


def test_an_ehr_shows_the_app_in_a_frame(browsing: Any, demo: Any, size: str) -> None:
    """In the EHR's own page, login, chart and renewal happen inside the frame."""
    page = browsing.open(size)
    launch(page, demo, framed=True)
    assert "/ehr/" in page.url
    frame = page.frame_locator("#app")
    allow(frame)
    frame.get_by_role("heading", name="Fable Demoville").wait_for()
    frame.get_by_role("button", name="Refresh").click()
    frame.get_by_text("Access was renewed.").wait_for()
    assert "/ehr/" in page.url


def test_without_scripts(browsing: Any, demo: Any) -> None:
    """Nothing needs JavaScript: not the login, not the chart, not renewing, not logging out."""
    page = browsing.open(java_script_enabled=False)
    log_in(page, demo)
    page.get_by_role("button", name="Refresh").click()
    page.get_by_text("Access was renewed.").wait_for()
    page.get_by_text("Body weight as a table").click()
    assert page.get_by_role("columnheader", name="Weight (kg)").is_visible()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="You are signed out").wait_for()


def test_with_the_keyboard_alone(browsing: Any, demo: Any) -> None:
    """Tab, space and enter are enough for a whole login, in the order in which things are read."""
    page = browsing.open()
    page.goto(demo.app_url)

    def focus(text: str, most: int = 12) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            said = page.evaluate(
                "(e => (e.labels && e.labels[0] || e).innerText)(document.activeElement) || ''"
            )
            if text in said:
                return
        pytest.fail(f"{text!r} is not reached with Tab on {page.url}", pytrace=False)

    for text, most in (
        ("Choose where to sign in", 3),
        ("Sandbox Hospital", 3),
        ("Dr. Doctor Demo", 12),
        ("Sign in", 12),
        ("Amber Sampleton", 12),
        ("Allow", 20),
    ):
        before = page.url
        focus(text, most)
        if text != "Dr. Doctor Demo":
            with page.expect_navigation():
                page.keyboard.press("Enter")
            assert page.url != before
    page.get_by_role("heading", name="Amber Sampleton").wait_for()


def test_who_denies_shares_nothing(browsing: Any, demo: Any, size: str) -> None:
    """After Deny the app says so in plain words, has no session, and offers to start again."""
    page = browsing.open(size)
    start(page, demo)
    sign_in(page)
    choose_patient(page)
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("heading", name="You did not agree").wait_for()
    browsing.watch.expect(400)
    page.get_by_role("link", name="Start again").click()
    assert page.get_by_role("link", name="Choose where to sign in").is_visible()


def test_who_shares_less_sees_less(browsing: Any, demo: Any, size: str) -> None:
    """What is not ticked is neither asked for nor shown, and the app says that it was not shared."""
    page = browsing.open(size)
    start(page, demo)
    sign_in(page)
    choose_patient(page)
    scopes = page.locator("label.choice")
    for scope in ("patient/Observation.rs", "offline_access"):
        scopes.filter(has_text=scope).get_by_role("checkbox").uncheck()
    before = len(demo.hospital.requests)
    allow(page)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    assert page.get_by_text("Observations were not shared with this app.").count() == 2
    assert page.get_by_role("region", name="Conditions").get_by_text("Osteoarthritis").is_visible()
    assert page.get_by_role("button", name="Refresh").is_disabled()
    asked = [received.path for received in demo.hospital.requests[before:]]
    assert "/fhir/Condition" in asked
    assert "/fhir/Observation" not in asked


def test_a_double_click_on_the_way_back(browsing: Any, demo: Any) -> None:
    """A double click redeems the code once, and the user is signed in."""
    page = browsing.open()
    callback = hold_callback(page, demo)
    before = codes_redeemed(demo)
    page.set_content(f'<a href="{callback.replace("&", "&amp;")}">back to the app</a>')
    page.get_by_role("link", name="back to the app").dblclick(no_wait_after=True)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    assert codes_redeemed(demo) == before + 1


def test_an_impatient_click_on_the_way_back(browsing: Any, demo: Any) -> None:
    """Clicked again while the first click is at work, the code is redeemed once, and the user signed in."""
    page = browsing.open()
    callback = hold_callback(page, demo)
    before = codes_redeemed(demo)
    demo.hospital.faults.add("slow", seconds=1, endpoint="token", times=1)
    page.set_content(f'<a href="{callback.replace("&", "&amp;")}">back to the app</a>')
    page.evaluate("document.links[0].click(); setTimeout(() => document.links[0].click(), 300)")
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    assert codes_redeemed(demo) == before + 1


def test_a_callback_again(browsing: Any, demo: Any) -> None:
    """Opened again later, by the same browser, a callback leads to the chart without being redeemed again."""
    page = browsing.open()
    callback = hold_callback(page, demo)
    page.goto(callback)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    before = codes_redeemed(demo)
    page.goto(callback)
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    assert page.url == f"{demo.app_url}/chart"
    assert codes_redeemed(demo) == before


def test_a_callback_in_another_browser(browsing: Any, demo: Any) -> None:
    """Somebody else's callback signs nobody in, and redeems nothing."""
    mine = browsing.open()
    callback = hold_callback(mine, demo)
    theirs = browsing.open()
    before = codes_redeemed(demo)
    theirs.goto(callback)
    theirs.get_by_role("heading", name="Please sign in again").wait_for()
    browsing.watch.expect(400)
    theirs.goto(demo.app_url)
    assert theirs.get_by_role("link", name="Choose where to sign in").is_visible()
    assert codes_redeemed(demo) == before


def test_the_back_button(browsing: Any, demo: Any) -> None:
    """Back from the chart leads to pages that work or say what to do; forward, to the chart again."""
    page = browsing.open()
    log_in(page, demo)
    page.go_back()
    page.wait_for_load_state()
    assert CALLBACK.search(page.url) is None
    page.goto(f"{demo.app_url}/chart")
    page.get_by_role("heading", name="Amber Sampleton").wait_for()
    browsing.watch.refused.clear()  # the sandbox's page of a finished sign-in is an error's


def test_after_logging_out_the_chart_is_gone(browsing: Any, demo: Any) -> None:
    """Logged out, the back button brings no chart, the cookie is gone, and the token is void at the EHR."""
    page = browsing.open()
    log_in(page, demo)
    with page.expect_response("**/smart/logout"):
        page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    assert [each["name"] for each in page.context.cookies(demo.app_url) if "smart" in each["name"]] == []
    page.go_back()
    page.wait_for_load_state()
    assert page.get_by_text("Amber Sampleton").count() == 0
    page.goto(f"{demo.app_url}/chart")
    assert page.get_by_role("heading", name="Where is the record kept?").is_visible()


def test_two_tabs_sign_in_at_once(browsing: Any, demo: Any) -> None:
    """Two logins under way in one browser do not disturb each other; the one that ends last is shown."""
    first = browsing.open()
    second = first.context.new_page()
    start(first, demo)
    start(second, demo)
    for page in (first, second):
        sign_in(page)
    choose_patient(second, "Basil Testwell")
    choose_patient(first, "Clover Mockingham")
    allow(second)
    second.get_by_role("heading", name="Basil Testwell").wait_for()
    allow(first)
    first.get_by_role("heading", name="Clover Mockingham").wait_for()
    second.reload()
    second.get_by_role("heading", name="Clover Mockingham").wait_for()


def test_a_revoked_login_starts_anew(browsing: Any, demo: Any) -> None:
    """Once the EHR has taken the access back, renewing leads to a new login instead of an error."""
    page = browsing.open()
    log_in(page, demo)
    demo.hospital.revoke_tokens("chart-viewer")
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("heading", name="Where is the record kept?").wait_for()


def test_no_page_is_wider_than_the_screen(browsing: Any, demo: Any, size: str) -> None:
    """Nothing scrolls sideways, and on a phone whatever is pressed is large enough for a finger."""
    page = browsing.open(size)
    seen = []

    def look() -> None:
        seen.append(page.url)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size]["width"], page.url
        if size == "phone":
            for control in page.locator("a.button, button, .place, .choice").all():
                box = control.bounding_box()
                assert box is None or box["height"] >= 36, (page.url, control.inner_text(), box)

    page.goto(demo.app_url)
    look()
    page.get_by_role("link", name="Choose where to sign in").click()
    look()
    page.get_by_role("link", name="Sandbox Hospital").click()
    look()
    sign_in(page)
    look()
    choose_patient(page, "Gale Trialby")
    look()
    allow(page)
    page.get_by_role("heading", name="Gale Trialby").wait_for()
    page.get_by_text("Blood pressure as a table").click()
    look()
    for path in ("/", "/clients", "/faults", "/inspect"):
        page.goto(f"{demo.hospital.base_url}{path}")
        look()
    assert len(seen) == 10
