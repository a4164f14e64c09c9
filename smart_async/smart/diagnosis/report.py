"""
What a diagnosis is made of: checks in their order, causes by their rank.

Nothing in a report is secret. Assertions stand in it decoded and without their signature, keys by their
`kid`, URLs without their query; so all of it can be pasted into a ticket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from smart_async._values import dataclass

__all__ = ("Cause", "Certainty", "Check", "Diagnosis", "Status")

Status: TypeAlias = Literal["ok", "warning", "problem", "skipped"]
"""`problem`: a reason to be refused; `warning`: worth knowing; `skipped`: it could not be looked at."""

Certainty: TypeAlias = Literal["certain", "likely", "possible"]
"""`certain`: it was seen; `likely`: the evidence points to it; `possible`: nothing speaks against it."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NOTE = "Safe to paste: no key, secret, token or signature is in this report."


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """
    One reason why a server refuses a client.

    Args:
        id: A short, stable name, such as `jwks-kid`.
        title: The cause in one sentence.
        explanation: What was seen, or why this happens.
        fix: What to do, and who should do it.
        certainty: How sure it is.
    """

    id: str
    title: str
    explanation: str
    fix: str
    certainty: Certainty = "certain"

    def __str__(self) -> str:
        """Return the cause as one paragraph."""
        return " ".join(part for part in (self.title, self.explanation, self.fix) if part)

    def to_dict(self) -> dict[str, str]:
        """Return the cause as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """
    One thing that was looked at.

    Args:
        id: A short, stable name, such as `clock`.
        title: What was looked at, in a few words.
        status: What came of it.
        explanation: What was found.
        fix: What to do about it; empty where there is nothing to do.
        details: Further lines, such as the findings against the specification.
    """

    id: str
    title: str
    status: Status
    explanation: str = ""
    fix: str = ""
    details: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the check as a JSON object."""
        return {
            "id": self.id,
            "title": self.title,
            "status": self.status,
            "explanation": self.explanation,
            "fix": self.fix,
            "details": list(self.details),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """
    Why a server refuses a client, as far as can be seen from the client's side.

    Args:
        checks: What was looked at, in the order in which it matters.
        causes: The reasons found, the right one first; empty where nothing is wrong.
        fhir_base: The FHIR base URL, or None if there is no usable configuration.
        client_id: The client, likewise.
        vendor: The server's make, where host or document give it away.
        vendor_notes: What is known of servers of that make.
        assertion: Header and claims of the client assertion, decoded; None if none could be made.
        server: The server's own words to a token request: status, code, description, correlation id.
        tried: Whether a token request was sent.
        granted: Whether it was answered with a token.
    """

    checks: tuple[Check, ...]
    causes: tuple[Cause, ...]
    fhir_base: str | None = None
    client_id: str | None = None
    vendor: str | None = None
    vendor_notes: tuple[str, ...] = ()
    assertion: Mapping[str, Any] | None = None
    server: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    tried: bool = False
    granted: bool = False

    @property
    def ok(self) -> bool:
        """Whether no cause was found. Without a token request that is no promise."""
        return not self.causes

    @property
    def summary(self) -> str:
        """The outcome in one or two sentences, the most likely cause first."""
        if self.causes:
            first, more = self.causes[0], len(self.causes) - 1
            how = {"certain": "Cause", "likely": "Most likely cause", "possible": "First suspect"}
            others = f" ({more} more below.)" if more else ""
            worked = "A token was issued all the same. " if self.granted else ""
            return f"{worked}{how[first.certainty]}: {first.title}{others}"
        if self.granted:
            remarks = sum(check.status == "warning" for check in self.checks)
            told = f" {remarks} remark(s) below are worth knowing." if remarks else ""
            return f"A token was issued; nothing is wrong.{told}"
        return (
            "No token was asked for, so the server's own view is not in this: run it with --try "
            "(try_token=True). In what can be seen without it, nothing wrong was found."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as one JSON object; nothing in it is secret."""
        return {
            "summary": self.summary,
            "ok": self.ok,
            "fhir_base": self.fhir_base,
            "client_id": self.client_id,
            "tried": self.tried,
            "granted": self.granted,
            "causes": [cause.to_dict() for cause in self.causes],
            "checks": [check.to_dict() for check in self.checks],
            "vendor": self.vendor,
            "vendor_notes": list(self.vendor_notes),
            "assertion": None if self.assertion is None else dict(self.assertion),
            "server": dict(self.server),
            "note": _NOTE,
        }
