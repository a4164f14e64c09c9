"""
A session while it lives: the token that is given out, and when it has to be replaced.

Reading it takes no lock: what belongs together is one tuple, and that is replaced as a whole.
"""

from __future__ import annotations

from dataclasses import field, replace
from math import inf

from smart_async._values import dataclass
from smart_async.errors import SmartError
from smart_async.limits import RENEWAL_LEAD, RENEWAL_LEAD_SHARE
from smart_async.messages import Secret
from smart_async.smart.retries import fraction
from smart_async.smart.scopes import Scopes
from smart_async.smart.sessions.record import Kind, Record, SessionId, fingerprint
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("SessionState", "Unsaved", "renewed_record")

_LONGEST_PAUSE = 600.0
_SHORTEST_PAUSE = 1.0
"""Seconds between two renewals that nobody waits for, where a server's tokens are born expired."""
_FAILURE_TTL = 1.0
"""Seconds for which those who come right after a failure get the same one, and no request of their own."""
_REMEMBERED = 8
"""Refresh tokens that a session has seen replaced, the last ones; a store that is set back is so by less."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """
    A record that has to be stored, though the store was away: its tokens may be the only good ones.

    Args:
        record: The record.
        expected: The version that it was made from.
        previous: The token that it replaces; whoever finds another one in the store was too late.
    """

    record: Record
    expected: str | None
    previous: Token


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
        unsaved: What the store has not taken yet.
        replaced: Which refresh tokens the ones at hand have taken the place of, by their fingerprints.
        unsent: The id of the intent that certainly nothing was sent after, though the store may hold it.
        epoch: Grows whenever the session starts anew, so that what began before changes nothing after.
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
    replaced: tuple[str, ...] = ()
    unsent: str | None = None
    epoch: int = 0
    failure: tuple[SmartError, float] | None = None

    @property
    def key(self) -> str | None:
        """The store's key, once it is known."""
        return None if self.id is None else self.id.key

    @property
    def token(self) -> Token | None:
        """The token at hand, whether or not it still works."""
        current = self.current
        return self.login if current is None else current[0]

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
        token = self.token
        return None if token is None or self.refuses(token) or token.expired(now) else token

    def publish(self, token: Token, epoch: int) -> Token:
        """
        Give out *token* from now on, unless the session was deleted, replaced or offered another meanwhile.

        Args:
            token: A token that is stored.
            epoch: The epoch in which it was read or asked for.
        """
        if epoch == self.epoch:
            self._remember(self.token, token)
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

    def has_replaced(self, token: Token) -> bool:
        """Return whether this process has seen another refresh token take the place of the one of *token*."""
        if not self.replaced or token.refresh_token is None:
            return False
        return fingerprint(token.refresh_token) in self.replaced

    def fresh(self, token: Token | None, now: float) -> bool:
        """
        Return whether *token* needs no renewal yet.

        Args:
            token: A token from the store, or None.
            now: Unix seconds.
        """
        return token is not None and not self.refuses(token) and now < self._renewal_time(token, early=1.0)

    def merge(self, other: SessionState) -> None:
        """
        Take the token of *other*, if it is newer than the one at hand.

        Args:
            other: Another state of the same session: made from a token just now, or loaded from the store.
        """
        known, token = self.token, other.token
        if token is None or (known is not None and token.issued_at <= known.issued_at):
            return
        if self.has_replaced(token):  # by a clock that was ahead, out of a store that was set back
            return
        self.epoch += 1
        self.login, self.current, self.failure = other.login, other.current, None

    def failed(self, error: SmartError, now: float, epoch: int) -> None:
        """
        Remember a failure for those who come right after it.

        Args:
            error: The failure.
            now: Seconds on the monotonic clock.
            epoch: The epoch in which it began; a new login has nothing to do with it.
        """
        if epoch == self.epoch:
            self.failure = (error, now + _FAILURE_TTL)

    def postpone(self, token: Token, seconds: float, now: float) -> None:
        """
        Ask for no other token for some time, since there is one that still works; never beyond its end.

        Args:
            token: The token at hand.
            seconds: For how long.
            now: Unix seconds.
        """
        self.current = (token, min(now + seconds, inf if token.expires_at is None else token.expires_at))

    def pause(self, now: float) -> float:
        """
        Return for how long nobody has to look after this session.

        Args:
            now: Unix seconds.
        """
        current = self.current
        return 0.0 if current is None else min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, current[1] - now))

    def forget(self) -> None:
        """Hold no token any more, and take none that was asked for before."""
        self.epoch += 1
        self.login = self.current = self.refused = self.unsaved = self.unsent = self.failure = None
        self.replaced = ()

    def _remember(self, before: Token | None, token: Token) -> None:
        old = None if before is None else before.refresh_token
        new = token.refresh_token
        if old is not None and new is not None and old != new:
            others = (mark for mark in self.replaced if mark != fingerprint(new))
            self.replaced = (*others, fingerprint(old))[-_REMEMBERED:]

    def _renewal_time(self, token: Token, early: float | None = None) -> float:
        """Return the Unix seconds at which *token* is to be replaced; *early* is the share of the lead."""
        if token.expires_at is None:
            return inf
        if self.kind == "user" and token.refresh_token is None:
            return token.expires_at  # nothing comes after it, so that it is used up
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
