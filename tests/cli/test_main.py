"""The console script: how it starts, and how it says that something is missing."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smart_async.__main__ import main

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
sys.argv = ["smart-async", *sys.argv[1:]]
from smart_async.__main__ import main
main()
"""

# Shells start background jobs with Ctrl-C ignored, and whatever those start, a test run say, inherits that.
LISTEN = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("smart_async", run_name="__main__", alter_sys=True)
"""

Run = Callable[..., Any]


@pytest.mark.parametrize("blocked", ["typer", "rich"])
def test_without_the_extra_the_pip_line_is_named(script: Run, blocked: str) -> None:
    """Without Typer or Rich the script names the pip line on stderr and exits with 2."""
    done = script("demo", python=("-c", BLOCK.format(blocked=blocked)))
    expected = (
        2,
        "",
        f"Error: The command line needs {blocked}, which is not installed. "
        'Install it with: pip install "smart-async[cli]"\n',
    )
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_without_the_extra_json_is_still_json(script: Run) -> None:
    """With --json even a missing extra is reported as one JSON object."""
    done = script("demo", "--json", python=("-c", BLOCK.format(blocked="typer")))
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["advice"]) == (2, 'Install it with: pip install "smart-async[cli]"')


def test_another_missing_module_is_not_blamed_on_the_extra(script: Run) -> None:
    """A missing module that is no part of the extra comes out as it is."""
    done = script(
        "demo",
        python=(
            "-c",
            BLOCK.format(blocked="smart_async.cli").replace('name.partition(".")[0] ==', "name =="),
        ),
    )
    assert (done.returncode, "No module named 'smart_async.cli'" in done.stderr) == (1, True)


def test_without_the_sandbox_extra_the_pip_line_is_named(script: Run) -> None:
    """The sandbox's own extra is named where only that is missing."""
    done = script("sandbox", "--json", python=("-c", BLOCK.format(blocked="starlette")))
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["advice"]) == (2, 'Install it with: pip install "smart-async[sandbox]"')


def test_the_module_is_the_script(script: Run) -> None:
    """`python -m smart_async` is the same as `smart-async`, under that name."""
    done = script("--help")
    assert (done.returncode, "Usage: smart-async" in done.stdout, "\x1b" in done.stdout) == (0, True, False)


def test_the_room_costs_nothing() -> None:
    """Importing the package of the command line loads neither Typer nor Rich nor an HTTP library."""
    code = "import sys, smart_async.cli; print(sorted({'typer','rich','httpx','anyio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_the_sandbox_stops_on_signals(stop: signal.Signals, code: int) -> None:
    """The sandbox serves until Ctrl-C (130) or SIGTERM (0), removes its key, and prints nothing more."""
    words = [sys.executable, "-c", LISTEN, "sandbox", "--port", "0", "--json"]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        contextlib.ExitStack() as last,
    ):
        last.callback(process.kill)
        assert process.stdout
        text = ""
        while not text.endswith("\n}\n"):
            line = process.stdout.readline()
            assert line, "the sandbox ended before it was ready"
            text += line
        ready = json.loads(text)
        there = Path(ready["key_file"]).exists()
        process.send_signal(stop)
        more = process.communicate(timeout=30)
    assert (process.returncode, more, there, Path(ready["key_file"]).exists()) == (
        code,
        ("", ""),
        True,
        False,
    )


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_closed_pipe_is_no_traceback(script: Run) -> None:
    """Output that nobody reads on ends the program quietly."""
    shell = f"{sys.executable} -m smart_async demo | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr


def test_the_script_hands_over_to_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started in this process, too, `main` runs the command that was typed."""
    monkeypatch.setattr(sys, "argv", ["smart-async", "--version"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code in (0, None)
    assert "smart-async" in capsys.readouterr().out


@pytest.mark.parametrize("blocked", ["typer.core", "rich"])
@pytest.mark.parametrize("json_asked", [True, False])
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], blocked: str, json_asked: bool
) -> None:
    """Whichever module of the extra is missing, the text names it and the pip line."""
    monkeypatch.setattr(sys, "argv", ["smart-async", "demo", *(["--json"] if json_asked else [])])
    refuse_import(monkeypatch, blocked)
    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capsys.readouterr()
    assert (stopped.value.code, bool(out)) == (2, json_asked)
    assert f"needs {blocked.partition('.')[0]}, which is not installed" in err


def test_a_missing_module_of_another_kind_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Typer and Rich are explained; anything else that is missing is a defect to be seen."""
    refuse_import(monkeypatch, "elsewhere")
    with pytest.raises(ModuleNotFoundError):
        main()


def refuse_import(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make the import of the command line fail for want of *name*."""
    found = builtins.__import__

    def refuse(module: str, *rest: Any) -> Any:
        if module == "smart_async.cli.app":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(module, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
