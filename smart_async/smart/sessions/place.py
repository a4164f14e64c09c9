"""Reading and writing one session's record, with the version that the next write has to find."""

from __future__ import annotations

from smart_async._values import dataclass
from smart_async.errors import StoreError
from smart_async.flow import Flow, load, now, save, sleep
from smart_async.limits import RETRY_PAUSE
from smart_async.smart.sessions.record import Record, SessionId, read_record
from smart_async.smart.sessions.state import SessionState, Unsaved
from smart_async.smart.tokens import Token

__all__ = ("Place", "overwrite", "persist", "persist_or_keep", "reread")


@dataclass(slots=True, kw_only=True)
class Place:
    """
    Where a session is stored.

    Args:
        id: The session.
        epoch: The session's epoch when this operation began.
        version: The version that was read or written last; None where there is nothing.
    """

    id: SessionId
    epoch: int
    version: str | None = None

    @property
    def key(self) -> str:
        """The store's key."""
        return self.id.key


def reread(place: Place) -> Flow[Record]:
    """
    Return the record, or an empty one where there is none, and note its version.

    Args:
        place: Where.

    Raises:
        StoreError: If the store cannot be reached, or holds something else.
    """
    stored = yield from load(place.key)
    if stored is None:
        place.version = None
        return Record(id=place.id)
    place.version = stored.version
    return read_record(stored.data, place.key)


def persist(place: Place, record: Record) -> Flow[bool]:
    """
    Store *record*, and return whether that was possible: nobody has changed it since.

    Args:
        place: Where, and which version is expected there.
        record: What.

    Raises:
        StoreError: If the store cannot be reached.
    """
    version = yield from save(place.key, record.to_json(), expected=place.version)
    if version is None:
        return False
    place.version = version
    return True


def overwrite(place: Place, record: Record) -> Flow[bool]:
    """
    Store *record* although the lease may have been lost meanwhile; the version alone decides.

    A worker that was stopped for longer than its lease lasts holds the only good refresh token all the same.

    Args:
        place: Where, and which version is expected there.
        record: What.

    Raises:
        StoreError: If the store cannot be reached.
    """
    if (yield from persist(place, record)):
        return True
    version = yield from save(place.key, record.to_json(), expected=place.version, fenced=False)
    place.version = version or place.version
    return version is not None


def persist_or_keep(session: SessionState, place: Place, record: Record, previous: Token) -> Flow[bool]:
    """
    Store *record*, which holds a token that must not be lost, trying for as long as the operation may take.

    Until it is stored it is kept in the process, whatever happens here, and stored before anything else next
    time.

    Args:
        session: The session.
        place: Where, and which version is expected there.
        record: What.
        previous: The token that it replaces.

    Returns:
        Whether it is stored; False if somebody else has changed it meanwhile.

    Raises:
        StoreError: If the store cannot be reached.
    """
    session.unsaved = Unsaved(record, place.version, previous)
    while True:
        try:
            stored = yield from overwrite(place, record)
        except StoreError:
            instant = yield from now()
            if instant.monotonic + RETRY_PAUSE >= instant.deadline:
                raise
        else:
            session.unsaved = None if stored else session.unsaved
            return stored
        yield from sleep(RETRY_PAUSE)
