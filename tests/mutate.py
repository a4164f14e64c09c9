"""
See the guards fail: break our own code, one listed fault at a time, and run the tests that guard the rule.

`make mutate`, or `python tests/mutate.py --rule AL-05` for one. A fault that no guard notices survives, and
is an error, as is a fault that can no longer be made and a guard that fails without one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs" / "conformance"))

from conformance import collect_markers, guards_of, load_rules  # noqa: E402

COPIED = ("smart_async", "tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile")
TIMEOUT = 180.0
"""Seconds for the guards of one fault; a whole run of all guards takes a fraction of it each."""

_SLOW = ("FailedHealthCheck", "DeadlineExceeded", "Failed: Timeout")

NOTICED, SURVIVED, STALE, BROKEN = "noticed", "SURVIVED", "STALE", "BROKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One change to one line.

    Args:
        rule: The rule that it breaks.
        file: The file, relative to the repository.
        old: The text that stands there once.
        new: What takes its place.
        guards: The node ids of the tests that have to notice.
    """

    rule: str
    file: str
    old: str
    new: str
    guards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What became of a fault.

    Args:
        fault: The fault.
        outcome: `noticed`, `SURVIVED`, `STALE` or `BROKEN`.
        detail: Who noticed, or what is wrong.
        seconds: How long it took.
    """

    fault: Fault
    outcome: str
    detail: str
    seconds: float


def load_faults(markers: Mapping[str, Sequence[str]]) -> list[Fault]:
    """
    Return the listed faults with their guards.

    Args:
        markers: The node ids that carry each rule.
    """
    rules = load_rules()
    listed = tomllib.loads((ROOT / "tests" / "mutations.toml").read_text(encoding="utf-8"))
    return [
        Fault(rule=id_, guards=tuple(guards_of(rules[id_], markers)), **fault)
        for id_, fault in listed.items()
    ]


def run_tests(copy: Path, nodes: Sequence[str]) -> tuple[int | None, str]:
    """
    Run some tests of a copy, to the first failure.

    Args:
        copy: Where the copy is.
        nodes: The node ids.

    Returns:
        pytest's exit status, None when the time was up; and what it printed.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--no-cov", "--tb=line"]
    command += ["-p", "no:cacheprovider", "-p", "no:randomly", f"--rootdir={copy}", f"@{copy / 'nodes'}"]
    # Node ids may hold anything, and there may be more than a command line takes.
    (copy / "nodes").write_text("\n".join(nodes), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(copy.parent / "hypothesis")
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout + done.stderr


def judge(fault: Fault, copy: Path) -> Verdict:
    """
    Make a fault in a copy, run its guards, and mend it again.

    Args:
        fault: The fault.
        copy: The copy.
    """
    started = time.monotonic()

    def verdict(outcome: str, detail: str) -> Verdict:
        return Verdict(fault=fault, outcome=outcome, detail=detail, seconds=time.monotonic() - started)

    path = copy / fault.file
    whole = path.read_text(encoding="utf-8")
    if (count := whole.count(fault.old)) != 1:
        return verdict(STALE, f"the text is there {count} times in {fault.file}")
    if not fault.guards:
        return verdict(SURVIVED, "there is no guard")
    path.write_text(whole.replace(fault.old, fault.new), encoding="utf-8")
    try:
        status, output = run_tests(copy, fault.guards)
    finally:
        path.write_text(whole, encoding="utf-8")
    lines = output.strip().splitlines() or [""]
    if status == 0:
        return verdict(SURVIVED, f"{len(fault.guards)} cases passed")
    # A fault that cannot even be loaded shows nothing about the guards, and neither does a slow machine.
    if status is None or any(sign in output for sign in _SLOW):
        return verdict(BROKEN, "the time was up")
    if status != 1:
        return verdict(BROKEN, lines[-1])
    failed = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])
    test, bracket, case = failed.partition(" - ")[0].partition("[")
    return verdict(NOTICED, test.rpartition("/")[2] + bracket + case)


@contextmanager
def copies(count: int) -> Iterator[Queue[Path]]:
    """
    Make some copies of the repository, for the time of the block.

    Args:
        count: How many.
    """
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        queue: Queue[Path] = Queue()
        for number in range(count):
            target = Path(folder, str(number))
            target.mkdir()
            for name in COPIED:
                source = ROOT / name
                if source.is_dir():
                    ignore = shutil.ignore_patterns("__pycache__", "node_modules")
                    shutil.copytree(source, target / name, ignore=ignore)
                else:
                    shutil.copy(source, target / name)
            queue.put(target)
        yield queue


def check_copy(copy: Path) -> None:
    """
    Raise if the copy's tests would import another package than the copy's.

    Args:
        copy: The copy.

    Raises:
        RuntimeError: If so: every fault would then survive.
    """
    found = subprocess.run(
        [sys.executable, "-c", "import smart_async; print(smart_async.__file__)"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()
    if not Path(found).is_relative_to(copy):
        raise RuntimeError(f"the copy in {copy} is not the package that its tests import ({found})")


def report(verdict: Verdict) -> None:
    """
    Print one line of the table.

    Args:
        verdict: What to print.
    """
    fault = verdict.fault
    print(
        f"{fault.rule:7} {verdict.outcome:9} {verdict.seconds:5.1f} s  {fault.file:48} {verdict.detail}",
        flush=True,
    )


def main() -> int:
    """Make the faults that were asked for, and say which of them were noticed."""
    parser = argparse.ArgumentParser(description="Break the code fault by fault, and see the guards fail.")
    parser.add_argument(
        "--rule", action="append", metavar="ID", help="only the fault for this rule; repeatable"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    options = parser.parse_args()
    started = time.monotonic()
    faults = load_faults(collect_markers())
    if options.rule:
        unknown = set(options.rule) - {fault.rule for fault in faults}
        if unknown:
            parser.error(f"no fault is listed for {', '.join(sorted(unknown))}")
        faults = [fault for fault in faults if fault.rule in options.rule]
    jobs = max(1, min(options.jobs, len(faults)))
    with copies(jobs) as free:
        copy = free.get()
        check_copy(copy)
        guards = sorted({node for fault in faults for node in fault.guards})
        status, output = run_tests(copy, guards)
        free.put(copy)
        if status != 0:
            print(f"The guards fail without any fault:\n{output}", file=sys.stderr)
            return 1
        print(f"Without a fault, {len(guards)} cases pass.", flush=True)

        def one(fault: Fault) -> Verdict:
            place = free.get()
            try:
                return judge(fault, place)
            finally:
                free.put(place)

        verdicts: list[Verdict] = []
        with ThreadPoolExecutor(jobs) as pool:
            for verdict in pool.map(one, faults):
                report(verdict)
                verdicts.append(verdict)
    bad = [verdict for verdict in verdicts if verdict.outcome != NOTICED]
    noticed = len(verdicts) - len(bad)
    print(f"{noticed} of {len(verdicts)} faults noticed, in {time.monotonic() - started:.0f} s.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
