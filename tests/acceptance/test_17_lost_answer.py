"""
The server rotates the refresh token, and then the connection breaks: the hardest case of all.

The old refresh token may be spent, and the new one is lost. Sending the old one again is safe with servers
that forgive it for some seconds, and ends the login with all others.
"""

from __future__ import annotations

import pytest
from rotating import RotatingServer, config_for

from smart_async import OutcomeUnknownError, SessionEndedError, TransportError
from smart_async.stores import MemoryStore

LOST = TransportError("The connection broke off.", endpoint="https://ehr.example.com/r4/token", sent=None)


@pytest.fixture
def server() -> RotatingServer:
    """A server that rotates."""
    return RotatingServer()


def test_nothing_is_sent_again(colour, server, signing_key, clock):
    """By default the outcome is told, the refresh token kept, and not sent again, by this or any process."""
    store = MemoryStore()
    client = colour.make(config_for(server, signing_key), transport=server, store=store, clock=clock)
    token = server.login()
    session = client.session(token)
    colour.call(session.get_token)
    session.invalidate(token)
    server.lose = LOST
    for _ in range(3):
        with pytest.raises(OutcomeUnknownError):
            colour.call(session.get_token)
        clock.now += 2.0
    another = colour.make(config_for(server, signing_key), transport=server, store=store, clock=clock)
    other = colour.call(another.load_session, session.key)
    assert other.token.refresh_token == token.refresh_token
    other.invalidate(other.token)
    with pytest.raises(OutcomeUnknownError, match="was not sent again"):
        colour.call(other.get_token)
    assert server.grants == ["refresh_token"]
    assert server.replays == []


def test_only_on_the_callers_word(colour, server, signing_key, clock):
    """`renew(after_unknown=True)` sends it again: here the server ends the login, and the session says so."""
    client = colour.make(config_for(server, signing_key), transport=server, clock=clock)
    session = client.session(server.login())
    server.lose = LOST
    with pytest.raises(OutcomeUnknownError):
        colour.call(session.renew)
    with pytest.raises(SessionEndedError) as ended:
        colour.call(session.renew, after_unknown=True)
    assert ended.value.error == "invalid_grant"
    assert server.replays == ["rt-1"]
    with pytest.raises(SessionEndedError):
        colour.call(session.renew, after_unknown=True)
    assert len(server.grants) == 2
    # A new login goes on in the same session.
    fresh = server.login(now=clock.now)
    assert colour.call(session.replace, fresh) == fresh
    assert colour.call(session.get_token) == fresh


@pytest.mark.parametrize(("slow", "attempts"), [(0.0, 2), (4.9, 2), (5.1, 1)])
def test_the_grace_try(colour, server, signing_key, clock, slow, attempts):
    """With `refresh_retry="grace"` it is sent once more, within five seconds of the first time."""
    server.rotates = False  # as a forgiving server looks from outside
    client = colour.make(
        config_for(server, signing_key, refresh_retry="grace"), transport=server, clock=clock
    )
    session = client.session(server.login())

    class SlowError(TransportError):
        def __init__(self) -> None:
            super().__init__("No answer came.", sent=None)
            clock.now += slow

    original = server._answer

    def answer(request):
        response = original(request)
        if len(server.grants) == 1 and request.method == "POST":
            raise SlowError
        return response

    server._answer = answer
    if attempts == 2:
        assert colour.call(session.renew).access_token.reveal().startswith("at-")
    else:
        with pytest.raises(OutcomeUnknownError):
            colour.call(session.renew)
    assert server.grants == ["refresh_token"] * attempts


def test_grace_is_given_once(colour, server, signing_key, clock):
    """If the second answer is lost too, that was it."""
    server.rotates = False
    client = colour.make(
        config_for(server, signing_key, refresh_retry="grace"), transport=server, clock=clock
    )
    session = client.session(server.login())
    original = server._answer

    def answer(request):
        response = original(request)
        if request.method == "POST":
            raise LOST
        return response

    server._answer = answer
    for _ in range(3):
        with pytest.raises(OutcomeUnknownError):
            colour.call(session.renew)
    assert server.grants == ["refresh_token"] * 2


def test_a_server_that_never_rotates(colour, server, signing_key, clock):
    """With `refresh_rotates=False` a lost answer is simply asked for again."""
    server.rotates = False
    client = colour.make(
        config_for(server, signing_key, refresh_rotates=False), transport=server, clock=clock
    )
    session = client.session(server.login())
    server.lose = LOST
    assert colour.call(session.renew).refresh_token.reveal() == "rt-1"
    assert server.grants == ["refresh_token"] * 2


def test_what_never_left_is_no_mystery(colour, server, signing_key, clock):
    """A request that certainly did not leave costs nothing: the next attempt is the first."""
    config = config_for(server, signing_key, attempts=1)
    client = colour.make(config, transport=server, clock=clock)
    session = client.session(server.login())
    colour.call(client.discover)
    original, server._answer = (
        server._answer,
        lambda request: (_ for _ in ()).throw(TransportError("No connection.", sent=False)),
    )
    with pytest.raises(TransportError) as failure:
        colour.call(session.renew)
    assert failure.value.sent is False
    server._answer = original
    assert server.good(colour.call(session.renew))
    assert server.replays == []
