"""Registering a client: what is sent, what is believed of the answer, and what is not."""

from __future__ import annotations

import contextlib
import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_async import (
    ClientMetadata,
    ConfigurationError,
    EndpointChangedError,
    Limits,
    OAuthError,
    OutcomeUnknownError,
    ProtocolError,
    RegistrationChangedError,
    Secret,
    SigningKey,
    SmartError,
    TransportError,
    public_jwks,
)
from smart_async.flow import Now, Send
from smart_async.messages import Response
from smart_async.smart.binding import Binding
from smart_async.smart.registration import register, registration_request
from smart_async.smart.registration_answer import parse_registration

ENDPOINT = "https://sso.example.com/oauth2/register"
CALLBACK = "https://app.example.com/callback"


@pytest.fixture
def requested(signing_key: SigningKey) -> ClientMetadata:
    return ClientMetadata.for_app(
        signing_key, redirect_uris=[CALLBACK], scope="openid patient/*.rs", client_name="Growth chart"
    )


@pytest.fixture
def answer(requested: ClientMetadata) -> dict[str, Any]:
    """An answer without a fault."""
    return {
        **requested.to_members(),
        "client_id": "new-client",
        "client_id_issued_at": 1_749_999_000,
        "registration_access_token": "rat-77aa-token",
        "registration_client_uri": f"{ENDPOINT}/new-client",
    }


@pytest.fixture
def run(script, state, document, requested, json_response):
    """Registers with the given answer."""

    def run(answer: object, status: int = 201, **options: Any) -> Any:
        if state.cached is None and not script.answers:
            script.answer(json_response(document))
        body = answer if isinstance(answer, bytes) else None
        script.answer(json_response(answer if body is None else None, status, body=body))
        return script.run(register(state, options.pop("requested", requested), **options))

    return run


def test_what_is_sent(run, script, requested, answer):
    """One POST of JSON on a fresh connection, without client authentication and without a client id."""
    run(answer)
    assert script.kinds == [Now, Send, Send]
    request = script.requests[1]
    assert (request.method, request.url, request.purpose, request.fresh) == (
        "POST",
        ENDPOINT,
        "registration",
        True,
    )
    assert dict(request.headers) == {"accept": "application/json", "content-type": "application/json"}
    assert json.loads(request.body) == requested.to_members()


@pytest.mark.parametrize("token", ["iat-55", Secret("iat-55")])
def test_the_initial_access_token_is_a_bearer_token(run, script, answer, token):
    """What permits the registration goes into the Authorization header, and into no repr."""
    run(answer, initial_access_token=token)
    assert script.requests[1].headers["authorization"] == "Bearer iat-55"
    assert "iat-55" not in repr(script.requests[1]) + repr(script.requests[1].headers)


