"""The options that several commands share, declared once."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from smart_async.errors import ConfigurationError
from smart_async.limits import Timeouts
from smart_async.messages import Secret
from smart_async.transports import ClientCertificate

__all__ = (
    "AllowInsecureLoopback",
    "CaFile",
    "ClientCert",
    "ClientKey",
    "FollowRedirects",
    "HttpLibrary",
    "Json",
    "KeyFiles",
    "Library",
    "Proxy",
    "Timeout",
    "TrustEnv",
    "client_certificate",
    "has_terminal",
    "key_file",
    "key_id",
    "new_passphrase",
    "passphrase",
    "timeouts",
)

_SERVER = "Reaching the server"
_PASSPHRASE = "SMART_KEY_PASSPHRASE"
_TLS_PASSPHRASE = "SMART_TLS_KEY_PASSPHRASE"
_DAY = 86_400


class Library(StrEnum):
    """The HTTP library that sends the requests."""

    HTTPX = "httpx"
    HTTPX2 = "httpx2"


Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.")
]
AllowInsecureLoopback: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--allow-insecure-loopback",
        help="Accept plain http, for loopback hosts only.",
        rich_help_panel=_SERVER,
    ),
]
FollowRedirects: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--follow-redirects",
        help="Follow up to 3 https redirects when discovering; nothing else is ever redirected.",
        rich_help_panel=_SERVER,
    ),
]
Proxy: TypeAlias = Annotated[
    str | None, typer.Option(help="URL of an HTTP proxy.", metavar="URL", rich_help_panel=_SERVER)
]
CaFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        help="PEM file with the certificates to trust instead of the public ones.",
        metavar="FILE",
        rich_help_panel=_SERVER,
    ),
]
ClientCert: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--client-cert",
        help="PEM file with a client certificate, for servers that want mutual TLS.",
        metavar="FILE",
        rich_help_panel=_SERVER,
    ),
]
ClientKey: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--client-key",
        help=f"PEM file with its private key, if that is a file of its own; {_TLS_PASSPHRASE} opens it.",
        metavar="FILE",
        rich_help_panel=_SERVER,
    ),
]
TrustEnv: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--trust-env",
        help="Let HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and the like count; they are ignored otherwise.",
        rich_help_panel=_SERVER,
    ),
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Seconds that one request may take in all (30 by default, discovery 15).",
        metavar="SECONDS",
        rich_help_panel=_SERVER,
    ),
]
HttpLibrary: TypeAlias = Annotated[
    Library, typer.Option("--transport", help="HTTP library to use.", rich_help_panel=_SERVER)
]
KeyFiles: TypeAlias = Annotated[
    list[Path], typer.Argument(help="Private key files: PEM, DER, PKCS #12, JWK or JWK Set.", metavar="F…")
]


def key_file(panel: str) -> Any:
    """
    Return the option `--key`.

    Args:
        panel: The heading under which `--help` shows it.
    """
    return typer.Option(
        "--key",
        help="File with the private key.",
        metavar="F",
        envvar="SMART_PRIVATE_KEY_PATH",
        rich_help_panel=panel,
    )


def key_id(panel: str) -> Any:
    """
    Return the option `--kid`.

    Args:
        panel: The heading under which `--help` shows it.
    """
    return typer.Option(
        "--kid",
        help="The key's id, if not its thumbprint.",
        metavar="K",
        envvar="SMART_KEY_ID",
        rich_help_panel=panel,
    )


def timeouts(seconds: float | None) -> Timeouts:
    """
    Return the limits that `--timeout` means: every wait may last that long, and all of them together too.

    Args:
        seconds: The value of the option, or None if it was not given.

    Raises:
        ConfigurationError: If a request would wait for ever or not at all.
    """
    if seconds is None:
        return Timeouts()
    if not 0 < seconds < _DAY:
        raise ConfigurationError(
            f"--timeout must be a number of seconds above 0 and below {_DAY}.", field="timeout"
        )
    return Timeouts(**dict.fromkeys(Timeouts.__slots__, seconds))


def client_certificate(certfile: Path | None, keyfile: Path | None) -> ClientCertificate | None:
    """
    Return what `--client-cert` and `--client-key` mean, with the passphrase from the environment.

    Args:
        certfile: The value of the first, or None if it was not given.
        keyfile: The value of the second.

    Raises:
        ConfigurationError: If there is a key and no certificate.
    """
    if certfile is None:
        if keyfile is not None:
            raise ConfigurationError(
                "--client-key needs the certificate that belongs to the key.",
                field="client_cert",
                advice="Name its file with --client-cert.",
            )
        return None
    known = os.environ.get(_TLS_PASSPHRASE)
    return ClientCertificate(certfile=certfile, keyfile=keyfile, password=Secret(known) if known else None)


def has_terminal() -> bool:
    """Return whether there is somebody to ask: standard input is a terminal, and was not closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def passphrase() -> str:
    """Return the passphrase of an encrypted key: from the environment, else asked for on a terminal."""
    known = os.environ.get(_PASSPHRASE)
    if known or not has_terminal():
        return known or ""
    return str(typer.prompt("Passphrase of the key", hide_input=True, err=True))


def new_passphrase(*, ask: bool) -> str | None:
    """
    Return what a new key is to be encrypted with, or None for nothing.

    Args:
        ask: Whether to ask for it, twice, if the environment does not hold it.

    Raises:
        ConfigurationError: If it is to be asked for and there is no terminal to ask on.
    """
    known = os.environ.get(_PASSPHRASE)
    if known or not ask:
        return known or None
    if not has_terminal():
        raise ConfigurationError(
            "There is no terminal to ask for a passphrase on.",
            field="passphrase",
            advice=f"Set {_PASSPHRASE} instead.",
        )
    return str(typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))
