"""SmartClient and AsyncSmartClient: the same methods, the same behaviour, in three colours."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import pickle
import textwrap
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import anyio
import pytest

from smart_async import (
    AsyncSmartClient,
    ConfigurationError,
    EHRLaunch,
    Limits,
    OAuthError,
    OutcomeUnknownError,
    PrivateKeyJWT,
    Scopes,
    SmartClient,
    SmartConfig,
    Timeouts,
    Token,
    TransportError,
)
from smart_async.keys.base64url import b64url_decode
from smart_async.messages import Headers, Request, Response
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.pending import PendingAuthorization
from smart_async.transports import ScriptedTransport, json_response

DOCUMENT = {
    "issuer": "https://sso.example.com",
    "authorization_endpoint": "https://sso.example.com/oauth2/authorize",
    "token_endpoint": "https://sso.example.com/oauth2/token",
    "capabilities": ["launch-standalone", "permission-v2"],
    "code_challenge_methods_supported": ["S256"],
}
ANSWER = {
    "access_token": "at-1",
    "token_type": "Bearer",
    "expires_in": 1800,
    "scope": "launch/patient patient/*.rs offline_access",
    "refresh_token": "rt-1",
    "patient": "p-1",
}


class FixedClock:
    def wall(self) -> float:
        return 1_750_000_000.0

    def monotonic(self) -> float:
        return 1_000.0


class RemoteSigner:
    """Can only be awaited."""

    algorithm = "ES384"

    def __init__(self, key) -> None:
        self.key = key
        self.kid = key.kid

    async def async_sign(self, signing_input: bytes) -> bytes:
        await anyio.lowlevel.checkpoint()
        return self.key.sign(signing_input)


def forms(transport):
    return [dict(parse_qsl(request.body.decode())) for request in transport.requests if request.body]


def test_each_method_once(colour, config):
    """Discover, authorize, exchange, refresh and backend token, over one script, with one discovery."""
    transport = ScriptedTransport(
        json_response(DOCUMENT),
        json_response(ANSWER),
        json_response({**ANSWER, "access_token": "at-2"}),
        json_response(
            {"access_token": "be", "token_type": "bearer", "expires_in": 300, "scope": "system/*.rs"}
        ),
    )
    client = colour.make(config, transport=transport, clock=FixedClock())
    metadata = colour.call(client.discover)
    assert (type(metadata), metadata.issuer) == (SmartMetadata, "https://sso.example.com")
    pending = colour.call(client.authorize)
    query = parse_qs(urlsplit(pending.url).query)
    assert (query["aud"], query["code_challenge_method"]) == (["https://ehr.example.com/r4"], ["S256"])
    token = colour.call(
        client.exchange_code, pending, f"https://app.example.com/callback?code=c-1&state={pending.state}"
    )
    assert (token.context.patient, token.expires_at) == ("p-1", 1_750_001_800.0)
    fresh = colour.call(client.refresh, token)
    assert (fresh.access_token.reveal(), fresh.refresh_token) == ("at-2", token.refresh_token)
    backend = colour.call(client.backend_token)
    assert str(backend.scopes) == "system/*.rs"
    transport.assert_all_used()
    assert [form["grant_type"] for form in forms(transport)] == [
        "authorization_code",
        "refresh_token",
        "client_credentials",
    ]
    jtis = {
        json.loads(b64url_decode(form["client_assertion"].split(".")[1]))["jti"] for form in forms(transport)
    }
    assert len(jtis) == 3


def test_arguments_reach_the_flows(colour, config):
    """Scope, launch and forced discovery are passed on."""
    transport = ScriptedTransport(
        json_response(DOCUMENT), json_response(DOCUMENT), json_response(ANSWER), json_response(ANSWER)
    )
    client = colour.make(config, transport=transport)
    colour.call(client.discover)
    colour.call(client.discover, refresh=True)
    launch = EHRLaunch(iss="https://ehr.example.com/r4/", launch="handle-1")
    pending = colour.call(client.authorize, launch=launch, scope="patient/Patient.rs")
    assert (pending.launch, pending.aud, pending.scope) == (
        "handle-1",
        "https://ehr.example.com/r4/",
        "launch patient/Patient.rs",
    )
    token = colour.call(client.exchange_code, pending, {"code": "c-1", "state": pending.state})
    colour.call(client.refresh, token, scope=Scopes("patient/Patient.r"))
    assert forms(transport)[1]["scope"] == "patient/Patient.r"


def test_what_is_stored_works_in_the_next_client(colour, config):
    """A pending login and a token survive a restart as JSON."""
    transport = ScriptedTransport(json_response(DOCUMENT))
    pending = colour.call(colour.make(config, transport=transport).authorize)
    transport = ScriptedTransport(json_response(DOCUMENT), json_response(ANSWER), json_response(ANSWER))
    client = colour.make(config, transport=transport)
    restored = PendingAuthorization.from_json(pending.to_json())
    token = colour.call(client.exchange_code, restored, {"code": "c-1", "state": restored.state})
    assert colour.call(client.refresh, Token.from_json(token.to_json())).context == token.context


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (json_response({"error": "invalid_client"}, status=401), OAuthError),
        (TransportError("Refused.", sent=False), TransportError),
        (TransportError("Timed out."), OutcomeUnknownError),
    ],
)
def test_errors_come_through_as_they_are(colour, config, failure, kind):
    """A failure is the same error in every colour, never a group of them."""
    client = colour.make(
        replace(config, attempts=1),  # and no pauses
        transport=ScriptedTransport(json_response(DOCUMENT), json_response(ANSWER), failure),
    )
    pending = colour.call(client.authorize)
    token = colour.call(client.exchange_code, pending, {"code": "c-1", "state": pending.state})
    with pytest.raises(TransportError if kind is not OAuthError else OAuthError) as caught:
        colour.call(client.refresh, token)
    assert type(caught.value) is kind


def test_limits_and_timeouts_are_used(colour, config):
    """A client's limits bound its answers, and its timeouts reach the transport."""

    class Noting(ScriptedTransport):
        def send(self, request, timeouts):
            self.noted = timeouts
            return super().send(request, timeouts)

        async def async_send(self, request, timeouts):
            self.noted = timeouts
            return await super().async_send(request, timeouts)

    transport = Noting(json_response(DOCUMENT))
    client = colour.make(
        config, transport=transport, timeouts=Timeouts(total=7), limits=Limits(document_bytes=10)
    )
    with pytest.raises(Exception, match="at most 10 are read"):
        colour.call(client.discover)
    assert 0 < transport.noted.total <= 7  # what is left of it
    assert transport.requests[0].max_bytes == 10


