"""Help pages and completion: every command shows examples that are right, in any shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
import typer

from smart_async.cli.app import app
from smart_async.cli.examples import EXAMPLES

Run = Callable[..., Any]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
COLOUR = re.compile(r"\x1b\[(?:\d;)*3\d")
CALL = re.compile(r"smart-async [^|>)\"]*")


def calls(line: str) -> list[list[str]]:
    """Return the calls of this command line in an example."""
    return [shlex.split(found) for found in CALL.findall(line.replace("\\\n", " "))]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_shows_examples_that_parse(run: Run, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command's help ends with examples; each is accepted word for word and fits into a terminal."""
    for variable in ("FHIR_BASE_URL", "SMART_CLIENT_ID", "SMART_PRIVATE_KEY_PATH"):
        monkeypatch.setenv(variable, "https://ehr.example.com/r4")  # for an example that leans on them
    done = run(name, "--help")
    assert (done.exit_code, bool(EXAMPLES[name])) == (0, True)
    for purpose, line in EXAMPLES[name]:
        assert all(text in done.stdout for text in (purpose, *line.split("\n")))
        assert max(map(len, line.split("\n"))) <= 77
        for _, command, *words in calls(line):
            COMMANDS[command].make_context(command, words)
    assert name in [command for _, line in EXAMPLES[name] for _, command, *_ in calls(line)]


def test_there_are_no_examples_of_nothing() -> None:
    """Each entry belongs to a command."""
    assert set(EXAMPLES) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json(name: str) -> None:
    """--json is understood by every command."""
    assert "--json" in [option for parameter in COMMANDS[name].params for option in parameter.opts]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """No option and no argument goes without help."""
    assert [
        parameter.name for parameter in COMMANDS[name].params if not getattr(parameter, "help", None)
    ] == []


SECRETS = re.compile(r"secret|passphrase|password|token")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_secret_is_an_argument(name: str) -> None:
    """What is secret comes from a file, a prompt, the environment or stdin: everybody sees arguments."""
    values = [
        parameter.name
        for parameter in COMMANDS[name].params
        if SECRETS.search(parameter.name) and not getattr(parameter, "is_flag", False)
    ]
    # How it travels, where it is, and who gives it.
    assert set(values) <= {"secret_method", "token_file", "token_endpoint"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown(script: Callable[..., Any], shell: str) -> None:
    """The script for the shell is printed, and answers the shell's questions."""
    shown = script("--show-completion", shell)
    assert (shown.returncode, "_SMART_ASYNC_COMPLETE" in shown.stdout) == (0, True)
    asked = script(
        _SMART_ASYNC_COMPLETE=f"complete_{shell}",
        COMP_WORDS="smart-async intro",
        COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="smart-async intro",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    assert (asked.returncode, "introspect" in asked.stdout, "login" in asked.stdout) == (0, True, False)


def test_completion_knows_options(script: Callable[..., Any]) -> None:
    """Options and their values are completed too."""
    words = "smart-async login --no-br"
    asked = script(_SMART_ASYNC_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="2")
    assert asked.stdout.split() == ["--no-browser"]


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_are_the_users(script: Callable[..., Any], env: dict[str, str], coloured: bool) -> None:
    """Piped output has colours only where FORCE_COLOR asks for them, and never against NO_COLOR."""
    done = script("register", "--help", TERM="xterm-256color", **env)
    assert (done.returncode, bool(COLOUR.search(done.stdout))) == (0, coloured)
