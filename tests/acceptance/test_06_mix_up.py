"""Acceptance 6: an answer of one server is never used at another; T03, RFC 9207, COAT."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smart_async import (
    AsyncEHRRegistry,
    CallbackError,
    ConfigurationError,
    EHRRegistry,
    LaunchRejectedError,
    OAuthError,
)

SSO = "https://sso.example.com"
# (the server promises iss, what the callback holds, accepted)
MATRIX = {
    "silent, none": (False, ..., True),
    "silent, ours": (False, SSO, True),
    "silent, evil": (False, "https://evil.example", False),
    "silent, empty": (False, "", False),
    "promised, ours": (True, SSO, True),
    "promised, none": (True, ..., False),
    "promised, empty": (True, "", False),
    "promised, evil": (True, "https://evil.example", False),
    "promised, with a slash": (True, f"{SSO}/", False),
    "promised, in upper case": (True, "https://SSO.example.com", False),
    "promised, with a port": (True, f"{SSO}:443", False),
    "promised, as http": (True, "http://sso.example.com", False),
    "promised, a longer host": (True, f"{SSO}.evil.example", False),
}


@pytest.mark.parametrize("kind", ["code", "error"])
@pytest.mark.parametrize("name", MATRIX)
def test_the_issuer_in_the_callback(name, kind, colour, net, provider, config, tools):
    """RFC 9207: compared byte for byte, missing only where it was not promised, in errors too."""
    promised, iss, accepted = MATRIX[name]
    provider.serve(
        provider.document(authorization_response_iss_parameter_supported=True if promised else ...)
    )
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    changes = {"iss": iss} if kind == "code" else {"iss": iss, "code": ..., "error": "access_denied"}
    back = tools.callback_url(pending, **changes)
    if accepted and kind == "code":
        assert colour.call(client.exchange_code, pending, back)
        assert [request.url for request in net.of("token")] == [f"{SSO}/token"]
        return
    with pytest.raises(OAuthError if accepted else CallbackError):
        colour.call(client.exchange_code, pending, back)
    assert net.of("token") == []


class TwoServers:
    """An app registered with two EHRs, of which the attacker runs the second."""

    def __init__(self, colour, net, provider, config, **changes) -> None:
        self.colour, self.net, self.honest = colour, net, provider
        self.evil = type(provider)(
            net, provider.clock, base="https://evil.example/r4", sso="https://sso.evil.example"
        )
        self.evil.serve()
        kind = EHRRegistry if colour.portal is None else AsyncEHRRegistry
        self.registry = kind(
            [
                config,
                replace(
                    config,
                    fhir_base=self.evil.base,
                    client_id="at-evil",
                    **{"redirect_uri": "https://app.example.com/callback/evil", **changes},
                ),
            ],
            transport=net,
            clock=provider.clock,
        )

    def start(self, provider):
        client = self.registry.client(provider.base)
        return client, self.colour.call(client.authorize)


@pytest.fixture
def servers(colour, net, provider, config):
    return TwoServers(colour, net, provider, config)


def test_an_answer_delivered_to_the_other_path(colour, net, servers, tools):
    """The code of the honest server, with a good state, on the callback path of the attacker's: refused."""
    client, pending = servers.start(servers.honest)
    with pytest.raises(CallbackError, match="another path"):
        colour.call(
            client.exchange_code,
            pending,
            tools.callback_url(pending, path="https://app.example.com/callback/evil"),
        )
    assert net.of("token") == []


def test_a_code_of_the_honest_server_in_the_attackers_login(colour, net, servers, tools):
    """
    COAT: the victim starts at the attacker's server, which sends the browser on to the honest one.

    The honest code comes back with the state of the attacker's login. It could only go to the token endpoint
    of the login that has that state; the path of the honest callback does not belong to it.
    """
    client, evil = servers.start(servers.evil)
    back = tools.callback_url(evil, path="https://app.example.com/callback", code="honest-code")
    with pytest.raises(CallbackError, match="another path"):
        colour.call(client.exchange_code, evil, back)
    assert net.of("token") == []


