"""The spinner: on a terminal's stderr, and nowhere else."""

from __future__ import annotations

import io
import os
import sys

import pytest

from smart_async.cli.progress import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def attach(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # Not a fixture: between a test's set-up and its call pytest puts its own streams back.
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    return stream


def test_a_terminal_sees_what_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text is shown as it is while the block runs, on stderr alone, and taken away."""
    terminal = attach(monkeypatch)
    with waiting("Asking [bold]x[/bold]…"):
        pass
    assert ("Asking [bold]x[/bold]…" in terminal.getvalue(), capsys.readouterr().out) == (True, "")
    assert terminal.getvalue().endswith(("\x1b[2K", "\x1b[?25h", "\x1b[1A\x1b[2K"))


@pytest.mark.parametrize("quiet", ["json", "dumb", "piped"])
def test_nobody_else_sees_anything(monkeypatch: pytest.MonkeyPatch, quiet: str) -> None:
    """With --json, on a dumb terminal or in a pipe there is silence, whatever FORCE_COLOR says."""
    terminal = attach(monkeypatch)
    monkeypatch.setenv("FORCE_COLOR", "1")
    if quiet == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    if quiet == "piped":
        monkeypatch.setattr(Terminal, "isatty", lambda _: False)
    with waiting("Asking…", quiet=quiet == "json"):
        pass
    assert terminal.getvalue() == ""


def test_colours_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes the colours of the spinner, not the spinner."""
    terminal = attach(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    with waiting("Asking…"):
        pass
    assert ("Asking…" in terminal.getvalue(), "\x1b[32m" in terminal.getvalue()) == (True, False)


def test_an_error_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spinner is gone before the error is printed."""
    terminal = attach(monkeypatch)
    with pytest.raises(KeyError), waiting("Asking…"):
        raise KeyError
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
def test_a_command_on_a_terminal_and_its_result_in_a_pipe(script: object) -> None:
    """With stderr on a terminal and stdout in a pipe, the spinner is seen and the result is clean."""
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "smart_async", "discover", "http://127.0.0.1:1/fhir"]
    env = {**os.environ, "TERM": "xterm-256color"}
    for name in ("FORCE_COLOR", "NO_COLOR"):
        env.pop(name, None)
    with subprocess.Popen(
        [*words, "--allow-insecure-loopback"], stdout=subprocess.PIPE, stderr=theirs, env=env
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:  # Linux reports the other end's leaving as an error
            pass
        assert process.stdout
        out = process.stdout.read()
    os.close(ours)
    assert (process.returncode, out, b"Asking the server" in seen, b"Error: " in seen) == (4, b"", True, True)
