"""What every command has in common on its way out: exit codes, JSON, errors, consoles."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, TextIO, cast

from rich.console import Console

from smart_async.errors import (
    ConfigurationError,
    LaunchRejectedError,
    SmartError,
    StoreError,
    TransportError,
)
from smart_async.messages import Finding

__all__ = (
    "INTERRUPTED",
    "NO_ANSWER",
    "REFUSED",
    "WRONG_INPUT",
    "Stdout",
    "console",
    "error_members",
    "exit_code",
    "finding_members",
    "in_cli_words",
    "note",
    "print_json",
    "report_error",
)

WRONG_INPUT = 2
REFUSED = 3
NO_ANSWER = 4
INTERRUPTED = 130

_PIPED_WIDTH = 100
_DETAILS = (
    "field", "status", "sent", "received", "error", "error_description", "error_uri", "retry_after",
    "correlation_id",
)  # fmt: skip
_UNUSUAL = re.compile(r"[^\n -~]")
_TRAILING = re.compile(r" +$", re.MULTILINE)
# The library speaks to programmers; at a prompt the same thing has another name.
_WORDS = (
    ("allow_insecure_loopback=True", "--allow-insecure-loopback"),
    ("follow_discovery_redirects=True", "--follow-redirects"),
    ("Check passphrase=.", "Check SMART_KEY_PASSPHRASE, or run on a terminal to be asked for it."),
    ("or say that it may be overwritten", "or add --force to overwrite it"),
    (", or pass algorithm=", ", or add --alg"),
    ("algorithm=", "--alg "),
    ("key_size=", "--key-size "),
    ("with kid=", "with --kid"),
    ("Timeouts(total=…, discovery=…)", "--timeout"),
    ("Timeouts(total=…)", "--timeout"),
    ("trusted_origins", "--trusted-origin"),
    ("allow_changes=", "--allow-change "),
    ("and is .registration on this error", "and is in the file of --out, if there is one"),
    ("use backend_token()", "use smart-async token"),
)


def exit_code(error: SmartError) -> int:
    """Return 2 for bad input, 4 where no usable answer came back, and 3 where the server is at fault."""
    if isinstance(error, ConfigurationError | StoreError | LaunchRejectedError):
        return WRONG_INPUT
    return NO_ANSWER if isinstance(error, TransportError) else REFUSED


def in_cli_words(text: str) -> str:
    """
    Name options the way they are typed here.

    >>> in_cli_words("Say so with allow_insecure_loopback=True.")
    'Say so with --allow-insecure-loopback.'
    """
    for theirs, ours in _WORDS:
        text = text.replace(theirs, ours)
    return text


def error_members(error: SmartError) -> dict[str, Any]:
    """Return *error* as the value of `error` in the JSON output, what it knows of the answer included."""
    details = {name: getattr(error, name) for name in _DETAILS if hasattr(error, name)}
    return {
        "class": type(error).__name__,
        "message": in_cli_words(error.message),
        "endpoint": error.endpoint,
        "advice": in_cli_words(error.advice) if error.advice else None,
        **details,
    }


def finding_members(finding: Finding) -> dict[str, str]:
    """Return *finding* as a JSON object."""
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "message": finding.message,
        "advice": finding.advice,
    }


class Stdout:
    """Remembers whether this run of the command line has printed its one JSON object."""

    has_object = False


def print_json(document: dict[str, Any]) -> None:
    """Print *document* as the one JSON object of a command; there is never a second one."""
    if Stdout.has_object:
        return
    Stdout.has_object = True
    text = json.dumps(document, indent=2, ensure_ascii=False)
    sys.stdout.write(_UNUSUAL.sub(_escaped, text) + "\n")
    sys.stdout.flush()


def _escaped(match: re.Match[str]) -> str:
    # A terminal takes some of these for commands, and others turn the text around them.
    character = match[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]


def note(text: str) -> None:
    """Say something on stderr, out of the way of the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def report_error(members: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print a failure: one paragraph on stderr, or one JSON object on stdout."""
    if as_json:
        print_json({"error": members})
    else:
        note(f"Error: {text}")


def console() -> Console:
    """
    Return where results are written: coloured on a terminal, plain text of a fixed width elsewhere.

    Nothing in what is printed counts as markup, for it may come from a server.
    """
    if sys.stdout.isatty():
        return Console(markup=False, emoji=False, highlight=False)
    screen = Console(file=cast("TextIO", _Trimmed()), markup=False, emoji=False, highlight=False)
    if "COLUMNS" not in os.environ:
        screen.width = _PIPED_WIDTH
    return screen


class _Trimmed:
    """Standard output without the blanks by which Rich fills its lines up."""

    def write(self, text: str) -> int:
        _ = sys.stdout.write(_TRAILING.sub("", text))
        return len(text)

    def flush(self) -> None:
        sys.stdout.flush()
