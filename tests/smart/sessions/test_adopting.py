"""A store that lost what it had acknowledged: what this process knows is put back, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import Secret, StoreError
from smart_async.flow import Save
from smart_async.smart.sessions.adopting import adopted, latest
from smart_async.smart.sessions.place import Place, persist, reread
from smart_async.smart.sessions.record import Record, SessionId
from smart_async.smart.sessions.state import SessionState


@pytest.fixture
def second(login):
    """The token that took the place of the login's."""
    raw = {**login.raw, "access_token": Secret("at-2")}
    return replace(login, access_token=Secret("at-2"), refresh_token=Secret("r-2"), raw=raw)


@pytest.fixture
def session(known_state, login, second) -> SessionState:
    """A session that has seen its first refresh token replaced."""
    session = SessionState(client=known_state, kind="user", id=SessionId.of_login(login))
    for token in (login, second):
        session.publish(token, session.epoch)
    return session


@pytest.fixture
def place(session) -> Place:
    return Place(id=session.id, epoch=session.epoch)


def test_what_came_after_is_put_back(script, session, place, login, second):
    """Where the store shows a refresh token that was replaced, the one after it is stored again."""
    script.run(persist(place, Record(id=place.id, token=login)))
    assert script.run(latest(session, place)).token is second
    assert script.run(reread(place)).token.to_json() == second.to_json()


@pytest.mark.parametrize("refresh_token", [None, Secret("r-3")])
def test_what_was_not_replaced_stays(script, session, place, login, refresh_token):
    """A token that this process knows nothing about, and one without a refresh token, is what is stored."""
    other = replace(login, access_token=Secret("at-3"), refresh_token=refresh_token)
    script.run(persist(place, Record(id=place.id, token=other)))
    assert script.run(latest(session, place)).token.to_json() == other.to_json()
    assert script.kinds.count(Save) == 1


def test_what_was_deleted_stays_deleted(script, session, place):
    """A record that is gone altogether was deleted: nothing is put back in its place."""
    assert script.run(latest(session, place)) == Record(id=place.id)
    assert script.store.entries == {}


def test_somebody_else_was_quicker(script, session, place, login):
    """Where somebody writes at the same moment nothing is overwritten, and the caller asks again."""
    record = Record(id=place.id, token=login)
    script.run(persist(place, record))
    script.store.before(Save, lambda: script.store.put(place.key, b"theirs"))
    with pytest.raises(StoreError, match="changed by somebody else"):
        script.run(latest(session, place))
    assert script.store.entries[place.key].data == b"theirs"


@pytest.mark.parametrize("there", [False, True])
def test_the_logins_own_token_is_adopted_at_once(script, known_state, login, second, there):
    """Where nothing is stored yet, the login's token is; where a later one is, that is given out."""
    session = SessionState(client=known_state, kind="user", id=SessionId.of_login(login), login=login)
    place = Place(id=session.id, epoch=session.epoch)
    if there:
        script.run(persist(place, Record(id=place.id, token=replace(second, issued_at=login.issued_at + 1))))
    token = script.run(adopted(session, place, None))
    assert token is not None
    assert token.access_token == (second if there else login).access_token
    assert (session.token, session.login) == (token, None)
    assert script.run(reread(place)).token.access_token == token.access_token
