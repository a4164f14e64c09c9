"""Every fault is performed on the wire, for whom and as often as it was asked for."""

from __future__ import annotations

import base64
import json
import time
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import Timeouts
from smart_async.messages import Request
from smart_async.sandbox import Faults, Sandbox, serve
from smart_async.sandbox.fault_kinds import KINDS

HASTY = Timeouts(read=0.02)
IMPATIENT = httpx.Timeout(20, read=0.05)
OFFLINE = "openid launch/patient patient/*.rs offline_access"


def verify(hand, id_token):
    keys = json.loads(hand.send("GET", hand.sandbox.base_url + "/oauth2/keys").body)
    return jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=["RS256"])


def kid_of(id_token):
    header = id_token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def published(hand):
    keys = json.loads(hand.send("GET", hand.sandbox.base_url + "/oauth2/keys").body)["keys"]
    return [key["kid"] for key in keys]


def error_of(response):
    return response.status, json.loads(response.body).get("error")


def get(hand, url, timeouts, purpose="fhir"):
    request = Request(method="GET", url=url, purpose=purpose)
    return hand.sandbox.transport().send(request, timeouts)


# Asking for faults.


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_one_line_in_plain_words(name):
    """Each kind says in one line what it does, for whom and how often."""
    fault = Faults().add(name)
    often = {None: "always", 1: "once"}[KINDS[name].times]
    assert fault.text.endswith(f"(All clients, {often})")
    assert "{" not in fault.text
    assert "\n" not in fault.text


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("unavailable", {"times": 3, "endpoint": "token"}, "At token only. (All clients, 3 times)"),
        ("fhir_401", {"always": True, "client": "growth-chart"}, "(growth-chart, always)"),
        ("slow", {"seconds": 0.5}, "Answers come 0.5 s late"),
    ],
)
def test_the_line_names_the_arguments(name, arguments, text):
    """Whom it strikes, where, how often and by how much is in the line."""
    assert text in Faults().add(name, **arguments).text


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("sloth", {}, "no fault 'sloth'"),
        ("slow", {"minutes": 1}, "no option 'minutes'; its option is seconds"),
        ("wrong_state", {"seconds": 1}, "no option 'seconds'; it has no option"),
        ("slow", {"seconds": "2"}, "must be a number"),
        ("slow", {"seconds": True}, "must be a number"),
        ("slow", {"seconds": -1}, "from 0 on"),
        ("page_size", {"count": float("nan")}, "must be a number"),
        ("slow", {"times": 0}, "at least 1"),
        ("slow", {"endpoint": "moon"}, "no endpoint 'moon'"),
        ("fhir_401", {"endpoint": "fhir"}, "endpoint of its own"),
        ("clock_skew", {"client": "a"}, "whole server"),
        ("clock_skew", {"times": 1}, "whole server"),
    ],
)
def test_what_cannot_be_asked_for(name, arguments, says):
    """A fault that does not exist, or an argument that does not go with it, is refused at once."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        Faults().add(name, **arguments)
    assert caught.value.field == "faults"


def test_listed_and_taken_back():
    """Faults can be given at the start, are listed in order, and are taken back one by one or all."""
    faults = Sandbox(faults={"slow": {"seconds": 1}, "fhir_401": {}}).faults
    wrong = faults.add("wrong_state")
    assert [fault.name for fault in faults] == ["slow", "fhir_401", "wrong_state"]
    faults.remove(wrong)
    faults.remove(wrong.number)
    faults.clear("slow")
    assert [fault.name for fault in faults] == ["fhir_401"]
    faults.clear()
    assert len(faults) == 0
    assert [fault.name for fault in Faults(["expired_code"])] == ["expired_code"]


def test_n_times_and_then_no_more(hand):
    """A fault strikes as often as asked, counts it, and is gone."""
    fault = hand.sandbox.faults.add("unavailable", times=2, retry_after=7)
    answers = [hand.backend() for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert (fault.struck, fault.left, len(hand.sandbox.faults)) == (2, 0, 0)


def test_one_client_only(hand):
    """A fault for one client leaves the others alone, also where the request is not looked at."""
    hand.sandbox.faults.add("unavailable", client="asymmetric", always=True)
    basic = base64.b64encode(b"symmetric:p@ss:w/rd+1").decode()
    other = hand.post(
        {"grant_type": "refresh_token", "refresh_token": "x"}, headers={"Authorization": f"Basic {basic}"}
    )
    assert (hand.backend().status, other.status) == (503, 400)
    assert hand.ask(hand.authorization()).status == 503
    assert hand.ask(hand.authorization(client_id="public")).status == 302


def test_one_client_is_known_by_its_token(hand):
    """At the FHIR endpoint the owner of the bearer token is whom a fault strikes."""
    token = hand.login()["access_token"]
    hand.sandbox.faults.add("unavailable", client="asymmetric", endpoint="fhir")
    assert hand.read("Patient/patient-amber", "unknown").status == 401
    assert hand.read("Patient/patient-amber", token).status == 503


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({"Authorization": "Basic *"}, {}),
        ({"Authorization": "Basic /w=="}, {}),
        ({}, {"client_assertion": "a.b"}),
        ({}, {"client_assertion": "a.b.c"}),
        ({}, {"client_assertion": "W10.W10.c"}),
        ({}, {"client_assertion": "e30.eyJpc3MiOjF9.c"}),
        ({}, {"refresh_token": "x", "code": "y"}),
    ],
)
def test_nobody_is_claimed(hand, headers, fields):
    """Where a request says nothing readable about its sender, no client's fault strikes."""
    hand.sandbox.faults.add("unavailable", client="asymmetric")
    assert hand.post(fields, headers=headers).status in (400, 401)
    assert hand.sandbox.exchanges[-1].client_id is None


