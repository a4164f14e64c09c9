"""`token`: an access token for the client itself (Backend Services)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from smart_async.cli.keys import Algorithm, read_key
from smart_async.cli.options import (
    AllowInsecureLoopback,
    CaFile,
    FollowRedirects,
    HttpLibrary,
    Json,
    Library,
    Proxy,
    Timeout,
    timeouts,
)
from smart_async.cli.output import console, finding_members, note, print_json
from smart_async.cli.tables import heading, members_table
from smart_async.clients import SmartClient
from smart_async.messages import Finding, Secret
from smart_async.smart.backend import DEFAULT_SCOPE
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.config import SmartConfig
from smart_async.smart.tokens import Token
from smart_async.transports import open_transport

__all__ = ("add_to", "token")

_HELP = """
Get a token for the client itself, with no user involved (SMART Backend Services).

The access token is masked unless --show-token is given. With --json it is always in the output, under
access_token: that is the form for programs, so keep it out of logs.

An encrypted key is opened with SMART_KEY_PASSPHRASE, if that is set; else you are asked on a terminal.
"""


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command(help=_HELP)(token)


def token(
    fhir_base: Annotated[str, typer.Option(help="The FHIR base URL.", metavar="URL", envvar="FHIR_BASE_URL")],
    client_id: Annotated[
        str, typer.Option(help="The registered client id.", metavar="ID", envvar="SMART_CLIENT_ID")
    ],
    key: Annotated[
        Path,
        typer.Option(help="File with the private key.", metavar="F", envvar="SMART_PRIVATE_KEY_PATH"),
    ],
    kid: Annotated[
        str | None,
        typer.Option(help="The key's id, if not its thumbprint.", metavar="K", envvar="SMART_KEY_ID"),
    ] = None,
    jku: Annotated[
        str | None,
        typer.Option(
            help="The registered JWK Set URL, if the server wants it named.",
            metavar="URL",
            envvar="SMART_JWKS_URI",
        ),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="Scopes, separated by blanks.", metavar="S", envvar="SMART_SCOPE")
    ] = DEFAULT_SCOPE,
    alg: Annotated[
        Algorithm | None, typer.Option(help="What to sign with; by default, what fits the key.")
    ] = None,
    show_token: Annotated[
        bool, typer.Option("--show-token", help="Print the access token instead of masking it.")
    ] = False,
    json: Json = False,
    transport: HttpLibrary = Library.HTTPX,
    allow_insecure_loopback: AllowInsecureLoopback = False,
    follow_redirects: FollowRedirects = False,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    timeout: Timeout = None,
) -> None:
    """Get a token for the client itself."""
    findings: list[Finding] = []
    config = SmartConfig(
        fhir_base=fhir_base,
        client_id=client_id,
        client_auth=PrivateKeyJWT(read_key(key, kid, findings, alg.value if alg else None), jku=jku),
        scope=scope,
        allow_insecure_loopback=allow_insecure_loopback,
        follow_discovery_redirects=follow_redirects,
    )
    way = open_transport(transport.value, proxy=proxy, ca_file=ca_file)
    try:
        issued = SmartClient(config, transport=way, timeouts=timeouts(timeout)).backend_token(scope)
    finally:
        way.close()
    findings.extend(issued.findings)
    if json:
        print_json(_members(issued, findings))
    else:
        _show(issued, findings, show_token=show_token)


def _members(issued: Token, findings: list[Finding]) -> dict[str, Any]:
    return {
        "token_type": issued.token_type,
        "access_token": issued.access_token.reveal(),
        "expires_at": issued.expires_at,
        "expires_in": None if issued.expires_at is None else max(0, int(issued.expires_at - time.time())),
        "scope": str(issued.scopes),
        "fhir_base": issued.binding.fhir_base,
        "findings": [finding_members(finding) for finding in findings],
    }


def _show(issued: Token, findings: list[Finding], *, show_token: bool) -> None:
    screen = console()
    screen.print(heading(f"Access token for {issued.binding.client_id} at {issued.binding.fhir_base}"))
    members = {
        "token type": issued.token_type,
        "expires": _expiry(issued),
        "scopes": str(issued.scopes),
        "access token": _masked(issued.access_token),
    }
    if show_token:
        del members["access token"]
    screen.print(members_table(members))
    if show_token:  # on a line of its own and unbroken, to be copied
        screen.print(issued.access_token.reveal(), soft_wrap=True)
    else:
        note("The token is hidden; --show-token prints it, and --json prints it for programs.")
    for finding in findings:
        note(str(finding))


def _masked(secret: Secret) -> str:
    return f"<secret, {len(secret.reveal())} characters>"


def _expiry(issued: Token) -> str:
    if issued.expires_at is None:
        return "the server does not say; use it until the FHIR server answers 401"
    moment = datetime.fromtimestamp(issued.expires_at, UTC)
    return f"in {max(0, round(issued.expires_at - time.time()))} s, at {moment:%Y-%m-%d %H:%M:%S} UTC"
