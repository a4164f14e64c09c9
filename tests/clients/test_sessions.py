"""Sessions through both clients: the same methods, the same behaviour, in three colours."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import threading

import anyio
import pytest
from rotating import RotatingServer, config_for

from smart_async import (
    AsyncSmartSession,
    ConfigurationError,
    Event,
    OAuthError,
    PublicClient,
    SessionEndedError,
    SmartSession,
    StoreError,
    TokenOriginError,
    TransportError,
)
from smart_async.stores import MemoryStore

NOW = 1_750_000_000.0


class Clock:
    """Both clocks, moved by hand."""

    now = NOW

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - NOW + 1_000.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> RotatingServer:
    return RotatingServer()


@pytest.fixture
def make(colour, server, signing_key, clock):
    """Makes clients of the server, over one clock."""

    def make(**arguments):
        changes = arguments.pop("changes", {})
        config = config_for(server, signing_key, **changes)
        return colour.make(config, transport=server, clock=clock, **arguments)

    return make


def close(colour, thing):
    colour.call(thing.aclose if hasattr(thing, "aclose") else thing.close)


def test_a_token_is_kept_until_it_is_due(colour, make, server, clock):
    """The login's token is given out as it is, and replaced within the last minute of its hour."""
    session = make().session(token := server.login())
    for clock.now in (NOW, NOW + 3600 - 60.1):
        assert colour.call(session.get_token) is token
    assert server.token_requests == []
    clock.now = NOW + 3600 - 29.9
    renewed = colour.call(session.get_token)
    assert (renewed.access_token != token.access_token, len(server.token_requests)) == (True, 1)
    assert session.token is renewed


def test_a_short_life_costs_a_tenth(colour, make, server, clock):
    """Of a token that lives a minute, renewal takes six seconds at most and three at least."""
    server.lifetime = 60
    session = make().session(token := server.login())
    assert colour.call(session.get_token) is token
    clock.now = NOW + 53.9
    assert colour.call(session.get_token) is token
    clock.now = NOW + 57.1
    assert colour.call(session.get_token) is not token


def test_the_way_that_is_taken_most(colour, make, server, monkeypatch):
    """A valid token is given out without a flow, a lock, the store or a task."""

    class Untouchable(MemoryStore):
        forbidden = False

        def load(self, key):
            assert not self.forbidden
            return super().load(key)

    store = Untouchable()
    session = make(store=store).session(token := server.login())
    colour.call(session.get_token)
    store.forbidden = True
    for name in ("_flights", "_perform"):
        monkeypatch.setattr(session, name, None)
    assert colour.call(session.get_token) is session.ready() is token
    monkeypatch.undo()


def test_a_backend_token_is_fetched_and_kept(colour, make, server, clock):
    """Two calls within its life make one request; the next one is made when it is due."""
    session = make().backend_session("system/Patient.rs")
    assert (session.key, session.token, session.ready()) == (None, None, None)
    token = colour.call(session.get_token)
    assert colour.call(session.get_token) is token
    assert session.ready() is token
    assert session.key.startswith("backend-")
    clock.now += 3600
    assert colour.call(session.get_token) is not token
    assert server.grants == ["client_credentials"] * 2


def test_invalidated(colour, make, server):
    """A refused token is given out no more; refusing one that has been replaced changes nothing."""
    session = make().session(token := server.login())
    session.invalidate(token)
    renewed = colour.call(session.get_token)
    assert renewed.access_token != token.access_token
    session.invalidate(token)
    assert colour.call(session.get_token) is renewed
    session.invalidate(renewed)
    assert session.ready() is None
    assert len(server.token_requests) == 1


def test_one_session_for_one_login(colour, make, server):
    """Asking again, with the old token or the refreshed one, finds the same session with the newest token."""
    client = make()
    token = server.login()
    session = client.session(token)
    assert client.session(token) is session
    refreshed = dataclasses.replace(colour.call(client.refresh, token), issued_at=NOW + 1)
    assert client.session(refreshed) is session
    assert colour.call(session.get_token) is refreshed
    assert client.session(token) is session
    assert colour.call(session.get_token) is refreshed
    assert client.session(server.login()) is not session
    assert client.backend_session("system/*.rs") is client.backend_session("system/*.rs")
    assert server.replays == []


