"""`doctor`: why the server says `invalid_client`, or never gets that far."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from smart_async.cli.command import how_to_call
from smart_async.cli.groups import expanded
from smart_async.cli.options import Json, Library, client_certificate, timeouts
from smart_async.cli.output import NO_ANSWER, REFUSED, WRONG_INPUT, console, in_cli_words, print_json
from smart_async.cli.progress import waiting
from smart_async.cli.tables import heading, members_table, plain
from smart_async.cli.way import Way
from smart_async.cli.who import SecretMethod, Who
from smart_async.clients._diagnosis import diagnose
from smart_async.errors import ConfigurationError
from smart_async.messages import Finding
from smart_async.smart.backend import DEFAULT_SCOPE
from smart_async.smart.client_secret import PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.diagnosis import Cause, Check, Diagnosis

__all__ = ("add_to", "doctor", "doctor_line")

_HELP = """
Find out why the server says invalid_client, or never gets that far.

It looks at the key, the published JWK Set, the clocks, the server's document, the token endpoint and its
certificate, and the client assertion as it would be sent. With --try a token is asked for as well, and the
answer read; the token is thrown away. The report is safe to paste into a ticket.

It exits with 0 if nothing is wrong, 2 if it is the key or a setting, 3 if the server is asked and says no (or
will), and 4 if it cannot be reached.
"""
_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}
_OURS = ("configuration", "key-", "signing-")
_SILENT = ("no-answer", "host-", "proxy-", "tls-", "server-unreachable")


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command(help=_HELP)(expanded(doctor))


def doctor(
    who: Who,
    way: Way,
    scope: Annotated[
        str, typer.Option(help="Scopes, separated by blanks.", metavar="S", envvar="SMART_SCOPE")
    ] = DEFAULT_SCOPE,
    jwks_url: Annotated[
        str | None, typer.Option(help="Where your public keys are published.", metavar="URL")
    ] = None,
    registered_jwks_url: Annotated[
        str | None,
        typer.Option(help="The JWK Set URL as it is registered with the server.", metavar="URL"),
    ] = None,
    try_token: Annotated[
        bool, typer.Option("--try", help="Ask for a token as well, and read the answer.")
    ] = False,
    json: Json = False,
) -> int:
    """Find out why the server refuses a client."""
    findings: list[Finding] = []
    config, problem = _config(who, way, scope, findings)
    with waiting("Looking at the key, the server and what is between them…", quiet=json):
        found = diagnose(
            config,
            try_token=try_token,
            scope=scope,
            jwks_url=jwks_url,
            registered_jwks_url=registered_jwks_url,
            key_problem=problem,
            findings=findings,
            transport=way.transport.value,
            proxy=way.proxy,
            ca_file=way.ca_file,
            cert=client_certificate(way.client_cert, way.client_key),
            trust_env=way.trust_env,
            timeouts=timeouts(way.timeout),
        )
    if json:
        print_json(found.to_dict())
    else:
        _report(console(), found)
    return _exit_code(found)


def _config(
    who: Who, way: Way, scope: str, findings: list[Finding]
) -> tuple[SmartConfig | None, ConfigurationError | None]:
    # What cannot be used is left out, so that everything else is looked at all the same.
    problem: ConfigurationError | None = None
    for attempt in (who, replace(who, jku=None), replace(who, jku=None, key=None)):
        try:
            config = attempt.config(way, findings, scope=scope)
        except ConfigurationError as exc:
            problem = problem or exc
            continue
        if problem is None and isinstance(config.client_auth, PublicClient):
            problem = ConfigurationError("There is nothing the client could prove itself with.", field="key")
        return config, problem
    return None, problem


def _exit_code(found: Diagnosis) -> int:
    if not found.causes:
        return 0
    first = found.causes[0].id
    if first.startswith(_OURS) and first != "key-unknown":  # that one is what the server does not know
        return WRONG_INPUT
    return NO_ANSWER if first.startswith(_SILENT) else REFUSED


def _report(screen: Console, found: Diagnosis) -> None:
    place = f"{found.client_id} at {found.fhir_base}" if found.fhir_base else "no usable configuration"
    screen.print(heading(f"Doctor: {place}"))
    style = "bold red" if found.causes else "bold green" if found.granted else "bold yellow"
    screen.print(Text(f"{in_cli_words(found.summary)}\n", style=style))
    for number, each in enumerate(found.causes, 1):
        screen.print(_cause(number, each))
    screen.print(heading("What was looked at"))
    told = {each.fix for each in found.causes}
    for check in found.checks:
        screen.print(_check(check, "" if check.fix in told else check.fix))
    if found.assertion is not None:
        for part in ("header", "claims", "times"):
            _part(screen, f"The assertion's {part}", found.assertion[part])
    if found.server:
        _part(screen, "What the server said", found.server)
    if found.vendor_notes:
        screen.print(heading(f"\nWhat is known of {found.vendor}"))
        for text in found.vendor_notes:
            screen.print(Padding(Text(f"- {text}"), (0, 0, 0, 2)))
    screen.print(Text("\nSafe to paste: no key, secret, token or signature is in this report.", style="dim"))


def _part(screen: Console, title: str, members: Mapping[str, Any]) -> None:
    screen.print(heading(f"\n{title}"))
    screen.print(members_table(members))


def _cause(number: int, cause: Cause) -> RenderableType:
    lines = [Text(f"{number}. {cause.title}", style="bold")]
    lines += [Text(f"   {in_cli_words(plain(cause.explanation))}")]
    lines += [Text(f"   Fix: {in_cli_words(cause.fix)}\n", style="cyan")]
    return Padding(Group(*(_hung(line) for line in lines)), (0, 0, 0, 2))


def _hung(line: Text) -> RenderableType:
    indent = len(line.plain) - len(line.plain.lstrip())
    return Padding(line[indent:] if indent else line, (0, 0, 0, indent))


def _check(check: Check, fix: str) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=9)
    grid.add_column(width=22)
    grid.add_column(overflow="fold")
    text = Text(in_cli_words(plain(check.explanation)))
    if fix:
        _ = text.append(f" {in_cli_words(fix)}", style="dim" if check.status == "ok" else "cyan")
    for detail in check.details:
        _ = text.append(f"\n{plain(detail)}", style="dim")
    grid.add_row(Text(check.status, style=_STYLES[check.status]), check.title, text)
    return Padding(grid, (0, 0, 0, 2))


def doctor_line(who: Who, way: Way, scope: str) -> str:
    """
    Return what to type to have a refusal explained.

    Args:
        who: The client that was refused.
        way: The way to the server. A password in the proxy's address is left out.
        scope: The scopes that were asked for.
    """
    proxy = way.proxy if way.proxy and "@" not in way.proxy else None
    options: dict[str, str | Path | float | None] = {
        "--fhir-base": who.fhir_base,
        "--client-id": who.client_id,
        "--registration": who.registration,
        "--key": who.key,
        "--kid": who.kid,
        "--jku": who.jku,
        "--alg": who.alg.value if who.alg else None,
        "--secret-method": who.secret_method.value if who.secret_method is not SecretMethod.BASIC else None,
        "--vendor": who.vendor,
        "--token-endpoint": who.token_endpoint,
        "--assertion-audience": who.assertion_audience,
        "--assertion-lifetime": who.assertion_lifetime,
        "--transport": way.transport.value if way.transport is not Library.HTTPX else None,
        "--proxy": proxy,
        "--ca-file": way.ca_file,
        "--client-cert": way.client_cert,
        "--client-key": way.client_key,
        "--timeout": way.timeout,
        "--scope": scope if scope != DEFAULT_SCOPE else None,
    }
    flags = {
        "--secret-prompt": who.secret_prompt,
        "--allow-insecure-loopback": way.allow_insecure_loopback,
        "--follow-redirects": way.follow_redirects,
        "--trust-env": way.trust_env,
        "--try": True,
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    words += [word for origin in who.trusted_origin or () for word in ("--trusted-origin", origin)]
    return f"{how_to_call()} doctor {shlex.join([*words, *(name for name, on in flags.items() if on)])}"
