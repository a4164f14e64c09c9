"""The server's keys: where they are looked for, how long they are believed, how seldom asked for."""

from __future__ import annotations

import threading
from dataclasses import replace

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from smart_async import IdTokenError, Limits, Secret, TransportError
from smart_async.clients._drivers import AsyncPerformer, Performer, drive, drive_async
from smart_async.flow import Exclusive
from smart_async.limits import Timeouts
from smart_async.smart.id_token import identify
from smart_async.smart.server_keys import (
    openid_configuration_url,
    parse_server_keys,
    server_keys,
    server_keys_request,
)
from smart_async.smart.state import ClientState, ServerKeys

CONFIGURATION = "https://sso.example.com/.well-known/openid-configuration"
KEYS = "https://sso.example.com/oauth2/keys"


@pytest.fixture
def look(script, state, metadata, issuer):
    """Looks for a key id as an ID token would, and returns the ids of the keys that were found."""

    def run(kid="RS256", **changes):
        flow = server_keys(
            state,
            replace(metadata, **changes),
            state.config.id_token_issuer or changes.get("issuer", issuer.url),
            lambda found: any(key.kid == kid for key in found.keys),
        )
        return [key.kid for key in script.run(flow).keys]

    return run


@pytest.fixture
def answers(script, issuer, json_response):
    """Answers one look at the issuer: its configuration, then its keys."""

    def add(*jwks, **changes):
        script.answer(json_response(issuer.configuration(**changes)), json_response(issuer.jwks(*jwks)))

    return add


def urls(script):
    return [request.url for request in script.requests]


# ---------------------------------------------------------------------------------------------- where


@pytest.mark.rule("ID-02")
@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://sso.example.com", "https://sso.example.com/.well-known/openid-configuration"),
        ("https://sso.example.com/", "https://sso.example.com/.well-known/openid-configuration"),
        ("https://x.example/t7/idp", "https://x.example/t7/idp/.well-known/openid-configuration"),
        ("https://x.example/t7//", "https://x.example/t7//.well-known/openid-configuration"),
    ],
)
def test_openid_configuration_url(issuer, url):
    """One slash is dropped, and the path is kept."""
    assert openid_configuration_url(issuer) == url


@pytest.mark.rule("ID-02")
def test_the_two_requests(look, script, answers):
    """The issuer's configuration, then its keys; neither request carries anything."""
    answers()
    assert look() == ["RS256"]
    assert urls(script) == [CONFIGURATION, KEYS]
    assert [request.purpose for request in script.requests] == ["discovery", "jwks"]
    for request in script.requests:
        assert (request.method, request.body, dict(request.headers)) == (
            "GET",
            None,
            {"accept": "application/json"},
        )
    script.finished()


def test_the_request_is_limited():
    """The client's limit is what the transport reads at most."""
    assert server_keys_request(KEYS).max_bytes == 256 * 1024
    assert server_keys_request(KEYS, limits=Limits(document_bytes=9)).max_bytes == 9


@pytest.mark.rule("ID-03")
@pytest.mark.parametrize(
    "named",
    [
        "https://evil.example",
        "https://sso.example.com/",
        "https://SSO.example.com",
        ["https://sso.example.com"],
        None,
        ...,
        "https://sso.example.com?tenant=1",
    ],
)
def test_the_configuration_of_another_issuer(look, script, json_response, issuer, named):
    """The document's own issuer is the one that it was asked of, byte for byte; no key is fetched."""
    script.answer(json_response(issuer.configuration(issuer=named)))
    with pytest.raises(IdTokenError, match="another issuer") as caught:
        look()
    assert caught.value.endpoint == CONFIGURATION
    assert urls(script) == [CONFIGURATION]


@pytest.mark.rule("ID-02")
def test_an_issuer_with_a_path_and_a_slash(look, script, json_response, issuer):
    """Oracle Health's issuers end in a slash and have a path; both belong to the name."""
    url = "https://sso.example.com/tenants/t7/"
    script.answer(json_response(issuer.configuration(issuer=url)), json_response(issuer.jwks()))
    assert look(issuer=url) == ["RS256"]
    assert urls(script)[0] == "https://sso.example.com/tenants/t7/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "url",
    [
        "http://sso.example.com",
        "http://127.0.0.1:8080",
        "sso.example.com",
        "urn:issuer",
        "https://sso.example.com?tenant=1",
        "https://sso.example.com#x",
        "https://user@sso.example.com",
        "https://sso.example.com/a/../b",
        "file:///etc/passwd",
    ],
)
def test_an_issuer_that_cannot_be_asked(look, script, url):
    """Keys over plain http could be anybody's; nothing is requested, and the advice says what to set."""
    with pytest.raises(IdTokenError, match="issuer") as caught:
        look(issuer=url)
    assert "jwks_uri" in str(caught.value.advice)
    assert script.requests == []


