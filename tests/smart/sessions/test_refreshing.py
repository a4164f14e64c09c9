"""Refreshing under the lease: what is noted before, what is kept after, and what is never sent twice."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs

import pytest
from versioned import VersionedStore

from smart_async import (
    ConfigurationError,
    ContextChangedError,
    EndpointChangedError,
    IdTokenError,
    OAuthError,
    OutcomeUnknownError,
    Scopes,
    Secret,
    SessionEndedError,
    StoreError,
    TokenResponseError,
    TransportError,
)
from smart_async.flow import Exclusive, Load, Now, Save, Send, Sign
from smart_async.smart.server_keys import server_keys
from smart_async.smart.sessions.place import Place, persist, reread
from smart_async.smart.sessions.record import Intent, Record, SessionId, fingerprint, read_record
from smart_async.smart.sessions.refreshing import insist, refresh_once
from smart_async.smart.sessions.state import SessionState, renewed_record
from smart_async.smart.state import CachedMetadata
from smart_async.smart.token_response import parse_token_response

NOW = 1_750_000_000.0
LOST = TransportError("The server did not answer in time.", sent=None)
REFUSED = TransportError("The connection was refused.", sent=False)


class Scene:
    """A stored session, and workers that refresh it."""

    def __init__(self, script, state, token) -> None:
        self.script, self.state, self.token = script, state, token
        self.id = SessionId.of_login(token)
        self.session = self.worker()
        script.run(persist(Place(id=self.id, epoch=0), Record(id=self.id, token=token)))
        script.steps.clear()

    def worker(self) -> SessionState:
        """Another process with the same session."""
        return SessionState(client=self.state, kind="user", id=self.id)

    def refresh(self, session=None, **options):
        """One refresh under the lease, from what is stored."""
        place = Place(id=self.id, epoch=0)

        def flow():
            record = yield from reread(place)
            return (yield from refresh_once(session or self.session, place, record, **options))

        self.script.fence = self.script.store.acquire(self.id.key)
        try:
            return self.script.run(flow())
        finally:
            self.script.fence = None

    @property
    def stored(self) -> Record:
        """What is stored now."""
        return read_record(self.script.store.entries[self.id.key].data, self.id.key)

    def put(self, record: Record) -> None:
        """Store *record* as somebody else."""
        self.script.store.put(self.id.key, record.to_json())

    @property
    def sent(self) -> list[str]:
        """The refresh tokens that were sent, in order."""
        forms = [parse_qs(request.body.decode()) for request in self.script.requests if request.body]
        return [form["refresh_token"][0] for form in forms if "refresh_token" in form]

    def knobs(self, **knobs):
        self.state.config = replace(self.state.config, **knobs)


@pytest.fixture
def scene(script, known_state, login) -> Scene:
    return Scene(script, known_state, login)


@pytest.fixture
def taken(login, refreshed, binding):
    """A token that somebody else got: `taken(7)`."""

    def make(number, **changes):
        response = refreshed(number, **changes).stamped(NOW)
        return parse_token_response(response, binding=binding, requested_scope="", previous=login)

    return make


@pytest.mark.rule("RF-05", "RF-06")
def test_the_order(scene, refreshed):
    """Read, note the intent, sign, send, store: only a token that is stored is returned."""
    scene.script.answer(refreshed(2))
    token = scene.refresh()
    assert scene.script.kinds == [Load, Now, Now, Save, Now, Sign, Send, Save]
    assert (token.access_token, token.refresh_token) == (Secret("at-2"), Secret("r-2"))
    assert scene.stored.token.to_json() == token.to_json()
    assert (scene.stored.intent, scene.stored.candidate, scene.session.unsaved) == (None, None, None)


def test_the_intent_is_stored_when_it_is_sent(scene, refreshed):
    """At the moment of sending, the store says which refresh token is on its way, and not what it is."""
    seen = []

    def look(_request):
        seen.append(scene.stored.intent)
        return refreshed(2)

    scene.script.answer(look)
    scene.refresh()
    (intent,) = seen
    assert (intent.fingerprint, intent.started_at, intent.attempts) == (fingerprint(Secret("r-1")), NOW, 1)


@pytest.mark.rule("RF-07")
def test_without_a_new_refresh_token_the_old_one_stays(scene, refreshed):
    """A server that does not rotate sends none; the one that is stored is used again."""
    scene.script.answer(refreshed(2, refresh_token=...), refreshed(3, refresh_token=...))
    scene.refresh()
    assert scene.stored.token.refresh_token == Secret("r-1")
    assert scene.refresh().access_token == Secret("at-3")
    assert scene.sent == ["r-1", "r-1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token": None}, "not stored any more"),
        ({"ended": "invalid_grant"}, "The server ended this session: invalid_grant"),
    ],
)
def test_nothing_to_refresh(scene, change, reason):
    """A session that was deleted or ended has nothing to send; the user has to sign in."""
    scene.put(replace(scene.stored, **change))
    with pytest.raises(SessionEndedError, match=reason) as caught:
        scene.refresh()
    assert (scene.script.requests, caught.value.error) == ([], change.get("ended"))
    assert caught.value.endpoint == scene.state.config.fhir_base
    assert "Sign the user in again" in caught.value.advice


def test_no_refresh_token(scene):
    """Nor has one that never had a refresh token; the advice names the scope that brings one."""
    scene.put(replace(scene.stored, token=replace(scene.token, refresh_token=None)))
    with pytest.raises(SessionEndedError, match="no refresh token") as caught:
        scene.refresh()
    assert "offline_access" in caught.value.advice
    assert scene.script.requests == []


def test_a_server_that_moved(scene, metadata):
    """Nothing is noted or sent where discovery now names another server."""
    moved = replace(metadata, token_endpoint="https://evil.example/token")
    scene.state.cached = CachedMetadata(moved, 1e12)
    with pytest.raises(EndpointChangedError):
        scene.refresh()
    assert (scene.script.requests, scene.stored.intent) == ([], None)


# ------------------------------------------------------------------------------------ unknown outcomes


@pytest.mark.rule("RF-06")
@pytest.mark.parametrize("failure", [LOST, None])
def test_an_unknown_outcome_is_never_replayed(scene, crash, failure):
    """After a lost answer, or a crash while it was awaited, no worker sends the refresh token again."""
    if failure is None:
        scene.script.crash_at = 7
        with pytest.raises(crash):
            scene.refresh()
        scene.script.crash_at = None
    else:
        scene.script.answer(failure)
        with pytest.raises(OutcomeUnknownError, match="did not answer"):
            scene.refresh()
    for session in (scene.session, scene.worker()):
        with pytest.raises(OutcomeUnknownError, match="was sent before") as caught:
            scene.refresh(session)
        assert "after_unknown" in caught.value.advice
        assert caught.value.endpoint == scene.token.binding.token_endpoint
    assert len(scene.sent) == (failure is not None)
    assert scene.stored.token.refresh_token == Secret("r-1")


def test_after_unknown_sends_it_again(scene, refreshed):
    """Who has nothing to lose may; the second attempt is noted before it is sent."""
    scene.script.answer(LOST)
    with pytest.raises(OutcomeUnknownError):
        scene.refresh()
    seen = []
    scene.script.answer(lambda _: (seen.append(scene.stored.intent), refreshed(2))[1])
    assert scene.refresh(after_unknown=True).access_token == Secret("at-2")
    assert ([intent.attempts for intent in seen], scene.sent) == ([2], ["r-1", "r-1"])
    assert scene.stored.intent is None


@pytest.mark.parametrize("failure", [REFUSED, "invalid_client", "503"])
def test_what_was_unknown_stays_unknown(scene, json_response, failure):
    """That a later attempt was certainly in vain says nothing about the one before it."""
    scene.script.answer(LOST)
    with pytest.raises(OutcomeUnknownError):
        scene.refresh()
    refusals = {
        "invalid_client": json_response({"error": "invalid_client"}, 401),
        "503": json_response({}, 503, {"Retry-After": "9"}),
    }
    scene.script.answer(refusals.get(failure, failure))
    with pytest.raises((TransportError, OAuthError)):
        scene.refresh(after_unknown=True)
    with pytest.raises(OutcomeUnknownError, match="was sent before"):
        scene.refresh()
    assert scene.sent == ["r-1", "r-1"]


def test_an_intent_of_another_refresh_token_is_history(scene, refreshed):
    """What happened to a refresh token that is stored no more does not matter."""
    old = Intent(id="i", started_at=NOW, fingerprint=fingerprint(Secret("r-0")))
    scene.put(replace(scene.stored, intent=old))
    scene.script.answer(refreshed(2))
    assert scene.refresh().access_token == Secret("at-2")


# --------------------------------------------------------------------------------------- the grace try


def test_one_grace_try(scene, refreshed):
    """With the option, a lost answer is asked for once more at once; that is noted first."""
    scene.knobs(refresh_retry="grace")
    seen = []
    scene.script.answer(LOST, lambda _: (seen.append(scene.stored.intent.attempts), refreshed(2))[1])
    assert scene.refresh().access_token == Secret("at-2")
    assert (seen, scene.sent) == ([2], ["r-1", "r-1"])


def test_no_second_grace_try(scene):
    """One is all, in this process and in the next."""
    scene.knobs(refresh_retry="grace")
    scene.script.answer(LOST, LOST)
    with pytest.raises(OutcomeUnknownError):
        scene.refresh()
    for session in (scene.session, scene.worker()):
        with pytest.raises(OutcomeUnknownError, match="was sent before"):
            scene.refresh(session)
    assert scene.sent == ["r-1", "r-1"]


@pytest.mark.parametrize(("later", "sends"), [(0, 2), (5, 2), (5.1, 1), (-1, 1)])
def test_the_grace_lasts_five_seconds(scene, refreshed, crash, later, sends):
    """Who finds the intent of a dead process may take the try within five seconds, and not before it."""
    scene.knobs(refresh_retry="grace")

    def die(_request):
        raise crash

    scene.script.answer(die)
    with pytest.raises(crash):
        scene.refresh()
    scene.script.advance(later)
    scene.script.answer(refreshed(2))
    if sends == 2:
        assert scene.refresh(scene.worker()).access_token == Secret("at-2")
    else:
        with pytest.raises(OutcomeUnknownError):
            scene.refresh(scene.worker())
    assert len(scene.sent) == sends


def test_no_grace_after_a_slow_failure(scene):
    """An answer that was awaited for longer than that is not asked for again."""
    scene.knobs(refresh_retry="grace")

    def slow(_request):
        scene.script.advance(6)
        return LOST

    scene.script.answer(slow)
    with pytest.raises(OutcomeUnknownError):
        scene.refresh()
    assert scene.sent == ["r-1"]


@pytest.mark.parametrize("trap", ["away", "conflict"])
def test_no_grace_that_is_not_noted(scene, trap):
    """Where the second attempt cannot be noted it is not made, and the error says what is unknown."""
    scene.knobs(refresh_retry="grace")
    act = VersionedStore.lost if trap == "away" else (lambda: scene.put(scene.stored))
    scene.script.store.before(Save, act, nth=2)
    scene.script.answer(LOST)
    with pytest.raises(OutcomeUnknownError):
        scene.refresh()
    assert scene.sent == ["r-1"]


def test_a_server_that_does_not_rotate(scene, refreshed):
    """Where a refresh token never ends, a lost answer is nothing: it is asked for again and again."""
    scene.knobs(refresh_rotates=False)
    for _ in range(3):
        scene.script.answer(LOST)
        with pytest.raises(TransportError) as caught:
            scene.refresh()
        assert type(caught.value) is TransportError
    scene.script.answer(refreshed(2, refresh_token=...))
    assert scene.refresh(scene.worker()).access_token == Secret("at-2")


def test_a_server_that_rotates_after_all(scene):
    """What was lost meanwhile is as unknown as ever, once the configuration says that the server rotates."""
    scene.knobs(refresh_rotates=False)
    scene.script.answer(LOST)
    with pytest.raises(TransportError):
        scene.refresh()
    scene.knobs(refresh_rotates=True)
    with pytest.raises(OutcomeUnknownError, match="was sent before"):
        scene.refresh(scene.worker())
    assert scene.sent == ["r-1"]


def test_a_transport_that_knows_no_outcome(scene):
    """One that says so itself is asked twice where the refresh token never ends, and not for ever."""
    scene.knobs(refresh_rotates=False)
    scene.script.answer(*[OutcomeUnknownError("The proxy closed the connection.")] * 2)
    with pytest.raises(OutcomeUnknownError, match="proxy"):
        scene.refresh()
    assert scene.sent == ["r-1", "r-1"]


# -------------------------------------------------------------------------- failures that spend nothing


@pytest.mark.rule("RF-10")
@pytest.mark.parametrize(
    ("answer", "error", "kept"),
    [
        (REFUSED, TransportError, False),
        (LOST, OutcomeUnknownError, True),
        ((400, {"error": "invalid_request"}, {}), OAuthError, False),
        ((401, {"error": "invalid_client"}, {}), OAuthError, False),
        ((429, {}, {}), OAuthError, False),
        ((503, {}, {"Retry-After": "9"}), OAuthError, False),
        ((503, {}, {}), OAuthError, True),
        ((500, {}, {}), OAuthError, True),
        ((500, {}, {"Retry-After": "9"}), OAuthError, True),
        ((502, {}, {"X-RateLimit-Reset": "9"}), OAuthError, True),
        ((200, {"error": "server_error"}, {}), OAuthError, False),
        ((200, {"token_type": "bearer"}, {}), TokenResponseError, True),
        ((302, {}, {"Location": "https://x.example/"}), TokenResponseError, True),
    ],
)
def test_which_failures_leave_the_intent(scene, json_response, refreshed, answer, error, kept):
    """What certainly spent nothing may be tried again; what may have is not. No failure drops the token."""
    if isinstance(answer, tuple):
        status, document, headers = answer
        answer = json_response(document, status, headers)
    scene.script.answer(answer)
    with pytest.raises(error) as caught:
        scene.refresh()
    assert type(caught.value) is error
    assert (scene.stored.intent is not None, scene.stored.token.refresh_token) == (kept, Secret("r-1"))
    scene.script.answer(refreshed(2))
    for session in (scene.worker(), scene.session):
        if kept:
            with pytest.raises(OutcomeUnknownError, match="was sent before"):
                scene.refresh(session)
    if not kept:
        assert scene.refresh(scene.worker()).access_token == Secret("at-2")


def test_what_fails_before_sending(scene, refreshed):
    """A client that accepts no other origin any more sends nothing, and nothing stays unknown."""
    scene.state.token_origin = "https://elsewhere.example"
    with pytest.raises(EndpointChangedError):
        scene.refresh()
    assert (scene.script.requests, scene.stored.intent) == ([], None)
    scene.state.token_origin = None
    scene.script.answer(refreshed(2))
    assert scene.refresh().access_token == Secret("at-2")


def test_a_signer_that_fails(scene):
    """A configuration that cannot sign is noticed before anything is sent."""
    listed = replace(scene.state.cached.metadata, token_endpoint_auth_signing_alg_values_supported=("RS384",))
    scene.state.cached = CachedMetadata(listed, 1e12)
    with pytest.raises(ConfigurationError):
        scene.refresh()
    assert (scene.script.requests, scene.stored.intent) == ([], None)


def test_an_intent_that_was_stored_without_a_reply(scene, refreshed):
    """A worker knows its own intent that nothing was sent after; others do not."""
    scene.script.store.after(Save, VersionedStore.lost)
    with pytest.raises(StoreError):
        scene.refresh()
    assert (scene.sent, scene.stored.intent is not None) == ([], True)
    with pytest.raises(OutcomeUnknownError):
        scene.refresh(scene.worker())
    scene.script.answer(refreshed(2))
    assert scene.refresh().access_token == Secret("at-2")
    assert scene.sent == ["r-1"]


def test_an_intent_that_could_not_be_taken_back(scene, refreshed):
    """The same where the store was away when it should have been taken back; the first error is told."""
    scene.script.store.before(Save, VersionedStore.lost, nth=2)
    scene.script.answer(REFUSED)
    with pytest.raises(TransportError, match="refused"):
        scene.refresh()
    assert scene.stored.intent is not None
    scene.script.answer(refreshed(2))
    assert scene.refresh().access_token == Secret("at-2")
    assert scene.session.unsent is None


def test_what_was_sent_is_no_longer_unsent(scene):
    """Once it is sent, its own intent is as unknown to a worker as anybody's."""
    scene.script.store.before(Save, VersionedStore.lost, nth=2)
    scene.script.answer(REFUSED, LOST)
    with pytest.raises(TransportError):
        scene.refresh()
    with pytest.raises(OutcomeUnknownError):
        scene.refresh()
    with pytest.raises(OutcomeUnknownError, match="was sent before"):
        scene.refresh()
    assert scene.sent == ["r-1", "r-1"]


