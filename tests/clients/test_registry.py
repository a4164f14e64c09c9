"""Launches through the registry of EHRs: who is let in, and that nobody else causes a single request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from smart_async import (
    AsyncEHRRegistry,
    AsyncSmartClient,
    CallbackError,
    ConfigurationError,
    EHRRegistry,
    LaunchRejectedError,
    SmartClient,
    SmartConfig,
)
from smart_async.stores import MemoryStore
from smart_async.transports.scripted import ScriptedTransport, json_response

ISS = "https://ehr.example.com/r4"
APP = "https://app.example.com/launch"
DOCUMENT = {
    "issuer": "https://sso.example.com",
    "authorization_endpoint": "https://sso.example.com/authorize",
    "token_endpoint": "https://sso.example.com/token",
    "grant_types_supported": ["authorization_code"],
    "code_challenge_methods_supported": ["S256"],
    "capabilities": ["launch-ehr"],
}
OTHER = {
    **DOCUMENT,
    "issuer": "https://sso.other.example",
    "authorization_endpoint": "https://sso.other.example/authorize",
    "token_endpoint": "https://sso.other.example/token",
}
TOKEN = {
    "access_token": "at-1",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "launch patient/*.rs",
    "patient": "p",
}


def launch_url(iss: str, launch: str = "x1") -> str:
    return f"{APP}?iss={quote(iss, safe='')}&launch={quote(launch, safe='')}"


HOSTILE = {
    "another host": launch_url("https://evil.example"),
    "another host with the path": launch_url("https://evil.example/r4"),
    "the host as a prefix": launch_url("https://ehr.example.com.evil.example/r4"),
    "the host as a user": launch_url("https://ehr.example.com@evil.example/r4"),
    "the host as user and password": launch_url("https://ehr.example.com:x@evil.example/r4"),
    "a user at the host": launch_url("https://evil@ehr.example.com/r4"),
    "plain http": launch_url("http://ehr.example.com/r4"),
    "another scheme": launch_url("file:///r4"),
    "javascript": launch_url("javascript:alert(1)//ehr.example.com/r4"),
    "another port": launch_url("https://ehr.example.com:8443/r4"),
    "the port in full": launch_url("https://ehr.example.com:443/r4"),
    "capitals": launch_url("https://EHR.example.com/r4"),
    "a dot at the end": launch_url("https://ehr.example.com./r4"),
    "another path": launch_url("https://ehr.example.com/r5"),
    "a longer path": launch_url(f"{ISS}/evil"),
    "a way out": launch_url(f"{ISS}/../evil"),
    "a way out, encoded": launch_url(f"{ISS}/%2e%2e/evil"),
    "two slashes": launch_url(f"{ISS}//"),
    "a query": launch_url(f"{ISS}?x=1"),
    "a fragment": launch_url(f"{ISS}#x"),
    "a backslash": launch_url("https://ehr.example.com\\@evil.example/r4"),
    "a blank": launch_url(f"{ISS} "),
    "a line break": launch_url(f"{ISS}\r\nHost: evil.example"),
    "a NUL": launch_url(f"{ISS}\0"),
    "another alphabet": launch_url("https://ehr.exаmple.com/r4"),
    "an address": launch_url("https://169.254.169.254/latest"),
    "loopback": launch_url("https://127.0.0.1/r4"),
    "no iss": f"{APP}?launch=x1",
    "an empty iss": f"{APP}?iss=&launch=x1",
    "iss twice": f"{launch_url(ISS)}&iss=https%3A%2F%2Fevil.example",
    "the same iss twice": f"{launch_url(ISS)}&iss={quote(ISS, safe='')}",
    "no launch": f"{APP}?iss={quote(ISS, safe='')}",
    "an empty launch": launch_url(ISS, ""),
    "launch twice": f"{launch_url(ISS)}&launch=x2",
    "a launch with a line break": launch_url(ISS, "x\r\nSet-Cookie: a=b"),
    "a launch of 5 KB": launch_url(ISS, "x" * 5000),
    "9 KB": launch_url(ISS) + "&padding=" + "x" * 9000,
    "200 parameters": launch_url(ISS) + "&a=1" * 200,
    "bytes that are no text": f"{APP}?iss=%ff%fe&launch=x1",
    "only a fragment": f"{APP}#iss={quote(ISS, safe='')}&launch=x1",
    "a host in brackets": "https://[x/launch?iss=a&launch=b",
    "nothing": "",
}


class Registries:
    """A registry of either colour over a scripted transport."""

    def __init__(self, colour: Any) -> None:
        self.colour = colour
        self.transport = ScriptedTransport()

    def make(self, *configs: SmartConfig, **options: Any) -> Any:
        kind = EHRRegistry if self.colour.portal is None else AsyncEHRRegistry
        return kind(configs, **{"transport": self.transport, **options})


@pytest.fixture
def registries(colour: Any) -> Registries:
    return Registries(colour)


@pytest.fixture
def other(config: SmartConfig) -> SmartConfig:
    return replace(
        config,
        fhir_base="https://other.example.com/r4/",
        redirect_uri="https://app.example.com/callback/other",
    )


@pytest.mark.rule("AL-02")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_launch_is_rejected_without_a_request(
    registries: Registries, config: SmartConfig, other: SmartConfig, name: str
) -> None:
    """T01: whatever the URL says, an EHR that is not configured is not talked to at all."""
    registry = registries.make(config, other)
    with pytest.raises(LaunchRejectedError) as caught:
        registry.launch(HOSTILE[name])
    assert registries.transport.requests == []
    assert "evil" not in str(caught.value)


def test_there_are_enough_of_them() -> None:
    """At least thirty, and none of them by accident the good one."""
    assert len(set(HOSTILE.values())) >= 30
    assert launch_url(ISS) not in HOSTILE.values()


@pytest.mark.rule("AL-04", "AL-13")
@pytest.mark.parametrize("iss", [ISS, f"{ISS}/"])
def test_a_launch_to_its_end(
    registries: Registries, colour: Any, config: SmartConfig, other: SmartConfig, iss: str
) -> None:
    """The right client, its own authorization server, aud as received; the callback finds its way back."""
    registry = registries.make(other, config, distinct_redirects=True)
    url = f"{launch_url(iss)}&clientId=evil&fhirServiceUrl=https://evil.example"
    client, launch = registry.launch(url)
    assert client.config is config
    registries.transport.add(json_response(DOCUMENT), json_response(TOKEN))
    pending = colour.call(client.authorize, launch=launch)
    parameters = dict(pending.parameters)
    assert (parameters["aud"], parameters["launch"]) == (iss, "x1")
    assert pending.url.startswith("https://sso.example.com/authorize?")
    again = registry.client_of(type(pending).from_json(pending.to_json()))
    assert again is client
    token = colour.call(again.exchange_code, pending, f"{pending.redirect_uri}?code=c&state={pending.state}")
    assert token.context.patient == "p"
    assert [request.url.partition("/r4")[0] for request in registries.transport.requests] == [
        "https://ehr.example.com",
        "https://sso.example.com/token",
    ]


@pytest.mark.rule("CB-09")
def test_one_servers_answer_at_anothers_path(
    registries: Registries, colour: Any, config: SmartConfig, other: SmartConfig
) -> None:
    """T03: a valid state at the wrong registration's path sends no code anywhere."""
    registry = registries.make(config, other, distinct_redirects=True)
    registries.transport.add(json_response(DOCUMENT))
    pending = colour.call(registry.client(ISS).authorize)
    asked = len(registries.transport.requests)
    with pytest.raises(CallbackError):
        colour.call(
            registry.client_of(pending).exchange_code,
            pending,
            f"{other.redirect_uri}?code=c&state={pending.state}",
        )
    with pytest.raises(ConfigurationError):
        colour.call(
            registry.client(other.fhir_base).exchange_code,
            pending,
            f"{pending.redirect_uri}?code=c&state={pending.state}",
        )
    assert len(registries.transport.requests) == asked


