"""The lines of the vital signs, worked out here and drawn by the template as SVG: no script, no image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from patient_chart import Measurement

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 38, 46, 26, 26
MOST = 3
GRAPHS = (
    ("blood-pressure", "Blood pressure", {"8480-6": "Systolic", "8462-4": "Diastolic"}),
    ("weight", "Body weight", {"29463-7": "Weight"}),
    ("height", "Body height", {"8302-2": "Height"}),
    ("pulse", "Heart rate", {"8867-4": "Heart rate"}),
)
"""Each graph's id and title, and the LOINC codes of its lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a graph, in the coordinates of the drawing."""

    name: str
    points: tuple[tuple[float, float], ...]
    last: str

    @property
    def path(self) -> str:
        """The line as SVG's `points`."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph, and the same in words and as a table for those who do not see it."""

    id: str
    title: str
    unit: str
    summary: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[float, str], ...]
    years: tuple[tuple[float, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[date, tuple[str, ...]], ...]


def graphs(measurements: Iterable[Measurement]) -> list[Graph]:
    """Return graphs of the first few vital signs that were measured more than once and change."""
    by_code: dict[str, list[Measurement]] = {}
    for each in measurements:
        by_code.setdefault(each.code, []).append(each)
    drawn = []
    for identifier, title, codes in GRAPHS:
        courses = {name: by_code[code] for code, name in codes.items() if len(by_code.get(code, ())) > 1}
        if len({each.value for course in courses.values() for each in course}) > 1:
            drawn.append(_graph(identifier, title, courses))
    return drawn[:MOST]


def _graph(identifier: str, title: str, courses: dict[str, list[Measurement]]) -> Graph:
    everything = [each for course in courses.values() for each in course]
    days = sorted({each.day for each in everything})
    first, last = days[0].toordinal(), days[-1].toordinal()
    levels = _levels(min(each.value for each in everything), max(each.value for each in everything))
    low, high = levels[0], levels[-1]

    def x_of(day: date) -> float:
        part = (day.toordinal() - first) / max(last - first, 1)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    return Graph(
        id=identifier,
        title=title,
        unit=everything[0].unit,
        summary=_summary(courses),
        lines=tuple(
            Line(
                name=name,
                points=tuple((x_of(each.day), y_of(each.value)) for each in course),
                last=f"{course[-1].value:g}",
            )
            for name, course in courses.items()
        ),
        levels=tuple((y_of(level), f"{level:g}") for level in levels),
        years=tuple((x_of(day), text) for day, text in _years(days[0], days[-1])),
        columns=tuple(courses),
        rows=tuple((day, tuple(_value_on(day, course) for course in courses.values())) for day in days[::-1]),
    )


def _levels(low: float, high: float) -> list[float]:
    # Round numbers that enclose all values: steps of 1, 2 or 5 and a power of ten, three to six of them.
    rough = max(high - low, 1) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    start, end = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 6) for number in range(start, max(end, start + 1) + 1)]


def _years(first: date, last: date) -> list[tuple[date, str]]:
    years = [date(year, 1, 1) for year in range(first.year + 1, last.year + 1)]
    if len(years) < 2:
        return [(first, str(first)), *([(last, str(last))] if last > first else [])]
    return [(day, str(day.year)) for day in years[:: math.ceil(len(years) / 6)]]


def _summary(courses: dict[str, list[Measurement]]) -> str:
    return " ".join(
        f"{name} from {course[0].value:g} in {course[0].day:%B %Y} to {course[-1].value:g} {course[-1].unit} "
        f"in {course[-1].day:%B %Y}; lowest {min(each.value for each in course):g}, "
        f"highest {max(each.value for each in course):g}."
        for name, course in courses.items()
    )


def _value_on(day: date, course: list[Measurement]) -> str:
    return next((f"{each.value:g}" for each in course if each.day == day), "")
