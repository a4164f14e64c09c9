"""A session's next token: fetched once, stored before it is used, and never asked for twice by accident."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from smart_async import (
    ConfigurationError,
    ContextChangedError,
    DiscoveryError,
    IdTokenError,
    OAuthError,
    OutcomeUnknownError,
    PublicClient,
    Scopes,
    Secret,
    SessionEndedError,
    StoreError,
    Token,
    TransportError,
)
from smart_async.flow import Delete, Exclusive, Load, Save, Send
from smart_async.messages import Event
from smart_async.smart.renewal import (
    backend_session,
    current_token,
    delete_session,
    load_session,
    renew,
    replace_token,
    user_session,
)
from smart_async.smart.sessions.record import Intent, Record, SessionId, fingerprint, read_record
from smart_async.smart.sessions.state import SessionState, renewed_record
from smart_async.smart.state import CachedMetadata
from smart_async.smart.token_response import parse_token_response

NOW = 1_750_000_000.0
LOST = TransportError("The server did not answer in time.", sent=None)
REFUSED = TransportError("The connection was refused.", sent=False)


class Scene:
    """One login, whose session this process and others use over one store."""

    def __init__(self, script, state, login) -> None:
        self.script, self.state, self.login = script, state, login
        self.session = user_session(state, login)
        self.key = self.session.key

    def get(self, session=None):
        return self.script.run(current_token(session or self.session))

    def renew(self, session=None, **options):
        return self.script.run(renew(session or self.session, **options))

    def worker(self) -> SessionState:
        """The same session in another process."""
        return self.script.run(load_session(replace(self.state), self.key))

    def due(self) -> None:
        """Let the hour almost pass: the token still works, and is to be renewed."""
        self.script.advance(3590)

    def over(self) -> None:
        """Let the hour pass."""
        self.script.advance(3700)

    @property
    def stored(self) -> Record:
        return read_record(self.script.store.entries[self.key].data, self.key)

    def put(self, record: Record) -> None:
        self.script.store.put(self.key, record.to_json())

    @property
    def sent(self) -> list[str]:
        forms = [parse_qs(request.body.decode()) for request in self.script.requests if request.body]
        return [form["refresh_token"][0] for form in forms if "refresh_token" in form]

    @property
    def events(self) -> list[str]:
        return [event.name.removeprefix("token.refresh.") for event in self.script.events]


@pytest.fixture
def scene(script, known_state, login) -> Scene:
    return Scene(script, known_state, login)


@pytest.fixture
def started(scene) -> Scene:
    """The same, after the first token was given out."""
    scene.get()
    scene.script.steps.clear()
    return scene


@pytest.fixture
def elsewhere(login, refreshed, binding):
    """A token that was refreshed outside of the session: `elsewhere(7, at=NOW + 5)`."""

    def make(number, at=NOW + 5, **changes):
        response = refreshed(number, **changes).stamped(at)
        return parse_token_response(response, binding=binding, requested_scope="", previous=login)

    return make


# ------------------------------------------------------------------------------------------- the login


def test_a_login_is_stored_before_it_is_given_out(scene, login):
    """The first token is the login's own; it is in the store, and no lease was needed for that."""
    assert scene.get() is login
    assert scene.stored.token.to_json() == login.to_json()
    assert (scene.script.kinds.count(Save), Exclusive in scene.script.kinds) == (1, False)
    assert (scene.session.login, scene.session.ready(NOW)) == (None, login)


def test_a_token_at_hand_costs_nothing(started, login):
    """While it is fresh, no store and no server is asked."""
    assert started.get() is login
    assert (Load in started.script.kinds, started.script.requests) == (False, [])


def test_a_store_that_is_away_at_the_start(scene, login):
    """The login works all the same, and is stored when the store is back."""
    scene.script.store.away = True
    assert scene.get() is login
    assert scene.session.login is login
    scene.script.store.away = False
    scene.script.advance(6)
    assert scene.get() is login
    assert scene.stored.token.to_json() == login.to_json()


def test_an_old_login_does_not_overwrite_the_store(started, login, refreshed):
    """A web app may make the session from the token of the login for ever: the newest one counts."""
    started.over()
    started.script.answer(refreshed(2))
    started.get()
    again = user_session(started.state, login)
    assert started.get(again).access_token == Secret("at-2")
    assert started.stored.token.access_token == Secret("at-2")
    assert started.sent == ["r-1"]


@pytest.mark.parametrize("crowd", [1, 2])
def test_a_newer_token_gets_into_the_store(started, elsewhere, crowd):
    """One refreshed elsewhere is not lost because somebody writes a note at the same moment."""
    newer = elsewhere(7)
    started.session.merge(user_session(started.state, newer))
    for nth in range(1, crowd + 1):
        started.script.store.before(Save, lambda: started.put(started.stored), nth=nth)
    assert started.get() is newer
    assert (started.stored.token.access_token, started.session.login) == (Secret("at-7"), None)


def test_a_token_of_the_same_moment_changes_nothing(started, elsewhere):
    """Of two that are equally new the stored one stays: nobody can say which was the later."""
    again = user_session(started.state, elsewhere(7, at=started.login.issued_at))
    assert started.get(again).access_token == started.login.access_token
    assert started.stored.token.access_token == started.login.access_token