def test_the_same_with_one_redirect_uri(colour, net, provider, config, tools):
    """Where both registrations share a path, the issuer in the callback gives it away."""
    servers = TwoServers(colour, net, provider, config, redirect_uri=config.redirect_uri)
    servers.evil.serve()
    client, evil = servers.start(servers.evil)
    back = tools.callback_url(evil, code="honest-code", iss=servers.honest.sso)
    with pytest.raises(CallbackError, match="another issuer"):
        colour.call(client.exchange_code, evil, back)
    assert net.of("token") == []


def test_shared_redirect_paths_can_be_forbidden(colour, config):
    """`distinct_redirects` makes the defence that needs no issuer a condition of starting."""
    kind = EHRRegistry if colour.portal is None else AsyncEHRRegistry
    other = replace(config, fhir_base="https://other.example/r4", client_id="c2")
    with pytest.raises(ConfigurationError, match="share the redirect path"):
        kind([config, other], distinct_redirects=True)


def test_coat_replay(colour, net, servers, tools):
    """
    The attacker replays a victim's code in a login of its own, at the same server and with its own state.

    The code still goes to the honest server alone, and with the attacker's verifier, which the server will
    not take for the victim's challenge.
    """
    _, victim = servers.start(servers.honest)
    client, attacker = servers.start(servers.honest)
    with pytest.raises(CallbackError, match="another login"):
        colour.call(client.exchange_code, attacker, tools.callback_url(victim, code="victims-code"))
    assert net.of("token") == []
    colour.call(client.exchange_code, attacker, tools.callback_url(attacker, code="victims-code"))
    (request,) = net.of("token")
    assert request.url == f"{SSO}/token"
    sent = tools.form_of(request)["code_verifier"]
    assert sent == attacker.code_verifier.reveal() != victim.code_verifier.reveal()


def test_the_code_goes_where_the_login_started(colour, net, servers, tools):
    """Both logins at once: each code goes to its own token endpoint, whoever comes back first."""
    first, honest = servers.start(servers.honest)
    second, evil = servers.start(servers.evil)
    path = "https://app.example.com/callback/evil"
    colour.call(second.exchange_code, evil, tools.callback_url(evil, path=path, code="evil-code"))
    colour.call(first.exchange_code, honest, tools.callback_url(honest, code="honest-code"))
    went = {request.url: tools.form_of(request)["code"] for request in net.of("token")}
    assert went == {f"{servers.evil.sso}/token": "evil-code", f"{SSO}/token": "honest-code"}


def test_a_login_of_one_is_no_login_of_the_other(colour, net, servers, tools):
    """Handed to the wrong client, a pending login is refused; the registry finds the right one by itself."""
    honest_client, honest = servers.start(servers.honest)
    evil_client, _ = servers.start(servers.evil)
    with pytest.raises(ConfigurationError, match="belongs to client"):
        colour.call(evil_client.exchange_code, honest, tools.callback_url(honest))
    assert servers.registry.client_of(honest) is honest_client
    with pytest.raises(LaunchRejectedError):
        servers.registry.client_of(
            replace(honest, binding=replace(honest.binding, fhir_base="https://x.example/r4"))
        )
    assert net.of("token") == []


def test_a_document_that_changes_in_between(colour, net, provider, config, tools):
    """A path that moved within the same origin meanwhile: the code goes to the recorded endpoint."""
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    net.routes[f"{SSO}/tenant-b/token"] = tools.answer({"access_token": "x", "token_type": "Bearer"})
    provider.serve(provider.document(token_endpoint=f"{SSO}/tenant-b/token"))
    fresh = colour.make(config, transport=net, clock=provider.clock)
    colour.call(fresh.exchange_code, pending, tools.callback_url(pending))
    assert [request.url for request in net.of("token")] == [f"{SSO}/token"]
