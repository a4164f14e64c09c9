"""
What a set of scopes permits, arranged for questions.

Constraints are compared as sets of (name, value): a constrained grant answers only a need that carries at
least its pairs, an unconstrained grant answers every need. Levels never stand in for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations, islice

from smart_async.smart.scopes.grammar import MASKS
from smart_async.smart.scopes.scope import Scope

__all__ = ("Grants",)

Pairs = frozenset[tuple[str, str]]
Target = tuple[str | None, str | None]

_MOST = 256
"""
Constraint sets looked at for one need and resource type.

A hostile server can grant tens of thousands of scopes that differ only in constraints; comparing all with
all would take minutes. Below 257 sets for one type, or 9 constraints in the need, nothing is left out.
Beyond both, a grant may be overlooked, which errs on the safe side: the need then counts as not covered.
"""


class Grants:
    """An index of clinical scopes by level, resource and constraints; other scopes are passed over."""

    __slots__ = ("_letters", "_touched")

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self._letters: dict[Target, dict[Pairs, int]] = {}
        self._touched: dict[Target, int] = {}
        for scope in scopes:
            if scope.permissions is not None:
                self._add(scope, MASKS[scope.permissions])

    def _add(self, scope: Scope, mask: int) -> None:
        sets = self._letters.setdefault((scope.level, scope.resource), {})
        pairs = frozenset(scope.parameters)
        sets[pairs] = sets.get(pairs, 0) | mask
        for key in ((scope.level, scope.resource), (scope.level, None)):
            self._touched[key] = self._touched.get(key, 0) | mask

    def covers(self, need: Scope, *, from_broader: bool = False) -> bool:
        """
        Tell whether every permission of a clinical *need* is granted.

        Args:
            need: A clinical scope.
            from_broader: Ask only scopes of another resource or with other constraints than *need*.
        """
        pairs = frozenset(need.parameters)
        granted = 0
        for resource in {need.resource, "*"}:
            sets = self._letters.get((need.level, resource), {})
            for constraints in sets if len(sets) <= _MOST else _subsets(pairs):
                same = from_broader and resource == need.resource and constraints == pairs
                if not same and constraints <= pairs:
                    granted |= sets.get(constraints, 0)
        return MASKS[need.permissions or ""] & ~granted == 0

    def touches(self, need: Scope) -> bool:
        """Tell whether any permission of a clinical *need* is granted for some of what it reaches."""
        resources = (None,) if need.resource == "*" else (need.resource, "*")
        granted = [self._touched.get((need.level, resource), 0) for resource in resources]
        return any(MASKS[need.permissions or ""] & mask for mask in granted)


def _subsets(pairs: Pairs) -> Iterator[Pairs]:
    yield pairs
    smaller = chain.from_iterable(combinations(pairs, size) for size in range(len(pairs)))
    yield from map(frozenset, islice(smaller, _MOST - 1))
