"""`discover`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from smart_async.cli import way as module
from smart_async.cli.capability_words import CAPABILITY_WORDS, SET_WORDS
from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.sandbox import Sandbox
from smart_async.smart.capabilities import CAPABILITY_SETS, Capability
from smart_async.transports import ScriptedTransport, json_response

Run = Callable[..., Any]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_report_names_endpoints_and_abilities(run: Run, served: Sandbox, library: str) -> None:
    """The report shows each endpoint and ability of a real server, over either library."""
    done = run("discover", served.fhir_base, "--allow-insecure-loopback", "--transport", library)
    shown = [served.token_endpoint, "private_key_jwt", "client-confidential-asymmetric", "Nothing was found"]
    assert (done.exit_code, [text in done.stdout for text in shown]) == (0, [True] * 4)
    assert "\x1b" not in done.output


def test_the_base_may_come_from_the_environment(run: Run, served: Sandbox) -> None:
    """FHIR_BASE_URL stands in for the argument."""
    done = run("discover", "--allow-insecure-loopback", "--json", env={"FHIR_BASE_URL": served.fhir_base})
    document = json.loads(done.stdout)
    assert (done.exit_code, document["metadata"]["token_endpoint"]) == (0, served.token_endpoint)
    assert (document["findings"], document["fhir_base"], done.stderr) == ([], served.fhir_base, "")


def scripted(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> dict[str, Any]:
    opened: dict[str, Any] = {}

    def open_transport(name: str, **options: Any) -> ScriptedTransport:
        opened.update(options, name=name, transport=ScriptedTransport(*answers))
        return opened["transport"]

    monkeypatch.setattr(module, "open_transport", open_transport)
    return opened


@pytest.mark.rule("DI-08", "DI-09")
def test_what_breaks_the_specification_is_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each broken rule is shown with its id, and a server's control characters never reach the terminal."""
    document = {
        "token_endpoint": "https://ehr.example.com/token",
        "capabilities": ["client-public", "\x1b[31mred\x07"],
        "code_challenge_methods_supported": ["plain"],
    }
    scripted(monkeypatch, json_response(document), json_response(document))
    done = run("discover", "https://ehr.example.com/r4")
    asked = run("discover", "https://ehr.example.com/r4", "--json")
    rules = {finding["rule"] for finding in json.loads(asked.stdout)["findings"]} if asked.stdout else set()
    assert (done.exit_code, "error DI-09" in done.stdout, "error DI-08" in done.stdout) == (0, True, True)
    assert ("\x1b" in done.stdout, "\x07" in done.stdout) == (False, False)
    assert {"DI-08", "DI-09"} <= rules


@dataclass
class Watching:
    """Keeps the timeouts that a request was sent with."""

    seen: list[Timeouts]

    def send(self, request: Request, timeouts: Timeouts) -> Response:
        self.seen.append(timeouts)
        raise TransportError("No.", endpoint=request.url)

    def close(self) -> None:
        self.seen.append(Timeouts())