def test_a_code_or_refresh_token_tells_whose_it_is(hand):
    """A request without any client is still sorted by the grant that it presents."""
    token = hand.login(scope=OFFLINE)
    hand.post({"grant_type": "refresh_token", "refresh_token": token["refresh_token"]})
    assert hand.sandbox.exchanges[-1].client_id == "asymmetric"


# Performing them, in memory.


def test_slow_in_memory(hand):
    """An answer that comes later than the client waits is lost, though the request was processed."""
    hand.sandbox.faults.add("slow", seconds=5, endpoint="discovery")
    url = f"{hand.sandbox.fhir_base}/.well-known/smart-configuration"
    with pytest.raises(TransportError, match=r"No answer came within 0\.02 seconds") as caught:
        get(hand, url, HASTY, "discovery")
    assert caught.value.sent is None
    assert hand.sandbox.exchanges[-1].faults == ("slow",)
    assert get(hand, f"{hand.sandbox.fhir_base}/metadata", HASTY).status == 200


def test_slow_but_in_time(hand):
    """An answer that is late but in time arrives."""
    hand.sandbox.faults.add("slow", seconds=0.02)
    before = time.monotonic()
    assert hand.backend().status == 200
    assert time.monotonic() - before >= 0.02


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_slow_async(hand, anyio_backend):
    """Async clients wait in their own loop, and lose the answer in the same way."""
    hand.sandbox.faults.add("slow", seconds=5)
    request = Request(method="GET", url=f"{hand.sandbox.fhir_base}/metadata", purpose="fhir")
    with pytest.raises(TransportError, match="No answer came"):
        await hand.sandbox.transport().async_send(request, HASTY)
    hand.sandbox.faults.clear()
    assert (await hand.sandbox.transport().async_send(request, HASTY)).status == 200


def test_lost_token_response(hand):
    """The code is spent, the tokens are issued, and nobody gets them."""
    code = hand.callback()["code"]
    hand.sandbox.faults.add("lost_token_response", client="asymmetric")
    with pytest.raises(TransportError, match="broke off") as caught:
        hand.exchange(code)
    assert (caught.value.sent, hand.verdict.accepted, hand.sandbox.exchanges[-1].status) == (None, True, None)
    assert error_of(hand.exchange(code)) == (400, "invalid_grant")
    assert [replay.kind for replay in hand.sandbox.replays] == ["code"]


def test_lost_refresh(hand):
    """A refresh whose answer is lost has rotated the token all the same; the retry is a replay."""
    token = hand.login(scope=OFFLINE)
    hand.sandbox.faults.add("lost_token_response")
    with pytest.raises(TransportError):
        hand.refresh(token["refresh_token"])
    assert error_of(hand.refresh(token["refresh_token"])) == (400, "invalid_grant")
    (replay,) = hand.sandbox.replays
    expected = ("refresh_token", "asymmetric", hand.clock.now)
    assert (replay.kind, replay.client_id, replay.received_at) == expected


def test_expired_code(hand):
    """The code counts as expired, and stays so."""
    code = hand.callback()["code"]
    hand.sandbox.faults.add("expired_code")
    assert [error_of(hand.exchange(code)) for _ in range(2)] == [(400, "invalid_grant")] * 2
    assert (hand.verdict.rule, "expired" in hand.verdict.message, hand.sandbox.replays) == (
        "RFC 6749 §4.1.2",
        True,
        [],
    )


