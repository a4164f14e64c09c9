"""
Acceptance 5: a callback without the state of this login buys nothing, and one login buys at most one token;
T11, T14. Which browser a login belongs to is the web integration's to know; here it is a table that the app
keeps.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from smart_async import CallbackError, ConfigurationError, PendingAuthorization, SmartClient, SmartError
from smart_async.limits import PENDING_TTL

BAD = {
    "missing": {"state": ...},
    "empty": {"state": ""},
    "a blank": {"state": " "},
    "another": {"state": "x" * 43},
    "nearly the same": {"state": "STATE "},
    "in upper case": {"state": "UPPER"},
    "cut by one": {"state": "CUT"},
    "that of another login": {"state": "OTHER"},
    "that of another login, with its code": {"state": "OTHER", "code": "code-2"},
    "error without state": {"state": ..., "code": ..., "error": "access_denied"},
    "error with another state": {"state": "OTHER", "code": ..., "error": "access_denied"},
}


def bad(name, pending, other):
    words = {
        "STATE ": pending.state + " ",
        "UPPER": pending.state.swapcase(),
        "CUT": pending.state[:-1],
        "OTHER": other.state,
    }
    return {
        key: words.get(value, value) if isinstance(value, str) else value for key, value in BAD[name].items()
    }


@pytest.mark.parametrize("name", BAD)
def test_a_state_of_somebody_else(name, colour, net, provider, config, tools):
    """Missing, empty, changed, or of a login in another browser: no exchange."""
    client = colour.make(config, transport=net, clock=provider.clock)
    pending, other = colour.call(client.authorize), colour.call(client.authorize)
    with pytest.raises(CallbackError):
        colour.call(client.exchange_code, pending, tools.callback_url(pending, **bad(name, pending, other)))
    assert net.of("token") == []


@pytest.mark.parametrize("form", ["url", "pairs", "lists"])
@pytest.mark.parametrize("name", ["state", "code", "iss", "error"])
def test_a_parameter_that_is_there_twice(name, form, colour, net, provider, config, tools):
    """Two parsers could take one each, even where both say the same: refused in every form of a callback."""
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    values = {"code": "code-1", "state": pending.state}
    values.setdefault(name, "x")
    match form:
        case "url":
            callback = tools.callback_url(pending, **{name: values[name]}) + f"&{name}={values[name]}"
        case "pairs":

            class Multi(dict):
                def multi_items(self):
                    return [*values.items(), (name, values[name])]

            callback = Multi()
        case _:
            callback = {**values, name: [values[name], values[name]]}
    with pytest.raises(CallbackError, match="more than once"):
        colour.call(client.exchange_code, pending, callback)
    assert net.of("token") == []


@pytest.mark.parametrize(
    "name", ["another path", "a token in the query", "a token in the fragment", "a long code", "bytes"]
)
def test_a_callback_that_is_none(name, colour, net, provider, config, tools):
    """On another path, with tokens, too long, or not text: refused although its state is right."""
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    honest = tools.callback_url(pending)
    callback = {
        "another path": honest.replace("/callback", "/callback/other"),
        "a token in the query": f"{honest}&access_token=x",
        "a token in the fragment": f"{honest}#access_token=x&token_type=bearer",
        "a long code": tools.callback_url(pending, code="x" * 5000),
        "bytes": honest.replace("code-1", "%ff%fe"),
    }[name]
    with pytest.raises(CallbackError):
        colour.call(client.exchange_code, pending, callback)
    assert net.of("token") == []


def test_an_expired_login(colour, net, provider, config, tools):
    """Ten minutes, on the wall clock, also after a restart; one second less still works."""
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    stored = PendingAuthorization.from_json(pending.to_json())
    provider.clock.now += PENDING_TTL
    with pytest.raises(CallbackError, match="expired"):
        colour.call(client.exchange_code, stored, tools.callback_url(pending))
    assert net.of("token") == []
    provider.clock.now -= 1
    assert colour.call(client.exchange_code, stored, tools.callback_url(pending))


class Logins:
    """What the documentation asks of an app: look up by browser, take out before calling."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.lock = threading.Lock()

    def put(self, browser, pending):
        self.kept[browser] = pending.to_json()

    def take(self, browser):
        with self.lock:
            stored = self.kept.pop(browser, None)
        if stored is None:
            raise CallbackError("No login of this browser is pending.")
        return PendingAuthorization.from_json(stored)


def test_a_replayed_callback(colour, net, provider, config, tools):
    """A login that has been taken is gone, whether it succeeded or not."""
    client, logins = colour.make(config, transport=net, clock=provider.clock), Logins()
    pending = colour.call(client.authorize)
    logins.put("browser", pending)
    back = tools.callback_url(pending)
    assert colour.call(client.exchange_code, logins.take("browser"), back)
    with pytest.raises(CallbackError):
        colour.call(client.exchange_code, logins.take("browser"), back)
    assert len(net.of("token")) == 1


def test_another_browser(colour, net, provider, config, tools):
    """A victim's browser that is sent to the attacker's callback finds its own login, or none."""
    client, logins = colour.make(config, transport=net, clock=provider.clock), Logins()
    attacker, victim = colour.call(client.authorize), colour.call(client.authorize)
    logins.put("attacker", attacker)
    logins.put("victim", victim)
    with pytest.raises(CallbackError, match="another login"):
        colour.call(client.exchange_code, logins.take("victim"), tools.callback_url(attacker))
    with pytest.raises(CallbackError):
        colour.call(client.exchange_code, logins.take("bystander"), tools.callback_url(attacker))
    assert net.of("token") == []


@pytest.mark.parametrize("run", range(5))
def test_two_threads_race_for_one_callback(run, net, provider, config, tools):
    """Of eight threads with the same callback one exchanges the code."""
    client, logins = SmartClient(config, transport=net, clock=provider.clock), Logins()
    pending = client.authorize()
    logins.put("browser", pending)
    start = threading.Barrier(8)

    def callback():
        start.wait()
        try:
            return client.exchange_code(logins.take("browser"), tools.callback_url(pending))
        except SmartError:
            return None

    with ThreadPoolExecutor(8) as threads:
        tokens = [future.result() for future in [threads.submit(callback) for _ in range(8)]]
    assert sum(token is not None for token in tokens) == 1
    assert len(net.of("token")) == 1


def test_a_login_goes_back_to_its_own_client(colour, net, provider, config, tools):
    """A pending login given to the client of another registration is refused before its state is read."""
    client = colour.make(config, transport=net, clock=provider.clock)
    pending = colour.call(client.authorize)
    for changes in ({"client_id": "other"}, {"fhir_base": "https://ehr.example.com/r5"}):
        other = colour.make(replace(config, **changes), transport=net, clock=provider.clock)
        with pytest.raises(ConfigurationError, match="belongs to client"):
            colour.call(other.exchange_code, pending, tools.callback_url(pending))
    assert net.of("token") == []


def test_states_do_not_repeat(net, provider, config):
    """256 bits each, never the same, and nothing of the verifier or nonce in the state."""
    client = SmartClient(config, transport=net, clock=provider.clock)
    logins = [client.authorize() for _ in range(1000)]
    assert len({pending.state for pending in logins}) == 1000
    assert {len(pending.state) for pending in logins} == {43}
    assert all(pending.code_verifier.reveal() not in pending.url for pending in logins)
