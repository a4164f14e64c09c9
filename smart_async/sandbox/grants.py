"""What the sandbox has handed out: launches, codes, access tokens and refresh tokens."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from smart_async.sandbox.settings import Settings

__all__ = ("AccessToken", "Code", "Grant", "GrantStore", "Launch", "RefreshToken")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """
    A chart opened in the EHR, from which an app is started.

    Args:
        context: The launch context members of the token response.
        expires_at: Unix seconds.
        user: The relative reference to the user who opened it; None means that it is not known yet.
    """

    context: dict[str, Any]
    expires_at: float
    user: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Grant:
    """
    What one login, or one backend request, gave to one client.

    Args:
        client_id: The client.
        scopes: The scopes granted.
        context: The launch context members.
        user: The relative reference to the user, or None for system access.
        nonce: The nonce of the authorization request, or None.
        revoked: Whether everything that came of it is void.
    """

    client_id: str
    scopes: tuple[str, ...]
    context: dict[str, Any] = field(default_factory=dict[str, Any])
    user: str | None = None
    nonce: str | None = None
    revoked: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Code:
    """An authorization code, with what the exchange must match."""

    grant: Grant
    redirect_uri: str
    challenge: str
    expires_at: float
    used: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class AccessToken:
    """An access token; its scopes may be fewer than the grant's."""

    grant: Grant
    scopes: tuple[str, ...]
    expires_at: float
    revoked: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class RefreshToken:
    """A refresh token; used ones are remembered, so that a second use is noticed."""

    grant: Grant
    expires_at: float
    used: bool = False


class GrantStore:
    """
    Keeps everything that was handed out, in memory.

    Args:
        settings: Lifetimes and clock.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._launches: dict[str, Launch] = {}
        self._codes: dict[str, Code] = {}
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, RefreshToken] = {}

    @property
    def _clock(self) -> Callable[[], float]:
        return self._settings.clock

    def new_launch(self, context: dict[str, Any], *, user: str | None = None) -> str:
        """Keep *context* under a new launch handle."""
        handle = secrets.token_urlsafe(16)
        self._launches[handle] = Launch(
            context=context, expires_at=self._clock() + self._settings.launch_lifetime, user=user
        )
        return handle

    def launch(self, handle: str) -> Launch | None:
        """Return the launch with that handle, unless it is unknown or over."""
        launch = self._launches.get(handle)
        return launch if launch and self._clock() < launch.expires_at else None

    def new_code(self, grant: Grant, *, redirect_uri: str, challenge: str) -> str:
        """Return a new authorization code for *grant*."""
        code = secrets.token_urlsafe(32)
        expires_at = self._clock() + self._settings.code_lifetime
        self._codes[code] = Code(
            grant=grant, redirect_uri=redirect_uri, challenge=challenge, expires_at=expires_at
        )
        return code

    def code(self, text: str) -> Code | None:
        """Return what is known of a code, used and expired ones included."""
        return self._codes.get(text)

    def new_access(self, grant: Grant, scopes: tuple[str, ...], lifetime: int) -> str:
        """Return a new access token for some scopes of *grant*, living *lifetime* seconds."""
        token = secrets.token_urlsafe(32)
        self._access[token] = AccessToken(grant=grant, scopes=scopes, expires_at=self._clock() + lifetime)
        return token

    def access(self, text: str) -> AccessToken | None:
        """Return a live access token, or None if it is unknown, expired or revoked."""
        token = self._access.get(text)
        if token is None or token.revoked or token.grant.revoked or self._clock() >= token.expires_at:
            return None
        return token

    def known_access(self, text: str) -> AccessToken | None:
        """Return what is known of an access token, dead ones included."""
        return self._access.get(text)

    def new_refresh(self, grant: Grant) -> str:
        """Return a new refresh token for *grant*."""
        token = secrets.token_urlsafe(32)
        expires_at = self._clock() + self._settings.refresh_token_lifetime
        self._refresh[token] = RefreshToken(grant=grant, expires_at=expires_at)
        return token

    def refresh(self, text: str) -> RefreshToken | None:
        """Return what is known of a refresh token, used, expired and revoked ones included."""
        return self._refresh.get(text)

    def live_refresh(self, text: str) -> RefreshToken | None:
        """Return a refresh token that still works, or None."""
        token = self._refresh.get(text)
        if token is None or token.used or token.grant.revoked or self._clock() >= token.expires_at:
            return None
        return token

    def revoke_all(self, client_id: str | None = None) -> None:
        """Void every grant, or every grant of one client, as an administrator would."""
        grants = [token.grant for token in self._access.values()]
        grants += [token.grant for token in self._refresh.values()]
        for grant in grants:
            if client_id in (None, grant.client_id):
                grant.revoked = True
