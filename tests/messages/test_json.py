"""JSON that two parsers could read differently is refused (rule T22)."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.errors import DiscoveryError, ProtocolError, TokenResponseError
from smart_async.limits import Limits
from smart_async.messages import Response, as_list, as_object, parse_object, strict_loads


def refusal(body, **limits):
    """Parse *body*, which must be refused, and return the message."""
    with pytest.raises(ProtocolError) as caught:
        strict_loads(body, **limits)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b" ", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1}x', "not JSON"),
        (b'{"a":1}{"b":2}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'"\n"', "not JSON"),
        (b"[1 2]", "not JSON"),
        (b"[]\x0c", "not JSON"),
        (b"\x1f[]", "not JSON"),
        ("\u00a0{}".encode(), "not JSON"),
        ("{}\u2028".encode(), "not JSON"),
        (b"X{}", "not JSON"),
        (b'{"token_endpoint":"a","token_endpoint":"b"}', "the member 'token_endpoint' occurs twice"),
        (b'{"a":{"b":1,"b":1}}', "the member 'b' occurs twice"),
        (b'{"a":1,"\\u0061":2}', "the member 'a' occurs twice"),
        (b'{"b":1,"a":1,"a":2}', "the member 'a' occurs twice"),
        (b"NaN", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b'{"exp":-Infinity}', "-Infinity is not a JSON number"),
        (b"1e999", "a number is too large"),
        (b"-1e999", "a number is too large"),
        (b"1" * 5000, "a number has 5000 digits"),
        (b"1" * 65, "a number has 65 digits"),
        (b'"\\ud800"', "half a character"),
        (b'"\\udc00x"', "half a character"),
        (b'"\\udfff"', "half a character"),
        (b'{"\\ud800":1}', "half a character"),
        (b'"nul\\u0000l"', "NUL"),
        (b'["nul\\u0000l"]', "NUL"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        ('{"a":1}'.encode("utf-16-le"), "not JSON"),
        ('{"a":1}'.encode("utf-32"), "not UTF-8"),
        (b"[" * 100_000, "more than 32 levels"),
        (b"[[[]," + b"[" * 31 + b"]" * 33, "more than 32 levels"),
        (b'["\\\n' + b"[" * 40 + b'"]', "not JSON"),
        (b'{"a":' * 10_000, "more than 32 levels"),
        (b'[{"a":' * 17 + b"1" + b"}]" * 17, "more than 32 levels"),
        (b"[" + b"1," * 10_000 + b"1]", "more than 10000 members"),
        (b"[" + b"[]," * 10_000 + b"[]]", "more than 10000 members"),
        (json.dumps({f"m{number}": 1 for number in range(10_001)}).encode(), "more than 10000 members"),
        (b"[" + b'{"a":1},' * 5_000 + b"1]", "more than 10000 members"),
        (b'"' + b"x" * 65_537 + b'"', "more than 65536 characters"),
        (b'{"' + b"x" * 65_537 + b'":1}', "more than 65536 characters"),
        (b" " * 262_145, "has 262145 bytes; at most 262144"),
    ],
)
def test_what_is_refused(body, problem):
    """Each trap of lenient parsers is an error that names it."""
    assert problem in refusal(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b"\t\r\n {} \n\r\t", {}),
        (b' [1, -2.5, true, false, null, "a"] ', [1, -2.5, True, False, None, "a"]),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        ('"ü€😀"'.encode(), "ü€😀"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"1" * 64, int("1" * 64)),
        (b"1e308", 1e308),
        (b"[" * 32 + b"]" * 32, None),
        (b"[[]," + b"[" * 31 + b"]" * 32, None),
        (b"[" + b"[]," * 40 + b"[" * 31 + b"]" * 32, None),
        (b'"' + b"[" * 40 + b'"', "[" * 40),
        (b'"\\"' + b"[" * 40 + b'"', '"' + "[" * 40),
        (b"[" + b"[]," * 40 + b"[]]", [[]] * 41),
        (b"[" + b"1," * 9_999 + b"1]", [1] * 10_000),
        (b'["\\u0061",' + b"1," * 9_998 + b"1]", ["a"] + [1] * 9_999),
        (b'"' + b"x" * 65_536 + b'"', "x" * 65_536),
        (b'["' + b"," * 20_000 + b'"]', ["," * 20_000]),
        (b"1" + b" " * 262_143, 1),
    ],
)
def test_what_is_accepted(body, value):
    """Honest documents pass, up to each limit itself."""
    parsed = strict_loads(body)
    if value is not None:
        assert parsed == value


def test_limits_can_be_set():
    """Each limit is an argument: honest CapabilityStatements are larger."""
    assert "at most 5" in refusal(b"[1,2,3]", max_bytes=5)
    assert "more than 2 members" in refusal(b"[1,2,3]", max_members=2)
    assert strict_loads(b"[1,2]", max_members=2) == [1, 2]
    assert "more than 1 levels" in refusal(b"[[]]", max_depth=1)


def test_hostile_nesting_is_found_at_once():
    """Depth is found before parsing, in time that grows with the size of the document only."""
    start = time.process_time()
    refusal(b'["' + b"\\" * 200_000)
    refusal(b'"[' * 100_000)
    refusal((b'{"a":[' * 20 + b"]}" * 20) * 1000)
    assert time.process_time() - start < 10


def test_a_name_that_occurs_twice_is_found_at_once():
    """Looking for the one of thousands of names that occurs twice takes no time that a server could use."""
    members = ",".join(f'"{number:x}":0' for number in range(20_000))
    started = time.process_time()
    assert "the member 'zz' occurs twice" in refusal(f'{{{members},"zz":0,"zz":0}}'.encode())
    assert time.process_time() - started < 2


def test_an_error_does_not_hold_the_body():
    """The name of a repeated member is cut; the rest of the document is not in the error at all."""
    body = b'{"' + b"k" * 1000 + b'":"canary","' + b"k" * 1000 + b'":"canary"}'
    message = refusal(body)
    assert "the member '" + "k" * 64 + "' occurs twice" in message
    assert len(message) < 200
    assert "canary" not in message
    assert "canary" not in refusal(b'{"a": canary')
    # What is written as four characters each is cut, too.
    name = b"\\u0001" * 64
    reason = refusal(b'{"' + name + b'":1,"' + name + b'":2}').removeprefix("The document is not JSON: ")
    assert (len(reason), reason[:24]) == (121, r"the member '\x01\x01\x01")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5).map(lambda k: k.replace("\0", "")), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans())
def test_honest_documents_come_back(value, ascii_only):
    """Whatever an honest server can encode is read as Python's own parser reads it."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert strict_loads(body) == json.loads(body)


