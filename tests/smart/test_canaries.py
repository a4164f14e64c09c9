"""
Secrets with unmistakable values go through every flow and every failure, and must not come out anywhere.

Searched are text, repr, attributes and pickle of each error and of all that caused it, the variables of
every frame of ours that it passed through (error reporters send those), log records, and results.
"""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import pytest

import smart_async
from smart_async import (
    ContextChangedError,
    OutcomeUnknownError,
    Secret,
    SigningKey,
    SmartError,
    TransportError,
    load_signing_key,
)
from smart_async.files import write_private_key
from smart_async.messages import Response
from smart_async.smart.authorization import authorize
from smart_async.smart.backend import backend_token
from smart_async.smart.callback import exchange_code, parse_callback
from smart_async.smart.refresh import refresh
from smart_async.smart.token_response import parse_token_response

PACKAGE = str(Path(smart_async.__file__).parent)
ACCESS, REFRESH, ID_TOKEN = "canary-access-0001", "canary-refresh-0002", "canary-id.canary.token-0003"
PATIENT, CODE = "canary-patient-0004", "canary-code-0005"
CANARIES = ("canary-access", "canary-refresh", "canary-id", "canary-patient", "canary-code", "canary-phrase")
GOOD = {
    "access_token": ACCESS,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "openid fhirUser launch/patient patient/*.rs offline_access",
    "refresh_token": REFRESH,
    "patient": PATIENT,
    "encounter": PATIENT,
    "id_token": ID_TOKEN,
}


def changed(**members) -> dict:
    return {**GOOD, **members}


ECHO = "You sent SENT, which is wrong"  # the tests put in what the flow really sent
ANSWERS: dict[str, object] = {
    "no connection": TransportError("Refused.", sent=False),
    "no answer": TransportError("Timed out.", sent=None),
    "redirect": (307, GOOD, {"Location": f"https://evil.example/{REFRESH}?code={CODE}"}),
    "created": (201, GOOD, {}),
    "not found": (404, GOOD, {}),
    "server error": (500, GOOD, {}),
    "error beside the tokens": (200, changed(error="server_error"), {}),
    "echo": (400, {"error": "invalid_grant", "error_description": ECHO}, {}),
    "echo as sentence": (400, {"error": ECHO}, {}),
    "echo as text": (400, ECHO.encode(), {}),
    "echo of the form": (400, b"grant_type=x&code=SENT", {}),
    "html": (200, f"<title>{ECHO}".encode(), {}),
    "cut": (200, json.dumps(GOOD).encode()[:-1], {}),
    "not utf-8": (200, json.dumps(GOOD).encode()[:-1] + b',"a":"\xff"}', {}),
    "member twice": (200, json.dumps(GOOD).encode()[:-1] + f',"patient":"{PATIENT}"}}'.encode(), {}),
    "list": (200, json.dumps([GOOD]).encode(), {}),
    "too deep": (200, b"[" * 40 + json.dumps(GOOD).encode() + b"]" * 40, {}),
    "too large": (200, json.dumps(changed(pad="x" * 300_000)).encode(), {}),
    "too many members": (200, json.dumps(changed(pad=[1] * 20_000)).encode(), {}),
    "no access token": (200, changed(access_token=None), {}),
    "access token with a line break": (200, changed(access_token=f"{ACCESS}\r\nX: y"), {}),
    "access token in a list": (200, changed(access_token=[ACCESS]), {}),
    "access token too long": (200, changed(access_token=ACCESS * 2000), {}),
    "refresh token with a blank": (200, changed(refresh_token=f"{REFRESH} x"), {}),
    "mac token": (200, changed(token_type="mac"), {}),
    "expires in a list": (200, changed(expires_in=[1]), {}),
    "scope is a number": (200, changed(scope=5), {}),
    "scope with a quote": (200, changed(scope='a"b'), {}),
    "other patient": (200, changed(patient=PATIENT + "-other"), {}),
    "wider scope": (200, changed(scope="system/*.*"), {}),
}
USERS_ONLY = ("other patient", "wider scope")


