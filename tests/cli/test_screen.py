"""The screen's corners that a smooth run of the demo does not reach."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from smart_async.cli.masking import Masker
from smart_async.cli.screen import Screen
from smart_async.cli.tables import plain
from smart_async.cli.trace import show
from smart_async.messages import Request
from smart_async.transports import Exchange, json_response


def printed(document: dict[str, Any], status: int = 200, purpose: Any = "fhir") -> str:
    file = io.StringIO()
    request = Request(method="GET", url="https://ehr.example.com/x", purpose=purpose)
    exchange = Exchange(
        request=request, response=json_response(document, status=status), error=None, seconds=0
    )
    shown = show(exchange, Masker(), number=1, sender="App", receiver="EHR")
    Screen(Console(file=file, width=80, markup=False)).exchange(shown)
    return file.getvalue()


def test_control_characters_are_taken_out() -> None:
    """Whatever a server puts into names and values, the terminal is not driven by it."""
    assert "\x1b" not in printed({"a\x1b[2J": "b\x1b]0;title\x07", "[red]": "[bold]x"})


def test_times_are_readable_and_absurd_ones_are_left() -> None:
    """A time is shown as a date too; a number that is no time stays a number."""
    text = printed({"iat": 0, "exp": 10**30, "nbf": "soon"})
    assert ("0 (1970-01-01 00:00:00 UTC)" in text, f"{10**30}" in text, "soon" in text) == (True, True, True)


def test_a_key_set_may_hold_anything() -> None:
    """Items of a JWK Set that are no keys do not disturb."""
    assert "keys[1]" in printed({"keys": [{"kty": "EC", "x": "A" * 64}, 7]}, purpose="jwks")


def test_other_kinds_have_a_plain_title() -> None:
    """A kind of exchange that nobody has described yet is shown under its own name."""
    assert "[1] revocation" in printed({}, purpose="revocation")


def test_values_become_one_line() -> None:
    """Values of any JSON type are shown on one line, cut where they are endless."""
    assert [plain(value) for value in ([], [1], None, "a\nb")] == ["[]", "[1]", "null", "a b"]
    assert len(plain("x" * 5000)) == 1200
