"""The judge of the soak test: it lets a good run pass, and misses nothing that it is there to find."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest


def load() -> Any:
    """Load the judge, which stands beside the soak's script and is found on no path."""
    spec = importlib.util.spec_from_file_location("soak_judge", Path(__file__).parent / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak_judge"] = module
    spec.loader.exec_module(module)
    return module


judge = load()
IDLE = judge.Sample(at=0.0, rss=50.0, descriptors=20, threads=5, tasks=10)
BUSY = judge.Sample(at=0.0, rss=90.0, descriptors=120, threads=30, tasks=40)
FAILURE = judge.Failure(
    server="sandbox",
    operation="renew (sync-httpx)",
    error="OutcomeUnknownError",
    typed=True,
    forgotten=False,
    begun=100.0,
    ended=101.0,
)


@pytest.fixture
def record() -> Any:
    """A run that passes: an outage from 40 to 42, and faults until 500."""
    record = judge.Record(warm_since=150.0, calm_since=500.0)
    record.outages.append(judge.Outage("sandbox", 40.0, 42.0))
    record.samples = [replace(BUSY, at=float(at), rss=40.0 if at < 150 else 90.0) for at in range(0, 600, 5)]
    record.add("sandbox", "read")
    return record


def verdict(record: Any, after: Any = IDLE) -> list[str]:
    """What the judge says."""
    problems: list[str] = judge.judge(record, before=IDLE, after=after)
    return problems


def test_a_good_run(record: Any) -> None:
    """Nothing is wrong with it, though memory grew in the warm-up."""
    assert verdict(record) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"begun": 39.0, "ended": 40.5}, "restart"),
        ({"begun": 46.9, "ended": 47.1}, "restart"),
        ({"begun": 47.1, "ended": 47.2}, "fault"),
        ({"begun": 39.0, "ended": 39.9}, "fault"),
        ({"begun": 39.0, "ended": 40.5, "server": "oidc-provider"}, "unexplained"),
        ({"begun": 39.0, "ended": 40.5, "typed": False}, "untyped"),
        (
            {"error": "SessionEndedError invalid_grant", "forgotten": True, "server": "oidc-provider"},
            "forgotten",
        ),
        ({"error": "SessionEndedError invalid_grant", "server": "oidc-provider"}, "unexplained"),
        ({"error": "TransportError", "forgotten": True}, "unexplained"),
        ({}, "fault"),
        ({"error": "StoreError"}, "unexplained"),
        ({"begun": 500.0, "ended": 500.1}, "unexplained"),
    ],
)
def test_what_explains_a_failure(record: Any, changes: dict[str, Any], reason: str) -> None:
    """An outage of that server, a login that it forgot, or a fault while there were any; nothing else."""
    assert record.reason(replace(FAILURE, **changes)) == reason


def test_an_outage_that_lasts(record: Any) -> None:
    """A server that is still away explains failures, too."""
    record.outages.append(judge.Outage("oidc-provider", 400.0))
    assert record.reason(replace(FAILURE, server="oidc-provider", begun=450.0, ended=451.0)) == "restart"


def test_an_unexplained_failure(record: Any) -> None:
    """Alike ones are one line, with their number and an example."""
    for number in range(3):
        record.fail(replace(FAILURE, error="StoreError", text=f"number {number}"))
    assert verdict(record) == [
        "3 times StoreError at sandbox, in renew (sync-httpx) 3; the first: number 0",
    ]


def test_more_errors_than_faults(record: Any) -> None:
    """A fault that struck once excuses one error."""
    record.struck["lost_token_response"] = 1
    record.fail(FAILURE)
    assert verdict(record) == []
    record.fail(FAILURE)
    assert verdict(record) == ["2 times OutcomeUnknownError, and only 1 faults that make it"]


def test_every_fault_is_known() -> None:
    """The sandbox can be told each fault that the judge knows."""
    kinds = pytest.importorskip("smart_async.sandbox.fault_kinds").KINDS
    assert set(judge.FAULTS) <= set(kinds)


def test_something_was_presented_twice(record: Any) -> None:
    """A reuse that the sandbox feigned is not ours; every other one is."""
    record.struck["refresh_reused"] = 1
    record.replays["refresh_token"] = 1
    assert verdict(record) == []
    record.replays.update({"refresh_token": 1, "code": 1})
    assert verdict(record) == [
        "2 times a refresh_token was presented twice",
        "1 times a code was presented twice",
    ]


def test_memory_that_grows(record: Any) -> None:
    """A slow, steady loss is found, and a single peak is none."""
    record.samples[-30] = replace(record.samples[-30], rss=400.0)
    assert verdict(record) == []
    record.samples = [replace(each, rss=90.0 + 0.03 * each.at) for each in record.samples]
    (problem,) = verdict(record)
    assert problem.startswith("Memory grew by 10.")


@pytest.mark.parametrize("name", ["descriptors", "threads", "tasks"])
def test_what_becomes_more(record: Any, name: str) -> None:
    """One more every ten seconds is a leak."""
    record.samples = [
        replace(each, **{name: getattr(each, name) + int(each.at) // 10}) for each in record.samples
    ]
    (problem,) = verdict(record)
    assert problem.startswith(f"The {name} became more")


@pytest.mark.parametrize("name", ["descriptors", "threads", "tasks"])
def test_what_stays_open(record: Any, name: str) -> None:
    """One descriptor, thread or task that outlives the clients fails the run."""
    after = replace(IDLE, **{name: getattr(IDLE, name) + 1})
    assert verdict(record, after) == [f"1 {name} are left after everything was closed."]


def test_too_little_to_judge(record: Any) -> None:
    """A run without samples, work or quiet is not passed."""
    record.samples = record.samples[:3]
    record.done.clear()
    record.noise.append("asyncio logged: Task exception was never retrieved")
    assert verdict(record) == [
        "asyncio logged: Task exception was never retrieved",
        "Only 0 samples after the warm-up: too short a run to judge memory.",
        "Nothing was done.",
    ]