@given(
    st.binary(max_size=200)
    | st.text(alphabet='{}[]",:0123456789.eE+-\\untrfalsNI \ufeff', max_size=80).map(str.encode)
)
def test_anything_else_is_our_error(body):
    """No input raises anything but ProtocolError, and what is accepted is accepted by Python, too."""
    try:
        value = strict_loads(body)
    except ProtocolError:
        return
    assert json.loads(body.decode("utf-8-sig")) == value


class TestParseObject:
    """Reading the object in an answer, with the caller's own kind of error."""

    @staticmethod
    def refusal(body, error=DiscoveryError, **fields):
        response = Response(status=200, body=body, url="https://ehr.example.com/x", **fields)
        with pytest.raises(error) as caught:
            parse_object(response, error, "discovery document")
        assert type(caught.value) is error
        assert (caught.value.status, caught.value.endpoint) == (200, response.url)
        assert caught.value.advice
        assert caught.value.__context__ is None
        return caught.value.message

    def test_an_object(self):
        """The object is returned, whatever media type the server put on it."""
        assert parse_object(Response(status=200, body=b'{"a": 1}'), DiscoveryError, "x") == {"a": 1}

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"[]", "array"),
            (b'"x"', "string"),
            (b"true", "boolean"),
            (b"null", "null"),
            (b"1", "number"),
            (b"1.5", "number"),
        ],
    )
    def test_another_value(self, body, kind):
        """JSON that is no object is named by its kind."""
        problem = f"The server sent a JSON {kind} where an object is expected."
        assert self.refusal(body) == f"The discovery document cannot be used: {problem}"

    @pytest.mark.parametrize("body", [b"<!DOCTYPE html><html>", b"\r\n <?xml version='1.0'?>"])
    def test_a_page(self, body):
        """A page of HTML or XML is called that, rather than bad JSON."""
        assert "HTML or XML page" in self.refusal(body, TokenResponseError)

    def test_bad_json(self):
        """What the strict parser refuses is passed on with its reason."""
        assert "occurs twice" in self.refusal(b'{"a":1,"a":2}')

    def test_the_clients_limits(self):
        """The limits of the client hold."""
        response = Response(status=200, body=b'{"a":[[1]],"b":2}')
        good = Limits(document_bytes=17, document_members=4, json_depth=3)
        assert parse_object(response, DiscoveryError, "x", limits=good)["b"] == 2
        for bad in (Limits(document_bytes=16), Limits(document_members=3), Limits(json_depth=2)):
            with pytest.raises(DiscoveryError):
                parse_object(response, DiscoveryError, "x", limits=bad)


def test_narrowing():
    """`as_object` and `as_list` return the value where it is one, else None."""
    document, items = {"a": 1}, [1]
    assert as_object(document) is document
    assert as_list(items) is items
    assert (as_object(items), as_list(document), as_object(None), as_list("ab")) == (None, None, None, None)
