"""A sign of life on a terminal while something is waited for; nothing anywhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

__all__ = ("waiting",)


@contextmanager
def waiting(text: str, *, quiet: bool = False) -> Generator[None]:
    """
    Show *text* with a spinner on stderr while the block runs, and take it away afterwards.

    Args:
        text: What is being waited for. What may come from a server is shown as plain text.
        quiet: Show nothing, for output that a program reads.
    """
    # FORCE_COLOR makes Rich believe in a terminal, and a file would be filled with frames.
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    with Console(stderr=True, markup=False, emoji=False, highlight=False).status(Text(text)):
        yield