def test_several_registrations_of_one_ehr(registries: Registries, config: SmartConfig) -> None:
    """Each has a client of its own, chosen by its id."""
    patients = replace(config, client_id="for-patients")
    registry = registries.make(config, patients)
    assert registry.launch(launch_url(ISS), client_id="for-patients")[0].config is patients
    assert registry.client(ISS, client_id="growth-chart").config is config
    with pytest.raises(ConfigurationError) as caught:
        registry.launch(launch_url(ISS))
    assert (caught.value.field, registries.transport.requests) == ("client_id", [])


def test_clients_share_one_transport_and_nothing_else(
    registries: Registries, colour: Any, config: SmartConfig, other: SmartConfig
) -> None:
    """What one of them discovered is not believed of the other."""
    registry = registries.make(config, other)
    registries.transport.add(json_response(DOCUMENT), json_response(OTHER))
    endpoints = [
        colour.call(registry.client(one.fhir_base).discover).token_endpoint for one in (config, other)
    ]
    assert endpoints == ["https://sso.example.com/token", "https://sso.other.example/token"]


def test_the_same_client_every_time(registries: Registries, config: SmartConfig) -> None:
    """A client keeps what it discovered, so it is made once."""
    registry = registries.make(config)
    assert registry.client(ISS) is registry.client(f"{ISS}/") is registry.launch(launch_url(ISS))[0]