@pytest.mark.parametrize("trap", ["conflict", "lease"])
def test_nothing_is_sent_that_is_not_noted(scene, trap):
    """Where somebody else changed the record, or has the lease, nothing leaves."""

    def act():
        if trap == "conflict":
            scene.put(scene.stored)
        else:
            scene.script.store.acquire(scene.id.key)

    scene.script.store.before(Save, act)
    with pytest.raises(StoreError, match="nothing was sent"):
        scene.refresh()
    assert scene.sent == []


# --------------------------------------------------------------------------------------- invalid_grant


@pytest.mark.rule("RF-10")
def test_invalid_grant_ends_the_session(scene, json_response):
    """The refresh token is dropped, the reason kept; the next one to come asks nobody."""
    members = {
        "error": "invalid_grant",
        "error_description": "r-1 is revoked",
        "error_uri": "https://x.example",
    }
    headers = {"Retry-After": "7", "X-Request-Id": "q-1"}
    scene.script.answer(json_response(members, 400, headers))
    with pytest.raises(SessionEndedError) as caught:
        scene.refresh()
    error = caught.value
    assert (error.error, error.description, error.status) == ("invalid_grant", "<hidden> is revoked", 400)
    assert (error.uri, error.retry_after, error.correlation_id) == ("https://x.example", 7.0, "q-1")
    assert "Sign the user in again" in error.advice
    assert isinstance(error.__cause__, OAuthError)
    for name in ("message", "endpoint", "received"):
        assert getattr(error, name) == getattr(error.__cause__, name)
        assert getattr(error, name)
    assert (scene.stored.ended, scene.stored.token.refresh_token) == ("invalid_grant", None)
    assert (scene.stored.token.access_token, scene.stored.intent) == (Secret("at-1"), None)
    with pytest.raises(SessionEndedError, match="invalid_grant"):
        scene.refresh(scene.worker())
    assert scene.sent == ["r-1"]


