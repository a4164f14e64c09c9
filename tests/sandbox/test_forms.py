"""Forms, read strictly."""

from __future__ import annotations

import pytest

from smart_async.messages import Headers
from smart_async.sandbox.forms import post_fields, strict_fields
from smart_async.sandbox.verdicts import Received, RefusedError

FORM = "application/x-www-form-urlencoded"


def received(**changes):
    base = {
        "method": "POST", "url": "https://sandbox.example/t", "path": "/t", "query": "",
        "headers": Headers({"Content-Type": FORM}), "body": b"a=b", "received_at": 0.0,
    }  # fmt: skip
    return Received(**(base | changes))


@pytest.mark.parametrize(
    ("text", "fields"),
    [("", {}), ("a=b&c=d%20e+f", {"a": "b", "c": "d e f"}), ("a=", {}), ("a", {}), ("a=b=c", {"a": "b=c"}),
     ("%C3%A4=%2B", {"ä": "+"})],
)  # fmt: skip
def test_fields(text, fields):
    """Fields are decoded, and those without a value count as left out."""
    assert strict_fields(text) == fields


@pytest.mark.parametrize("text", ["a=b&a=b", "a=&a=b", "a=%zz", "a=%", "a=%ff"])
def test_refused(text):
    """A repeated name and a broken encoding are refused."""
    with pytest.raises(RefusedError) as caught:
        strict_fields(text)
    assert (caught.value.error, caught.value.rule[:8]) == ("invalid_request", "RFC 6749")


@pytest.mark.parametrize("media_type", [FORM, FORM.upper(), f"{FORM}; charset=utf-8"])
def test_media_type(media_type):
    """The media type may carry a charset and be written in capitals."""
    assert post_fields(received(headers=Headers({"Content-Type": media_type})), rule="TK-01") == {"a": "b"}


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "GET"},
        {"query": "a=b"},
        {"headers": Headers()},
        {"headers": Headers({"Content-Type": "multipart/form-data"})},
        {"body": b"a=" + b"b" * 65_536},
        {"body": "a=ä".encode()},
    ],
)
def test_no_form(changes):
    """Whatever is no form in the body of a POST is refused."""
    with pytest.raises(RefusedError):
        post_fields(received(**changes), rule="TK-01")
