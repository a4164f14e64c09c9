"""The two spellings of clinical scopes: words in SMART 1.0, letters since SMART 2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from smart_async.errors import ConfigurationError
from smart_async.smart.scopes.grammar import LETTERS, MASKS
from smart_async.smart.scopes.scope import Scope

__all__ = ("in_v1", "merged_scope", "syntax_version", "with_word")

_READ, _WRITE = MASKS["rs"], MASKS["cud"]


def syntax_version(capabilities: Iterable[str], scopes_supported: Iterable[str] = ()) -> Literal[1, 2]:
    """
    Choose the scope syntax for a server: version 2 where it is announced, version 1 where only that is.

    A server that announces neither predates SMART 2 unless its `scopes_supported` shows letters.

    Args:
        capabilities: The server's `capabilities` from discovery.
        scopes_supported: The server's `scopes_supported`.

    >>> syntax_version([], ["patient/*.rs"])
    2
    """
    known = set(capabilities)
    if "permission-v2" in known:
        return 2
    if "permission-v1" in known:
        return 1
    return 2 if any(_is_v2(text) for text in scopes_supported) else 1


def _is_v2(text: str) -> bool:
    # A malformed entry in a server's list is no reason to fail.
    try:
        return Scope(text).version == 2
    except ConfigurationError:
        return False


def with_word(scope: Scope, word: str, *, constraints: bool = True) -> Scope:
    """
    Return *scope* with another permission word, in the form it came in: plain or URI.

    A scope that already says so, or that is not clinical, comes back itself.

    Args:
        scope: Any scope.
        word: Letters, or a word of version 1.
        constraints: False drops the scope's constraints.
    """
    head, mark, query = scope.name.partition("?")
    stem, _, old = head.rpartition(".")
    if scope.permissions is None or (old == word and (constraints or not mark)):
        return scope
    prefix = scope.text.removesuffix(scope.name)
    return Scope(f"{prefix}{stem}.{word}{mark + query if constraints else ''}")


def in_v1(scope: Scope) -> Scope:
    """Return the narrowest scope of version 1 that permits what *scope* does; others come back unchanged."""
    mask = MASKS.get(scope.permissions or "", 0)
    word = "read" if mask & ~_READ == 0 else "write" if mask & ~_WRITE == 0 else "*"
    return with_word(scope, word, constraints=False)


def merged_scope(group: list[Scope]) -> Scope:
    """Return one scope for several of the same reach; one of them, where it says it all already."""
    masks = [MASKS.get(scope.permissions or "", 0) for scope in group]
    union = 0
    for mask in masks:
        union |= mask
    if union in masks:
        return group[masks.index(union)]
    # In version 1 only `.read` and `.write` are left to come together, and that is `.*`; every other
    # mixture needs the letters.
    return with_word(group[0], "*" if all(scope.version == 1 for scope in group) else LETTERS[union])