def test_a_login_of_the_moment_of_a_candidate(started, elsewhere):
    """A token that somebody vouches for comes before one that is as new and waits to be looked at."""
    started.put(replace(started.stored, candidate=elsewhere(7)))
    assert started.get(user_session(started.state, elsewhere(8))).access_token == Secret("at-8")


def test_a_newer_token_in_a_crowd(started, elsewhere):
    """After three conflicts it waits in the process; the token still works."""
    newer = elsewhere(7)
    started.session.merge(user_session(started.state, newer))
    for nth in range(1, 4):
        started.script.store.before(Save, lambda: started.put(started.stored), nth=nth)
    assert started.get() is newer
    assert (started.session.login, started.stored.token.access_token) == (newer, Secret("at-1"))
    started.script.advance(6)
    assert started.get() is newer
    assert started.stored.token.access_token == Secret("at-7")


def test_a_login_that_comes_while_another_is_stored(started, elsewhere):
    """What is offered in between is not forgotten with the one that is stored by then."""
    newer, newest = elsewhere(7), elsewhere(8, at=NOW + 6)
    started.session.merge(user_session(started.state, newer))
    started.script.store.after(Save, lambda: started.session.merge(user_session(started.state, newest)))
    started.get()
    assert (started.session.login, started.session.ready(NOW + 6)) == (newest, None)
    assert started.get() is newest


def test_an_older_login_leaves_a_candidate_alone(started, elsewhere):
    """The candidate may hold the only good refresh token; a login from before it does not push it out."""
    candidate = elsewhere(9, at=NOW + 9)
    started.put(replace(started.stored, candidate=candidate))
    started.session.merge(user_session(started.state, elsewhere(7)))
    assert started.get().access_token == Secret("at-9")


# ------------------------------------------------------------------------------------------- renewing


@pytest.mark.rule("BS-09", "RF-05")
def test_renewed_when_it_is_time(started, refreshed):
    """Before its end a new token is asked for, under the lease; the one after it is ready at once."""
    started.due()
    started.script.answer(refreshed(2))
    token = started.get()
    assert (token.access_token, started.get()) == (Secret("at-2"), token)
    assert (started.sent, started.events) == (["r-1"], ["start", "ok"])
    leases = [step for step in started.script.steps if isinstance(step, Exclusive)]
    assert [(step.key, step.leased) for step in leases] == [(started.key, True)]


@pytest.mark.rule("RF-06", "BS-12")
def test_the_store_is_read_before_anything_is_sent(started, elsewhere):
    """Another worker may have been quicker: its token is taken, without the lease."""
    started.due()
    started.put(renewed_record(started.stored, elsewhere(7, at=NOW + 3580)))
    assert started.get().access_token == Secret("at-7")
    assert (started.script.requests, started.events, Exclusive in started.script.kinds) == ([], [], False)


@pytest.mark.rule("RF-06", "BS-12")
def test_the_store_is_read_again_under_the_lease(started, elsewhere):
    """Or quicker to the lease."""
    started.due()
    other = renewed_record(started.stored, elsewhere(7, at=NOW + 3580))
    started.script.store.before(Load, lambda: started.put(other), nth=2)
    assert started.get().access_token == Secret("at-7")
    assert started.script.requests == []


def test_expires_in_zero_is_one_request_each(started, refreshed):
    """A server whose tokens are born expired gets one request for each call, and no loop."""
    started.over()
    for number in (2, 3):
        started.script.answer(refreshed(number, expires_in=0))
        assert started.get().access_token == Secret(f"at-{number}")
    started.script.finished()


def test_a_token_without_an_end_is_renewed_after_a_refusal(started, refreshed):
    """It is used until the FHIR server answers 401."""
    started.over()
    started.script.answer(refreshed(2, expires_in=...))
    token = started.get()
    started.script.advance(1e9)
    assert started.get() is token
    started.session.invalidate(token)
    started.script.answer(refreshed(3))
    assert started.get().access_token == Secret("at-3")


def test_a_refused_token_is_not_taken_from_the_store(started, refreshed):
    """After a 401 the store's copy of the same token is no better."""
    started.session.invalidate(started.login)
    started.script.answer(refreshed(2))
    assert started.get().access_token == Secret("at-2")


def test_a_refused_token_that_was_replaced_elsewhere(started, elsewhere):
    """After a 401 the token that another worker got meanwhile is enough."""
    started.put(renewed_record(started.stored, elsewhere(7)))
    started.session.invalidate(started.login)
    assert started.get().access_token == Secret("at-7")
    assert started.script.requests == []


@pytest.mark.parametrize("seconds", [-86_400, -1])
def test_a_clock_that_is_set_back(started, refreshed, seconds):
    """The token is used for longer than it should; the FHIR server's refusal mends that."""
    started.script.wall += seconds
    assert started.get() is started.login
    started.session.invalidate(started.login)
    started.script.answer(refreshed(2))
    assert started.get().access_token == Secret("at-2")


def test_a_clock_that_is_set_forward(started, refreshed):
    """The token is renewed early, and nothing else happens."""
    started.script.wall += 1e7
    started.script.answer(refreshed(2))
    assert started.get().access_token == Secret("at-2")


