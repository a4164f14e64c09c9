"""`doctor`, and the line that leads to it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from typer.main import get_command

from smart_async.cli import doctor as module
from smart_async.cli.app import app
from smart_async.cli.doctor import doctor_line
from smart_async.cli.options import Library
from smart_async.cli.way import Way
from smart_async.cli.who import SecretMethod, Who
from smart_async.keys import SigningKey
from smart_async.sandbox import Sandbox
from smart_async.smart.diagnosis import Check, Diagnosis

Run = Callable[..., Any]


def document(done: Any) -> Any:
    """The one JSON object on stdout."""
    return json.loads(done.stdout)


def first(done: Any) -> str:
    """The id of the first cause."""
    found: str = document(done)["causes"][0]["id"]
    return found


def test_a_healthy_client(run: Run, registered: SimpleNamespace) -> None:
    """Nothing is wrong: exit code 0, each check in its line, and a word that it may be pasted."""
    done = run("doctor", *registered.words, "--try")
    shown = ["A token was issued; nothing is wrong.", "Token endpoint", "kid", "cli-key", "Safe to paste"]
    assert (done.exit_code, [text in done.stdout for text in shown], done.stderr) == (0, [True] * 5, "")


def test_json_is_one_object(run: Run, registered: SimpleNamespace) -> None:
    """With --json there is the report and nothing else, also where something is wrong."""
    done = run("doctor", *registered.words, "--client-id", "stranger", "--try", "--json")
    assert (done.exit_code, first(done), document(done)["tried"], done.stderr) == (
        3,
        "client-unknown",
        True,
        "",
    )


def test_each_cause_is_told_with_its_fix(run: Run, registered: SimpleNamespace) -> None:
    """People get the cause first, why, what to do, and the server's own words."""
    done = run("doctor", *registered.words, "--client-id", "stranger", "--try")
    shown = [
        "Most likely cause: The server does not know this client_id.",
        "1. The server does not know this client_id.",
        "Fix: Compare client_id",
        "What the server said",
        "no client 'stranger'",
    ]
    assert (done.exit_code, [text in done.stdout for text in shown]) == (3, [True] * 5)


def pem(key: Any, passphrase: bytes | None = None) -> bytes:
    """A key as PEM."""
    cipher: Any = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    data: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)
    return data


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "key-unreadable"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "key-curve"),
        (pem(rsa.generate_private_key(65537, 1024)), "key-weak"),
        (pem(ec.generate_private_key(ec.SECP384R1()), b"swordfish"), "key-passphrase"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "key-public"),
        (json.dumps(SigningKey.generate("ES384").public_jwk()).encode(), "key-public"),
        (b"not a key", "key-kind"),
    ],
)
def test_what_is_wrong_with_the_key(
    run: Run,
    registered: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: Any,
    cause: str,
) -> None:
    """A key that cannot be used is a finding, and everything else is looked at all the same."""
    monkeypatch.setenv("SMART_KEY_PASSPHRASE", "wrong") if cause == "key-passphrase" else None
    path = tmp_path / "bad.pem"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    done = run("doctor", *registered.words, "--key", path, "--try", "--json")
    checks = {check["id"]: check["status"] for check in document(done)["checks"]}
    assert (done.exit_code, first(done)) == (2, cause)
    assert (checks["key"], checks["discovery"], checks["token"]) == ("problem", "ok", "skipped")


@pytest.mark.parametrize(
    ("words", "cause", "code"),
    [
        (["--fhir-base", "http://ehr.example.com/r4"], "configuration", 2),
        (["--jku", "http://app.example.net/jwks"], "jwks-http", 3),
        (["--kid", "other", "--try"], "key-unknown", 3),
        (["--fhir-base", "https://127.0.0.1:9/r4"], "server-unreachable", 4),
    ],
)
def test_whose_fault_it_is(
    run: Run, registered: SimpleNamespace, words: list[str], cause: str, code: int
) -> None:
    """The exit code says where to look: at the input, at the server, or at the way there."""
    done = run("doctor", *registered.words, *words, "--json")
    assert (first(done), done.exit_code) == (cause, code)


def test_no_usable_configuration(run: Run, registered: SimpleNamespace) -> None:
    """Even then there is a report for people."""
    done = run("doctor", *registered.words, "--fhir-base", "http://ehr.example.com/r4")
    assert (done.exit_code, "no usable configuration" in done.stdout) == (2, True)


def test_neither_key_nor_secret(run: Run, served: Sandbox) -> None:
    """That is said, and the server is looked at all the same."""
    done = run(
        "doctor", "--fhir-base", served.fhir_base, "--client-id", "x", "--allow-insecure-loopback", "--json"
    )
    assert (first(done), done.exit_code) == ("key-none", 2)


def test_scopes_of_the_wrong_shape(run: Run, registered: SimpleNamespace) -> None:
    """Scopes that cannot be sent are bad input."""
    done = run("doctor", *registered.words, "--scope", "a, b", "--json")
    assert done.exit_code == 2