def test_one_store_and_one_listener_for_all(
    registries: Registries, colour: Any, config: SmartConfig, other: SmartConfig
) -> None:
    """Whoever keeps sessions finds those of every EHR in one place, and hears of them at one."""
    store, heard = MemoryStore(), []
    registry = registries.make(config, other, store=store, on_event=heard.append)
    assert [client.config for client in registry.clients] == [config, other]
    assert {id(client.store) for client in registry.clients} == {id(store)} == {id(registry.store)}
    registries.transport.add(json_response(DOCUMENT), json_response(TOKEN))
    session = registry.client(ISS).backend_session("system/*.rs")
    colour.call(session.get_token)
    assert (store.load(session.key) is not None, bool(heard)) == (True, True)
    own = registries.make(config, other)
    assert len({id(client.store) for client in own.clients}) == 1


def test_a_shared_redirect_path_is_refused(registries: Registries, config: SmartConfig) -> None:
    """Where distinct ones are asked for."""
    twin = replace(config, fhir_base="https://other.example.com/r4")
    with pytest.raises(ConfigurationError) as caught:
        registries.make(config, twin, distinct_redirects=True)
    assert caught.value.field == "redirect_uri"


def test_a_transport_of_yours_stays_open(registries: Registries, colour: Any, config: SmartConfig) -> None:
    """It may serve others, too."""
    registry = registries.make(config)
    colour.call(registry.close if colour.portal is None else registry.aclose)
    assert registries.transport.closed is False


@pytest.mark.parametrize("name", ["httpx", None])
def test_its_own_transport_is_closed_once_for_all(
    config: SmartConfig, name: str | None, monkeypatch: Any
) -> None:
    """The clients do not close what they share; the registry does, at the end of its block."""
    transport = ScriptedTransport()
    monkeypatch.setattr("smart_async.clients._registry.open_transport", lambda _: transport)
    with EHRRegistry([config], transport=name) as registry:
        registry.client(ISS).close()
        assert transport.closed is False
    assert transport.closed is True


@pytest.mark.anyio
async def test_the_async_one_as_well(config: SmartConfig, anyio_backend: str, monkeypatch: Any) -> None:
    """The same, awaited."""
    transport = ScriptedTransport()
    monkeypatch.setattr("smart_async.clients._registry.open_async_transport", lambda _: transport)
    async with AsyncEHRRegistry([config]) as registry:
        await registry.client(ISS).aclose()
        assert transport.closed is False
    assert transport.closed is True


def test_the_kinds_of_clients(config: SmartConfig) -> None:
    """Each registry makes clients of its own colour."""
    assert isinstance(EHRRegistry([config], transport=ScriptedTransport()).client(ISS), SmartClient)
    assert isinstance(AsyncEHRRegistry([config], transport=ScriptedTransport()).client(ISS), AsyncSmartClient)