def test_wrong_state(hand):
    """The app gets a code with a state that is not its own, once."""
    hand.sandbox.faults.add("wrong_state")
    fields = hand.authorization()
    states = []
    for _ in range(2):
        location = hand.ask(fields).headers["location"]
        states.append(dict(parse_qsl(urlsplit(location).query))["state"])
    assert (states[0] != fields["state"], states[1]) == (True, fields["state"])


def test_rotated_server_keys(hand):
    """The ID token verifies with the keys of now, and not with those of before."""
    before = published(hand)
    first = hand.login()["id_token"]
    hand.sandbox.faults.add("rotated_server_keys")
    second = hand.login()["id_token"]
    assert published(hand) == [kid_of(second)]
    assert (before, kid_of(first) in published(hand)) == ([kid_of(first)], False)
    assert verify(hand, second).claims["aud"] == "asymmetric"


def test_unknown_kid(hand):
    """The ID token's key is in no published set, whenever one looks."""
    hand.sandbox.faults.add("unknown_kid")
    token = hand.login()["id_token"]
    assert kid_of(token) not in published(hand)
    with pytest.raises((JoseError, ValueError)):
        verify(hand, token)
    assert verify(hand, hand.login()["id_token"]).header["kid"] in published(hand)


def test_stale_client_keys(hand, make_key):
    """A key that the client added later is unknown while the old set is held on to."""
    assert hand.backend().status == 200
    new = make_key("EC", "key-new")
    hand.sandbox.register_client(client_id="asymmetric", jwks={"keys": [new.jwk]})
    fault = hand.sandbox.faults.add("stale_client_keys")
    assert error_of(hand.backend(key=new)) == (401, "invalid_client")
    assert (hand.verdict.rule, hand.backend().status) == ("AS-18", 200)
    hand.sandbox.faults.remove(fault)
    assert (hand.backend(key=new).status, hand.backend().status) == (200, 401)


@pytest.mark.parametrize("seconds", [600, -600])
def test_clock_skew(hand, seconds):
    """The server's Date, its tokens and its judgement of assertions all go by the wrong clock."""
    hand.sandbox.faults.add("clock_skew", seconds=seconds)
    response = hand.backend()
    assert error_of(response) == (401, "invalid_client")
    shown = parsedate_to_datetime(response.headers["date"]).timestamp()
    assert shown == int(hand.clock.now) + seconds
    hand.clock.now += seconds
    hand.sandbox.faults.clear()
    claims = verify(hand, hand.login()["id_token"]).claims
    assert claims["iat"] == int(hand.clock.now)


def test_the_date_follows_the_clock(hand):
    """Without a fault the Date header is the clock's time."""
    assert parsedate_to_datetime(hand.backend().headers["date"]).timestamp() == int(hand.clock.now)


def test_refresh_reused(hand):
    """A refresh token that counts as used before ends the login, and is counted as a replay."""
    token = hand.login(scope=OFFLINE)
    hand.sandbox.faults.add("refresh_reused")
    assert error_of(hand.refresh(token["refresh_token"])) == (400, "invalid_grant")
    assert hand.verdict.rule == "RF-06"
    assert hand.read("Patient/patient-amber", token["access_token"]).status == 401
    assert [replay.kind for replay in hand.sandbox.replays] == ["refresh_token"]


