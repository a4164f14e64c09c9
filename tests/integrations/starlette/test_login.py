"""Whole logins, in both frameworks and on both event loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from web_app import API, WebApp, cookies_of, location

pytestmark = pytest.mark.anyio
Make = Callable[..., WebApp]


async def test_a_user_signs_in_and_reads_a_chart(make: Make) -> None:
    """From the page that wants a user, by way of the EHR, back to that page, with a token that reads FHIR."""
    web = make()
    async with web.browser() as browser:
        assert (await browser.get("/")).text == "nobody"
        login = location(await browser.get("/chart?tab=vitals"))
        assert login == "/smart/login?return_to=/chart%3Ftab%3Dvitals"
        done = await web.sign_in(browser, login)
        assert location(done) == "/chart?tab=vitals"
        seen = (await browser.get("/chart")).json()
        assert (seen["patient"], seen["read"]) == ("patient-amber", "patient-amber")
        assert (await browser.get("/")).text == "somebody"


@pytest.mark.rule("AL-02")
async def test_an_ehr_opens_the_app(make: Make) -> None:
    """The patient is the one whose chart the EHR has open."""
    web = make()
    async with web.browser() as browser:
        url = web.sandbox.launch_url(f"{web.origin}/smart/launch", patient="patient-basil")
        assert location(await web.sign_in(browser, url)) == "/"
        assert (await browser.get("/chart")).json()["patient"] == "patient-basil"
