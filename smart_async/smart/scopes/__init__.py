"""
Scopes as values: what an app asks for, and what it was given.

A scope is a word such as `patient/Observation.rs`; a server may answer a request with the same words, with
fewer, with broader ones, with an older spelling or with words of its own. Comparing strings gets that wrong,
so compare coverage: `granted.covers("patient/Observation.r")`.

`Scope` is one scope, `Scopes` an ordered set of them, `ScopeReport` the difference between what was asked
and what was granted. What nobody can parse is kept word for word, for servers have scopes of their own.

Left out: FHIR search semantics. A constraint is compared as a name and a value, never evaluated.

Spec: SMART App Launch 2.2, scopes and launch context.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.smart.scopes.asked import asked_scopes, refuse_commas
    from smart_async.smart.scopes.collection import Scopes
    from smart_async.smart.scopes.grammar import Kind, Level
    from smart_async.smart.scopes.report import ScopeReport
    from smart_async.smart.scopes.scope import Scope
    from smart_async.smart.scopes.syntax import syntax_version

__all__ = (
    "Kind",
    "Level",
    "Scope",
    "ScopeReport",
    "Scopes",
    "asked_scopes",
    "refuse_commas",
    "syntax_version",
)

_HOMES = {
    "Kind": "grammar",
    "Level": "grammar",
    "Scope": "scope",
    "ScopeReport": "report",
    "Scopes": "collection",
    "asked_scopes": "asked",
    "refuse_commas": "asked",
    "syntax_version": "syntax",
}

__getattr__, __dir__ = loading(__name__, _HOMES)