def test_invalid_grant_while_the_store_is_away(scene, json_response):
    """That the session has ended says more than that the store is away; it is stored at last."""
    scene.script.store.before(Save, VersionedStore.lost, nth=2)
    scene.script.answer(json_response({"error": "invalid_grant"}, 400))
    with pytest.raises(SessionEndedError):
        scene.refresh()
    assert (scene.stored.ended, scene.session.unsaved.record.ended) == (None, "invalid_grant")


def test_invalid_grant_because_somebody_else_was_quicker(scene, json_response, taken):
    """Where another token is stored by then, that one is good, and nothing has ended."""

    def overtaken(_request):
        scene.put(renewed_record(scene.stored, taken(7)))
        return json_response({"error": "invalid_grant"}, 400)

    scene.script.answer(overtaken)
    assert scene.refresh().access_token == Secret("at-7")
    assert (scene.stored.ended, scene.stored.token.refresh_token) == (None, Secret("r-7"))


# -------------------------------------------------------------------------------- storing what has come


def test_a_lease_lost_on_the_way(scene, refreshed):
    """A worker that was stopped for too long stores the only good refresh token all the same."""

    def slow(_request):
        scene.script.store.acquire(scene.id.key)
        return refreshed(2)

    scene.script.answer(slow)
    assert scene.refresh().access_token == Secret("at-2")
    assert scene.stored.token.refresh_token == Secret("r-2")


