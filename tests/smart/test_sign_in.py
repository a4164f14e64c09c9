"""What a login ends with: an identity that was proven, a token never lost, a patient from elsewhere."""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import replace

import pytest

from smart_async import ContextChangedError, IdTokenError, Scopes, Secret, Token, TransportError
from smart_async.smart.authorization import authorize
from smart_async.smart.callback import exchange_code
from smart_async.smart.refresh import refresh
from smart_async.smart.sign_in import patient_elsewhere, with_identity
from smart_async.smart.token_response import parse_token_response

NOW = 1_750_000_000


@pytest.fixture
def received(token_document, json_response, binding):
    """The token of an answer with this ID token and these changes, before anything was verified."""

    def make(id_token=..., previous=None, **changes) -> Token:
        document = {**token_document, "id_token": id_token, **changes}
        document = {name: value for name, value in document.items() if value is not ...}
        return parse_token_response(
            json_response(document).stamped(NOW), binding=binding, requested_scope="", previous=previous
        )

    return make


@pytest.fixture
def known(script, issuer, json_response):
    """Answers one look at the issuer's keys."""
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))


@pytest.fixture
def sign_in(script, state, metadata):
    """Finishes a login, or with `previous` a refresh."""

    def run(token, *, openid=True, previous=None, **config):
        state.config = replace(state.config, **config)
        nonce = Secret("n-1") if previous is None else None
        return script.run(
            with_identity(state, metadata, token, nonce=nonce, openid=openid, previous=previous)
        )

    return run


def rules(token):
    return [finding.rule for finding in token.findings]


# ------------------------------------------------------------------------------------------- verified


@pytest.mark.rule("ID-01", "ID-09")
def test_a_verified_identity(sign_in, received, issuer, known):
    """The token carries who signed in; fhirUser is absolute and starts at the FHIR base."""
    token = sign_in(received(issuer.token()))
    assert (token.identity.subject, rules(token)) == ("u-58121", [])
    assert token.identity.fhir_user.url == "https://ehr.example.com/r4/Practitioner/dr-9"


@pytest.mark.rule("ID-09")
def test_the_identity_survives_storage(sign_in, received, issuer, known):
    """A stored token knows its user again, typed as before."""
    token = sign_in(received(issuer.token()))
    assert Token.from_json(token.to_json()).identity == token.identity


def test_nothing_is_verified_that_was_not_asked_for(sign_in, received, script):
    """Without openid an ID token is not looked at, and no key is fetched."""
    token = sign_in(received("garbage"), openid=False)
    assert (token.identity, script.requests) == (None, [])


@pytest.mark.rule("ID-11")
@pytest.mark.parametrize("value", [..., None, 5])
def test_no_id_token(sign_in, received, script, value):
    """A server that sends none has not vouched for anybody: no identity, and a finding."""
    token = sign_in(received(value))
    assert (token.identity, rules(token), script.requests) == (None, ["ID-11"], [])


@pytest.mark.rule("ID-11")
@pytest.mark.parametrize(
    ("scope", "claims", "expected"),
    [
        ("openid fhirUser", {"fhirUser": ...}, ["ID-11"]),
        ("openid", {"fhirUser": ...}, []),
        ("openid fhirUser", {"fhirUser": "Device/1"}, ["ID-10"]),
        ("openid fhirUser", {"fhirUser": ..., "profile": "Patient/1"}, ["ID-11"]),
    ],
)
def test_fhir_user_is_missing(sign_in, received, issuer, known, scope, claims, expected):
    """Granted and not sent is found once; not granted is no finding."""
    assert rules(sign_in(received(issuer.token(**claims), scope=scope))) == expected


# ----------------------------------------------------------------------------------------- not verified


@pytest.mark.rule("ID-01")
def test_a_failure_ends_the_login(sign_in, received, issuer, known):
    """By default nobody is signed in; the token is on the error, for its code is spent."""
    with pytest.raises(IdTokenError) as caught:
        sign_in(received(issuer.token(aud="other")))
    assert isinstance(caught.value.token, Token)
    assert caught.value.token.identity is None
    assert caught.value.token.access_token == Secret("opaque-7Fq2-access")


def test_a_failure_is_pickled_without_the_token(sign_in, received, issuer, known):
    """A pickle of the error holds no token."""
    with pytest.raises(IdTokenError) as caught:
        sign_in(received(issuer.token(aud="other")))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.token, again.message) == (None, caught.value.message)


def test_an_empty_id_token(sign_in, received):
    """An empty string is an ID token that cannot be trusted, not a missing one."""
    with pytest.raises(IdTokenError):
        sign_in(received(""))


def test_an_encrypted_id_token(sign_in, received):
    """It is refused clearly, before any key is fetched for it."""
    with pytest.raises(IdTokenError, match="encrypted"):
        sign_in(received("a.b.c.d.e"))


