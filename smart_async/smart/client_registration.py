"""
What a server answers when a client registers: who the client is now, and with what it proves that.

Spec: RFC 7591, section 3.2.1; RFC 7592, section 3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.messages import Finding, JSONObject, Secret, as_object, discreet, same_base
from smart_async.smart.binding import Binding, origin_of
from smart_async.smart.client_auth import ClientAuth, PrivateKeyJWT
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_secret import ClientSecret, PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.stored import read_finding, read_stored
from smart_async.smart.tokens import is_token

__all__ = ("SECRET_MEMBERS", "ClientRegistration")

SECRET_MEMBERS = ("client_secret", "registration_access_token")
"""The members of a registration answer whose values are secret."""

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """
    A registered client.

    Keep all of it (`to_json`): what is lost here, the server does not tell again.

    Args:
        client_id: Who the client is.
        client_secret: The secret that the server made up, or None.
        client_secret_expires_at: Unix seconds at which that ends, or None for never.
        client_id_issued_at: Unix seconds, or None where the server did not say.
        registration_access_token: What opens `registration_client_uri`, or None.
        registration_client_uri: Where this registration is read, updated and deleted, or None where the
            server does not offer that.
        metadata: The client as it is registered; what the answer left out is as it was asked for.
        findings: What was odd about the answer, changes of minor members among it.
        raw: Every member of the answer, the secrets among them as `Secret`.
        binding: Which server it belongs to.
        registration_endpoint: Where it was made.

    Spec: RFC 7591, section 3.2.1; RFC 7592, section 3.
    """

    client_id: str
    client_secret: Secret | None = None
    client_secret_expires_at: float | None = None
    client_id_issued_at: float | None = None
    registration_access_token: Secret | None = None
    registration_client_uri: str | None = None
    metadata: ClientMetadata
    findings: tuple[Finding, ...] = ()
    raw: Mapping[str, object] = field(repr=False)
    binding: Binding
    registration_endpoint: str

    def __repr__(self) -> str:
        """Say who it is and what it can do, without secrets."""
        return (
            f"<ClientRegistration {self.client_id} at {self.binding.fhir_base}, "
            f"{self.metadata.token_endpoint_auth_method}, {'with' if self.client_secret else 'no'} secret, "
            f"registration_client_uri={self.registration_client_uri}>"
        )

    def secret_expired(self, now: float) -> bool:
        """
        Return whether the client secret has stopped working.

        Args:
            now: Unix seconds.
        """
        return self.client_secret_expires_at is not None and now >= self.client_secret_expires_at

    def config(self, config: SmartConfig, *, client_auth: ClientAuth | None = None) -> SmartConfig:
        """
        Return *config* as this client: its id, its way to authenticate, its redirect URI.

        Args:
            config: The configuration that was registered with. Its client id may be a placeholder.
            client_auth: How the client authenticates. By default what was registered: the key of *config*,
                the secret of this registration, or nothing for a public client.

        Raises:
            ConfigurationError: If *config* is for another server, or has no key where one was registered.
        """
        if not same_base(config.fhir_base, self.binding.fhir_base):
            raise ConfigurationError(
                f"This registration is at {self.binding.fhir_base}, not at {config.fhir_base}.",
                field="fhir_base",
            )
        uris = self.metadata.redirect_uris or ()
        return replace(
            config,
            client_id=self.client_id,
            client_auth=client_auth or self._client_auth(config.client_auth),
            redirect_uri=config.redirect_uri or next(iter(uris), None),
        )

    def _client_auth(self, current: ClientAuth) -> ClientAuth:
        # Unnamed by both sides, it is client_secret_basic, says RFC 7591, section 2.
        method = self.metadata.token_endpoint_auth_method or "client_secret_basic"
        if method == "none":
            return PublicClient()
        if method in ("client_secret_basic", "client_secret_post") and self.client_secret is not None:
            return ClientSecret(self.client_secret, "post" if method.endswith("post") else "basic")
        if method == "private_key_jwt" and isinstance(current, PrivateKeyJWT):
            return current
        raise ConfigurationError(
            f"The client is registered for {method}, and there is nothing here to do that with.",
            field="client_auth",
            advice="Pass client_auth=PrivateKeyJWT(key), or whatever else the server was promised.",
        )

    def to_json(self) -> str:
        """Return everything as JSON, secrets in plain text: store it where you would store a password."""
        return json.dumps(
            {
                "version": _VERSION,
                "type": "registration",
                **self.binding.to_members(),
                "registration_endpoint": self.registration_endpoint,
                "registration_client_uri": self.registration_client_uri,
                "registration_access_token": _plain(self.registration_access_token),
                "client_secret": _plain(self.client_secret),
                "client_secret_expires_at": self.client_secret_expires_at,
                "client_id_issued_at": self.client_id_issued_at,
                "metadata": self.metadata.to_members(),
                "findings": [[f.rule, f.severity, f.message, f.advice] for f in self.findings],
                "response": {
                    name: _plain(value) if isinstance(value, Secret) else value
                    for name, value in self.raw.items()
                },
            }
        )

    @classmethod
    @discreet
    def from_json(cls, text: str | bytes) -> ClientRegistration:
        """
        Read what `to_json` returned.

        Args:
            text: The stored JSON.

        Raises:
            ConfigurationError: If it is something else, or of a version this release does not know.
        """
        registration = read_stored(text, kind="registration", version=_VERSION, read=_from_members)
        if registration is None:
            raise ConfigurationError(
                "This is not a registration that this version of smart-async stored.",
                advice="Register anew, or restore the stored text.",
            )
        return registration


def _plain(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()


def _from_members(members: JSONObject) -> ClientRegistration:
    binding = Binding.from_members(members)
    uri, endpoint = members["registration_client_uri"], members["registration_endpoint"]
    # Whoever can change a stored registration must not have its token sent elsewhere.
    if not isinstance(endpoint, str) or not isinstance(uri, str | None):
        raise TypeError("URLs are stored here")
    if uri is not None and origin_of(uri) != origin_of(endpoint):
        raise ValueError("a registration is managed where it was made")
    token = members["registration_access_token"]
    if token is not None and not is_token(Secret(token)):
        raise ValueError("a token is stored here")
    secret = members["client_secret"]
    return ClientRegistration(
        client_id=binding.client_id,
        client_secret=None if secret is None else Secret(secret),
        client_secret_expires_at=_seconds(members["client_secret_expires_at"]),
        client_id_issued_at=_seconds(members["client_id_issued_at"]),
        registration_access_token=None if token is None else Secret(token),
        registration_client_uri=uri,
        metadata=ClientMetadata.from_members(_object(members["metadata"])),
        findings=tuple(read_finding(item) for item in members["findings"]),
        raw=sealed(_object(members["response"])),
        binding=binding,
        registration_endpoint=endpoint,
    )


def sealed(document: JSONObject) -> JSONObject:
    """Return *document* with its secret members as `Secret`."""
    return {
        name: Secret(value) if name in SECRET_MEMBERS and isinstance(value, str) else value
        for name, value in document.items()
    }


def _object(value: Any) -> JSONObject:
    found = as_object(value)
    if found is None:
        raise TypeError("an object is stored here")
    return found


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is stored here")
    return float(value)
