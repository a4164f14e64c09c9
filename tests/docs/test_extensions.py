"""What readers get is what the sources say: docstrings become what Sphinx reads, comments become nothing."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))

from docstrings import restructured
from pages import without_comments


def test_fences_become_code_blocks() -> None:
    """Markdown's fences, as docstrings here have them, are code blocks in the API pages."""
    assert restructured(["Tree:", "", "```", "a", "", "b", "```", "End."]) == [
        "Tree:",
        "",
        ".. code-block:: text",
        "",
        "   a",
        "",
        "   b",
        "",
        "End.",
    ]


def test_the_specification_becomes_a_field() -> None:
    """A `Spec:` line stands with arguments and return value, over several lines too."""
    assert restructured(["Spec: RFC 7636,", "section 4.2.", "", "Text."]) == [
        "",
        ":Spec: RFC 7636,",
        "    section 4.2.",
        "",
        "Text.",
    ]


def test_plurals_of_code_survive() -> None:
    """What follows a backtick at once would otherwise swallow the rest of the paragraph."""
    assert restructured(["two `kid`s and `x`."]) == ["two `kid`\\ s and `x`."]


def test_comments_vanish_and_code_stays() -> None:
    """What the tests run beside a page is not published; a comment inside a code block is code."""
    page = "a\n<!-- needs: x -->\n<!--\n```python\nb\n```\n-->\nc\n```html\n<!-- d -->\n```\n<!-- e -->\nf\n"
    assert without_comments(page) == "a\nc\n```html\n<!-- d -->\n```\nf\n"
