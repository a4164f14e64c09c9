"""
Hold each room's branch coverage at its floor: `make test` runs this after the tests.

A total over the whole package would let one well-tested room pay for another, so every room stands alone.
A room that is listed nowhere has the floor `ELSEWHERE`; a listed one that does not exist is an error.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

COMPLETE = ("errors", "limits", "messages", "interfaces", "flow", "keys", "smart", "clients")
"""Rooms where every branch is taken: 100 %."""

ELSEWHERE = 95.0
"""Per cent of lines and branches in every other room."""

PEERS = ("stores/redis.py",)
"""Modules that only a real server can exercise: `make test-peers` does."""

PACKAGE = Path(__file__).parent.parent / "smart_async"


def rooms(package: Path = PACKAGE) -> dict[str, list[str]]:
    """Return each room's name and the patterns of its files."""
    found: dict[str, list[str]] = {}
    for path in sorted(package.iterdir()):
        if path.suffix == ".py":
            found[path.stem] = [str(path)]
        elif path.is_dir() and any(path.rglob("*.py")):
            found[path.name] = [f"{path}/*"]
    return found


def main() -> int:
    """Print what falls short of its floor and return 1, or return 0."""
    import coverage  # only this script needs it, and pytest imports every file here

    data = coverage.Coverage()
    data.load()
    found = rooms()
    failed = [f"{name}: there is no such room" for name in COMPLETE if name not in found]
    omit = [str(PACKAGE / name) for name in PEERS]
    for name, include in found.items():
        floor = 100.0 if name in COMPLETE else ELSEWHERE
        lines = io.StringIO()
        total = data.report(include=include, omit=omit, file=lines, skip_covered=True, show_missing=True)
        print(f"{name:14} {total:6.2f} %   floor {floor:.0f} %")
        if total < floor:
            failed.append(f"{name}: {total:.2f} % is below {floor:.0f} %\n{lines.getvalue()}")
    print("\n".join(failed), file=sys.stderr, end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
