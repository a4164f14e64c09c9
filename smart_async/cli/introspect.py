"""`introspect` and `revoke`: what a token is still good for, and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import typer

from smart_async.cli.given_token import TokenFile, given_token, read_token
from smart_async.cli.groups import expanded
from smart_async.cli.keeping import Keeping, kept_tokens, only
from smart_async.cli.masking import Masker
from smart_async.cli.options import Json
from smart_async.cli.output import console, finding_members, note, print_json
from smart_async.cli.progress import waiting
from smart_async.cli.tables import heading, members_table
from smart_async.cli.way import Way
from smart_async.cli.who import Who
from smart_async.clients import SmartClient
from smart_async.messages import Finding, Secret
from smart_async.smart.introspection import TokenStatus
from smart_async.smart.tokens import Token
from smart_async.stores import FileStore

__all__ = ("add_to", "introspect", "revoke")

_INTROSPECT = """
Ask the server what a token is still good for. That it is good for nothing is an answer too, and exit code 0.

The token comes from standard input or from --token-file; else it is the one that login or token kept.
It is never on the command line, where every user of this machine could read it.
"""
_REVOKE = """
Tell the server that a token is no longer needed, so that nobody can use it any more.

The token comes from standard input or from --token-file; else it is the one that login or token kept.
It is never on the command line, where every user of this machine could read it.

Of a kept token, and of one stored by Token.to_json(), the refresh token is revoked as well.
"""


Stored: TypeAlias = Annotated[
    bool, typer.Option("--stored", help="Take the token that login or token kept, and read no stdin.")
]
KeptScope: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scope",
        help="Which of several kept tokens: the scopes that it was asked for with.",
        metavar="S",
        envvar="SMART_SCOPE",
    ),
]


class Asker(StrEnum):
    """Who asks at the introspection endpoint."""

    CLIENT = "client"
    BEARER = "bearer"
    NONE = "none"


def add_to(app: typer.Typer) -> None:
    """Add these commands to *app*."""
    _ = app.command(help=_INTROSPECT)(expanded(introspect))
    _ = app.command(help=_REVOKE)(expanded(revoke))


def introspect(
    who: Who,
    way: Way,
    keeping: Keeping,
    token_file: TokenFile = None,
    stored: Stored = False,
    scope: KeptScope = None,
    asker: Annotated[
        Asker | None,
        typer.Option(help="Ask as the client, with the token itself, or as nobody in particular."),
    ] = None,
    json: Json = False,
) -> None:
    """Ask the server what a token is still good for."""
    findings: list[Finding] = []
    config = who.config(way, findings)
    if asker is not None:
        config = replace(config, introspection_auth=asker.value)
    text = None if stored else given_token(token_file)
    store = keeping.open(findings)
    with way.client(config, store) as client, waiting("Asking the server about the token…", quiet=json):
        token = _token(client, store, scope, text)
        status = client.introspect(token)
    findings.extend(status.findings)
    if json:
        print_json(_members(status, token.access_token, findings))
    else:
        _show(status, findings)


def revoke(
    who: Who,
    way: Way,
    keeping: Keeping,
    token_file: TokenFile = None,
    stored: Stored = False,
    scope: KeptScope = None,
    json: Json = False,
) -> None:
    """Tell the server that a token is no longer needed."""
    findings: list[Finding] = []
    config = who.config(way, findings)
    text = None if stored else given_token(token_file)
    store = keeping.open(findings)
    with way.client(config, store) as client, waiting("Revoking the token…", quiet=json):
        token = _token(client, store, scope, text)
        # A session would go on giving it out.
        gone = [each for each in kept_tokens(client, store, None) if each.shares(token)]
        client.revoke(token)
        for each in gone:
            each.forget()
    if json:
        found = [finding_members(finding) for finding in findings]
        members = {"revoked": True, "fhir_base": config.fhir_base, "client_id": config.client_id}
        print_json({**members, "findings": found})
        return
    console().print("Revoked: the server has been told that the token is no longer needed.")
    for finding in findings:
        note(str(finding))


def _token(client: SmartClient, store: FileStore | None, scope: str | None, text: Secret | None) -> Token:
    return only(kept_tokens(client, store, scope)).token if text is None else read_token(client, text)


def _members(status: TokenStatus, text: Secret, findings: list[Finding]) -> dict[str, Any]:
    masker = Masker()  # some servers repeat the token in their answer
    _ = masker.mask(text.reveal())
    return {
        "active": status.active,
        "scope": str(status.scopes),
        "client_id": status.client_id,
        "expires_at": status.expires_at,
        "patient": status.context.patient,
        "encounter": status.context.encounter,
        "fhir_user": status.fhir_user,
        "response": masker.member("", dict(status.raw)),
        "findings": [finding_members(finding) for finding in findings],
    }


def _show(status: TokenStatus, findings: list[Finding]) -> None:
    screen = console()
    screen.print(heading("The token is active" if status.active else "The token is not active"))
    if status.active:
        members = {
            "issued to": status.client_id,
            "scopes": str(status.scopes) or None,
            "expires": _moment(status.expires_at),
            "patient": status.context.patient,
            "encounter": status.context.encounter,
            "user": status.fhir_user,
        }
        screen.print(members_table({name: value for name, value in members.items() if value is not None}))
    else:
        screen.print("  Expired, revoked or unknown: a server tells these apart for nobody.")
    for finding in findings:
        note(str(finding))


def _moment(seconds: float | None) -> str | None:
    try:
        return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):  # the server's number need not be a moment
        return str(seconds)