# --------------------------------------------------------------------------- when there is none to be had


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (REFUSED, TransportError),
        (LOST, OutcomeUnknownError),
        ((429, {}), OAuthError),
        ((500, {}), OAuthError),
        ((503, {}), OAuthError),
    ],
)
def test_an_outage_before_the_end(started, json_response, failure, error):
    """While the old token works it is given out, and nobody is asked for five seconds."""
    started.due()
    started.script.answer(json_response(failure[1], failure[0]) if isinstance(failure, tuple) else failure)
    assert started.get() is started.login
    started.script.steps.clear()
    started.script.advance(4.9)
    assert started.get() is started.login
    assert (Send in started.script.kinds, Load in started.script.kinds) == (False, False)
    started.script.advance(6)
    if error is not OutcomeUnknownError and started.stored.intent is None:
        started.script.answer(REFUSED)
    with pytest.raises(TransportError):
        started.get()
    assert started.stored.token.refresh_token == Secret("r-1")


def test_an_outage_of_the_store(started):
    """The same where it is the store that is away, at any step."""
    started.due()
    started.script.store.away = True
    assert started.get() is started.login
    started.script.advance(11)
    with pytest.raises(StoreError):
        started.get()
    assert started.sent == []


@pytest.mark.parametrize("status", [404, 503])
def test_discovery_that_fails(started, json_response, status):
    """A server that is down is an outage; one without the document is not, and is told at once."""
    started.state.cached = None
    started.due()
    started.script.answer(json_response({}, status))
    if status == 503:
        assert started.get() is started.login
    else:
        with pytest.raises(DiscoveryError):
            started.get()


def test_a_refused_token_is_never_given_out_again(started):
    """After a 401, an outage is an error although the token has not expired."""
    started.session.invalidate(started.login)
    started.script.answer(REFUSED)
    with pytest.raises(TransportError):
        started.get()


@pytest.mark.parametrize("status", [400, 429, 500])
def test_the_end_of_a_session_is_told_at_once(started, json_response, status):
    """It is no outage, whatever status it came with: the user has to know."""
    started.due()
    started.script.answer(json_response({"error": "invalid_grant"}, status))
    with pytest.raises(SessionEndedError):
        started.get()
    assert started.events == ["start", "fail"]


def test_a_failure_answers_for_a_second(started):
    """Those who come right after a failure get the same one; then it is tried again."""
    started.over()
    started.script.answer(REFUSED)
    for _ in range(3):
        with pytest.raises(TransportError):
            started.get()
        started.script.advance(0.3)
    assert len(started.sent) == 1
    started.script.advance(0.2)
    started.script.answer(REFUSED)
    with pytest.raises(TransportError):
        started.get()
    assert len(started.sent) == 2


def test_renew_asks_in_spite_of_a_failure(started, refreshed):
    """Who says so explicitly gets an attempt of their own."""
    started.over()
    started.script.answer(REFUSED, refreshed(2))
    with pytest.raises(TransportError):
        started.get()
    assert started.renew().access_token == Secret("at-2")


def test_another_worker_serves_what_is_stored(started):
    """A worker that has just begun finds a token that still works, and gives it out in an outage."""
    started.due()
    worker = SessionState(client=started.state, kind="user", id=started.session.id)
    started.script.answer(REFUSED)
    assert started.get(worker).access_token == started.login.access_token


def test_a_session_that_ended_elsewhere(started):
    """No worker gives out the token of a session that the server has ended."""
    started.put(replace(started.stored, ended="invalid_grant"))
    worker = started.worker()
    assert worker.token is None
    with pytest.raises(SessionEndedError):
        started.get(worker)
    assert started.script.requests == []


def test_a_session_without_a_refresh_token(script, known_state, login):
    """Its token is used to the end; then the user has to sign in."""
    scene = Scene(script, known_state, replace(login, refresh_token=None))
    scene.get()
    scene.script.advance(3599)
    assert scene.get() is scene.login
    scene.script.advance(1)
    with pytest.raises(SessionEndedError, match="no refresh token"):
        scene.get()


def test_an_unknown_outcome_and_after(started, refreshed):
    """It is never replayed by getting a token, however often; only by saying so."""
    started.over()
    started.script.answer(LOST)
    for _ in range(3):
        with pytest.raises(OutcomeUnknownError):
            started.get()
        started.script.advance(2)
    with pytest.raises(OutcomeUnknownError):
        started.renew()
    assert started.sent == ["r-1"]
    started.script.answer(refreshed(2))
    assert started.renew(after_unknown=True).access_token == Secret("at-2")


# ------------------------------------------------------------------------------------ what is kept


def away_from(scene, answer):
    """An answer during which the store goes away."""

    def act(_request):
        scene.script.store.away = True
        return answer

    return act


def test_a_token_that_could_not_be_stored(started, refreshed):
    """It is kept in the process and stored before anything else; nothing is sent twice."""
    started.due()
    started.script.answer(away_from(started, refreshed(2)))
    assert started.get() is started.login
    assert started.session.unsaved.record.token.refresh_token == Secret("r-2")
    started.script.advance(6)
    started.script.store.away = False
    assert started.get().access_token == Secret("at-2")
    assert (started.stored.token.refresh_token, started.session.unsaved) == (Secret("r-2"), None)
    assert started.sent == ["r-1"]


def test_renewing_what_could_not_be_stored(started, refreshed):
    """Also who asks for a new token gets the one that was kept."""
    started.script.answer(away_from(started, refreshed(2)))
    with pytest.raises(StoreError):
        started.renew()
    started.script.store.away = False
    assert started.renew().access_token == Secret("at-2")
    assert started.sent == ["r-1"]