def test_a_record_touched_on_the_way(scene, refreshed):
    """Also over a note that somebody else left there meanwhile."""

    def touched(_request):
        scene.put(replace(scene.stored, intent=None))
        return refreshed(2)

    scene.script.answer(touched)
    assert scene.refresh().access_token == Secret("at-2")
    assert (scene.stored.token.refresh_token, scene.session.unsaved) == (Secret("r-2"), None)


def test_a_session_replaced_on_the_way(scene, refreshed, taken):
    """Whoever replaced the session meant it: the token there is the one returned."""

    def replaced(_request):
        scene.put(renewed_record(scene.stored, taken(7)))
        return refreshed(2)

    scene.script.answer(replaced)
    assert scene.refresh().access_token == Secret("at-7")
    assert (scene.stored.token.access_token, scene.session.unsaved) == (Secret("at-7"), None)


def test_a_session_deleted_on_the_way(scene, refreshed):
    """Whoever deleted the session meant that, too: it does not come back."""

    def deleted(_request):
        scene.script.store.entries.clear()
        return refreshed(2)

    scene.script.answer(deleted)
    with pytest.raises(SessionEndedError, match="not stored any more"):
        scene.refresh()
    assert (scene.script.store.entries, scene.session.unsaved) == ({}, None)


def test_somebody_who_never_stops_writing(scene, refreshed):
    """After three conflicts it is an error; the token is kept in the process."""

    def busy(_request):
        for nth in range(1, 9):
            scene.script.store.before(Save, lambda: scene.put(scene.stored), nth=nth)
        return refreshed(2)

    scene.script.answer(busy)
    with pytest.raises(StoreError, match="again and again"):
        scene.refresh()
    assert scene.session.unsaved.record.token.refresh_token == Secret("r-2")
    assert scene.script.kinds.count(Load) == 1 + 3


