"""Reading and writing a record: versions, leases, and what happens when the store is away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from versioned import VersionedStore

from smart_async import StoreError
from smart_async.flow import Load, Now, Save, Sleep
from smart_async.smart.sessions.place import Place, overwrite, persist, persist_or_keep, reread
from smart_async.smart.sessions.record import Record, SessionId
from smart_async.smart.sessions.state import SessionState, Unsaved


@pytest.fixture
def place(login) -> Place:
    return Place(id=SessionId.of_login(login), epoch=0)


@pytest.fixture
def record(place, login) -> Record:
    return Record(id=place.id, token=login)


@pytest.fixture
def session(known_state, place, login) -> SessionState:
    return SessionState(client=known_state, kind="user", id=place.id, login=login)


def stored(script, place):
    """What is stored now, read by somebody else."""
    return script.run(reread(Place(id=place.id, epoch=0))).token


def test_nothing_there(script, place):
    """An empty record, and the version that says so."""
    place.version = "7"
    assert (script.run(reread(place)), place.version) == (Record(id=place.id), None)


def test_there_and_back(script, place, record):
    """What was stored is read, and its version is known before and after."""
    assert script.run(persist(place, record)) is True
    assert place.version == "1"
    other = Place(id=place.id, epoch=0)
    assert script.run(reread(other)).token.to_json() == record.token.to_json()
    assert other.version == "1"


@pytest.mark.parametrize("write", [persist, overwrite])
def test_a_change_by_somebody_else_is_noticed(script, place, record, write):
    """Where the version is another one, nothing is written, and the version stays what it was."""
    script.run(persist(place, record))
    script.store.put(place.key, b"theirs")
    assert script.run(write(place, record)) is False
    assert (script.store.entries[place.key].data, place.version) == (b"theirs", "1")


def test_a_lost_lease(script, place, record, login):
    """Without the latest lease nothing is persisted; what must not be lost is written all the same."""
    script.run(persist(place, record))
    script.fence = script.store.acquire(place.key)
    script.store.acquire(place.key)
    second = replace(record, token=replace(login, issued_at=login.issued_at + 9))
    assert script.run(persist(place, second)) is False
    assert script.run(overwrite(place, second)) is True
    assert (stored(script, place).issued_at, place.version) == (login.issued_at + 9, "2")


def test_overwrite_writes_once_where_it_can(script, place, record):
    """The second try is for a lost lease alone."""
    assert script.run(overwrite(place, record)) is True
    assert script.kinds == [Save]


def test_what_is_written_under_the_lease_bears_its_number(script, place, record):
    """The first try is fenced, so that the store can tell this lease's writes from those before it."""
    script.run(overwrite(place, record))
    assert [step.fenced for step in script.steps] == [True]


def test_what_is_stored_is_nobody_elses(script, place, record):
    """A record that belongs under another key is refused."""
    script.store.put(place.key, replace(record, id=replace(place.id, subject="x")).to_json())
    with pytest.raises(StoreError, match="belongs to another"):
        script.run(reread(place))


def test_kept_until_it_is_stored(script, session, place, record, login):
    """The record is in the process from before the first try until it is stored."""
    seen = []
    script.store.before(Save, lambda: seen.append(session.unsaved))
    assert script.run(persist_or_keep(session, place, record, login)) is True
    assert (seen, session.unsaved) == ([Unsaved(record, None, login)], None)


def test_tried_again_while_there_is_time(script, session, place, record, login):
    """A store that comes back is written to."""
    script.deadline = script.monotonic + 10
    for nth in (1, 2):
        script.store.before(Save, VersionedStore.lost, nth=nth)
    assert script.run(persist_or_keep(session, place, record, login)) is True
    assert script.kinds == [Save, Now, Sleep, Save, Now, Sleep, Save]
    assert session.unsaved is None


@pytest.mark.parametrize(("seconds", "saves"), [(0, 1), (0.5, 1), (0.6, 2), (10, 20)])
def test_kept_when_the_time_is_up(script, session, place, record, login, seconds, saves):
    """The error is the store's, after no more tries than there is time for; and the record is kept."""
    script.deadline = script.monotonic + seconds
    script.store.away = True
    with pytest.raises(StoreError, match="away"):
        script.run(persist_or_keep(session, place, record, login))
    assert script.kinds.count(Save) == saves
    assert session.unsaved == Unsaved(record, None, login)


def test_kept_when_somebody_else_was_quicker(script, session, place, record, login):
    """A conflict is the caller's to settle, so until then the record is not forgotten."""
    script.store.put(place.key, b"theirs")
    assert script.run(persist_or_keep(session, place, record, login)) is False
    assert session.unsaved is not None


def test_kept_when_the_process_is_interrupted(script, session, place, record, login, crash):
    """Also an interrupt in the middle leaves it in the process."""
    script.crash_at = 1
    with pytest.raises(crash):
        script.run(persist_or_keep(session, place, record, login))
    assert session.unsaved == Unsaved(record, None, login)


def test_a_reply_that_was_lost(script, session, place, record, login):
    """What the store took without saying so is a conflict at the next try, and nothing worse."""
    script.deadline = script.monotonic + 10
    script.store.after(Save, VersionedStore.lost)
    assert script.run(persist_or_keep(session, place, record, login)) is False
    assert stored(script, place).access_token == login.access_token


def test_a_place_reads_before_it_knows(script, place):
    """Reading is one step."""
    script.run(reread(place))
    assert script.kinds == [Load]
