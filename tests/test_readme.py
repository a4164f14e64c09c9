"""The README's commands and examples work as they are written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smart_async import public_jwks
from smart_async.files import load_signing_key
from smart_async.sandbox import Sandbox, serve

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [(match["language"], match["text"]) for match in BLOCK.finditer(README.read_text("utf-8"))]
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    line.removeprefix("$ ").partition("  #")[0]
    for language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
    if line.startswith("$ smart-async")
]
EXPORTED = dict(
    word.split("=", 1)
    for language, text in BLOCKS
    if language == "console"
    for line in text.splitlines()
    if line.startswith("$ export ")
    for word in shlex.split(line.removeprefix("$ export "))
)


def command(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[0] == "smart-async"
    return [sys.executable, "-m", "smart_async", *words[1:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's keygen command was run."""
    folder = tmp_path_factory.mktemp("readme")
    line, _, target = COMMANDS[0].partition(" > ")
    done = subprocess.run(command(line), cwd=folder, capture_output=True, text=True, check=True)
    (folder / target).write_text(done.stdout, "utf-8")
    return folder


@pytest.fixture(scope="module")
def fhir_base(folder: Path) -> Iterator[str]:
    """A served sandbox with the client registered as the README's sandbox command does it."""
    with serve(Sandbox()) as sandbox:
        register(sandbox, folder)
        yield sandbox.fhir_base


def command_of(name: str) -> str:
    return next(line for line in COMMANDS if line.startswith(f"smart-async {name} "))


def register(sandbox: Sandbox, folder: Path, *redirect_uris: str) -> None:
    """Register the client as the README's sandbox command does, and perhaps with further redirect URIs."""
    options: dict[str, list[str]] = {}
    for option, value in zip(*[iter(shlex.split(command_of("sandbox"))[2:])] * 2, strict=True):
        options.setdefault(option, []).append(value)
    sandbox.register_client(
        client_id=options["--client-id"][0],
        jwks=json.loads((folder / options["--jwks"][0]).read_text("utf-8")),
        redirect_uris=(*options["--redirect-uri"], *redirect_uris),
        launch_url=options["--launch-url"][0],
    )


def at(fhir_base: str, text: str) -> str:
    return text.replace("http://127.0.0.1:8080/fhir", fhir_base)


def test_keygen_writes_a_private_key_and_prints_its_public_half(folder: Path) -> None:
    """The JWK Set that keygen prints is that of the key it wrote, which only its owner can read."""
    key = load_signing_key(folder / "key.pem", kid="key-1")
    assert json.loads((folder / "jwks.json").read_text("utf-8")) == public_jwks([key])
    if os.name == "posix":
        assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600