def test_the_way_to_the_server_is_the_users(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """--proxy, --ca-file, --transport and --timeout reach the transport, which is closed in the end."""
    watching, opened = Watching([]), {}

    def open_transport(name: str, **options: Any) -> Watching:
        opened.update(options, name=name)
        return watching

    monkeypatch.setattr(module, "open_transport", open_transport)
    words = ["--proxy", "http://p.example:1", "--ca-file", tmp_path / "ca", "--transport", "httpx2"]
    done = run("discover", "https://ehr.example.com/r4", *words, "--timeout", "2.5")
    expected = {"name": "httpx2", "proxy": "http://p.example:1", "ca_file": tmp_path / "ca"}
    expected |= {"cert": None, "trust_env": False}
    limits = watching.seen[0]
    assert (done.exit_code, opened, watching.seen[-1]) == (4, expected, Timeouts())
    assert (limits.connect, limits.read, limits.write, limits.pool) == (2.5,) * 4
    assert 0 < limits.total <= 2.5
    assert 0 < limits.discovery <= 2.5


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e9"])
def test_a_timeout_without_end_is_refused(run: Run, seconds: str) -> None:
    """A request must be able to end."""
    done = run("discover", "https://ehr.example.com/r4", "--timeout", seconds)
    assert (done.exit_code, "--timeout must be" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "base", ["http://ehr.example.com", "http://localhost.evil.test", "https://u:p@ehr.example.com", "ehr"]
)
def test_a_base_that_cannot_be_is_your_input(run: Run, base: str) -> None:
    """A FHIR base that no client may use is refused before anything is sent, and no password is repeated."""
    done = run("discover", base, "--allow-insecure-loopback")
    assert (done.exit_code, "fhir_base" in done.stderr, "u:p" in done.stderr) == (2, True, False)


def test_nothing_there_is_no_answer(run: Run) -> None:
    """A server that is not there is exit code 4."""
    done = run("discover", "http://127.0.0.1:1/fhir", "--allow-insecure-loopback", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["class"], error["sent"]) == (4, "TransportError", False)


def test_no_smart_there_is_the_servers_fault(run: Run, served: Sandbox) -> None:
    """A server without the document is exit code 3."""
    done = run("discover", served.base_url + "/nothing", "--allow-insecure-loopback")
    assert (done.exit_code, "404" in done.stderr) == (3, True)


ODD = {
    "issuer": "https://ehr.example.com",
    "token_endpoint": "https://ehr.example.com/token",
    "capabilities": [
        "launch-standalone",
        "client-public",
        "context-standalone-patient",
        "permission-patient",
        "context-passthrough-banner",
        "x-of-our-own",
    ],
    "code_challenge_methods_supported": ["plain"],
}


def test_the_report_goes_from_bad_to_harmless(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings are counted and grouped by severity, each with its rule, its message and what to do."""
    scripted(monkeypatch, json_response(ODD), json_response(ODD))
    done = run("discover", "https://ehr.example.com/r4")
    findings = json.loads(run("discover", "https://ehr.example.com/r4", "--json").stdout)["findings"]
    shown = [
        line.split()[1] for line in done.stdout.splitlines() if line.startswith(("  error ", "  warning "))
    ]
    order = {"error": 0, "warning": 1, "info": 2}
    found = sorted(findings, key=lambda each: order[each["severity"]])
    assert shown == [each["rule"] for each in found if each["severity"] != "info"]
    for severity in {each["severity"] for each in findings}:
        assert f"  {severity}: " in done.stdout
    text = " ".join(done.stdout.split())
    assert [each["rule"] for each in findings if each["message"] not in text] == []
    assert [each["rule"] for each in findings if each["advice"] and f"-> {each['advice']}" not in text] == []
    errors = sum(each["severity"] == "error" for each in findings)
    assert f"{errors} error" in done.stdout


def test_capabilities_are_said_in_plain_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each capability says what it means, former names too; strange ones are listed, and sets are named."""
    scripted(monkeypatch, json_response(ODD))
    text = " ".join(run("discover", "https://ehr.example.com/r4").stdout.split())
    for said in (
        "client-public serve apps that can keep no secret",
        "context-passthrough-banner tell apps whether to show a patient banner",
        "not defined by SMART x-of-our-own",
        "patients use apps of their own (patient-access-standalone)",
    ):
        assert said in text


def test_a_server_that_says_nothing_of_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without capabilities there is still a report."""
    scripted(monkeypatch, json_response({"token_endpoint": "https://ehr.example.com/token"}))
    done = run("discover", "https://ehr.example.com/r4")
    assert (done.exit_code, "(not said)" in done.stdout) == (0, True)


def test_every_capability_has_words() -> None:
    """All capabilities and sets of SMART can be said in plain words, and no others are."""
    assert set(CAPABILITY_WORDS) == set(Capability)
    assert set(SET_WORDS) == set(CAPABILITY_SETS)


@pytest.mark.parametrize(
    ("document", "words", "code"),
    [(ODD, (), 0), (ODD, ("--strict",), 3), (ODD, ("--strict", "--json"), 3)],
)
def test_strict_makes_it_a_check(
    run: Run, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], words: tuple[str, ...], code: int
) -> None:
    """With --strict a broken SHALL is exit code 3; the report, or the one JSON object, comes all the same."""
    scripted(monkeypatch, json_response(document))
    done = run("discover", "https://ehr.example.com/r4", *words)
    assert (done.exit_code, "DI-08" in done.stdout) == (code, True)
    assert ("Error: " in done.stderr) == ("--strict" in words and "--json" not in words)


def test_a_good_server_passes_the_check(run: Run, served: Sandbox) -> None:
    """A server without errors passes --strict."""
    done = run("discover", served.fhir_base, "--allow-insecure-loopback", "--strict")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_are_the_users(
    script: Callable[..., Any], served: Sandbox, env: dict[str, str], coloured: bool
) -> None:
    """A piped report has colours only where FORCE_COLOR asks for them; JSON never has any."""
    words = ["discover", served.fhir_base, "--allow-insecure-loopback"]
    plain = script(*words, TERM="xterm-256color", **env)
    asked = script(*words, "--json", TERM="xterm-256color", **env)
    assert (plain.returncode, bool(re.search(r"\x1b\[(?:\d;)*3\d", plain.stdout))) == (0, coloured)
    assert ("\x1b" in asked.stdout, asked.stderr, plain.stderr) == (False, "", "")
