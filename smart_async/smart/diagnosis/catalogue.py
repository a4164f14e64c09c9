"""
The causes that are known, as data: what each one is called, why it happens, what to do.

Where a check has seen more than the general sentence says, it says that in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from smart_async._values import dataclass
from smart_async.smart.diagnosis.causes_client import CLIENT_CAUSES
from smart_async.smart.diagnosis.causes_registration import REGISTRATION_CAUSES
from smart_async.smart.diagnosis.causes_server import SERVER_CAUSES
from smart_async.smart.diagnosis.report import Cause, Certainty

__all__ = ("CATALOGUE", "Known", "cause", "rank")


@dataclass(frozen=True, slots=True)
class Known:
    """
    One known cause.

    Args:
        rank: The higher, the earlier it stands among causes that are equally sure: what comes before a
            request can even be made, before what the server thinks of it.
        title: The cause in one sentence.
        explanation: Why it happens.
        fix: What to do.
    """

    rank: int
    title: str
    explanation: str
    fix: str


CATALOGUE: Mapping[str, Known] = MappingProxyType(
    {name: Known(*entry) for name, entry in {**CLIENT_CAUSES, **REGISTRATION_CAUSES, **SERVER_CAUSES}.items()}
)
"""Every cause by its id."""


def cause(
    name: str, *, certainty: Certainty = "certain", explanation: str | None = None, fix: str | None = None
) -> Cause:
    """
    Return the cause called *name*.

    Args:
        name: Its id in the catalogue.
        certainty: How sure it is.
        explanation: What was seen, in the place of the general explanation.
        fix: What to do, in the place of the general advice.
    """
    known = CATALOGUE[name]
    return Cause(
        id=name,
        title=known.title,
        explanation=known.explanation if explanation is None else explanation,
        fix=known.fix if fix is None else fix,
        certainty=certainty,
    )


def rank(name: str) -> int:
    """Return the rank of the cause called *name*."""
    return CATALOGUE[name].rank
