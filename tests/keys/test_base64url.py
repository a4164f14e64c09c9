"""Base64url: one text for one value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.errors import ProtocolError
from smart_async.keys.base64url import b64url_decode, b64url_encode, number, octets


@given(st.binary(max_size=200))
def test_decoding_gives_back_what_was_encoded(data):
    """Encoding and decoding are inverse, and no padding is written."""
    text = b64url_encode(data)
    assert (b64url_decode(text), "=" in text) == (data, False)


@pytest.mark.parametrize(
    "text", ["YQ==", "YQ=", "Y", "-_8 ", " -_8", "-_\n8", "+/8", "-_9", "YR", "é", "-_8.", "YQ\0"]
)
def test_text_that_is_not_canonical_is_refused(text):
    """Padding, foreign characters, impossible lengths and stray bits are refused."""
    with pytest.raises(ProtocolError):
        b64url_decode(text)


@given(st.text(alphabet="ABYZaz019-_+/= \n", max_size=12))
def test_every_text_that_decodes_is_the_only_one_for_its_bytes(text):
    """Whatever decodes encodes to itself; everything else is our error."""
    try:
        data = b64url_decode(text)
    except ProtocolError:
        return
    assert b64url_encode(data) == text


@pytest.mark.parametrize("text", ["AQAB", "AAEAAQ", "AAEAAQ==", "AAABAAE=", "A" * 2044 + "AQAB"])
def test_numbers_may_be_padded_and_have_leading_zeros(text):
    """Servers pad numbers and put zero bytes in front; both leave the number as it is."""
    assert number({"e": text}, "e") == 65537


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "missing"),
        ("", "missing"),
        (65537, "not text"),
        ("!!", "not base64url"),
        ("+/8", "not base64url"),
        ("A" * 2049, "longer"),
    ],
)
def test_numbers_that_cannot_be_read_are_refused_by_name(value, problem):
    """A member that is missing, of another type, malformed or endless is named in our error."""
    with pytest.raises(ProtocolError, match=f"its n .*{problem}"):
        number({"n": value}, "n")


def test_octets_keep_the_width_asked_for():
    """A fixed width keeps leading zeros; without one the number takes as few bytes as it needs."""
    assert [octets(1, 4), octets(256), octets(255), octets(0)] == [b"\0\0\0\1", b"\1\0", b"\xff", b"\0"]
