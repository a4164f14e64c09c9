"""The sheet that the checks write on: one line for each thing looked at, and the causes found."""

from __future__ import annotations

from dataclasses import field

from smart_async._values import dataclass
from smart_async.smart.diagnosis.catalogue import cause
from smart_async.smart.diagnosis.report import Cause, Certainty, Check, Status

__all__ = ("Sheet",)

_WORSE: tuple[Status, ...] = ("ok", "skipped", "warning", "problem")


@dataclass(slots=True)
class Sheet:
    """
    Checks and causes as they are found.

    Args:
        checks: By id, in their order.
        causes: By id, in the order in which they were found.
    """

    checks: dict[str, Check] = field(default_factory=dict[str, Check])
    causes: dict[str, Cause] = field(default_factory=dict[str, Cause])

    def note(
        self,
        check: str,
        title: str,
        explanation: str,
        *,
        status: Status = "ok",
        fix: str = "",
        details: tuple[str, ...] = (),
    ) -> None:
        """
        Write down what came of a check; a second line of the same check is added to the first.

        Args:
            check: The check's id.
            title: What was looked at.
            explanation: What was found.
            status: How it came out.
            fix: What to do.
            details: Further lines.
        """
        before = self.checks.get(check)
        if before is not None:
            status = _WORSE[max(_WORSE.index(before.status), _WORSE.index(status))]
            explanation = f"{before.explanation} {explanation}".strip()
            fix = f"{before.fix} {fix}".strip()
            details = before.details + details
        self.checks[check] = Check(
            id=check, title=title, status=status, explanation=explanation, fix=fix, details=details
        )

    def blame(
        self,
        check: str,
        title: str,
        name: str,
        *,
        seen: str = "",
        fix: str | None = None,
        certainty: Certainty = "certain",
        details: tuple[str, ...] = (),
    ) -> None:
        """
        Write down that a check found a cause.

        Args:
            check: The check's id.
            title: What was looked at.
            name: The cause's id in the catalogue.
            seen: What exactly was seen, in front of the general explanation.
            fix: What to do, in the place of the general advice.
            certainty: How sure it is; only what is certain makes the check a problem.
            details: Further lines.
        """
        found = cause(name, certainty=certainty, fix=fix)
        explanation = f"{seen} {found.explanation}".strip()
        status: Status = "problem" if certainty == "certain" else "warning"
        # Of mere suspects there are several in one line; what to do about each stands with the causes.
        advice = "" if certainty == "possible" else found.fix
        self.note(check, title, f"{found.title} {seen}".strip(), status=status, fix=advice, details=details)
        before = self.causes.get(name)
        if before is None or (before.certainty != "certain" and certainty == "certain"):
            self.causes[name] = cause(name, certainty=certainty, explanation=explanation, fix=fix)
