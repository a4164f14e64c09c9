"""Reading, updating and deleting a registration."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from smart_async import (
    ClientMetadata,
    ClientRegistration,
    ConfigurationError,
    EndpointChangedError,
    OAuthError,
    OutcomeUnknownError,
    ProtocolError,
    RegistrationChangedError,
    Secret,
    SigningKey,
    TransportError,
)
from smart_async.flow import Now, Send
from smart_async.smart.registration_management import (
    delete_registration,
    parse_deletion,
    read_registration,
    update_registration,
)

ENDPOINT = "https://sso.example.com/oauth2/register"
CLIENT = f"{ENDPOINT}/new-client"


@pytest.fixture
def registration(signing_key: SigningKey, binding: Any) -> ClientRegistration:
    return ClientRegistration(
        client_id="new-client",
        client_secret=Secret("s3cr3t"),
        client_secret_expires_at=1_800_000_000.0,
        client_id_issued_at=1_750_000_000.0,
        registration_access_token=Secret("rat-77aa"),
        registration_client_uri=CLIENT,
        metadata=ClientMetadata.for_backend(signing_key, client_name="Nightly"),
        raw={},
        binding=replace(binding, client_id="new-client"),
        registration_endpoint=ENDPOINT,
    )


@pytest.fixture
def answer(registration: ClientRegistration) -> dict[str, Any]:
    return {**registration.metadata.to_members(), "client_id": "new-client"}


def test_reading(script, state, document, registration, answer, json_response):
    """A GET with the registration's own token; what the answer leaves out is kept."""
    script.answer(json_response(document), json_response(answer))
    read = script.run(read_registration(state, registration))
    assert script.kinds == [Now, Send, Send]
    request = script.requests[1]
    assert (request.method, request.url, request.body, request.fresh) == ("GET", CLIENT, None, True)
    assert dict(request.headers) == {"accept": "application/json", "authorization": "Bearer rat-77aa"}
    assert read == replace(registration, raw=answer)


def test_what_is_renewed_is_taken(script, state, document, registration, answer, json_response):
    """Servers renew token and secret when they are asked; the new ones are in the answer."""
    answer |= {"client_secret": "n3w", "client_secret_expires_at": 0, "registration_access_token": "rat-2"}
    script.answer(json_response(document), json_response(answer))
    read = script.run(read_registration(state, registration))
    assert read.client_secret == Secret("n3w")
    assert read.client_secret_expires_at is None
    assert read.registration_access_token == Secret("rat-2")


def test_reading_reports_changes(script, state, document, registration, answer, json_response):
    """Nothing was asked to change, so what is different is a finding: an administrator may have done it."""
    answer |= {"grant_types": ["authorization_code"], "token_endpoint_auth_method": "none"}
    script.answer(json_response(document), json_response(answer))
    read = script.run(read_registration(state, registration))
    assert [finding.rule for finding in read.findings] == ["registration-changed"] * 3
    assert read.metadata.token_endpoint_auth_method == "none"


def test_updating(script, state, document, registration, answer, json_response):
    """A PUT of the whole metadata with the client id, and nothing that only the server decides."""
    wanted = replace(registration.metadata, client_name="Weekly")
    script.answer(json_response(document), json_response({**answer, "client_name": "Weekly"}))
    updated = script.run(update_registration(state, registration, wanted))
    request = script.requests[1]
    assert (request.method, request.url, request.fresh) == ("PUT", CLIENT, True)
    assert request.headers["authorization"] == "Bearer rat-77aa"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {"client_id": "new-client", **wanted.to_members()}
    assert updated.metadata == wanted
    assert updated.findings == ()


def test_updating_compares_with_what_was_asked(script, state, document, registration, answer, json_response):
    """The wish counts and not the past: an old key that stays is a key that nobody asked for."""
    fresh = SigningKey.generate("ES384", kid="key-2")
    wanted = ClientMetadata.for_backend(fresh, client_name="Nightly")
    script.answer(json_response(document), json_response({**answer, "registration_access_token": "rat-2"}))
    with pytest.raises(RegistrationChangedError, match="jwks") as caught:
        script.run(update_registration(state, registration, wanted))
    assert caught.value.registration.registration_access_token == Secret("rat-2")
    script.answer(json_response(answer))
    updated = script.run(update_registration(state, registration, wanted, allow_changes=["jwks"]))
    assert {finding.rule for finding in updated.findings} == {"registration-changed"}


def test_an_update_is_filled_from_what_was_asked(script, state, document, registration, json_response):
    """What the answer does not repeat is as it was asked for, not as it was before."""
    wanted = replace(registration.metadata, client_name="Weekly", scope=None)
    script.answer(json_response(document), json_response({"client_id": "new-client"}))
    assert script.run(update_registration(state, registration, wanted)).metadata == wanted


def test_deleting(script, state, document, registration, json_response):
    """A DELETE with the registration's own token, and 204 for an answer."""
    script.answer(json_response(document), json_response(None, 204, body=b""))
    assert script.run(delete_registration(state, registration)) is None
    request = script.requests[1]
    assert (request.method, request.url, request.body, request.fresh) == ("DELETE", CLIENT, None, True)
    assert request.headers["authorization"] == "Bearer rat-77aa"


