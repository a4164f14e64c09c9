"""`discover`: what a server says of itself, and where that differs from the specification."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

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
from smart_async.cli.output import console, finding_members, print_json
from smart_async.cli.tables import heading, members_table
from smart_async.clients import SmartClient
from smart_async.messages import Finding
from smart_async.smart.client_secret import PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import SmartMetadata
from smart_async.transports import open_transport

__all__ = ("add_to", "discover")

_LISTS = (
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "code_challenge_methods_supported",
    "response_types_supported",
    "scopes_supported",
    "capabilities",
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
_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command()(discover)


def discover(
    fhir_base: Annotated[
        str, typer.Argument(help="The FHIR base URL.", metavar="FHIR_BASE", envvar="FHIR_BASE_URL")
    ],
    json: Json = False,
    transport: HttpLibrary = Library.HTTPX,
    allow_insecure_loopback: AllowInsecureLoopback = False,
    follow_redirects: FollowRedirects = False,
    proxy: Proxy = None,
    ca_file: CaFile = None,
    timeout: Timeout = None,
) -> None:
    """Show a server's endpoints and abilities, and where its document breaks the specification."""
    config = SmartConfig(
        fhir_base=fhir_base,
        client_id="nobody",  # discovery sends no client id; there is only no configuration without one
        client_auth=PublicClient(),
        allow_insecure_loopback=allow_insecure_loopback,
        follow_discovery_redirects=follow_redirects,
    )
    metadata = _ask(config, transport, proxy, ca_file, timeout)
    findings = metadata.conformance()
    if json:
        found = [finding_members(finding) for finding in findings]
        print_json({"fhir_base": fhir_base, "metadata": dict(metadata.raw), "findings": found})
    else:
        _report(console(), metadata, findings)


def _ask(
    config: SmartConfig, library: Library, proxy: str | None, ca_file: Path | None, timeout: float | None
) -> SmartMetadata:
    way = open_transport(library.value, proxy=proxy, ca_file=ca_file)
    try:
        return SmartClient(config, transport=way, timeouts=timeouts(timeout)).discover()
    finally:
        way.close()


def _report(screen: Console, metadata: SmartMetadata, findings: tuple[Finding, ...]) -> None:
    screen.print(heading(f"SMART configuration of {metadata.fhir_base}"))
    endpoints: dict[str, Any] = {name: getattr(metadata, name) for name in _URLS}
    screen.print(members_table({name: value for name, value in endpoints.items() if value}))
    screen.print()
    for name in _LISTS:
        values: tuple[str, ...] = getattr(metadata, name)
        screen.print(members_table({name: ", ".join(values) or "(not said)"}))
    known = {*_URLS, *_LISTS, "associated_endpoints", "user_access_brand_identifier"}
    others = ", ".join(name for name in metadata.raw if name not in known)
    if others:
        screen.print(members_table({"other members": others}))
    screen.print()
    screen.print(heading("Conformance"))
    if not findings:
        screen.print("  Nothing was found against the specification.")
    for finding in findings:
        screen.print(
            members_table(
                {f"{finding.severity} {finding.rule}": _sentence(finding)}, style=_STYLES[finding.severity]
            )
        )


def _sentence(finding: Finding) -> str:
    return f"{finding.message} {finding.advice}".strip()
