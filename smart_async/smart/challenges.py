"""
What a server says in `WWW-Authenticate`: how to come in, and why this request did not.

The field is a list of lists, both separated by commas, so that splitting it at commas reads some servers
wrongly and lets others say what they like. Here it is read by its grammar, or not at all.

Spec: RFC 9110, section 11.6.1; RFC 6750, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from smart_async._values import dataclass
from smart_async.errors import ProtocolError
from smart_async.limits import CHALLENGE_BYTES, CHALLENGE_PARAMETERS

__all__ = ("Challenge", "bearer_challenge", "parse_challenges")

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[\t !#-\[\]-~\x80-\U0010ffff]|\\[\t -~\x80-\U0010ffff])*"'
_NONE: Mapping[str, str] = MappingProxyType({})

_GAP = re.compile(r"[ \t]*(?:,[ \t]*)*")
_SCHEME = re.compile(rf"(?P<scheme>{_TOKEN})(?=[ \t]*(?:,|\Z)|(?P<more> +))")
_PARAMETER = re.compile(rf"(?P<name>{_TOKEN})[ \t]*=[ \t]*(?P<value>{_TOKEN}|{_QUOTED})(?=[ \t]*(?:,|\Z))")
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|\Z))")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """
    One way to come in.

    Args:
        scheme: The authentication scheme in lower case, such as `bearer`.
        parameters: Its parameters, their names in lower case; untrusted text.

    Spec: RFC 9110, section 11.3.
    """

    scheme: str
    parameters: Mapping[str, str] = field(hash=False)


def parse_challenges(text: str) -> tuple[Challenge, ...]:
    r"""
    Read the value of a `WWW-Authenticate` field; of several fields, joined with commas.

    Args:
        text: The value.

    Returns:
        The challenges, in their order.

    Raises:
        ProtocolError: If it is too long, breaks the grammar, or names a parameter twice.

    Spec: RFC 9110, sections 11.2, 11.3 and 11.6.1.

    >>> first, second = parse_challenges('Basic realm="a, b", Bearer error=invalid_token')
    >>> first.scheme, first.parameters["realm"], second.parameters["error"]
    ('basic', 'a, b', 'invalid_token')
    """
    if len(text) > CHALLENGE_BYTES:
        raise ProtocolError(f"WWW-Authenticate has {len(text)} characters; {CHALLENGE_BYTES} are read.")
    found: list[Challenge] = []
    position = _after_gap(text, 0)
    while position < len(text):
        scheme = _SCHEME.match(text, position)
        if scheme is None:
            raise _malformed(position)
        parameters, position = _parameters(text, scheme.end() + len(scheme["more"] or ""))
        found.append(Challenge(scheme=scheme["scheme"].lower(), parameters=MappingProxyType(parameters)))
    return tuple(found)


def bearer_challenge(text: str | None) -> Mapping[str, str]:
    """
    Return the parameters of the first Bearer challenge; none where there is no such challenge to be read.

    Args:
        text: The value of `WWW-Authenticate`, or None.

    Spec: RFC 6750, section 3.

    >>> bearer_challenge('Bearer error="insufficient_scope", scope="patient/Task.c"')["scope"]
    'patient/Task.c'
    """
    try:
        challenges = parse_challenges(text or "")
    except ProtocolError:
        return _NONE
    return next((each.parameters for each in challenges if each.scheme == "bearer"), _NONE)


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    if blob := _TOKEN68.match(text, position):  # what begins a parameter is none: a value follows its "="
        return found, _after_gap(text, blob.end())
    position = _after_gap(text, position)
    while parameter := _PARAMETER.match(text, position):
        name = parameter["name"].lower()
        if name in found or len(found) == CHALLENGE_PARAMETERS:
            raise ProtocolError("WWW-Authenticate names a parameter twice, or too many of them.")
        found[name] = _value(parameter["value"])
        position = _after_gap(text, parameter.end())
    return found, position


def _value(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def _after_gap(text: str, position: int) -> int:
    gap = _GAP.match(text, position)
    return gap.end() if gap else position  # pragma: no branch - the pattern matches nothing as well


def _malformed(position: int) -> ProtocolError:
    return ProtocolError(f"WWW-Authenticate cannot be read from its character {position + 1} on.")
