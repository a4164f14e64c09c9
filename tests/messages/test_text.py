"""Server text made harmless before it is shown (rule T23)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.limits import ERROR_TEXT
from smart_async.messages import clean_text, member_names


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("invalid_client", "invalid_client"),
        ("\n[CRITICAL] fake", "[CRITICAL] fake"),
        ("a\r\nb\tc", "a b c"),
        ("\x1b]0;pwn\x07", "]0;pwn"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x9b31m", "31m"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("line\u2028and\u2029paragraph", "line and paragraph"),
        ("half \ud800 character", "half character"),
        ("private \ue000 use", "private use"),
        ("  much   space  ", "much space"),
        ("{0.__class__} %s%s%s", "{0.__class__} %s%s%s"),
        ("Grüße, 患者 😀", "Grüße, 患者 😀"),
        ("", ""),
    ],
)
def test_clean_text(text, clean):
    """Controls, escapes and direction marks are taken out; what people wrote stays."""
    assert clean_text(text) == clean


def test_length():
    """Text is cut to its length, with a sign that it was, and a megabyte is not even looked at."""
    assert clean_text("x" * ERROR_TEXT) == "x" * ERROR_TEXT
    assert clean_text("x" * (ERROR_TEXT + 1)) == "x" * (ERROR_TEXT - 1) + "…"
    assert clean_text("x" * 1_000_000, length=10) == "xxxxxxxxx…"
    assert clean_text("\n" * 1_000_000 + "x", length=10) == ""


@given(st.text(), st.integers(1, 50))
def test_nothing_invisible_comes_through(text, length):
    """Whatever a server sends becomes one line of visible characters of the length asked for."""
    clean = clean_text(text, length=length)
    assert len(clean) <= length
    assert clean == clean.strip()
    assert all(character == " " or unicodedata.category(character)[0] not in "CZ" for character in clean)
    assert clean_text(clean, length=length) == clean


def test_member_names():
    """Member names are cleaned and counted; anything but an object has none."""
    assert member_names({"error": 1, "a\nb": 2}) == ("error", "a b")
    assert member_names({"x" * 100: 1}) == ("x" * 63 + "…",)
    assert len(member_names({str(number): 1 for number in range(100)})) == 30
    assert member_names({"a": 1, "b": 2}, most=1) == ("a",)
    assert (member_names([]), member_names(None), member_names("error")) == ((), (), ())
