"""Who is asking: keys, secrets and registrations, each where it may come from."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smart_async import ConfigurationError
from smart_async.cli.way import Way
from smart_async.cli.who import SecretMethod, Who
from smart_async.files import write_private_key
from smart_async.keys import SigningKey
from smart_async.sandbox import Sandbox
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.client_secret import ClientSecret, PublicClient

Run = Callable[..., Any]
SECRET = "m0ss-GREEN-kettle-canary"
BASE = "https://ehr.example.com/r4"


def auth(**options: Any) -> object:
    return Who(fhir_base=BASE, client_id="app", **options).config(Way(), []).client_auth


def test_a_client_with_nothing_is_public() -> None:
    """Without a key and without a secret a client proves nothing."""
    assert auth() == PublicClient()


@pytest.mark.parametrize("method", SecretMethod)
def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, method: SecretMethod) -> None:
    """SMART_CLIENT_SECRET is taken as it is, but for the line end of the file it came from."""
    monkeypatch.setenv("SMART_CLIENT_SECRET", f" {SECRET} \r\n")
    assert auth(secret_method=method) == ClientSecret(f" {SECRET} ", method.value)


def test_an_empty_secret_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing counts as not set."""
    monkeypatch.setenv("SMART_CLIENT_SECRET", "\n")
    assert auth() == PublicClient()


def test_options_reach_the_configuration(tmp_path: Path) -> None:
    """Key, kid, jku, vendor, origins and scope arrive where they belong."""
    write_private_key(tmp_path / "key.pem", SigningKey.generate("RS384"))
    who = Who(
        fhir_base=BASE,
        client_id="app",
        key=tmp_path / "key.pem",
        kid="k",
        jku="https://app.example.com/jwks",
        vendor="athenahealth",
        trusted_origin=["https://auth.example.com"],
        token_endpoint="https://auth.example.com/token",
        assertion_audience="https://auth.example.com",
        assertion_lifetime=120,
    )
    config = who.config(
        Way(follow_redirects=True), [], scope="system/*.rs", redirect_uri="http://127.0.0.1:1/x"
    )
    assert isinstance(config.client_auth, PrivateKeyJWT)
    assert [signer.kid for signer in config.client_auth.signers] == ["k"]
    assert (config.client_auth.jku, config.vendor) == ("https://app.example.com/jwks", "athenahealth")
    assert (config.trusted_origins, config.scope) == (("https://auth.example.com",), "system/*.rs")
    assert (config.token_endpoint, config.assertion_lifetime) == ("https://auth.example.com/token", 120)
    assert config.assertion_audience == "https://auth.example.com"
    assert (config.redirect_uri, config.follow_discovery_redirects) == ("http://127.0.0.1:1/x", True)


@pytest.fixture
def registration(run: Run, served: Sandbox, tmp_path: Path) -> SimpleNamespace:
    """Return the file of an app that was registered with a secret."""
    words = ["--fhir-base", served.fhir_base, "--allow-insecure-loopback"]
    uri = "http://127.0.0.1:5000/callback"
    done = run("register", *words, "--redirect-uri", uri, "--out", tmp_path / "r.json")
    return SimpleNamespace(id=done.stdout.strip(), path=tmp_path / "r.json", base=served.fhir_base, uri=uri)


def test_a_registration_brings_everything(registration: SimpleNamespace) -> None:
    """Id, secret and redirect URI come from the file that register wrote."""
    who = Who(fhir_base=registration.base, registration=registration.path)
    config = who.config(Way(allow_insecure_loopback=True), [])
    assert (config.client_id, config.redirect_uri) == (registration.id, registration.uri)
    assert isinstance(config.client_auth, ClientSecret)
    assert list(who.redirect_uris()) == [registration.uri]


def test_a_secret_beside_a_registration_wins(
    registration: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that was changed since can be given."""
    monkeypatch.setenv("SMART_CLIENT_SECRET", SECRET)
    who = Who(fhir_base=registration.base, registration=registration.path)
    assert who.config(Way(allow_insecure_loopback=True), []).client_auth == ClientSecret(SECRET)


def test_a_registration_is_of_one_client(registration: SimpleNamespace) -> None:
    """Another client id beside it, or another server, is a mistake."""
    way = Way(allow_insecure_loopback=True)
    with pytest.raises(ConfigurationError, match=registration.id):
        Who(fhir_base=registration.base, client_id="other", registration=registration.path).config(way, [])
    with pytest.raises(ConfigurationError, match="not at https"):
        Who(fhir_base=BASE, registration=registration.path).config(way, [])


def test_what_is_no_registration_is_refused(tmp_path: Path) -> None:
    """A file with something else in it is named as what it is not."""
    (tmp_path / "r.json").touch(mode=0o600)
    with pytest.raises(ConfigurationError, match="not a registration"):
        Who(fhir_base=BASE, registration=tmp_path / "r.json").config(Way(), [])


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
def test_a_secret_can_be_typed(registration: SimpleNamespace) -> None:
    """--secret-prompt asks on the terminal, shows nothing of what is typed, and puts it nowhere else."""
    import pty

    ours, theirs = pty.openpty()
    words = ["introspect", "--fhir-base", registration.base, "--allow-insecure-loopback", "--no-store"]
    words += ["--client-id", registration.id, "--secret-prompt", "--stored"]
    with subprocess.Popen(
        [sys.executable, "-m", "smart_async", *words], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 65536):
                seen += piece
                if seen.endswith(b"Client secret: "):
                    os.write(ours, SECRET.encode() + b"\n")
        except OSError:  # Linux reports the other end's leaving as an error
            pass
    os.close(ours)
    assert (process.returncode, SECRET.encode() in seen, b"none is kept" in seen) == (2, False, True)
