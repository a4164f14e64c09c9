"""Who is asking: the options that name a client and what it proves itself with, and what they come to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from smart_async._values import dataclass
from smart_async.cli.keys import Algorithm, read_key
from smart_async.cli.options import has_terminal, key_file, key_id
from smart_async.cli.private import read_private
from smart_async.cli.way import Way
from smart_async.errors import ConfigurationError
from smart_async.messages import Finding, Secret
from smart_async.smart.client_auth import ClientAuth, PrivateKeyJWT
from smart_async.smart.client_registration import ClientRegistration
from smart_async.smart.client_secret import ClientSecret, PublicClient
from smart_async.smart.config import SmartConfig

__all__ = ("Base", "SecretMethod", "Who")

_CLIENT = "Who is asking"
_SECRET = "SMART_CLIENT_SECRET"


class SecretMethod(StrEnum):
    """How a client secret travels."""

    BASIC = "basic"
    POST = "post"


Base = Annotated[str, typer.Option(help="The FHIR base URL.", metavar="URL", envvar="FHIR_BASE_URL")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """
    A registered client.

    Args:
        fhir_base: The FHIR base URL.
        client_id: The client id.
        registration: A file that `register` wrote, in the place of client id, secret and redirect URI.
        key: The file with the private key.
        kid: The key's id.
        jku: The registered JWK Set URL.
        alg: What to sign with.
        secret_prompt: Ask for the client secret.
        secret_method: How the secret travels.
        vendor: The preset for a server that does things otherwise.
        trusted_origin: Other origins that may get credentials.
        token_endpoint: Takes the place of the discovered one.
        assertion_audience: The `aud` of client assertions.
        assertion_lifetime: Seconds from their `iat` to their `exp`.
    """

    fhir_base: Base
    client_id: Annotated[
        str | None,
        typer.Option(
            help="The registered client id.",
            metavar="ID",
            envvar="SMART_CLIENT_ID",
            rich_help_panel=_CLIENT,
            show_default=False,
        ),
    ] = None
    registration: Annotated[
        Path | None,
        typer.Option(
            help="A file written by register --out, with id, secret and redirect URI of the client.",
            metavar="F",
            envvar="SMART_REGISTRATION",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    key: Annotated[Path | None, key_file(_CLIENT)] = None
    kid: Annotated[str | None, key_id(_CLIENT)] = None
    jku: Annotated[
        str | None,
        typer.Option(
            help="The registered JWK Set URL, if the server wants it named.",
            metavar="URL",
            envvar="SMART_JWKS_URI",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    alg: Annotated[
        Algorithm | None,
        typer.Option(help="What to sign with; by default, what fits the key.", rich_help_panel=_CLIENT),
    ] = None
    secret_prompt: Annotated[
        bool,
        typer.Option(
            "--secret-prompt",
            help=f"Ask for the client secret. {_SECRET}, if set, is taken unasked.",
            rich_help_panel=_CLIENT,
        ),
    ] = False
    secret_method: Annotated[
        SecretMethod,
        typer.Option(
            help="Send the secret in the Authorization header (basic) or the form (post).",
            rich_help_panel=_CLIENT,
        ),
    ] = SecretMethod.BASIC
    vendor: Annotated[
        str | None,
        typer.Option(
            help="Preset for a server that does things otherwise, such as epic.",
            metavar="NAME",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    trusted_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Another origin (https://host) of this server that may get credentials; may be repeated.",
            metavar="URL",
            rich_help_panel=_CLIENT,
        ),
    ] = None

    token_endpoint: Annotated[
        str | None,
        typer.Option(
            help="The token endpoint, if the server's document names none or another.",
            metavar="URL",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    assertion_audience: Annotated[
        str | None,
        typer.Option(
            help="The aud of client assertions, if the server wants another than its token endpoint.",
            metavar="AUD",
            rich_help_panel=_CLIENT,
        ),
    ] = None
    assertion_lifetime: Annotated[
        int | None,
        typer.Option(
            help="Seconds from iat to exp in client assertions: 61 to 300, which is the default.",
            metavar="SECONDS",
            rich_help_panel=_CLIENT,
        ),
    ] = None

    def config(
        self, way: Way, findings: list[Finding], *, scope: str = "", redirect_uri: str | None = None
    ) -> SmartConfig:
        """
        Return the configuration that the options mean.

        Args:
            way: How the server is reached.
            findings: A list to which remarks about files are added.
            scope: The scopes to ask for.
            redirect_uri: Where logins come back to.

        Raises:
            ConfigurationError: If the client has no id, or two ways to prove itself.
        """
        registered = self.registered()
        config = SmartConfig(
            fhir_base=self.fhir_base,
            client_id=self.client_id or (registered.client_id if registered else _no_client_id()),
            client_auth=self._client_auth(findings),
            redirect_uri=redirect_uri,
            scope=scope,
            vendor=self.vendor,
            trusted_origins=tuple(self.trusted_origin or ()),
            allow_insecure_loopback=way.allow_insecure_loopback,
            follow_discovery_redirects=way.follow_redirects,
            **self._knobs(),
        )
        if registered is None:
            return config
        if config.client_id != registered.client_id:
            raise ConfigurationError(
                f"The registration in {self.registration} is that of client {registered.client_id}.",
                field="client_id",
                advice="Leave out --client-id and SMART_CLIENT_ID, or --registration.",
            )
        given = None if isinstance(config.client_auth, PublicClient) else config.client_auth
        return registered.config(config, client_auth=given)

    def registered(self) -> ClientRegistration | None:
        """
        Return the registration in the file of `--registration`, if one was named.

        Raises:
            ConfigurationError: If others can read the file, or there is no registration in it.
        """
        if self.registration is None:
            return None
        return ClientRegistration.from_json(read_private(self.registration, field="registration"))

    def redirect_uris(self) -> Sequence[str]:
        """Return the redirect URIs of `--registration`."""
        registered = self.registered()
        return () if registered is None else registered.metadata.redirect_uris or ()

    def _knobs(self) -> dict[str, Any]:
        # What was not said is left to the preset of the vendor.
        names = ("token_endpoint", "assertion_audience", "assertion_lifetime")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _client_auth(self, findings: list[Finding]) -> ClientAuth:
        secret = self._secret()
        if self.key is None:
            return PublicClient() if secret is None else ClientSecret(secret, self._method)
        if secret is not None:
            raise ConfigurationError(
                "There are both a key and a client secret; a client authenticates in one way.",
                field="key",
                advice=f"Leave out --key (SMART_PRIVATE_KEY_PATH) or {_SECRET}, whichever is not registered.",
            )
        alg = self.alg.value if self.alg else None
        return PrivateKeyJWT(read_key(self.key, self.kid, findings, alg), jku=self.jku)

    @property
    def _method(self) -> Literal["basic", "post"]:
        return self.secret_method.value

    def _secret(self) -> Secret | None:
        # Blanks may belong to a secret; the line break behind it is the file's that it came from.
        known = os.environ.get(_SECRET, "").rstrip("\r\n")
        if known or not self.secret_prompt:
            return Secret(known) if known else None
        if not has_terminal():
            raise ConfigurationError(
                "There is no terminal to ask for the client secret on.",
                field="secret_prompt",
                advice=f"Set {_SECRET} instead.",
            )
        return Secret(str(typer.prompt("Client secret", hide_input=True, err=True)))


def _no_client_id() -> str:
    raise ConfigurationError(
        "There is no client id.",
        field="client_id",
        advice="Give --client-id ID or --registration F, or set SMART_CLIENT_ID; --help tells more.",
    )