def test_an_issuer_on_this_machine(look, script, state, json_response, issuer):
    """Plain http on loopback is for development, and has to be said."""
    state.config = replace(state.config, allow_insecure_loopback=True)
    url = "http://127.0.0.1:8080"
    script.answer(
        json_response(issuer.configuration(issuer=url, jwks_uri=f"{url}/keys")), json_response(issuer.jwks())
    )
    assert look(issuer=url) == ["RS256"]


@pytest.mark.rule("ID-02")
@pytest.mark.parametrize("status", [404, 401, 500])
def test_keys_of_the_smart_configuration(look, script, json_response, issuer, status):
    """Where there is no OpenID configuration, the smart-configuration's jwks_uri takes its place."""
    script.answer(json_response({}, status), json_response(issuer.jwks()))
    assert look(jwks_uri="https://sso.example.com/smart-keys") == ["RS256"]
    assert urls(script) == [CONFIGURATION, "https://sso.example.com/smart-keys"]


@pytest.mark.parametrize("jwks_uri", [..., None, "", 5, []])
def test_a_configuration_without_keys(look, script, answers, json_response, issuer, jwks_uri):
    """An OpenID configuration that names no keys is completed from the smart-configuration, if that can."""
    answers(jwks_uri=jwks_uri)
    assert look(jwks_uri="https://sso.example.com/smart-keys") == ["RS256"]
    assert urls(script)[1] == "https://sso.example.com/smart-keys"


def test_no_keys_anywhere(look, script, json_response, issuer):
    """If neither document names any, that is said."""
    script.answer(json_response(issuer.configuration(jwks_uri=...)), json_response({}, 404))
    with pytest.raises(IdTokenError, match="Neither document"):
        look(jwks_uri=None)
    with pytest.raises(IdTokenError, match="answered 404 to a request for its OpenID configuration"):
        look(jwks_uri=None)


@pytest.mark.parametrize(
    "jwks_uri",
    [
        "http://sso.example.com/keys",
        "http://127.0.0.1/keys",
        "ftp://sso.example.com/keys",
        "https://u@sso.example.com/keys",
        "//evil.example:x/keys",
        "data:,{}",
    ],
)
def test_keys_over_plain_http(look, script, json_response, issuer, jwks_uri):
    """A jwks_uri that is not https is refused, and not replaced by another one."""
    script.answer(json_response(issuer.configuration(jwks_uri=jwks_uri)))
    with pytest.raises(IdTokenError, match="jwks_uri"):
        look()
    assert urls(script) == [CONFIGURATION]


def test_a_relative_jwks_uri(look, script, answers):
    """It starts at the document that names it."""
    answers(jwks_uri="../keys")
    look()
    assert urls(script)[1] == "https://sso.example.com/keys"


def test_jwks_uri_override(look, script, state, json_response, issuer):
    """A configured jwks_uri is asked alone, whatever the issuer's documents say."""
    state.config = replace(state.config, jwks_uri="https://k.example.com/all?x=1", id_token_issuer="urn:odd")
    script.answer(json_response(issuer.jwks()))
    assert look() == ["RS256"]
    assert urls(script) == ["https://k.example.com/all?x=1"]


def test_id_token_issuer_override(look, script, state, json_response, issuer):
    """A configured issuer is the one whose documents are read."""
    state.config = replace(state.config, id_token_issuer="https://idp.example.com/t1")
    document = issuer.configuration(issuer="https://idp.example.com/t1", jwks_uri="https://idp.example.com/k")
    script.answer(json_response(document), json_response(issuer.jwks()))
    assert look() == ["RS256"]
    assert urls(script)[0] == "https://idp.example.com/t1/.well-known/openid-configuration"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("position", [0, 1])
def test_redirects_are_not_followed(look, script, json_response, issuer, status, position):
    """A redirect of either document is an error that names where it leads."""
    redirect = json_response({}, status, {"Location": "https://evil.example/keys?secret=1"})
    script.answer(*[json_response(issuer.configuration()), redirect][1 - position :])
    with pytest.raises(IdTokenError, match=r"\(to https://evil\.example\)") as caught:
        look(jwks_uri=None)
    assert (caught.value.status, "secret" in str(caught.value)) == (status, False)
    assert len(script.requests) == position + 1


