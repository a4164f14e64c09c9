"""
Faults on demand: what a server can do to a client, performed on the wire when asked for.

```python
sandbox = Sandbox(faults={"slow": {"seconds": 2}, "expired_code": {}})
sandbox.faults.add("unavailable", times=2, endpoint="token", retry_after=0)
sandbox.faults.add("fhir_401", client="growth-chart")
for fault in sandbox.faults:
    print(fault.text)
sandbox.faults.clear()
```
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.sandbox.fault_kinds import ENDPOINTS, KINDS, FaultKind
from smart_async.sandbox.verdicts import Case

__all__ = ("Fault", "Faults")


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """
    One fault that was asked for.

    Args:
        number: Its number, different for each fault of a sandbox.
        kind: What it does.
        client_id: The client it is for, or None for all.
        endpoint: The endpoint it is for, or None for all that it can strike.
        value: Its number, as seconds or a count, or None if it has none.
        left: How often it will still strike, or None for always.
        struck: How often it has struck.
    """

    number: int
    kind: FaultKind
    client_id: str | None
    endpoint: str | None
    value: float | None
    left: int | None
    struck: int = 0

    @property
    def name(self) -> str:
        """The name of its kind."""
        return self.kind.name

    @property
    def text(self) -> str:
        """What it does, to whom and how often, in one line."""
        who = "All clients" if self.client_id is None else self.client_id
        often = {None: "always", 1: "once"}.get(self.left, f"{self.left} times")
        return f"{self.what} ({who}, {often})"

    @property
    def what(self) -> str:
        """What it does, in one line."""
        what = self.kind.text.format(f"{self.value:g}" if self.value is not None else "")
        return f"{what} At {self.endpoint} only." if self.endpoint else what

    def fits(self, name: str, client_id: str | None, endpoint: str | None) -> bool:
        """Return whether it is of that kind, for that client, at that endpoint."""
        return (
            self.kind.name == name
            and self.client_id in (None, client_id)
            and self.endpoint in (None, endpoint)
        )


class Faults:
    """
    The faults of one sandbox; iterating gives those that will still strike, oldest first.

    Args:
        asked: Names of kinds, or a mapping from names to the arguments of `add`.

    Raises:
        ConfigurationError: As `add` does.
    """

    def __init__(self, asked: Iterable[str] | Mapping[str, Mapping[str, Any]] = ()) -> None:
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._made = 0
        for name in asked:
            self.add(name, **(asked[name] if isinstance(asked, Mapping) else {}))

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._faults))

    def __len__(self) -> int:
        return len(self._faults)

    def add(
        self,
        name: str,
        *,
        client: str | None = None,
        times: int | None = None,
        always: bool = False,
        endpoint: str | None = None,
        **option: float,
    ) -> Fault:
        """
        Ask for a fault.

        Args:
            name: Its kind: a key of `KINDS`.
            client: The id of the client it is for; all clients by default. Where a request has not been
                judged yet, the client is the one that it claims to come from; documents that
                anybody may fetch are fetched by no client.
            times: How often it strikes. Without it, as often as its kind says: single blows strike once,
                lasting conditions always.
            always: Strike always, whatever the kind says.
            endpoint: The one endpoint it is for, for `slow` and `unavailable`: one of `ENDPOINTS`.
            **option: The number that the kind has, under its own name: `seconds=`, `retry_after=`, `count=`.

        Returns:
            The fault, for looking at (`struck`, `left`) and for `remove`.

        Raises:
            ConfigurationError: If there is no such kind, or an argument does not go with it.

        >>> faults = Faults()
        >>> faults.add("slow", seconds=3, client="growth-chart").text
        'Answers come 3 s late, after the request has been processed. (growth-chart, always)'
        """
        kind = KINDS.get(name)
        if kind is None:
            raise _wrong(f"There is no fault {name!r}.", f"One of: {', '.join(KINDS)}.")
        _check(kind, client, times, endpoint)
        with self._lock:
            self._made += 1
            fault = Fault(
                number=self._made,
                kind=kind,
                client_id=client,
                endpoint=endpoint,
                value=_value(kind, option),
                left=None if always else kind.times if times is None else times,
            )
            self._faults.append(fault)
        return fault

    def remove(self, fault: Fault | int) -> None:
        """Take back one fault, or the one with that number; one that is gone already is no error."""
        number = fault if isinstance(fault, int) else fault.number
        with self._lock:
            self._faults = [other for other in self._faults if other.number != number]

    def clear(self, name: str | None = None) -> None:
        """Take back all faults, or all of one kind."""
        with self._lock:
            self._faults = [fault for fault in self._faults if name not in (None, fault.name)]

    def take(self, name: str, case: Case) -> Fault | None:
        """
        Let a fault of that kind strike, if there is one for this request, and return it.

        Args:
            name: The kind.
            case: The request; it remembers what struck it.
        """
        with self._lock:
            fault = self._find(name, case)
            if fault is None:
                return None
            fault.struck += 1
            if fault.left is not None:
                fault.left -= 1
                if not fault.left:
                    self.remove(fault)
        case.faults.append(fault.name)
        return fault

    def clock(self, clock: Callable[[], float]) -> Callable[[], float]:
        """Return *clock* with the skew that is asked for."""

        def skewed() -> float:
            return clock() + sum(fault.value or 0 for fault in self if fault.name == "clock_skew")

        return skewed

    def _find(self, name: str, case: Case) -> Fault | None:
        client_id = case.client_id or case.caller
        return next((fault for fault in self._faults if fault.fits(name, client_id, case.endpoint)), None)


def _value(kind: FaultKind, option: Mapping[str, float]) -> float | None:
    if unknown := option.keys() - {kind.option}:
        has = f"its option is {kind.option}" if kind.option else "it has no option"
        raise _wrong(f"The fault {kind.name!r} has no option {min(unknown)!r}; {has}.")
    value: object = option.get(kind.option or "", kind.default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not kind.least <= value < 1e9:
        raise _wrong(f"The option {kind.option} of {kind.name!r} must be a number from {kind.least:g} on.")
    return float(value)


def _check(kind: FaultKind, client: str | None, times: int | None, endpoint: str | None) -> None:
    if kind.shared and (client is not None or times is not None):
        raise _wrong(f"The fault {kind.name!r} is about the whole server: it takes neither client nor times.")
    if times is not None and times < 1:
        raise _wrong("times must be at least 1.")
    if endpoint is not None and not kind.anywhere:
        raise _wrong(f"The fault {kind.name!r} has an endpoint of its own.")
    if endpoint not in (None, *ENDPOINTS):
        raise _wrong(f"There is no endpoint {endpoint!r}.", f"One of: {', '.join(ENDPOINTS)}.")


def _wrong(message: str, advice: str | None = None) -> ConfigurationError:
    return ConfigurationError(message, field="faults", advice=advice)
