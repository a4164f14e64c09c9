"""Server text made safe to show: in a message, a log line or a terminal."""

from __future__ import annotations

import unicodedata
from typing import cast

from smart_async.limits import ERROR_TEXT

__all__ = ("clean_text", "member_names")

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that forge log lines, drive terminals or reverse the reading direction."""


def clean_text(text: str, *, length: int = ERROR_TEXT) -> str:
    r"""
    Make *text* from a server harmless: one line, no control characters, cut to *length*.

    Args:
        text: Anything that a server sent.
        length: Characters to keep.

    Returns:
        The visible characters, with every run of space folded into one blank.

    >>> clean_text("no such\nclient \x1b[31m!")
    'no such client [31m!'
    """
    visible = "".join(
        " " if character.isspace() else character
        for character in text[: length * 4]
        if character.isspace() or unicodedata.category(character) not in _INVISIBLE
    )
    folded = " ".join(visible.split())
    return folded if len(folded) <= length else folded[: length - 1] + "…"


def member_names(document: object, *, most: int = 30) -> tuple[str, ...]:
    """
    Return the member names of a JSON object, cleaned, for use in an error.

    Args:
        document: A parsed JSON value; anything but an object has no members.
        most: Names to return at most.
    """
    if not isinstance(document, dict):
        return ()
    names = list(cast("dict[object, object]", document))[:most]
    return tuple(clean_text(str(name), length=64) for name in names)
