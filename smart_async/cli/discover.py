"""`discover`: what a server says of itself, and where that differs from the specification."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from smart_async.cli.capability_words import in_plain_words
from smart_async.cli.groups import expanded
from smart_async.cli.options import Json
from smart_async.cli.output import REFUSED, console, finding_members, note, print_json
from smart_async.cli.progress import waiting
from smart_async.cli.tables import heading, members_table
from smart_async.cli.way import Way
from smart_async.messages import Finding
from smart_async.smart.client_secret import PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import SmartMetadata

__all__ = ("add_to", "discover")

_LISTS = (
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "code_challenge_methods_supported",
    "response_types_supported",
    "scopes_supported",
)
_URLS = (
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "registration_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "management_endpoint",
    "smart_app_state_endpoint",
    "user_access_brand_bundle",
)
# From worst to harmless: what each severity is called, what it means, and its style.
_SEVERITIES = (
    ("error", "breaks what the specification demands (SHALL)", "bold red"),
    ("warning", "is not as it should be, or works by tolerance only", "yellow"),
    ("info", "worth knowing", "cyan"),
)


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command()(expanded(discover))


def discover(
    fhir_base: Annotated[
        str, typer.Argument(help="The FHIR base URL.", metavar="FHIR_BASE", envvar="FHIR_BASE_URL")
    ],
    way: Way,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 3 if the document breaks the specification (an error)."),
    ] = False,
    json: Json = False,
) -> int:
    """
    Show a server's endpoints and abilities, and where its document breaks the specification.

    Each finding has the id of its rule, and says what to do about it. Nothing secret is sent.
    """
    metadata = _ask(fhir_base, way, quiet=json)
    findings = metadata.conformance()
    if json:
        found = [finding_members(finding) for finding in findings]
        print_json({"fhir_base": fhir_base, "metadata": dict(metadata.raw), "findings": found})
    else:
        _report(console(), metadata, findings)
    if not strict or all(finding.severity != "error" for finding in findings):
        return 0
    if not json:
        note("Error: The document breaks the specification; see the errors above.")
    return REFUSED


def _ask(fhir_base: str, way: Way, *, quiet: bool) -> SmartMetadata:
    config = SmartConfig(
        fhir_base=fhir_base,
        client_id="nobody",  # discovery sends no client id; there is only no configuration without one
        client_auth=PublicClient(),
        allow_insecure_loopback=way.allow_insecure_loopback,
        follow_discovery_redirects=way.follow_redirects,
    )
    with way.client(config) as client, waiting("Asking the server what it offers…", quiet=quiet):
        return client.discover()


def _report(screen: Console, metadata: SmartMetadata, findings: tuple[Finding, ...]) -> None:
    screen.print(heading(f"SMART configuration of {metadata.fhir_base}"))
    endpoints: dict[str, Any] = {name: getattr(metadata, name) for name in _URLS}
    screen.print(members_table({name: value for name, value in endpoints.items() if value}))
    screen.print()
    for name in _LISTS:
        values: tuple[str, ...] = getattr(metadata, name)
        screen.print(members_table({name: ", ".join(values) or "(not said)"}))
    known = {*_URLS, *_LISTS, "capabilities", "associated_endpoints", "user_access_brand_identifier"}
    others = ", ".join(name for name in metadata.raw if name not in known)
    if others:
        screen.print(members_table({"other members": others}))
    _capabilities(screen, metadata.capabilities)
    _conformance(screen, findings)


def _capabilities(screen: Console, capabilities: tuple[str, ...]) -> None:
    screen.print()
    screen.print(heading("What it says it can do"))
    known, sets, unknown = in_plain_words(capabilities)
    if not capabilities:
        screen.print("  (not said)")
    screen.print(members_table(known))
    if unknown:
        screen.print(members_table({"not defined by SMART": ", ".join(unknown)}))
    if sets:
        screen.print(
            members_table(
                {"which amounts to": "; ".join(f"{words} ({name})" for name, words in sets.items())}
            )
        )


def _conformance(screen: Console, findings: tuple[Finding, ...]) -> None:
    screen.print()
    screen.print(heading("Conformance"))
    if not findings:
        screen.print("  Nothing was found against the specification.")
        return
    screen.print(f"  {_counted(findings)}")
    for severity, meaning, style in _SEVERITIES:
        group = [finding for finding in findings if finding.severity == severity]
        if group:
            screen.print()
            screen.print(Text(f"  {severity}: {meaning}", style=style))
        for finding in group:
            screen.print(members_table({f"{severity} {finding.rule}": finding.message}, style=style))
            if finding.advice:
                screen.print(members_table({"": f"-> {finding.advice}"}))


def _counted(findings: tuple[Finding, ...]) -> str:
    counts = [
        (sum(finding.severity == severity for finding in findings), severity)
        for severity, _, _ in _SEVERITIES
    ]
    return ", ".join(
        f"{count} {severity}" if count == 1 or severity == "info" else f"{count} {severity}s"
        for count, severity in counts
        if count
    )
