"""
The token: what the server handed out, what it is good for, and where it belongs.

Spec: SMART App Launch 2.2, app launch (access token response); RFC 6749, section 5.1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import field

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.limits import TOKEN_BYTES
from smart_async.messages import JSON, Finding, JSONObject, Secret, as_object, discreet, same_base
from smart_async.smart.authorization_details import AuthorizationDetail, parse_authorization_details
from smart_async.smart.binding import Binding
from smart_async.smart.identity import Identity, identity_from_claims
from smart_async.smart.launch import LaunchContext, parse_launch_context
from smart_async.smart.scopes import Scopes
from smart_async.smart.stored import read_finding, read_stored

__all__ = ("SECRET_MEMBERS", "Token", "is_token", "lineage_of")

SECRET_MEMBERS = ("access_token", "refresh_token", "id_token")
"""The members of a token response whose values are secret."""

_VERSION = 1
_VISIBLE = re.compile(r"[!-~]+")


def is_token(value: object) -> bool:
    """
    Return whether *value* is a `Secret` that can be sent as a token: visible ASCII, and not too much of it.

    An access token goes into a request header: anything else could smuggle in another one.

    Args:
        value: A member of a token response.
    """
    return (
        isinstance(value, Secret)
        and len(value.reveal()) <= TOKEN_BYTES
        and _VISIBLE.fullmatch(value.reveal()) is not None
    )


def lineage_of(access_token: Secret) -> str:
    """
    Return a name for the login whose first access token this is; the token cannot be told from it.

    Args:
        access_token: The access token.
    """
    return hashlib.sha256(b"smart-async lineage\0" + access_token.reveal().encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """
    An access token with everything that came beside it.

    Args:
        access_token: What opens the FHIR server; opaque, whatever it looks like.
        token_type: Always `Bearer`.
        expires_at: Unix seconds at which it stops working, or None where the server did not say: then it
            is good until the FHIR server answers 401.
        refresh_token: What gets the next one, or None.
        scopes: What was granted, which may be less or more than was asked for.
        launch_scopes: What was granted when the user agreed; a refresh can narrow it, never widen it.
        context: The patient, encounter and so on that it was issued for.
        identity: The verified ID token; None where none was verified.
        findings: What was odd about the answer.
        raw: Every member that the server sent, the tokens among them as `Secret`.
        binding: Which registration at which server it belongs to.
        issued_at: Unix seconds at which it was received.
        lineage: Names the login that it descends from, the same through every refresh, so that two copies of
            one login are not renewed side by side. It is no secret.
    """

    access_token: Secret
    token_type: str = "Bearer"
    expires_at: float | None
    refresh_token: Secret | None
    scopes: Scopes
    launch_scopes: Scopes
    context: LaunchContext
    identity: Identity | None = None
    findings: tuple[Finding, ...] = ()
    raw: Mapping[str, object] = field(repr=False)
    binding: Binding
    issued_at: float
    lineage: str = ""

    def __post_init__(self) -> None:
        """Begin a lineage where there is none."""
        if not self.lineage:
            object.__setattr__(self, "lineage", lineage_of(self.access_token))

    def __repr__(self) -> str:
        """Say what it is good for, without token, patient or user."""
        return (
            f"<Token for {self.binding.client_id} at {self.binding.fhir_base}, scopes '{self.scopes}', "
            f"expires_at={self.expires_at}, {'with' if self.refresh_token else 'no'} refresh token>"
        )

    @property
    def authorization_details(self) -> tuple[AuthorizationDetail, ...]:
        """What the token is good for at other FHIR endpoints, where the server said so."""
        details, _ = parse_authorization_details(
            self.raw,
            scopes=self.scopes,
            context=self.context,
            allow_insecure_loopback=self.binding.fhir_base.startswith("http://"),
        )
        return details

    def at(self, location: str) -> AuthorizationDetail | None:
        """
        Return what the token is good for at a FHIR endpoint, or None where it must not be sent.

        Args:
            location: A FHIR base URL.

        Spec: SMART App Launch 2.2, scopes-and-launch-context (authorization_details).
        """
        found = next((detail for detail in self.authorization_details if detail.at(location)), None)
        if found is None and same_base(location, self.binding.fhir_base):
            return AuthorizationDetail(
                locations=(self.binding.fhir_base,),
                fhir_versions=(),
                scopes=self.scopes,
                context=self.context,
            )
        return found

    def expired(self, now: float) -> bool:
        """
        Return whether the token has stopped working.

        Args:
            now: Unix seconds.
        """
        return self.expires_at is not None and now >= self.expires_at

    def to_json(self) -> str:
        """Return everything as JSON, tokens in plain text: store it where you would store a password."""
        return json.dumps(
            {
                "version": _VERSION,
                "type": "token",
                **self.binding.to_members(),
                "issued_at": self.issued_at,
                "lineage": self.lineage,
                "expires_at": self.expires_at,
                "refresh_token": self.refresh_token.reveal() if self.refresh_token else None,
                "scope": str(self.scopes),
                "launch_scope": str(self.launch_scopes),
                "context": _context_members(self.context),
                "identity": dict(self.identity.claims) if self.identity else None,
                "findings": [[f.rule, f.severity, f.message, f.advice] for f in self.findings],
                "response": {
                    name: value.reveal() if isinstance(value, Secret) else value
                    for name, value in self.raw.items()
                },
            }
        )

    @classmethod
    @discreet
    def from_json(cls, text: str | bytes) -> Token:
        """
        Read what `to_json` returned.

        Args:
            text: The stored JSON.

        Raises:
            ConfigurationError: If it is something else, or of a version this release does not know.
        """
        token = read_stored(text, kind="token", version=_VERSION, read=_from_members)
        if token is None:
            raise ConfigurationError(
                "This is not a token that this version of smart-async stored.",
                advice="Fetch a new token, or start a new login.",
            )
        return token


def _context_members(context: LaunchContext) -> JSONObject:
    return {
        "patient": context.patient,
        "encounter": context.encounter,
        "fhirContext": [dict(item.raw) for item in context.fhir_context],
        "need_patient_banner": context.need_patient_banner,
        "smart_style_url": context.smart_style_url,
        "intent": context.intent,
        "tenant": context.tenant,
    }


def _from_members(members: JSONObject) -> Token:
    response = {
        name: Secret(value) if name in SECRET_MEMBERS and isinstance(value, str) else value
        for name, value in _object(members["response"]).items()
    }
    refresh_token = members["refresh_token"]
    return Token(
        access_token=_token(response["access_token"]),
        expires_at=None if members["expires_at"] is None else _seconds(members["expires_at"]),
        refresh_token=None if refresh_token is None else _token(Secret(refresh_token)),
        scopes=Scopes.parse(_text(members["scope"])),
        launch_scopes=Scopes.parse(_text(members["launch_scope"])),
        context=_context(_object(members["context"])),
        findings=tuple(read_finding(item) for item in members["findings"]),
        raw=response,
        identity=_identity(members),
        binding=Binding.from_members(members),
        issued_at=_seconds(members["issued_at"]),
        lineage=_text(members.get("lineage", "")),
    )


def _identity(members: JSONObject) -> Identity | None:
    if members["identity"] is None:
        return None
    identity, _ = identity_from_claims(_object(members["identity"]), fhir_base=_text(members["fhir_base"]))
    return identity


def _object(value: JSON) -> JSONObject:
    found = as_object(value)
    if found is None:
        raise TypeError("an object is stored here")
    return found


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is stored here")
    return value


def _token(value: object) -> Secret:
    if not (isinstance(value, Secret) and is_token(value)):
        raise TypeError("a token is stored here")
    return value


def _seconds(value: JSON) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is stored here")
    return float(value)


def _context(members: JSONObject) -> LaunchContext:
    context, _ = parse_launch_context(members)
    if _context_members(context) != members:
        raise ValueError("to_json writes no such context")
    return context
