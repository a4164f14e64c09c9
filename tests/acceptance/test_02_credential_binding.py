"""Acceptance 2: discovery moves an endpoint to an attacker, and nothing secret goes there; T02, T01."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smart_async import (
    ClientMetadata,
    ClientRegistration,
    ClientSecret,
    EndpointChangedError,
    IdTokenError,
    PendingAuthorization,
    SmartError,
    Token,
)

EVIL = "https://evil.example"
MEMBERS = (
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "authorization_endpoint",
    "jwks_uri",
    "issuer",
)
REDIRECT = ["https://app.example.com/callback"]


class Attack:
    """A client with everything worth stealing, and a server whose document changes behind its back."""

    def __init__(self, colour, net, provider, config, tools, *, move="evil") -> None:
        self.colour, self.net, self.provider, self.tools = colour, net, provider, tools
        config = replace(config, scope="openid launch/patient patient/*.rs offline_access")
        self.config = config
        client = colour.make(config, transport=net, clock=provider.clock)
        self.pending = colour.call(client.authorize)
        provider.id_token = provider.sign(provider.claims(nonce=self.pending.nonce.reveal()))
        self.token = colour.call(client.exchange_code, self.pending, tools.callback_url(self.pending))
        self.registration = colour.call(
            client.register, ClientMetadata(redirect_uris=REDIRECT), initial_access_token="iat-secret"
        )
        self.other = colour.call(client.authorize)
        self.old_client = client

    def restart(self):
        """A new client, as after a restart: all it knows comes out of storage."""
        self.pending = PendingAuthorization.from_json(self.other.to_json())
        self.token = Token.from_json(self.token.to_json())
        self.registration = ClientRegistration.from_json(self.registration.to_json())
        return self.colour.make(self.config, transport=self.net, clock=self.provider.clock)

    def grow_old(self):
        """The same client, its cached documents out of date."""
        self.provider.clock.now += 601
        self.pending = replace(self.other, expires_at=self.provider.clock.now + 60)
        return self.old_client

    def operations(self, client):
        call, pending, token, made = self.colour.call, self.pending, self.token, self.registration
        back = self.tools.callback_url(pending)
        metadata = ClientMetadata(redirect_uris=REDIRECT)
        return {
            "exchange_code": lambda: call(client.exchange_code, pending, back),
            "refresh": lambda: call(client.refresh, token),
            "introspect": lambda: call(client.introspect, token),
            "revoke": lambda: call(client.revoke, token),
            "read_registration": lambda: call(client.read_registration, made),
            "update_registration": lambda: call(client.update_registration, made, metadata),
            "delete_registration": lambda: call(client.delete_registration, made),
            "register_dynamic_client": lambda: call(
                client.register_dynamic_client, token, self.provider.key("ES384")
            ),
        }


def outcome(operation) -> SmartError | None:
    try:
        operation()
    except SmartError as refused:
        return refused
    return None


OPERATIONS = (
    "exchange_code",
    "refresh",
    "introspect",
    "revoke",
    "read_registration",
    "update_registration",
    "delete_registration",
    "register_dynamic_client",
)


def evil_answers(net, tools):
    """The attacker would answer anything, if only somebody asked."""
    yes = {"access_token": "evil", "token_type": "Bearer", "active": True, "client_id": "evil", "keys": []}
    for path in ("token", "introspect", "revoke", "register", "keys", "authorize"):
        net.routes[f"{EVIL}/{path}"] = tools.answer(yes)
    net.routes[f"{EVIL}/.well-known/openid-configuration"] = tools.answer(
        {"issuer": EVIL, "jwks_uri": f"{EVIL}/keys"}
    )


def moved(provider, *members):
    paths = {
        "token_endpoint": "token",
        "introspection_endpoint": "introspect",
        "revocation_endpoint": "revoke",
        "registration_endpoint": "register",
        "authorization_endpoint": "authorize",
        "jwks_uri": "keys",
    }
    values = {name: f"{EVIL}/{paths[name]}" if name in paths else EVIL for name in members}
    provider.serve(provider.document(**values))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("member", [*MEMBERS, "all"])
@pytest.mark.parametrize("restarted", [True, False], ids=["restarted", "running"])
def test_nothing_goes_to_the_attacker(member, operation, restarted, colour, net, provider, any_config, tools):
    """Each endpoint moved, alone and all together: the attacker's log of requests stays empty."""
    attack = Attack(colour, net, provider, any_config, tools)
    evil_answers(net, tools)
    moved(provider, *(MEMBERS if member == "all" else (member,)))
    client = attack.restart() if restarted else attack.grow_old()
    before = len(net.requests)
    refused = outcome(attack.operations(client)[operation])
    # Any other error would mean that it got too far.
    assert isinstance(refused, EndpointChangedError | IdTokenError | None), refused
    assert refused or member not in ("token_endpoint", "issuer", "all")
    assert net.to("evil.example") == []
    for request in net.requests[before:]:
        assert request.url.startswith((provider.base, provider.sso))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_attack_would_work(operation, colour, net, provider, config, tools):
    """The same operations reach the honest server, so that the test above can fail."""
    attack = Attack(colour, net, provider, config, tools)
    client = attack.restart()
    before = len(net.requests)
    attack.provider.id_token = provider.sign(provider.claims(nonce=attack.pending.nonce.reveal()))
    refused = outcome(attack.operations(client)[operation])
    # Two answers of this server do not fit the question; both came after it was asked.
    assert refused is None or operation in ("register_dynamic_client", "refresh"), refused
    sent = [request for request in net.requests[before:] if request.purpose not in ("discovery", "jwks")]
    assert sent
    assert all(request.url.startswith(provider.sso) for request in sent)


