"""`token`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smart_async.cli import way as module
from smart_async.sandbox import Sandbox
from smart_async.transports import ScriptedTransport, json_response

Run = Callable[..., Any]
ISSUED = {"access_token": "tell-nobody-this-token", "token_type": "Bearer", "scope": "system/*.rs"}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_token_is_shown_masked(run: Run, registered: SimpleNamespace, library: str) -> None:
    """Type, expiry and scopes are shown, the token itself is not."""
    done = run("token", *registered.words, "--scope", "system/Patient.rs", "--transport", library)
    shown = ["Bearer", "in 300 s, at 20", "system/Patient.rs", "<secret, 43 characters>"]
    assert (done.exit_code, [text in done.stdout for text in shown]) == (0, [True] * 4)


def test_json_is_for_programs(run: Run, registered: SimpleNamespace) -> None:
    """With --json there is one object on stdout, the token in it, and nothing on stderr."""
    done = run("token", *registered.words, "--json")
    issued = json.loads(done.stdout)
    assert (done.exit_code, issued["token_type"], issued["scope"], done.stderr) == (
        0,
        "Bearer",
        "system/*.rs",
        "",
    )
    assert (len(issued["access_token"]), 290 < issued["expires_in"] <= 300) == (43, True)


def test_the_environment_will_do(run: Run, served: Sandbox, registered: SimpleNamespace) -> None:
    """Every option comes from the environment too."""
    env = {
        "FHIR_BASE_URL": served.fhir_base,
        "SMART_CLIENT_ID": "cli-app",
        "SMART_PRIVATE_KEY_PATH": str(registered.path),
        "SMART_KEY_ID": "cli-key",
        "SMART_SCOPE": "system/Observation.rs",
    }
    done = run("token", "--allow-insecure-loopback", "--json", env=env)
    assert (done.exit_code, json.loads(done.stdout)["scope"]) == (0, "system/Observation.rs")


def test_a_refusal_is_the_servers(run: Run, registered: SimpleNamespace) -> None:
    """A server that says no is exit code 3, with its code and its description."""
    done = run("token", *registered.words, "--client-id", "stranger", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["class"], error["error"], error["status"]) == (
        3,
        "OAuthError",
        "invalid_client",
        401,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key", "/nowhere/key.pem"], "/nowhere/key.pem"),
        (["--scope", 'a"b'], "scope"),
        (["--jku", "http://keys.example.com/jwks"], "jku"),
        (["--alg", "RS384"], "--alg"),
        (["--client-id", "ü"], "client_id"),
    ],
)
def test_bad_input_is_yours(run: Run, registered: SimpleNamespace, words: list[str], said: str) -> None:
    """What cannot be used is refused before anything is sent."""
    done = run("token", *registered.words, *words)
    assert (done.exit_code, done.stdout, said in done.stderr) == (2, "", True)


def test_the_public_half_is_no_key(run: Run, registered: SimpleNamespace, tmp_path: Path) -> None:
    """A JWK Set of public keys, readable by all, is called what it is; options have their names here."""
    done = run("jwks", str(registered.path))
    (tmp_path / "jwks.json").write_text(done.stdout)
    (tmp_path / "jwks.json").chmod(0o644)
    done = run("token", *registered.words, "--key", str(tmp_path / "jwks.json"))
    assert (done.exit_code, "the public half" in done.stderr, "chmod" in done.stderr) == (2, True, False)


def test_a_set_of_several_keys_asks_for_the_option(
    run: Run, registered: SimpleNamespace, tmp_path: Path
) -> None:
    """Where a kid has to choose, it is called --kid."""
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"keys": [{"kty": "EC", "d": "x", "kid": kid} for kid in "ab"]}))
    path.chmod(0o600)
    done = run("token", *registered.words, "--key", str(path))
    assert (done.exit_code, "--kid" in done.stderr, "kid=" in done.stderr) == (2, True, False)


def scripted(monkeypatch: pytest.MonkeyPatch, issued: dict[str, Any]) -> ScriptedTransport:
    document = {"token_endpoint": "https://ehr.example.com/token"}
    transport = ScriptedTransport(json_response(document), json_response(issued))
    monkeypatch.setattr(module, "open_transport", lambda *_, **__: transport)
    return transport


def ask(run: Run, registered: SimpleNamespace, *words: str) -> Any:
    base = ["--fhir-base", "https://ehr.example.com/r4", "--client-id", "app", "--key", registered.path]
    return run("token", *base, *words)


@pytest.mark.parametrize(("words", "seen"), [((), False), (("--show-token",), True)])
def test_the_token_is_shown_only_on_demand(
    run: Run, registered: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], seen: bool
) -> None:
    """--show-token prints it on a line of its own; nothing else does."""
    transport = scripted(monkeypatch, ISSUED)
    done = ask(run, registered, *words)
    lines = done.stdout.splitlines()
    assert (done.exit_code, "tell-nobody-this-token" in lines, transport.closed) == (0, seen, True)
    assert ("tell-nobody" in done.output, "does not say" in done.stdout) == (seen, True)


def test_what_is_odd_goes_to_stderr(
    run: Run, registered: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Findings about the answer are on stderr, or in the JSON object."""
    odd = {**ISSUED, "scope": ["system/*.rs"]}
    scripted(monkeypatch, odd)
    done = ask(run, registered)
    scripted(monkeypatch, odd)
    document = json.loads(ask(run, registered, "--json").stdout)
    assert (done.exit_code, "warning " in done.stderr, document["expires_in"]) == (0, True, None)
    assert all(finding["severity"] for finding in document["findings"])
    assert document["findings"]


@pytest.mark.rule("AS-06")
def test_jku_goes_into_the_header(
    run: Run, registered: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--jku, or SMART_JWKS_URI, is named in the assertion's header."""
    from smart_async.cli.masking import Masker
    from smart_async.cli.trace import show
    from smart_async.transports import Exchange

    transport = scripted(monkeypatch, ISSUED)
    monkeypatch.setenv("SMART_JWKS_URI", "https://app.example.com/jwks")
    assert ask(run, registered).exit_code == 0
    exchange = Exchange(request=transport.requests[1], response=None, error=None, seconds=0)
    shown = show(exchange, Masker(), number=1, sender="App", receiver="EHR")
    assert shown.assertion
    assert shown.assertion.header["jku"] == "https://app.example.com/jwks"


def test_a_client_proves_itself(run: Run) -> None:
    """Without a key and without a secret there is nothing to ask with, and the options are named."""
    done = run("token", "--fhir-base", "https://ehr.example.com/r4", "--client-id", "app")
    assert (done.exit_code, "--key" in done.stderr, "SMART_CLIENT_SECRET" in done.stderr) == (2, True, True)


def test_a_secret_will_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with a secret may ask as well, if that is what the server wants."""
    document = {"token_endpoint": "https://ehr.example.com/token"}
    transport = ScriptedTransport(json_response(document), json_response(ISSUED))
    monkeypatch.setattr(module, "open_transport", lambda *_, **__: transport)
    words = ["--fhir-base", "https://ehr.example.com/r4", "--client-id", "app", "--no-store", "--header"]
    done = run("token", *words, env={"SMART_CLIENT_SECRET": "m0ss-GREEN-kettle"})
    assert (done.exit_code, done.stdout) == (0, "Authorization: Bearer tell-nobody-this-token\n")
    assert transport.requests[1].headers["authorization"].startswith("Basic ")
    assert "m0ss-GREEN-kettle" not in done.output
