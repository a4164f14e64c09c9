"""`login`: a browser that goes where it is sent, and servers that send it elsewhere."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from smart_async.cli import way
from smart_async.files import write_private_key
from smart_async.keys import SigningKey, public_jwks
from smart_async.sandbox import Sandbox, serve
from smart_async.transports import ScriptedTransport, json_response

Run = Callable[..., Any]
SECRET = "m0ss-GREEN-kettle-canary"
SCOPE = "openid fhirUser launch/patient patient/Patient.rs offline_access"


@dataclass
class Browser:
    """Goes where it is sent in a thread, as a browser does, and keeps the pages."""

    change: Callable[[str], str] = lambda url: url
    urls: list[str] = field(default_factory=list)
    pages: list[httpx.Response] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def open(self, url: str) -> bool:
        self.urls.append(url)
        self.threads.append(threading.Thread(target=self._go, args=(url,)))
        self.threads[-1].start()
        return True

    def _go(self, url: str) -> None:
        with httpx.Client(timeout=20) as client:
            answer = client.get(url)
            while answer.has_redirect_location:
                answer = client.get(self.change(answer.headers["location"]))
            self.pages.append(answer)

    def close(self) -> None:
        for thread in self.threads:
            thread.join()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    browser = Browser()
    monkeypatch.setattr(webbrowser, "open", lambda url: browser.open(url))
    yield browser
    browser.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def ehr() -> Iterator[Sandbox]:
    with serve(Sandbox()) as sandbox:
        yield sandbox


@pytest.fixture
def app(ehr: Sandbox, port: int, tmp_path: Path) -> SimpleNamespace:
    """Return the words that name a client of each kind, registered for this port."""
    key = SigningKey.generate("ES384", kid="login-key")
    write_private_key(tmp_path / "key.pem", key)
    uris = [f"http://127.0.0.1:{port}/callback"]
    ehr.register_client(client_id="public", redirect_uris=uris)
    ehr.register_client(client_id="secret", redirect_uris=uris, client_secret=SECRET)
    ehr.register_client(client_id="signed", redirect_uris=uris, jwks=public_jwks([key]))
    common = [
        "--fhir-base",
        ehr.fhir_base,
        "--allow-insecure-loopback",
        "--port",
        str(port),
        "--scope",
        SCOPE,
    ]
    return SimpleNamespace(
        common=common,
        public=[*common, "--client-id", "public"],
        secret=[*common, "--client-id", "secret"],
        signed=[*common, "--client-id", "signed", "--key", str(tmp_path / "key.pem"), "--kid", "login-key"],
    )


@pytest.mark.parametrize("kind", ["public", "secret", "signed"])
def test_a_user_signs_in(run: Run, app: SimpleNamespace, browser: Browser, ehr: Sandbox, kind: str) -> None:
    """Each type of client gets a token for the patient and the user, by the browser and back."""
    env = {"SMART_CLIENT_SECRET": SECRET} if kind == "secret" else {}
    done = run("login", *getattr(app, kind), "--json", env=env)
    assert (done.exit_code, done.stderr[:40]) == (0, "Sign in with the browser that has opened")
    issued = json.loads(done.stdout)
    assert (issued["patient"], issued["renewable"], issued["scope"]) == ("patient-amber", True, SCOPE)
    assert "Practitioner/" in issued["fhir_user"]
    assert all(verdict.accepted for verdict in ehr.verdicts)
    browser.close()
    assert [(page.status_code, "arrived" in page.text) for page in browser.pages] == [(200, True)]


def test_a_table_for_people_hides_the_token(run: Run, app: SimpleNamespace, browser: Browser) -> None:
    """Without an option that asks for it the token is masked, and the browser's URL is not repeated."""
    done = run("login", *app.public)
    shown = ["patient-amber", "yes, without the user", "<secret, 43 characters>"]
    assert (done.exit_code, [text in done.stdout for text in shown]) == (0, [True] * 3)
    assert browser.urls[0] not in done.output


