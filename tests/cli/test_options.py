"""Options that become something else before they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from smart_async.cli.options import client_certificate
from smart_async.errors import ConfigurationError
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
