"""
What a set of scopes permits, arranged for questions.

Constraints are compared as sets of (name, value): a constrained grant answers only a need that carries at
least its pairs, an unconstrained grant answers every need. Levels never stand in for each other.
"""

from __future__ import annotations

from collections.abc import Iterable

from smart_async.smart.scopes.grammar import MASKS
from smart_async.smart.scopes.scope import Scope

__all__ = ("Grants",)

Pair = tuple[str, str]
Bucket = tuple[str | None, str | None, Pair | None]
Entry = tuple[Scope, frozenset[Pair]]


class Grants:
    """
    An index of clinical scopes by level, resource and one of their constraints.

    A need then meets only the few grants that could matter: a server that grants ten thousand
    constrained scopes does not get ten thousand comparisons for each question.
    """

    __slots__ = ("_entries", "_touched")

    def __init__(self, scopes: Iterable[Scope]) -> None:
        self._entries: dict[Bucket, list[Entry]] = {}
        self._touched: dict[tuple[str | None, str | None], int] = {}
        for scope in scopes:
            if scope.permissions is not None:
                self._add(scope)

    def _add(self, scope: Scope) -> None:
        pairs = frozenset(scope.parameters)
        bucket = (scope.level, scope.resource, min(pairs, default=None))
        self._entries.setdefault(bucket, []).append((scope, pairs))
        mask = MASKS[scope.permissions or ""]
        for key in ((scope.level, scope.resource), (scope.level, None)):
            self._touched[key] = self._touched.get(key, 0) | mask

    def letters(self, need: Scope, *, other_than: Scope | None = None) -> int:
        """Return the bits of the permissions granted for all that *need* reaches, leaving one scope out."""
        pairs = frozenset(need.parameters)
        targets = {need.resource, "*"}
        granted = 0
        for target in targets:
            for pair in (None, *pairs):
                for scope, constraints in self._entries.get((need.level, target, pair), ()):
                    if scope is not other_than and constraints <= pairs:
                        granted |= MASKS[scope.permissions or ""]
        return granted

    def covers(self, need: Scope, *, other_than: Scope | None = None) -> bool:
        """Tell whether every permission of a clinical *need* is granted."""
        wanted = MASKS[need.permissions or ""]
        return wanted & ~self.letters(need, other_than=other_than) == 0

    def touches(self, need: Scope) -> bool:
        """Tell whether any permission of a clinical *need* is granted for some of what it reaches."""
        if need.resource == "*":
            granted = self._touched.get((need.level, None), 0)
        else:
            granted = self._touched.get((need.level, need.resource), 0) | self._touched.get(
                (need.level, "*"), 0
            )
        return MASKS[need.permissions or ""] & granted != 0