def test_entropy_is_used(colour, config):
    """Random values come from the given source."""
    client = colour.make(config, transport=ScriptedTransport(json_response(DOCUMENT)), entropy=bytes)
    assert colour.call(client.authorize).state == "A" * 43


def test_a_borrowed_transport_is_not_closed(colour, config):
    """An object stays its owner's, and other clients may go on with it."""
    transport = ScriptedTransport(json_response(DOCUMENT))
    client = colour.make(config, transport=transport)
    colour.close(client)
    assert transport.closed is False
    assert colour.call(client.discover).issuer == "https://sso.example.com"


@pytest.mark.parametrize("kind", [None, "httpx", "httpx2"])
def test_an_owned_transport_is_closed(colour, config, kind):
    """A transport that the client made is closed with it, and twice does no harm."""
    client = colour.make(config, transport=kind)
    colour.close(client)
    colour.close(client)
    with pytest.raises(ConfigurationError, match="closed"):
        colour.call(client.discover)


def test_with_block_of_the_sync_client(config, monkeypatch):
    """`with` gives the client itself and closes it, whatever happened inside."""
    closed = []
    monkeypatch.setattr(SmartClient, "close", lambda self: closed.append(self))
    client = SmartClient(config)

    def fail() -> None:
        with client as entered:
            closed.append(entered)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert closed == [client, client]


@pytest.mark.anyio
async def test_with_block_of_the_async_client(config, monkeypatch):
    """`async with` does the same, and opens no task group: the error comes out as it went in."""
    closed = []

    async def aclose(self):
        closed.append(self)

    monkeypatch.setattr(AsyncSmartClient, "aclose", aclose)
    client = AsyncSmartClient(config)

    async def fail() -> None:
        async with client as entered:
            closed.append(entered)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert closed == [client, client]


