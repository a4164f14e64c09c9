"""Scopes as a caller asks for them: checked more strictly than what a server sends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.smart.scopes.collection import Scopes
from smart_async.smart.scopes.scope import Scope

__all__ = ("asked_scopes", "refuse_commas")

# A comma inside the value of a granular scope has something of that value behind it.
_COMMA = re.compile(
    r",(?=\s|$|openid|profile|fhirUser|launch|offline_access|online_access|(?:patient|user|system)/)"
)


def asked_scopes(scope: object) -> Scopes:
    """
    Return the scopes that a caller asks for.

    Args:
        scope: Text, `Scopes`, or an iterable of scopes and texts.

    Raises:
        ConfigurationError: If it is something else, holds a character that no scope may hold, or has
            commas between its scopes.

    Spec: RFC 6749, section 3.3.
    """
    if isinstance(scope, Scopes):
        return scope
    if isinstance(scope, str):
        refuse_commas(scope)
        return Scopes(scope)
    if not isinstance(scope, Iterable) or isinstance(scope, bytes):
        raise _wrong(scope)
    words: list[Any] = [*scope]
    for word in words:
        if isinstance(word, str):
            refuse_commas(word)
        elif not isinstance(word, Scope):
            raise _wrong(word)
    return Scopes(words)


def refuse_commas(scope: str) -> None:
    """
    Refuse scopes with commas between them, as in many other lists: servers would see one unknown scope.

    Args:
        scope: The text that a caller gave.

    Raises:
        ConfigurationError: If a comma stands between two scopes, or at the end.

    >>> refuse_commas("openid patient/Condition.rs?category=a,b")
    """
    if _COMMA.search(scope):
        raise ConfigurationError(
            "There is a comma between scopes.",
            field="scope",
            advice='Separate scopes with blanks: "openid fhirUser launch/patient".',
        )


def _wrong(scope: object) -> ConfigurationError:
    return ConfigurationError(
        f"scope must be text or Scopes, not {type(scope).__name__}.",
        field="scope",
        advice='Write for example scope="openid fhirUser launch/patient patient/*.rs".',
    )
