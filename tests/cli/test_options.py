"""Options that become something else before they are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smart_async.cli.options import client_certificate
from smart_async.errors import ConfigurationError
from smart_async.files import write_private_key
from smart_async.keys import SigningKey
from smart_async.messages import Secret
from smart_async.transports import ClientCertificate


def test_a_client_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificate and key become one object, and the passphrase comes from the environment only."""
    cert, key = Path("client.pem"), Path("client.key")
    assert client_certificate(None, None) is None
    assert client_certificate(cert, key) == ClientCertificate(certfile=cert, keyfile=key)
    monkeypatch.setenv("SMART_TLS_KEY_PASSPHRASE", "open sesame")
    made = client_certificate(cert, None)
    assert made is not None
    assert (made.certfile, made.keyfile, made.password) == (cert, None, Secret("open sesame"))
    assert "sesame" not in repr(made)


def test_a_key_without_its_certificate() -> None:
    """A key alone proves nothing, and the option that is missing is named."""
    with pytest.raises(ConfigurationError) as caught:
        client_certificate(None, Path("client.key"))
    assert (caught.value.field, "--client-cert" in str(caught.value)) == ("client_cert", True)


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor")
@pytest.mark.parametrize("words", ["jwks locked.pem", "keygen --out new.pem --passphrase-prompt"])
def test_nobody_to_ask_for_a_passphrase(tmp_path: Path, words: str) -> None:
    """Started without standard input at all, the command says where a passphrase can come from."""
    write_private_key(tmp_path / "locked.pem", SigningKey.generate("ES384"), passphrase="opens")
    line = f"{sys.executable} -m smart_async {words} <&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr.startswith("Error: ")) == (2, True)
    assert "SMART_KEY_PASSPHRASE" in done.stderr
