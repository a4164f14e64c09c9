"""How a token is handed out: masked for people, whole for programs that ask for it."""

from __future__ import annotations

import shlex
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from smart_async._values import dataclass
from smart_async.cli.options import Json
from smart_async.cli.output import console, finding_members, note, print_json
from smart_async.cli.tables import heading, members_table
from smart_async.errors import ConfigurationError
from smart_async.messages import Finding, Secret
from smart_async.smart.tokens import Token

__all__ = ("VARIABLE", "Output")

VARIABLE = "SMART_ACCESS_TOKEN"
"""The variable that --export sets."""

_OUTPUT = "What is printed"
_NOTICED = 2
"""Seconds after which a token must have come from the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """
    The form in which a token is printed.

    Args:
        json: As a JSON object.
        header: As a header field.
        export: As a line for a shell.
        show_token: Not masked in the table for people.
    """

    json: Json = False
    header: Annotated[
        bool,
        typer.Option(
            "--header",
            help="Print `Authorization: Bearer …`, for curl -H @-.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False
    export: Annotated[
        bool,
        typer.Option(
            "--export",
            help=f"Print a line for the shell that sets {VARIABLE}.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False
    show_token: Annotated[
        bool,
        typer.Option(
            "--show-token",
            help="Print the access token instead of masking it.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False

    def check(self) -> None:
        """
        Refuse two forms at once, before anything is sent.

        Raises:
            ConfigurationError: If there is more than one.
        """
        if sum((self.json, self.header, self.export, self.show_token)) > 1:
            raise ConfigurationError(
                "Of --json, --header, --export and --show-token only one can be had at a time.",
                field="output",
            )

    def show(self, issued: Token, findings: list[Finding]) -> None:
        """
        Print *issued* on stdout, and what was odd on stderr.

        Args:
            issued: The token.
            findings: What was odd.
        """
        token = issued.access_token.reveal()
        if self.json:
            print_json(_members(issued, findings))
            return
        if self.header:
            sys.stdout.write(f"Authorization: Bearer {token}\n")
        elif self.export:
            sys.stdout.write(f"export {VARIABLE}={shlex.quote(token)}\n")
        else:
            _table(issued, show_token=self.show_token)
        sys.stdout.flush()
        if (self.header or self.export) and (age := _age(issued)):
            note(f"This token was kept {age}.")
        for finding in findings:
            note(str(finding))


def _members(issued: Token, findings: list[Finding]) -> dict[str, Any]:
    return {
        "token_type": issued.token_type,
        "access_token": issued.access_token.reveal(),
        "issued_at": issued.issued_at,
        "expires_at": issued.expires_at,
        "expires_in": None if issued.expires_at is None else max(0, int(issued.expires_at - time.time())),
        "scope": str(issued.scopes),
        "fhir_base": issued.binding.fhir_base,
        "patient": issued.context.patient,
        "encounter": issued.context.encounter,
        "fhir_user": _user(issued),
        "renewable": issued.refresh_token is not None,
        "findings": [finding_members(finding) for finding in findings],
    }


def _table(issued: Token, *, show_token: bool) -> None:
    screen = console()
    screen.print(heading(f"Access token for {issued.binding.client_id} at {issued.binding.fhir_base}"))
    members = {
        "token type": issued.token_type,
        "kept": _age(issued),
        "expires": _expiry(issued),
        "scopes": str(issued.scopes),
        "patient": issued.context.patient,
        "encounter": issued.context.encounter,
        "user": _user(issued),
        "renewable": "yes, without the user" if issued.refresh_token else None,
        "access token": None if show_token else _masked(issued.access_token),
    }
    screen.print(members_table({name: value for name, value in members.items() if value is not None}))
    if show_token:  # on a line of its own and unbroken, to be copied
        screen.print(issued.access_token.reveal(), soft_wrap=True)
    else:
        note(
            "The token is hidden; --show-token prints it, --header and --export print it for a shell, and "
            "--json for programs."
        )


def _user(issued: Token) -> str | None:
    user = issued.identity.fhir_user if issued.identity else None
    return None if user is None else user.reference


def _age(issued: Token) -> str | None:
    age = round(time.time() - issued.issued_at)
    return f"for {age} s; --fresh gets another" if age >= _NOTICED else None


def _masked(secret: Secret) -> str:
    return f"<secret, {len(secret.reveal())} characters>"


def _expiry(issued: Token) -> str:
    if issued.expires_at is None:
        return "the server does not say; use it until the FHIR server answers 401"
    moment = datetime.fromtimestamp(issued.expires_at, UTC)
    return f"in {max(0, round(issued.expires_at - time.time()))} s, at {moment:%Y-%m-%d %H:%M:%S} UTC"
