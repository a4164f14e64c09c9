"""
A session while it lives: the token that is given out, and when it has to be replaced.

Reading it takes no lock: what belongs together is one tuple, and that is replaced as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

from smart_async.errors import SmartError
from smart_async.limits import RENEWAL_LEAD, RENEWAL_LEAD_SHARE
from smart_async.messages import Secret
from smart_async.smart.retries import fraction
from smart_async.smart.scopes import Scopes
from smart_async.smart.sessions.record import Kind, Record, SessionId
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("SessionState", "Unsaved", "renewed_record")

_LONGEST_PAUSE = 600.0
_FAILURE_TTL = 1.0
"""Seconds for which those who come right after a failure get the same one, and no request of their own."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A record that has to be stored, though the store was away: its tokens may be the only good ones."""

    record: Record
    expected: str | None


@dataclass(slots=True, kw_only=True, eq=False)
class SessionState:
    """
    The pure half of a session.

    Args:
        client: The client that it belongs to.
        kind: Whether somebody signed in, or the client acts for itself.
        id: Its identity; None for a backend session until the server has been discovered.
        scope: What a backend session asks for.
        login: The token that a user's session began with, until the store has it.
        current: The token given out, and the Unix seconds from which it is to be replaced.
        refused: The access token that the FHIR server no longer takes, or None.
        unsaved: What the store could not take yet.
        failure: The last failure, and until when on the monotonic clock it answers for the next.
    """

    client: ClientState
    kind: Kind
    id: SessionId | None = None
    scope: Scopes = field(default_factory=Scopes)
    login: Token | None = None
    current: tuple[Token, float] | None = None
    refused: Secret | None = None
    unsaved: Unsaved | None = None
    failure: tuple[SmartError, float] | None = None

    @property
    def key(self) -> str | None:
        """The store's key, once it is known."""
        return None if self.id is None else self.id.key

    @property
    def token(self) -> Token | None:
        """The token at hand, whether or not it still works."""
        return self.login if self.current is None else self.current[0]

    def ready(self, now: float) -> Token | None:
        """
        Return the token if it needs no renewal yet, else None.

        Args:
            now: Unix seconds.
        """
        current = self.current
        return current[0] if current is not None and now < current[1] else None

    def usable(self, now: float) -> Token | None:
        """
        Return the token if it still works, though it is time to replace it, else None.

        Args:
            now: Unix seconds.
        """
        current = self.current
        if current is None or self.refuses(current[0]) or current[0].expired(now):
            return None
        return current[0]

    def publish(self, token: Token) -> Token:
        """
        Give out *token* from now on.

        Args:
            token: A token that is stored.
        """
        self.current = (token, self._renewal_time(token))
        self.failure = None
        return token

    def invalidate(self, token: Token) -> None:
        """
        Give out *token* no more: the FHIR server refused it.

        Args:
            token: The token that failed. One that has been replaced meanwhile changes nothing.
        """
        current, login = self.current, self.login
        if login is not None and login.access_token == token.access_token:
            self.refused = token.access_token
        if current is not None and current[0].access_token == token.access_token:
            self.refused = token.access_token
            self.current = (current[0], -inf)

    def refuses(self, token: Token) -> bool:
        """Return whether *token* is the one that the FHIR server no longer takes."""
        return self.refused is not None and token.access_token == self.refused

    def fresh(self, token: Token | None, now: float) -> bool:
        """
        Return whether *token* needs no renewal yet.

        Args:
            token: A token from the store, or None.
            now: Unix seconds.
        """
        return token is not None and not self.refuses(token) and now < self._renewal_time(token, early=1.0)

    def offer(self, token: Token) -> None:
        """
        Take *token* as this session's, if it is newer than the one at hand.

        Args:
            token: A token of the same login.
        """
        known = self.current[0] if self.current is not None else self.login
        if known is None or token.issued_at > known.issued_at:
            self.login = token
            self.current = None

    def failed(self, error: SmartError, now: float) -> None:
        """
        Remember a failure for those who come right after it.

        Args:
            error: The failure.
            now: Seconds on the monotonic clock.
        """
        self.failure = (error, now + _FAILURE_TTL)

    def postpone(self, seconds: float, now: float) -> None:
        """
        Ask for no other token for some time, since there is one that still works.

        Args:
            seconds: For how long.
            now: Unix seconds.
        """
        if self.current is not None and not self.refuses(self.current[0]):
            self.current = (self.current[0], now + seconds)

    def pause(self, now: float) -> float:
        """
        Return for how long nobody has to look after this session.

        Args:
            now: Unix seconds.
        """
        return 0.0 if self.current is None else min(_LONGEST_PAUSE, max(0.0, self.current[1] - now))

    def forget(self) -> None:
        """Hold no token any more."""
        self.login = self.current = self.refused = self.unsaved = self.failure = None

    def _renewal_time(self, token: Token, early: float | None = None) -> float:
        """Return the Unix seconds at which *token* is to be replaced; *early* is the share of the lead."""
        if token.expires_at is None:
            return inf
        lead = min(RENEWAL_LEAD, RENEWAL_LEAD_SHARE * max(0.0, token.expires_at - token.issued_at))
        # Between the half and the whole of it, so that workers which share a token do not wake up at once.
        share = 0.5 + fraction(self.client.entropy) / 2 if early is None else early
        return token.expires_at - lead * share


def renewed_record(record: Record, token: Token) -> Record:
    """
    Return *record* with *token* in the place of everything that was in the balance.

    Args:
        record: What was stored.
        token: The token that is in use from now on.
    """
    return replace(record, token=token, intent=None, candidate=None, ended=None)
