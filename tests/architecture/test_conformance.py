"""The specification's rules and our tests hold together: no rule without a guard, no guard without a rule."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Collecting all tests may take longer on a busy machine than one test should.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def conformance(root: Path) -> ModuleType:
    """Return docs/conformance/conformance.py."""
    spec = importlib.util.spec_from_file_location("conformance", root / "docs/conformance/conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["conformance"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rules(conformance: ModuleType) -> dict[str, Any]:
    """Return the rules by id."""
    loaded: dict[str, Any] = conformance.load_rules()
    return loaded


@pytest.fixture(scope="module")
def markers(conformance: ModuleType, collected_guards: dict[str, list[str]] | None) -> dict[str, list[str]]:
    """Return the node ids that carry each id, of all tests, whichever of them this run is about."""
    # Collecting them once more takes a minute, so it is done only where this run has not.
    found: dict[str, list[str]] = collected_guards or conformance.collect_markers()
    return found


@pytest.fixture(scope="module")
def faults(root: Path) -> dict[str, dict[str, str]]:
    """Return the listed faults by the rule that they break."""
    listed: dict[str, dict[str, str]] = tomllib.loads(
        (root / "tests/mutations.toml").read_text(encoding="utf-8")
    )
    return listed


def test_the_rules_are_whole(rules: dict[str, Any]) -> None:
    """All rules are there, each section numbered without a gap, each in words of its own."""
    assert len(rules) == 197
    sections: dict[str, list[int]] = {}
    for id_ in rules:
        prefix, _, number = id_.partition("-")
        sections.setdefault(prefix, []).append(int(number))
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sections.values())
    assert len({rule.rule for rule in rules.values()}) == 197


def test_every_marker_names_a_rule(rules: dict[str, Any], markers: dict[str, list[str]]) -> None:
    """A typing error in a marker would guard nothing."""
    assert {id_: nodes for id_, nodes in markers.items() if id_ not in rules} == {}


def test_every_binding_rule_is_guarded(
    conformance: ModuleType, rules: dict[str, Any], markers: dict[str, list[str]]
) -> None:
    """Each SHALL and SHOULD of the client has a test, or says why it has to wait."""
    unguarded = [
        rule.id
        for rule in rules.values()
        if rule.binding and rule.later is None and not conformance.guards_of(rule, markers)
    ]
    assert unguarded == []


def test_what_comes_later_is_not_there_yet(
    conformance: ModuleType, rules: dict[str, Any], markers: dict[str, list[str]]
) -> None:
    """A rule that has a guard no longer comes later; what is still missing then is said in `partly`."""
    early = {rule.id: conformance.guards_of(rule, markers) for rule in rules.values() if rule.later}
    assert {id_: nodes for id_, nodes in early.items() if nodes} == {}


def test_what_is_guarded_in_part_is_guarded(
    conformance: ModuleType, rules: dict[str, Any], markers: dict[str, list[str]]
) -> None:
    """A part that is guarded has a guard."""
    partly = [rule for rule in rules.values() if rule.partly]
    assert [rule.id for rule in partly if not conformance.guards_of(rule, markers)] == []


def test_the_sandbox_does_not_vouch_for_the_client(conformance: ModuleType, rules: dict[str, Any]) -> None:
    """A test of the sandbox guards rules of the server alone."""
    nodes = ["tests/sandbox/test_a.py::test_a", "tests/smart/test_b.py::test_b[x]"]
    found = {"AL-05": nodes, "DI-03": nodes}
    assert conformance.guards_of(rules["AL-05"], found) == nodes[1:]
    assert conformance.guards_of(rules["DI-03"], found) == nodes
    assert conformance.without_parameters([*nodes, "tests/smart/test_b.py::test_b[y]"]) == [
        "tests/sandbox/test_a.py::test_a",
        "tests/smart/test_b.py::test_b",
    ]


@pytest.mark.parametrize(
    "member", ['strength = "MUST"', 'basis = "hearsay"', 'actor = "user"', 'checked = "never"', 'typo = "x"']
)
def test_a_rule_that_is_none_is_refused(conformance: ModuleType, tmp_path: Path, member: str) -> None:
    """The file of rules cannot say what nothing reads."""
    name = member.partition(" ")[0]
    members = {"rule": "Do.", "strength": "SHALL", "basis": "text", "actor": "client"}
    lines = [f'{key} = "{value}"' for key, value in members.items() if key != name]
    text = "\n".join(['[sections]\nXX = "X"\n[rules.XX-01]', *lines])
    path = tmp_path / "rules.toml"
    path.write_text(f"{text}\n" + (f'{name} = "{members[name]}"' if name in members else ""), "utf-8")
    assert list(conformance.load_rules(path)) == ["XX-01"]
    path.write_text(f"{text}\n{member}", "utf-8")
    with pytest.raises((ValueError, TypeError)):
        conformance.load_rules(path)


def test_every_shall_has_its_fault(rules: dict[str, Any], faults: dict[str, dict[str, str]]) -> None:
    """For each SHALL of the client there is a fault that its guards have to notice, and for nothing else."""
    assert set(faults) == {rule.id for rule in rules.values() if rule.mutated}


def test_every_fault_can_be_made(root: Path, faults: dict[str, dict[str, str]]) -> None:
    """The line that a fault changes stands in its file, once, on one line, and the fault changes it."""
    stale = {}
    for id_, fault in faults.items():
        assert set(fault) == {"file", "old", "new"}, id_
        text = (root / fault["file"]).read_text(encoding="utf-8")
        if text.count(fault["old"]) != 1 or "\n" in fault["old"] or fault["old"] == fault["new"]:
            stale[id_] = fault["old"]
    assert stale == {}
    assert {fault["file"].partition("/")[0] for fault in faults.values()} == {"smart_async"}
