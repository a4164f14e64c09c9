"""Sign-ins that are under way in a browser: from the authorization request to the user's decision."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from smart_async.sandbox.consent import Asked

__all__ = ("Login", "LoginDesk")

_LIFETIME = 600
_KEPT = 500


@dataclass(slots=True, kw_only=True, eq=False)
class Login:
    """
    One sign-in.

    Args:
        key: Its unguessable name, which is in the URLs of its pages.
        asked: The request.
        expires_at: Unix seconds.
        browser: The browser that it belongs to, once one has come.
        user: Who signed in, or None.
        patient: Who was picked, or None.
        done: Whether it was decided.
    """

    key: str
    asked: Asked
    expires_at: float
    browser: str | None = None
    user: str | None = None
    patient: str | None = None
    done: bool = False


class LoginDesk:
    """
    Keeps the sign-ins, the newest few hundred of them.

    Args:
        clock: Returns Unix seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logins: dict[str, Login] = {}

    def open(self, asked: Asked) -> Login:
        """Begin a sign-in for *asked*."""
        login = Login(key=secrets.token_urlsafe(24), asked=asked, expires_at=self._clock() + _LIFETIME)
        if asked.launch is not None:
            login.user = asked.launch.user
        self._logins[login.key] = login
        while len(self._logins) > _KEPT:
            del self._logins[next(iter(self._logins))]
        return login

    def find(self, key: str) -> Login | None:
        """Return the sign-in of that name, decided ones included, unless it is unknown or too old."""
        login = self._logins.get(key)
        return login if login and self._clock() < login.expires_at else None
