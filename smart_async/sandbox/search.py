"""The search parameters that the FHIR endpoint, and scopes with a query, understand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast
from urllib.parse import unquote

from smart_async.sandbox.data import Resource

__all__ = ("CONTROL", "PARAMETERS", "matches")

CONTROL = frozenset({"_count", "_offset", "_format"})
"""Parameters about the answer and not about the resources."""

PARAMETERS = frozenset({
    "_id", "patient", "subject", "encounter", "category", "code", "status", "clinical-status", "gender",
    "name", "family", "given",
})  # fmt: skip
"""The parameters that select resources."""

_CONCEPTS = {"category": "category", "code": "code", "clinical-status": "clinicalStatus"}
_CODES = {"status": "status", "gender": "gender", "_id": "id"}
_REFERENCES = {
    "patient": ("subject", "Patient"),
    "subject": ("subject", "Patient"),
    "encounter": ("encounter", "Encounter"),
}


def matches(resource: Resource, wanted: Iterable[tuple[str, str]], *, encoded: bool = False) -> bool:
    """
    Return whether *resource* fits all of *wanted*; commas separate alternatives.

    Args:
        resource: The resource.
        wanted: Parameters with their values.
        encoded: Whether the values are percent-encoded, as they are within a scope.

    Spec: FHIR R4, search.
    """
    return all(
        any(_fits(resource, name, unquote(value) if encoded else value) for value in values.split(","))
        for name, values in wanted
    )


def _fits(resource: Resource, name: str, value: str) -> bool:
    if name in _CONCEPTS:
        return any(_is_token(coding, value) for coding in _codings(resource.get(_CONCEPTS[name])))
    if name in _CODES:
        return bool(resource.get(_CODES[name]) == value.rpartition("|")[2])
    if name in _REFERENCES:
        member, kind = _REFERENCES[name]
        reference = resource.get(member, {}).get("reference", "")
        return bool(reference == f"{kind}/{value.removeprefix(f'{kind}/')}")
    return any(text.lower().startswith(value.lower()) for text in _names(resource, name))


def _names(resource: Resource, name: str) -> Iterator[str]:
    for entry in resource.get("name", ()):
        if name in ("name", "family"):
            yield entry["family"]
        if name in ("name", "given"):
            yield from entry["given"]


def _codings(value: Any) -> Iterator[Resource]:
    concepts = cast("list[Resource]", value if isinstance(value, list) else [value or {}])
    for concept in concepts:
        yield from concept.get("coding", ())


def _is_token(coding: Resource, value: str) -> bool:
    system, bar, code = value.rpartition("|")
    return bool(coding.get("code") == code and (not bar or coding.get("system") == system))