def test_id_token_warn(sign_in, received, issuer, known):
    """With "warn" the login goes on without identity, and the reason is a finding."""
    token = sign_in(received(issuer.token(aud="other")), id_token="warn")
    assert (token.identity, rules(token)) == (None, ["ID-01"])
    assert "not for this client" in token.findings[0].message


@pytest.mark.parametrize("garbage", ["garbage", "a.b.c.d.e", "e30.e30.e30"])
def test_id_token_warn_with_known_keys(sign_in, received, issuer, known, garbage):
    """The same for garbage that comes when the keys are known already."""
    sign_in(received(issuer.token()))
    assert rules(sign_in(received(garbage), id_token="warn")) == ["ID-01"]


def test_id_token_warn_when_the_issuer_is_down(sign_in, received, issuer, script):
    """An outage is a reason like any other."""
    script.answer(TransportError("down"))
    token = sign_in(received(issuer.token()), id_token="warn")
    assert (token.identity, rules(token)) == (None, ["ID-01"])


def test_id_token_off(sign_in, received, script):
    """With "off" the ID token is not looked at."""
    token = sign_in(received("garbage"), id_token="off")
    assert (token.identity, rules(token), script.requests) == (None, [], [])


@pytest.mark.parametrize("sent", [False, None])
def test_an_outage_of_the_issuer_loses_no_token(sign_in, received, issuer, script, sent):
    """
    A code or refresh token is spent by now: the error must neither lose what it bought, nor say that
    repeating is safe.
    """
    down = TransportError("There is no such host.", endpoint="https://sso.example.com/keys", sent=sent)
    script.answer(down)
    token = received(issuer.token())
    with pytest.raises(IdTokenError) as caught:
        sign_in(token)
    assert (caught.value.token, caught.value.__cause__) == (token, down)
    assert caught.value.endpoint == "https://sso.example.com/keys"
    assert "no such host" in caught.value.message


# ---------------------------------------------------------------------------------------------- refresh


@pytest.fixture
def before(sign_in, received, issuer, known):
    """The token of a finished login."""
    return sign_in(received(issuer.token()))


@pytest.mark.rule("RF-09")
def test_a_refresh_without_id_token(sign_in, received, before):
    """Who signed in does not change by a refresh that says nothing of it."""
    token = sign_in(received(previous=before), previous=before)
    assert (token.identity, rules(token)) == (before.identity, [])


def test_a_refreshed_id_token(sign_in, received, before, issuer):
    """It takes the place of the old one, without nonce and however long ago the login was."""
    fresh = issuer.token(nonce=..., iat=NOW - 90_000, exp=NOW + 60)
    token = sign_in(received(fresh, previous=before), previous=before)
    assert (token.identity.expires_at, token.identity.subject) == (NOW + 60.0, "u-58121")


@pytest.mark.parametrize("claims", [{"sub": "u-2"}, {"iss": "https://other.example.com"}])
def test_another_user(sign_in, received, before, issuer, script, json_response, claims):
    """A refresh for another user hands over the new token, with its identity, and merges nothing."""
    if "iss" in claims:
        sign_in(received(previous=before), previous=before, id_token_issuer=claims["iss"])
        document = issuer.configuration(issuer=claims["iss"])
        script.answer(json_response(document), json_response(issuer.jwks()))
    new = received(issuer.token(nonce=..., **claims), previous=before, refresh_token="r-2")
    with pytest.raises(ContextChangedError) as caught:
        sign_in(new, previous=before)
    assert caught.value.token.refresh_token == Secret("r-2")
    assert caught.value.token.identity.claims.items() >= claims.items()


@pytest.mark.rule("ID-08")
def test_another_nonce_at_a_refresh(sign_in, received, before, issuer):
    """A refreshed ID token may repeat the login's nonce or leave it out; another one is refused."""
    assert sign_in(received(issuer.token(nonce="n-1"), previous=before), previous=before).identity
    with pytest.raises(IdTokenError, match="nonce") as caught:
        sign_in(received(issuer.token(nonce="n-2"), previous=before), previous=before)
    assert isinstance(caught.value.token, Token)


def test_a_first_identity_at_a_refresh(sign_in, received, issuer, known):
    """Where the login had none there is nobody to compare with."""
    before = received()
    token = sign_in(received(issuer.token(nonce="x"), previous=before), previous=before)
    assert token.identity.subject == "u-58121"


