"""The demo's screen: one block for each message, in the order they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from smart_async.cli.captions import CAPTIONS, TITLES, gloss, remarks
from smart_async.cli.tables import members_table, plain
from smart_async.cli.trace import Assertion, Shown
from smart_async.messages import JSONObject, as_list, as_object

__all__ = ("Screen",)

_TIMES = ("iat", "exp", "nbf")
_LONG = 50
_SUCCESS = range(200, 400)


class Screen:
    """
    Prints messages so that a newcomer can follow; everything is explained where it first occurs.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._explained: set[str] = set()
        self._answers: dict[str, Shown] = {}
        self._last_signed: Shown | None = None

    def title(self, text: str) -> None:
        """Begin a part of the story."""
        self._console.print()
        self._console.print(Rule(Text(text, style="bold"), align="left", characters="=", style="dim"))

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self._console.print(Padding(Text(text, style="italic"), (0, 0, 0, 2)))

    def members(self, members: Mapping[str, Any]) -> None:
        """Print names and values."""
        self._console.print()
        self._console.print(members_table(members, indent=4))

    def exchange(self, shown: Shown) -> None:
        """Print one message and its answer."""
        self._console.print()
        self._console.print(
            Text.assemble(
                (f"[{shown.number}] {_title(shown)}", "bold"), f"   {shown.sender} -> {shown.receiver}"
            )
        )
        for text in (CAPTIONS.get(shown.kind), *remarks(shown, self._last_signed)):
            if text and text not in self._explained:
                self._explained.add(text)
                self.say(text)
        if shown.assertion:
            self._last_signed = shown
        self._sent(shown)
        self._received(shown)

    def summary(self, exchanges: list[Shown]) -> None:
        """Print one line for each message."""
        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
        for name in ("#", "who", "what", "signed with", "answer", "time"):
            table.add_column(name, justify="right" if name in ("#", "time") else "left")
        for shown in exchanges:
            table.add_row(
                str(shown.number),
                f"{shown.sender} -> {shown.receiver}",
                _title(shown),
                plain(shown.assertion.header.get("alg", "")) if shown.assertion else "",
                "none" if shown.status is None else str(shown.status),
                f"{shown.milliseconds} ms",
            )
        self._console.print(Padding(table, (0, 0, 0, 2)))

    def _sent(self, shown: Shown) -> None:
        self._console.print()
        self._console.print(Text.assemble("  > ", (f"{shown.method} {plain(shown.url)}", "bold green")))
        self._table(shown.headers, "green", "sent")
        # The browser only carries a callback: the EHR said what is in it.
        said = "received" if shown.kind == "callback" else "sent"
        self._table(shown.query, "green", said, "in the query")
        self._table({**shown.form, **shown.derived}, "green", "sent", "in the form")
        self._jwt(shown.assertion, "sent", "the assertion")

    def _received(self, shown: Shown) -> None:
        self._console.print()
        if shown.status is None:
            self._console.print(Text(f"  < no answer: {plain(shown.problem)}", style="bold red"))
            return
        style = "bold blue" if shown.status in _SUCCESS else "bold red"
        self._console.print(
            Text.assemble("  < ", (str(shown.status), style), f" after {shown.milliseconds} ms")
        )
        self._table(shown.answer_headers, "blue", "received")
        self._table(shown.redirect, "blue", "received", "in the query of Location")
        before = self._answers.setdefault(shown.url, shown)
        if shown.answer and before is not shown and before.answer == shown.answer:
            self._console.print(Text(f"    in the body: the same as in [{before.number}]", style="dim"))
        else:
            self._table(_listed(shown.answer), "blue", "received", "in the body")
        self._jwt(shown.id_token, "received", "the ID token")

    def _jwt(self, jwt: Assertion | None, side: str, what: str) -> None:
        if jwt:
            self._table(jwt.header, "magenta", side, f"in {what}'s header")
            self._table(jwt.claims, "magenta", side, f"in {what}'s claims")
            self._table({"signature": jwt.signature}, "magenta", side, "and at its end")

    def _table(self, members: Mapping[str, Any], style: str, side: str, label: str = "") -> None:
        if not members:
            return
        if label:
            self._console.print(Text(f"    {label}", style="dim"))
        glosses = {name: line for name in members if (line := self._explain(side, name))}
        values = {name: _readable(name, value) for name, value in members.items()}
        self._console.print(members_table(values, style=style, glosses=glosses, indent=6))

    def _explain(self, side: str, name: str) -> str:
        filed, line = gloss(side, name) or ("", "")
        if not line or filed in self._explained:
            return ""
        self._explained.add(filed)
        return line


def _title(shown: Shown) -> str:
    return TITLES.get(shown.kind, plain(shown.kind, length=40))


def _readable(name: str, value: Any) -> Any:
    if name in _TIMES and isinstance(value, int):
        try:
            return f"{value} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        except (OverflowError, ValueError, OSError):
            return value
    return value


def _listed(answer: JSONObject) -> JSONObject:
    # A JWK Set gets a row for each key: one of them is what the signature was checked with.
    keys = as_list(answer.get("keys"))
    if keys is None:
        return answer
    return {f"keys[{number}]": _shortened(as_object(key) or {}) for number, key in enumerate(keys)}


def _shortened(key: JSONObject) -> str:
    texts = ((name, plain(value)) for name, value in key.items())
    return ", ".join(
        f"{name} {text}" if len(text) <= _LONG else f"{name} {text[:12]}… ({len(text)} characters)"
        for name, text in texts
    )
