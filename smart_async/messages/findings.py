"""What was noticed about a server or a setup, and what to do about it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from smart_async._values import dataclass

__all__ = ("Finding", "Severity")

Severity: TypeAlias = Literal["error", "warning", "info"]
"""`error`: it breaks a SHALL; `warning`: it breaks a SHOULD or had to be guessed; `info`: worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    One thing that is not as the specification says, though it did not stop us.

    Servers deviate, and an app has to work with them all the same; findings are how you learn of it.

    Args:
        rule: The rule's id in the conformance table, such as `DI-09`, or our own name for it.
        severity: How serious it is.
        message: What was found, in one sentence.
        advice: What to do, and who should do it.
    """

    rule: str
    severity: Severity
    message: str
    advice: str = ""

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"{self.severity} {self.rule}: {self.message}" + (f" {self.advice}" if self.advice else "")
