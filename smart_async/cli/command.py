"""How this command line is called from where the user stands."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

__all__ = ("how_to_call",)

_NAME = "smart-async"


def how_to_call() -> str:
    """
    Return what to type for this command: its name if that is on the PATH, else where it is.

    In a virtual environment that is not activated the name alone leads nowhere.
    """
    if shutil.which(_NAME):
        return _NAME
    for place in (Path(sys.argv[0]), Path(sys.executable).with_name(_NAME)):
        if place.name.startswith(_NAME) and place.is_file():
            return _typed(place)
    return f"{_typed(Path(sys.executable))} -m smart_async"


def _typed(place: Path) -> str:
    # Not resolved: the Python of a virtual environment is a link to one that knows nothing of it.
    absolute = Path(os.path.abspath(place))  # noqa: PTH100 - resolve() follows links
    here = Path.cwd()
    return shlex.quote(str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute))
