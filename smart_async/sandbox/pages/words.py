"""Scopes in plain words, for somebody who decides about their record and not about OAuth."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from smart_async.sandbox.scopes import DataScope, parse_data_scope

__all__ = ("ScopeWords", "scope_words")

_PLAIN = {
    "openid": ("Know that it is you", "The app learns an identifier that stands for you here."),
    "fhirUser": ("See your own entry", "The app learns who you are: your name and your role."),
    "profile": ("See your own entry", "The app learns who you are: your name and your role."),
    "launch": ("Know what is open here", "The app learns which patient and which visit you are looking at."),
    "launch/patient": ("Know which patient this is about", "The patient that you have chosen."),
    "launch/encounter": ("Know which visit this is about", "A visit of the patient that you have chosen."),
    "offline_access": (
        "Stay connected while you are away",
        "The app can come back by itself, until somebody ends that.",
    ),
    "online_access": (
        "Stay connected while you are here",
        "The app can come back by itself as long as you are signed in here.",
    ),
}
_UNKNOWN = ("Something that has no description", "Allow this only if you know what it means.")
_THINGS = {
    "*": "everything in the record",
    "AllergyIntolerance": "allergies and intolerances",
    "Condition": "problems and diagnoses",
    "DiagnosticReport": "reports of laboratory and imaging",
    "DocumentReference": "documents",
    "Encounter": "visits and stays",
    "Immunization": "vaccinations",
    "MedicationRequest": "prescribed medications",
    "Observation": "measurements and findings, such as vital signs",
    "Patient": "name, birth date, sex and contact details",
    "Practitioner": "health professionals",
    "Procedure": "operations and other procedures",
}
_WHOSE = {
    "patient": "of this one patient",
    "user": "of everybody whose record you may see",
    "system": "of all patients, without anybody being signed in",
}
_FEW = {"rs": "See", "r": "Open", "s": "Search"}
_CHANGES = {"c": "add", "u": "change", "d": "delete"}


class ScopeWords(NamedTuple):
    """
    A scope for people.

    Args:
        title: What the app may do, in a few words.
        detail: What that means.
        scope: The scope as it is written.
    """

    title: str
    detail: str
    scope: str


def scope_words(scope: str) -> ScopeWords:
    """
    Say what a scope, which has been checked, allows.

    >>> scope_words("patient/Condition.read").title
    'See problems and diagnoses'
    >>> scope_words("user/Observation.rs?category=vital-signs").detail
    'Of everybody whose record you may see. Only where category is vital-signs.'
    """
    data = parse_data_scope(scope)
    if data is None:
        return ScopeWords(*_PLAIN.get(scope, _UNKNOWN), scope)
    return ScopeWords(f"{_verbs(data)} {_thing(data)}", _detail(data), scope)


def _verbs(data: DataScope) -> str:
    seen = "".join(letter for letter in "rs" if letter in data.letters)
    words = [_FEW[seen]] if seen else []
    words += [_CHANGES[letter] for letter in "cud" if letter in data.letters]
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return text[0].upper() + text[1:]


def _thing(data: DataScope) -> str:
    return _THINGS.get(data.target, f"entries of the kind {data.target}")


def _detail(data: DataScope) -> str:
    whose = f"{_WHOSE[data.level]}."
    only = " and ".join(f"{name} is {unquote(value).rpartition('|')[2]}" for name, value in data.constraints)
    return whose[0].upper() + whose[1:] + (f" Only where {only}." if only else "")
