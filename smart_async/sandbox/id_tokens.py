"""The sandbox's own keys, and the ID tokens that it signs with them."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from functools import cached_property
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from smart_async.sandbox.grants import Grant
from smart_async.sandbox.settings import Place, Settings

__all__ = ("IdTokenIssuer",)


class IdTokenIssuer:
    """
    Signs ID tokens with RS256, by a key made when it is first needed.

    Args:
        place: The sandbox's URLs.
        settings: Lifetimes and clock.

    Spec: OpenID Connect Core 1.0, sections 2 and 3.1.3.6; SMART App Launch 2.2, scopes for identity.
    """

    def __init__(self, place: Place, settings: Settings) -> None:
        self._place = place
        self._settings = settings

    @cached_property
    def _key(self) -> RSAKey:
        return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)

    @property
    def jwks(self) -> dict[str, Any]:
        """The public keys, as a JWK Set."""
        return {"keys": [self._key.as_dict(private=False)]}

    def issue(self, grant: Grant, access_token: str) -> str:
        """
        Return the ID token that belongs to *access_token*.

        Args:
            grant: A grant with a user.
            access_token: The access token of the same answer, for `at_hash`.
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
        header = {"alg": "RS256", "typ": "JWT", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["RS256"])

    def subject(self, grant: Grant) -> str:
        """Return the user's `sub`: stable, and saying nothing about the user."""
        return hashlib.sha256(f"sandbox user {grant.user}".encode()).hexdigest()[:24]

    def fhir_user(self, grant: Grant) -> str:
        """Return the absolute URL of the user's FHIR resource."""
        return f"{self._place.fhir_base}/{grant.user}"


def _left_half(access_token: str) -> str:
    digest = hashlib.sha256(access_token.encode("ascii")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
