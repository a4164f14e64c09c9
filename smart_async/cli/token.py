"""`token`: an access token for the client itself (Backend Services)."""

from __future__ import annotations

from typing import Annotated

import typer

from smart_async.cli.doctor import doctor_line
from smart_async.cli.groups import expanded
from smart_async.cli.issued import Output
from smart_async.cli.keeping import Fresh, Keeping, Kept, usable_token
from smart_async.cli.progress import waiting
from smart_async.cli.way import Way
from smart_async.cli.who import Who
from smart_async.clients import SmartClient
from smart_async.errors import ConfigurationError, OAuthError
from smart_async.messages import Finding
from smart_async.smart.backend import DEFAULT_SCOPE
from smart_async.smart.client_secret import PublicClient
from smart_async.smart.tokens import Token
from smart_async.stores import FileStore

__all__ = ("add_to", "token")

_HELP = """
Get a token for the client itself, with no user involved (SMART Backend Services).

The access token is masked unless --show-token, --header or --export is given. With --json it is always in the
output, under access_token: that is the form for programs, so keep it out of logs.

The token is kept in the store, for its owner alone to read: while it works, a second call sends nothing. Say
--fresh for another one all the same, and --no-store to keep nothing.

An encrypted key is opened with SMART_KEY_PASSPHRASE, if that is set; else you are asked on a terminal.
"""


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command(help=_HELP)(expanded(token))


def token(
    who: Who,
    way: Way,
    output: Output,
    keeping: Keeping,
    scope: Annotated[
        str, typer.Option(help="Scopes, separated by blanks.", metavar="S", envvar="SMART_SCOPE")
    ] = DEFAULT_SCOPE,
    fresh: Fresh = False,
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
    store = keeping.open(findings)
    with way.client(config, store) as client, waiting("Asking the server for a token…", quiet=output.json):
        try:
            issued = _token(client, store, scope, fresh=fresh)
        except OAuthError as exc:
            if exc.error == "invalid_client":
                exc.advice = f"{exc.advice} To find out why, run: {doctor_line(who, way, scope)}"
            raise
    output.show(issued, [*findings, *issued.findings])


def _token(client: SmartClient, store: FileStore | None, scope: str, *, fresh: bool) -> Token:
    if store is None:
        return client.backend_token(scope)
    kept = Kept(store, client.config)
    session = kept.find(client, "token", scope)
    if session is None:
        session = client.backend_session(scope)
        issued = session.renew() if fresh else session.get_token()
    else:
        issued = session.renew() if fresh else usable_token(session)
    kept.keep("token", scope, session)
    return issued
