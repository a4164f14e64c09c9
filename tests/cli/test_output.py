"""The library's words, said the way they are typed at a prompt."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from smart_async import ConfigurationError, SigningKey
from smart_async.cli.output import Stdout, console, in_cli_words, print_json
from smart_async.files import load_signing_key, write_private_key
from smart_async.messages import parse_url

Make = Callable[[Any], object]


def encrypted(folder: Any) -> object:
    path = folder / "key.pem"
    write_private_key(path, SigningKey.generate("ES384"), passphrase="opens")
    return load_signing_key(path)


def overwriting(folder: Any) -> object:
    key = SigningKey.generate("ES384")
    write_private_key(folder / "key.pem", key)
    return write_private_key(folder / "key.pem", key)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: parse_url("http://127.0.0.1/r4", field="fhir_base"), "--allow-insecure-loopback"),
        (encrypted, "SMART_KEY_PASSPHRASE"),
        (overwriting, "--force"),
    ],
)
def test_advice_names_options(tmp_path: Any, make: Make, said: str) -> None:
    """What the library advises in Python's words is said in the command line's: the originals still fit."""
    with pytest.raises(ConfigurationError) as caught:
        make(tmp_path)
    text = in_cli_words(str(caught.value))
    assert (said in text, said in str(caught.value), "=True" in text) == (True, False, False)


def test_a_redirected_discovery_names_the_option(run: Callable[..., Any], monkeypatch: Any) -> None:
    """Where discovery is redirected, the option that follows redirects is named."""
    from smart_async.cli import way
    from smart_async.messages import Headers, Response
    from smart_async.transports import ScriptedTransport

    answer = Response(status=302, headers=Headers({"location": "https://b.example/x"}))
    monkeypatch.setattr(way, "open_transport", lambda *_, **__: ScriptedTransport(answer))
    done = run("discover", "https://a.example")
    assert (done.exit_code, "--follow-redirects" in done.stderr, "=True" in done.stderr) == (3, True, False)


def test_piped_output_is_plain_and_trimmed(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal there are no colours, no markup, no blanks at the ends of lines, and 100 columns."""
    screen = console()
    screen.print("[bold]x[/bold] :smile: " + "word " * 30, style="red")
    out = capsys.readouterr().out
    assert out.startswith("[bold]x[/bold] :smile: word")
    assert (screen.width, "\x1b" in out, any(line != line.rstrip() for line in out.splitlines())) == (
        100,
        False,
        False,
    )


def test_the_width_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS sets the width of piped output."""
    monkeypatch.setenv("COLUMNS", "70")
    assert console().width == 70


def test_json_drives_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server put into its answer is all there, and nothing of it is a command or turns text round."""
    monkeypatch.setattr(Stdout, "has_object", False)
    document = {
        "note\u009b": "a\x1b[31m\u009b31m\x7f\u202eb\u2066\u200f\u2028\ud800",
        "name": "Zo\u00eb \u533b",
    }
    print_json(document)
    text = capsys.readouterr().out
    assert json.loads(text) == document
    assert [character for character in text if not character.isprintable() and character != "\n"] == []
    assert "Zo\u00eb \u533b" in text
