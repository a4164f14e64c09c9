"""
What a client tells a server of itself when it registers: its name, its redirect URIs, its public keys.

Spec: RFC 7591, section 2; OpenID Connect Dynamic Client Registration 1.0, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from typing import Any, Self, cast

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.keys import Publishable, public_jwks
from smart_async.smart.metadata_checks import checked, endpoints_of
from smart_async.smart.scopes import Scopes, asked_scopes

__all__ = ("RESERVED_MEMBERS", "ClientMetadata", "field_names")

RESERVED_MEMBERS = frozenset(
    {"client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at"}
    | {"registration_access_token", "registration_client_uri"}
)
"""The members of a registration answer that the server alone decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMetadata:
    """
    Describe a client to a server, member by member as RFC 7591 spells them.

    Every member may be left out, and then the server decides. `for_backend` and `for_app` fill in what the
    two usual kinds of SMART client need.

    Args:
        redirect_uris: Where the browser may be sent back to, byte for byte.
        token_endpoint_auth_method: `private_key_jwt`, `client_secret_basic`, `client_secret_post` or `none`.
        grant_types: What the client will ask tokens with, such as `client_credentials`.
        response_types: `("code",)` for clients with a login, `()` for those without.
        client_name: What users see.
        client_uri: A page about the client.
        logo_uri: Its logo.
        scope: All that it will ever ask for, separated by blanks.
        contacts: How to reach the people behind it, usually by e-mail.
        tos_uri: Its terms of service.
        policy_uri: Its privacy policy.
        jwks_uri: Where its public keys are: change them there, and the server follows.
        jwks: Its public keys by value; not beside `jwks_uri`.
        software_id: Which software it is an instance of.
        software_version: Which version of that software.
        software_statement: A signed JWT in which somebody vouches for the software.
        id_token_signed_response_alg: The algorithm that ID tokens for it are to be signed with.
        token_endpoint_auth_signing_alg: The one algorithm that it will sign assertions with.
        application_type: `web` or `native`; OpenEMR wants `private` or `public`.
        extra: Further members, such as `initiate_login_uri` or `client_name#de`.

    Raises:
        ConfigurationError: If a member cannot be what it says, naming it.

    Spec: RFC 7591, section 2; SMART App Launch 2.2, client-confidential-asymmetric (registering keys).

    >>> ClientMetadata(client_name="Growth chart", redirect_uris=["https://app.example.com/cb"]).to_members()
    {'redirect_uris': ['https://app.example.com/cb'], 'client_name': 'Growth chart'}
    """

    redirect_uris: Sequence[str] | None = None
    token_endpoint_auth_method: str | None = None
    grant_types: Sequence[str] | None = None
    response_types: Sequence[str] | None = None
    client_name: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    scope: str | None = None
    contacts: Sequence[str] | None = None
    tos_uri: str | None = None
    policy_uri: str | None = None
    jwks_uri: str | None = None
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)
    software_id: str | None = None
    software_version: str | None = None
    software_statement: str | None = field(default=None, repr=False)
    id_token_signed_response_alg: str | None = None
    token_endpoint_auth_signing_alg: str | None = None
    application_type: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def __post_init__(self) -> None:
        """Check each member, and keep a copy that nobody can change from outside."""
        for name in field_names():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, checked(name, value))
        if self.jwks is not None and self.jwks_uri is not None:
            raise ConfigurationError(
                "jwks and jwks_uri are both given; a server would not know which to believe.",
                field="jwks",
                advice="Give jwks_uri if you can host your keys, and jwks otherwise.",
            )
        self._check_extra()

    def _check_extra(self) -> None:
        extra = checked("extra", self.extra)
        for name in extra:
            if name in RESERVED_MEMBERS or name in field_names():
                raise ConfigurationError(
                    f"extra holds {name}, which "
                    + ("the server decides." if name in RESERVED_MEMBERS else "has a field of its own."),
                    field="extra",
                )
        object.__setattr__(self, "extra", extra)

    @classmethod
    def for_backend(
        cls,
        *keys: Publishable,
        jwks_uri: str | None = None,
        scope: str | Scopes = "system/*.rs",
        client_name: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Self:
        """
        Describe a Backend Services client, which has keys and no users.

        Args:
            *keys: Its signing keys; only their public halves are looked at.
            jwks_uri: Where its public keys are published, in the place of `keys`.
            scope: All that it will ever ask for.
            client_name: What administrators see.
            extra: Further members.

        Raises:
            ConfigurationError: If there are no keys: a backend client cannot do without.

        Spec: SMART App Launch 2.2, backend services (BS-01).
        """
        if not keys and jwks_uri is None:
            raise ConfigurationError(
                "A backend client registers its public keys.",
                field="keys",
                advice="Give the signing key, or the jwks_uri where its public half is published.",
            )
        return cls(
            token_endpoint_auth_method="private_key_jwt",
            grant_types=("client_credentials",),
            response_types=(),
            client_name=client_name,
            scope=str(asked_scopes(scope)),
            jwks_uri=jwks_uri,
            jwks=public_jwks(keys) if keys else None,
            extra=extra or {},
        )

    @classmethod
    def for_app(
        cls,
        *keys: Publishable,
        redirect_uris: Sequence[str],
        scope: str | Scopes,
        jwks_uri: str | None = None,
        public: bool = False,
        client_name: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Self:
        """
        Describe an app that users sign in to.

        With keys it authenticates by them, without by a secret that the server makes up; a public one does
        not authenticate at all.

        Args:
            *keys: Its signing keys; only their public halves are looked at.
            redirect_uris: Where the browser may be sent back to.
            scope: All that it will ever ask for.
            jwks_uri: Where its public keys are published, in the place of `keys`.
            public: Whether it can keep neither key nor secret, as a native or browser app.
            client_name: What users see.
            extra: Further members.

        Raises:
            ConfigurationError: If it is public and has keys, or a member cannot be what it says.

        Spec: SMART App Launch 2.2, app launch (registration).
        """
        if public and (keys or jwks_uri is not None):
            raise ConfigurationError("A public client has no keys.", field="public")
        method = "private_key_jwt" if keys or jwks_uri is not None else "client_secret_basic"
        return cls(
            redirect_uris=redirect_uris,
            token_endpoint_auth_method="none" if public else method,
            grant_types=("authorization_code", "refresh_token"),
            response_types=("code",),
            client_name=client_name,
            scope=str(asked_scopes(scope)),
            jwks_uri=jwks_uri,
            jwks=public_jwks(keys) if keys else None,
            extra=extra or {},
        )

    @classmethod
    def from_members(cls, members: Mapping[str, Any]) -> Self:
        """
        Read the JSON members of a registration document, such as one kept in a file.

        Args:
            members: The members; those without a field of their own go into `extra`.

        Raises:
            ConfigurationError: If a member cannot be what it says.
        """
        known = field_names()
        return cls(
            **{name: value for name, value in members.items() if name in known},
            extra={name: value for name, value in members.items() if name not in known},
        )

    def to_members(self) -> dict[str, Any]:
        """Return the JSON members that are sent, those left out left out."""
        members = {name: getattr(self, name) for name in field_names()}
        return {
            name: [*cast("tuple[str, ...]", value)] if isinstance(value, tuple) else value
            for name, value in {**members, **self.extra}.items()
            if value is not None
        }

    def check_urls(self, *, allow_insecure_loopback: bool) -> None:
        """
        Refuse plain http, also on loopback unless that is allowed. Redirect URIs are not meant.

        Args:
            allow_insecure_loopback: What the configuration says.

        Raises:
            ConfigurationError: For the first URL that is no https URL.
        """
        endpoints_of(self.to_members(), allow_insecure_loopback=allow_insecure_loopback)


def field_names() -> tuple[str, ...]:
    """Return the members that have a field of their own, in their order."""
    return tuple(each.name for each in fields(ClientMetadata) if each.name != "extra")