@pytest.mark.parametrize("meanwhile", ["intent", "replaced", "deleted", "ended"])
def test_what_was_kept_and_what_is_there(started, refreshed, elsewhere, meanwhile):
    """A note in the store does not push out the kept token; a replaced or deleted session does."""
    started.over()
    started.script.answer(away_from(started, refreshed(2)))
    with pytest.raises(StoreError):
        started.get()
    started.script.store.away = False
    before = started.stored
    intent = Intent(id="i", started_at=NOW, fingerprint=fingerprint(Secret("r-1")), attempts=2)
    spent = replace(
        before, token=replace(before.token, refresh_token=None), intent=None, ended="invalid_grant"
    )
    {
        "intent": lambda: started.put(replace(before, intent=intent)),
        "replaced": lambda: started.put(renewed_record(before, elsewhere(7, at=NOW + 3700))),
        "deleted": started.script.store.entries.clear,
        "ended": lambda: started.put(spent),
    }[meanwhile]()
    started.script.advance(2)
    if meanwhile == "deleted":
        with pytest.raises(SessionEndedError):
            started.get()
    else:
        name = "at-7" if meanwhile == "replaced" else "at-2"
        assert started.get().access_token == Secret(name)
    assert (started.session.unsaved, started.sent) == (None, ["r-1"])


def test_changed_context_until_it_is_replaced(started, refreshed):
    """It is told each time, without a request; what the error holds can be accepted."""
    started.due()
    started.script.answer(refreshed(2, patient="p-9"))
    for _ in range(3):
        with pytest.raises(ContextChangedError) as caught:
            started.get()
        started.script.advance(2)
    accepted = started.script.run(replace_token(started.session, caught.value.token))
    assert (accepted.context.patient, started.get()) == ("p-9", accepted)
    assert (started.stored.candidate, started.stored.token.refresh_token) == (None, Secret("r-2"))
    assert started.sent == ["r-1"]


def test_keys_that_cannot_be_fetched(script, known_state, login, refreshed, issuer, json_response):
    """An outage of the keys is none of the session: the old token is given out, and the new one waits."""
    scopes = Scopes("openid launch/patient patient/*.rs offline_access")
    scene = Scene(script, known_state, replace(login, scopes=scopes, launch_scopes=scopes))
    scene.get()
    scene.due()
    script.answer(
        refreshed(2, id_token=issuer.token(nonce=..., iat=int(NOW) + 3590, exp=int(NOW) + 7000)), REFUSED
    )
    assert scene.get() is scene.login
    script.advance(6)
    script.answer(json_response({}, 503), json_response({}, 503))
    assert scene.get() is scene.login
    script.advance(6)
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    token = scene.get()
    assert (token.access_token, token.identity.subject, scene.sent) == (Secret("at-2"), "u-58121", ["r-1"])


def test_an_id_token_that_cannot_be_trusted_is_told(
    script, known_state, login, refreshed, issuer, json_response
):
    """It is no outage."""
    scopes = Scopes("openid launch/patient patient/*.rs offline_access")
    scene = Scene(script, known_state, replace(login, scopes=scopes, launch_scopes=scopes))
    scene.get()
    scene.due()
    script.answer(refreshed(2, id_token=issuer.token(nonce=..., iss="https://evil.example")))
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    with pytest.raises(IdTokenError):
        scene.get()


# ------------------------------------------------------------------------------------------- crashes


@pytest.mark.rule("RF-06")
def test_a_crash_at_every_step(script, known_state, login, refreshed, crash):
    """Wherever a process dies, the next one sends no refresh token twice, and finds what was stored."""
    for step in range(1, 60):
        scene = Scene(type(script)(), known_state, login)
        scene.get()
        scene.over()
        scene.script.steps.clear()
        scene.script.answer(refreshed(2), refreshed(3))
        scene.script.crash_at = step
        try:
            scene.get()
        except crash:
            pass
        else:
            break
        scene.script.crash_at = None
        died_with = scene.stored
        scene.script.advance(60)
        try:
            token = scene.get(scene.worker())
        except OutcomeUnknownError:
            assert died_with.intent is not None
            token = None
        assert len(set(scene.sent)) == len(scene.sent)
        if token is None:
            assert scene.stored.token.refresh_token == Secret("r-1")
        else:
            assert scene.stored.token.to_json() == token.to_json()
    assert 12 < step < 59
    assert scene.sent == ["r-1"]


def test_an_interrupt_at_every_step(script, known_state, login, refreshed, crash):
    """Where the process lives on, its session goes on: what has come is never lost."""
    for step in range(1, 60):
        scene = Scene(type(script)(), known_state, login)
        scene.get()
        scene.over()
        scene.script.steps.clear()
        received = []

        def answer(_request, received=received):
            received.append("r-2")
            return refreshed(2)

        scene.script.answer(answer, refreshed(3))
        scene.script.crash_at = step
        try:
            scene.get()
        except crash:
            pass
        else:
            break
        scene.script.crash_at = None
        scene.script.advance(60)
        if received:
            assert scene.get().refresh_token == Secret("r-2")
        else:
            with_token = (SessionEndedError, OutcomeUnknownError)
            try:
                scene.get()
            except with_token:
                assert scene.stored.intent is not None
        assert len(set(scene.sent)) == len(scene.sent)


