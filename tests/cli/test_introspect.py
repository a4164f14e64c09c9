"""`introspect` and `revoke`: the token goes in unseen, and what comes out is an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smart_async import PrivateKeyJWT, SmartClient, SmartConfig, Token
from smart_async.cli import way
from smart_async.files import load_signing_key
from smart_async.sandbox import Sandbox
from smart_async.transports import ScriptedTransport, json_response

Run = Callable[..., Any]
CANARY = "tell-nobody-this-token"


@pytest.fixture
def issued(served: Sandbox, registered: SimpleNamespace) -> Token:
    """Return a token of the registered client."""
    config = SmartConfig(
        fhir_base=served.fhir_base,
        client_id="cli-app",
        client_auth=PrivateKeyJWT(load_signing_key(registered.path, kid="cli-key")),
        allow_insecure_loopback=True,
    )
    with SmartClient(config) as client:
        return client.backend_token(scope="system/Patient.rs")


@pytest.fixture
def token_file(issued: Token, tmp_path: Path) -> Path:
    path = tmp_path / "token.json"
    path.touch(mode=0o600)
    path.write_text(issued.to_json())
    return path


def test_a_token_goes_from_active_to_revoked(run: Run, registered: SimpleNamespace, issued: Token) -> None:
    """A piped token is active, is revoked, and is not active any more; it is never printed."""
    token = issued.access_token.reveal()
    before = run("introspect", *registered.words, "--json", input=f"{token}\n")
    revoked = run("revoke", *registered.words, input=token)
    after = run("introspect", *registered.words, "--json", input=token)
    known, gone = json.loads(before.stdout), json.loads(after.stdout)
    assert (known["active"], known["scope"], known["client_id"]) == (True, "system/Patient.rs", "cli-app")
    assert (gone["active"], before.stderr, after.exit_code) == (False, "", 0)
    assert (revoked.exit_code, "Revoked" in revoked.stdout) == (0, True)
    assert [done for done in (before, revoked, after) if token in done.output] == []


def test_people_get_words(run: Run, registered: SimpleNamespace, issued: Token) -> None:
    """Without --json the answer is a sentence and a table."""
    active = run("introspect", *registered.words, input=issued.access_token.reveal())
    unknown = run("introspect", *registered.words, input="never-issued")
    shown = ["The token is active", "cli-app", "system/Patient.rs", "UTC"]
    assert (active.exit_code, [text in active.stdout for text in shown]) == (0, [True] * 4)
    assert (unknown.exit_code, "The token is not active" in unknown.stdout) == (0, True)


def test_a_stored_token_is_read_from_its_file(
    run: Run, registered: SimpleNamespace, token_file: Path, issued: Token
) -> None:
    """--token-file takes what Token.to_json() wrote, and - stands for standard input."""
    done = run("introspect", *registered.words, "--token-file", token_file, "--json")
    piped = run("introspect", *registered.words, "--token-file", "-", "--json", input=issued.to_json())
    assert [json.loads(each.stdout)["active"] for each in (done, piped)] == [True, True]
    ended = run("revoke", *registered.words, "--token-file", token_file, "--json")
    assert (ended.exit_code, json.loads(ended.stdout)["revoked"]) == (0, True)


def test_the_header_of_another_command_will_do(run: Run, registered: SimpleNamespace) -> None:
    """What --header printed can be piped in as it is."""
    line = run("token", *registered.words, "--header").stdout
    done = run("introspect", *registered.words, "--json", input=line)
    assert (line.startswith("Authorization: Bearer "), json.loads(done.stdout)["active"]) == (True, True)


def test_the_token_itself_may_ask(run: Run, registered: SimpleNamespace, issued: Token) -> None:
    """--asker chooses who asks; a server that wants the client says no to the bearer."""
    done = run("introspect", *registered.words, "--asker", "none", input=issued.access_token.reveal())
    assert done.exit_code in (0, 3)
    assert issued.access_token.reveal() not in done.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "none was given"),
        ("  \n", "none was given"),
        ("two words", "blanks"),
        ("a" * 20_000, "too long"),
        ('{"version": 9}', "not a token"),
        ("a" * 300_000, "more than"),
    ],
)
@pytest.mark.parametrize("command", ["introspect", "revoke"])
def test_what_is_no_token_is_your_input(
    run: Run, registered: SimpleNamespace, command: str, given: str, said: str
) -> None:
    """What cannot be a token is refused, and not repeated."""
    done = run(command, *registered.words, input=given)
    assert (done.exit_code, said in done.stderr, len(done.output) < 500) == (2, True, True)


def test_bytes_are_no_text(run: Run, registered: SimpleNamespace) -> None:
    """What is no UTF-8 is no token."""
    done = run("introspect", *registered.words, input=b"\xff\xfe")
    assert (done.exit_code, "UTF-8" in done.stderr) == (2, True)


def test_a_token_of_another_client_is_refused(
    run: Run, registered: SimpleNamespace, token_file: Path
) -> None:
    """A stored token goes to the client it belongs to, and nowhere else."""
    done = run("introspect", *registered.words, "--client-id", "another", "--token-file", token_file)
    assert (done.exit_code, "belongs to client cli-app" in done.stderr) == (2, True)


def scripted(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    document = {
        name: f"https://ehr.example.com/{name}" for name in ("token_endpoint", "introspection_endpoint")
    }
    transport = ScriptedTransport(json_response(document), json_response(answer))
    monkeypatch.setattr(way, "open_transport", lambda *_, **__: transport)


def test_an_endpoint_elsewhere_has_to_be_trusted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token goes to another origin only if --trusted-origin says so; the advice names the option."""
    document = {"token_endpoint": "https://a.example/token", "introspection_endpoint": "https://b.example/i"}
    words = ["introspect", "--fhir-base", "https://a.example/r4", "--client-id", "app", "--json"]
    done = []
    for trust in ([], ["--trusted-origin", "https://b.example"]):
        transport = ScriptedTransport(json_response(document), json_response({"active": False}))
        monkeypatch.setattr(way, "open_transport", lambda *_, to=transport, **__: to)
        done.append(run(*words, *trust, input=CANARY))
        assert (transport.unused == 0) == bool(trust)
    error = json.loads(done[0].stdout)["error"]
    assert (error["class"], "--trusted-origin" in error["advice"]) == ("EndpointChangedError", True)
    assert [each.exit_code for each in done] == [3, 0]


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor")
@pytest.mark.parametrize("words", ["introspect", "introspect --token-file -", "introspect --secret-prompt"])
def test_a_closed_stdin_is_no_traceback(words: str) -> None:
    """Started without standard input at all, the command says what is missing."""
    line = (
        f"{sys.executable} -m smart_async {words} --fhir-base https://a.example --client-id a --no-store <&-"
    )
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr, done.stderr.startswith("Error: ")) == (
        2,
        False,
        True,
    )


def test_a_token_that_the_server_repeats_is_masked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that holds the token is shown without it, and what is odd is listed."""
    words = ["introspect", "--fhir-base", "https://ehr.example.com/r4", "--client-id", "app"]
    answer = {"active": True, "note": f"about {CANARY}", "token": CANARY, "exp": 1e300}
    scripted(monkeypatch, answer)
    done = run(*words, "--json", input=CANARY)
    scripted(monkeypatch, answer)
    told = run(*words, input=CANARY)
    document = json.loads(done.stdout)
    assert (done.exit_code, CANARY in done.output + told.output) == (0, False)
    assert document["response"]["token"].startswith("<secret ")
    assert ({finding["rule"] for finding in document["findings"]}, "IN-03" in told.stderr) == (
        {"IN-03"},
        True,
    )
    assert "1e+300" in told.stdout