def test_a_store_that_goes_away_between_conflict_and_reading(scene, refreshed):
    """Wherever the store fails after sending, the token is kept in the process."""

    def touched(_request):
        scene.put(scene.stored)
        scene.script.store.before(Load, VersionedStore.lost)
        return refreshed(2)

    scene.script.answer(touched)
    with pytest.raises(StoreError):
        scene.refresh()
    assert scene.session.unsaved.record.token.refresh_token == Secret("r-2")


def test_insist_returns_nothing_when_it_has_stored(scene):
    """None says that the record is stored; the place knows its version."""
    place = Place(id=scene.id, epoch=0, version="1")
    record = replace(scene.stored, ended="x")
    assert scene.script.run(insist(scene.session, place, record, scene.token)) is None
    assert (scene.stored.ended, place.version) == ("x", "2")


# ---------------------------------------------------------------------------------------- changed context


@pytest.mark.parametrize(
    "change", [{"patient": "p-9"}, {"scope": "launch/patient patient/*.cruds offline_access"}]
)
def test_another_patient_or_more_scope_is_kept_aside(scene, refreshed, change):
    """The new token is stored as the candidate, with the only good refresh token, and not used."""
    scene.script.answer(refreshed(2, **change))
    for session in (scene.session, scene.worker()):
        with pytest.raises(ContextChangedError) as caught:
            scene.refresh(session)
        assert caught.value.token.refresh_token == Secret("r-2")
        assert (scene.stored.token.access_token, scene.stored.candidate.refresh_token) == (
            Secret("at-1"),
            Secret("r-2"),
        )
        assert scene.stored.intent is None
    assert scene.sent == ["r-1"]


