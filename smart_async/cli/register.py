"""`register`: a client id without a portal (RFC 7591)."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from smart_async._values import dataclass
from smart_async.cli.groups import expanded
from smart_async.cli.keys import Algorithm, read_key
from smart_async.cli.options import Json, key_file, key_id
from smart_async.cli.output import finding_members, note, print_json
from smart_async.cli.private import PrivateFile, read_stdin
from smart_async.cli.progress import waiting
from smart_async.cli.way import Way
from smart_async.cli.who import Base
from smart_async.clients import SmartClient
from smart_async.errors import ConfigurationError, RegistrationChangedError
from smart_async.messages import Finding, Secret
from smart_async.smart.backend import DEFAULT_SCOPE
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.client_secret import PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.tokens import is_token

__all__ = ("add_to", "register")

_TOKEN = "SMART_INITIAL_ACCESS_TOKEN"
_SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"
_CLIENT = "The client"
_HELP = f"""
Register a client with a server that lets programs do so, and print its client id.

An app has --redirect-uri and signs users in; --backend is for a job without users. With --key or --jwks-uri
the client proves itself by signatures, and only the public half of the key is sent. Without, an app gets a
secret, or none with --public.

Keep what --out writes: the secret, and the token that manages the registration, are told only once. The other
commands read it with --registration.

