"""Sequence diagrams are drawn as they are written, for eyes and for ears."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))

from sequence import draw, in_words, parse

TEXT = """
app = Your app
ehr = A & B

== Discovery ==
app -> ehr: GET <base>
ehr --> app: endpoints
app: keeps them
"""
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_everything_is_drawn_and_escaped() -> None:
    """Participants, phases, messages and deeds are in the picture, in well-formed SVG."""
    svg = draw(parse(TEXT), 'Says "hello"')
    assert texts(svg) == ["Your app", "A & B", "Discovery", "GET <base>", "endpoints", "keeps them"]
    assert ElementTree.fromstring(svg).get("aria-label") == 'Says "hello"'


def test_arrows_point_where_the_message_goes() -> None:
    """A request points right and is solid, its answer points left and is dashed."""
    lines = re.findall(
        r'<line class="(request|answer)" x1="([\d.]+)" \S+ x2="([\d.]+)"', draw(parse(TEXT), "")
    )
    assert [(kind, float(start) < float(end)) for kind, start, end in lines] == [
        ("request", True),
        ("answer", False),
    ]


def test_nothing_leaves_the_picture() -> None:
    """However much is written, it stays between top and bottom, left and right."""
    svg = ElementTree.fromstring(draw(parse(TEXT + "app -> ehr: " + "many words " * 40), ""))
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    for node in svg.iter(f"{SVG}tspan"):
        assert 0 < float(node.get("x", "")) < width
        assert 0 < float(node.get("y", "")) < height


def test_the_same_in_words() -> None:
    """Who cannot see the picture gets its steps in order."""
    steps = re.findall(r"<li>(.*?)</li>", in_words(parse(TEXT)))
    assert steps == [
        "<strong>Discovery</strong>",
        "Your app to A &amp; B: GET &lt;base&gt;",
        "A &amp; B to Your app: endpoints",
        "Your app: keeps them",
    ]


@pytest.mark.parametrize("line", ["app => ehr: what", "app -> nobody: hello", "nobody: sleeps", "just words"])
def test_a_line_that_makes_no_sense_is_an_error(line: str) -> None:
    """A typing error is found by the build, not by a reader."""
    with pytest.raises(ValueError, match=re.escape(line)):
        parse(TEXT + line)
