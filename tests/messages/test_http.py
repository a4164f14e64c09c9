"""Requests and responses: what they hold, and what they do not show (rule T44)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.limits import DOCUMENT_BYTES
from smart_async.messages import Headers, Request, Response, form_body


class TestHeaders:
    @pytest.mark.rule("DI-16")
    def test_names_in_any_case(self):
        """A field is found under its name in any letter case."""
        headers = Headers({"Content-Type": "application/json"})
        assert headers["content-type"] == headers["CONTENT-TYPE"] == "application/json"
        assert "Content-type" in headers
        assert headers.get("x-missing") is None
        with pytest.raises(KeyError):
            headers["x-missing"]

    def test_repeated_fields(self):
        """A field that occurs more than once is joined with commas, in order."""
        headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])
        assert dict(headers) == {"a": "1, 3", "b": "2"}
        assert (len(headers), list(headers)) == (2, ["a", "b"])

    def test_a_mapping(self):
        """It is a mapping: equal to one with the same fields, copied from one, and hashable."""
        headers = Headers([("A", "1")])
        assert isinstance(headers, Mapping)
        assert headers == Headers(headers) == {"a": "1"}
        assert hash(headers) == hash(Headers({"a": "1"}))
        assert Headers() == {}

    def test_values_are_not_shown(self):
        """Its repr names the fields and keeps their values back."""
        assert repr(Headers({"Authorization": "canary", "Accept": "x"})) == "Headers(authorization, accept)"


def request(**fields):
    return Request(
        **{"method": "POST", "url": "https://ehr.example.com/token?x=canary", "purpose": "token", **fields}
    )


class TestMessages:
    def test_a_request_shows_no_secret(self):
        """The repr of a request shows method, endpoint, purpose and size; no query, header or body."""
        shown = repr(request(headers=Headers({"Authorization": "canary"}), body=b"canary"))
        assert shown == "<Request POST https://ehr.example.com/token for token, 6 bytes>"
        assert repr(request()).endswith("for token, no body>")
        assert str(request()) == repr(request())

    def test_a_request_by_default(self):
        """By default a request has no fields and no body, may share a connection and has the usual limit."""
        plain = request()
        assert (plain.headers, plain.body, plain.fresh, plain.max_bytes) == ({}, None, False, DOCUMENT_BYTES)

    def test_a_response_shows_no_secret(self):
        """The repr of a response shows status, endpoint and size, and no body."""
        response = Response(status=200, body=b"canary", url="https://ehr.example.com/token?x=canary")
        assert repr(response) == "<Response 200 from https://ehr.example.com/token, 6 bytes>"

    def test_a_stamped_response(self):
        """Stamping gives the same response with the time it was received."""
        response = Response(status=200, body=b"x")
        stamped = response.stamped(12.5)
        assert (stamped.received_at, stamped.body, response.received_at) == (12.5, b"x", 0.0)

    @pytest.mark.parametrize("message", [request(), Response(status=200), Headers()])
    def test_messages_do_not_change(self, message):
        """Messages are values: nothing can be set on them."""
        with pytest.raises((AttributeError, TypeError)):
            message.url = "x"


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_forms_come_back(fields):
    """Any fields come back from the encoded form in their order, which is the standard library's."""
    assert form_body(fields) == urlencode(fields).encode("ascii")
    assert (
        parse_qsl(form_body(fields).decode("ascii"), keep_blank_values=True, strict_parsing=bool(fields))
        == fields
    )


def test_forms_cannot_be_injected_into():
    """A value cannot add a field: separators, line ends and percent signs are encoded."""
    assert form_body([("a", "b&c=d"), ("e", "+\r\n%")]) == b"a=b%26c%3Dd&e=%2B%0D%0A%25"
    assert form_body([]) == b""