@pytest.mark.parametrize("gone", [True, False])
def test_a_change_while_somebody_else_was_quicker(scene, refreshed, taken, gone):
    """Where another token is stored by then, the changed one is nobody's."""

    def overtaken(_request):
        if gone:
            scene.script.store.entries.clear()
        else:
            scene.put(renewed_record(scene.stored, taken(7)))
        return refreshed(2, patient="p-9")

    scene.script.answer(overtaken)
    if gone:
        with pytest.raises(SessionEndedError):
            scene.refresh()
    else:
        assert scene.refresh().access_token == Secret("at-7")
        assert scene.stored.candidate is None


# ----------------------------------------------------------------------------------------- the ID token


@pytest.fixture
def openid(script, known_state, login, issuer, json_response) -> Scene:
    """A session whose refreshed tokens come with ID tokens; the server's keys are known."""
    scopes = Scopes("openid fhirUser launch/patient patient/*.rs offline_access")
    scene = Scene(script, known_state, replace(login, scopes=scopes, launch_scopes=scopes))
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    metadata = known_state.cached.metadata
    script.run(server_keys(known_state, metadata, issuer.url, lambda _: True))
    script.requests.clear()
    script.steps.clear()
    return scene


def test_the_candidate_is_stored_before_its_id_token_is_looked_at(openid, refreshed, issuer):
    """Verifying may take requests, or fail; the refresh token is safe before that."""
    openid.script.answer(refreshed(2, id_token=issuer.token(nonce=...)))
    seen = []
    openid.script.store.before(Save, lambda: seen.append(openid.stored.candidate), nth=3)
    token = openid.refresh()
    assert (seen[0].refresh_token, token.identity.subject) == (Secret("r-2"), "u-58121")
    assert openid.script.kinds.count(Save) == 3
    assert (openid.stored.token.identity.subject, openid.stored.candidate) == ("u-58121", None)


