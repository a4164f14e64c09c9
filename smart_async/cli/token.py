"""`token`: an access token for the client itself (Backend Services)."""

from __future__ import annotations

from typing import Annotated

import typer

from smart_async.cli.doctor import doctor_line
from smart_async.cli.groups import expanded
from smart_async.cli.issued import Output
from smart_async.cli.progress import waiting
from smart_async.cli.way import Way
from smart_async.cli.who import Who
from smart_async.errors import ConfigurationError, OAuthError
from smart_async.messages import Finding
from smart_async.smart.backend import DEFAULT_SCOPE
from smart_async.smart.client_secret import PublicClient

__all__ = ("add_to", "token")

_HELP = """
Get a token for the client itself, with no user involved (SMART Backend Services).

The access token is masked unless --show-token, --header or --export is given. With --json it is always in the
output, under access_token: that is the form for programs, so keep it out of logs.

An encrypted key is opened with SMART_KEY_PASSPHRASE, if that is set; else you are asked on a terminal.
"""


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command(help=_HELP)(expanded(token))


def token(
    who: Who,
    way: Way,
    output: Output,
    scope: Annotated[
        str, typer.Option(help="Scopes, separated by blanks.", metavar="S", envvar="SMART_SCOPE")
    ] = DEFAULT_SCOPE,
) -> None:
    """Get a token for the client itself."""
    output.check()
    findings: list[Finding] = []
    config = who.config(way, findings, scope=scope)
    if isinstance(config.client_auth, PublicClient):
        raise ConfigurationError(
            "There is nothing the client could prove itself with.",
            field="key",
            advice="Give --key F with its private key, or set SMART_PRIVATE_KEY_PATH or SMART_CLIENT_SECRET.",
        )
    with way.client(config) as client, waiting("Asking the server for a token…", quiet=output.json):
        try:
            issued = client.backend_token(scope)
        except OAuthError as exc:
            if exc.error == "invalid_client":
                exc.advice = f"{exc.advice} To find out why, run: {doctor_line(who, way, scope)}"
            raise
    output.show(issued, [*findings, *issued.findings])
