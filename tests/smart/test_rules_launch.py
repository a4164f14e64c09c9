"""Rules of launching that need odd values to be seen broken."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from smart_async.smart.authorization import authorize
from smart_async.smart.launch import EHRLaunch

HANDLES = ["+/=", " a ", "%20", "a%2Bb", "=1&state=2", '"><script>', "eyJhbGciOiJub25lIn0.e30.", "~", "?#"]
BASE = "https://ehr.example.com/r4"


class Inputs(HTMLParser):
    """The fields of a form, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "input":
            found = dict(attrs)
            self.fields[found["name"]] = found["value"]


@pytest.mark.rule("AL-03", "AL-18", "AL-19", "AL-20")
@pytest.mark.parametrize("handle", HANDLES)
def test_the_handle_comes_back_as_it_came(script, state, document, json_response, handle):
    """From the launch URL to the query, the form and the page: no character of it changes."""
    launch = EHRLaunch.from_url(
        f"https://app.example.com/launch?{urlencode({'iss': BASE, 'launch': handle})}"
    )
    script.answer(json_response(document))
    pending = script.run(authorize(state, launch=launch))
    assert dict(parse_qsl(urlsplit(pending.url).query, strict_parsing=True))["launch"] == handle
    assert dict(pending.form.fields)["launch"] == handle
    assert Inputs(pending.form.html()).fields == dict(pending.form.fields)


@pytest.mark.rule("AL-05")
def test_a_standalone_launch_has_no_handle(script, state, document, json_response):
    """Neither an empty one nor none in words: the parameter is not there, in the query and in the form."""
    script.answer(json_response(document))
    pending = script.run(authorize(state))
    assert "launch" not in dict(parse_qsl(urlsplit(pending.url).query, keep_blank_values=True))
    assert "launch" not in dict(pending.form.fields)