def test_the_sandbox_command_registers_the_client_and_the_token_command_gets_a_token(folder: Path) -> None:
    """The README's two commands work against each other."""
    sandbox_line = command_of("sandbox")
    token_line = command_of("token")
    sandbox = subprocess.Popen(
        command(sandbox_line.replace("8080", "0")),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert sandbox.stdout is not None
        base = next(
            found[0] for line in sandbox.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/fhir", line))
        )
        done = subprocess.run(
            command(at(base, token_line)), cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "system/Patient.rs" in done.stdout
    finally:
        sandbox.terminate()
        sandbox.communicate(timeout=20)


@pytest.mark.parametrize("block", PYTHON[:2], ids=["async", "plain"])
def test_the_backend_examples_print_patients(block: str, folder: Path, fhir_base: str) -> None:
    """Each example is a whole program: run from the folder with the key, it reads patients."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", at(fhir_base, block)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_sign_in_example_signs_a_user_in(
    folder: Path, fhir_base: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two functions of the sign-in example start and finish a login, and a session renews its token."""
    httpx = pytest.importorskip("httpx")
    monkeypatch.chdir(folder)
    namespace: dict[str, object] = {}
    exec(compile(at(fhir_base, PYTHON[2]), "README", "exec"), namespace)

    async def scenario() -> tuple[object, object]:
        url, stored = await namespace["start_login"]()
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(url)
        token = await namespace["finish_login"](stored, answer.headers["location"])
        renewed = await namespace["client"].session(token).renew()
        await namespace["client"].aclose()
        return token, renewed

    token, renewed = asyncio.run(scenario())
    assert "patient in context: True user: True" in capsys.readouterr().out
    assert renewed.access_token != token.access_token
    assert renewed.context == token.context


def test_the_fastapi_example_signs_a_user_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app of under fifteen lines, set up as the README says, shows the patient of whoever signs in."""
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    sandbox = Sandbox()
    monkeypatch.chdir(folder)
    for name, value in {**EXPORTED, "FHIR_BASE_URL": sandbox.fhir_base}.items():
        monkeypatch.setenv(name, value)
    register(sandbox, folder)
    # What would go over the network goes to the sandbox.
    monkeypatch.setattr("smart_async.transports.open_async_transport", lambda _: sandbox.transport())
    monkeypatch.setattr(
        "smart_async.integrations.starlette._pool._opened", lambda: httpx.ASGITransport(sandbox.app)
    )
    assert len(PYTHON[3].strip().splitlines()) < 15
    namespace: dict[str, Any] = {}
    exec(compile(PYTHON[3], "README", "exec"), namespace)

    async def scenario() -> tuple[object, object]:
        transport = httpx.ASGITransport(namespace["app"])
        headers = {"Accept": "text/html"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000", headers=headers
        ) as browser:

            async def arrive(login: str) -> object:
                to_the_ehr = (await browser.get(login)).headers["location"]
                back = (await browser.get(sandbox.authorize(to_the_ehr))).headers["location"]
                return (await browser.get("/chart" if back == "/" else back)).json()

            alone = await arrive((await browser.get("/chart")).headers["location"])
            launch_url = shlex.split(command_of("sandbox"))[-1]
            return alone, await arrive(sandbox.launch_url(launch_url, patient="patient-basil"))

    patients = sandbox.resources["Patient"]
    assert asyncio.run(scenario()) == (patients["patient-amber"]["name"], patients["patient-basil"]["name"])


def test_the_web_app_is_served_where_its_redirect_uri_leads() -> None:
    """The port of the uvicorn line is that of the redirect URI, and no code gets into an access log."""
    line = next(
        line for _, text in BLOCKS for line in text.splitlines() if line.startswith("$ uvicorn app:app")
    )
    port = EXPORTED["SMART_REDIRECT_URI"].split("/")[2].rpartition(":")[2]
    assert (f"--port {port} " in line, "--no-access-log" in line) == (True, True)


def test_the_login_command_signs_a_user_in(folder: Path) -> None:
    """The README's login command gets a user's token from the README's sandbox, whatever its port."""
    httpx = pytest.importorskip("httpx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(Sandbox()) as sandbox:
        register(sandbox, folder, f"http://127.0.0.1:{port}/callback")
        line = at(sandbox.fhir_base, command_of("login")).replace(":5000/", f":{port}/")
        assert f":{port}/callback" in line
        login = subprocess.Popen(
            [*command(line), "--no-browser", "--no-store"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert login.stderr is not None
            url = next(text.strip() for text in login.stderr if text.strip().startswith("http://"))
            assert httpx.get(httpx.get(url).headers["location"]).status_code == 200
            shown, _ = login.communicate(timeout=20)
        finally:
            login.kill()
            login.communicate()
    assert (login.returncode, "patient-amber" in shown) == (0, True)


def test_the_testing_example_signs_in_without_a_socket() -> None:
    """The example for the reader's own tests holds what it asserts."""
    exec(compile(PYTHON[4], "README", "exec"), {})


def test_every_example_is_run() -> None:
    """A block that is added to the README has to be added here too."""
    assert (len(PYTHON), len(COMMANDS)) == (5, 4)
