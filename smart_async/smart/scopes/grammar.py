"""
The words of SMART's scope language, and how one name is taken apart.

Everything here runs in time proportional to the text: a server chooses the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, cast
from urllib.parse import quote, unquote

from smart_async.errors import ConfigurationError
from smart_async.messages import clean_text

__all__ = (
    "INTERACTIONS",
    "LETTERS",
    "MASKS",
    "OPENID_NAMES",
    "OPENID_PREFIX",
    "RESOURCE",
    "SMART_PREFIX",
    "V1_WORDS",
    "Kind",
    "Level",
    "Parts",
    "check_token",
    "encode_pairs",
    "parts_of",
    "short_name",
)

Level = Literal["patient", "user", "system"]
"""On whose behalf data is reached: the one patient in context, the signed-in user, the client itself."""

Kind = Literal["clinical", "launch", "identity", "refresh", "other"]
"""What a scope is about; "other" is everything that SMART does not define or that is malformed."""

SMART_PREFIX = "http://smarthealthit.org/fhir/scopes/"
"""What stands before a SMART scope where a URI is needed."""

OPENID_PREFIX = "http://openid.net/specs/openid-connect-core-1_0#"
"""What stands before an OpenID Connect scope where a URI is needed."""

LETTERS = tuple(
    "".join(letter for bit, letter in enumerate("cruds") if mask >> bit & 1) for mask in range(32)
)
"""The canonical permission letters of each bit mask; index 0, no permission, is no valid scope."""

MASKS = {letters: mask for mask, letters in enumerate(LETTERS) if mask}
"""The bit mask of each of the 31 valid permission strings."""

V1_WORDS = {"read": "rs", "write": "cud", "*": "cruds"}
"""The three permissions of SMART 1.0, in the letters of version 2."""

INTERACTIONS = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "delete": "d",
    "search-type": "s",
    "history-type": "s",
    "search-system": "s",
    "history-system": "s",
}
"""The letter that each FHIR interaction needs, by its code in FHIR's CapabilityStatement."""

OPENID_NAMES = frozenset({"openid", "profile", "email", "address", "phone"})
"""The scopes that OpenID Connect owns. `offline_access` is not here: SMART gives it a meaning of its own."""

RESOURCE = re.compile(r"\*|[A-Z][A-Za-z0-9]*")

_TOKEN = re.compile(r"[!#-\[\]-~]+")
_ILLEGAL = re.compile(r"[^!#-\[\]-~]")
# Oracle Health sends the first prefix with FHIR in capitals.
_PREFIXES = (SMART_PREFIX, "http://smarthealthit.org/FHIR/scopes/", OPENID_PREFIX)
_CLINICAL = re.compile(
    r"(patient|user|system)/(\*|[A-Z][A-Za-z0-9]*)\.(read|write|\*|c?r?u?d?s?)(?:\?(.+))?",
)
_LAUNCH = re.compile(r"launch(?:/([a-z]+)(?:\?role=([^&]+))?)?")


class Parts(NamedTuple):
    """What a scope's name says, as `Scope` shows it."""

    kind: Kind = "other"
    level: Level | None = None
    resource: str | None = None
    permissions: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    version: Literal[1, 2] | None = None
    launch_type: str | None = None
    role: str | None = None


_OTHER = Parts()
_NAMED = {
    **dict.fromkeys((*OPENID_NAMES, "fhirUser"), Parts(kind="identity")),
    **dict.fromkeys(("offline_access", "online_access"), Parts(kind="refresh")),
}


def check_token(text: str) -> None:
    """
    Refuse what RFC 6749 does not let a scope be.

    Raises:
        ConfigurationError: If *text* is empty or holds a blank, a quote, a backslash, a control character or
            anything beyond ASCII.

    Spec: RFC 6749, section 3.3.
    """
    if _TOKEN.fullmatch(text):
        return
    bad = _ILLEGAL.search(text)
    if bad is None:
        raise ConfigurationError("A scope must not be empty.", field="scope")
    raise ConfigurationError(
        f"The scope '{clean_text(text, length=80)}' holds U+{ord(bad[0]):04X} at position {bad.start()}; "
        "a scope is visible ASCII without blanks, quotes and backslashes.",
        field="scope",
        advice="Separate several scopes by blanks and parse them with Scopes.parse(); percent-encode such "
        "characters inside the value of a granular scope.",
    )


def short_name(text: str) -> str:
    """Return *text* without the URI prefix of SMART or OpenID Connect, where it has one."""
    if text.startswith("http://"):
        for prefix in _PREFIXES:
            if text.startswith(prefix):
                return text[len(prefix) :]
    return text


def parts_of(name: str) -> Parts:
    """Take a scope's name apart; anything outside SMART's grammar has kind "other" and nothing else."""
    if match := _CLINICAL.fullmatch(name):
        return _clinical(match)
    if match := _LAUNCH.fullmatch(name):
        role = match[2]
        return Parts(kind="launch", launch_type=match[1], role=None if role is None else _decoded(role))
    return _NAMED.get(name, _OTHER)


def _clinical(match: re.Match[str]) -> Parts:
    level, resource, word, query = match.groups()
    # The words come first: `.read` must never be taken for the letters r and d.
    permissions = V1_WORDS.get(word, word)
    parameters = _pairs(query) if query else ()
    if not permissions or parameters is None:
        return _OTHER
    return Parts(
        "clinical", cast("Level", level), resource, permissions, parameters, 1 if word in V1_WORDS else 2
    )


def _pairs(query: str) -> tuple[tuple[str, str], ...] | None:
    split = [pair.partition("=") for pair in query.split("&")]
    if not all(name and value for name, _, value in split):
        return None
    return tuple((_decoded(name), _decoded(value)) for name, _, value in split)


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """
    Write search constraints as the query of a scope, percent-encoding what a scope cannot hold.

    Args:
        pairs: Names and values as FHIR search knows them, nothing encoded.

    Raises:
        ConfigurationError: If a name or a value is empty or no Unicode text.
    """
    return "&".join(f"{_encoded(name, '')}={_encoded(value, '=')}" for name, value in pairs)


def _encoded(text: str, also_safe: str) -> str:
    # "&", "%", "#" and "+" may stand in a scope, but a server that reads the query as a URL's would
    # take them for syntax.
    if not text:
        raise ConfigurationError("A scope's constraint needs a name and a value.", field="parameters")
    try:
        return quote(text, safe="!$'()*,/:;<>?@[]^`{|}" + also_safe)
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            "A scope's constraint holds a lone surrogate, which no text does.", field="parameters"
        ) from error