@pytest.mark.parametrize("token", ["", "two\r\nlines", "ä", "a b", "x" * 20_000])
def test_an_initial_access_token_cannot_break_the_header(run, script, answer, token):
    """A token that no header can carry is refused before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        run(answer, initial_access_token=token)
    assert caught.value.field == "initial_access_token"
    assert script.requests == []


def test_the_limits_of_the_client_are_the_transports(requested):
    """A transport reads no more of the answer than the client allows."""
    assert registration_request(ENDPOINT, requested, limits=Limits(document_bytes=999)).max_bytes == 999


def test_what_comes_back(run, requested, answer, config):
    """The registration holds who the client is, with what it is managed, and what was registered."""
    registration = run(answer)
    assert registration.client_id == "new-client"
    assert registration.client_secret is None
    assert registration.client_secret_expires_at is None
    assert registration.client_id_issued_at == 1_749_999_000.0
    assert registration.registration_access_token == Secret("rat-77aa-token")
    assert registration.registration_client_uri == f"{ENDPOINT}/new-client"
    assert registration.metadata == requested
    assert registration.findings == ()
    assert registration.raw["registration_access_token"] == Secret("rat-77aa-token")
    assert registration.registration_endpoint == ENDPOINT
    assert registration.binding == Binding(
        fhir_base=config.fhir_base,
        client_id="new-client",
        issuer="https://sso.example.com",
        token_endpoint="https://sso.example.com/oauth2/token",
    )


def test_the_client_id_of_the_configuration_is_not_sent(run, script, answer):
    """A configuration to register with can have any client id: it does not leave this machine."""
    run(answer)
    assert b"growth-chart" not in script.requests[1].body


@pytest.mark.parametrize("expiry", [0, 1_800_000_000])
def test_a_client_secret(run, requested, answer, expiry):
    """A secret comes wrapped, with its end; 0 stands for never."""
    app = ClientMetadata.for_app(redirect_uris=[CALLBACK], scope="openid")
    changed = {**answer, **app.to_members(), "client_secret": "s3cr3t", "client_secret_expires_at": expiry}
    del changed["jwks"], changed["client_name"]
    registration = run(changed, requested=app)
    assert registration.client_secret == Secret("s3cr3t")
    assert registration.client_secret_expires_at == (expiry or None)
    assert registration.secret_expired(1_800_000_000) == bool(expiry)
    assert not registration.secret_expired(1_799_999_999)
    assert registration.findings == ()
    assert "s3cr3t" not in repr(registration)


def rules(registration: Any) -> list[str]:
    return [finding.rule for finding in registration.findings]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"client_secret": "s"}, "registration-expiry"),
        ({"client_secret": "s", "client_secret_expires_at": "soon"}, "registration-time"),
        ({"client_id_issued_at": True}, "registration-time"),
        ({"client_id_issued_at": -1}, "registration-time"),
        ({"registration_access_token": None}, "registration-management"),
        ({"registration_client_uri": ""}, "registration-management"),
        ({"logo_uri": "http://app.example.com/logo.png"}, "registration-member"),
        ({"contacts": "ops"}, "registration-member"),
        ({"scope": "openid"}, "registration-changed"),
        ({"scope": "openid patient/*.cruds"}, "registration-changed"),
        ({"client_name": "Growth"}, "registration-changed"),
        ({"grant_types": ["authorization_code", "refresh_token", "implicit"]}, "registration-changed"),
        ({"response_types": ["code", "token"]}, "registration-changed"),
        ({"client_name": None}, "registration-silent"),
        ({"jwks": None}, "registration-silent"),
    ],
)
def test_what_does_no_harm_is_a_finding(run, answer, changes, rule):
    """Minor differences and gaps are kept as findings, and the registration is used."""
    registration = run({**answer, **changes})
    assert rules(registration) == [rule]
    assert registration.client_id == "new-client"


def test_what_the_answer_leaves_out_is_as_asked_for(run, requested, answer):
    """A server that repeats nothing has still registered what it was asked for, or so it must be read."""
    registration = run({"client_id": "new-client"})
    assert registration.metadata == requested
    assert rules(registration) == ["registration-silent"]


def test_members_of_the_servers_own_are_kept(run, answer):
    """What the server adds is in the metadata, so that an update does not delete it."""
    registration = run({**answer, "subject_type": "public", "extra": 1, "tos_uri": ""})
    assert registration.metadata.extra == {"subject_type": "public", "extra": 1}
    assert registration.findings == ()


def test_200_is_taken_for_201(run, answer):
    """Servers that answer 200 have registered the client all the same."""
    assert rules(run(answer, 200)) == ["registration-status"]


@pytest.mark.parametrize(
    ("changes", "member", "what"),
    [
        ({"redirect_uris": [CALLBACK, "https://evil.example/cb"]}, "redirect_uris", "1 that nobody"),
        ({"redirect_uris": ["https://evil.example/cb"]}, "redirect_uris", "1 missing"),
        ({"redirect_uris": []}, "redirect_uris", "1 missing"),
        ({"redirect_uris": [CALLBACK + "/"]}, "redirect_uris", "1 that nobody"),
        ({"token_endpoint_auth_method": "none"}, "token_endpoint_auth_method", "none in the place of"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "token_endpoint_auth_method", "basic"),
        ({"token_endpoint_auth_method": "made_up"}, "token_endpoint_auth_method", "made_up"),
        ({"grant_types": ["refresh_token"]}, "grant_types", "authorization_code missing"),
        ({"response_types": []}, "response_types", "code missing"),
        ({"jwks": None, "jwks_uri": "https://evil.example/jwks"}, "jwks_uri", "another place"),
        ({"jwks": {"keys": []}}, "jwks", "1 of our keys missing"),
    ],
)
def test_another_client_is_refused_unless_allowed(run, answer, changes, member, what):
    """What changes who can act as the client is an error; named by the caller, it is a finding."""
    changed = {**answer, **changes}
    with pytest.raises(RegistrationChangedError, match=what) as caught:
        run(changed)
    error = caught.value
    assert error.endpoint == ENDPOINT
    assert error.status == 201
    assert "redirect_uris" in error.received
    assert "evil" not in str(error)
    assert error.registration.client_id == "new-client"
    assert "rat-77aa" not in str(error) + repr(error)
    assert f"{member!r}" in error.advice
    assert "registration-changed" in rules(run(changed, allow_changes=(member,)))


def test_a_key_of_somebody_else_is_refused(run, answer, signing_key):
    """A key beside ours lets its owner act as this client; so does one in the place of ours."""
    foreign = SigningKey.generate("ES384", kid="key-1")
    for keys in ([foreign], [signing_key.public_jwk() | {"kid": "key-2"}, foreign.public_jwk()]):
        jwks = {"keys": [key if isinstance(key, dict) else key.public_jwk() for key in keys]}
        with pytest.raises(RegistrationChangedError, match="1 keys that are not ours"):
            run({**answer, "jwks": jwks})


def test_our_own_key_in_another_dress_is_ours(run, answer, signing_key):
    """Servers add and drop members of a JWK; its numbers decide. A lost kid is a finding."""
    jwk = signing_key.public_jwk()
    dressed = {**{name: jwk[name] for name in ("kty", "kid", "crv", "x", "y")}, "x5t": "AAAA"}
    assert run({**answer, "jwks": {"keys": [dressed]}}).findings == ()
    del dressed["kid"]
    assert rules(run({**answer, "jwks": {"keys": [dressed]}})) == ["registration-changed"]


def test_keys_that_nobody_asked_for_are_refused(run, answer, signing_key):
    """A client that registered no keys must not come back with some, nor with redirect URIs."""
    app = ClientMetadata(token_endpoint_auth_method="none", grant_types=("client_credentials",))
    plain = {**app.to_members(), "client_id": "new-client"}
    jwks = public_jwks([signing_key])
    for changes in ({"jwks": jwks}, {"jwks_uri": "https://x.example/"}, {"redirect_uris": [CALLBACK]}):
        with pytest.raises(RegistrationChangedError):
            run({**plain, **changes}, requested=app)
    assert run({**plain, "redirect_uris": [], "jwks": {"keys": []}}, requested=app).findings == ()


def test_a_stronger_method_is_a_finding(run, answer):
    """A server may ask for more than was offered."""
    app = ClientMetadata.for_app(redirect_uris=[CALLBACK], scope="openid", public=True)
    changed = {**app.to_members(), "client_id": "c", "client_secret": "s", "client_secret_expires_at": 0}
    changed["token_endpoint_auth_method"] = "client_secret_post"
    assert rules(run(changed, requested=app)) == ["registration-changed"]


def test_only_one_of_several_changes_is_allowed(run, answer):
    """Each change needs its own permission."""
    changed = {**answer, "redirect_uris": [], "token_endpoint_auth_method": "none"}
    with pytest.raises(RegistrationChangedError) as caught:
        run(changed, allow_changes=("redirect_uris",))
    assert "redirect_uris" not in str(caught.value)


@pytest.mark.parametrize("names", ["client_name", ("grant_types", "scope")])
def test_only_guarded_members_need_permission(run, script, answer, names):
    """A permission that has no effect is a mistake, and said so before anything is sent."""
    with pytest.raises(ConfigurationError, match="allow_changes"):
        run(answer, allow_changes=names)
    assert script.requests == []


def test_one_name_is_enough(run, answer):
    """A single permission need not be a tuple."""
    assert rules(run({**answer, "grant_types": ["refresh_token"]}, allow_changes="grant_types"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client_id": 5}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": None}, "client_id"),
        ({"client_id": "a\nb"}, "client_id"),
        ({"client_id": "é"}, "client_id"),
        ({"client_id": "x" * 513}, "client_id"),
        ({"client_secret": 5}, "client_secret"),
        ({"client_secret": "a\nb"}, "client_secret"),
        ({"registration_access_token": ["t"]}, "registration_access_token"),
        ({"registration_access_token": "a b"}, "registration_access_token"),
        ({"registration_client_uri": 5}, "must be a string"),
        ({"registration_client_uri": "https://evil.example/new-client"}, "not where the registration"),
        ({"registration_client_uri": "https://sso.example.com:8443/x"}, "not where the registration"),
        ({"registration_client_uri": "/oauth2/register/new-client"}, "absolute URL"),
        ({"registration_client_uri": "http://sso.example.com/x"}, "plain http"),
        ({"redirect_uris": CALLBACK}, "redirect_uris"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uri"),
        ({"jwks": "keys"}, "jwks"),
        ({"jwks_uri": "https://app.example.com/jwks"}, "jwks and jwks_uri"),
        ({"grant_types": {"a": 1}}, "grant_types"),
        ({"token_endpoint_auth_method": 1}, "token_endpoint_auth_method"),
    ],
)
def test_an_unusable_answer_is_refused(run, answer, changes, message):
    """Identity, secrets, place of management and what guards the client have to be what they are."""
    with pytest.raises(ProtocolError, match=message) as caught:
        run({**answer, **changes})
    assert caught.value.status == 201
    assert caught.value.__cause__ is None
    assert "rat-77aa" not in str(caught.value)


@pytest.mark.parametrize("body", [b"new-client", b"\xef\xbb\xbf new-client", b"", b'"new-client"', b"7"])
def test_a_bare_client_id_is_explained(run, body):
    """A server with a form of its own answers in plain text; the error says what to do."""
    with pytest.raises(ProtocolError, match="plain text") as caught:
        run(body, 200)
    assert "by hand" in caught.value.advice
    assert "new-client" not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{", b'{"client_id": "a", "client_id": "b"}'])
def test_other_bodies_are_refused(run, body):
    """Pages, lists, broken JSON and doubled members are no registration."""
    with pytest.raises(ProtocolError, match="registration answer"):
        run(body)


@pytest.mark.parametrize("status", [202, 204, 100, 206])
def test_only_created_is_created(run, answer, status):
    """202 may mean that somebody has to approve; there is no client yet."""
    with pytest.raises(ProtocolError, match=f"answered {status}"):
        run(answer, status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused(run, script, state, document, requested, json_response, status):
    """Neither the initial access token nor the registration follows a redirect."""
    target = json_response({}, status, {"Location": "https://evil.example/register?x=1"})
    script.answer(json_response(document), target)
    with pytest.raises(ProtocolError, match=r"https://evil\.example;"):
        script.run(register(state, requested, initial_access_token="iat-55"))
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [400, 200, 201])
def test_a_refusal_is_the_servers_own_word(run, status):
    """An OAuth error is one whatever its status, and the token in it is struck out."""
    refusal = {"error": "invalid_redirect_uri", "error_description": "not for iat-55"}
    with pytest.raises(OAuthError) as caught:
        run(refusal, status, initial_access_token="iat-55")
    assert caught.value.error == "invalid_redirect_uri"
    assert caught.value.description == "not for <hidden>"
    assert "redirect URI" in caught.value.advice


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_missing_endpoint_is_explained(run, status):
    """404 without an OAuth error means that there is no registration here."""
    with pytest.raises(OAuthError) as caught:
        run(b"", status)
    assert "by hand" in caught.value.advice


@pytest.mark.parametrize("sent", [None, True])
def test_an_unknown_outcome_is_not_repeated(script, state, document, requested, json_response, sent):
    """A registration that may have arrived is not repeated: there would be two clients."""
    failure = TransportError("Reset.", endpoint=ENDPOINT, sent=sent)
    script.answer(json_response(document), failure)
    with pytest.raises(OutcomeUnknownError) as caught:
        script.run(register(state, requested))
    assert caught.value.__cause__ is failure
    assert "A client may exist" in caught.value.advice
    assert len(script.requests) == 2


def test_a_registration_that_never_left_fails_plainly(script, state, document, requested, json_response):
    """Where nothing was sent, nothing is unknown."""
    failure = TransportError("Refused.", sent=False)
    script.answer(json_response(document), failure)
    with pytest.raises(TransportError) as caught:
        script.run(register(state, requested))
    assert caught.value is failure


def test_a_server_without_registration(script, state, document, requested, json_response):
    """Most servers register by hand; that is said, and nothing is sent."""
    del document["registration_endpoint"]
    script.answer(json_response(document))
    with pytest.raises(ConfigurationError, match="names no registration_endpoint") as caught:
        script.run(register(state, requested))
    assert caught.value.field == "registration_endpoint"
    assert len(script.requests) == 1


def test_an_endpoint_elsewhere_is_refused(script, state, document, requested, answer, json_response):
    """A registration endpoint on another origin gets nothing, unless that origin is trusted."""
    document["registration_endpoint"] = "https://evil.example/register"
    script.answer(json_response(document))
    with pytest.raises(EndpointChangedError, match=r"https://evil\.example"):
        script.run(register(state, requested, initial_access_token="iat-55"))
    assert len(script.requests) == 1
    state.config = replace(state.config, trusted_origins=("https://evil.example",))
    answer["registration_client_uri"] = "https://evil.example/register/new"
    script.answer(json_response(answer, 201))
    assert script.run(register(state, requested)).registration_endpoint == "https://evil.example/register"


def test_loopback_urls_need_a_word(script, state, document, json_response):
    """Plain http in the metadata is refused before anything is sent, unless the configuration allows it."""
    backend = ClientMetadata.for_backend(jwks_uri="http://127.0.0.1:8000/jwks")
    with pytest.raises(ConfigurationError, match="plain http"):
        script.run(register(state, backend))
    assert script.requests == []
    state.config = replace(state.config, allow_insecure_loopback=True)
    script.answer(json_response(document), json_response({**backend.to_members(), "client_id": "b"}, 201))
    assert script.run(register(state, backend)).client_id == "b"


def test_the_error_survives_a_pickle_without_the_registration(run, answer):
    """A pickled error is plain text, so the registration with its secrets is left out of it."""
    with pytest.raises(RegistrationChangedError) as caught:
        run({**answer, "redirect_uris": []})
    text = pickle.dumps(caught.value)
    assert b"rat-77aa" not in text
    restored = pickle.loads(text)
    assert (str(restored), restored.registration) == (str(caught.value), None)
    assert (restored.received, restored.status) == (caught.value.received, 201)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *(name for name in ClientMetadata.__slots__ if name != "extra"),
    "client_id",
    "client_secret",
    "client_secret_expires_at",
    "client_id_issued_at",
    "registration_access_token",
    "registration_client_uri",
    "error",
    "anything",
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from(NAMES), value=JSON)
def test_whatever_is_in_a_member_only_our_errors_come_out(answer, requested, binding, name, value):
    """One member of a good answer replaced by anything: a registration or an error of ours."""
    body = json.dumps({**answer, name: value}).encode()
    response = Response(status=201, body=body, url=ENDPOINT)
    try:
        registration = parse_registration(
            response, requested=requested, binding=binding, registration_endpoint=ENDPOINT
        )
    except SmartError:
        return
    assert registration.registration_client_uri in (None, f"{ENDPOINT}/new-client")
    assert type(registration).from_json(registration.to_json()) == registration


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_whatever_the_body_only_our_errors_come_out(answer, requested, binding, data):
    """A good answer with bytes changed: a registration or an error of ours."""
    body = bytearray(json.dumps(answer).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    response = Response(status=data.draw(st.sampled_from([200, 201, 400])), body=bytes(body), url=ENDPOINT)
    with contextlib.suppress(SmartError):
        _ = parse_registration(response, requested=requested, binding=binding, registration_endpoint=ENDPOINT)


def test_no_frame_shows_a_secret(run, answer):
    """Error reporters show the variables of every frame; no secret stands plainly in one of ours."""
    for broken in ({"client_id": 5}, {"redirect_uris": []}, {"registration_client_uri": "x"}):
        with pytest.raises(ProtocolError) as caught:
            run({**answer, **broken}, initial_access_token="iat-55")
        frames = [entry for entry in caught.traceback if "smart_async" in str(entry.path)]
        assert len(frames) > 2
        shown = repr([entry.frame.f_locals for entry in frames])
        assert "iat-55" not in shown
        assert "rat-77aa" not in shown
