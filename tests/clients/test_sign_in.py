"""Every client type signs in at the sandbox, proves its user, asks about its token and gives it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import (
    ClientSecret,
    IdTokenError,
    OAuthError,
    PrivateKeyJWT,
    PublicClient,
    SmartConfig,
    Token,
    TransportError,
)

CALLBACK = "https://app.example.com/callback"
SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"


@pytest.fixture
def ehr():
    """A sandbox in memory."""
    sandbox = pytest.importorskip("smart_async.sandbox", exc_type=ImportError)
    return sandbox.Sandbox()


@pytest.fixture(params=["public", "symmetric", "asymmetric"])
def registered(request, ehr, signing_key) -> SmartConfig:
    """A registration of each client type at the sandbox."""
    config = SmartConfig(
        fhir_base=ehr.fhir_base,
        client_id=request.param,
        client_auth=PublicClient(),
        redirect_uri=CALLBACK,
        scope=SCOPE,
    )
    match request.param:
        case "public":
            ehr.register_client(client_id="public", redirect_uris=[CALLBACK])
            # A public client cannot authenticate: it asks with the token itself.
            return replace(config, introspection_auth="bearer")
        case "symmetric":
            ehr.register_client(client_id="symmetric", redirect_uris=[CALLBACK], client_secret="p@ss:w/rd+1")
            return replace(config, client_auth=ClientSecret("p@ss:w/rd+1"))
        case _:
            jwks = {"keys": [signing_key.public_jwk()]}
            ehr.register_client(client_id="asymmetric", redirect_uris=[CALLBACK], jwks=jwks)
            return replace(config, client_auth=PrivateKeyJWT(signing_key))


def login(colour, client, ehr):
    pending = colour.call(client.authorize)
    return colour.call(client.exchange_code, pending, ehr.authorize(pending.url))


@pytest.mark.rule("ID-01", "ID-02", "ID-08", "IN-01", "IN-02", "IN-04", "IN-05", "TK-05", "TK-07", "TK-09")
def test_from_login_to_revocation(colour, ehr, registered):
    """Sign in, be recognised, refresh, ask, revoke, ask again: every request is one the sandbox accepts."""
    client = colour.make(registered, transport=ehr.transport())
    token = login(colour, client, ehr)
    assert token.findings == ()
    assert token.identity.issuer == ehr.issuer
    assert token.identity.fhir_user.url == f"{ehr.fhir_base}/Practitioner/doctor-demo"
    assert Token.from_json(token.to_json()).identity == token.identity

    token = colour.call(client.refresh, token)
    assert token.identity is not None
    status = colour.call(client.introspect, token)
    assert (status.active, status.client_id, status.findings) == (True, registered.client_id, ())
    assert (status.subject, status.context.patient) == (token.identity.subject, token.context.patient)
    assert status.fhir_user == token.identity.fhir_user.url

    assert colour.call(client.revoke, token) is None
    assert [verdict.message for verdict in ehr.verdicts if not verdict.accepted] == []
    if registered.introspection_auth == "bearer":
        with pytest.raises(OAuthError) as caught:  # a dead token opens nothing, introspection included
            colour.call(client.introspect, token)
        assert caught.value.status == 401
    else:
        assert colour.call(client.introspect, token).active is False
    with pytest.raises(OAuthError) as caught:
        colour.call(client.refresh, token)
    assert caught.value.error == "invalid_grant"
    colour.close(client)


def test_revoked_tokens_of_a_bearer_are_inactive(colour, ehr, registered):
    """Asked with another token that lives, a revoked one is inactive: an answer and no error."""
    client = colour.make(registered, transport=ehr.transport())
    dead, alive = login(colour, client, ehr), login(colour, client, ehr)
    colour.call(client.revoke, dead)
    assert colour.call(client.introspect, alive).active
    if registered.introspection_auth != "bearer":
        assert colour.call(client.introspect, dead).active is False
    colour.close(client)


def test_the_keys_are_fetched_once(colour, ehr, registered):
    """Two logins within five minutes need the server's keys once."""
    client = colour.make(registered, transport=ehr.transport())
    for _ in range(2):
        login(colour, client, ehr)
    fetched = [request for request in ehr.requests if request.path.endswith("/oauth2/keys")]
    assert len(fetched) == 1
    colour.close(client)


class KeysAreDown:
    """The sandbox's transport, with one document out of reach."""

    def __init__(self, transport) -> None:
        self.transport = transport

    def send(self, request, timeouts):
        if request.purpose == "jwks":
            raise TransportError("There is no such host.", endpoint=request.url, sent=False)
        return self.transport.send(request, timeouts)

    async def async_send(self, request, timeouts):
        return self.send(request, timeouts)

    def close(self):
        pass

    async def aclose(self):
        pass


def test_an_outage_of_the_keys_loses_no_token(colour, ehr, registered):
    """The code is spent; what it bought is on the error, and works."""
    client = colour.make(registered, transport=KeysAreDown(ehr.transport()))
    with pytest.raises(IdTokenError) as caught:
        login(colour, client, ehr)
    assert colour.call(client.introspect, caught.value.token).active
    colour.close(client)