@pytest.mark.parametrize("crash_at", [9, 10, 11])
def test_a_crash_while_the_id_token_is_looked_at(openid, refreshed, issuer, crash, crash_at):
    """The next worker goes on with the candidate, however much later, and sends nothing."""
    openid.script.answer(refreshed(2, id_token=issuer.token(nonce=...)))
    openid.script.crash_at = crash_at
    with pytest.raises(crash):
        openid.refresh()
    openid.script.crash_at = None
    openid.script.advance(1800)
    openid.state.server_keys = replace(openid.state.server_keys, fresh_until=1e12)
    token = openid.refresh(openid.worker())
    assert (token.access_token, token.identity.subject) == (Secret("at-2"), "u-58121")
    assert (openid.sent, openid.stored.candidate) == (["r-1"], None)


def test_a_candidate_that_lay_there_for_too_long(openid, refreshed, issuer, crash):
    """One that has expired meanwhile is not given out: its refresh token gets the next one."""
    openid.script.answer(refreshed(2, id_token=issuer.token(nonce=...)))
    openid.script.crash_at = 10
    with pytest.raises(crash):
        openid.refresh()
    openid.script.crash_at = None
    openid.script.advance(7200)
    openid.state.server_keys = replace(openid.state.server_keys, fresh_until=1e12)
    openid.script.answer(refreshed(3))
    token = openid.refresh(openid.worker())
    assert (token.access_token, openid.sent) == (Secret("at-3"), ["r-1", "r-2"])
    assert token.identity.subject == "u-58121"


def test_a_candidate_that_somebody_else_looked_at(openid, refreshed, issuer, crash):
    """Two workers that find one candidate end with one token."""
    openid.script.answer(refreshed(2, id_token=issuer.token(nonce=...)))
    openid.script.crash_at = 10
    with pytest.raises(crash):
        openid.refresh()
    openid.script.crash_at = None

    def quicker():
        candidate = openid.stored.candidate
        openid.put(renewed_record(openid.stored, candidate))

    openid.script.store.before(Save, quicker)
    assert openid.refresh(openid.worker()).access_token == Secret("at-2")
    assert openid.sent == ["r-1"]