def test_a_failure_after_a_refresh_keeps_the_new_token(
    script, state, document, before, issuer, json_response
):
    """Through the whole flow: the rotated refresh token is on the error, and nowhere else."""
    answer = {"access_token": "at-2", "token_type": "Bearer", "refresh_token": "r-2", "expires_in": 60}
    for id_token in (issuer.token(nonce=..., exp=NOW - 60), "garbage"):
        if state.cached is None:
            script.answer(json_response(document))
        script.answer(json_response({**answer, "id_token": id_token}))
        with pytest.raises(IdTokenError) as caught:
            script.run(refresh(state, before))
        assert caught.value.token.refresh_token == Secret("r-2")
    script.advance(300)
    issuer.key("second", "RS256")
    script.answer(json_response({**answer, "id_token": issuer.token("second", nonce=...)}))
    script.answer(TransportError("down", sent=False))
    with pytest.raises(IdTokenError) as caught:
        script.run(refresh(state, before))
    assert caught.value.token.refresh_token == Secret("r-2")


@pytest.mark.rule("ID-01", "ID-08")
def test_a_whole_login(script, state, document, issuer, json_response, token_document):
    """The nonce of the pending login is the one that the ID token must repeat."""
    script.answer(json_response(document))
    pending = script.run(authorize(state))
    callback = {"state": pending.state, "code": "c-1", "iss": issuer.url}
    for nonce, accepted in ((pending.nonce.reveal(), True), ("another", False)):
        answer = {**token_document, "id_token": issuer.token(nonce=nonce)}
        script.answer(json_response(answer))
        if accepted:
            script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
            assert script.run(exchange_code(state, pending, callback)).identity.subject == "u-58121"
        else:
            with pytest.raises(IdTokenError, match="nonce"):
                script.run(exchange_code(state, pending, callback))


# -------------------------------------------------------------------------------------- patient elsewhere


def jwt(claims) -> Secret:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return Secret(f"e30.{payload}.c2ln")


CLAIM = "access_token_claim:local_patient_id"


def test_patient_from_fhir_user(sign_in, received, issuer, known):
    """Oracle Health names the patient of a patient's own login in fhirUser alone."""
    token = received(issuer.token(fhirUser="Patient/p-9"), patient=...)
    token = sign_in(token, patient_from=("token", "fhirUser"))
    assert token.context.patient == "p-9"
    assert rules(token)[-1] == "CTX-01"


@pytest.mark.parametrize("user", ["Practitioner/p-9", "https://other.example.com/r4/Patient/p-9", "Device/1"])
def test_patient_only_from_a_patient_of_this_server(sign_in, received, issuer, known, user):
    """Another kind of user, or a patient of another server, is nobody's chart here."""
    token = sign_in(received(issuer.token(fhirUser=user), patient=...), patient_from=("fhirUser",))
    assert token.context.patient is None


def test_patient_from_no_identity(received):
    """Without identity there is no fhirUser."""
    assert patient_elsewhere(received(patient=...), ("fhirUser",)).context.patient is None


def test_the_token_response_comes_first(sign_in, received, issuer, known):
    """What the server says in the token response is never overruled."""
    token = received(issuer.token(fhirUser="Patient/p-9"), access_token=jwt({"p": "p-8"}).reveal())
    sources = ("fhirUser", "access_token_claim:p")
    assert sign_in(token, patient_from=sources).context.patient == "p-3307"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("p-7", "p-7"), ("Patient/p-7", "p-7"), ("..", None), ("a b", None), (None, None), ([], None)],
)
def test_patient_from_a_claim(received, value, expected):
    """Veradigm names the patient in the access token; what cannot be an id is left out."""
    token = replace(received(patient=...), access_token=jwt({"local_patient_id": value}))
    assert patient_elsewhere(token, (CLAIM,)).context.patient == expected


@pytest.mark.parametrize("text", ["opaque", "a.b", "a.!!.c", "e30.W10.c2ln", "e30.e30.c2ln", "a.b.c.d.e"])
def test_access_tokens_without_claims(received, text):
    """An opaque token, or a JWT without that claim, names nobody."""
    token = replace(received(patient=...), access_token=Secret(text))
    assert patient_elsewhere(token, (CLAIM,)) == token


def test_by_default_no_access_token_is_read(sign_in, received, state):
    """An access token is opaque unless the configuration says otherwise, a claim called token included."""
    token = received(patient=..., access_token=jwt({"token": "p-6"}).reveal())
    assert state.config.patient_from == ("token",)
    assert sign_in(token, openid=False).context.patient is None


@pytest.mark.parametrize("id_token", ["warn", "off"])
def test_patient_from_a_claim_without_identity(sign_in, received, id_token):
    """The patient is found though nobody could be identified."""
    token = received("garbage", patient=..., access_token=jwt({"local_patient_id": "p-7"}).reveal())
    token = sign_in(token, id_token=id_token, patient_from=(CLAIM, "fhirUser"))
    assert (token.context.patient, token.identity) == ("p-7", None)


def test_scopes_are_not_touched(sign_in, received, issuer, known):
    """Nothing but identity, patient and findings is added."""
    token = received(issuer.token())
    done = sign_in(token)
    assert replace(done, identity=None) == token
    assert done.scopes == Scopes(str(token.scopes))
