"""What happened, for logs and metrics: never a token, a URL's query, a subject or a patient."""

from __future__ import annotations

from typing import Literal, TypeAlias

from smart_async._values import dataclass

__all__ = ("Event", "EventName")

EventName: TypeAlias = Literal["token.refresh.start", "token.refresh.ok", "token.refresh.fail", "retry"]
"""
`token.refresh.start`: a session asks for its next token; `.ok`: it is stored; `.fail`: there is none;
`retry`: a request failed and is about to be made again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One thing that a client did by itself, of which nobody would know otherwise.

    Args:
        name: What happened.
        fhir_base: At which server.
        client_id: As which client.
        attempt: Which attempt it was, from 1.
        seconds: How long it took, or for `retry` how long is waited first.
        status: The HTTP status of a failure, where there was one.
        error: The failure: OAuth's code where the server gave one, else the name of the error's class.
    """

    name: EventName
    fhir_base: str
    client_id: str
    attempt: int = 1
    seconds: float = 0.0
    status: int | None = None
    error: str | None = None

    def __str__(self) -> str:
        """Return the event as one line for a log."""
        parts = [f"{self.name} {self.client_id} at {self.fhir_base}"]
        parts += [f"attempt {self.attempt}"] if self.attempt > 1 else []
        parts += [f"{self.error}"] if self.error else []
        parts += [f"status {self.status}"] if self.status else []
        parts += [f"{self.seconds:.3f} s"] if self.seconds else []
        return ", ".join(parts)