@pytest.mark.parametrize("after_unknown", [False, True])
def test_a_candidate_and_then_an_unknown_outcome(openid, refreshed, taken, issuer, crash, after_unknown):
    """Who risks a refresh token that may be spent also risks the one that lies behind a candidate."""
    openid.script.answer(refreshed(2, id_token=issuer.token(nonce=...)))
    openid.script.crash_at = 10
    with pytest.raises(crash):
        openid.refresh()
    openid.script.crash_at = None
    other = replace(taken(7), expires_at=NOW)
    lost = Intent(id="i", started_at=NOW, fingerprint=fingerprint(other.refresh_token))

    def quicker():
        openid.put(replace(renewed_record(openid.stored, other), intent=lost))

    openid.script.store.before(Save, quicker)
    if after_unknown:
        openid.script.answer(refreshed(8))
        assert openid.refresh(after_unknown=True).access_token == Secret("at-8")
    else:
        with pytest.raises(OutcomeUnknownError, match="was sent before"):
            openid.refresh()
    assert openid.sent == ["r-1", "r-7"][: 1 + after_unknown]


def test_an_id_token_that_cannot_be_trusted(openid, refreshed, issuer):
    """The token is on the error and kept aside: nobody gets it, and nothing is lost."""
    openid.script.answer(refreshed(2, id_token=issuer.token(nonce=..., aud="somebody-else")))
    for session in (openid.session, openid.worker()):
        with pytest.raises(IdTokenError) as caught:
            openid.refresh(session)
        assert caught.value.token.refresh_token == Secret("r-2")
    assert openid.stored.candidate.refresh_token == Secret("r-2")
    assert openid.sent == ["r-1"]


def test_another_user(openid, refreshed, issuer):
    """A refreshed token for another user is kept aside, and not used."""
    one, other = issuer.token(nonce=...), issuer.token(nonce=..., sub="u-2")
    openid.script.answer(refreshed(2, id_token=one), refreshed(3, id_token=other))
    openid.refresh()
    for _ in range(2):
        with pytest.raises(ContextChangedError, match="another user") as caught:
            openid.refresh()
        assert caught.value.token.identity.subject == "u-2"
    assert (openid.stored.token.access_token, openid.stored.candidate.access_token) == (
        Secret("at-2"),
        Secret("at-3"),
    )


def test_no_lease_is_asked_for_in_here(scene, refreshed):
    """The caller holds it; only keys are fetched one at a time."""
    scene.script.answer(refreshed(2))
    scene.refresh()
    assert Exclusive not in scene.script.kinds


def test_a_scope_that_grew_is_judged_by_the_login(scene, refreshed, taken):
    """A narrowed token in the store does not make the full grant look like more."""
    scene.put(replace(scene.stored, token=taken(5, scope="patient/Patient.rs")))
    scene.script.answer(refreshed(6))
    assert scene.refresh().access_token == Secret("at-6")


def test_a_store_that_always_shows_the_candidate(openid, taken):
    """Where what was stored is not there afterwards, it ends with an error, and nothing is sent."""
    waiting = replace(openid.stored, candidate=replace(taken(2), expires_at=NOW))
    openid.put(waiting)
    for nth in range(1, 3000):
        openid.script.store.before(Load, lambda: openid.put(waiting), nth=nth)
    with pytest.raises(StoreError, match="again and again"):
        openid.refresh()
    assert openid.sent == []


def test_a_store_that_is_set_back_on_the_way(scene, refreshed, taken):
    """What it shows then is no token of somebody else, and the new one is stored in its place."""
    before = scene.stored
    scene.session.publish(scene.token, 0)
    scene.session.publish(taken(7), 0)
    scene.put(renewed_record(before, taken(7)))
    scene.script.answer(lambda _request: scene.put(before) or refreshed(2))
    assert scene.refresh().access_token == Secret("at-2")
    assert (scene.stored.token.access_token, scene.sent) == (Secret("at-2"), ["r-7"])