@pytest.mark.parametrize(
    ("option", "before", "after"),
    [
        ("--header", "Authorization: Bearer ", "\n"),
        ("--export", "export SMART_ACCESS_TOKEN=", "\n"),
    ],
)
def test_a_token_for_a_shell_is_alone_on_stdout(
    run: Run, app: SimpleNamespace, browser: Browser, ehr: Sandbox, option: str, before: str, after: str
) -> None:
    """--header and --export print one line that works as it is, and nothing else on stdout."""
    done = run("login", *app.public, option)
    assert (done.exit_code, done.stdout.startswith(before), done.stdout.count("\n")) == (0, True, 1)
    token = done.stdout.removeprefix(before).removesuffix(after)
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{ehr.fhir_base}/Patient/patient-amber", headers=headers).status_code == 200
    assert token not in done.stderr


def test_no_secret_gets_out(run: Run, app: SimpleNamespace, browser: Browser, ehr: Sandbox) -> None:
    """Of all that was sent and issued only the token that was asked for is printed."""
    done = run("login", *app.secret, "--json", env={"SMART_CLIENT_SECRET": SECRET})
    issued = json.loads(done.stdout)
    (sent,) = [item for item in ehr.requests if item.url.endswith("/token")]
    form = httpx.QueryParams(sent.body.decode())
    seen = httpx.URL(browser.urls[0]).params
    secrets = {SECRET, form["code"], form["code_verifier"], seen["state"], seen["nonce"]}
    assert [secret for secret in secrets if secret in done.output] == []
    assert issued["access_token"] not in done.stderr


def test_without_a_browser_the_url_is_printed(run: Run, app: SimpleNamespace, browser: Browser) -> None:
    """--no-browser opens nothing and prints the URL on stderr, whole and on a line of its own."""
    done = run("login", *app.public, "--no-browser", "--login-timeout", "0.05")
    (url,) = [line for line in done.stderr.splitlines() if line.startswith("http")]
    assert (done.exit_code, browser.urls, done.stdout) == (4, [], "")
    assert httpx.URL(url).params["code_challenge_method"] == "S256"
    assert "did not come back within 0.05 seconds" in done.stderr