def test_after_a_restart(colour, make, server, clock):
    """What one process stored, the next loads by its key: no request, until the token is due."""
    store = MemoryStore()
    session = make(store=store).session(server.login())
    token = colour.call(session.get_token)
    loaded = colour.call(make(store=store).load_session, session.key)
    assert loaded is not session
    assert colour.call(loaded.get_token) == token
    clock.now += 3600
    renewed = colour.call(loaded.get_token)
    # The first process re-reads the store, and refreshes nothing.
    assert colour.call(session.get_token) == renewed
    assert server.grants == ["refresh_token"]


def test_loading_what_is_at_hand(colour, make, server):
    """In the same client the session in use is returned, with the token that the store has."""
    store = MemoryStore()
    client = make(store=store)
    session = client.session(server.login())
    colour.call(session.get_token)
    other = colour.call(make(store=store).load_session, session.key)
    renewed = dataclasses.replace(server.login(now=NOW + 1), lineage=session.token.lineage)
    colour.call(other.replace, renewed)
    assert colour.call(client.load_session, session.key) is session
    assert colour.call(session.get_token).access_token == renewed.access_token


def test_nothing_to_load(colour, make):
    """An unknown key says that the user has to sign in."""
    with pytest.raises(SessionEndedError, match="no session under this key"):
        colour.call(make().load_session, "user-0")


def test_renewed_on_demand(colour, make, server):
    """`renew` gets another token although the old one still works, also where this process has none yet."""
    store = MemoryStore()
    session = make(store=store).backend_session("system/*.rs")
    first = colour.call(session.get_token)
    assert colour.call(session.renew).access_token != first.access_token
    other = make(store=store).backend_session("system/*.rs")
    third = colour.call(other.renew)
    assert third.access_token.reveal() not in (
        first.access_token.reveal(),
        session.token.access_token.reveal(),
    )
    assert server.grants == ["client_credentials"] * 3


def test_signed_in_again(colour, make, server, clock):
    """When the refresh token is refused the session has ended; a new login's token revives it."""
    session = make().session(server.login())
    server.live.clear()
    clock.now += 3600
    for _ in range(2):
        with pytest.raises(SessionEndedError) as ended:
            colour.call(session.get_token)
        assert (ended.value.error, isinstance(ended.value, OAuthError)) == ("invalid_grant", True)
        clock.now += 2
    assert len(server.token_requests) == 1
    token = server.login(now=clock.now)
    assert colour.call(session.replace, token) is token
    assert colour.call(session.get_token) is token


def test_replacing_with_a_foreign_token(colour, make, server):
    """A token of another registration is refused before anything is stored."""
    session = make().session(server.login())
    other = RotatingServer("https://other.example.com/r4").login()
    with pytest.raises(ConfigurationError, match="belongs to client app at https://other"):
        colour.call(session.replace, other)


def test_forgotten(colour, make, server):
    """A deleted session is gone from the store, and has no token."""
    store = MemoryStore()
    client = make(store=store)
    session = client.session(server.login())
    colour.call(session.get_token)
    colour.call(session.delete)
    assert (store.load(session.key), session.token) == (None, None)
    with pytest.raises(SessionEndedError, match="not stored any more"):
        colour.call(session.get_token)
    never = client.backend_session("system/*.rs")
    colour.call(never.delete)
    assert server.token_requests == []


@pytest.mark.parametrize("scope", ["", "system/Patient.rs,system/Observation.rs", 7])
def test_backend_scopes_are_checked(make, scope):
    """No scope, commas and other things are refused at once."""
    with pytest.raises(ConfigurationError) as refused:
        make().backend_session(scope)
    assert refused.value.field == "scope"


def test_a_public_client_has_no_backend_session(colour, server, clock):
    """Who proves nothing about itself gets no token of its own."""
    from smart_async import SmartConfig

    client = colour.make(
        SmartConfig(fhir_base=server.base, client_id="app", client_auth=PublicClient()), transport=server
    )
    with pytest.raises(ConfigurationError, match="public client"):
        client.backend_session()


@pytest.mark.parametrize("token", ["eyJ…", None, {"access_token": "at"}])
def test_a_session_is_made_from_a_token(make, token):
    """Text and dicts are refused, with the way to read what was stored."""
    with pytest.raises(ConfigurationError, match="token must be a Token"):
        make().session(token)


