"""
Fuzz the parsers with atheris: `make fuzz`, or `python tests/fuzz/run.py callback --seconds 600`.

Each target runs in a process of its own, since libFuzzer never returns. A crash is written to
tests/fuzz/crashes; put it into the target's corpus, where the tests play it again, and mend the parser.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "support"), str(HERE.parents[1])]
ROUNDS_TIMEOUT = 5
"""Seconds that one input may take before it counts as a hang."""


def names() -> list[str]:
    """The five targets."""
    return ["strict_json", "url", "jose", "answers", "callback"]


def fuzz(target: str, corpus: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, until libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["smart_async", "targets", "doors"]):
        from targets import TARGETS

    # Names are looked up on first use; importing all of it now keeps that out of the measured inputs.
    atheris.Setup([sys.argv[0], *arguments, corpus, str(HERE / "corpus" / target)], TARGETS[target])
    atheris.Fuzz()


def supervise(target: str, seconds: int) -> int:
    """Fuzz one target in a process of its own, and say what came of it."""
    crashes = HERE / "crashes"
    crashes.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        command = [
            *(sys.executable, __file__, target, "--here", corpus),
            *(f"-max_total_time={seconds}", f"-timeout={ROUNDS_TIMEOUT}", "-rss_limit_mb=1024"),
            *(f"-artifact_prefix={crashes}/{target}-", "-max_len=20000", "-print_final_stats=1"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        found = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        executions = int(found[1]) if found else 0
        print(
            f"{target:12} {executions:>9} executions, {len(list(Path(corpus).iterdir()))} new inputs", end=""
        )
        if done.returncode == 0 and executions:
            print(", no crash")
            return 0
        print(f", FAILED (status {done.returncode}); see {crashes}")
        print(done.stderr[-4000:], file=sys.stderr)
        return 1


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"some of {', '.join(names())}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--here", metavar="CORPUS", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    chosen = options.targets or names()
    if unknown := sorted(set(chosen) - set(names())):
        parser.error(f"there is no target {unknown[0]}")
    if options.here:
        fuzz(chosen[0], options.here, rest)
    return max(supervise(target, options.seconds) for target in chosen)


if __name__ == "__main__":
    sys.exit(main())