# ----------------------------------------------------------------------------------- renew and replace


def test_renew_before_it_is_time(started, refreshed):
    """A new token is asked for although the old one works."""
    started.script.answer(refreshed(2))
    assert started.renew().access_token == Secret("at-2")
    assert started.stored.token.access_token == Secret("at-2")


def test_renew_a_session_that_was_never_used(scene, refreshed):
    """The login is stored first, and then renewed."""
    scene.script.answer(refreshed(2))
    assert scene.renew().access_token == Secret("at-2")


def test_renew_in_a_process_that_holds_nothing(started, refreshed):
    """What is renewed is the token in the store."""
    worker = SessionState(client=started.state, kind="user", id=started.session.id)
    started.script.answer(refreshed(2))
    assert started.renew(worker).access_token == Secret("at-2")


def test_renew_takes_what_is_newer(started, elsewhere):
    """If another worker has renewed already, its token is the new one."""
    started.put(renewed_record(started.stored, elsewhere(7)))
    assert started.renew().access_token == Secret("at-7")
    assert started.script.requests == []


def test_renew_tells_every_failure(started, refreshed):
    """Also where the old token still works; and it is no reason to fail later."""
    started.script.answer(REFUSED)
    with pytest.raises(TransportError):
        started.renew()
    assert started.get() is started.login
    started.over()
    started.script.answer(refreshed(2))
    assert started.get().access_token == Secret("at-2")


def test_an_outage_is_looked_at_again_after_five_seconds(started):
    """While the old token serves, the server has five seconds to come back."""
    started.due()
    started.script.answer(REFUSED)
    for seconds, sent in [(0.0, 1), (4.9, 1), (0.2, 2)]:
        started.script.advance(seconds)
        started.script.answer(*[REFUSED] * (sent - len(started.sent) if seconds else 0))
        assert started.get() is started.login
        assert len(started.sent) == sent


def test_a_failure_ends_with_its_second(started):
    """A whole second later it is tried again."""
    started.over()
    for sent in (1, 2):
        started.script.answer(REFUSED)
        with pytest.raises(TransportError):
            started.get()
        assert len(started.sent) == sent
        started.script.advance(1.0)


def test_a_failure_is_forgotten_by_renewing(started, refreshed):
    """After it, everything goes its usual way."""
    started.script.answer(refreshed(2), refreshed(3))
    started.renew()
    started.over()
    assert started.get().access_token == Secret("at-3")


@pytest.mark.parametrize("fate", ["alive", "ended", "deleted"])
def test_replace(started, elsewhere, fate):
    """After a new login the session goes on, whatever had become of it."""
    if fate == "ended":
        started.put(replace(started.stored, ended="invalid_grant"))
    elif fate == "deleted":
        started.script.run(delete_session(started.session))
    token = elsewhere(7)
    assert started.script.run(replace_token(started.session, token)) is token
    assert started.get() is token
    assert (started.stored.token.access_token, started.stored.ended) == (Secret("at-7"), None)
    (alone,) = [step for step in started.script.steps if isinstance(step, Exclusive)]
    assert (alone.key, alone.leased) == (started.key, True)


def test_a_session_that_was_replaced_is_renewed(started, elsewhere, refreshed):
    """What came after its end is a session like any other."""
    started.script.run(delete_session(started.session))
    started.script.run(replace_token(started.session, elsewhere(7)))
    started.over()
    started.script.answer(refreshed(8))
    assert started.get().access_token == Secret("at-8")
    assert started.session.token.access_token == Secret("at-8")


def test_replace_in_a_crowd(started, elsewhere):
    """If somebody changes the session at the same moment, the caller is told to try again."""
    started.script.store.before(Save, lambda: started.put(started.stored))
    with pytest.raises(StoreError, match="Replace the token again"):
        started.script.run(replace_token(started.session, elsewhere(7)))
    assert started.get() is started.login


@pytest.mark.parametrize("token", [None, "at-1", "other"])
def test_replace_by_what_is_no_token_of_this_client(started, token):
    """Nothing of another registration gets into the session."""
    if token == "other":
        token = replace(started.login, binding=replace(started.login.binding, client_id="other"))
    field = None if isinstance(token, Token) else "token"
    with pytest.raises(ConfigurationError) as caught:
        started.script.run(replace_token(started.session, token))
    assert (caught.value.field, started.script.steps) == (field, [])


# --------------------------------------------------------------------------------------------- deletion


def test_delete(started):
    """The session is forgotten here and in the store; who asks for a token has to sign in."""
    started.script.run(delete_session(started.session))
    assert (started.script.store.entries, started.session.token) == ({}, None)
    with pytest.raises(SessionEndedError, match="not stored any more"):
        started.get()
    assert started.script.kinds[0] is Delete


def test_delete_elsewhere(started):
    """Another worker notices when it next asks, and nothing is sent."""
    worker = started.worker()
    started.script.run(delete_session(started.session))
    started.over()
    with pytest.raises(SessionEndedError):
        started.get(worker)
    assert started.sent == []


def test_whoever_signs_in_right_after_it_stays(started):
    """A session that was in the store is deleted there once: what comes next is another login's."""
    key, store = started.session.key, started.script.store
    store.after(Delete, lambda: store.put(key, b"another login"))
    started.script.run(delete_session(started.session))
    assert store.entries[key].data == b"another login"