def test_findings_and_notes_are_shown(run: Run, registered: SimpleNamespace) -> None:
    """What is known of the server's make follows at the end."""
    done = run(
        "doctor",
        *registered.words,
        "--vendor",
        "epic",
        "--jwks-url",
        "https://127.0.0.1:9/jwks",
        "--timeout",
        "5",
    )
    shown = ["What is known of epic", "- Epic answers invalid_client", "The JWK Set URL cannot be reached."]
    assert (done.exit_code, [text in done.stdout for text in shown]) == (3, [True] * 3)


def test_token_leads_to_doctor(run: Run, registered: SimpleNamespace) -> None:
    """A client that the server does not believe is told what to type, word for word."""
    done = run("token", *registered.words, "--client-id", "stranger")
    line = done.stderr.strip().rpartition("run: ")[2]
    assert (done.exit_code, " doctor --fhir-base http" in line, line.endswith("--try")) == (3, True, True)
    again = run("doctor", *line.split(" doctor ")[1].split())
    assert (again.exit_code, "does not know this client_id" in again.stdout) == (3, True)


def test_other_refusals_do_not(run: Run, registered: SimpleNamespace) -> None:
    """Where the server says what it dislikes, the error says enough."""
    done = run("token", *registered.words, "--scope", "patient/*.rs")
    assert (done.exit_code, "doctor" in done.stderr) == (3, False)


def test_the_line_keeps_a_proxys_password_out() -> None:
    """What is printed may be seen by anybody."""
    who = Who(fhir_base="https://ehr.example.com/r4", client_id="app")
    line = doctor_line(who, Way(proxy="http://user:pass@proxy.example:8080"), "system/Patient.rs")
    plain = doctor_line(who, Way(proxy="http://proxy.example:8080", trust_env=True), "system/*.rs")
    assert ("pass" in line, line.endswith("--scope system/Patient.rs --try")) == (False, True)
    assert plain.endswith("--client-id app --proxy http://proxy.example:8080 --trust-env --try")


def test_the_line_is_complete(tmp_path: Path) -> None:
    """What was typed for the refused request is typed again, so that the same request is looked at."""
    who = Who(
        fhir_base="https://ehr.example.com/r4",
        client_id="app",
        secret_method=SecretMethod.POST,
        trusted_origin=["https://a.example", "https://b.example"],
        token_endpoint="https://a.example/token",
        assertion_audience="https://a.example/aud",
        assertion_lifetime=60,
    )
    way = Way(
        client_cert=tmp_path / "c.pem", client_key=tmp_path / "k.pem", timeout=5.0, transport=Library.HTTPX2
    )
    words = shlex.split(doctor_line(who, way, "system/*.rs").partition(" doctor ")[2])
    command = get_command(app).commands["doctor"]  # type: ignore[attr-defined]  # a group, unseen by types
    with command.make_context("doctor", words) as context:
        given = context.params
    expected = {
        "secret_method": "post",
        "trusted_origin": ["https://a.example", "https://b.example"],
        "token_endpoint": "https://a.example/token",
        "assertion_audience": "https://a.example/aud",
        "assertion_lifetime": 60,
        "client_cert": tmp_path / "c.pem",
        "client_key": tmp_path / "k.pem",
        "timeout": 5.0,
        "transport": "httpx2",
        "try_token": True,
    }
    assert {name: given.get(name) for name in expected} == expected


def test_nothing_secret_is_printed(run: Run, registered: SimpleNamespace, served: Sandbox) -> None:
    """Neither the key, nor an assertion that works, nor the token appears, in either form."""
    words = [*registered.words, "--try", "--jwks-url", "https://127.0.0.1:9/jwks?sig=canary-4711"]
    shown = run("doctor", *words).output + run("doctor", *words, "--json").output
    key = registered.path.read_text().splitlines()[1]
    forms = [request.form for request in served.requests if request.path == "/oauth2/token"]
    signatures = [form["client_assertion"].rpartition(".")[2] for form in forms if "client_assertion" in form]
    assert (key in shown, "canary" in shown, [each for each in signatures if each in shown]) == (
        False,
        False,
        [],
    )
    assert len(signatures) >= 2


def test_findings_stand_under_their_check(
    run: Run, registered: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule that the server's document breaks has a line of its own."""
    check = Check(
        id="conformance",
        title="Conformance",
        status="warning",
        explanation="It breaks 1 rule.",
        fix="Tell them.",
        details=("error DI-08: grant_types_supported is required and missing.",),
    )
    monkeypatch.setattr(module, "diagnose", lambda *_, **__: Diagnosis(checks=(check,), causes=()))
    done = run("doctor", *registered.words)
    assert (done.exit_code, "It breaks 1 rule. Tell them." in done.stdout, "error DI-08" in done.stdout) == (
        0,
        True,
        True,
    )
