"""Scopes, as the sandbox reads, grants and compares them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from smart_async.sandbox.verdicts import invalid_scope

__all__ = (
    "PLAIN_SCOPES",
    "SEARCHABLE",
    "DataScope",
    "covers",
    "data_scopes",
    "grant_scopes",
    "parse_data_scope",
    "read_scope",
)

PLAIN_SCOPES = (
    "openid", "fhirUser", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access",
)  # fmt: skip
"""Scopes that are not about data, as far as the sandbox grants them."""

SEARCHABLE = ("category", "code", "status", "clinical-status")
"""Search parameters that a scope may be constrained by."""

_TOKEN = re.compile(r"[!#-\[\]-~]+")
_DATA = re.compile(
    r"(?P<level>patient|user|system)/(?P<target>[A-Z][A-Za-z]*|\*)\.(?P<perms>[^?]*)(?:\?(?P<query>.*))?"
)
_V2 = re.compile(r"(?=.)c?r?u?d?s?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_SERVED = "rs"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataScope:
    """
    A scope about data, taken apart.

    Args:
        level: `patient`, `user` or `system`.
        target: A resource type, or `*`.
        letters: Some of `cruds`, in that order.
        constraints: Search parameters that narrow it, with their values.
        v1: Whether it was written in the old form, `.read`.
    """

    level: str
    target: str
    letters: str
    constraints: tuple[tuple[str, str], ...] = ()
    v1: bool = False

    @property
    def text(self) -> str:
        """The scope as it is written."""
        old = {letters: word for word, letters in _V1.items()}
        perms = old.get(self.letters, self.letters) if self.v1 else self.letters
        query = "&".join(f"{name}={value}" for name, value in self.constraints)
        return f"{self.level}/{self.target}.{perms}" + (f"?{query}" if query else "")

    def allows(self, letter: str, resource_type: str) -> bool:
        """Return whether it allows the interaction *letter* on *resource_type*."""
        return letter in self.letters and self.target in ("*", resource_type)


def read_scope(text: str) -> tuple[str, ...]:
    """
    Split *text* into scopes, each checked.

    Raises:
        RefusedError: With the rule that the first wrong scope breaks.

    Spec: RFC 6749, section 3.3; SMART App Launch 2.2, scopes and launch context.
    """
    tokens = text.split(" ")
    for token in tokens:
        if not token:
            raise invalid_scope("RFC 6749 §3.3", "scopes are separated by exactly one space")
        if not _TOKEN.fullmatch(token):
            raise invalid_scope("SC-12", 'a scope holds a character that it cannot hold: a space, ", or \\')
        _ = parse_data_scope(token)
    return tuple(dict.fromkeys(tokens))


def parse_data_scope(token: str) -> DataScope | None:
    """
    Take one scope apart.

    Returns:
        The parts, or None if the scope is not about data.

    Raises:
        RefusedError: If it is about data and not in the grammar.
    """
    if token.startswith("launch/"):
        if token.partition("?")[0] != token.partition("?")[0].lower():
            raise invalid_scope("CTX-15", f"the type in '{token}' must be in lower case")
        return None
    if not token.startswith(("patient/", "user/", "system/")):
        if re.fullmatch(r"[A-Z][A-Za-z]*\.[a-z*]+", token):
            raise invalid_scope("SC-02", f"the scope '{token}' has no level (patient/, user/ or system/)")
        return None
    match = _DATA.fullmatch(token)
    if not match:
        raise invalid_scope("SC-02", f"the scope '{token}' is not of the form level/Type.permissions")
    perms = match["perms"]
    if perms not in _V1 and not _V2.fullmatch(perms):
        raise invalid_scope("SC-01", f"the permissions of '{token}' are not an ordered part of 'cruds'")
    return DataScope(
        level=match["level"],
        target=match["target"],
        letters=_V1.get(perms, perms),
        constraints=_constraints(token, match["query"]),
        v1=perms in _V1,
    )


def data_scopes(tokens: Iterable[str]) -> tuple[DataScope, ...]:
    """Return those of *tokens* that are about data, taken apart."""
    return tuple(scope for token in tokens if (scope := parse_data_scope(token)))


def grant_scopes(requested: Iterable[str], registered: Iterable[str]) -> tuple[str, ...]:
    """
    Return what a client gets: the part of *requested* that it is registered for and that is served.

    Data is read-only here, so `.cruds` comes back as `.rs`; scopes in the old form come back in it.

    Spec: SMART App Launch 2.2, scopes and launch context (SC-16, BS-13).
    """
    registered = tuple(registered)
    allowed = sorted(data_scopes(registered), key=lambda scope: scope.target)  # the wildcard first
    granted: list[str] = []
    for token in requested:
        scope = parse_data_scope(token)
        if scope is None:
            granted += [token] if token in PLAIN_SCOPES and token in registered else []
        elif all(name in SEARCHABLE for name, _ in scope.constraints):
            for part in _overlaps(scope, allowed):
                granted += [] if covers(granted, part.text) else [part.text]
    return tuple(dict.fromkeys(granted))


def covers(granted: Iterable[str], wanted: str) -> bool:
    """Return whether the scopes *granted* include the scope *wanted*."""
    granted = tuple(granted)
    need = parse_data_scope(wanted)
    if need is None:
        return wanted in granted
    letters = {
        letter
        for scope in data_scopes(granted)
        if scope.level == need.level
        and scope.target in ("*", need.target)
        and set(scope.constraints) <= set(need.constraints)
        for letter in scope.letters
    }
    return letters >= set(need.letters)


def _overlaps(scope: DataScope, allowed: Iterable[DataScope]) -> Iterable[DataScope]:
    for other in allowed:
        if other.level != scope.level or (
            "*" not in (scope.target, other.target) and scope.target != other.target
        ):
            continue
        letters = "".join(x for x in scope.letters if x in other.letters and x in _SERVED)
        if not letters:
            continue
        target = scope.target if other.target == "*" else other.target
        constraints = tuple(dict.fromkeys(scope.constraints + other.constraints))
        v1 = scope.v1 and letters in _V1.values()
        yield DataScope(level=scope.level, target=target, letters=letters, constraints=constraints, v1=v1)


def _constraints(token: str, query: str | None) -> tuple[tuple[str, str], ...]:
    if query is None:
        return ()
    pairs = tuple(tuple(pair.split("=", 1)) for pair in query.split("&"))
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise invalid_scope("SC-03", f"the constraints of '{token}' are not of the form parameter=value")
    return tuple((pair[0], pair[1]) for pair in pairs)