def test_where_no_browser_opens_the_url_is_printed(
    run: Run, app: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without a browser is treated as if --no-browser had been given."""
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    done = run("login", *app.public, "--login-timeout", "0.05")
    assert (done.exit_code, "Open this URL" in done.stderr) == (4, True)


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_ctrl_c_ends_the_wait(
    run: Run, app: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """A user who gives up gets the shell back, without a traceback, and the port is free again."""

    def give_up(_: str) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", give_up)
    done = run("login", *app.public, *words)
    port = app.public[app.public.index("--port") + 1]
    with socket.create_server(("127.0.0.1", int(port))):
        assert (done.exit_code, "Traceback" in done.output) == (130, False)


BROWSER = """
import sys, urllib.request
sys.stdout.write("chatter of a browser\\n")
urllib.request.urlopen(sys.argv[1], timeout=20).read()
"""


@pytest.mark.skipif(os.name != "posix", reason="starts a script as the browser")
def test_in_a_process_of_its_own(script: Run, app: SimpleNamespace, tmp_path: Path) -> None:
    """With a real browser process: one JSON object on stdout, and no secret in anybody's arguments."""
    program = tmp_path / "browser"
    program.write_text(f"#!{sys.executable}\n{BROWSER}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    done = script("login", *app.secret, "--json", BROWSER=str(program), SMART_CLIENT_SECRET=SECRET)
    assert (done.returncode, json.loads(done.stdout)["patient"]) == (0, "patient-amber")
    assert (SECRET in done.stdout + done.stderr, "chatter" in done.stdout) == (False, False)


@pytest.mark.rule("AL-08")
def test_a_callback_of_another_login_ends_this_one(run: Run, app: SimpleNamespace, browser: Browser) -> None:
    """A callback with another state is refused, and its code goes nowhere."""
    browser.change = lambda url: str(httpx.URL(url).copy_set_param("state", "forged"))
    done = run("login", *app.public, "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["class"], "forged" in done.output) == (3, "CallbackError", False)


def test_a_refusal_at_the_server_is_told(run: Run, app: SimpleNamespace, browser: Browser) -> None:
    """A user who says no, or a server that does, is exit code 3 with the server's own code."""
    done = run("login", *app.public, "--scope", "foo/bar", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["class"], error["error"]) == (3, "OAuthError", "invalid_scope")


def test_a_hostile_error_is_shown_nowhere(run: Run, app: SimpleNamespace, browser: Browser) -> None:
    """Markup and control characters in a callback reach neither page nor terminal."""

    def hostile(url: str) -> str:
        params = httpx.URL(url).params
        query = {"state": params["state"], "error": "<script>\x1b]0;x\x07", "iss": params["iss"]}
        return str(httpx.URL(url).copy_with(params=query))

    browser.change = hostile
    done = run("login", *app.public)
    browser.close()
    assert (done.exit_code, "\x1b" in done.output, "\x07" in done.output) == (3, False, False)
    assert "script" not in browser.pages[0].text


def scripted(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    document = {"authorization_endpoint": endpoint, "token_endpoint": "https://ehr.example.com/token"}
    monkeypatch.setattr(way, "open_transport", lambda *_, **__: ScriptedTransport(json_response(document)))


@pytest.mark.parametrize(
    "endpoint",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://a.example/$(id)",
        'https://a.example/" & calc & "',
        "https://a.example/`id`",
        "http://a.example/auth",
        "https://user:pw@a.example/auth",
        "https://a.example/auth?state=x",
    ],
)
def test_a_hostile_endpoint_never_reaches_the_browser(
    run: Run, browser: Browser, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    """An authorization endpoint that could be a command is refused before anything is opened."""
    scripted(monkeypatch, endpoint)
    words = ["--fhir-base", "https://ehr.example.com/r4", "--client-id", "app", "--login-timeout", "0.05"]
    done = run("login", *words, "--json")
    shown = json.loads(done.stdout)["error"]["class"]
    assert browser.urls == []
    assert (done.exit_code, shown) in ((3, "DiscoveryError"), (2, "ConfigurationError"))


def test_a_relative_endpoint_is_no_option_of_the_browser(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like an option is a path on the server, and the browser gets it as an https URL."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) is None)
    scripted(monkeypatch, "-flag")
    words = ["--fhir-base", "https://ehr.example.com/r4", "--client-id", "app", "--login-timeout", "0.05"]
    assert run("login", *words).exit_code == 4
    assert [url.partition("?")[0] for url in opened] == ["https://ehr.example.com/-flag"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--redirect-uri", "https://app.example.com/callback"], "--redirect-uri"),
        (["--login-timeout", "0"], "--login-timeout"),
        (["--login-timeout", "601"], "--login-timeout"),
        (["--login-timeout", "nan"], "--login-timeout"),
        (["--port", "70000"], "--port"),
        (["--json", "--header"], "only one"),
        (["--secret-prompt"], "SMART_CLIENT_SECRET"),
        (["--scope", " "], "scope"),
        (["--vendor", "nobody"], "openemr"),
        (["--registration", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_yours(run: Run, browser: Browser, words: list[str], said: str) -> None:
    """What cannot work is refused before a browser opens."""
    base = ["--fhir-base", "https://ehr.example.com/r4", "--client-id", "app"]
    done = run("login", *base, *words)
    assert (done.exit_code, browser.urls, said in done.output) == (2, [], True)


def test_a_client_has_an_id(run: Run) -> None:
    """Without a client id nothing can be asked for."""
    done = run("login", "--fhir-base", "https://ehr.example.com/r4")
    assert (done.exit_code, "--client-id" in done.stderr) == (2, True)


def test_a_client_proves_itself_in_one_way(run: Run, app: SimpleNamespace) -> None:
    """A key and a secret contradict each other."""
    done = run("login", *app.signed, env={"SMART_CLIENT_SECRET": SECRET})
    assert (done.exit_code, SECRET in done.output, "one way" in done.stderr) == (2, False, True)


def test_the_environment_will_do(
    run: Run, ehr: Sandbox, app: SimpleNamespace, port: int, browser: Browser
) -> None:
    """Every option that names the client comes from the environment too."""
    env = {
        "FHIR_BASE_URL": ehr.fhir_base,
        "SMART_CLIENT_ID": "public",
        "SMART_SCOPE": SCOPE,
        "SMART_REDIRECT_URI": f"http://127.0.0.1:{port}/callback",
    }
    done = run("login", "--allow-insecure-loopback", "--json", env=env)
    assert (done.exit_code, json.loads(done.stdout)["patient"]) == (0, "patient-amber")
