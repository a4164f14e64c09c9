"""The mutants: which changes are made, and which would say nothing about the tests."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("mutmut", reason="mutmut and its parser are in the environment of make mutate alone")

FILE = "smart_async/gate.py"


def changes(making: ModuleType, text: str) -> set[tuple[str, str]]:
    """Return what was and what became of it, for each mutant of *text*."""
    return {(mutant.was, mutant.now) for mutant in making.make_mutants(FILE, text)}


def test_small_changes_are_made_everywhere(making: ModuleType) -> None:
    """Functions, decorated ones, class bodies and the module itself: each number and comparison changes."""
    text = (
        "LIMIT = 18\n\n"
        "class Gate:\n    width: int = 2\n\n"
        "    @property\n    def wide(self):\n        return self.width > LIMIT\n"
    )
    found = changes(making, text)
    assert {
        ("LIMIT = 18", "LIMIT = 19"),
        ("width: int = 2", "width: int = 3"),
        ("return self.width > LIMIT", "return self.width >= LIMIT"),
    } <= found


def test_checks_are_taken_out(making: ModuleType) -> None:
    """Beside what mutmut does, each condition is made one that never holds."""
    text = "def gate(x):\n    if x:\n        raise ValueError(x)\n"
    assert ("if x:", "if False:") in changes(making, text)


@pytest.mark.parametrize(
    "text",
    [
        '__all__ = ("a",)\n',
        'def f():\n    """Return 1 < 2."""\n    raise SystemExit\n',
        "def f(x: int = None): ...\n",
        "from __future__ import annotations\nimport os\n",
        "def f(x):\n    assert x > 2\n",
        'def f():\n    return bad("What is wrong with it.", advice="Again", what="it")\n',
        "def f(x):\n    return g(x)  # pragma: no cover - a test cannot come here\n",
        "def f(x):\n    if x:  # pragma: no cover - Windows\n        x()\n        raise g(x, field=3)\n",
    ],
    ids=["all", "docstring", "default", "imports", "assert", "messages", "not covered", "block"],
)
def test_what_people_read_is_left_alone(making: ModuleType, text: str) -> None:
    """Texts for people and for tools, and lines that no test can run, are not what tests are about."""
    left = {now for _, now in changes(making, text)}
    assert not [now for now in left if "XX" in now or "None" not in now], left


def test_each_mutant_is_the_module_with_one_change(making: ModuleType) -> None:
    """Each is Python, differs in the lines that it names, and is told from all the others by its key."""
    text = "def f(x):\n    # Why it is so.\n    y = x + 1\n    return y if (y > 3) else None\n"
    mutants: list[Any] = making.make_mutants(FILE, text)
    assert len({mutant.key for mutant in mutants}) == len(mutants) > 3
    for mutant in mutants:
        compile(mutant.source, FILE, "exec")
        old, new = text.splitlines(), mutant.source.splitlines()
        differing = [number for number, pair in enumerate(zip(old, new, strict=True), 1) if len({*pair}) > 1]
        assert set(differing) <= set(mutant.lines)
        assert (mutant.file, mutant.where, len(differing)) == (FILE, "f", 1)


def test_a_key_outlives_other_lines(making: ModuleType) -> None:
    """A verdict, and the reason of a survivor, hold although the lines above have moved."""
    text = "def f(x):\n    return x > 3\n"
    before = {mutant.key for mutant in making.make_mutants(FILE, text)}
    after = {mutant.key for mutant in making.make_mutants(FILE, "A = None\n\n\n" + text)}
    assert before
    assert before <= after


def test_what_runs_once_is_known(making: ModuleType) -> None:
    """The lines of a function whose outcome is kept are run by one test, whoever else needs it."""
    text = (
        "@functools.cache\ndef table():\n    return [n + 1 for n in x]\n\n"
        "class A:\n    @cached_property\n    def b(self):\n        return 1\n\n"
        "    @property\n    def c(self):\n        return 2\n"
    )
    once = {mutant.where: mutant.once for mutant in making.make_mutants(FILE, text)}
    assert once == {"table": True, "A.b": True, "A.c": False}