def test_refresh_reuse_detection(make_hand):
    """Where refresh tokens do not rotate, they do so now, and a replaced one ends the login."""
    hand = make_hand(rotate_refresh_tokens=False)
    first = hand.login(scope=OFFLINE)["refresh_token"]
    assert "refresh_token" not in json.loads(hand.refresh(first).body)
    hand.sandbox.faults.add("refresh_reuse_detection")
    second = json.loads(hand.refresh(first).body)
    assert second["refresh_token"] != first
    assert error_of(hand.refresh(first)) == (400, "invalid_grant")
    assert error_of(hand.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert len(hand.sandbox.replays) == 1


def test_non_rotating_refresh(hand):
    """A refresh brings no refresh token, and the old one stays good."""
    refresh_token = hand.login(scope=OFFLINE)["refresh_token"]
    hand.sandbox.faults.add("non_rotating_refresh")
    answers = [json.loads(hand.refresh(refresh_token).body) for _ in range(2)]
    assert ["refresh_token" in answer for answer in answers] == [False, False]
    assert hand.sandbox.replays == []


def test_token_lifetime(hand):
    """Access tokens say and live the lifetime asked for, a user's and a backend's."""
    hand.sandbox.faults.add("token_lifetime", seconds=3)
    token = hand.login()
    assert (token["expires_in"], json.loads(hand.backend().body)["expires_in"]) == (3, 3)
    hand.clock.now += 3
    assert hand.read("Patient/patient-amber", token["access_token"]).status == 401


def test_fhir_401_once(hand):
    """A good token is refused once, with the challenge of a dead one, and then works again."""
    token = hand.login()["access_token"]
    hand.sandbox.faults.add("fhir_401")
    refused = hand.read("Patient/patient-amber", token)
    assert (refused.status, 'error="invalid_token"' in refused.headers["www-authenticate"]) == (401, True)
    assert hand.read("Patient/patient-amber", token).status == 200


def test_a_bad_token_uses_no_fault_up(hand):
    """A token that is refused anyway leaves the fault for a good one."""
    hand.sandbox.faults.add("fhir_401")
    assert hand.read("Patient/patient-amber", "bad").status == 401
    assert len(hand.sandbox.faults) == 1


def test_insufficient_scope(hand):
    """A good token is said to have too little scope."""
    token = hand.login()["access_token"]
    hand.sandbox.faults.add("insufficient_scope")
    refused = hand.read("Patient/patient-amber", token)
    assert (refused.status, "insufficient_scope" in refused.headers["www-authenticate"]) == (403, True)
    assert hand.read("Patient/patient-amber", token).status == 200


def test_page_size(hand):
    """Pages are as small as asked for, whatever _count says, and absolute links lead through all of them."""
    token = hand.system_token()
    hand.sandbox.faults.add("page_size", count=3)
    path, sizes = "Condition?_count=50", []
    while path:
        bundle = json.loads(hand.read(path, token).body)
        sizes.append(len(bundle["entry"]))
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        assert links["self"].startswith(hand.sandbox.fhir_base)
        path = links.get("next", "").removeprefix(hand.sandbox.fhir_base + "/")
    assert (set(sizes[:-1]), sum(sizes)) == ({3}, bundle["total"])


# Performing them, on a socket.


def post(sandbox, hand, **more):
    fields = {"grant_type": "client_credentials", "scope": "system/*.rs", **hand.proof()}
    return httpx.post(sandbox.token_endpoint, data=fields, trust_env=False, **more)


def test_lost_on_a_socket(hand):
    """Over http the connection breaks without a single byte of an answer; the next request is served."""
    with serve(hand.sandbox) as sandbox:
        fault = sandbox.faults.add("lost_token_response")
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            post(sandbox, hand)
        assert (fault.struck, sandbox.verdicts[-1].accepted) == (1, True)
        assert post(sandbox, hand).status_code == 200


def test_slow_on_a_socket(hand):
    """Over http a slow answer lets others pass, and breaks the patience of a client with little."""
    with serve(hand.sandbox) as sandbox:
        sandbox.faults.add("slow", seconds=0.3, endpoint="token", times=2)
        with pytest.raises(httpx.ReadTimeout):
            post(sandbox, hand, timeout=IMPATIENT)
        before = time.monotonic()
        assert httpx.get(f"{sandbox.fhir_base}/metadata", trust_env=False).status_code == 200
        assert post(sandbox, hand).status_code == 200
        assert time.monotonic() - before >= 0.3


def test_a_client_that_gives_up(hand, caplog):
    """A server that is to be slow for a minute does not hold up its end for a client that has gone."""
    with serve(hand.sandbox) as sandbox:
        sandbox.faults.add("slow", seconds=60)
        with pytest.raises(httpx.ReadTimeout):
            post(sandbox, hand, timeout=IMPATIENT)
    assert "Cancel" not in caplog.text  # as the server says of requests that it has to break off at its end


def test_the_date_on_a_socket(hand):
    """There is one Date header, and it is the sandbox's and not the server library's."""
    with serve(hand.sandbox) as sandbox:
        sandbox.faults.add("clock_skew", seconds=3600)
        response = httpx.get(f"{sandbox.fhir_base}/metadata", trust_env=False)
    dates = response.headers.get_list("date")
    assert [parsedate_to_datetime(date).timestamp() for date in dates] == [int(hand.clock.now) + 3600]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_under_another_server(hand, anyio_backend):
    """Mounted elsewhere the app waits by itself, and breaks off where no answer is to come."""
    sandbox = hand.sandbox
    transport = httpx.ASGITransport(app=sandbox.app)
    async with httpx.AsyncClient(transport=transport, base_url=sandbox.base_url) as http:
        sandbox.faults.add("slow", seconds=0.01, times=1)
        assert (await http.get("/fhir/metadata")).status_code == 200
        sandbox.faults.add("lost_token_response")
        with pytest.raises(ConnectionAbortedError):
            await http.post("/oauth2/token", data={"grant_type": "x"})