def test_delete_while_the_store_is_away(started):
    """A session that could not be deleted is not forgotten: it would come back."""
    started.script.store.away = True
    with pytest.raises(StoreError):
        started.script.run(delete_session(started.session))
    assert started.session.token is started.login


@pytest.mark.parametrize("kind", [Load, Save])
@pytest.mark.parametrize("nth", [1, 2])
def test_delete_during_a_renewal(started, refreshed, kind, nth):
    """Whenever it happens, the session does not come back, neither here nor in the store."""
    started.over()
    started.script.answer(refreshed(2))

    def delete():
        started.script.store.entries.clear()
        started.session.forget()

    started.script.store.after(kind, delete, nth=nth)
    with suppress(SessionEndedError, StoreError):
        started.get()
    assert (started.script.store.entries, started.session.ready(started.script.wall)) == ({}, None)
    with pytest.raises(SessionEndedError):
        started.renew()


# ---------------------------------------------------------------------------------------------- loading


def test_load(started):
    """After a restart the token is there at once."""
    worker = started.worker()
    assert (worker.key, worker.kind, worker.ready(NOW)) == (started.key, "user", worker.token)
    assert worker.token.to_json() == started.login.to_json()


def test_load_what_is_not_there(script, known_state):
    """Nothing stored means signing in."""
    with pytest.raises(SessionEndedError, match="no session under this key") as caught:
        script.run(load_session(known_state, "user-none"))
    assert caught.value.endpoint == known_state.config.fhir_base


def test_load_with_a_candidate(started, elsewhere):
    """A token that nobody has looked at is not given out before somebody has."""
    started.put(replace(started.stored, candidate=elsewhere(7)))
    assert started.worker().token is None


@pytest.mark.parametrize("change", [{"client_id": "other"}, {"fhir_base": "https://ehr.example.com/r5"}])
def test_load_another_clients_session(started, change):
    """A session goes on only with the registration that it was made with."""
    other = replace(started.state.config, **change)
    with pytest.raises(ConfigurationError, match="belongs to client"):
        started.script.run(load_session(replace(started.state, config=other), started.key))


def test_load_what_is_damaged(started):
    """A record that cannot be read is no empty one: that would look like being signed out."""
    started.script.store.put(started.key, b"{}")
    with pytest.raises(StoreError):
        started.worker()


# ---------------------------------------------------------------------------------------------- backend


@pytest.fixture
def nightly(script, known_state) -> SessionState:
    """A backend session."""
    return backend_session(known_state, "system/Patient.rs system/Encounter.rs")


def backend_answer(json_response, number, **changes):
    document = {"access_token": f"b-{number}", "token_type": "bearer", "expires_in": 300}
    return json_response({**document, "scope": "system/Patient.rs system/Encounter.rs", **changes})


@pytest.mark.rule("BS-09")
def test_a_backend_asks_again(script, nightly, json_response):
    """Its first token is fetched, kept, and fetched again when it is about to expire."""
    script.answer(backend_answer(json_response, 1), backend_answer(json_response, 2))
    first = script.run(current_token(nightly))
    assert script.run(current_token(nightly)) is first
    script.advance(286)
    assert script.run(current_token(nightly)).access_token == Secret("b-2")
    script.finished()
    assert nightly.key.startswith("backend-")


@pytest.mark.rule("BS-12")
def test_backends_share_a_token(script, known_state, nightly, json_response):
    """Another process with the same scopes, in any order, takes the stored token; no other does."""
    script.answer(backend_answer(json_response, 1))
    script.run(current_token(nightly))
    same = backend_session(replace(known_state), "system/Encounter.rs system/Patient.rs")
    assert script.run(current_token(same)).access_token == Secret("b-1")
    script.answer(backend_answer(json_response, 3, scope="system/Patient.rs"))
    other = backend_session(replace(known_state), "system/Patient.rs")
    assert script.run(current_token(other)).access_token == Secret("b-3")
    script.finished()


def test_a_backend_that_discovers_first(script, state, json_response, document):
    """Until the server is known a backend session has no name."""
    session = backend_session(state, "system/Patient.rs")
    assert session.key is None
    script.answer(json_response(document), backend_answer(json_response, 1, scope="system/Patient.rs"))
    script.run(renew(session))
    assert session.key is not None


def test_a_backend_that_was_loaded(script, known_state, nightly, json_response):
    """It asks for the scopes that it was stored with."""
    script.answer(backend_answer(json_response, 1), backend_answer(json_response, 2))
    script.run(current_token(nightly))
    loaded = script.run(load_session(replace(known_state), nightly.key))
    assert script.run(current_token(loaded)).access_token == Secret("b-1")
    script.run(renew(loaded))
    assert parse_qs(script.requests[-1].body.decode())["scope"] == ["system/Encounter.rs system/Patient.rs"]


def test_a_backend_whose_store_is_changed_meanwhile(script, nightly, json_response):
    """Its token is as good as the other one, and is used."""
    script.answer(backend_answer(json_response, 1))
    script.store.before(Save, lambda: script.store.put(nightly.key, b"theirs"))
    assert script.run(current_token(nightly)).access_token == Secret("b-1")


def test_delete_a_backend_that_was_never_used(script, known_state, nightly):
    """There is nothing to delete, and nothing goes wrong."""
    script.run(delete_session(nightly))
    assert script.steps == []


