"""
Who is signed in: one record for each browser, beside the tokens in the store and without any of them.

Spec: RFC 9700, section 4.7; OWASP session management (idle and absolute lifetimes, new id at login).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, field, replace
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, StoreError
from smart_async.integrations.starlette._shelf import DamagedError, Shelf, hashed, read_record, written
from smart_async.smart.tokens import Token

__all__ = ("WebSession", "WebSessions", "user_of")

logger = logging.getLogger("smart_async.integrations.starlette")

_KIND = "session"
_TOUCHES = 20
"""A session that is in use is written this many times per idle lifetime, and not at every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """
    A signed-in browser.

    Args:
        digest: The hash of the id in its cookie.
        key: The key of its token session.
        fhir_base: The EHR.
        client_id: The registration there.
        user: The hash of the user, or None where the server did not say who it is.
        login: The hash of the state of the login that it came from.
        return_to: Where that login led, or None for the start page.
        created: Unix seconds.
        seen: Unix seconds of about the last request.
    """

    digest: str = field(repr=False)
    key: str = field(repr=False)
    fhir_base: str
    client_id: str
    user: str | None = field(repr=False)
    login: str = field(repr=False)
    return_to: str | None
    created: float
    seen: float


def _read(data: bytes) -> WebSession:
    members: dict[str, Any] = read_record(data, _KIND)
    try:
        session = WebSession(**{name: members[name] for name in WebSession.__slots__})
        _ = session.created + session.seen  # raises for what is no number
    except (KeyError, TypeError):
        raise DamagedError("The store holds a session that this version did not write.") from None
    return session


def user_of(token: Token) -> str | None:
    """
    Return a name for the user of *token*, or None where the server did not say who it is.

    Args:
        token: The token.
    """
    identity = token.identity
    return None if identity is None else hashed(f"{len(identity.issuer)}:{identity.issuer}{identity.subject}")


class WebSessions:
    """
    The signed-in browsers.

    Args:
        shelf: Where they are kept.
        now: Tells Unix seconds.
        idle: Seconds without a request after which one ends.
        lifetime: Seconds after which one ends in any case.

    Raises:
        ConfigurationError: If one of the times is no positive number.
    """

    def __init__(self, shelf: Shelf, now: Callable[[], float], *, idle: float, lifetime: float) -> None:
        self._shelf = shelf
        self._now = now
        self._idle = _seconds(idle, "idle")
        self._lifetime = _seconds(lifetime, "lifetime")

    async def begin(self, session: WebSession) -> None:
        """
        Keep a new session.

        Raises:
            StoreError: If the store cannot be reached, or somebody had the id before.
        """
        data = written(_KIND, {**asdict(session)})
        if not await self._shelf.save(session.digest, data, expected=None):
            raise StoreError("A new session has an id that is in use already.", advice="Sign in again.")

    async def find(self, digest: str | None) -> WebSession | None:
        """
        Return a session, whether or not its time is over.

        Args:
            digest: The hash of its id, or None.

        Raises:
            StoreError: If the store cannot be reached.
        """
        stored = None if digest is None else await self._shelf.load(digest)
        if stored is None:
            return None
        try:
            session = _read(stored.data)
        except DamagedError as error:
            logger.warning("%s The user has to sign in again.", error)
            return None
        # A record copied to another name would make somebody another user.
        return session if session.digest == digest else None

    def over(self, session: WebSession) -> bool:
        """Return whether the time of *session* is over."""
        now = self._now()
        return now >= session.seen + self._idle or now >= session.created + self._lifetime

    async def touch(self, session: WebSession) -> None:
        """
        Note that *session* is in use, now and then.

        Raises:
            StoreError: If the store cannot be reached.
        """
        now = self._now()
        if now < session.seen + self._idle / _TOUCHES:
            return
        stored = await self._shelf.load(session.digest)
        if stored is not None:
            data = written(_KIND, {**asdict(replace(session, seen=now))})
            # If another request was quicker, it has said the same.
            await self._shelf.save(session.digest, data, expected=stored.version)

    async def end(self, digest: str) -> None:
        """Forget a session."""
        await self._shelf.delete(digest)


def _seconds(value: float, field: str) -> float:
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{field} is a positive number of seconds.", field=field)
    return float(value)
