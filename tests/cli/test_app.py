"""How commands end: exit codes, one paragraph or one JSON object, interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer

from smart_async import (
    ConfigurationError,
    DiscoveryError,
    LaunchRejectedError,
    OAuthError,
    OutcomeUnknownError,
    StoreError,
    TransportError,
)
from smart_async.cli import app as app_module
from smart_async.cli import discover as discover_module

Run = Callable[..., Any]
WORDS = ("discover", "https://ehr.example.com/r4")


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(discover_module, "_ask", fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("x"), 2),
        (StoreError("x"), 2),
        (LaunchRejectedError("x"), 2),
        (OAuthError("x"), 3),
        (DiscoveryError("x"), 3),
        (TransportError("x"), 4),
        (OutcomeUnknownError("x"), 4),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """2 is your input, 3 the server said no or broke the protocol, 4 no usable answer."""
    failing(monkeypatch, error)
    done = run(*WORDS)
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", "Error: x\n")


def test_a_failure_as_json_holds_all_that_is_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json a failure is one object on stdout with the OAuth fields, and stderr stays empty."""
    failing(
        monkeypatch,
        OAuthError(
            "No.", endpoint="https://a.example/token", advice="Ask.", error="invalid_client", status=401
        ),
    )
    done = run(*WORDS, "--json")
    expected = {
        "class": "OAuthError",
        "message": "No.",
        "endpoint": "https://a.example/token",
        "advice": "Ask.",
        "status": 401,
        "received": [],
        "error": "invalid_client",
        "error_description": None,
        "error_uri": None,
        "retry_after": None,
        "correlation_id": None,
    }
    assert (done.exit_code, json.loads(done.stdout), done.stderr) == (3, {"error": expected}, "")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_an_interruption_is_130(run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Ctrl-C ends a command with 130 and a word, without a traceback."""
    failing(monkeypatch, error)
    done = run(*WORDS)
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "\nStopped.\n")


def test_an_interruption_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --json even an interruption is one JSON object."""
    failing(monkeypatch, KeyboardInterrupt())
    done = run(*WORDS, "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["class"]) == (130, "Interrupted")


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("discover",),
        ("discover", "https://a.example", "--nonsense"),
        ("token", "--fhir-base", "https://a.example"),
        ("keygen", "--out", "F", "--alg", "HS256"),
        ("demo", "--transport", "requests"),
        ("sandbox", "--port", "many"),
    ],
)
def test_wrong_words_are_your_input(run: Run, words: tuple[str, ...]) -> None:
    """A usage error is one line on stderr that names the help, and exits with 2."""
    done = run(*words)
    line = done.stderr
    assert (done.exit_code, done.stdout, line.count("\n"), "--help" in line) == (2, "", 1, True)


def test_wrong_words_as_json(run: Run) -> None:
    """With --json a usage error is one JSON object too."""
    done = run("token", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["class"], "--fhir-base" in error["message"]) == (2, "UsageError", True)


def test_no_command_shows_the_help(run: Run) -> None:
    """Without a command there is nothing to do: the help is shown and the exit code is 2."""
    done = run()
    assert (done.exit_code, "keygen" in done.stdout) == (2, True)


def test_the_version(run: Run) -> None:
    """--version names the installed version."""
    from importlib.metadata import version

    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"smart-async {version('smart-async')}\n")


def test_the_exit_code_can_be_returned() -> None:
    """Without standalone mode the code is returned, so that other programs can embed the commands."""
    command = typer.main.get_command(app_module.app)
    assert command.main(["nonsense"], standalone_mode=False) == 2
