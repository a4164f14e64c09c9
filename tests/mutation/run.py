"""
Break the policy rooms in every small way that mutmut knows, and see their tests fail.

`make mutate-rooms`, or `python tests/mutation/run.py urls smart/retries` for some. A mutant that no test
notices is an error unless tests/mutation/explained.toml says why nothing can notice it. Verdicts are kept in
build/mutate, for as long as neither the room nor its tests change: an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from making import Mutant, make_mutants  # noqa: E402 - its folder had to be put on the path first

COPIED = ("smart_async", "tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile")
KEPT = ROOT / "build" / "mutate"
FLOOR = 95.0
"""The least score of a room, in per cent of the mutants that tests can notice."""
PATIENCE = 30.0
"""Seconds that a mutant gets beyond five times of what its tests take; one test gets half of them."""

KILLED, SLOW, SURVIVED, EXPLAINED = "killed", "time was up", "SURVIVED", "explained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """
    A room and its tests.

    Args:
        name: Its name in rooms.toml.
        files: The modules, relative to the repository.
        tests: The files and folders of tests.
        always: Tests that run for every mutant that nothing else noticed: their processes are not traced.
    """

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    always: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return what changes with the room, its tests, their fixtures or the way they are run."""
        digest = hashlib.sha256()
        tests = [ROOT / name for name in (*self.tests, *self.always)]
        fixtures = {
            folder / "conftest.py"
            for path in tests
            for folder in path.parents
            if folder.is_relative_to(ROOT) and (folder / "conftest.py").exists()
        }
        for path in (*(ROOT / name for name in self.files), *tests, *sorted(fixtures), HERE / "server.py"):
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                digest.update(file.read_bytes())
        return digest.hexdigest()


@dataclass(slots=True, kw_only=True)
class Baseline:
    """
    What a run without a mutant showed.

    Args:
        seconds: How long each test takes.
        by_line: For each line of each module, the tests that ran it.
        modules: What was imported that is not ours.
    """

    seconds: Mapping[str, float]
    by_line: Mapping[tuple[str, int], set[str]]
    modules: Sequence[str]
    everything: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Put the tests in the order in which they run: the files that take the least time first."""
        files: Counter[str] = Counter()
        for node, seconds in self.seconds.items():
            files[node.partition("::")[0]] += seconds  # type: ignore[assignment]  # replaced on purpose
        self.everything = sorted(
            self.seconds,
            key=lambda node: (files[name := node.partition("::")[0]], name, self.seconds[node]),
        )

    def tests_for(self, mutant: Mutant) -> list[str]:
        """Return the tests that ran the mutant's lines; all of them for what runs at import, or once."""
        if mutant.where == "module" or mutant.once:
            return self.everything
        found = set[str]().union(*(self.by_line.get((mutant.file, line), ()) for line in mutant.lines))
        return self.everything if "" in found else [node for node in self.everything if node in found]