@pytest.mark.parametrize(
    "document",
    [
        {"keys": None},
        {"keys": "x"},
        {"keys": {}},
        {},
        [],
        "x",
        {"keys": [{"kty": "RSA"}] * 101},
    ],
)
def test_what_is_no_jwk_set(json_response, document):
    """A set is an object with a list of at most 100 keys."""
    with pytest.raises(IdTokenError):
        parse_server_keys(json_response(document))


def test_html_instead_of_keys(json_response):
    """Portals answer 200 with a page."""
    with pytest.raises(IdTokenError, match="JWK Set cannot be used"):
        parse_server_keys(json_response(None, body=b"<html>"))


@pytest.mark.parametrize(
    "bad",
    [
        {"kty": "RSA", "kid": "bad", "n": "!!", "e": "AQAB"},
        {"kty": "EC", "kid": "bad", "crv": "P-224", "x": "AA", "y": "AA"},
        {"kty": "AKP", "kid": "bad", "pub": "AA"},
        {"kty": "oct", "kid": "bad", "k": "AA"},
        {"kty": "RSA", "kid": "RS256", "alg": "HS256", "n": "AQAB", "e": "AQAB"},
        "no key",
        None,
    ],
)
def test_one_bad_key_among_good_ones(json_response, issuer, bad):
    """Keys are read one by one; the good one works."""
    keys = parse_server_keys(json_response({"keys": [bad, issuer.jwk(), bad]}))
    assert [key.kid for key in keys] == ["RS256"]


# ------------------------------------------------------------------------------------------- how long


def test_keys_are_believed_for_300_seconds(look, script, answers):
    """At 299 seconds nothing is asked, at 300 it is."""
    answers()
    look()
    script.advance(299.9)
    look()
    assert len(script.requests) == 2
    script.advance(0.1)
    answers()
    look()
    assert len(script.requests) == 4


@pytest.mark.rule("ID-13")
def test_an_unknown_key_is_asked_for_once_a_minute(look, script, answers, issuer):
    """A key that is not among the known ones is looked for again, though not within a minute."""
    answers()
    look()
    script.advance(59.9)
    assert look("second") == ["RS256"]
    assert len(script.requests) == 2
    script.advance(0.1)
    answers(issuer.jwk(), issuer.jwk("second", "RS256"))
    assert look("second") == ["RS256", "second"]
    assert look("RS256") == ["RS256", "second"]
    assert len(script.requests) == 4


@pytest.mark.rule("ID-13")
def test_a_thousand_made_up_keys(look, script, answers):
    """Tokens with random key ids lead to no more than one fetch a minute."""
    answers()
    answers()
    for number in range(1000):
        look(f"random-{number}")
        script.advance(0.1)
    assert urls(script).count(KEYS) == 2


def test_a_removed_key_is_gone(look, script, answers, issuer):
    """What the issuer no longer publishes is no longer believed after the next fetch."""
    answers(issuer.jwk(), issuer.jwk("second", "RS256"))
    assert look("second") == ["RS256", "second"]
    script.advance(300)
    answers()
    assert look("second") == ["RS256"]


@pytest.mark.parametrize("failure", [TransportError("down"), 500, 302, "another issuer", "no keys"], ids=str)
def test_known_keys_bridge_an_outage(look, script, answers, json_response, issuer, failure):
    """For an hour after they came, old keys stand in for ones that cannot be fetched; not a second longer."""

    def fail():
        match failure:
            case int():
                script.answer(json_response({}, failure))
            case "another issuer":
                script.answer(json_response(issuer.configuration(issuer="https://evil.example")))
            case "no keys":
                script.answer(json_response(issuer.configuration()), json_response({}))
            case _:
                script.answer(failure)

    answers()
    look(jwks_uri=None)
    script.advance(3600)
    fail()
    assert look(jwks_uri=None) == ["RS256"]
    script.finished()
    script.advance(0.1)
    fail()
    with pytest.raises((TransportError, IdTokenError)):
        look(jwks_uri=None)
    answers()
    assert look() == ["RS256"]


def test_an_outage_is_not_answered_with_a_stream_of_requests(look, script, answers):
    """While the issuer is down, it is asked once a minute, however many tokens come."""
    answers()
    look()
    script.advance(300)
    script.answer(TransportError("down"))
    for _ in range(100):
        assert look() == ["RS256"]
    script.advance(60)
    answers()
    look()
    assert len(script.requests) == 5