class SyncOnly:
    def send(self, request, timeouts):
        return Response(status=200)

    def close(self):
        pass


class AsyncOnly:
    async def async_send(self, request, timeouts):
        return Response(status=200)

    async def aclose(self):
        pass


@pytest.mark.parametrize("client", [SmartClient, AsyncSmartClient])
@pytest.mark.parametrize("transport", ["requests", "", 5, object(), {}])
def test_other_transports_are_refused(client, config, transport):
    """A transport is a known name or an object with the right methods."""
    with pytest.raises(ConfigurationError) as caught:
        client(config, transport=transport)
    assert caught.value.field == "transport"


@pytest.mark.parametrize(
    ("client", "transport"), [(SmartClient, AsyncOnly()), (AsyncSmartClient, SyncOnly())]
)
def test_a_transport_of_the_other_colour_is_refused(client, config, transport):
    """An object that serves only the other client is refused when the client is made."""
    with pytest.raises(ConfigurationError, match=client.__name__):
        client(config, transport=transport)


@pytest.mark.parametrize("client", [SmartClient, AsyncSmartClient])
@pytest.mark.parametrize("part", ["timeouts", "limits", "clock", "entropy"])
def test_other_parts_are_refused(client, config, part):
    """Every part is checked when the client is made, and named where it does not fit."""
    with pytest.raises(ConfigurationError) as caught:
        client(config, transport=ScriptedTransport(), **{part: 5})
    assert caught.value.field == part


@pytest.mark.parametrize("client", [SmartClient, AsyncSmartClient])
def test_a_configuration_is_needed(client):
    """Not a dictionary, not a URL."""
    with pytest.raises(ConfigurationError) as caught:
        client({"fhir_base": "https://ehr.example.com/r4"})
    assert caught.value.field == "config"


def test_an_async_signer_is_refused_by_the_sync_client(config, signing_key):
    """What can only be awaited is refused when the client is made, not at the first token request."""
    remote = replace(config, client_auth=PrivateKeyJWT(RemoteSigner(signing_key)))
    with pytest.raises(ConfigurationError, match="AsyncSmartClient"):
        SmartClient(remote, transport=ScriptedTransport())


@pytest.mark.anyio
async def test_an_async_signer_signs_for_the_async_client(config, signing_key):
    """The async client awaits it."""
    remote = replace(config, client_auth=PrivateKeyJWT(RemoteSigner(signing_key)))
    transport = ScriptedTransport(
        json_response(DOCUMENT), json_response({"access_token": "be", "scope": "system/*.rs"})
    )
    await AsyncSmartClient(remote, transport=transport).backend_token("system/*.rs")
    assert forms(transport)[0]["client_assertion"].count(".") == 2


def test_repr_and_config(colour, config):
    """A client names its registration."""
    client = colour.make(config, transport=ScriptedTransport())
    assert client.config is config
    assert repr(client) == f"<{type(client).__name__} growth-chart at https://ehr.example.com/r4>"


def methods(client: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(client).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


SESSIONS = ("session", "backend_session", "load_session")


def test_both_clients_have_the_same_methods():
    """Same names, same parameters, same results; only close and aclose differ."""
    plain, awaited = methods(SmartClient), methods(AsyncSmartClient)
    plain["aclose"] = plain.pop("close")
    for name in SESSIONS:  # a session has the colour of its client
        assert plain[name].return_annotation == "SmartSession"
        plain[name] = plain[name].replace(return_annotation="AsyncSmartSession")
    assert plain == awaited
    assert (
        inspect.signature(SmartClient).parameters.keys()
        == inspect.signature(AsyncSmartClient).parameters.keys()
    )


def test_a_client_is_never_copied(colour, config):
    """A copy would share connections and an event loop, and a pickle would hold what the client is given."""
    client = colour.make(config)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="never copied"):
            copied(client)
    colour.close(client)


