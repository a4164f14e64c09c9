"""A session while it lives: which token is given out, and from when on it is replaced."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from smart_async import Scopes, Secret, StoreError
from smart_async.smart.sessions.record import Intent, Record, SessionId
from smart_async.smart.sessions.state import SessionState, Unsaved, renewed_record

NOW = 1_750_000_000.0
NO_JITTER, ALL_JITTER = b"\xff" * 8, b"\0" * 8


@pytest.fixture
def session(known_state, login) -> SessionState:
    """The session of the login; of the jitter the least: renewed as early as can be."""
    known_state.entropy = lambda _: NO_JITTER
    return SessionState(client=known_state, kind="user", id=SessionId.of_login(login), login=login)


def lasting(login, seconds, *, name="at-1"):
    """The login, with a lifetime in seconds or without one."""
    expires_at = None if seconds is None else NOW + seconds
    return replace(login, expires_at=expires_at, access_token=Secret(name))


def test_a_new_session_gives_out_nothing(session, login):
    """The login is at hand, but not given out before it is stored."""
    assert (session.token, session.ready(NOW), session.key) == (login, None, session.id.key)
    assert replace(session, id=None).key is None


def test_nothing_is_known_at_first(known_state):
    """Absent is None, which is what is asked for everywhere."""
    new = SessionState(client=known_state, kind="backend")
    assert (new.id, new.login, new.unsaved, new.unsent, new.failure) == (None, None, None, None, None)
    assert (new.scope, new.epoch) == (Scopes(), 0)


def test_every_new_start_is_another(session, login):
    """What began before the last deletion or the last newer token is told from what began after it."""
    seen = [session.epoch]
    for number in range(1, 4):
        newer = replace(login, issued_at=login.issued_at + number, access_token=Secret(f"at-{number}"))
        session.merge(replace(session, login=newer, current=None))
        seen.append(session.epoch)
        session.forget()
        seen.append(session.epoch)
    assert len(set(seen)) == len(seen) == 7


def test_only_the_refused_token_is_refused(session, login):
    """Another one is as good as before."""
    session.invalidate(login)
    assert (session.refuses(login), session.refuses(lasting(login, 9, name="at-2"))) == (True, False)


def test_a_token_that_never_lived(session, login):
    """One that ends when it begins has no tenth of a life to be renewed in."""
    session.client.entropy = lambda _: NO_JITTER
    assert session.fresh(lasting(replace(login, issued_at=NOW), 0), NOW - 0.01)


@pytest.mark.parametrize(
    ("lifetime", "lead"), [(3600, 60), (600, 60), (300, 30), (60, 6), (10, 1), (1, 0.1), (0, 0)]
)
@pytest.mark.parametrize(("random", "share"), [(NO_JITTER, 1.0), (ALL_JITTER, 0.5)])
def test_when_it_is_renewed(session, login, lifetime, lead, random, share):
    """A tenth of its life before its end, a minute at most; jitter takes away up to half of that."""
    session.client.entropy = lambda _: random
    token = session.publish(lasting(login, lifetime), session.epoch)
    moment = NOW + lifetime - lead * share
    if lifetime:
        assert session.ready(moment - 0.001) is token
    assert session.ready(moment + 0.001) is None


def test_a_token_without_an_end(session, login):
    """It is used until the FHIR server refuses it."""
    token = session.publish(lasting(login, None), session.epoch)
    assert (session.ready(NOW + 1e12), session.fresh(token, NOW + 1e12)) == (token, True)
    session.invalidate(token)
    assert (session.ready(NOW), session.usable(NOW), session.fresh(token, NOW)) == (None, None, False)


def test_a_token_that_nothing_follows_is_used_up(session, login):
    """Without a refresh token there is nothing to gain by ending early; a backend asks again."""
    last = replace(lasting(login, 3600), refresh_token=None)
    session.publish(last, session.epoch)
    assert (session.ready(NOW + 3599.9), session.ready(NOW + 3600)) == (last, None)
    session.kind = "backend"
    session.publish(last, session.epoch)
    assert session.ready(NOW + 3541) is None


def test_a_stored_token_is_fresh_before_the_whole_lead(session, login):
    """Who finds a token in the store takes it only where nobody is about to renew it already."""
    session.client.entropy = lambda _: ALL_JITTER
    token = lasting(login, 3600)
    assert session.fresh(token, NOW + 3539.9)
    assert not session.fresh(token, NOW + 3540)
    assert not session.fresh(None, NOW)


def test_usable_until_its_end(session, login):
    """What is due for renewal still works until it ends, whether it is stored already or not."""
    assert session.usable(NOW + 3599) is login
    token = session.publish(lasting(login, 3600, name="at-2"), session.epoch)
    assert (session.usable(NOW + 3599), session.usable(NOW + 3600)) == (token, None)
    session.forget()
    assert session.usable(NOW) is None


def test_invalidate_is_about_one_token(session, login):
    """A token that has been replaced meanwhile changes nothing; the one at hand is given out no more."""
    token = session.publish(lasting(login, 3600, name="at-2"), session.epoch)
    session.login = None
    session.invalidate(login)
    assert (session.ready(NOW), session.refuses(login)) == (token, False)
    session.invalidate(token)
    assert (session.ready(NOW), session.usable(NOW), session.refuses(token)) == (None, None, True)
    session.forget()
    session.invalidate(token)
    assert session.refused is None


def test_invalidate_before_it_is_stored(session, login):
    """A login that the FHIR server refuses at once is not given out later either."""
    session.invalidate(login)
    assert (session.usable(NOW), session.fresh(login, NOW)) == (None, False)


def test_publish_forgets_the_failure(session, login):
    """Whoever comes after a success hears nothing of the failure before it."""
    session.failed(StoreError("away"), 10.0, session.epoch)
    assert session.failure[1] == 11.0
    session.publish(login, session.epoch)
    assert session.failure is None


def test_what_began_before_changes_nothing_after(session, login):
    """A renewal that ends after its session was deleted or replaced does not bring the old one back."""
    epoch = session.epoch
    session.forget()
    assert session.publish(login, epoch) is login
    assert (session.token, session.current) == (None, None)


def merged(session, *, login=None, current=None):
    other = replace(session, login=login, current=None)
    if current is not None:
        other.publish(current, other.epoch)
    session.merge(other)


def test_merge_takes_what_is_newer(session, login):
    """A newer token of the same login, refreshed elsewhere, takes the place of the one at hand."""
    newer = replace(lasting(login, 3600, name="at-2"), issued_at=NOW + 5)
    session.publish(login, session.epoch)
    epoch = session.epoch
    session.failed(StoreError("away"), 10.0, session.epoch)
    merged(session, login=newer)
    assert (session.token, session.ready(NOW), session.failure) == (newer, None, None)
    assert session.epoch > epoch
    merged(session, current=replace(newer, issued_at=NOW + 6))
    assert session.ready(NOW) is not None


def test_merge_leaves_what_is_not(session, login):
    """The same one again, an older one and none at all change nothing."""
    token = session.publish(replace(login, issued_at=NOW + 5), session.epoch)
    session.login = None
    for other in (login, token, None):
        merged(session, login=other)
        assert session.ready(NOW) is token


def test_merge_into_nothing(session, login):
    """A session that holds nothing takes what there is."""
    session.forget()
    merged(session, login=login)
    assert session.token is login


@pytest.mark.parametrize(("left", "until"), [(100, 5), (3, 3), (None, 5)])
def test_postpone_never_beyond_the_end(session, login, left, until):
    """A token that still works is given out for a while, and never after it ended."""
    token = lasting(login, left)
    session.postpone(token, 5.0, NOW)
    assert (session.ready(NOW + until - 0.1), session.ready(NOW + until)) == (token, None)


def test_pause(session, login):
    """Nobody has to look after a fresh token for ten minutes at most, nor more than once a second."""
    assert session.pause(NOW) == 0.0
    session.publish(lasting(login, 7200), session.epoch)
    assert session.pause(NOW) == 600.0
    assert session.pause(NOW + 7100) == pytest.approx(40.0)
    session.publish(lasting(login, 0), session.epoch)
    assert session.pause(NOW) == 1.0
    session.invalidate(session.token)
    assert session.pause(NOW) == 1.0


def test_forget(session, login):
    """Nothing is left, also not what the store could not take."""
    session.publish(login, session.epoch)
    session.unsaved, session.unsent = Unsaved(Record(id=session.id), None, login), "i-1"
    session.invalidate(login)
    session.failed(StoreError("away"), 10.0, session.epoch)
    session.forget()
    assert (session.token, session.refused, session.unsaved, session.unsent, session.failure) == (None,) * 5


def test_a_renewed_record_has_settled_everything(session, login):
    """Intent, candidate and end are gone with the token that they were about."""
    record = Record(
        id=session.id,
        token=login,
        intent=Intent(id="i", started_at=NOW, fingerprint="f"),
        candidate=login,
        ended="invalid_grant",
    )
    token = lasting(login, 60, name="at-2")
    assert renewed_record(record, token) == Record(id=session.id, token=token)


def test_nothing_is_shown(session, login):
    """A session's repr shows no token and no patient."""
    session.publish(login, session.epoch)
    session.unsaved = Unsaved(Record(id=session.id, token=login), None, login)
    session.invalidate(login)
    for secret in ("at-1", "r-1", "p-3307"):
        assert secret not in repr(session)


def test_an_end_without_end(session, login):
    """Nothing overflows where there is no end."""
    session.postpone(lasting(login, None), inf, NOW)
    assert session.ready(NOW) is not None
