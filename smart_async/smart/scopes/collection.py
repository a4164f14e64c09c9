"""An ordered set of scopes: what an app requests, or what it was granted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from functools import lru_cache
from typing import Any, Self

from smart_async.errors import ConfigurationError
from smart_async.smart.scopes.coverage import Grants
from smart_async.smart.scopes.grammar import short_name
from smart_async.smart.scopes.report import ScopeReport
from smart_async.smart.scopes.scope import Scope
from smart_async.smart.scopes.syntax import in_v1, merged_scope, syntax_version, with_word

__all__ = ("Scopes",)

_KNOWN_LENGTH = 100
"""Characters of the scopes that are kept to be used again: a server can name very long ones."""


class Scopes(Set[Scope]):
    """
    An immutable, ordered set of scopes.

    It is a `collections.abc.Set` of `Scope`; `in` and the operators also take strings. Membership and
    equality compare names; `covers` compares what the scopes permit.

    Args:
        scopes: Scopes, or their texts; one string is split at its blanks. The first of equal ones stays.

    Raises:
        ConfigurationError: If a text holds a character that no scope may hold.

    Spec: RFC 6749, section 3.3; SMART App Launch 2.2, scopes and launch context.

    >>> granted = Scopes.parse("launch/patient patient/*.read offline_access")
    >>> "offline_access" in granted, granted.covers("patient/Observation.rs")
    (True, True)
    """

    __slots__ = ("_by_name", "_grants")

    def __init__(self, scopes: Iterable[Scope | str] = ()) -> None:
        # Splitting at other white space would hide what a server sent; commas and ampersands belong to the
        # values of granular scopes.
        words = filter(None, scopes.split(" ")) if isinstance(scopes, str) else scopes
        self._by_name: dict[str, Scope] = {}
        self._grants: Grants | None = None
        for word in words:
            scope = word if isinstance(word, Scope) else _scope(word)
            _ = self._by_name.setdefault(scope.name, scope)

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read scopes separated by blanks; doubled and trailing blanks do no harm.

        Args:
            text: The `scope` of a request, a response or a configuration.

        Raises:
            ConfigurationError: If a scope holds a character that no scope may hold. When the text came from
                a server, that is the server's fault: say so to your caller.

        >>> str(Scopes.parse("openid  fhirUser openid "))
        'openid fhirUser'
        """
        return cls(text)

    def covers(self, need: Scope | Iterable[Scope | str]) -> bool:
        """
        Tell whether these scopes permit everything that *need* asks for.

        Same level, same resource or `*`, every letter, spread over any number of scopes and in either
        syntax. A constrained scope answers only a need with at least its constraints. `user/` never
        answers `patient/`. Scopes that are not clinical have to be there by name. Nothing needed is covered.

        Args:
            need: A scope, several scopes, or their text.

        >>> Scopes.parse("patient/Task.rs patient/Task.cud").covers("patient/Task.cruds")
        True
        >>> Scopes.parse("patient/Task.rs").covers("user/Task.rs")
        False
        """
        return all(self._covers_one(scope) for scope in _scopes(need))

    def report(self, requested: Scope | Iterable[Scope | str]) -> ScopeReport:
        """
        Compare these granted scopes with the requested ones.

        Names that differ only in case count as the same here (Epic changes case), though not in `covers`.

        Args:
            requested: The scopes that were asked for, or their text.

        >>> report = Scopes.parse("patient/Task.rs openid").report("patient/Task.cruds launch")
        >>> str(report.missing), str(report.narrowed), str(report.extra), str(report.widened)
        ('launch', 'patient/Task.cruds', 'openid', '')
        """
        asked = _scopes(requested)
        missing, narrowed = asked._beyond(self)
        extra, widened = self._beyond(asked)
        unmet = (scope for scope in missing | narrowed if scope.level == "patient")
        return ScopeReport(
            missing=missing,
            narrowed=narrowed,
            extra=extra,
            widened=widened,
            user_level=Scopes(
                scope for scope in unmet if self.covers("user" + scope.name.removeprefix("patient"))
            ),
        )

    def shortest(self) -> Self:
        """
        Return scopes that permit exactly the same in fewer words, to keep tokens and URLs small.

        Letters for the same level, resource and constraints come together, and scopes that the others cover
        go. Nothing is widened.

        >>> str(Scopes.parse("patient/Task.r openid patient/Task.s").shortest())
        'patient/Task.rs openid'
        """
        groups: dict[object, list[Scope]] = {}
        for scope in self:
            clinical = (scope.level, scope.resource, frozenset(scope.parameters))
            groups.setdefault(clinical if scope.permissions else scope.name, []).append(scope)
        merged = [merged_scope(group) for group in groups.values()]
        grants = Grants(merged)
        return type(self)(
            scope for scope in merged if not (scope.permissions and grants.covers(scope, from_broader=True))
        )

    def to_v2(self) -> Self:
        """
        Return the same scopes with `.read`, `.write` and `.*` written in the letters of version 2.

        >>> str(Scopes.parse("patient/*.read launch").to_v2())
        'patient/*.rs launch'
        """
        return type(self)(with_word(scope, scope.permissions or "") for scope in self)

    def to_v1(self, allow_widening: bool = False) -> Self:
        """
        Return the same scopes in the words of SMART 1.0, which knows only `.read`, `.write` and `.*`.

        Args:
            allow_widening: Ask for more where version 1 cannot say it exactly: `.r` becomes `.read`, and
                constraints are lost. The user will be asked to consent to more than the app needs.

        Raises:
            ConfigurationError: If that would widen a scope and *allow_widening* is not set; it names them.

        >>> str(Scopes.parse("user/Task.r user/Task.s").to_v1())
        'user/Task.read'
        """
        older = [(scope, in_v1(scope)) for scope in self]
        widened = [scope.text for scope, v1 in older if v1 is not scope and not self._covers_one(v1)]
        if widened and not allow_widening:
            raise ConfigurationError(
                f"SMART 1.0 scopes cannot say exactly: {', '.join(widened)}.",
                field="scope",
                advice="Request .rs, .cud or .cruds without constraints, or pass allow_widening=True.",
            )
        return type(self)(v1 for _, v1 in older)

    def for_capabilities(
        self,
        capabilities: Iterable[str],
        scopes_supported: Iterable[str] = (),
        *,
        allow_widening: bool = False,
    ) -> Self:
        """
        Return the same scopes in the syntax that a server understands.

        Args:
            capabilities: The server's `capabilities` from discovery.
            scopes_supported: The server's `scopes_supported`, a hint where the capabilities say nothing.
            allow_widening: As for `to_v1`.

        Raises:
            ConfigurationError: As for `to_v1`.

        >>> str(Scopes.parse("patient/*.rs").for_capabilities(["permission-v1"]))
        'patient/*.read'
        """
        if syntax_version(capabilities, scopes_supported) == 2:
            return self.to_v2()
        return self.to_v1(allow_widening)

    def _covers_one(self, need: Scope) -> bool:
        if need.name in self._by_name:
            return True
        return need.permissions is not None and self._index().covers(need)

    def _index(self) -> Grants:
        if self._grants is None:
            self._grants = Grants(self)
        return self._grants

    def _beyond(self, other: Scopes) -> tuple[Scopes, Scopes]:
        # The scopes of which *other* has nothing, and those of which it has only a part.
        folded = {name.lower() for name in other._by_name}
        unmet = [scope for scope in self if not (scope.name.lower() in folded or other._covers_one(scope))]
        partly = {scope for scope in unmet if scope.permissions and other._index().touches(scope)}
        return Scopes(scope for scope in unmet if scope not in partly), Scopes(
            scope for scope in unmet if scope in partly
        )

    def __contains__(self, item: object) -> bool:
        if isinstance(item, Scope):
            return item.name in self._by_name
        return isinstance(item, str) and (item in self._by_name or short_name(item) in self._by_name)

    def __iter__(self) -> Iterator[Scope]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    # The operators take anything that the constructor takes, and a single scope, so that
    # `scopes | "openid fhirUser"` does what it looks like; the inherited ones would walk through the letters.
    def __or__(self, other: Scope | Iterable[Any]) -> Self:
        return type(self)((*self, *_scopes(other)))

    def __ror__(self, other: Scope | Iterable[Any]) -> Self:
        return type(self)((*_scopes(other), *self))

    def __and__(self, other: Scope | Iterable[Any]) -> Self:
        others = _scopes(other)
        return type(self)(scope for scope in self if scope in others)

    def __rand__(self, other: Scope | Iterable[Any]) -> Self:
        return type(self)(scope for scope in _scopes(other) if scope in self)

    def __sub__(self, other: Scope | Iterable[Any]) -> Self:
        others = _scopes(other)
        return type(self)(scope for scope in self if scope not in others)

    def __rsub__(self, other: Scope | Iterable[Any]) -> Self:
        return type(self)(scope for scope in _scopes(other) if scope not in self)

    def __hash__(self) -> int:
        return hash(frozenset(self))

    def __str__(self) -> str:
        return " ".join(scope.text for scope in self)

    def __repr__(self) -> str:
        return f"Scopes({str(self)!r})"

    def __reduce__(self) -> tuple[Callable[[str], Scopes], tuple[str]]:
        return type(self), (str(self),)


def _scope(text: str) -> Scope:
    return _known_scope(text) if len(text) <= _KNOWN_LENGTH else Scope(text)


@lru_cache(maxsize=256)
def _known_scope(text: str) -> Scope:
    # Every token of a client names the same few scopes, and a scope never changes.
    return Scope(text)


def _scopes(value: Scope | Iterable[Scope | str]) -> Scopes:
    if isinstance(value, Scopes):
        return value
    return Scopes((value,) if isinstance(value, Scope) else value)