class Copy:
    """A copy of the repository with a warm process in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self, preload: Sequence[str]) -> None:
        """Start its process."""
        self.stop()
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(self.folder.parent / "hypothesis")
        environment["COVERAGE_FILE"] = str(self.folder.parent / f"{self.folder.name}.coverage")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._preload = list(preload)

    def stop(self) -> None:
        """Stop its process."""
        if self._process is not None:
            with self._process:  # closes both pipes, which ends it, and waits
                self._process = None

    def ask(self, **request: Any) -> dict[str, Any]:
        """Run some tests."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        whole = {"file": None, "source": None, "notes": None, "nodes": None, "options": [], **request}
        whole["preload"], self._preload = self._preload, []
        self._process.stdin.write(json.dumps(whole) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process in {self.folder} ended")
        return json.loads(line)  # type: ignore[no-any-return]


def load_rooms(wanted: Sequence[str]) -> list[Room]:
    """
    Return the rooms.

    Args:
        wanted: Names, or parts of the paths of modules; all rooms where there are none.
    """
    rooms = []
    for name, table in tomllib.loads((HERE / "rooms.toml").read_text("utf-8")).items():
        files = [str(path.relative_to(ROOT)) for glob in table["files"] for path in sorted(ROOT.glob(glob))]
        if wanted and name not in wanted:
            files = [file for file in files if any("/" in part and part in file for part in wanted)]
            # Its verdicts are kept apart from those of the whole room.
            name = "-".join([name, *(Path(file).stem for file in files)])
        if files:
            rooms.append(
                Room(
                    name=name,
                    files=tuple(files),
                    tests=tuple(table["tests"]),
                    always=tuple(table.get("always", ())),
                )
            )
    return rooms


def load_explained() -> dict[tuple[str, str, str, str], str]:
    """Return why nothing can notice a mutant, for each of those."""
    path = HERE / "explained.toml"
    table = tomllib.loads(path.read_text("utf-8")) if path.exists() else {}
    return {
        (file, entry["where"], entry["was"], now): entry["why"]
        for file, entries in table.items()
        for entry in entries
        for now in ([entry["now"]] if isinstance(entry["now"], str) else entry["now"])
    }


@contextmanager
def copies(count: int) -> Iterator[list[Copy]]:
    """
    Make some copies of the repository, for the time of the block.

    Args:
        count: How many.
    """
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        made = []
        for number in range(count):
            target = Path(folder, str(number))
            target.mkdir()
            for name in COPIED:
                if (ROOT / name).is_dir():
                    ignore = shutil.ignore_patterns("__pycache__", "node_modules")
                    shutil.copytree(ROOT / name, target / name, ignore=ignore)
                else:
                    shutil.copy(ROOT / name, target / name)
            # By content and not by the time of the change: two mutants of one second are two.
            compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
            subprocess.run([*compiled, "smart_async", "tests"], cwd=target, check=True)
            made.append(Copy(target))
        try:
            yield made
        finally:
            for copy in made:
                copy.stop()


def measure(room: Room, copy: Copy) -> Baseline:
    """
    Run the tests of a room without a mutant, and see which lines each of them runs.

    Args:
        room: The room.
        copy: Where.

    Raises:
        RuntimeError: If they fail.
    """
    from coverage import CoverageData

    notes = copy.folder.parent / "notes.json"
    options = ["--cov=smart_async", "--cov-context=test", "--cov-report="]
    copy.start([])
    paths = sorted({*room.tests, *room.always})
    reply = copy.ask(paths=paths, options=options, seconds=900, notes=str(notes))
    if reply["status"] != 0:
        raise RuntimeError(f"the tests of {room.name} fail without a mutant:\n{reply['output']}")
    noted = json.loads(notes.read_text("utf-8"))
    data = CoverageData(str(copy.folder.parent / f"{copy.folder.name}.coverage"))
    data.read()
    by_line: dict[tuple[str, int], set[str]] = {}
    for file in room.files:
        for line, contexts in data.contexts_by_lineno(str(copy.folder / file)).items():
            nodes = by_line.setdefault((file, line), set())
            for context in contexts:
                node, _, phase = context.rpartition("|")
                nodes.add(node)
                if phase == "setup":  # perhaps for the others of its file too
                    start = node.partition("::")[0] + "::"
                    nodes.update(other for other in noted["seconds"] if other.startswith(start))
    return Baseline(seconds=noted["seconds"], by_line=by_line, modules=noted["modules"])


def judge(mutant: Mutant, room: Room, baseline: Baseline, copy: Copy) -> tuple[str, float]:
    """
    Return what became of a mutant, and the seconds it took.

    Args:
        mutant: The mutant.
        room: Its room.
        baseline: What is known of the room's tests.
        copy: Where.
    """
    nodes = baseline.tests_for(mutant)
    nodes += [
        node for node in baseline.everything if node.startswith(room.always or ("\0",)) and node not in nodes
    ]
    if not nodes:
        return SURVIVED, 0.0
    reply = copy.ask(
        file=mutant.file,
        source=mutant.source,
        nodes=nodes,
        options=["-o", f"timeout={PATIENCE / 2:g}"],
        paths=list(dict.fromkeys(node.partition("::")[0] for node in nodes)),
        seconds=PATIENCE + 5 * sum(baseline.seconds[node] for node in nodes),
    )
    if reply["status"] is None or "Failed: Timeout (>" in reply["output"]:
        return SLOW, reply["seconds"]
    return SURVIVED if reply["status"] == 0 else KILLED, reply["seconds"]


def run_room(room: Room, free: Queue[Copy], again: bool) -> dict[tuple[str, str, str, str], str]:
    """
    Judge the mutants of a room, but for those whose verdict is known, and return all verdicts.

    Args:
        room: The room.
        free: The copies.
        again: Whether to believe what was noticed before, whatever changed, and try the survivors again.
    """
    mutants = [
        mutant for file in room.files for mutant in make_mutants(file, (ROOT / file).read_text("utf-8"))
    ]
    path = KEPT / f"{room.name}.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
    verdicts = {tuple(key): outcome for *key, outcome in kept.get("verdicts", ())}
    if again:
        verdicts = {key: outcome for key, outcome in verdicts.items() if outcome != SURVIVED}
    elif kept.get("fingerprint") != room.fingerprint():
        verdicts = {}
    todo = [mutant for mutant in mutants if mutant.key not in verdicts]
    started = time.monotonic()

    def save() -> None:
        KEPT.mkdir(parents=True, exist_ok=True)
        content = {
            "fingerprint": room.fingerprint(),
            "verdicts": [[*key, verdicts[key]] for key in sorted(verdicts)],
        }
        path.with_suffix(".new").write_text(json.dumps(content, indent=0), "utf-8")
        path.with_suffix(".new").replace(path)

    if todo:
        workers = [free.get() for _ in range(free.qsize())]
        baseline = measure(room, workers[0])
        for copy in workers:
            copy.start(baseline.modules)
            # The first also sees that a fork of the warm process passes them.
            reply = copy.ask(paths=sorted({*room.tests, *room.always}), seconds=900)
            if reply["status"] != 0:
                raise RuntimeError(f"the tests of {room.name} fail in a fork:\n{reply['output']}")
            free.put(copy)

        def one(mutant: Mutant) -> tuple[Mutant, str]:
            copy = free.get()
            try:
                return mutant, judge(mutant, room, baseline, copy)[0]
            finally:
                free.put(copy)

        with ThreadPoolExecutor(len(workers)) as pool:
            for number, (mutant, outcome) in enumerate(pool.map(one, todo), 1):
                verdicts[mutant.key] = outcome
                if number % 25 == 0:
                    save()
                    print(f"  {room.name}: {number} of {len(todo)}", file=sys.stderr, flush=True)
    present = {mutant.key for mutant in mutants}
    verdicts = {key: outcome for key, outcome in verdicts.items() if key in present}
    save()
    report(room, verdicts, time.monotonic() - started)
    return verdicts


def report(room: Room, verdicts: Mapping[Any, str], seconds: float) -> None:
    """
    Print the room's line of the table.

    Args:
        room: The room.
        verdicts: What became of its mutants.
        seconds: How long it took.
    """
    explained = load_explained()
    counts = Counter(
        EXPLAINED if outcome == SURVIVED and key in explained else outcome
        for key, outcome in verdicts.items()
    )
    noticed = counts[KILLED] + counts[SLOW]
    print(
        f"{room.name:10} {len(verdicts):5} mutants {noticed:5} killed ({counts[SLOW]} by the clock) "
        f"{counts[EXPLAINED]:4} explained {counts[SURVIVED]:4} survived  "
        f"{_score(noticed, len(verdicts) - counts[EXPLAINED]):5.1f} %  {seconds:5.0f} s",
        flush=True,
    )


def _score(noticed: int, possible: int) -> float:
    """Return the share of what tests can notice that they do notice, in per cent."""
    return 100 * noticed / possible if possible else 100.0


def enough(noticed: int, possible: int) -> bool:
    """
    Return whether a room's tests notice enough.

    Args:
        noticed: How many mutants they notice.
        possible: How many can be noticed.
    """
    return _score(noticed, possible) >= FLOOR


def main() -> int:
    """Judge the rooms that were asked for."""
    parser = argparse.ArgumentParser(description="Break the policy rooms and see their tests fail.")
    parser.add_argument("room", nargs="*", help="a name in rooms.toml, or a part of a path: smart/retries")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--again", action="store_true", help="only the survivors, and what is new")
    options = parser.parse_args()
    rooms = load_rooms(options.room)
    if not rooms:
        parser.error(f"no room is called {' '.join(options.room)}")
    explained = load_explained()
    bad = 0
    with copies(options.jobs) as made:
        for room in rooms:
            free: Queue[Copy] = Queue()
            for copy in made:
                free.put(copy)
            verdicts = run_room(room, free, options.again)
            survivors = [key for key, outcome in verdicts.items() if outcome == SURVIVED]
            unexplained = sum(key not in explained for key in survivors)
            noticed = len(verdicts) - len(survivors)
            bad += not enough(noticed, noticed + unexplained)
            for key in survivors:
                if key not in explained:
                    bad += 1
                    file, where, was, now = key
                    print(f'\n[["{file}"]]\nwhere = "{where}"\nwas = {was!r}\nnow = {now!r}\nwhy = ""')
            stale = [key for key in explained if key[0] in room.files and verdicts.get(key) != SURVIVED]
            for key in stale:
                bad += 1
                print(f"Explained, and does not survive or is gone: {' | '.join(key)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
