"""
Taking the token that is there already: the login's own, what another worker got, or what this process knows.

A store can lose what it acknowledged: a Redis that was restarted shows what it last wrote to the disk, a
folder what a backup held. The refresh token in it is spent by then, and whoever sends it again ends the login
at the server. So a session remembers which ones it has seen replaced, and puts back what came after them.

Spec: RFC 9700, section 4.14 (rotation and reuse).
"""

from __future__ import annotations

from smart_async.errors import StoreError
from smart_async.flow import Flow, delete, now
from smart_async.smart.sessions.place import Place, persist, reread
from smart_async.smart.sessions.record import Record
from smart_async.smart.sessions.state import SessionState, renewed_record
from smart_async.smart.tokens import Token

__all__ = ("adopted", "crowded", "fresh", "latest")

_INSISTENCE = 3


def adopted(session: SessionState, place: Place, besides: Token | None) -> Flow[Token | None]:
    """
    Return the stored token if it is fresh, storing the login's own where there is none yet.

    Args:
        session: The session.
        place: Where it is stored.
        besides: A token that is not good enough, though it may look fresh.

    Raises:
        StoreError: If the store cannot be reached, or others write there all the time.
    """
    record = yield from latest(session, place)
    login = session.login
    if login is not None:
        for _ in range(_INSISTENCE):
            if not _newer(login, record):
                break
            if (yield from persist(place, renewed_record(record, login))):
                if session.epoch != place.epoch and session.token is None:
                    yield from delete(place.key)  # the session was deleted meanwhile, and that was meant
                    return None
                break
            record = yield from reread(place)
        else:
            raise crowded("Ask for the token again.")
        record = renewed_record(record, login) if _newer(login, record) else record
        if session.login is login:  # and not one that was offered meanwhile
            session.login = None
    return (yield from fresh(session, place, record, besides))


def latest(session: SessionState, place: Place) -> Flow[Record]:
    """
    Return the record, or an empty one where there is none; what the store has lost of it is stored again.

    Args:
        session: The session.
        place: Where it is stored.

    Raises:
        StoreError: If the store cannot be reached, or somebody writes there at the same moment.
    """
    record = yield from reread(place)
    current = session.current
    if current is None or record.token is None or not session.has_replaced(record.token):
        return record
    record = renewed_record(record, current[0])
    if not (yield from persist(place, record)):
        raise crowded("Nothing was sent. Ask for the token again.")
    return record


def fresh(session: SessionState, place: Place, record: Record, besides: Token | None) -> Flow[Token | None]:
    """
    Return the token of *record*, given out from now on, or None if it has to be replaced.

    Args:
        session: The session.
        place: Where it is stored.
        record: What is stored there.
        besides: A token that is not good enough, though it may look fresh.
    """
    instant = yield from now()
    token = record.token
    if token is None or record.candidate is not None or record.ended is not None:
        return None
    if besides is not None and token.access_token == besides.access_token:
        return None
    return session.publish(token, place.epoch) if session.fresh(token, instant.wall) else None


def crowded(advice: str) -> StoreError:
    """
    Return the error for a record that somebody else has changed.

    Args:
        advice: What to do now.
    """
    return StoreError("The session was changed by somebody else at the same moment.", advice=advice)


def _newer(login: Token, record: Record) -> bool:
    stored = record.token
    return stored is None or (login.issued_at > stored.issued_at and login.issued_at >= record.newest)
