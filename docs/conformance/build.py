"""
Write docs/conformance.md: every rule, its strength, and the tests that guard it. `make conformance`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance import ROOT, Rule, collect_markers, guards_of, load_rules, without_parameters

INTRODUCTION = """\
# Conformance

The rules of SMART App Launch 2.2 in our own words, and the tests that guard each of them. This page is built
from the tests (`make conformance`); that a guard fails when its rule is broken is shown by `make mutate`.

Strength: as the specification has it. An asterisk marks what a table of parameters requires or states as a
plain fact, a dagger what comes from an RFC or from OpenID Connect; REC is a recommendation beyond it. Of a
rule of the server, the tests show that its keeping is met and, where that can be seen, that its breaking is
found.
"""


def page(rules: Mapping[str, Rule], markers: Mapping[str, Sequence[str]]) -> str:
    """
    Return the page.

    Args:
        rules: The rules.
        markers: The tests that carry their ids.
    """
    lines = [INTRODUCTION, summary(rules, markers)]
    for section in dict.fromkeys(rule.section for rule in rules.values()):
        lines += [
            f"\n## {section}\n",
            "| Id | Rule | Strength | Actor | Guarded by |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(rule, guards_of(rule, markers)) for rule in rules.values() if rule.section == section]
    return "\n".join(lines) + "\n"


def summary(rules: Mapping[str, Rule], markers: Mapping[str, Sequence[str]]) -> str:
    """
    Return one sentence of numbers.

    Args:
        rules: The rules.
        markers: The tests that carry their ids.
    """
    guarded = [rule for rule in rules.values() if guards_of(rule, markers)]
    nodes = {node for rule in guarded for node in guards_of(rule, markers)}
    binding = [rule for rule in rules.values() if rule.binding and rule.later is None]
    later = sum(rule.later is not None for rule in rules.values())
    return (
        f"{len(rules)} rules; {len(guarded)} are guarded, by {len(without_parameters(nodes))} tests with "
        f"{len(nodes)} cases, and {later} come later. Of those guarded, {len(binding)} are a SHALL or SHOULD "
        "of the client."
    )


def _row(rule: Rule, guards: Sequence[str]) -> str:
    cells = [f"`{path.rpartition('/')[2]}::{name}`" for path, name in map(_split, without_parameters(guards))]
    if rule.later is not None:
        cells = [f"later: {rule.later}"]
    if rule.partly is not None:
        cells.append(f"in part: {rule.partly}")
    if rule.checked is not None:
        cells.append(f"found in the {rule.checked} answer as {rule.finding}")
    text = "; ".join(cells) or "nothing to guard: the server's alone"
    return f"| {rule.id} | {rule.rule} | {rule.marked_strength} | {rule.actor} | {text} |"


def _split(node: str) -> tuple[str, str]:
    path, _, name = node.partition("::")
    return path, name


def main() -> int:
    """Write the page, and say what it says."""
    rules, markers = load_rules(), collect_markers()
    target = ROOT / "docs" / "conformance.md"
    target.write_text(page(rules, markers), encoding="utf-8")
    print(f"{Path(target).relative_to(ROOT)}: {summary(rules, markers)}")
    empty = [
        rule.id for rule in rules.values() if rule.binding and not (rule.later or guards_of(rule, markers))
    ]
    if empty:
        print(f"Without a guard: {', '.join(empty)}", file=sys.stderr)
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
