"""`register`: clients that introduce themselves, and what is kept of what the server answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smart_async.cli import way
from smart_async.files import write_private_key
from smart_async.keys import SigningKey
from smart_async.sandbox import Sandbox, serve
from smart_async.smart.client_registration import ClientRegistration
from smart_async.transports import ScriptedTransport, json_response

Run = Callable[..., Any]
INITIAL = "initial-access-token-canary"
DOCUMENT = {
    "token_endpoint": "https://ehr.example.com/token",
    "registration_endpoint": "https://ehr.example.com/register",
}
BASE = ["--fhir-base", "https://ehr.example.com/r4"]


@pytest.fixture
def words(served: Sandbox) -> list[str]:
    return ["--fhir-base", served.fhir_base, "--allow-insecure-loopback"]


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key.pem"
    write_private_key(path, SigningKey.generate("ES384", kid="reg-key"))
    return str(path)


@pytest.fixture
def guarded() -> Iterator[list[str]]:
    """Return the words for a server that asks for an initial access token."""
    with serve(Sandbox(initial_access_token=INITIAL)) as sandbox:
        yield ["--fhir-base", sandbox.fhir_base, "--allow-insecure-loopback"]


def stored(path: Path) -> ClientRegistration:
    return ClientRegistration.from_json(path.read_text("utf-8"))


def test_a_backend_client_registers_and_gets_a_token(
    run: Run, words: list[str], key: str, tmp_path: Path
) -> None:
    """The client id is alone on stdout, and with what was saved the token command works at once."""
    out = tmp_path / "registration.json"
    done = run("register", *words, "--backend", "--key", key, "--kid", "reg-key", "--out", out)
    assert (done.exit_code, done.stdout) == (0, stored(out).client_id + "\n")
    assert "private_key_jwt" in done.stderr
    asked = run("token", *words, "--registration", out, "--key", key, "--kid", "reg-key", "--json")
    assert (asked.exit_code, json.loads(asked.stdout)["scope"]) == (0, "system/*.rs")


def test_the_secret_goes_into_the_file_and_nowhere_else(run: Run, words: list[str], tmp_path: Path) -> None:
    """What the server tells only once is saved with mode 0600, and shown to nobody."""
    uri = ["--redirect-uri", "http://127.0.0.1:5000/callback"]
    for form, name in (([], "a"), (["--json"], "b")):
        done = run("register", *words, *uri, "--name", "Growth chart", "--out", tmp_path / name, *form)
        registration = stored(tmp_path / name)
        assert registration.client_secret
        assert registration.registration_access_token
        secrets = [registration.client_secret.reveal(), registration.registration_access_token.reveal()]
        assert (done.exit_code, [secret for secret in secrets if secret in done.output]) == (0, [])
        if os.name == "posix":
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    document = json.loads(done.stdout)
    assert (document["client_id"], document["client_secret_issued"], document["saved_to"]) == (
        registration.client_id,
        True,
        str(tmp_path / "b"),
    )
    assert document["metadata"]["client_name"] == "Growth chart"


def test_nothing_is_sent_when_the_answer_could_not_be_kept(
    run: Run, served: Sandbox, words: list[str], tmp_path: Path
) -> None:
    """Without a file, with one that is there, or in a folder that is not, no client is made."""
    before = len(served.verdicts)
    (tmp_path / "there").write_text("mine")
    uri = ["--redirect-uri", "http://127.0.0.1:5000/callback"]
    outs = (
        [],
        ["--out", tmp_path / "there"],
        ["--out", tmp_path / "none" / "x"],
        ["--out", tmp_path, "--force"],
    )
    codes = [run("register", *words, *uri, *out).exit_code for out in outs]
    assert (codes, len(served.verdicts), (tmp_path / "there").read_text()) == ([2] * 4, before, "mine")


def test_force_replaces_the_file(run: Run, words: list[str], guarded: list[str], tmp_path: Path) -> None:
    """--force replaces what is there, once there is something to keep, and leaves nothing beside it."""
    out = tmp_path / "registration.json"
    out.write_text("old")
    uri = ["--redirect-uri", "http://127.0.0.1:5000/callback", "--out", out, "--force"]
    refused = run("register", *guarded, *uri)
    kept = out.read_text()
    done = run("register", *words, *uri)
    assert (refused.exit_code, kept, done.exit_code, stored(out).client_id + "\n") == (
        3,
        "old",
        0,
        done.stdout,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["registration.json"]


def test_a_refused_registration_leaves_no_file(run: Run, guarded: list[str], tmp_path: Path) -> None:
    """Where the server says no, nothing lies about."""
    out = tmp_path / "registration.json"
    uri = ["--redirect-uri", "http://127.0.0.1:5000/callback", "--out", out]
    done = run("register", *guarded, *uri, "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["class"], out.exists()) == (
        3,
        "OAuthError",
        False,
    )


def test_a_public_app_needs_no_file(run: Run, words: list[str]) -> None:
    """An app without a secret may be registered without one; that its registration is lost is said."""
    done = run("register", *words, "--public", "--redirect-uri", "http://127.0.0.1:5000/callback")
    assert (done.exit_code, done.stdout.count("\n"), "not kept" in done.stderr) == (0, 1, True)


def test_keys_may_be_published_instead(run: Run, words: list[str], tmp_path: Path) -> None:
    """With --jwks-uri only the URL is registered, also beside a key."""
    uri = "https://app.example.com/jwks.json"
    done = run("register", *words, "--backend", "--jwks-uri", uri, "--json")
    metadata = json.loads(done.stdout)["metadata"]
    assert (done.exit_code, metadata["jwks_uri"], "jwks" in metadata) == (0, uri, False)


@pytest.mark.parametrize("way_in", ["environment", "stdin"])
def test_an_initial_access_token_never_is_an_argument(
    run: Run, guarded: list[str], key: str, way_in: str
) -> None:
    """It comes from the environment or from standard input, and is printed nowhere."""
    words = ["register", *guarded, "--backend", "--key", key]
    if way_in == "environment":
        done = run(*words, env={"SMART_INITIAL_ACCESS_TOKEN": INITIAL})
    else:
        done = run(*words, "--initial-access-token-stdin", input=f"{INITIAL}\n")
    without = run(*words)
    assert (done.exit_code, INITIAL in done.output, without.exit_code) == (0, False, 3)


@pytest.mark.parametrize(
    ("more", "given", "said"),
    [
        (["--backend"], "", "--jwks-uri"),
        (
            ["--backend", "--jwks-uri", "https://a.example/j", "--redirect-uri", "https://a.example"],
            "",
            "--backend",
        ),
        ([], "", "--redirect-uri"),
        (
            ["--public", "--jwks-uri", "https://a.example/j", "--redirect-uri", "https://a.example"],
            "",
            "public",
        ),
        (["--backend", "--jwks-uri", "http://a.example/j"], "", "jwks_uri"),
        (["--backend", "--jwks-uri", "https://a.example/j", "--allow-change", "x"], "", "x"),
        (["--backend", "--jwks-uri", "https://a.example/j", "--initial-access-token-stdin"], "", "empty"),
        (["--backend", "--jwks-uri", "https://a.example/j", "--initial-access-token-stdin"], "a b", "blanks"),
    ],
)
def test_bad_input_is_yours(run: Run, words: list[str], more: list[str], given: str, said: str) -> None:
    """What contradicts itself is refused before anything is sent."""
    done = run("register", *words, *more, input=given)
    assert (done.exit_code, done.stdout, said in done.stderr) == (2, "", True)


def scripted(monkeypatch: pytest.MonkeyPatch, **answer: Any) -> ScriptedTransport:
    made = {"client_id": "made", "registration_access_token": "r" * 20, **answer}
    made["registration_client_uri"] = "https://ehr.example.com/register/made"
    transport = ScriptedTransport(json_response(DOCUMENT), json_response(made, status=201))
    monkeypatch.setattr(way, "open_transport", lambda *_, **__: transport)
    return transport


def test_what_the_server_weakened_is_kept_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A client that came out other than asked for exists: it is saved, and the exit code is 3."""
    answer = {
        "token_endpoint_auth_method": "none",
        "grant_types": ["client_credentials"],
        "response_types": [],
    }
    words = [*BASE, "--backend", "--jwks-uri", "https://a.example/j", "--out", tmp_path / "r"]
    scripted(monkeypatch, **answer)
    done = run("register", *words)
    assert (done.exit_code, stored(tmp_path / "r").client_id) == (3, "made")
    assert ("--allow-change" in done.stderr, "--out" in done.stderr) == (True, True)
    scripted(monkeypatch, **answer)
    allowed = run("register", *words[:-1], tmp_path / "s", "--allow-change", "token_endpoint_auth_method")
    assert (allowed.exit_code, allowed.stdout, "token_endpoint_auth_method" in allowed.stderr) == (
        0,
        "made\n",
        True,
    )


def test_a_server_without_registration_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server offers none, that is said."""
    document = json_response({"token_endpoint": "https://ehr.example.com/token"})
    monkeypatch.setattr(way, "open_transport", lambda *_, **__: ScriptedTransport(document))
    done = run("register", *BASE, "--backend", "--jwks-uri", "https://a.example/j")
    assert (done.exit_code, "registration_endpoint" in done.stderr) == (2, True)