@pytest.mark.parametrize("status", [202, 201, 302])
def test_deleted_is_what_the_server_says_it_is(json_response, status):
    """Any other success leaves it open whether the client is gone."""
    with pytest.raises(ProtocolError):
        parse_deletion(json_response({}, status))


FLOWS = {
    "read": read_registration,
    "update": lambda state, registration: update_registration(state, registration, registration.metadata),
    "delete": delete_registration,
}


@pytest.fixture(params=FLOWS)
def flow(request: pytest.FixtureRequest) -> Any:
    return FLOWS[request.param]


def test_a_refusal_hides_the_token(script, state, document, registration, json_response, flow):
    """A server that quotes the token gets it struck out."""
    refusal = {"error": "invalid_token", "error_description": "rat-77aa is unknown"}
    script.answer(json_response(document), json_response(refusal, 401))
    with pytest.raises(OAuthError) as caught:
        script.run(flow(state, registration))
    assert caught.value.status == 401
    assert caught.value.description == "<hidden> is unknown"


@pytest.mark.parametrize("member", ["registration_client_uri", "registration_access_token"])
def test_what_cannot_be_managed_is_said(script, state, registration, flow, member):
    """Without the URL or its token there is nothing to ask with, and nothing is sent."""
    with pytest.raises(ConfigurationError, match="registration_client_uri") as caught:
        script.run(flow(state, replace(registration, **{member: None})))
    assert caught.value.field == "registration"
    assert script.requests == []


def test_it_goes_to_its_own_server_only(script, state, registration, flow):
    """A registration at another FHIR server is refused before anything is sent."""
    other = replace(registration, binding=replace(registration.binding, fhir_base="https://other.example/r4"))
    with pytest.raises(ConfigurationError, match=r"is at https://other\.example/r4"):
        script.run(flow(state, other))
    assert script.requests == []


@pytest.mark.parametrize(
    "changes",
    [
        {"token_endpoint": "https://evil.example/token", "registration_endpoint": "https://evil.example/reg"},
        {"issuer": "https://evil.example"},
    ],
)
def test_a_moved_server_gets_nothing(script, state, document, registration, json_response, flow, changes):
    """Discovery that names another server does not get the registration's token."""
    script.answer(json_response({**document, **changes}))
    with pytest.raises(EndpointChangedError):
        script.run(flow(state, registration))
    assert len(script.requests) == 1


def test_an_origin_that_is_no_longer_trusted(script, state, document, registration, json_response, flow):
    """A registration made at a trusted origin is not managed there once the trust is gone."""
    elsewhere = "https://dcr.example.com/register"
    moved = replace(registration, registration_endpoint=elsewhere, registration_client_uri=elsewhere)
    script.answer(json_response(document))
    with pytest.raises(EndpointChangedError):
        script.run(flow(state, moved))
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [302, 307])
def test_redirects_are_refused(script, state, document, registration, json_response, flow, status):
    """The token does not follow a redirect."""
    target = json_response({}, status, {"Location": "https://evil.example/x"})
    script.answer(json_response(document), target)
    with pytest.raises(ProtocolError, match=r"https://evil\.example"):
        script.run(flow(state, registration))
    assert len(script.requests) == 2


@pytest.mark.parametrize(("name", "advice"), [("update", "which of the two"), ("delete", "it is gone")])
def test_an_unknown_outcome_is_not_repeated(
    script, state, document, registration, json_response, name, advice
):
    """An update or deletion that may have arrived is not repeated; the error says how to find out."""
    script.answer(json_response(document), TransportError("Reset.", sent=None))
    with pytest.raises(OutcomeUnknownError, match="may or may not") as caught:
        script.run(FLOWS[name](state, registration))
    assert advice in caught.value.advice


def test_reading_can_be_repeated(script, state, document, registration, json_response):
    """A read that failed changes nothing and fails plainly."""
    failure = TransportError("Reset.", sent=None)
    script.answer(json_response(document), failure)
    with pytest.raises(TransportError) as caught:
        script.run(read_registration(state, registration))
    assert caught.value is failure


@pytest.mark.parametrize("name", ["read", "update"])
def test_an_answer_about_another_client_is_refused(
    script, state, document, registration, answer, json_response, name
):
    """The answer must be about the client that was asked for."""
    script.answer(json_response(document), json_response({**answer, "client_id": "another"}))
    with pytest.raises(ProtocolError, match="another client"):
        script.run(FLOWS[name](state, registration))


@pytest.mark.parametrize("name", ["read", "update"])
def test_created_is_no_answer_here(script, state, document, registration, answer, json_response, name):
    """Nothing is created by reading or updating, so 201 is a misunderstanding."""
    script.answer(json_response(document), json_response(answer, 201))
    with pytest.raises(ProtocolError, match="answered 201"):
        script.run(FLOWS[name](state, registration))


def test_an_update_checks_before_it_sends(script, state, registration):
    """Permissions without effect and plain http are refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="allow_changes"):
        script.run(update_registration(state, registration, registration.metadata, allow_changes=["scope"]))
    loopback = ClientMetadata.for_backend(jwks_uri="http://localhost/jwks")
    with pytest.raises(ConfigurationError, match="plain http"):
        script.run(update_registration(state, registration, loopback))
    assert script.requests == []