def test_an_outage_while_a_new_key_is_looked_for(look, script, answers):
    """Old keys do not help a token that none of them signed: the outage is what is reported."""
    answers()
    look()
    script.advance(60)
    script.answer(TransportError("down"))
    with pytest.raises(TransportError):
        look("second")
    assert look("second") == ["RS256"]
    assert look() == ["RS256"]


def test_a_first_failure_is_not_remembered(look, script, answers, json_response):
    """Without any keys the next login asks again at once."""
    script.answer(json_response({}, 500), json_response({}, 503))
    with pytest.raises(IdTokenError):
        look()
    answers()
    assert look() == ["RS256"]


def test_keys_of_another_issuer_are_not_used(look, script, answers, state, json_response, issuer):
    """Keys belong to one issuer; another one's are fetched, though the old ones are fresh and fit."""
    answers()
    look()
    other = "https://other.example.com"
    state.config = replace(state.config, id_token_issuer=other)
    script.answer(TransportError("down"))
    with pytest.raises(TransportError):
        look()
    script.answer(json_response(issuer.configuration(issuer=other)), json_response(issuer.jwks(issuer.jwk())))
    look()
    assert state.server_keys is not None
    assert state.server_keys.issuer == other


def test_two_clients_share_no_keys(script, config, metadata, issuer, answers):
    """Each client fetches its own keys: one server's must never prove another's users."""
    for _ in range(2):
        answers()
        state = ClientState(config=config)
        flow = identify(
            state, metadata, Secret(issuer.token()), nonce=Secret("n-1"), access_token=Secret("at-1")
        )
        script.run(flow)
    assert len(script.requests) == 4


def test_server_keys_values():
    """Freshness, bridging and asking are by the monotonic clock."""
    keys = ServerKeys(issuer="i", keys=(), algorithms=None, fetched_at=0.0, asked_at=0.0, fresh_until=300.0)
    assert [keys.fresh("i", now) for now in (299.9, 300.0)] == [True, False]
    assert keys.fresh("j", 0.0) is False
    assert [keys.bridges(now) for now in (3600.0, 3600.1)] == [True, False]
    assert keys.asked(7.0) == replace(keys, asked_at=7.0)


# -------------------------------------------------------------------------------------- single flight


class Clock:
    def wall(self) -> float:
        return 1_750_000_000.0

    def monotonic(self) -> float:
        return 1_000.0


class SlowServer:
    """Answers for the issuer, letting others run before each answer."""

    def __init__(self, issuer, json_response, crowd: int) -> None:
        self.documents = {CONFIGURATION: issuer.configuration(), KEYS: issuer.jwks()}
        self.json_response = json_response
        self.urls: list[str] = []
        self.crowd = threading.Barrier(crowd)

    def send(self, request, timeouts):
        self.urls.append(request.url)
        return replace(self.json_response(self.documents[request.url]), url=request.url)

    async def async_send(self, request, timeouts):
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        return self.send(request, timeouts)

    def close(self):
        pass

    async def aclose(self):
        pass


def flow_of(state, metadata, issuer):
    return identify(state, metadata, Secret(issuer.token()), nonce=Secret("n-1"), access_token=Secret("at-1"))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_crowd_of_tasks_fetches_once(state, metadata, issuer, json_response, backend):
    """Many logins at the same moment need one fetch of the keys."""
    server = SlowServer(issuer, json_response, 1)
    perform = AsyncPerformer(server, Timeouts(), Clock())
    found = []

    async def one():
        identity, _ = await drive_async(flow_of(state, metadata, issuer), perform)
        found.append(identity.subject)

    async def crowd():
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)

    with start_blocking_portal(backend) as portal:
        portal.call(crowd)
    assert (server.urls, found) == ([CONFIGURATION, KEYS], ["u-58121"] * 20)


def test_a_crowd_of_threads_fetches_once(state, metadata, issuer, json_response):
    """The same with threads that share a client."""
    server = SlowServer(issuer, json_response, 8)
    perform = Performer(server, Timeouts(), Clock())
    issuer.token()
    found = []

    def one():
        flow = flow_of(state, metadata, issuer)
        server.crowd.wait()
        found.append(drive(flow, perform)[0].subject)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (server.urls, found) == ([CONFIGURATION, KEYS], ["u-58121"] * 8)


def test_known_keys_need_no_lease(look, script, answers):
    """With a fresh key that fits nobody waits for anybody."""
    answers()
    look()
    before = script.kinds.count(Exclusive)
    look()
    assert script.kinds.count(Exclusive) == before == 1