If the server asks for an initial access token, set {_TOKEN} or pipe it in with
--initial-access-token-stdin.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """
    The client to register.

    Args:
        name: What users see.
        backend: A client without users.
        public: A client that can keep no secret.
        redirect_uri: Where logins come back to.
        scope: All that it will ask for.
        key: The file with its private key.
        kid: The key's id.
        alg: What it signs with.
        jwks_uri: Where its public keys are published.
    """

    name: Annotated[
        str | None, typer.Option(help="What users see.", metavar="NAME", rich_help_panel=_CLIENT)
    ] = None
    backend: Annotated[
        bool, typer.Option("--backend", help="A client without users.", rich_help_panel=_CLIENT)
    ] = False
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="An app that can keep neither key nor secret.", rich_help_panel=_CLIENT
        ),
    ] = False
    redirect_uri: Annotated[
        list[str] | None,
        typer.Option(
            help="Where logins come back to; may be repeated.",
            metavar="URL",
            envvar="SMART_REDIRECT_URI",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    scope: Annotated[
        str | None,
        typer.Option(
            help=f"All that it will ever ask for; '{DEFAULT_SCOPE}' for a backend client, else '{_SCOPE}'.",
            metavar="S",
            envvar="SMART_SCOPE",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    key: Annotated[Path | None, key_file(_CLIENT)] = None
    kid: Annotated[str | None, key_id(_CLIENT)] = None
    alg: Annotated[
        Algorithm | None,
        typer.Option(help="What it signs with; by default, what fits the key.", rich_help_panel=_CLIENT),
    ] = None
    jwks_uri: Annotated[
        str | None,
        typer.Option(
            help="The https URL where its public keys are, in the place of --key.",
            metavar="URL",
            envvar="SMART_JWKS_URI",
            rich_help_panel=_CLIENT,
        ),
    ] = None

    @property
    def gets_secret(self) -> bool:
        """Whether the server will make up a secret for it."""
        return not (self.backend or self.public or self.key or self.jwks_uri)

    def metadata(self, findings: list[Finding]) -> ClientMetadata:
        """
        Return what is sent about the client.

        Args:
            findings: A list to which remarks about the key file are added.

        Raises:
            ConfigurationError: If the options contradict each other.
        """
        self._check()
        # Keys that can be looked up win: they can be changed without registering again.
        alg = self.alg.value if self.alg else None
        keys = [] if self.key is None or self.jwks_uri else [read_key(self.key, self.kid, findings, alg)]
        if self.backend:
            return ClientMetadata.for_backend(
                *keys, jwks_uri=self.jwks_uri, scope=self.scope or DEFAULT_SCOPE, client_name=self.name
            )
        return ClientMetadata.for_app(
            *keys,
            redirect_uris=self.redirect_uri or [],
            scope=self.scope or _SCOPE,
            jwks_uri=self.jwks_uri,
            public=self.public,
            client_name=self.name,
        )

    def _check(self) -> None:
        if self.backend and self.redirect_uri:
            raise ConfigurationError(
                "A backend client has no users, so nobody comes back to a redirect URI.",
                field="backend",
                advice="Leave out --backend, or --redirect-uri (SMART_REDIRECT_URI).",
            )
        if self.backend and not (self.key or self.jwks_uri):
            raise ConfigurationError(
                "A backend client registers its public keys.", field="key", advice="Give --key or --jwks-uri."
            )
        if not self.backend and not self.redirect_uri:
            raise ConfigurationError(
                "An app needs to know where logins come back to.",
                field="redirect_uri",
                advice="Give --redirect-uri URL, or --backend for a client without users.",
            )


def add_to(app: typer.Typer) -> None:
    """Add this command to *app*."""
    _ = app.command(help=_HELP)(expanded(register))


def register(
    fhir_base: Base,
    client: Client,
    way: Way,
    out: Annotated[
        Path | None, typer.Option(help="File for the registration (mode 0600).", metavar="F")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite F if it is there.")] = False,
    initial_access_token_stdin: Annotated[
        bool,
        typer.Option(
            "--initial-access-token-stdin", help=f"Read what permits this from stdin, not {_TOKEN}."
        ),
    ] = False,
    allow_change: Annotated[
        list[str] | None,
        typer.Option(help="A member that the server may register otherwise; may be repeated.", metavar="M"),
    ] = None,
    json: Json = False,
) -> None:
    """Register a client, and print its client id."""
    findings: list[Finding] = []
    metadata = client.metadata(findings)
    if client.gets_secret and out is None:
        raise ConfigurationError(
            "The server will make up a secret and tell it once, and there is nowhere to keep it.",
            field="out",
            advice="Give --out F, or --public for an app that keeps no secret.",
        )
    config = SmartConfig(
        fhir_base=fhir_base,
        client_id="nobody",  # registering sends none; there is only no configuration without one
        client_auth=PublicClient(),
        allow_insecure_loopback=way.allow_insecure_loopback,
        follow_discovery_redirects=way.follow_redirects,
    )
    token = _initial_access_token(stdin=initial_access_token_stdin)
    with ExitStack() as stack:
        file = None if out is None else stack.enter_context(PrivateFile(out, overwrite=force).reserved())
        http = stack.enter_context(way.client(config))
        with waiting("Registering…", quiet=json):
            registration = _register(http, metadata, token, allow_change or [], file)
    _show(registration, [*findings, *registration.findings], out, as_json=json)


def _register(
    client: SmartClient,
    metadata: ClientMetadata,
    token: Secret | None,
    allowed: list[str],
    file: PrivateFile | None,
) -> ClientRegistration:
    try:
        registration = client.register(metadata, initial_access_token=token, allow_changes=allowed)
    except RegistrationChangedError as exc:
        # The client exists: without its registration nobody could ever delete it.
        if file is not None and isinstance(exc.registration, ClientRegistration):
            file.write(exc.registration.to_json())
        raise
    if file is not None:
        file.write(registration.to_json())
    return registration


def _initial_access_token(*, stdin: bool) -> Secret | None:
    text = read_stdin(field="initial_access_token") if stdin else os.environ.get(_TOKEN, "")
    token = Secret(text.strip())
    if not token and not stdin:
        return None
    if not is_token(token):
        raise ConfigurationError(
            "The initial access token cannot be one: it is empty, too long, or holds blanks.",
            field="initial_access_token",
        )
    return token


def _show(
    registration: ClientRegistration, findings: list[Finding], out: Path | None, *, as_json: bool
) -> None:
    if as_json:
        print_json(_members(registration, findings, out))
        return
    sys.stdout.write(registration.client_id + "\n")
    sys.stdout.flush()
    method = registration.metadata.token_endpoint_auth_method
    note(f"Registered at {registration.binding.fhir_base}, to authenticate by {method}.")
    if out is not None:
        note(
            f"Everything that the server told is in {out}, mode 0600; keep it. --registration {out} uses it."
        )
    elif registration.registration_access_token is not None:
        note("The token that could change or delete this registration is not kept: there was no --out.")
    for finding in findings:
        note(str(finding))


def _members(registration: ClientRegistration, findings: list[Finding], out: Path | None) -> dict[str, Any]:
    return {
        "client_id": registration.client_id,
        "client_id_issued_at": registration.client_id_issued_at,
        "client_secret_issued": registration.client_secret is not None,
        "client_secret_expires_at": registration.client_secret_expires_at,
        "registration_client_uri": registration.registration_client_uri,
        "fhir_base": registration.binding.fhir_base,
        "metadata": registration.metadata.to_members(),
        "saved_to": None if out is None else str(out),
        "findings": [finding_members(finding) for finding in findings],
    }
