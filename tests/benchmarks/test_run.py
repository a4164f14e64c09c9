"""The runner: its table, its JSON, its exit code."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.measure import Effort, Result

KEPT = Result(
    row=1, what="quick", against="bare", unit="µs", ours=12.34, baseline=10.0, ratio=1.234, limit=1.5
)
MISSED = Result(
    row=9,
    what="slow",
    against="bare",
    unit="/s",
    ours=1000.0,
    baseline=4000.0,
    ratio=0.25,
    limit=0.7,
    at_least=True,
)
REPORTED = Result(row=3, what="peer", against="other", unit="ms", ours=1.0, baseline=20.5, ratio=0.05)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], Effort]]:
    """Let the runner measure three fixed lines, and note what it was asked for."""
    asked: list[tuple[list[int], Effort]] = []

    def fixed(rows: list[int], effort: Effort) -> Iterator[Result]:
        asked.append((list(rows), effort))
        yield from (KEPT, MISSED, REPORTED)

    monkeypatch.setattr(run, "measured", fixed)
    return asked


def test_the_table_has_a_line_for_each_result() -> None:
    """What, ours, baseline, ratio, limit, verdict and what it is compared with."""
    head, kept, missed, reported = run.table([KEPT, MISSED, REPORTED]).splitlines()
    assert head.split() == ["#", "what", "ours", "baseline", "ratio", "limit", "against"]
    assert kept.split() == ["1", "quick", "12.3", "µs", "10", "µs", "1.234", "≤", "1.50", "yes", "bare"]
    assert missed.split() == ["9", "slow", "1,000", "/s", "4,000", "/s", "0.250", "≥", "0.70", "NO", "bare"]
    assert reported.split() == ["3", "peer", "1", "ms", "20.5", "ms", "0.050", "-", "-", "other"]


def test_a_missed_limit_is_no_failure(
    measured: list[tuple[list[int], Effort]], capsys: pytest.CaptureFixture[str]
) -> None:
    """On a busy machine a timed check says nothing about the code, so it is reported, and that is all."""
    assert run.main([]) == 0
    assert "1 limits kept, 1 missed" in capsys.readouterr().out
    assert measured[0][0] == list(run.ROWS)


def test_strict_makes_it_one(measured: list[tuple[list[int], Effort]]) -> None:
    """Whoever knows that the machine is quiet can insist."""
    assert run.main(["--strict", "1", "9", "--rounds", "9"]) == 1
    assert measured == [([1, 9], Effort(rounds=9))]


def test_the_figures_go_into_a_file(measured: list[tuple[list[int], Effort]], tmp_path: Path) -> None:
    """The JSON has the facts about the machine and every figure with its verdict."""
    file = tmp_path / "figures.json"
    assert run.main(["--json", str(file)]) == 0
    document = json.loads(file.read_text())
    assert [one["passed"] for one in document["results"]] == [True, False, None]
    assert document["results"][0] == {**KEPT.to_json()}
    assert {"python", "cores", "load", "versions"} <= set(document["machine"])


def test_json_on_stdout_stands_alone(
    measured: list[tuple[list[int], Effort]], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a dash nothing but JSON goes to stdout; the table goes to stderr."""
    assert run.main(["--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)["results"]) == 3
    assert "quick" in err


@pytest.mark.parametrize("arguments", [["--rounds", "8"], ["12"]])
def test_what_cannot_be_measured_is_refused(arguments: list[str]) -> None:
    """Fewer than nine rounds make no median, and a row that does not exist is a mistake."""
    with pytest.raises(SystemExit):
        run.main(arguments)


def test_the_rows_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each promise has its number."""
    assert run.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 11


# Those that need packages which only `make bench` installs, or many processes, are left to it.
@pytest.mark.parametrize("row", [1, 2, 4, 6, 7, 8, 10, 11])
def test_each_row_measures(row: int) -> None:
    """Every row runs through to its lines; how long anything takes is not looked at."""
    pytest.importorskip("httpx2")
    module = importlib.import_module(f"benchmarks.rows.{run.ROWS[row][0]}")
    lines = list(module.measure(Effort(rounds=2, seconds=0.0, size=0.002)))
    assert {one.row for one in lines} == {row}
    assert all(one.ours >= 0 and one.baseline > 0 for one in lines)


def test_the_waiters_of_one_renewal_cost_one_request() -> None:
    """However many tasks wait, one request is sent; that holds on any machine."""
    module = importlib.import_module("benchmarks.rows.waiters")
    lines = list(module.measure(Effort(rounds=1, seconds=0.0, size=0.01)))
    assert lines[-1].ours == 1


def test_a_pem_key_is_parsed_once() -> None:
    """However many assertions it signs."""
    module = importlib.import_module("benchmarks.rows.assertion")
    assert module.parses(20) == 1
