"""The tool that breaks the policy rooms is honest: what is noticed, what survives, what has its reason."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOM = """
from functools import cache

LIMIT = 18


def lets_in(age):
    if age < 0:
        return False
    return age >= LIMIT


def price(age):
    return 5 if lets_in(age) else 3


def alone():
    return 1


@cache
def table():
    return frozenset({1, 2})


def bounded(start):
    count = start
    while count < 9:
        count += 1
    return count
"""
TESTS = """
from pathlib import Path

import pytest

from smart_async import gate

LITTER = Path("litter").exists()


@pytest.mark.parametrize(("age", "expected"), [(17, False), (18, True), (-1, False)])
def test_who_is_let_in(age, expected):
    assert gate.lets_in(age) is expected


def test_asleep():
    gate.price(20)


def test_its_end():
    assert gate.bounded(0) == 9


def test_a_first_look():
    assert gate.table()


def test_a_second_look():
    assert 2 in gate.table()


def test_nothing_lies_about():
    gate.price(20)
    assert not LITTER
"""
OTHER_PROCESS = """
import subprocess, sys


def test_it():
    code = "from smart_async import gate; assert gate.alone() == 1"
    subprocess.run([sys.executable, "-c", code], check=True)
"""
SETTINGS = """
[tool.pytest.ini_options]
addopts = ["-p", "no:smart_async", "--import-mode=importlib"]
"""
FAULTS = {
    "killed": ("return age >= LIMIT", "return age > LIMIT"),
    "killed at import": ("LIMIT = 18", "LIMIT = 19"),
    "asleep": ("return 5 if lets_in(age) else 3", "return 6 if lets_in(age) else 3"),
    "not run": ("return 1", "return 2"),
    "harmless": ("if age < 0:", "if age < -1:"),
    "endless": ("count += 1", "count += 0"),
    "kept": ("return frozenset({1, 2})", "return frozenset({1, 3})"),
    "litters": ("if age < 0:", "if open('litter', 'w').close() or age < 0:"),
}


class Toy:
    """A small repository, and the tool at work in it."""

    def __init__(self, run: ModuleType, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.run, self.root, self.faults = run, root, list(FAULTS)[:5]
        self.judged: list[str] = []
        for name, text in {
            "smart_async/__init__.py": "",
            "smart_async/gate.py": ROOM,
            "tests/test_gate.py": TESTS,
            "tests/test_process.py": OTHER_PROCESS,
            "pyproject.toml": SETTINGS,
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
        # Not in the root itself: a script's folder comes first where Python looks for modules.
        self.tool = root / "tool"
        self.tool.mkdir()
        shutil.copy(run.HERE / "server.py", self.tool)
        self.rooms()
        patch.setattr(run, "ROOT", root)
        patch.setattr(run, "HERE", self.tool)
        patch.setattr(run, "KEPT", root / "kept")
        patch.setattr(run, "COPIED", ("smart_async", "tests", "pyproject.toml"))
        patch.setattr(run, "make_mutants", self.mutants)
        judge = run.judge

        def noted(mutant: Any, *rest: Any) -> Any:
            self.judged.append(next(name for name, (_, now) in FAULTS.items() if now == mutant.now))
            return judge(mutant, *rest)

        patch.setattr(run, "judge", noted)
        self._patch = patch

    def rooms(self, always: str = "") -> None:
        """Write rooms.toml."""
        text = '[gate]\nfiles = ["smart_async/*.py"]\ntests = ["tests/test_gate.py"]\n' + always
        (self.tool / "rooms.toml").write_text(text, "utf-8")

    def explain(self, *names: str) -> None:
        """Write explained.toml."""
        entries = [
            f'[["smart_async/gate.py"]]\nwhere = "f"\nwas = "{was}"\nnow = ["{now}"]\nwhy = "Because."\n'
            for was, now in map(FAULTS.__getitem__, names)
        ]
        (self.tool / "explained.toml").write_text("\n".join(entries), "utf-8")

    def mutants(self, file: str, text: str) -> list[Any]:
        """Make those of the faults that are wanted."""
        found = []
        for name in self.faults if file.endswith("gate.py") else ():
            was, now = FAULTS[name]
            line = 1 + text[: text.index(was)].count("\n")
            where = "module" if name == "killed at import" else "f"
            source = text.replace(was, now, 1)
            found.append(
                self.run.Mutant(
                    file=file,
                    where=where,
                    lines=(line,),
                    was=was,
                    now=now,
                    source=source,
                    once=name == "kept",
                )
            )
        return found

    def __call__(self, *arguments: str) -> int:
        self.judged.clear()
        self._patch.setattr(sys, "argv", ["run.py", "--jobs", "1", *arguments])
        return self.run.main()  # type: ignore[no-any-return]

    def verdicts(self) -> dict[str, str]:
        """Return what is kept."""
        kept = json.loads((self.root / "kept" / "gate.json").read_text("utf-8"))["verdicts"]
        return {
            next(name for name, fault in FAULTS.items() if fault == (was, now)): outcome
            for _, _, was, now, outcome in kept
        }


@pytest.fixture
def toy(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(run, tmp_path, monkeypatch)


def test_what_becomes_of_each(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    """Only what a test that ran the line fails for is noticed; what has its reason does not count."""
    toy.explain("harmless")
    assert toy() == 1
    assert toy.verdicts() == {
        "killed": "killed",
        "killed at import": "killed",
        "asleep": "SURVIVED",
        "not run": "SURVIVED",
        "harmless": "SURVIVED",
    }
    printed = capfd.readouterr().out
    assert "5 mutants     2 killed (0 by the clock)    1 explained    2 survived   50.0 %" in printed
    for name, reported in (("asleep", True), ("not run", True), ("harmless", False), ("killed", False)):
        assert (f"now = {FAULTS[name][1]!r}" in printed) is reported
    assert (toy.root / "smart_async" / "gate.py").read_text("utf-8") == ROOM


def test_an_endless_loop(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not end in time is noticed by the clock, and ended."""
    monkeypatch.setattr(toy.run, "PATIENCE", 0.5)
    toy.faults = ["endless"]
    assert (toy(), toy.verdicts()) == (0, {"endless": "time was up"})


