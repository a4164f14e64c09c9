"""
The runner: it measures the rows one after the other and prints one table.

    make bench                         everything
    make bench ARGS="1 4"              rows 1 and 4
    make bench ARGS="--json FILE"      the figures as well, with facts about the machine; "-" for stdout
    make bench ARGS=--strict           exit code 1 if a limit is missed

Without --strict a missed limit is reported and no failure: on a busy machine a timed check that fails says
nothing about the code.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.measure import MINIMUM, Effort, Result

__all__ = ("ROWS", "facts", "line", "main", "measured", "table")

ROWS = {
    1: ("assertion", "client assertion, cached key"),
    2: ("backend_flow", "backend token, whole flow in memory, ES384"),
    3: ("peers", "backend token, RSA-2048 PEM, other libraries"),
    4: ("bearer", "FHIR GET with a valid cached token"),
    5: ("cold_start", "cold start: imports, and the first token"),
    6: ("tenants", "10,000 tenants on one transport"),
    7: ("waiters", "10,000 tasks wait for one renewal"),
    8: ("loop_stall", "event-loop stall while 200 assertions are signed"),
    9: ("throughput", "tokens per second over loopback, 64 in flight"),
    10: ("parsing", "parsing"),
    11: ("discoveries", "5,000 discoveries on a simulated network"),
}
"""The module and the subject of each row."""

PACKAGES = (
    *("smart-async", "httpx", "httpx2", "joserfc", "cryptography", "anyio", "trio"),
    *("authlib", "requests-oauth2client", "msal", "fhirclient"),
)

_HEAD = f"{'#':>2}  {'what':<40}{'ours':>12}{'baseline':>12}  {'ratio':>7}  {'limit':<8}  {'':<4}  against"


def measured(rows: Iterable[int], effort: Effort) -> Iterable[Result]:
    """
    Yield the lines of *rows* as they are measured.

    Args:
        rows: Numbers of rows.
        effort: How much is measured.
    """
    for row in rows:
        yield from importlib.import_module(f"benchmarks.rows.{ROWS[row][0]}").measure(effort)


def line(one: Result) -> str:
    """Return one line of the table."""
    limit = "-" if one.limit is None else f"{'≥' if one.at_least else '≤'} {one.limit:.2f}"
    verdict = {True: "yes", False: "NO", None: "-"}[one.passed]
    return (
        f"{one.row:>2}  {one.what:<40}{_figure(one.ours, one.unit):>12}{_figure(one.baseline, one.unit):>12}"
        f"  {one.ratio:>7.3f}  {limit:<8}  {verdict:<4}  {one.against}"
    )


def table(results: Iterable[Result]) -> str:
    """Return the results for people."""
    return "\n".join([_HEAD, *map(line, results)])


def _figure(value: float, unit: str) -> str:
    digits = 0 if value >= 1000 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def facts() -> dict[str, Any]:
    """Return what a figure depends on beside the code: interpreter, machine, load, versions."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = (text.partition("\t: ")[2] for text in text.splitlines() if text.startswith("model name"))
    return next(names, platform.processor())


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Measure, print, and return the exit code.

    Args:
        arguments: The command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("rows", nargs="*", type=int, help="the rows to measure; all if left out")
    parser.add_argument("--list", action="store_true", help="list the rows")
    parser.add_argument("--json", metavar="FILE", help='write the figures there too; "-" is stdout, alone')
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a limit is missed")
    parser.add_argument(
        "--rounds", type=int, default=Effort().rounds, help=f"rounds of a comparison, at least {MINIMUM}"
    )
    options = parser.parse_args(arguments)
    if options.rounds < MINIMUM:
        parser.error(f"--rounds must be at least {MINIMUM}")
    if unknown := [row for row in options.rows if row not in ROWS]:
        parser.error(f"there is no row {unknown[0]}")
    if options.list:
        print("\n".join(f"{row:>2}  {subject}" for row, (_, subject) in ROWS.items()))
        return 0
    return _run(
        options.rows or list(ROWS), Effort(rounds=options.rounds), options.json, strict=options.strict
    )


def _run(rows: Sequence[int], effort: Effort, file: str | None, *, strict: bool) -> int:
    started, machine, results = perf_counter(), facts(), []
    shown = sys.stderr if file == "-" else sys.stdout
    print(_HEAD, file=shown, flush=True)
    for one in measured(rows, effort):
        results.append(one)
        print(line(one), file=shown, flush=True)
    missed = [one for one in results if one.passed is False]
    kept = sum(one.passed is True for one in results)
    print(
        f"\n{kept} limits kept, {len(missed)} missed, in {perf_counter() - started:.0f} s; "
        f"Python {machine['python']}, {machine['cores']} cores, load {machine['load']} at the start",
        file=shown,
    )
    document = {"machine": machine, "results": [one.to_json() for one in results]}
    if file == "-":
        print(json.dumps(document, indent=2))
    elif file:
        Path(file).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if strict and missed else 0