@pytest.mark.parametrize(("argument", "value"), [("store", {}), ("store", "tokens"), ("on_event", 7)])
def test_parts_are_checked(make, argument, value):
    """What is no store and what cannot be called is refused when the client is made."""
    with pytest.raises(ConfigurationError) as refused:
        make(**{argument: value})
    assert refused.value.field == argument


def test_events(colour, make, server, clock, caplog):
    """Start and end of each renewal are events, and a failure is a warning in the log; no token is in any."""
    caplog.set_level(logging.DEBUG, "smart_async")
    events: list[Event] = []
    session = make(on_event=events.append, changes={"attempts": 1}).session(server.login())
    colour.call(session.get_token)
    assert events == []
    colour.call(session.renew)
    assert [event.name for event in events] == ["token.refresh.start", "token.refresh.ok"]
    server.lose = TransportError("No answer came.", sent=None)
    clock.now += 3700
    with pytest.raises(TransportError):
        colour.call(session.get_token)
    assert [event.name for event in events[2:]] == ["token.refresh.start", "token.refresh.fail"]
    assert (events[-1].error, events[-1].client_id, events[-1].fhir_base) == (
        "OutcomeUnknownError",
        "app",
        server.base,
    )
    assert [record.levelname for record in caplog.records if record.name == "smart_async.sessions"] == [
        *["DEBUG"] * 3,
        "WARNING",
    ]
    assert not [name for name in (*server.live, *server.spent) if name in caplog.text + str(events)]


def test_a_listener_that_fails(colour, make, server, caplog):
    """A broken metrics hook costs nobody a token."""

    def listener(event):
        raise ValueError("the metrics server is down")

    assert colour.call(make(on_event=listener).session(server.login()).renew)
    assert "the metrics server is down" in caplog.text


def test_a_server_that_is_away(colour, make, server, clock):
    """While the old token works it is given out, and the server is not asked at every call."""
    session = make(changes={"attempts": 1}).session(token := server.login())
    colour.call(session.get_token)
    clock.now = NOW + 3600 - 20
    answer, asked = server._answer, []

    def away(request):
        asked.append(request)
        raise TransportError("No connection.", sent=False)

    server._answer = away
    for _ in range(5):
        assert colour.call(session.get_token) is token
    assert len(asked) == 1
    clock.now += 6
    assert colour.call(session.get_token) is token
    assert len(asked) == 2
    clock.now = NOW + 3601
    for _ in range(3):  # those who come right after a failure get the same one
        with pytest.raises(TransportError, match="No connection"):
            colour.call(session.get_token)
    assert len(asked) == 3
    server._answer = answer
    clock.now += 1.1
    assert colour.call(session.get_token) is not token


def test_a_store_that_is_away(colour, make, server, clock):
    """A token that could not be stored is stored first of all next time: it may be the only good one."""

    class Moody(MemoryStore):
        away = False

        def save(self, *arguments, **named):
            if self.away:
                clock.now += 20  # until the operation has no time left
                raise StoreError("The disk is full.")
            return super().save(*arguments, **named)

    store = Moody()
    session = make(store=store).session(server.login())
    colour.call(session.get_token)
    clock.now = NOW + 3700
    answer = server._answer

    def then_away(request):
        store.away = request.method == "POST"
        return answer(request)

    server._answer = then_away
    with pytest.raises(StoreError, match="disk is full"):
        colour.call(session.get_token)
    store.away, server._answer = False, answer
    clock.now += 2
    token = colour.call(session.get_token)
    assert server.good(token)
    assert (server.grants, server.replays) == (["refresh_token"], [])


def test_an_error_for_each(colour, make, server, clock):
    """Callers of one failed renewal get errors of their own: raising one adds to it."""
    session = make().session(server.login())
    server.live.clear()
    clock.now += 3700
    caught = []
    for _ in range(2):
        with pytest.raises(SessionEndedError) as ended:
            colour.call(session.get_token)
        caught.append(ended.value)
    assert caught[0] is not caught[1]
    assert vars(caught[0]) == vars(caught[1])
    assert caught[0].args == caught[1].args