@pytest.fixture
def sandboxed(document, json_response, script, state):
    """Queues discovery and one answer of the token endpoint, and returns the script."""

    def queue(answer, *sent):
        script.answer(json_response(document))
        if isinstance(answer, TransportError):
            return script.answer(TransportError(answer.message, sent=answer.sent))
        status, body, headers = answer
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        body = body.replace(b"SENT", " and ".join(sent).encode())
        return script.answer(json_response(None, status, headers, body=body))

    return queue


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__]
        yield one


def frames(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(PACKAGE):
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{code.co_name}.{name} = {value!r}"
        trace = trace.tb_next


def traces(error: SmartError) -> Iterator[str]:
    """Everything about *error* that a log, a report or another process could show."""
    for one in chain(error):
        yield f"{one} {one!r} {one.args!r} {vars(one)!r} {dir(one)!r}"
        yield "".join(traceback.format_exception_only(one))
        yield from (repr(getattr(one, name)) for name in ("doc", "object") if hasattr(one, name))
        yield from frames(one.__traceback__)
        if isinstance(one, SmartError):
            yield repr(pickle.dumps(one))


def check(error: SmartError, logged: str) -> None:
    for text in (*traces(error), logged):
        for canary in (
            "canary-access",
            "canary-refresh",
            "canary-id",
            "canary-patient",
            "canary-code",
            "canary-phrase",
        ):
            assert canary not in text, text[:600]
            assert quote(canary) not in text, text[:600]


@pytest.mark.rule("TK-17")
@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_refresh_failures(name, sandboxed, state, binding, json_response, caplog):
    """Whatever goes wrong with a refresh, neither token nor patient shows."""
    caplog.set_level(logging.DEBUG)
    token = parse_token_response(json_response(GOOD), binding=binding, requested_scope="")
    script = sandboxed(ANSWERS[name], REFRESH, ACCESS)
    with pytest.raises(SmartError) as caught:
        script.run(refresh(state, token))
    check(caught.value, caplog.text)
    assert isinstance(caught.value, ContextChangedError) is (name in USERS_ONLY)


@pytest.mark.rule("TK-17")
@pytest.mark.parametrize("name", sorted(set(ANSWERS) - set(USERS_ONLY)))
def test_code_exchange_failures(name, sandboxed, state, script, document, json_response, caplog):
    """Whatever goes wrong with a code, nothing shows, not even the callback that the app itself passed in."""
    caplog.set_level(logging.DEBUG)
    pending = script.answer(json_response(document)).run(authorize(state))
    state.cached = None
    script = sandboxed(ANSWERS[name], CODE, pending.code_verifier.reveal())
    url = f"https://app.example.com/callback?code={CODE}&state={pending.state}"
    with pytest.raises(SmartError) as caught:
        script.run(exchange_code(state, pending, url))
    check(caught.value, caplog.text)
    assert CODE not in f"{caught.value} {vars(caught.value)} {pickle.dumps(caught.value)!r}"
    for text in traces(caught.value):
        assert pending.code_verifier.reveal() not in text


@pytest.mark.rule("TK-17")
@pytest.mark.parametrize("name", sorted(set(ANSWERS) - set(USERS_ONLY)))
def test_backend_failures(name, sandboxed, state, caplog):
    """Whatever goes wrong with a backend token, neither that nor the assertion shows."""
    caplog.set_level(logging.DEBUG)
    script = sandboxed(ANSWERS[name], "eyJhbGciOiJFUzM4NCJ9.canary-id.c2ln")
    with pytest.raises(SmartError) as caught:
        script.run(backend_token(state))
    check(caught.value, caplog.text)
    assertion = script.requests[1].body.decode().rpartition("client_assertion=")[2]
    assert assertion.count(".") == 2
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert all(assertion not in text for text in traces(caught.value))


def test_results_show_nothing(sandboxed, state, binding, json_response, caplog):
    """Tokens, contexts, requests and responses are masked when everything goes well, too."""
    caplog.set_level(logging.DEBUG)
    token = parse_token_response(json_response(GOOD), binding=binding, requested_scope="")
    script = sandboxed((200, changed(id_token=None), {}))
    new = script.run(refresh(state, token))
    shown = (
        f"{new} {new!r} {new.context!r} {new.access_token} {new.findings} {script.requests} {script.steps} "
        f"{Response(status=200, body=json.dumps(GOOD).encode())!r} {state!r} {caplog.text}"
    )
    assert "canary" not in shown


def test_a_refused_token_shows_nothing(script, state, binding, json_response, caplog):
    """A token of another server is refused without showing it."""
    token = parse_token_response(json_response(GOOD), binding=binding, requested_scope="")
    other = replace(token, binding=replace(binding, fhir_base="https://other.example/r4"))
    for bad in (other, replace(token, refresh_token=None)):
        with pytest.raises(SmartError) as caught:
            script.run(refresh(state, bad))
        check(caught.value, caplog.text)
    with pytest.raises(SmartError) as caught:
        script.run(refresh(state, token, scope="system/*.rs"))
    check(caught.value, caplog.text)


CALLBACKS = {
    "of another login": f"https://app.example.com/callback?code={CODE}&state=other",
    "on another path": f"https://app.example.com/elsewhere?code={CODE}&state=STATE",
    "with a token": f"https://app.example.com/callback?code={CODE}&state=STATE#access_token={ACCESS}",
    "with two codes": f"https://app.example.com/callback?code={CODE}&code={CODE}&state=STATE",
    "with code and error": {"code": CODE, "state": "STATE", "error": "access_denied"},
    "with an odd code": {"code": CODE + "\n", "state": "STATE"},
    "in a list": [CODE],
}


@pytest.mark.parametrize("name", sorted(CALLBACKS))
def test_refused_callbacks(name, state, script, document, json_response, caplog):
    """A callback that is refused leaves its code in no frame of ours."""
    pending = script.answer(json_response(document)).run(authorize(state))
    given = json.loads(json.dumps(CALLBACKS[name]).replace("STATE", pending.state))
    with pytest.raises(SmartError) as caught:
        script.run(exchange_code(state, pending, given))
    check(caught.value, caplog.text)
    with pytest.raises(SmartError) as caught:
        parse_callback(pending, given, now=pending.created_at)
    check(caught.value, caplog.text)


LOCKED_KEY = SigningKey.generate("ES384", kid="k")
PHRASE = "canary-phrase-0006"


@pytest.mark.parametrize("wrap", [str, str.encode, Secret], ids=["text", "bytes", "secret"])
@pytest.mark.parametrize("form", ["locked", "plain", "pkcs12", "empty"])
def test_passphrases(form, wrap, tmp_path, caplog):
    """A passphrase that opens nothing shows in no frame of ours, however it was given."""
    data = {
        "locked": LOCKED_KEY.private_pem("another"),
        "plain": LOCKED_KEY.private_pem(),
        "pkcs12": b"\x30\x07\x02\x01\x03\x30\x02\x00\x00",
        "empty": b"",
    }[form]
    path = tmp_path / "key"
    path.write_bytes(data)
    path.chmod(0o600)
    calls = [
        lambda: SigningKey.from_pem(data, passphrase=wrap(PHRASE)),
        lambda: SigningKey.from_bytes(data, passphrase=wrap(PHRASE)),
        lambda: SigningKey.from_pkcs12(data, passphrase=wrap(PHRASE)),
        lambda: load_signing_key(path, passphrase=wrap(PHRASE)),
        lambda: load_signing_key(path, passphrase=lambda: wrap(PHRASE), kid=""),
        lambda: write_private_key(path, LOCKED_KEY, passphrase=wrap(PHRASE)),
    ]
    for call in calls:
        with pytest.raises(SmartError) as caught:
            call()
        check(caught.value, caplog.text)
