"""
A configuration from environment variables, as containers and batch jobs are given theirs.

| Variable                 | Meaning                                                                |
|--------------------------|------------------------------------------------------------------------|
| `FHIR_BASE_URL`          | the FHIR base URL (needed)                                             |
| `SMART_CLIENT_ID`        | the client id from the registration (needed)                           |
| `SMART_PRIVATE_KEY_PATH` | the file with the private key: PEM, PKCS #12, JWK or JWK Set           |
| `SMART_KEY_ID`           | the key's id; its thumbprint if not set                                |
| `SMART_KEY_PASSPHRASE`   | what opens an encrypted key file                                       |
| `SMART_JWKS_URI`         | the registered JWK Set URL, sent as `jku`                              |
| `SMART_CLIENT_SECRET`    | the client secret, if there is no key (one of the two is needed)       |
| `SMART_REDIRECT_URI`     | the registered redirect URI, for logins                                |
| `SMART_SCOPE`            | the scopes to ask for                                                  |
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from smart_async.errors import ConfigurationError
from smart_async.files.keyfiles import load_signing_key
from smart_async.messages import Finding, Secret, discreet
from smart_async.smart.client_auth import ClientAuth, PrivateKeyJWT
from smart_async.smart.client_secret import ClientSecret
from smart_async.smart.config import SmartConfig

__all__ = ("config_from_env",)

_VARIABLES = {
    "client_auth": "SMART_CLIENT_SECRET",
    "client_id": "SMART_CLIENT_ID",
    "fhir_base": "FHIR_BASE_URL",
    "jku": "SMART_JWKS_URI",
    "key": "SMART_PRIVATE_KEY_PATH",
    "kid": "SMART_KEY_ID",
    "passphrase": "SMART_KEY_PASSPHRASE",
    "path": "SMART_PRIVATE_KEY_PATH",
    "redirect_uri": "SMART_REDIRECT_URI",
    "scope": "SMART_SCOPE",
}


@discreet
def config_from_env(
    environ: Mapping[str, str] | None = None,
    *,
    allow_insecure_loopback: bool = False,
    findings: list[Finding] | None = None,
) -> SmartConfig:
    """
    Build a `SmartConfig` from environment variables.

    `FHIR_BASE_URL` and `SMART_CLIENT_ID` are needed, and either `SMART_PRIVATE_KEY_PATH` (beside it, as the
    case may be, `SMART_KEY_ID`, `SMART_KEY_PASSPHRASE` and `SMART_JWKS_URI`) or `SMART_CLIENT_SECRET`.
    `SMART_REDIRECT_URI` and `SMART_SCOPE` are for logins.

    The key file is read here, once. A variable that is set to nothing counts as not set.

    Args:
        environ: The variables, instead of `os.environ`.
        allow_insecure_loopback: Accept plain http for loopback hosts.
        findings: A list to which findings about the key file are added, as by `load_signing_key`.

    Raises:
        ConfigurationError: Naming the variable that is missing or cannot be used.
    """
    values = os.environ if environ is None else environ
    fhir_base, client_id = _needed(values, "FHIR_BASE_URL"), _needed(values, "SMART_CLIENT_ID")
    try:
        return SmartConfig(
            fhir_base=fhir_base,
            client_id=client_id,
            client_auth=_client_auth(values, findings),
            redirect_uri=_optional(values, "SMART_REDIRECT_URI"),
            scope=_optional(values, "SMART_SCOPE") or "",
            allow_insecure_loopback=allow_insecure_loopback,
        )
    except ConfigurationError as exc:
        raise _named(exc) from None


def _named(exc: ConfigurationError) -> ConfigurationError:
    # Whoever sets variables has never heard of fields.
    variable = _VARIABLES.get(exc.field or "")
    if variable is None:
        return exc
    return ConfigurationError(f"{variable}: {exc.message}", field=variable, advice=exc.advice)


def _optional(values: Mapping[str, str], variable: str) -> str | None:
    return values.get(variable, "").strip() or None


def _needed(values: Mapping[str, str], variable: str) -> str:
    value = _optional(values, variable)
    if value is None:
        how = "is empty" if variable in values else "is not set"
        raise ConfigurationError(
            f"The environment variable {variable} {how}.", field=variable, advice=f"Set {variable}."
        )
    return value


def _client_auth(values: Mapping[str, str], findings: list[Finding] | None) -> ClientAuth:
    path, secret = _optional(values, "SMART_PRIVATE_KEY_PATH"), _optional(values, "SMART_CLIENT_SECRET")
    if path and secret:
        raise ConfigurationError(
            "Both SMART_PRIVATE_KEY_PATH and SMART_CLIENT_SECRET are set; a client authenticates in one way.",
            field="SMART_CLIENT_SECRET",
            advice="Unset the one that is not in your registration.",
        )
    if secret:
        # Blanks may belong to a secret; the line break behind it is the file's that it came from.
        return ClientSecret(Secret(values["SMART_CLIENT_SECRET"].rstrip("\r\n")))
    if not path:
        raise ConfigurationError(
            "Nothing is set that the client could authenticate with.",
            field="SMART_PRIVATE_KEY_PATH",
            advice="Set SMART_PRIVATE_KEY_PATH to the file with your private key, or SMART_CLIENT_SECRET to "
            "your secret. For a public client build a SmartConfig with PublicClient().",
        )
    key = load_signing_key(
        path,
        kid=_optional(values, "SMART_KEY_ID"),
        # Asked for only if the key is encrypted: one environment may serve several keys.
        passphrase=lambda: values.get("SMART_KEY_PASSPHRASE", ""),
        findings=findings,
    )
    return PrivateKeyJWT(key, jku=_optional(values, "SMART_JWKS_URI"))
