"""`demo`: the whole workflow, and above all what of it may be seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from smart_async.cli import demo as module
from smart_async.cli.command import how_to_call
from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.sandbox import Sandbox, ehr
from smart_async.transports import Exchange
from smart_async.transports.httpx import HttpxTransport

Run = Callable[..., Any]

COLOURS = [(colour, library) for colour in ("--async", "--sync") for library in ("httpx", "httpx2")]
PARTS = {"code", "state", "nonce", "code_verifier", "client_assertion"}
TOKENS = {"access_token", "refresh_token", "id_token"}


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """Return what the demo's transports carried, unmasked."""
    seen: list[Exchange] = []
    real = module.show

    def show(exchange: Exchange, *args: Any, **kwargs: Any) -> Any:
        seen.append(exchange)
        return real(exchange, *args, **kwargs)

    monkeypatch.setattr(module, "show", show)
    return seen


def secrets_in(exchanges: list[Exchange]) -> set[str]:
    found: set[str] = set()
    for exchange in exchanges:
        assert exchange.response
        location = exchange.response.headers.get("location", "")
        body = (exchange.request.body or b"").decode()
        for text in (urlsplit(exchange.request.url).query, urlsplit(location).query, body):
            for name, value in parse_qsl(text):
                if name in PARTS | TOKENS:
                    found |= {value, value.rpartition(".")[2]}
        if exchange.response.body.startswith(b"{"):
            document = json.loads(exchange.response.body)
            found |= {value for name, value in document.items() if name in TOKENS}
    return found


@pytest.mark.parametrize(("colour", "library"), COLOURS)
def test_every_step_succeeds_and_no_secret_is_seen(
    run: Run, spoken: list[Exchange], colour: str, library: str
) -> None:
    """In both colours over both libraries, every secret that was sent or issued stays off the screen."""
    done = run("demo", colour, "--transport", library)
    secrets = secrets_in(spoken)
    assert (done.exit_code, done.stderr, len(secrets) > 15) == (0, "", True)
    assert [secret for secret in secrets if secret in done.output] == []


@pytest.mark.parametrize("colour", ["--async", "--sync"])
def test_json_tells_the_same_story(run: Run, spoken: list[Exchange], colour: str) -> None:
    """With --json the exchanges are one JSON object, complete, in order and without secrets."""
    done = run("demo", "--json", colour)
    document = json.loads(done.stdout)
    kinds = [exchange["kind"] for exchange in document["exchanges"] if exchange["kind"] != "discovery"]
    login = ["authorize", "callback", "authorization_code", "jwks", "openid_discovery", "server_keys", "fhir"]
    backend = ["client_credentials", "fhir", "client_credentials", "fhir"]
    assert (done.exit_code, kinds) == (0, [*login, "refresh_token", "fhir", *backend])
    assert (document["algorithms"], document["client"], done.stderr) == (["ES384", "RS384"], colour[2:], "")
    assert [secret for secret in secrets_in(spoken) if secret in done.stdout] == []


@pytest.mark.rule("AS-04", "AS-07", "AS-08")
def test_assertions_are_decoded_from_the_wire(run: Run) -> None:
    """Header and claims on the screen are those that were sent, and follow the specification."""
    exchanges = json.loads(run("demo", "--json").stdout)["exchanges"]
    signed = [item["request"] for item in exchanges if "client_assertion" in item["request"]]
    parts = [(item["client_assertion"]["header"], item["client_assertion"]["claims"]) for item in signed]
    assert [header["alg"] for header, _ in parts] == ["ES384", "RS384", "ES384", "RS384"]
    assert {header["typ"] for header, _ in parts} == {"JWT"}
    assert [claims["aud"] for _, claims in parts] == [item["url"] for item in signed]
    assert all(claims["iss"] == claims["sub"] and claims["exp"] - claims["iat"] == 300 for _, claims in parts)
    assert len({claims["jti"] for _, claims in parts}) == 4


def test_a_newcomer_can_follow_a_secret(run: Run) -> None:
    """The same secret has the same number wherever it goes; another one has another."""
    kinds = {item["kind"]: item for item in json.loads(run("demo", "--json").stdout)["exchanges"]}
    redirect, callback = kinds["authorize"]["response"]["redirect"], kinds["callback"]["request"]["query"]
    login, token = kinds["authorize"]["request"]["query"], kinds["authorization_code"]
    assert (redirect["code"], redirect["state"]) == (callback["code"], login["state"])
    assert (callback["code"], callback["state"]) == (token["request"]["form"]["code"], login["state"])
    body = token["response"]["body"]
    assert kinds["refresh_token"]["request"]["form"]["refresh_token"] == body["refresh_token"]
    assert len({redirect["code"], redirect["state"], body["access_token"], body["refresh_token"]}) == 4


