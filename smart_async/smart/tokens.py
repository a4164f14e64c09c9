"""
The token: what the server handed out, what it is good for, and where it belongs.

Spec: SMART App Launch 2.2, app launch (access token response); RFC 6749, section 5.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.messages import Finding, JSONObject, Secret, strict_loads
from smart_async.smart.binding import Binding
from smart_async.smart.launch import LaunchContext, parse_launch_context
from smart_async.smart.scopes import Scopes

__all__ = ("SECRET_MEMBERS", "Token")

SECRET_MEMBERS = ("access_token", "refresh_token", "id_token")
"""The members of a token response whose values are secret."""

_VERSION = 1


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
    """

    access_token: Secret
    token_type: str = "Bearer"
    expires_at: float | None
    refresh_token: Secret | None
    scopes: Scopes
    launch_scopes: Scopes
    context: LaunchContext
    identity: None = None
    findings: tuple[Finding, ...] = ()
    raw: Mapping[str, object] = field(repr=False)
    binding: Binding
    issued_at: float

    def __repr__(self) -> str:
        """Say what it is good for, without token, patient or user."""
        return (
            f"<Token for {self.binding.client_id} at {self.binding.fhir_base}, scopes '{self.scopes}', "
            f"expires_at={self.expires_at}, {'with' if self.refresh_token else 'no'} refresh token>"
        )

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
                "expires_at": self.expires_at,
                "refresh_token": self.refresh_token.reveal() if self.refresh_token else None,
                "scope": str(self.scopes),
                "launch_scope": str(self.launch_scopes),
                "context": _context_members(self.context),
                "findings": [[f.rule, f.severity, f.message, f.advice] for f in self.findings],
                "response": {
                    name: value.reveal() if isinstance(value, Secret) else value
                    for name, value in self.raw.items()
                },
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Token:
        """
        Read what `to_json` returned.

        Args:
            text: The stored JSON.

        Raises:
            ConfigurationError: If it is something else, or of a version this release does not know.
        """
        try:
            members = strict_loads(text.encode() if isinstance(text, str) else text)
            if (members["version"], members["type"]) != (_VERSION, "token"):
                raise ValueError
            return _from_members(members)
        except (ProtocolError, ConfigurationError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                "This is not a token that this version of smart-async stored.",
                advice="Fetch a new token, or start a new login.",
            ) from None


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
    response: JSONObject = dict(members["response"])
    for name in SECRET_MEMBERS:
        if isinstance(response.get(name), str):
            response[name] = Secret(response[name])
    refresh_token = members["refresh_token"]
    context, _ = parse_launch_context(members["context"])
    return Token(
        access_token=response["access_token"],
        expires_at=None if members["expires_at"] is None else float(members["expires_at"]),
        refresh_token=None if refresh_token is None else Secret(refresh_token),
        scopes=Scopes.parse(members["scope"]),
        launch_scopes=Scopes.parse(members["launch_scope"]),
        context=context,
        findings=tuple(
            Finding(rule=rule, severity=severity, message=message, advice=advice)
            for rule, severity, message, advice in members["findings"]
        ),
        raw=response,
        binding=Binding.from_members(members),
        issued_at=float(members["issued_at"]),
    )
