"""The clients that the sandbox knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from smart_async.errors import ConfigurationError
from smart_async.messages import JSONObject, parse_url
from smart_async.sandbox.scopes import read_scope
from smart_async.sandbox.shapes import PRIVATE_MEMBERS, is_list, is_object
from smart_async.sandbox.verdicts import RefusedError

__all__ = ("ClientKind", "Registry", "SandboxClient")

ClientKind: TypeAlias = Literal["public", "symmetric", "asymmetric"]
"""How a client authenticates: not at all, with a secret, with a key."""

_GRANTS = ("authorization_code", "refresh_token", "client_credentials")
_EVERYTHING = (
    "openid fhirUser launch launch/patient launch/encounter offline_access online_access "
    "patient/*.cruds user/*.cruds system/*.cruds"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxClient:
    """
    One registered client.

    Args:
        client_id: Its id.
        redirect_uris: Where the browser may be sent back to, compared as text.
        jwks: Its public keys by value, or None.
        jwks_uri: Where its public keys are, or None.
        client_secret: Its secret, or None.
        scopes: What it may ask for at most.
        grant_types: The grants that it may use.
        client_name: What people call it, or None.
        launch_url: Where an EHR launch starts it, or None.
        logo_uri: Where its picture is, or None; the sandbox never loads it.
    """

    client_id: str
    redirect_uris: tuple[str, ...]
    jwks: JSONObject | None = field(repr=False)
    jwks_uri: str | None
    client_secret: str | None = field(repr=False)
    scopes: tuple[str, ...]
    grant_types: tuple[str, ...]
    client_name: str | None = None
    launch_url: str | None = None
    logo_uri: str | None = None

    @property
    def shown_name(self) -> str:
        """What people are told that it is called."""
        return self.client_name or self.client_id

    @property
    def kind(self) -> ClientKind:
        """How it authenticates."""
        if self.jwks is not None or self.jwks_uri is not None:
            return "asymmetric"
        return "public" if self.client_secret is None else "symmetric"


class Registry:
    """Keeps the clients; registering an id again replaces it, as an administrator would."""

    def __init__(self) -> None:
        self._clients: dict[str, SandboxClient] = {}

    def register(
        self,
        *,
        client_id: str,
        redirect_uris: Iterable[str] = (),
        jwks: JSONObject | None = None,
        jwks_uri: str | None = None,
        client_secret: str | None = None,
        scope: str | None = None,
        grant_types: Iterable[str] | None = None,
        client_name: str | None = None,
        launch_url: str | None = None,
        logo_uri: str | None = None,
    ) -> SandboxClient:
        """
        Add a client: with `jwks` or `jwks_uri` an asymmetric one, with a secret a symmetric one, else public.

        Args:
            client_id: Its id.
            redirect_uris: Absolute URLs without fragment: https, plain http on loopback, or an app's own
                scheme.
            jwks: Its public JWK Set.
            jwks_uri: The https or loopback URL of its public JWK Set.
            client_secret: Its secret.
            scope: What it may ask for at most, in one string; everything that the sandbox serves by default.
            grant_types: Some of `authorization_code`, `refresh_token` and `client_credentials`. Without it,
                a client with redirect URIs may log users in, and one with keys may use client credentials.
            client_name: What people call it.
            launch_url: Where an EHR launch starts it: https, or plain http on loopback.
            logo_uri: Where its picture is.

        Raises:
            ConfigurationError: If the registration contradicts itself or the specification.

        Spec: SMART App Launch 2.2, registering an app (AL-01, AS-13, AS-14).
        """
        redirects = tuple(redirect_uris)
        _check_id(client_id)
        _check_credentials(jwks, jwks_uri, client_secret)
        for redirect_uri in redirects:
            _check_redirect(redirect_uri)
        for name, url in (("launch_url", launch_url), ("logo_uri", logo_uri)):
            if url is not None:
                _ = parse_url(url, field=name, allow_insecure_loopback=True, allow_query=True)
        grants = _default_grants(redirects, jwks or jwks_uri) if grant_types is None else tuple(grant_types)
        _check_grants(grants, redirects)
        client = SandboxClient(
            client_id=client_id,
            redirect_uris=redirects,
            jwks=jwks,
            jwks_uri=jwks_uri,
            client_secret=client_secret,
            scopes=_scopes(_EVERYTHING if scope is None else scope),
            grant_types=grants,
            client_name=client_name,
            launch_url=launch_url,
            logo_uri=logo_uri,
        )
        self._clients[client_id] = client
        return client

    def remove(self, client_id: str) -> None:
        """Forget the client with that id."""
        self._clients.pop(client_id, None)

    def find(self, client_id: str) -> SandboxClient | None:
        """Return the client with that id, or None."""
        return self._clients.get(client_id)

    def __iter__(self) -> Iterator[SandboxClient]:
        """Give the clients in the order of their registration."""
        return iter(list(self._clients.values()))

    def origins(self) -> frozenset[str]:
        """Return the origins of all redirect URIs: browser apps there may read the answers."""
        uris = (uri for client in self._clients.values() for uri in client.redirect_uris)
        return frozenset("/".join(uri.split("/", 3)[:3]) for uri in uris)


def _wrong(field_name: str, message: str) -> ConfigurationError:
    return ConfigurationError(message, field=field_name, advice="Correct the registration of the client.")


def _check_id(client_id: str) -> None:
    if not client_id or not client_id.isascii() or not client_id.isprintable():
        raise _wrong("client_id", "client_id must be visible ASCII text.")


def _check_credentials(jwks: JSONObject | None, jwks_uri: str | None, client_secret: str | None) -> None:
    if sum(value is not None for value in (jwks, jwks_uri, client_secret)) > 1:
        raise _wrong("jwks", "A client has one credential: jwks, jwks_uri or client_secret, not several.")
    if client_secret == "":
        raise _wrong("client_secret", "client_secret is empty.")
    if jwks_uri is not None:
        _ = parse_url(jwks_uri, field="jwks_uri", allow_insecure_loopback=True, allow_query=True)
    if jwks is not None:
        _check_jwks(jwks)


def _check_jwks(jwks: JSONObject) -> None:
    keys = jwks.get("keys")
    if not is_list(keys) or not keys:
        raise _wrong("jwks", 'jwks must be an object {"keys": [...]} with at least one key.')
    for key in keys:
        if not is_object(key) or not all(isinstance(key.get(name), str) for name in ("kty", "kid")):
            raise _wrong("jwks", "Each key in jwks needs a kty and a kid (AS-13).")
        if PRIVATE_MEMBERS & key.keys():
            raise _wrong("jwks", "jwks holds private key material; register the public keys only (AS-14).")


def _check_redirect(redirect_uri: str) -> None:
    scheme, separator, rest = redirect_uri.partition(":")
    own_scheme = separator and "." in scheme and rest and not redirect_uri.startswith(("http:", "https:"))
    if "#" in redirect_uri or "*" in redirect_uri:
        raise _wrong(
            "redirect_uris", "A redirect URI has a fragment or a wildcard; it must be fully specified."
        )
    if not own_scheme:
        _ = parse_url(redirect_uri, field="redirect_uris", allow_insecure_loopback=True, allow_query=True)


def _default_grants(redirects: tuple[str, ...], keys: object) -> tuple[str, ...]:
    login = _GRANTS[:2] if redirects else ()
    return (*login, _GRANTS[2]) if keys else login


def _check_grants(grants: tuple[str, ...], redirects: tuple[str, ...]) -> None:
    if not grants or not set(grants) <= set(_GRANTS):
        raise _wrong("grant_types", f"grant_types must be some of {', '.join(_GRANTS)}.")
    if "authorization_code" in grants and not redirects:
        raise _wrong("redirect_uris", "A client that logs users in needs at least one redirect URI.")


def _scopes(scope: str) -> tuple[str, ...]:
    try:
        return read_scope(scope)
    except RefusedError as exc:
        raise _wrong("scope", f"The registered scope is wrong: {exc.message} ({exc.rule}).") from None