def test_piped_it_is_plain_text(script: Run) -> None:
    """Piped, there is no control character and no line beyond 100 columns, and everything is explained."""
    done = script("demo")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, max(map(len, lines)) <= 100) == (0, "", True)
    assert [line for line in lines if not line.isprintable() or line != line.rstrip()] == []
    for word in ("code_challenge", "private_key", "client_credentials", "ES384", "RS384", "Patient", "jti"):
        assert word in done.stdout
    again = done.stdout.count("The app redeems the code, server to server.")
    assert (again, "Traceback" in done.stdout) == (1, False)


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_it_is_coloured(env: dict[str, str], coloured: bool) -> None:
    """On a terminal there are colours, unless NO_COLOR says otherwise."""
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "smart_async", "demo", "--sync"]
    with subprocess.Popen(
        words, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm-256color", **env}
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65536):
                seen += piece
        except OSError:  # Linux reports the other end's leaving as an error
            pass
    os.close(ours)
    assert (process.returncode, b"\x1b[32m" in seen, b"Summary" in seen) == (0, coloured, True)


def test_a_step_that_fails_fails_the_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server refuses one step, the demo shows the refusal, sums up, and exits with 3."""
    real = Sandbox.register_client

    def without_refresh(self: Sandbox, **registration: Any) -> Any:
        if "grant_types" in registration:
            registration["grant_types"] = ["authorization_code"]
        return real(self, **registration)

    monkeypatch.setattr(ehr.Sandbox, "register_client", without_refresh)
    done = run("demo", "--sync")
    asked = run("demo", "--sync", "--json")
    assert (done.exit_code, "< 4" in done.stdout or "no refresh token" in done.stderr) == (3, True)
    assert ("Summary" in done.stdout, "answered as it should be" in done.stdout) == (True, False)
    assert (asked.exit_code, list(json.loads(asked.stdout))) == (3, ["error"])


def test_a_patient_that_is_not_there_fails_the_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Patient that cannot be read is a failure, whatever the token requests said."""
    monkeypatch.setattr(Sandbox, "patients", ("a", "nobody-by-that-name"))
    done = run("demo", "--async")
    assert (done.exit_code, "The Patient could not be read" in done.stderr) == (3, True)


def test_a_browser_that_is_not_sent_back_fails_the_demo(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sign-in page that does not lead back to the app ends the demo."""
    monkeypatch.setattr(module.AppServer, "redirect_uri", "http://127.0.0.1:1/other")
    done = run("demo", "--sync")
    assert done.exit_code in (3, 4)


def test_no_time_at_all_is_no_answer(run: Run) -> None:
    """A deadline that nobody can keep is exit code 4, and the option that sets it is named."""
    done = run("demo", "--timeout", "0.000001")
    assert (done.exit_code, "--timeout" in done.stderr, "Timeouts(" in done.stderr) == (4, True, False)


def test_a_message_without_an_answer_is_shown_as_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a message had no answer, that is said in its place, and in the summary."""
    real = HttpxTransport.send

    def send(self: HttpxTransport, request: Request, timeouts: Timeouts) -> Response:
        if request.purpose == "token":
            raise TransportError("Nobody is there.", endpoint=request.url, sent=True)
        return real(self, request, timeouts)

    monkeypatch.setattr(HttpxTransport, "send", send)
    done = run("demo", "--sync")
    assert (done.exit_code, "no answer: " in done.stdout, "none" in done.stdout) == (4, True, True)


def test_the_id_token_is_decoded(run: Run) -> None:
    """Its claims are shown as the assertion's are; its nonce is the secret that the login began with."""
    kinds = {item["kind"]: item for item in json.loads(run("demo", "--json").stdout)["exchanges"]}
    shown = kinds["authorization_code"]["response"]["id_token"]
    login = kinds["authorize"]["request"]["query"]
    assert (shown["header"]["alg"], shown["claims"]["aud"]) == ("RS256", login["client_id"])
    assert (shown["claims"]["nonce"], shown["signature"][:8]) == (login["nonce"], "<secret ")
    assert "/Practitioner/" in shown["claims"]["fhirUser"]
    assert "in the ID token's claims" in run("demo").stdout


def test_scopes_are_explained_once_where_they_are_first_seen(run: Run) -> None:
    """What .rs, fhirUser, launch/patient and offline_access mean stands before the first message."""
    before, _, after = " ".join(run("demo").stdout.split()).partition("[1] ")
    for text in (
        "r = read, s = search",
        "launch/patient: let the user",
        "openid and fhirUser: tell",
        "offline_access: a refresh",
    ):
        assert (before.count(text), after.count(text)) == (1, 0)


@pytest.mark.parametrize(
    ("argv", "executable", "expected"),
    [
        (".venv/bin/smart-async", "/usr/bin/python3", ".venv/bin/smart-async"),
        ("-c", ".venv/bin/python", ".venv/bin/smart-async"),
        ("-c", "/usr/bin/python3", "/usr/bin/python3 -m smart_async"),
    ],
)
def test_the_next_command_can_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: str, executable: str, expected: str
) -> None:
    """Where the command is not on the PATH, it is named by where it is; on the PATH, by its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    script = tmp_path / ".venv/bin/smart-async"
    script.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [argv])
    monkeypatch.setattr("sys.executable", str(tmp_path / executable))
    monkeypatch.setenv("PATH", "/nowhere")
    assert how_to_call() == expected
    monkeypatch.setenv("PATH", str(script.parent))
    assert how_to_call() == "smart-async"


def test_the_last_line_says_how_to_call(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out of the demo is a command that works as it stands."""
    monkeypatch.setattr(module, "how_to_call", lambda: ".venv/bin/smart-async")
    text = " ".join(run("demo").stdout.split())
    assert "Your turn: .venv/bin/smart-async sandbox" in text