def test_what_a_mutant_leaves_behind(toy: Toy) -> None:
    """A file that one mutant made is not there for the next."""
    toy.faults = ["litters", "asleep"]
    assert toy() == 1
    assert toy.verdicts() == {"litters": "SURVIVED", "asleep": "SURVIVED"}


def test_what_is_made_once(toy: Toy) -> None:
    """A table that the first test made is used by the others: all of them are asked."""
    toy.faults = ["kept"]
    assert (toy(), toy.verdicts()) == (0, {"kept": "killed"})


def test_a_process_of_its_own(toy: Toy) -> None:
    """Lines that run in other processes are not traced: the tests named for that run for every mutant."""
    toy.rooms(always='always = ["tests/test_process.py"]\n')
    toy.faults = ["not run", "asleep"]
    assert toy() == 1
    assert toy.verdicts() == {"not run": "killed", "asleep": "SURVIVED"}


def test_reasons(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    """A survivor with its reason is no failure; a reason whose mutant is noticed, or is gone, is one."""
    toy.faults = ["killed", "harmless"]
    toy.explain("harmless")
    assert toy() == 0
    toy.explain("harmless", "killed")
    assert toy() == 1
    assert "Explained, and does not survive or is gone: " in capfd.readouterr().out
    toy.explain("harmless", "asleep")
    assert toy() == 1
    toy.explain()
    assert toy() == 1


def test_verdicts_are_kept(toy: Toy) -> None:
    """What was judged is not judged again until the room or one of its tests is another one."""
    toy.faults = ["killed", "asleep"]
    assert (toy(), toy.judged) == (1, ["killed", "asleep"])
    assert (toy(), toy.judged) == (1, [])
    path = toy.root / "tests" / "test_gate.py"
    path.write_text(TESTS.replace("gate.price(20)", "assert gate.price(20) == 5", 1), "utf-8")
    assert (toy("--again"), toy.judged) == (0, ["asleep"])
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert (toy(), toy.judged) == (0, ["killed", "asleep"])


@pytest.mark.parametrize(
    "changed", ["smart_async/gate.py", "tests/test_gate.py", "tests/conftest.py", "tool/server.py"]
)
def test_what_makes_verdicts_old(toy: Toy, changed: str) -> None:
    """Room, tests, their fixtures and the way they are run: each of them may change what is noticed."""
    (toy.root / "tests" / "conftest.py").touch()
    (room,) = toy.run.load_rooms([])
    before = room.fingerprint()
    (toy.root / "tests" / "test_process.py").write_text("", "utf-8")
    assert room.fingerprint() == before
    path = toy.root / changed
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert room.fingerprint() != before


def test_tests_that_fail_anyway(toy: Toy) -> None:
    """Tests that fail without a mutant say nothing, and nothing is judged."""
    (toy.root / "tests" / "test_gate.py").write_text("def test_it():\n    assert 0\n", "utf-8")
    with pytest.raises(RuntimeError, match="the tests of gate fail without a mutant"):
        toy()
    assert toy.judged == []


KEYS = """
from cryptography.hazmat.primitives.asymmetric import rsa


def test_keys():
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(9)] + [rsa.generate_private_key(3, 1024)]
    assert len({key.public_key().public_numbers().n for key in keys}) == 10
    print("first", keys[0].public_key().public_numbers().n)
    assert False
"""


def test_keys_are_made_once(toy: Toy) -> None:
    """Each fork finds the same RSA keys, no two of them alike, and makes what else it asks for."""
    with toy.run.copies(1) as (copy,):
        (copy.folder / "tests" / "test_keys.py").write_text(KEYS, "utf-8")
        copy.start(["cryptography.hazmat.primitives.asymmetric.rsa"])
        outputs = [copy.ask(paths=["tests/test_keys.py"], seconds=60)["output"] for _ in range(2)]
    first, second = ([line for line in text.splitlines() if line.startswith("first ")] for text in outputs)
    assert first == second != []


def test_a_part(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    """A room is asked for by its name or a part of a path, and one that is neither is an error."""
    whole = ("smart_async/__init__.py", "smart_async/gate.py")
    found = {asked: toy.run.load_rooms(asked) for asked in [(), ("gate",), ("async/gate",), ("door",)]}
    assert {asked: [(room.name, room.files) for room in rooms] for asked, rooms in found.items()} == {
        (): [("gate", whole)],
        ("gate",): [("gate", whole)],
        ("async/gate",): [("gate-gate", whole[1:])],
        ("door",): [],
    }
    with pytest.raises(SystemExit):
        toy("door")
    assert "no room is called door" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("killed", "survived", "passes"), [(95, 5, True), (94, 6, False), (100, 0, True), (0, 0, True)]
)
def test_the_floor(run: ModuleType, killed: int, survived: int, passes: bool) -> None:
    """A room has to have 95 per cent of what can be noticed; a room without mutants has nothing to notice."""
    assert run.enough(killed, killed + survived) is passes
