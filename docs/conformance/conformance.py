"""
The conformance rules, and which tests guard them.

Shared by build.py, tests/mutate.py and tests/architecture/test_conformance.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_MARKS = {"text": "", "table": "*", "referenced": "†", "recommendation": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    One rule.

    Args:
        id: Its id, such as `AL-05`.
        section: The title of its section.
        rule: The rule in our own words.
        strength: `SHALL`, `SHALL NOT`, `SHOULD`, `SHOULD NOT`, `MAY` or `REC`.
        basis: Where it comes from: `text`, `table`, `referenced` or `recommendation`.
        actor: `client` or `server`.
        checked: Where the client finds a broken one, or None.
        finding: The id under which it is found.
        later: Why it is not guarded yet, or None.
        partly: What its guards leave out, or None.
    """

    id: str
    section: str
    rule: str
    strength: str
    basis: str
    actor: str
    checked: str | None
    finding: str
    later: str | None
    partly: str | None

    @property
    def binding(self) -> bool:
        """Whether the client has to keep it: a SHALL or a SHOULD."""
        return self.actor == "client" and self.strength.startswith(("SHALL", "SHOULD"))

    @property
    def mutated(self) -> bool:
        """Whether its guards have to be seen failing: a SHALL of the client."""
        return self.actor == "client" and self.strength.startswith("SHALL") and self.later is None

    @property
    def marked_strength(self) -> str:
        """The strength with the mark of its basis: * for a table, † for a referenced document."""
        return self.strength + _MARKS[self.basis]


def load_rules(path: Path | None = None) -> dict[str, Rule]:
    """
    Read the rules.

    Args:
        path: The file; None for the one beside this module.

    Raises:
        ValueError: If a rule holds something that no rule may hold.
    """
    document = tomllib.loads((path or Path(__file__).with_name("rules.toml")).read_text(encoding="utf-8"))
    return {id_: _rule(id_, members, document["sections"]) for id_, members in document["rules"].items()}


def _rule(id_: str, members: Mapping[str, str], sections: Mapping[str, str]) -> Rule:
    optional = {"checked": None, "finding": id_, "later": None, "partly": None}
    rule = Rule(id=id_, section=sections[id_.partition("-")[0]], **{**optional, **members})  # type: ignore[arg-type]
    known = (
        rule.strength in ("SHALL", "SHALL NOT", "SHOULD", "SHOULD NOT", "MAY", "REC"),
        rule.basis in _MARKS,
        (rule.strength == "REC") == (rule.basis == "recommendation"),
        rule.actor in ("client", "server"),
        rule.checked in (None, "discovery", "token", "introspection"),
        rule.later is None or rule.partly is None,
    )
    if not all(known):
        raise ValueError(f"{id_} holds a value that no rule may hold")
    return rule


def collect_markers(root: Path = ROOT) -> dict[str, list[str]]:
    """
    Collect the tests, and return for each rule id the node ids of those that carry it.

    Args:
        root: The checkout.

    Raises:
        RuntimeError: If the tests cannot be collected.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "tests", "--collect-only", "-qq"),
                *("-p", "no:cacheprovider", f"--conformance-json={found}"),
            ],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the tests cannot be collected:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        markers: dict[str, list[str]] = json.loads(found.read_text(encoding="utf-8"))
    return markers


def guards_of(rule: Rule, markers: Mapping[str, Sequence[str]]) -> list[str]:
    """
    Return the node ids of the tests that guard *rule*.

    The sandbox's own tests show that the sandbox is strict. That our client keeps a rule they do not show.

    Args:
        rule: The rule.
        markers: What `collect_markers` returned.
    """
    found = markers.get(rule.id, ())
    return [node for node in found if rule.actor == "server" or not node.startswith("tests/sandbox/")]


def without_parameters(nodes: Iterable[str]) -> list[str]:
    """
    Return the tests of *nodes*, each once, whatever it was parametrized with.

    Args:
        nodes: Node ids.
    """
    return list(dict.fromkeys(node.partition("[")[0] for node in nodes))
