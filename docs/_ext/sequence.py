"""
Sequence diagrams as SVG, drawn while the documentation is built.

```{sequence} What the diagram shows, in one sentence
app = Your app
ehr = Authorization server

== Discovery ==
app -> ehr: GET …/.well-known/smart-configuration
ehr --> app: endpoints and abilities
app: keeps it for ten minutes
```

`->` is a request, `-->` an answer, a line with one name something that it does by itself, `== … ==` the
beginning of a phase. The colours are the theme's, so that the drawing is readable in the light and in the
dark; the same steps stand below it as a list, for those who cannot see it.
"""

import re
import textwrap
from dataclasses import dataclass, field
from html import escape

LANE = 210
"""Pixels from one participant's line to the next."""

LINE = 17
"""Pixels from one line of text to the next."""

CHARACTER = 6.7
"""Pixels that a character needs on average, with something to spare."""

_PARTICIPANT = re.compile(r"(?P<key>\w+) = (?P<label>.+)")
_MESSAGE = re.compile(r"(?P<source>\w+) (?P<arrow>-->|->) (?P<target>\w+): (?P<text>.+)")
_DEED = re.compile(r"(?P<who>\w+): (?P<text>.+)")
_PHASE = re.compile(r"== (?P<text>.+) ==")


@dataclass(frozen=True)
class Message:
    """Something that goes from one participant to another."""

    source: str
    target: str
    text: str
    answer: bool


@dataclass(frozen=True)
class Deed:
    """Something that one participant does."""

    who: str
    text: str


@dataclass(frozen=True)
class Phase:
    """The beginning of a phase."""

    text: str


@dataclass
class Diagram:
    """Participants from left to right, and what happens from top to bottom."""

    participants: dict[str, str] = field(default_factory=dict)
    events: list[Message | Deed | Phase] = field(default_factory=list)


def parse(text: str) -> Diagram:
    """Read a diagram; raise `ValueError` with the line that makes no sense."""
    diagram = Diagram()
    for line in filter(None, map(str.strip, text.splitlines())):
        if match := _PHASE.fullmatch(line):
            diagram.events.append(Phase(match["text"]))
        elif match := _PARTICIPANT.fullmatch(line):
            diagram.participants[match["key"]] = match["label"]
        elif match := _MESSAGE.fullmatch(line):
            _known(diagram, line, match["source"], match["target"])
            answer = match["arrow"] == "-->"
            diagram.events.append(Message(match["source"], match["target"], match["text"], answer))
        elif match := _DEED.fullmatch(line):
            _known(diagram, line, match["who"])
            diagram.events.append(Deed(match["who"], match["text"]))
        else:
            raise ValueError(f"not a line of a sequence diagram: {line}")
    return diagram


def _known(diagram: Diagram, line: str, *names: str) -> None:
    for name in names:
        if name not in diagram.participants:
            raise ValueError(f"there is no participant {name!r}: {line}")


class _Drawing:
    """The drawing so far: shapes, and how far down it has got."""

    def __init__(self, diagram: Diagram) -> None:
        self.labels = diagram.participants
        self.width = LANE * len(diagram.participants)
        self.shapes: list[str] = []
        self.y = 52.0
        for event in diagram.events:
            match event:
                case Message():
                    self.message(event)
                case Deed():
                    self.deed(event)
                case Phase():
                    self.phase(event)

    def x(self, name: str) -> float:
        return LANE * (list(self.labels).index(name) + 0.5)

    def text(self, x: float, y: float, lines: list[str], kind: str) -> None:
        spans = "".join(
            f'<tspan x="{x:g}" y="{y + LINE * row:g}">{escape(line)}</tspan>'
            for row, line in enumerate(lines)
        )
        self.shapes.append(f'<text class="{kind}" text-anchor="middle">{spans}</text>')

    def message(self, event: Message) -> None:
        start, end = self.x(event.source), self.x(event.target)
        room = max(abs(end - start) - 14, LANE - 14)
        lines = textwrap.wrap(event.text, int(room / CHARACTER))
        self.text((start + end) / 2, self.y + 12, lines, "words")
        self.y += LINE * len(lines) + 4
        tip = end - 9 if end > start else end + 9
        self.shapes += [
            f'<line class="{"answer" if event.answer else "request"}" '
            f'x1="{start:g}" y1="{self.y:g}" x2="{tip:g}" y2="{self.y:g}"/>',
            f'<polygon class="tip" points="{end:g},{self.y:g} {tip:g},{self.y - 5:g} '
            f'{tip:g},{self.y + 5:g}"/>',
        ]
        self.y += 14

    def deed(self, event: Deed) -> None:
        lines = textwrap.wrap(event.text, int((LANE - 30) / CHARACTER))
        height = LINE * len(lines) + 10
        self.shapes.append(
            f'<rect class="deed" x="{self.x(event.who) - LANE / 2 + 8:g}" y="{self.y:g}" '
            f'width="{LANE - 16}" height="{height}" rx="5"/>'
        )
        self.text(self.x(event.who), self.y + 17, lines, "words")
        self.y += height + 10

    def phase(self, event: Phase) -> None:
        self.y += 8
        self.shapes.append(
            f'<rect class="phase" x="2" y="{self.y:g}" width="{self.width - 4}" height="22" rx="3"/>'
        )
        self.text(self.width / 2, self.y + 15.5, [event.text], "words strong")
        self.y += 32

    def finished(self, title: str) -> str:
        height = self.y + 12
        lanes = []
        for name, label in self.labels.items():
            x = self.x(name)
            lanes.append(f'<line class="lane" x1="{x:g}" y1="38" x2="{x:g}" y2="{height - 4:g}"/>')
            lanes.append(
                f'<rect class="who" x="{x - LANE / 2 + 10:g}" y="6" width="{LANE - 20}" height="32" rx="6"/>'
                f'<text class="words strong" text-anchor="middle" x="{x:g}" y="27">{escape(label)}</text>'
            )
        return (
            f'<svg class="sequence" role="img" viewBox="0 0 {self.width:g} {height:g}" '
            f'style="min-width:{self.width * 0.72:g}px;max-width:{self.width:g}px" '
            f'xmlns="http://www.w3.org/2000/svg" aria-label="{escape(title, quote=True)}">'
            f"<title>{escape(title)}</title>{''.join(lanes)}{''.join(self.shapes)}</svg>"
        )


def draw(diagram: Diagram, title: str) -> str:
    """Return the diagram as SVG."""
    return _Drawing(diagram).finished(title)


def figure(text: str, title: str) -> str:
    """Return the diagram that *text* describes as HTML: the drawing, and its steps in words."""
    diagram = parse(text)
    drawing = f'<div class="scroll" tabindex="0">{draw(diagram, title)}</div>'
    return f'<figure class="sequence">{drawing}{in_words(diagram)}</figure>'


def in_words(diagram: Diagram) -> str:
    """Return the steps as an HTML list."""
    labels = diagram.participants
    items = []
    for event in diagram.events:
        match event:
            case Phase():
                items.append(f"<li><strong>{escape(event.text)}</strong></li>")
            case Deed():
                items.append(f"<li>{escape(labels[event.who])}: {escape(event.text)}</li>")
            case Message():
                way = f"{labels[event.source]} to {labels[event.target]}"
                items.append(f"<li>{escape(way)}: {escape(event.text)}</li>")
    return f"<details><summary>The same in words</summary><ol>{''.join(items)}</ol></details>"