def test_the_client_waits_for_its_sessions(colour, make, server):
    """Closing a client ends `keep_renewed` and waits for what is in progress."""
    client = make()
    session = client.session(server.login())
    colour.call(session.renew)
    close(colour, client)
    colour.call(session.keep_renewed)  # returns at once, since the session is closed
    close(colour, session)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_in_a_client_of_the_users(colour, make, server, library):
    """`auth()` and `httpx2_auth()` give the token to the FHIR server, and another when it is refused."""
    http = pytest.importorskip(library)
    session = make().session(server.login())
    seen = []

    def answer(request):
        seen.append(request.headers["Authorization"])
        return http.Response(401 if len(seen) == 1 else 200, json={"resourceType": "Patient"})

    auth = session.auth() if library == "httpx" else session.httpx2_auth()
    kind = http.Client if colour.name == "sync" else http.AsyncClient
    client = kind(transport=http.MockTransport(answer), auth=auth, base_url=server.base)
    assert colour.call(client.get, "Patient/p-1").status_code == 200
    assert len(set(seen)) == 2
    assert server.grants == ["refresh_token"]
    with pytest.raises(TokenOriginError):
        colour.call(client.get, "https://evil.example.com/r4/Patient/p-1")
    assert len(seen) == 2
    colour.call(client.close if colour.name == "sync" else client.aclose)


def test_repr(make, server):
    """A session names its registration, and nothing of its token."""
    session = make().session(server.login())
    assert repr(session).endswith(f"Session of app at {server.base}>")
    assert session.config.client_id == "app"


def test_same_names_and_words():
    """Both sessions have the same methods and arguments, but for how they are closed."""
    closing = {"close", "aclose"}
    ours, theirs = (
        {name: value for name, value in vars(kind).items() if not name.startswith("_")}
        for kind in (SmartSession, AsyncSmartSession)
    )
    assert set(ours) - closing == set(theirs) - closing
    for name in set(ours) - closing:
        pair = [getattr(value, "fget", value) for value in (ours[name], theirs[name])]
        parameters = [
            [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]
            for function in pair
        ]
        assert parameters[0] == parameters[1], name
        assert pair[0].__doc__, name


# keep_renewed ----------------------------------------------------------------------------------------------


def test_kept_renewed_in_a_thread(server, signing_key):
    """Renewals come before anybody has to wait, failures are outlived, and the session's end ends it."""
    from smart_async import SmartClient

    server.lifetime = 1
    arrived = threading.Semaphore(0)
    answer, failures = server._answer, [TransportError("No connection.", sent=False)]

    def counting(request):
        if request.method == "POST":
            arrived.release()
            if len(server.grants) == 1 and failures:
                raise failures.pop()
        return answer(request)

    server._answer = counting
    client = SmartClient(config_for(server, signing_key, attempts=1), transport=server)
    session = client.backend_session("system/*.rs")
    ended = []

    def keep():
        try:
            session.keep_renewed()
        except SessionEndedError as exc:
            ended.append(exc)

    thread = threading.Thread(target=keep)
    thread.start()
    for _ in range(3):
        assert arrived.acquire(timeout=20)
    client.close()
    thread.join(20)
    assert not thread.is_alive()
    assert ended == []
    dead = client.session(server.login(now=0.0))
    server.live.clear()
    with pytest.raises(SessionEndedError):
        dead.keep_renewed()


@pytest.mark.anyio
async def test_kept_renewed_in_a_task(server, signing_key, anyio_backend):
    """The same in a task: until it is cancelled, the session is closed, or there is no further token."""
    from smart_async import AsyncSmartClient

    server.lifetime = 1
    failures = [TransportError("No connection.", sent=False)]
    answer = server._answer

    def failing(request):
        if request.method == "POST" and len(server.grants) == 1 and failures:
            raise failures.pop()
        return answer(request)

    server._answer = failing
    client = AsyncSmartClient(config_for(server, signing_key, attempts=1), transport=server)
    session = client.backend_session("system/*.rs")
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(session.keep_renewed)
            while len(server.grants) < 3:  # noqa: ASYNC110 - the server is no task
                await anyio.sleep(0.01)
            await client.aclose()
        assert failures == []
        dead = client.session(server.login(now=0.0))
        server.live.clear()
        with pytest.raises(SessionEndedError):
            await dead.keep_renewed()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await client.session(server.login()).keep_renewed()
        assert scope.cancelled_caught
