"""
Who the user is, as far as the server vouches for it.

Spec: SMART App Launch 2.2, scopes-and-launch-context (scopes for requesting identity data).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.messages import Finding, as_list, parse_url

__all__ = ("FhirUser", "Identity", "identity_from_claims", "parse_fhir_user")

_TYPES = ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person")
_REFERENCE = re.compile(r"(?P<base>.*?/)?(?P<type>[A-Z][A-Za-z]{0,63})/(?P<id>[A-Za-z0-9\-.]{1,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirUser:
    """
    The FHIR resource that stands for the user.

    Args:
        type: `Patient`, `Practitioner`, `PractitionerRole`, `RelatedPerson` or `Person`.
        id: The resource's id.
        url: The absolute URL to read it from.
        reference: The reference as the server wrote it.
        local: Whether it lives on the FHIR server that the token is for. A foreign one has to be read
            without this token, if at all.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (fhirUser).
    """

    type: str
    id: str
    url: str
    reference: str
    local: bool

    def __repr__(self) -> str:
        """Name the type alone."""
        return f"<FhirUser {self.type}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    A verified ID token.

    Know a user by `issuer` and `subject` together; `fhir_user` can change, and two issuers may use the
    same subject.

    Args:
        issuer: Who vouches for it.
        subject: The user at that issuer.
        audience: Whom it is for; this client is among them.
        issued_at: Unix seconds.
        expires_at: Unix seconds.
        fhir_user: The user's FHIR resource, or None where the server named none.
        claims: Every claim.
    """

    issuer: str
    subject: str
    audience: tuple[str, ...]
    issued_at: float
    expires_at: float
    fhir_user: FhirUser | None
    claims: Mapping[str, object] = field(repr=False)

    def __repr__(self) -> str:
        """Name the issuer; the user is nobody's business in a log."""
        return f"<Identity verified by {self.issuer}>"


def parse_fhir_user(
    claims: Mapping[str, object], *, fhir_base: str, allow_insecure_loopback: bool = False
) -> tuple[FhirUser | None, tuple[Finding, ...]]:
    """
    Read the `fhirUser` claim, or `profile` where an older server uses that.

    Args:
        claims: The claims of a verified ID token.
        fhir_base: The FHIR base that was sent as `aud`; a relative reference starts there.
        allow_insecure_loopback: Whether plain http is accepted on loopback.

    Returns:
        The user's resource, or None, and what was odd about it.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (fhirUser).
    """
    findings: list[Finding] = []
    value = claims.get("fhirUser")
    profile = claims.get("profile")
    # OpenID Connect knows a claim of this name, too: the address of the user's own web page.
    if value is None and isinstance(profile, str) and _parse(profile, fhir_base, allow_insecure_loopback):
        value = profile
        findings.append(_note("ID-11", "fhirUser is missing; the older profile claim is read in its place."))
    if value is None:
        return None, tuple(findings)
    user = _parse(value, fhir_base, allow_insecure_loopback) if isinstance(value, str) else None
    if user is None:
        findings.append(
            _note("ID-10", "fhirUser does not name one of the five kinds of user and is left out.")
        )
    return user, tuple(findings)


def identity_from_claims(
    claims: Mapping[str, object], *, fhir_base: str
) -> tuple[Identity, tuple[Finding, ...]]:
    """
    Make an identity of claims that have been verified.

    Args:
        claims: The claims.
        fhir_base: Where a relative `fhirUser` starts.

    Raises:
        TypeError: If the claims were not verified: one of the required ones is missing or of another type.
    """
    issuer, subject = claims.get("iss"), claims.get("sub")
    audience = tuple(as_list(claims.get("aud")) or (claims.get("aud"),))
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if {type(issuer), type(subject), *map(type, audience)} != {str}:
        raise TypeError("iss, sub and aud are strings in verified claims")
    if not isinstance(issued_at, (int, float)) or not isinstance(expires_at, (int, float)):
        raise TypeError("iat and exp are numbers in verified claims")
    fhir_user, findings = parse_fhir_user(
        claims, fhir_base=fhir_base, allow_insecure_loopback=fhir_base.startswith("http://")
    )
    identity = Identity(
        issuer=str(issuer),
        subject=str(subject),
        audience=audience,
        issued_at=float(issued_at),
        expires_at=float(expires_at),
        fhir_user=fhir_user,
        claims=claims,
    )
    return identity, findings


def _note(rule: str, message: str) -> Finding:
    return Finding(rule=rule, severity="warning", message=message)


def _parse(reference: str, fhir_base: str, allow_insecure_loopback: bool) -> FhirUser | None:
    match = _REFERENCE.fullmatch(reference)
    if not match or match["type"] not in _TYPES:
        return None
    base = f"{fhir_base.removesuffix('/')}/"
    url = reference if match["base"] else base + reference
    try:
        _ = parse_url(url, field="fhirUser", allow_insecure_loopback=allow_insecure_loopback)
    except ConfigurationError:
        return None
    local = url == f"{base}{match['type']}/{match['id']}"
    return FhirUser(type=match["type"], id=match["id"], url=url, reference=reference, local=local)
