"""Clients of each type, registered with a sandbox."""

from __future__ import annotations

import secrets
from typing import Literal, TypeAlias

from smart_async.errors import ConfigurationError
from smart_async.keys.jwks import public_jwks
from smart_async.keys.signing_key import SigningKey
from smart_async.sandbox import Sandbox
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.client_secret import ClientSecret, PublicClient
from smart_async.smart.config import SmartConfig

__all__ = ("REDIRECT_URI", "ClientKind", "registered")

ClientKind: TypeAlias = Literal["public", "symmetric", "asymmetric", "backend"]
"""The three types of clients that sign users in, and the one that has no users."""

REDIRECT_URI = "https://app.example.com/callback"
"""Where the clients here come back to, unless told otherwise."""

_SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"


def registered(
    sandbox: Sandbox,
    kind: ClientKind = "asymmetric",
    *,
    client_id: str | None = None,
    key: SigningKey | None = None,
    redirect_uri: str = REDIRECT_URI,
    scope: str = _SCOPE,
) -> SmartConfig:
    """
    Register a client with *sandbox*, and return its configuration.

    Args:
        sandbox: The sandbox, in memory or served.
        kind: `"public"` (PKCE alone), `"symmetric"` (a secret), `"asymmetric"` (a key) or `"backend"` (a key,
            and no users).
        client_id: Its id; None for one named after its kind.
        key: Its key, where it has one; None for a new one of ES384.
        redirect_uri: Where users come back to.
        scope: What it asks for when a user signs in.

    Raises:
        ConfigurationError: If there is no such kind.

    >>> from smart_async import SmartClient
    >>> sandbox = Sandbox()
    >>> with SmartClient(registered(sandbox, "backend"), transport=sandbox.transport()) as client:
    ...     str(client.backend_token("system/Patient.rs").scopes)
    'system/Patient.rs'
    """
    client_id = client_id or f"{kind}-client"
    auth: PublicClient | ClientSecret | PrivateKeyJWT
    jwks, secret = None, None
    if kind == "public":
        auth = PublicClient()
    elif kind == "symmetric":
        secret = secrets.token_urlsafe(24)
        auth = ClientSecret(secret)
    elif kind in ("asymmetric", "backend"):
        key = key or SigningKey.generate("ES384")
        jwks, auth = public_jwks([key]), PrivateKeyJWT(key)
    else:
        raise ConfigurationError(
            f"There is no kind of client named {kind!r}.",
            field="kind",
            advice="Choose public, symmetric, asymmetric or backend.",
        )
    users = kind != "backend"
    sandbox.register_client(
        client_id=client_id,
        redirect_uris=[redirect_uri] if users else (),
        jwks=jwks,
        client_secret=secret,
    )
    return SmartConfig(
        fhir_base=sandbox.fhir_base,
        client_id=client_id,
        client_auth=auth,
        redirect_uri=redirect_uri if users else None,
        scope=scope if users else "",
        allow_insecure_loopback=sandbox.fhir_base.startswith("http://"),
    )
