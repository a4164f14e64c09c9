"""`discover`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from smart_async.cli import way as module
from smart_async.errors import TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request, Response
from smart_async.sandbox import Sandbox
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
