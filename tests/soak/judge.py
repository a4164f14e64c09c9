"""
What a soak has to show: every error explained, and nothing that grows.

An error is explained by an outage of its server, by a login that the server has forgotten in a restart, or by
a fault that the sandbox was told to have. There are no more of the last kind than faults that struck.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GRACE = 5.0
"""Seconds after a restart in which errors are still its consequence: connections, caches and pauses."""

GROWTH = 8.0
"""MiB that memory may grow by between warm-up and end; a kibibyte lost per operation would be more."""

FAULTS = {
    "lost_token_response": ("OutcomeUnknownError",),
    "expired_code": ("OAuthError invalid_grant",),
    "unavailable": ("OAuthError temporarily_unavailable",),
    "refresh_reused": ("SessionEndedError invalid_grant",),
    "unknown_kid": ("IdTokenError",),
    "wrong_state": ("CallbackError",),
    "insufficient_scope": ("OAuthError insufficient_scope",),
    "slow": (),
    "fhir_401": (),
}
"""What a caller gets to see of each fault; nothing of those that the library gets over by itself."""

FORGOTTEN = ("SessionEndedError invalid_grant", "OAuthError invalid_grant", "status 401")
"""What a caller gets to see of a login that the server has forgotten."""


@dataclass(slots=True)
class Outage:
    """A time in which a server was away; without an end yet, it still is."""

    server: str
    begun: float
    ended: float | None = None

    def explains(self, failure: Failure) -> bool:
        """Whether an operation met it."""
        until = float("inf") if self.ended is None else self.ended + GRACE
        return self.server == failure.server and failure.begun <= until and failure.ended >= self.begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """
    An operation that ended in an error.

    Attributes:
        server: Whose operation it was.
        operation: What was tried.
        error: The error's class, and its code or status if it has one.
        typed: Whether it is an error of the library, or of the HTTP client that the caller brought.
        forgotten: Whether the login is of before the server's last restart.
        begun: When the operation began, in monotonic seconds.
        ended: When it failed.
        text: The message.
    """

    server: str
    operation: str
    error: str
    typed: bool
    forgotten: bool
    begun: float
    ended: float
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the process used at one moment: MiB, descriptors, threads, tasks of the event loops."""

    at: float
    rss: float
    descriptors: int
    threads: int
    tasks: int


@dataclass
class Record:
    """All that happened in a soak; added to by many threads."""

    outages: list[Outage] = field(default_factory=list)
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    unexplained: list[Failure] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    replays: Counter[str] = field(default_factory=Counter)
    calm_since: float = float("inf")
    warm_since: float = 0.0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, server: str, operation: str) -> None:
        """Note an operation that succeeded."""
        with self._lock:
            self.done[server, operation] += 1

    def fail(self, failure: Failure) -> None:
        """Note an operation that failed, and why."""
        with self._lock:
            reason = self.reason(failure)
            self.failed[failure.server, reason, failure.error] += 1
            if reason in ("untyped", "unexplained"):
                self.unexplained.append(failure)

    def reason(self, failure: Failure) -> str:
        """Return what explains a failure; whether as many faults struck is judged in the end."""
        if not failure.typed:
            return "untyped"
        if any(outage.explains(failure) for outage in self.outages):
            return "restart"
        if failure.forgotten and failure.error in FORGOTTEN:
            return "forgotten"
        known = {error for errors in FAULTS.values() for error in errors}
        faulty = failure.server == "sandbox" and failure.begun < self.calm_since
        return "fault" if faulty and failure.error in known else "unexplained"

    def growth(self) -> float:
        """Return the MiB that memory grew by between warm-up and end, from medians of several samples."""
        warm = [sample.rss for sample in self.samples if sample.at >= self.warm_since]
        part = max(1, len(warm) // 5)
        return statistics.median(warm[-part:]) - statistics.median(warm[:part])


def judge(record: Record, *, before: Sample, after: Sample) -> list[str]:
    """
    Return what was wrong with a soak; nothing, if it was passed.

    Args:
        record: What happened.
        before: What the process used before the first client was made.
        after: The same after the last was closed.
    """
    return [
        *unexplained(record.unexplained),
        *too_many_faults(record.failed, record.struck),
        *replayed(record.replays, record.struck),
        *record.noise,
        *grown(record),
        *left_open(before, after),
        *([] if sum(record.done.values()) else ["Nothing was done."]),
    ]


def unexplained(failures: Sequence[Failure]) -> list[str]:
    """Return a line for each kind of error that nothing explains, with one of them as the example."""
    kinds: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        kinds.setdefault((failure.server, failure.error), []).append(failure)
    return [
        f"{len(alike)} times {error} at {server}, in {_operations(alike)}; the first: {alike[0].text}"
        for (server, error), alike in kinds.items()
    ]


def _operations(failures: Sequence[Failure]) -> str:
    counts = Counter(failure.operation for failure in failures)
    return ", ".join(f"{operation} {count}" for operation, count in counts.most_common(6))


def too_many_faults(failed: Mapping[tuple[str, str, str], int], struck: Mapping[str, int]) -> list[str]:
    """Return the errors of which there are more than faults that make them."""
    seen: Counter[str] = Counter()
    for (_, reason, error), count in failed.items():
        seen[error] += count * (reason == "fault")
    allowed: Counter[str] = Counter()
    for fault, count in struck.items():
        for error in FAULTS[fault]:
            allowed[error] += count
    return [
        f"{count} times {error}, and only {allowed[error]} faults that make it"
        for error, count in seen.items()
        if count > allowed[error]
    ]


def replayed(replays: Mapping[str, int], struck: Mapping[str, int]) -> list[str]:
    """Return the codes and refresh tokens that were presented again, by us and not by a fault."""
    feigned = {"refresh_token": struck.get("refresh_reused", 0)}
    return [
        f"{count} times a {kind} was presented twice"
        for kind, count in replays.items()
        if count > feigned.get(kind, 0)
    ]


def grown(record: Record) -> list[str]:
    """Return what became more between warm-up and end."""
    warm = [sample for sample in record.samples if sample.at >= record.warm_since]
    if len(warm) < 10:
        return [f"Only {len(warm)} samples after the warm-up: too short a run to judge memory."]
    problems = []
    if record.growth() > GROWTH:
        problems.append(f"Memory grew by {record.growth():.1f} MiB, and {GROWTH:.0f} are allowed.")
    for name in ("descriptors", "threads", "tasks"):
        values = [getattr(sample, name) for sample in warm]
        half = len(values) // 2
        if not steady(values[:half], values[half:]):
            problems.append(
                f"The {name} became more: {max(values[:half])} at most, then {max(values[half:])}."
            )
    return problems


def steady(early: Sequence[int], late: Sequence[int]) -> bool:
    """
    Return whether neither the most nor the usual grew by more than the chance of a moment.

    While a server is away there is less of everything; so the usual is compared with the most of before.
    """
    return max(late) <= max(early) * 1.5 + 16 and statistics.median(late) <= max(early) + 8


def left_open(before: Sample, after: Sample) -> list[str]:
    """Return what is still there after everything was closed."""
    return [
        f"{getattr(after, name) - getattr(before, name)} {name} are left after everything was closed."
        for name in ("descriptors", "threads", "tasks")
        if getattr(after, name) > getattr(before, name)
    ]
