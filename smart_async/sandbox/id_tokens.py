"""The sandbox's own keys, and the ID tokens that it signs with them."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from smart_async.sandbox.grants import Grant
from smart_async.sandbox.settings import Place, Settings

__all__ = ("IdTokenIssuer",)


class IdTokenIssuer:
    """
    Signs ID tokens with RS256, by a key made when it is first needed and replaced on demand.

    Args:
        place: The sandbox's URLs.
        settings: Lifetimes and clock.

    Spec: OpenID Connect Core 1.0, sections 2 and 3.1.3.6; SMART App Launch 2.2, scopes for identity.
    """

    def __init__(self, place: Place, settings: Settings) -> None:
        self._place = place
        self._settings = settings
        self._made: RSAKey | None = None

    @property
    def _key(self) -> RSAKey:
        if self._made is None:
            self._made = _new_key()
        return self._made

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JWK Set."""
        return {"keys": [self._key.as_dict(private=False)]}

    def rotate(self) -> None:
        """Replace the key: what the old one signed can no longer be verified with the published set."""
        self._made = _new_key()

    def issue(self, grant: Grant, access_token: str, *, hidden: bool = False) -> str:
        """
        Return the ID token that belongs to *access_token*.

        Args:
            grant: A grant with a user.
            access_token: The access token of the same answer, for `at_hash`.
            hidden: Whether to sign with a key that is not published.
        """
        now = int(self._settings.clock())
        claims: dict[str, Any] = {
            "iss": self._place.issuer,
            "sub": self.subject(grant),
            "aud": grant.client_id,
            "iat": now,
            "exp": now + self._settings.id_token_lifetime,
            "at_hash": _left_half(access_token),
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        if "fhirUser" in grant.scopes:
            claims["fhirUser"] = self.fhir_user(grant)
        key = _new_key() if hidden else self._key
        return jwt.encode({"alg": "RS256", "typ": "JWT", "kid": key.kid}, claims, key, algorithms=["RS256"])

    def subject(self, grant: Grant) -> str:
        """Return the user's `sub`: stable, and saying nothing about the user."""
        return hashlib.sha256(f"sandbox user {grant.user}".encode()).hexdigest()[:24]

    def fhir_user(self, grant: Grant) -> str:
        """Return the absolute URL of the user's FHIR resource."""
        return f"{self._place.fhir_base}/{grant.user}"


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def _left_half(access_token: str) -> str:
    digest = hashlib.sha256(access_token.encode("ascii")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