def test_a_backend_asks_until_it_is_told(script, nightly, json_response):
    """A lost answer is no unknown outcome: a backend token can be asked for any number of times."""
    script.deadline = script.monotonic + 100
    script.answer(LOST, LOST, backend_answer(json_response, 1))
    assert script.run(current_token(nightly)).access_token == Secret("b-1")
    assert [event.name for event in script.events] == [
        "token.refresh.start",
        "retry",
        "retry",
        "token.refresh.ok",
    ]


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("token", [None, "at-1", {"access_token": "at-1"}])
def test_what_is_no_token(known_state, token):
    """A session is made of a Token."""
    with pytest.raises(ConfigurationError, match=r"Token\.from_json") as caught:
        user_session(known_state, token)
    assert caught.value.field == "token"


def test_a_token_of_another_registration(known_state, login):
    """And of one that belongs to this client."""
    other = replace(login, binding=replace(login.binding, client_id="other"))
    with pytest.raises(ConfigurationError, match="belongs to client"):
        user_session(known_state, other)


def test_a_backend_session_needs_a_scope_and_a_proof(known_state):
    """What cannot work is refused when the session is made."""
    with pytest.raises(ConfigurationError, match="needs a scope"):
        backend_session(known_state, "")
    public = replace(known_state, config=replace(known_state.config, client_auth=PublicClient()))
    with pytest.raises(ConfigurationError, match="public client"):
        backend_session(public, "system/*.rs")


# --------------------------------------------------------------------------------------------- events


def test_the_events(started, json_response, refreshed):
    """Start and end of each renewal, with the reason and how long it took; nothing that is anybody's."""
    started.over()

    def slow(answer):
        def act(_request):
            started.script.advance(2)
            return answer

        return act

    started.script.answer(slow(json_response({"error": "invalid_request"}, 400)), slow(refreshed(2)))
    with pytest.raises(OAuthError):
        started.get()
    started.script.advance(2)
    started.get()
    here = {"fhir_base": "https://ehr.example.com/r4", "client_id": "growth-chart"}
    assert started.script.events == [
        Event(name="token.refresh.start", **here),
        Event(name="token.refresh.fail", seconds=2.0, status=400, error="invalid_request", **here),
        Event(name="token.refresh.start", **here),
        Event(name="token.refresh.ok", seconds=2.0, **here),
    ]


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (REFUSED, None, "TransportError"),
        (LOST, None, "OutcomeUnknownError"),
        ((200, {"token_type": "bearer"}), 200, "TokenResponseError"),
        ((500, {}), 500, "OAuthError"),
    ],
)
def test_the_reason_of_a_failure(started, json_response, answer, status, error):
    """OAuth's code, or else the name of the error's class, and the status where there was one."""
    started.over()
    started.script.answer(json_response(answer[1], answer[0]) if isinstance(answer, tuple) else answer)
    with pytest.raises((OAuthError, TransportError, Exception)):
        started.get()
    assert (started.script.events[-1].status, started.script.events[-1].error) == (status, error)


def test_no_event_holds_a_secret(started, refreshed):
    """No token, patient or lineage is in any of them."""
    started.over()
    started.script.answer(refreshed(2, patient="p-9"))
    with pytest.raises(ContextChangedError):
        started.get()
    text = f"{started.script.events} {[str(event) for event in started.script.events]}"
    for secret in ("at-1", "at-2", "r-1", "r-2", "p-9", "p-3307", started.login.lineage):
        assert secret not in text


def test_the_server_is_found_again(started, refreshed, document, json_response):
    """A renewal discovers where the cached document is no longer fresh."""
    started.state.cached = CachedMetadata(started.state.cached.metadata, 0.0)
    started.over()
    started.script.answer(json_response(document), refreshed(2))
    assert started.get().access_token == Secret("at-2")
    assert SessionId.of_login(started.get()) == started.session.id


# --------------------------------------------------------------------------- a store that has been set back


@pytest.fixture
def set_back(started, refreshed) -> Scene:
    """After two refreshes, the store has lost what it acknowledged, and shows the first token again."""
    before = started.stored
    for number in (2, 3):
        started.over()
        started.script.answer(refreshed(number))
        started.get()
    started.put(before)
    return started


@pytest.mark.rule("RF-05")
def test_a_store_that_was_set_back(set_back, refreshed):
    """A refresh token that this process has seen replaced is not sent again: the latest one is."""
    set_back.over()
    set_back.script.answer(refreshed(4))
    assert set_back.get().access_token == Secret("at-4")
    assert set_back.sent == ["r-1", "r-2", "r-3"]
    assert set_back.stored.token.access_token == Secret("at-4")


def test_a_store_that_was_set_back_before_it_is_time(set_back, refreshed):
    """Nor is the old access token taken for one that somebody else has just got."""
    set_back.script.wall = NOW + 1
    set_back.script.answer(refreshed(4))
    assert set_back.renew().access_token == Secret("at-4")
    assert set_back.sent[2:] == ["r-3"]


def test_a_store_that_was_set_back_under_the_lease(started, refreshed):
    """The same where it happens between two looks at the store."""
    before = started.stored
    started.over()
    started.script.answer(refreshed(2))
    started.get()
    started.over()
    started.script.store.before(Load, lambda: started.put(before), nth=2)
    started.script.answer(refreshed(3))
    assert (started.get().access_token, started.sent) == (Secret("at-3"), ["r-1", "r-2"])