def test_every_public_method_is_one_statement():
    """A facade decides nothing: one statement per method, the docstring apart."""
    for client in (SmartClient, AsyncSmartClient):
        tree = ast.parse(textwrap.dedent(inspect.getsource(client)))
        for function in tree.body[0].body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name != "__init__":
                code = [
                    node
                    for node in function.body
                    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant)
                ]
                # Closing is more than one thing: what is in use, then the transport.
                # A method that is given a secret makes its flow, forgets the secret, and runs the flow.
        forgets = [type(node) for node in code] == [ast.Assign, ast.Delete, ast.Return]
        assert len(code) == 1 or forgets or function.name in ("close", "aclose"), function.name


# ------------------------------------------------------------------------ against the sandbox


@pytest.fixture
def ehr():
    """A sandbox in memory."""
    sandbox = pytest.importorskip("smart_async.sandbox", exc_type=ImportError)
    return sandbox.Sandbox()


@pytest.mark.rule("AS-02", "AS-03", "TK-02", "TK-03", "TK-04", "TK-07", "RF-05", "BS-02")
def test_the_whole_workflow_against_the_sandbox(colour, any_key, ehr):
    """Discovery, login, FHIR read, refresh with rotation and backend token, judged by the sandbox."""
    redirect_uri = "https://app.example.com/callback"
    ehr.register_client(
        client_id="growth-chart", redirect_uris=[redirect_uri], jwks={"keys": [any_key.public_jwk()]}
    )
    config = SmartConfig(
        fhir_base=ehr.fhir_base,
        client_id="growth-chart",
        client_auth=PrivateKeyJWT(any_key),
        redirect_uri=redirect_uri,
        scope="launch/patient patient/*.rs offline_access",
    )
    transport = ehr.transport()
    client = colour.make(config, transport=transport)
    assert colour.call(client.discover).conformance() == ()
    pending = PendingAuthorization.from_json(colour.call(client.authorize).to_json())
    token = colour.call(client.exchange_code, pending, ehr.authorize(pending.url))
    assert (token.findings, token.context.patient) == ((), "patient-amber")
    assert read_patient(transport, ehr, token)["id"] == "patient-amber"

    second = colour.call(client.refresh, token, scope="patient/Patient.rs")
    assert str(second.scopes) == "patient/Patient.rs"
    third = colour.call(client.refresh, second)
    assert (third.scopes, third.context) == (token.scopes, token.context)
    assert len({one.refresh_token.reveal() for one in (token, second, third)}) == 3

    backend = colour.call(client.backend_token, "system/Patient.rs")
    assert read_patient(transport, ehr, backend, "patient-amber")["resourceType"] == "Patient"
    assert [verdict for verdict in ehr.verdicts if not verdict.accepted] == []
    colour.close(client)
    assert read_patient(transport, ehr, third)["id"] == "patient-amber"


@pytest.mark.rule("RF-10", "AS-20")
def test_refusals_of_the_sandbox(colour, any_key, ehr):
    """A refresh token used twice and an unknown client are refused in OAuth's words."""
    ehr.register_client(
        client_id="growth-chart",
        redirect_uris=["https://app.example.com/callback"],
        jwks={"keys": [any_key.public_jwk()]},
    )
    config = SmartConfig(
        fhir_base=ehr.fhir_base,
        client_id="growth-chart",
        client_auth=PrivateKeyJWT(any_key),
        redirect_uri="https://app.example.com/callback",
        scope="launch/patient patient/*.rs offline_access",
    )
    client = colour.make(config, transport=ehr.transport())
    pending = colour.call(client.authorize)
    token = colour.call(client.exchange_code, pending, ehr.authorize(pending.url))
    colour.call(client.refresh, token)
    with pytest.raises(OAuthError) as caught:
        colour.call(client.refresh, token)
    assert (caught.value.error, caught.value.status) == ("invalid_grant", 400)
    assert token.refresh_token.reveal() not in str(caught.value)

    stranger = colour.make(replace(config, client_id="stranger"), transport=ehr.transport())
    with pytest.raises(OAuthError) as caught:
        colour.call(stranger.backend_token)
    assert caught.value.error == "invalid_client"


def read_patient(transport, ehr, token, patient=None):
    request = Request(
        method="GET",
        url=f"{ehr.fhir_base}/Patient/{patient or token.context.patient}",
        purpose="fhir",
        headers=Headers({"Authorization": f"Bearer {token.access_token.reveal()}"}),
    )
    response = transport.send(request, Timeouts())
    assert response.status == 200
    return json.loads(response.body)
