"""Names and values in two columns, in the one look that all commands share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smart_async.messages import as_list, clean_text

__all__ = ("heading", "members_table", "plain")

_NAME_WIDTH = 24
_VALUE_LENGTH = 1200


def plain(value: Any, *, length: int = _VALUE_LENGTH) -> str:
    """
    Return *value*, which may come from a server, as one harmless line of text.

    >>> plain(["a", "b"]), plain({"a": 1}), plain(True)
    ('a, b', '{"a": 1}', 'true')
    """
    items = as_list(value)
    if items and all(isinstance(item, str) for item in items):
        value = ", ".join(items)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clean_text(text, length=length)


def heading(text: str) -> Text:
    """Return *text* as a heading."""
    return Text(text, style="bold")


def members_table(
    members: Mapping[str, Any],
    *,
    style: str = "cyan",
    glosses: Mapping[str, str] | None = None,
    indent: int = 2,
) -> Padding:
    """
    Return *members* as two columns that line up over a whole screen.

    Args:
        members: Values by name; both may come from a server.
        style: The style of the names.
        glosses: Short explanations by name, shown after the value.
        indent: Blanks on the left.
    """
    rows: list[RenderableType] = []
    for name, value in members.items():
        cell = Text(plain(value))
        gloss = (glosses or {}).get(name)
        if gloss:
            _ = cell.append(f"  # {gloss}", style="dim italic")
        rows.extend(_row(Text(plain(name, length=80), style=style), cell))
    return Padding(Group(*rows), (0, 0, 0, indent))


def _row(name: Text, value: Text) -> list[RenderableType]:
    if len(name) > _NAME_WIDTH:  # a line of its own keeps a long name whole
        return [name, *_row(Text(), value)]
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=_NAME_WIDTH)
    grid.add_column(overflow="fold")
    grid.add_row(name, value)
    return [grid]