def test_a_store_that_was_set_back_is_mended_for_all(set_back, refreshed):
    """What it lost is stored again at once, so that another worker finds it."""
    set_back.due()
    set_back.script.answer(REFUSED)
    set_back.get()
    assert set_back.stored.token.access_token == Secret("at-3")


def test_a_store_that_was_set_back_to_an_intent(started, refreshed):
    """A note that the first token is on its way says nothing where this process knows what became of it."""
    started.over()
    started.script.answer(lambda _request: noted.append(started.stored) or refreshed(2))
    noted = []
    started.get()
    started.put(noted[0])
    started.over()
    started.script.answer(refreshed(3))
    assert (started.get().access_token, started.sent) == (Secret("at-3"), ["r-1", "r-2"])


def test_a_store_that_was_set_back_in_a_crowd(set_back):
    """If somebody writes there at the same moment, nothing is sent, and the next call looks again."""
    set_back.over()
    set_back.script.store.before(Save, lambda: set_back.put(set_back.stored))
    with pytest.raises(StoreError, match="changed by somebody else"):
        set_back.get()
    assert set_back.sent == ["r-1", "r-2"]


def test_a_store_that_was_set_back_and_loaded(set_back):
    """What is loaded from it does not push out what the process knows to come after it."""
    set_back.script.wall = NOW + 9  # as if another machine's clock had written it
    loaded = set_back.worker()
    loaded.current = (replace(loaded.token, issued_at=NOW + 1e6), 0.0)
    set_back.session.merge(loaded)
    assert set_back.session.token.access_token == Secret("at-3")


def test_a_refresh_token_that_stays_the_same(started, refreshed):
    """Where a server does not rotate, none is ever taken for an old one."""
    for number in (2, 3, 4):
        started.over()
        started.script.answer(refreshed(number, refresh_token=...))
        started.get()
    assert (started.sent, started.session.replaced) == (["r-1"] * 3, ())


def test_few_replaced_tokens_are_remembered(started, refreshed):
    """However long a session lives, it remembers the last few only."""
    for number in range(2, 40):
        started.over()
        started.script.answer(refreshed(number))
        started.get()
    assert len(started.session.replaced) == 8
    assert fingerprint(Secret("r-38")) in started.session.replaced


def test_replace_by_an_earlier_token(set_back, login):
    """Whoever says so goes on with an old token all the same."""
    set_back.script.run(replace_token(set_back.session, login))
    assert (set_back.session.token, set_back.session.replaced) == (login, ())


# ------------------------------------------------------------------------------- what is left of a failure


def test_a_failure_that_many_run_into_stays_small(started):
    """Raised again and again within its second, it does not gather a traceback as long as its life."""
    started.over()
    started.script.answer(REFUSED)
    lengths = []
    for _ in range(5):
        with pytest.raises(TransportError) as failed:
            started.get()
        lengths.append(len(failed.traceback))
    assert lengths[1:] == lengths[1:2] * 4


def test_a_failure_from_before_a_new_login(started, elsewhere):
    """What went wrong with the old token is not told to whoever comes with a new one."""
    started.over()
    newer = elsewhere(7, at=NOW + 3700)
    started.script.answer(lambda _request: started.session.merge(user_session(started.state, newer)) or LOST)
    with suppress(OutcomeUnknownError):
        started.get()
    assert started.session.failure is None


def test_deleted_while_it_is_read(started):
    """What was read before the session was forgotten is not held by it afterwards."""
    worker = started.worker()
    worker.current = None
    started.over()
    started.script.store.after(Load, worker.forget, nth=2)
    started.script.answer(REFUSED)
    with pytest.raises(TransportError):
        started.get(worker)
    assert worker.token is None


def test_a_refresh_token_that_comes_back(started, refreshed, crash):
    """One that the server hands out again is the latest one: what was noted of it stays noted."""
    for number, refresh_token in ((2, "r-2"), (3, "r-1")):
        started.over()
        started.script.answer(refreshed(number, refresh_token=refresh_token))
        started.get()
    started.over()
    started.script.answer(LOST)
    for _ in range(2):
        with pytest.raises(OutcomeUnknownError):
            started.get()
        started.script.advance(2)
    assert started.sent == ["r-1", "r-2", "r-1"]


def test_delete_while_the_login_is_stored(scene):
    """A session that is deleted before its login got into the store is not in there afterwards."""
    scene.script.store.before(Save, lambda: scene.script.run(delete_session(scene.session)))
    with pytest.raises(SessionEndedError):
        scene.get()
    assert (scene.script.store.entries, scene.session.token) == ({}, None)


def test_delete_right_after_the_login_is_stored(scene):
    """The same where it got there while the deletion was under way."""
    scene.script.store.after(Delete, scene.get)
    scene.script.run(delete_session(scene.session))
    assert (scene.script.store.entries, scene.session.token) == ({}, None)


def test_a_newer_login_while_another_is_stored_stays(started, elsewhere):
    """What is offered in between is no deletion."""
    started.session.merge(user_session(started.state, elsewhere(7)))
    newest = user_session(started.state, elsewhere(8, at=NOW + 6))
    started.script.store.before(Save, lambda: started.session.merge(newest))
    started.get()
    assert (started.stored.token.access_token, Delete in started.script.kinds) == (Secret("at-7"), False)
