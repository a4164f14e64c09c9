"""The console script `smart-async`, also started by `python -m smart_async`."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

__all__ = ("main",)

_MESSAGE = "The command line needs {name}, which is not installed."
_ADVICE = 'Install it with: pip install "smart-async[cli]"'


def main() -> None:
    """Run the command line, or say what to install: the library works without Typer and Rich."""
    try:
        from smart_async.cli.app import app
    except ModuleNotFoundError as exc:
        name = (exc.name or "").partition(".")[0]
        if name not in ("typer", "rich"):
            raise
        _refuse(_MESSAGE.format(name=name))
    app()


def _refuse(message: str) -> NoReturn:
    if "--json" in sys.argv:
        error = {"class": "ConfigurationError", "message": message, "endpoint": None, "advice": _ADVICE}
        sys.stdout.write(json.dumps({"error": error}) + "\n")
    sys.stderr.write(f"Error: {message} {_ADVICE}\n")
    sys.exit(2)


if __name__ == "__main__":  # pragma: no cover - runs in a process of its own, where a test sees it work
    main()
