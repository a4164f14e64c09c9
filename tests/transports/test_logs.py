"""The filter for the logs of HTTP libraries: what it hides, what it leaves, and that it never fails."""

from __future__ import annotations

import io
import logging
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.transports import UrlLogFilter

HIDDEN = {
    "a query": ("GET https://a.example/Patient?name=canary", "GET https://a.example/Patient?[hidden]"),
    "a fragment": ("https://a.example/cb#access_token=canary", "https://a.example/cb#[hidden]"),
    "a query and a fragment": ("https://a.example/?a=canary#canary", "https://a.example/?[hidden]"),
    "a user and password": ("via http://u:canary@proxy.example:80/", "via http://proxy.example:80/"),
    "a query without a path": ("https://a.example?x=canary", "https://a.example?[hidden]"),
    "two URLs": ("https://a.example/?canary https://b.example/?canary", None),
    "in quotes": ("Location: 'https://a.example/?code=canary'", "Location: 'https://a.example/?[hidden]'"),
    "a relative Location": ("[(b'Location', b'/cb?code=canary')]", "[(b'Location', '[hidden]')]"),
    "a cookie": ("[(b'Set-Cookie', b'sid=canary; Path=/')]", "[(b'Set-Cookie', '[hidden]')]"),
    "authorization": ("{'authorization': 'Bearer canary'}", "{'authorization': '[hidden]'}"),
}


def filtered(message, *arguments, **options):
    record = logging.makeLogRecord({"msg": message, "args": arguments})
    assert UrlLogFilter(**options).filter(record)
    return record.getMessage()


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden(name):
    """Queries, fragments, user information and sensitive header fields."""
    message, expected = HIDDEN[name]
    cleaned = filtered(message)
    assert "canary" not in cleaned
    assert expected in (None, cleaned)
    assert filtered("%s", message) == cleaned


@pytest.mark.parametrize("message", ["", "no URL", "50% done", "https://a.example/r4", "1/2?", "a://"])
def test_what_is_left_alone(message):
    """A record without anything to hide stays as it was made."""
    assert filtered("%s", message) == message


def test_paths_go_on_request():
    """FHIR paths name patients."""
    assert filtered("https://a.example/r4/Patient/7?x=1", path=False) == "https://a.example/[hidden]?[hidden]"
    assert filtered("https://a.example/", path=False) == "https://a.example/"


def test_a_record_that_cannot_be_written():
    """It passes, and its handler says what is wrong with it."""
    record = logging.makeLogRecord({"msg": "%d", "args": ("x",)})
    assert UrlLogFilter().filter(record)


def test_on_a_handler():
    """Records of all loggers are seen there."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(UrlLogFilter())
    logger = logging.getLogger("smart_async.tests.logs")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.warning('HTTP Request: %s %s "HTTP/1.1 200"', "GET", "https://a.example/?canary")
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue() == 'HTTP Request: GET https://a.example/?[hidden] "HTTP/1.1 200"\n'


@given(st.text(max_size=200), st.text(alphabet=st.characters(codec="ascii"), max_size=50))
def test_any_text(before, query):
    """No message makes it fail, and no query of a URL survives it."""
    word = re.sub(r"[\s'\"<>]", "", query)
    cleaned = filtered("%s", f"{before} https://a.example/?{word}")
    assert cleaned.endswith("https://a.example/?[hidden]")


def test_long_messages_take_no_time():
    """A hundred kilobytes of what looks like URLs are read once."""
    start = time.monotonic()
    for text in ("a" * 100_000, "http://" * 15_000, "a." * 50_000, "'location'," * 10_000, "x@" * 50_000):
        filtered("%s", text)
    assert time.monotonic() - start < 5
