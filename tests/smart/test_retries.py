"""Which requests are made again after which failures: every cell of the table, through the real flows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs

import pytest

from smart_async import (
    ClientMetadata,
    ClientRegistration,
    DiscoveryError,
    OAuthError,
    OutcomeUnknownError,
    Secret,
    SmartError,
    TransportError,
)
from smart_async.flow import Emit, Now, Send, Sleep
from smart_async.keys.base64url import b64url_decode
from smart_async.messages import Event, Request
from smart_async.smart.authorization import authorize
from smart_async.smart.backend import backend_token
from smart_async.smart.callback import exchange_code
from smart_async.smart.discovery import discover
from smart_async.smart.introspection import introspect
from smart_async.smart.refresh import refresh
from smart_async.smart.registration import register
from smart_async.smart.registration_management import read_registration
from smart_async.smart.retries import HARMLESS, fraction, repeated, send_repeated
from smart_async.smart.revocation import revoke
from smart_async.smart.server_keys import server_keys

NOT_SENT = TransportError("The connection was refused.", sent=False)
UNKNOWN = TransportError("The server did not answer in time.", sent=None)
REQUEST = Request(method="GET", url="https://ehr.example.com/r4", purpose="fhir")
BACKEND = {"access_token": "at-9", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs"}


@pytest.fixture(autouse=True)
def time_enough(script):
    """A deadline that no retry reaches."""
    script.deadline = script.monotonic + 1_000


@pytest.fixture
def flows(known_state, signing_key, login, document, token_document, json_response, script):
    """Each kind of request by its name in the table: a function that makes its flow, and its good answer."""
    fixed = replace(known_state, config=replace(known_state.config, refresh_rotates=False))
    pending = script.run(authorize(known_state))
    script.steps.clear()

    def code():
        callback = f"https://app.example.com/callback?code=c-1&state={pending.state}"
        return exchange_code(replace(known_state), pending, callback)

    def keys():
        metadata = known_state.cached.metadata
        return server_keys(replace(known_state), metadata, metadata.issuer, lambda _: True)

    metadata = ClientMetadata.for_backend(signing_key, client_name="Nightly")
    registered = {**metadata.to_members(), "client_id": "c-9"}
    managed = ClientRegistration(
        client_id="c-9",
        client_secret=None,
        client_secret_expires_at=None,
        client_id_issued_at=None,
        registration_access_token=Secret("rat-77aa"),
        registration_client_uri="https://sso.example.com/oauth2/register/c-9",
        metadata=metadata,
        raw={},
        binding=replace(login.binding, client_id="c-9"),
        registration_endpoint="https://sso.example.com/oauth2/register",
    )
    answer = json_response({**BACKEND, "scope": "patient/*.rs"})
    plain = {**token_document, "scope": "launch/patient patient/*.rs offline_access"}
    return {
        "discovery": (lambda: discover(known_state, refresh=True), json_response(document)),
        "keys": (keys, None),
        "code": (code, json_response(plain)),
        "client_credentials": (lambda: backend_token(replace(known_state)), json_response(BACKEND)),
        "refresh, not rotating": (lambda: refresh(replace(fixed), login), answer),
        "refresh, rotating": (lambda: refresh(replace(known_state), login), answer),
        "registration": (lambda: register(replace(known_state), metadata), json_response(registered, 201)),
        "reading a registration": (
            lambda: read_registration(known_state, managed),
            json_response({**registered, "client_id": "c-9"}),
        ),
        "introspection": (lambda: introspect(known_state, login), json_response({"active": True})),
        "revocation": (lambda: revoke(known_state, replace(login, refresh_token=None)), json_response({})),
    }


def failing(column, json_response):
    """The failure at the head of a column of the table."""
    return {
        "N": NOT_SENT,
        "U": UNKNOWN,
        "429": json_response({}, 429, {"Retry-After": "2"}),
        "503": json_response({}, 503, {"Retry-After": "2"}),
        "429 bare": json_response({}, 429),
        "503 bare": json_response({}, 503),
        "5xx": json_response({}, 500),
        "502": json_response({}, 502),
        "4xx": json_response({"error": "invalid_request"}, 400),
        "certificate": TransportError("Not trusted.", sent=False, permanent=True),
    }[column]


COLUMNS = ("N", "U", "429", "503", "429 bare", "503 bare", "5xx", "502", "4xx", "certificate")
HARMLESS_ROW = ("N", "U", "429", "503", "503 bare", "5xx", "502")
TABLE = {
    "discovery": HARMLESS_ROW,
    "keys": HARMLESS_ROW,
    "code": ("N",),
    "client_credentials": HARMLESS_ROW,
    "refresh, not rotating": HARMLESS_ROW,
    "refresh, rotating": ("N", "429", "503"),
    "registration": ("N", "429", "503"),
    "reading a registration": HARMLESS_ROW,
    "introspection": HARMLESS_ROW,
    "revocation": HARMLESS_ROW,
}


@pytest.mark.rule("RF-06", "AS-10", "BS-03")
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", TABLE)
def test_the_table(script, flows, json_response, issuer, form_of, row, column):
    """A kind of request is made again after a kind of failure, or not; each time with a new assertion."""
    make, good = flows[row]
    if row == "keys":
        script.answer(json_response(issuer.configuration()))
        good = json_response(issuer.jwks())
    failure = failing(column, json_response)
    before = len(script.answers)
    script.answer(failure)
    if column in TABLE[row]:
        script.answer(failing(column, json_response), good)
        script.run(make())
        assert len(script.requests) == 3 + before
    else:
        with pytest.raises(SmartError):
            script.run(make())
        assert len(script.requests) == 1 + before
    script.finished()
    identities = [
        jti_of(request) for request in script.requests if b"client_assertion=" in (request.body or b"")
    ]
    assert len(set(identities)) == len(identities)
    expected = 0 if column not in TABLE[row] else 2
    assert [event.name for event in script.events] == ["retry"] * expected


def jti_of(request):
    (assertion,) = parse_qs(request.body.decode())["client_assertion"]
    return json.loads(b64url_decode(assertion.split(".")[1]))["jti"]


@pytest.mark.parametrize("row", ["code", "refresh, rotating"])
def test_a_lost_answer_is_an_unknown_outcome(script, flows, row):
    """What may have taken effect, and takes effect once, is sent once; the error is of its own kind."""
    script.answer(UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        script.run(flows[row][0]())


def test_a_code_is_not_sent_again_however_busy_the_server(script, flows, json_response):
    """The seconds that the server asks for are on the error."""
    script.answer(json_response({}, 503, {"Retry-After": "7"}))
    with pytest.raises(OAuthError) as caught:
        script.run(flows["code"][0]())
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_no_more_attempts_than_configured(script, known_state, json_response, attempts):
    """N attempts are N requests with N assertions, and the last failure is what the caller gets."""
    state = replace(known_state, config=replace(known_state.config, attempts=attempts))
    script.answer(*(json_response({}, 500 + number) for number in range(attempts)))
    with pytest.raises(OAuthError) as caught:
        script.run(backend_token(state))
    assert caught.value.status == 500 + attempts - 1
    assert len({jti_of(request) for request in script.requests}) == attempts
    script.finished()


@pytest.mark.parametrize("code", ["invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client"])
@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_a_verdict_is_final(script, flows, json_response, status, code):
    """No repetition changes who the client is; some servers say so with a 500."""
    script.answer(json_response({"error": code}, status))
    with pytest.raises(OAuthError) as caught:
        script.run(flows["client_credentials"][0]())
    assert (caught.value.error, len(script.requests)) == (code, 1)


def date_in(script, seconds):
    return format_datetime(datetime.fromtimestamp(script.wall + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("value", "waited"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("60", 60.0),
        ("61", None),
        ("86400", None),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("９", None),
    ],
)
def test_retry_after(script, known_state, json_response, value, waited):
    """The server's seconds are waited, up to 60; nonsense and more than that are the caller's to know."""
    script.answer(json_response({}, 503, {"Retry-After": value}), json_response({}))
    response = script.run(send_repeated(known_state, REQUEST))
    slept = [step.seconds for step in script.steps if isinstance(step, Sleep)]
    assert (response.status, slept) == ((200, [waited]) if waited is not None else (503, []))


@pytest.mark.parametrize(("seconds", "waited"), [(30, [30.0]), (-30, [0.0]), (90, [])])
def test_retry_after_as_a_date(script, known_state, json_response, seconds, waited):
    """A date is as good as seconds; one in the past means now."""
    script.answer(json_response({}, 429, {"Retry-After": date_in(script, seconds)}), json_response({}))
    script.run(send_repeated(known_state, REQUEST))
    assert [step.seconds for step in script.steps if isinstance(step, Sleep)] == waited


@pytest.mark.parametrize(("left", "tries"), [(7.0, 1), (7.1, 2), (-1.0, 1), (-1000.0, 1)])
def test_never_past_the_deadline(script, known_state, json_response, left, tries):
    """A pause that would end at the deadline or after it is not begun; the failure is told instead."""
    script.deadline = script.monotonic + left
    script.answer(json_response({}, 429, {"Retry-After": "7"}), json_response({}))
    script.run(send_repeated(known_state, REQUEST))
    assert len(script.requests) == tries


def test_without_a_deadline_nothing_is_repeated(script, flows, json_response):
    """A flow driven without one makes each request once."""
    script.deadline = 0.0
    script.answer(json_response({}, 500))
    with pytest.raises(DiscoveryError):
        script.run(flows["discovery"][0]())
    assert Sleep not in script.kinds


@pytest.mark.parametrize(
    ("random", "pauses"),
    [
        (b"\0" * 8, [0.0] * 6),
        (b"\x80" + b"\0" * 7, [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]),
        (b"\xff" * 8, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]),
    ],
)
def test_the_back_off_is_jittered_in_full(script, known_state, json_response, random, pauses):
    """Each pause lies anywhere between nothing and twice the one before, and is never above ten seconds."""
    config = replace(known_state.config, attempts=7)
    state = replace(known_state, config=config, entropy=lambda _: random)
    script.answer(*[UNKNOWN] * 6, json_response({}))
    script.run(send_repeated(state, REQUEST))
    slept = [step.seconds for step in script.steps if isinstance(step, Sleep)]
    assert slept == pytest.approx(pauses)


@pytest.mark.parametrize(("random", "number"), [(b"\0" * 8, 0.0), (b"\xff" * 8, 1 - 2**-53)])
def test_a_fraction_is_below_one(random, number):
    """All bits or none: from 0, and never 1."""
    assert fraction(lambda size: (random * 2)[:size]) == number


def test_the_order_of_steps(script, known_state, json_response):
    """The time is asked after the failure; then the event is told, and only then is waited."""
    script.answer(json_response({}, 503, {"Retry-After": "7"}), json_response({}))
    script.run(send_repeated(known_state, REQUEST))
    assert script.kinds == [Send, Now, Emit, Sleep, Send]


@pytest.mark.parametrize(
    ("failure", "said"),
    [(503, {"status": 503, "error": None}), (None, {"status": None, "error": "TransportError"})],
)
def test_the_event(script, known_state, json_response, failure, said):
    """It says which attempt failed and how, and how long is waited."""
    refusal = json_response({}, 503, {"Retry-After": "7"}) if failure else UNKNOWN
    script.answer(refusal, json_response({}))
    script.run(repeated(known_state, lambda: send_repeated(known_state, REQUEST), HARMLESS))
    (event,) = script.events
    seconds = 7.0 if failure else event.seconds
    assert event == Event(
        name="retry",
        fhir_base="https://ehr.example.com/r4",
        client_id="growth-chart",
        attempt=1,
        seconds=seconds,
        **said,
    )


def test_each_attempt_has_its_number(script, known_state, json_response):
    """The events count the attempts that failed, from one on."""
    script.answer(UNKNOWN, UNKNOWN, json_response({}))
    script.run(send_repeated(known_state, REQUEST))
    assert [event.attempt for event in script.events] == [1, 2]


def test_a_failure_that_is_no_transports_is_passed_on(script, known_state):
    """An error in the making of a request is nothing to wait for."""

    def broken():
        raise ValueError("the signer")
        yield

    with pytest.raises(ValueError, match="the signer"):
        script.run(repeated(known_state, broken, HARMLESS))
    assert script.steps == []
