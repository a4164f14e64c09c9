"""`sandbox`, run in this process up to the moment at which it would wait."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from smart_async import SigningKey, public_jwks
from smart_async.cli import sandbox as module

Run = Callable[..., Any]


class Stop:
    """Takes the place of waiting: does something while the sandbox is up, and then lets it end."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], Any] = lambda: None
        self.waited = 0

    def __call__(self, event: object) -> None:
        self.waited += 1
        self.meanwhile()


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    stop = Stop()
    monkeypatch.setattr(module, "_wait", stop)
    return stop


def test_a_newcomer_gets_a_line_that_works(run: Run, stop: Stop, script: Run) -> None:
    """Without options a client with a fresh key is registered, and the printed line gets a token."""
    results: list[Any] = []

    def paste() -> None:
        shown: str = module.sys.stdout.buffer.getvalue().decode()  # type: ignore[attr-defined]
        line = next(line for line in shown.splitlines() if line.startswith("smart-async token"))
        results.append(script(*shlex.split(line)[1:], "--json"))

    stop.meanwhile = paste
    done = run("sandbox", "--port", "0")
    (result,) = results
    assert (done.exit_code, result.returncode, json.loads(result.stdout)["scope"]) == (
        0,
        0,
        "system/Patient.rs",
    )
    assert ("not for production" in done.stdout, "\x1b" in done.stdout, done.stderr) == (True, False, "")


def test_your_own_client_is_registered(run: Run, stop: Stop, tmp_path: Path) -> None:
    """--client-id, --jwks, --redirect-uri and --scope describe your client; no key is made."""
    jwks = public_jwks([SigningKey.generate("ES384", kid="mine")])
    (tmp_path / "jwks.json").write_text(json.dumps(jwks))
    words = ["--client-id", "my-app", "--jwks", tmp_path / "jwks.json", "--scope", "system/Patient.rs"]
    words += ["--redirect-uri", "http://127.0.0.1:1/a", "--redirect-uri", "http://127.0.0.1:1/b"]
    done = run("sandbox", "--port", "0", "--json", *words)
    ready = json.loads(done.stdout)
    names = ("client_id", "jwks", "jwks_uri", "scope", "key_file", "redirect_uris")
    expected = [
        "my-app",
        jwks,
        None,
        "system/Patient.rs",
        None,
        ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"],
    ]
    assert (done.exit_code, [ready[name] for name in names]) == (0, expected)
    assert ("not for production" in ready["notice"], "--key KEYFILE --kid mine" in ready["try"]) == (
        True,
        True,
    )


def test_a_jwks_url_will_do(run: Run, stop: Stop) -> None:
    """--jwks-uri registers a URL instead of the keys themselves."""
    done = run("sandbox", "--port", "0", "--jwks-uri", "https://app.example.com/jwks")
    assert (done.exit_code, "https://app.example.com/jwks" in done.stdout) == (0, True)


@pytest.mark.parametrize("content", ["nonsense", "[]", "{}", '{"keys": []}', None])
def test_a_file_that_is_no_jwk_set_is_your_input(
    run: Run, stop: Stop, tmp_path: Path, content: str | None
) -> None:
    """A missing file, or one that is no JWK Set, is refused before anything is served."""
    if content is not None:
        (tmp_path / "F").write_text(content)
    done = run("sandbox", "--port", "0", "--jwks", tmp_path / "F")
    assert (done.exit_code, done.stdout, stop.waited) == (2, "", 0)


@pytest.mark.rule("AS-14")
def test_private_keys_are_not_registered(run: Run, stop: Stop, tmp_path: Path) -> None:
    """A JWK Set with private members is refused."""
    jwk = {**SigningKey.generate("ES384").public_jwk(), "d": "AAAA"}
    (tmp_path / "F").write_text(json.dumps({"keys": [jwk]}))
    done = run("sandbox", "--port", "0", "--jwks", tmp_path / "F")
    assert (done.exit_code, "private key material" in done.stderr, "AAAA" in done.stderr) == (2, True, False)


def test_a_client_has_one_credential(run: Run, stop: Stop, tmp_path: Path) -> None:
    """--jwks and --jwks-uri together are refused."""
    (tmp_path / "F").write_text(json.dumps(public_jwks([SigningKey.generate("ES384")])))
    done = run("sandbox", "--jwks", tmp_path / "F", "--jwks-uri", "https://a.example/jwks", "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["field"]) == (2, "jwks")


def test_a_taken_port_is_your_input(run: Run, stop: Stop) -> None:
    """A port that somebody else has is refused with advice."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("sandbox", "--port", taken.getsockname()[1])
    assert (done.exit_code, "Choose another port" in done.stderr) == (2, True)


@pytest.mark.parametrize(("words", "asks"), [((), True), (("--auto-consent",), False)])
def test_users_are_asked(run: Run, stop: Stop, words: tuple[str, ...], asks: bool) -> None:
    """In a browser the user is asked, unless --auto-consent agrees for them; the launcher is served."""
    seen: dict[str, Any] = {}

    def browse() -> None:
        shown = json.loads(module.sys.stdout.buffer.getvalue())  # type: ignore[attr-defined]
        query = {
            "response_type": "code",
            "client_id": shown["client_id"],
            "redirect_uri": shown["redirect_uris"][0],
            "scope": "openid",
            "state": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
            "aud": shown["fhir_base"],
            "code_challenge": "A" * 43,
            "code_challenge_method": "S256",
        }
        with httpx.Client(base_url=shown["base_url"], trust_env=False) as http:
            seen["location"] = http.get("/oauth2/authorize", params=query).headers["location"]
            seen["launcher"] = http.get("/").text

    stop.meanwhile = browse
    done = run("sandbox", "--port", "0", "--json", "--launch-url", "http://127.0.0.1:5000/launch", *words)
    members = json.loads(done.stdout)
    assert (members["auto_consent"], members["launch_url"]) == (not asks, "http://127.0.0.1:5000/launch")
    assert seen["location"].startswith("/login/" if asks else members["redirect_uris"][0])
    assert "Start an app" in seen["launcher"]