@pytest.mark.parametrize("member", ["token_endpoint", "all"])
def test_a_client_keeps_its_secret_where_it_was_accepted(member, colour, net, provider, config, tools):
    """A secret remembers no server, so the running client does, and asks for no token elsewhere."""
    for client_auth in (ClientSecret("canary-secret"), config.client_auth):
        provider.serve()
        client = colour.make(replace(config, client_auth=client_auth), transport=net, clock=provider.clock)
        assert colour.call(client.backend_token).access_token.reveal() == "at-1"
        evil_answers(net, tools)
        moved(provider, *(MEMBERS if member == "all" else (member,)))
        provider.clock.now += 601
        for method, arguments in (
            (client.backend_token, {}),
            (client.jwt_bearer_token, {"key": provider.key("ES384")}),
            (client.jwt_bearer_token, {"assertion": "a.b.c"}),
        ):
            with pytest.raises(EndpointChangedError, match="Nothing was sent"):
                colour.call(method, **arguments)
        with pytest.raises(EndpointChangedError):
            colour.call(client.register, ClientMetadata(), initial_access_token="iat-secret")
        assert net.to("evil.example") == []


def test_a_server_may_move_with_leave(colour, net, provider, config, tools):
    """The new origin, named in trusted_origins, gets what the old one issued."""
    config = replace(config, trusted_origins=(EVIL,))
    attack = Attack(colour, net, provider, config, tools)
    evil_answers(net, tools)
    moved(provider, "token_endpoint")
    client = attack.grow_old()
    assert colour.call(client.backend_token).access_token.reveal() == "evil"
    assert [request.url for request in net.to("evil.example")] == [f"{EVIL}/token"]


def test_keys_elsewhere_get_no_credentials(colour, net, provider, config, tools):
    """An issuer may keep its keys on another host; the request for them carries nothing at all."""
    config = replace(config, scope="openid launch/patient patient/*.rs")
    provider.serve(openid=provider.openid(jwks_uri="https://keys.example/set"))
    net.routes["https://keys.example/set"] = tools.answer({"keys": [provider.jwk()]})
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    provider.id_token = provider.sign(provider.claims(nonce=pending.nonce.reveal()))
    assert colour.call(client.exchange_code, pending, tools.callback_url(pending)).identity is not None
    (request,) = net.to("keys.example")
    assert (request.method, request.body, dict(request.headers)) == (
        "GET",
        None,
        {"accept": "application/json"},
    )


@pytest.mark.parametrize("stored", ["pending", "token", "registration"])
@pytest.mark.parametrize("member", ["fhir_base", "token_endpoint", "issuer"])
def test_what_is_stored_says_where_it_belongs(stored, member, colour, net, provider, config, tools):
    """A record edited to belong to the attacker is refused; none of it goes anywhere."""
    attack = Attack(colour, net, provider, config, tools)
    client = attack.restart()
    thing = getattr(attack, stored)
    members = json.loads(thing.to_json())
    members[member] = f"{EVIL}/token"
    setattr(attack, stored, type(thing).from_json(json.dumps(members)))
    operation = {"pending": "exchange_code", "token": "refresh", "registration": "read_registration"}[stored]
    before = len(net.requests)
    with pytest.raises(SmartError):
        attack.operations(client)[operation]()
    assert net.to("evil.example") == []
    assert [request.purpose for request in net.requests[before:]] in ([], ["discovery"])
