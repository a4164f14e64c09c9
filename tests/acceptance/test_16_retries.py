"""Acceptance 16: what each client makes again after which failure, at a server that fails as told."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import pytest

from smart_async import (
    ClientMetadata,
    OAuthError,
    OutcomeUnknownError,
    SmartError,
    TransportError,
)
from smart_async.limits import Timeouts

SSO = "https://sso.example.com"
BASE = "https://ehr.example.com/r4"

NOT_SENT = TransportError("The connection was refused.", sent=False)
UNKNOWN = TransportError("The server did not answer in time.", sent=None)

COLUMNS = ("N", "U", "429", "503", "5xx", "4xx", "certificate")
ANY_NUMBER = ("N", "U", "429", "503", "5xx")
ONCE = ("N", "429", "503")
TABLE = {
    "discovery": ANY_NUMBER,
    "OpenID configuration": ANY_NUMBER,
    "keys": ANY_NUMBER,
    "code": ("N",),
    "client_credentials": ANY_NUMBER,
    "refresh, never rotating": ANY_NUMBER,
    "refresh, rotating": ONCE,
    "session, never rotating": ANY_NUMBER,
    "session, rotating": ONCE,
    "registration": ONCE,
    "reading a registration": ANY_NUMBER,
    "deleting a registration": ANY_NUMBER,
    "introspection": ANY_NUMBER,
    "revocation": ANY_NUMBER,
}
"""Of each kind of request: the failures after which it is made again."""


def impatient(size: int) -> bytes:
    """Random bytes, and none for the dice behind pauses: those are none then."""
    return bytes(size) if size == 8 else os.urandom(size)


class Failing:
    """One endpoint that fails as often as told, and is honest then."""

    def __init__(self, net: Any, url: str) -> None:
        self.net = net
        self.url = url
        self.honest = net.routes[url]
        self.failures: list[Any] = []
        net.routes[url] = self._answer
        self.before = len(net.requests)

    @property
    def requests(self) -> list[Any]:
        """What came here since it began to fail."""
        return [request for request in self.net.requests[self.before :] if request.url == self.url]

    def _answer(self, request: Any) -> Any:
        outcome = self.failures.pop(0) if self.failures else self.honest
        if isinstance(outcome, Exception):
            raise outcome
        return outcome(request) if callable(outcome) else outcome


@dataclass
class Ready:
    """An operation that is about to be tried, and the endpoint that is about to fail."""

    operation: Callable[[], Any]
    endpoint: Failing


class Bench:
    """Makes ready each row of the table, for clients of one colour."""

    def __init__(self, colour: Any, net: Any, provider: Any, config: Any, tools: Any) -> None:
        self.colour, self.net, self.provider, self.config, self.tools = colour, net, provider, config, tools

    def ready(self, row: str, **knobs: Any) -> Ready:
        """Return the operation of *row* with all that comes before it done."""
        if "never rotating" in row:
            knobs["refresh_rotates"] = False
        if row == "OpenID configuration":
            self.provider.serve(self.provider.document(jwks_uri=...))  # it would do in the other's place
        client = self.client(**knobs)
        call = self.colour.call
        url, operation = {
            "discovery": lambda: self.discovery(client),
            "OpenID configuration": lambda: self.sign_in(
                client, f"{SSO}/.well-known/openid-configuration", openid=True
            ),
            "keys": lambda: self.sign_in(client, f"{SSO}/keys", openid=True),
            "code": lambda: self.sign_in(client, f"{SSO}/token"),
            "client_credentials": lambda: self.backend(client),
            "registration": lambda: (f"{SSO}/register", lambda: call(client.register, self.wish)),
            "reading a registration": lambda: self.managed(client, client.read_registration),
            "deleting a registration": lambda: self.managed(client, client.delete_registration),
            "introspection": lambda: self.with_token(client, f"{SSO}/introspect", client.introspect),
            "revocation": lambda: self.with_token(client, f"{SSO}/revoke", client.revoke),
        }.get(row, lambda: self.renewal(client, session=row.startswith("session")))()
        return Ready(operation, Failing(self.net, url))

    def client(self, *, total: float = 30, **knobs: Any) -> Any:
        """A client that waits for nothing, unless it is told to."""
        config = replace(self.config, **knobs)
        return self.colour.make(
            config,
            transport=self.net,
            clock=self.provider.clock,
            entropy=impatient,
            timeouts=Timeouts(total=total),
        )

    @property
    def wish(self) -> ClientMetadata:
        """What a newcomer registers with."""
        return ClientMetadata.for_backend(self.config.client_auth.key, client_name="Nightly")

    def login(self, client: Any, **changes: Any) -> Any:
        """A user's token."""
        pending = self.colour.call(client.authorize)
        return self.colour.call(client.exchange_code, pending, self.tools.callback_url(pending, **changes))

    def discovery(self, client: Any) -> tuple[str, Any]:
        url = f"{BASE}/.well-known/smart-configuration"
        return url, lambda: self.colour.call(client.discover, refresh=True)

    def sign_in(self, client: Any, url: str, *, openid: bool = False) -> tuple[str, Any]:
        scope = f"openid {self.config.scope}" if openid else self.config.scope
        pending = self.colour.call(client.authorize, scope=scope)
        if openid:
            self.provider.id_token = self.provider.sign(self.provider.claims(nonce=pending.nonce.reveal()))
        callback = self.tools.callback_url(pending)
        return url, lambda: self.colour.call(client.exchange_code, pending, callback)

    def backend(self, client: Any) -> tuple[str, Any]:
        self.colour.call(client.discover)
        return f"{SSO}/token", lambda: self.colour.call(client.backend_token)

    def renewal(self, client: Any, *, session: bool) -> tuple[str, Any]:
        token = self.login(client)
        self.provider.token_changes.update(access_token="at-2", refresh_token="rt-2")
        if not session:
            return f"{SSO}/token", lambda: self.colour.call(client.refresh, token)
        found = self.session(client, token)
        return f"{SSO}/token", lambda: self.colour.call(found.renew)

    def session(self, client: Any, token: Any) -> Any:
        async def make() -> Any:
            return client.session(token)

        return client.session(token) if self.colour.portal is None else self.colour.call(make)

    def managed(self, client: Any, method: Any) -> tuple[str, Any]:
        made = self.colour.call(client.register, self.wish)
        self.net.routes[f"{SSO}/register/c1"] = self._registration(made)
        return f"{SSO}/register/c1", lambda: self.colour.call(method, made)

    def _registration(self, made: Any) -> Any:
        document = {**made.metadata.to_members(), "client_id": "c1"}

        def answer(request: Any) -> Any:
            return self.tools.answer(b"", 204) if request.method == "DELETE" else self.tools.answer(document)

        return answer

    def with_token(self, client: Any, url: str, method: Any) -> tuple[str, Any]:
        self.provider.token_changes["refresh_token"] = ...
        token = self.colour.call(client.backend_token)
        return url, lambda: self.colour.call(method, token)


@pytest.fixture
def bench(colour, net, provider, config, tools) -> Bench:
    """Every operation, in each colour."""
    return Bench(colour, net, provider, config, tools)


@pytest.fixture
def failure(tools) -> Callable[[str], Any]:
    """The failure at the head of a column."""
    return {
        "N": NOT_SENT,
        "U": UNKNOWN,
        "429": tools.answer({"error": "slow_down"}, 429, {"Retry-After": "0"}),
        "503": tools.answer({}, 503, {"Retry-After": "0"}),
        "5xx": tools.answer({}, 500),
        "4xx": tools.answer({"error": "invalid_request"}, 400),
        "certificate": TransportError("Not trusted.", sent=False, permanent=True),
    }.__getitem__


def identities(requests: list[Any], tools: Any) -> list[str]:
    """The jti of each assertion that was sent."""
    found = []
    for request in requests:
        if b"client_assertion=" in (request.body or b""):
            payload = tools.form_of(request)["client_assertion"].split(".")[1]
            found.append(json.loads(base64.urlsafe_b64decode(payload + "=="))["jti"])
    return found


@pytest.mark.rule("RF-06", "AS-10", "BS-03")
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", TABLE)
def test_the_table(bench, failure, tools, row, column):
    """Two failures are got over, or the first is told, as the table says; each try has an id of its own."""
    ready = bench.ready(row)
    ready.endpoint.failures = [failure(column), failure(column)]
    if column in TABLE[row]:
        ready.operation()
        assert len(ready.endpoint.requests) == 3
    else:
        with pytest.raises(SmartError) as caught:
            ready.operation()
        assert len(ready.endpoint.requests) == 1
        once = TABLE[row] != ANY_NUMBER
        assert isinstance(caught.value, OutcomeUnknownError) is (column == "U" and once)
    sent = identities(bench.net.requests, tools)
    assert len(set(sent)) == len(sent)
    if row not in ("discovery", "OpenID configuration", "keys") and "registration" not in row:
        assert len(identities(ready.endpoint.requests, tools)) == len(ready.endpoint.requests)


@pytest.mark.rule("AS-10")
@pytest.mark.parametrize("attempts", [1, 2, 5])
@pytest.mark.parametrize("row", ["client_credentials", "session, never rotating", "introspection"])
def test_attempts(bench, failure, tools, row, attempts):
    """N attempts are N requests with N ids, and the last failure is what the caller gets."""
    ready = bench.ready(row, attempts=attempts)
    ready.endpoint.failures = [failure("U")] * (attempts - 1) + [tools.answer({}, 502)]
    with pytest.raises(OAuthError) as caught:
        ready.operation()
    assert caught.value.status == 502
    assert len(set(identities(ready.endpoint.requests, tools))) == attempts
    assert len(ready.endpoint.requests) == attempts


@pytest.mark.rule("RF-06")
@pytest.mark.parametrize("knob", ["never", "grace"])
def test_a_lost_refresh(bench, failure, tools, knob):
    """By default it is not repeated; in grace, once, at once, with the same token and a new assertion."""
    ready = bench.ready("session, rotating", refresh_retry=knob)
    ready.endpoint.failures = [failure("U")] * 2
    with pytest.raises(OutcomeUnknownError):
        ready.operation()
    sent = ready.endpoint.requests
    assert len(sent) == (2 if knob == "grace" else 1)
    assert {tools.form_of(request)["refresh_token"] for request in sent} == {"rt-1"}
    assert len(set(identities(sent, tools))) == len(sent)


def test_a_lost_refresh_that_grace_finds(bench, failure):
    """Where the repetition is answered, nobody hears of the loss."""
    ready = bench.ready("session, rotating", refresh_retry="grace")
    ready.endpoint.failures = [failure("U")]
    assert ready.operation().refresh_token.reveal() == "rt-2"
    assert len(ready.endpoint.requests) == 2


def test_a_code_is_never_sent_twice(bench, failure):
    """Whatever went wrong after it was sent, and however many attempts there are."""
    for column in ("U", "429", "503", "5xx", "4xx"):
        ready = bench.ready("code", attempts=5)
        ready.endpoint.failures = [failure(column)]
        with pytest.raises(SmartError):
            ready.operation()
        assert len(ready.endpoint.requests) == 1
        ready.endpoint.net.routes[ready.endpoint.url] = ready.endpoint.honest


@pytest.mark.rule("AS-20")
@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("error", ["invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client"])
@pytest.mark.parametrize("row", ["client_credentials", "refresh, never rotating", "session, rotating"])
def test_verdicts(bench, tools, row, error, status):
    """What no repetition changes is asked once, also where a server says it with a 503."""
    ready = bench.ready(row)
    ready.endpoint.failures = [tools.answer({"error": error}, status)]
    with pytest.raises(OAuthError) as caught:
        ready.operation()
    assert (caught.value.error, len(ready.endpoint.requests)) == (error, 1)


@pytest.mark.parametrize(
    ("said", "told", "total"),
    [("61", 61.0, 1000), ("31", 31.0, 30), ("-1", None, 30), ("soon", None, 30), ("1e1", None, 30)],
)
def test_retry_after(bench, tools, said, told, total):
    """More than a minute, more than the deadline allows, or nonsense: told at once, and not waited for."""
    ready = bench.ready("client_credentials", total=total)
    ready.endpoint.failures = [tools.answer({}, 503, {"Retry-After": said})]
    with pytest.raises(OAuthError) as caught:
        ready.operation()
    assert caught.value.retry_after == told
    assert len(ready.endpoint.requests) == 1


@pytest.mark.rule("TK-24")
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize(("refused", "statuses"), [(1, [401, 200]), (2, [401, 401])])
def test_a_fhir_request_with_401(bench, library, refused, statuses):
    """It is renewed once and asked once more; a second 401 is the caller's to see."""
    pytest.importorskip(library, reason=f"needs the extra {library}")
    http_library, colour = import_module(library), bench.colour
    client = bench.client()
    session = bench.session(client, bench.login(client))
    bench.provider.token_changes.update(access_token="at-2", refresh_token="rt-2")
    seen: list[tuple[int, str]] = []

    def answer(request: Any) -> Any:
        status = 401 if len(seen) < refused else 200
        seen.append((status, request.headers["authorization"]))
        return http_library.Response(status, json={})

    blocking = colour.portal is None
    auth = session.auth() if library == "httpx" else session.httpx2_auth()
    kind = http_library.Client if blocking else http_library.AsyncClient
    http = kind(base_url=BASE, transport=http_library.MockTransport(answer), auth=auth)
    before = len(bench.net.of("token"))
    response = colour.call(http.get, "Patient/1")
    colour.call(http.close if blocking else http.aclose)
    assert response.status_code == statuses[-1]
    assert seen == list(zip(statuses, ["Bearer at-1", "Bearer at-2"], strict=True))
    assert len(bench.net.of("token")) == before + 1


@pytest.mark.rule("RF-03", "RF-04")
def test_a_server_that_never_rotates(bench, failure, tools):
    """
    A refresh token that stays, answers that leave it out, and 403 where others say 401, as some EHRs do it.

    With their knobs set, a lost answer and a busy server between FHIR request and answer are got over.
    """
    http_library, colour = import_module("httpx"), bench.colour
    client = bench.client(refresh_rotates=False, token_rejected_statuses=(401, 403))
    session = bench.session(client, bench.login(client))
    bench.provider.token_changes.update(access_token="at-2", refresh_token=...)
    endpoint = Failing(bench.net, f"{SSO}/token")
    endpoint.failures = [failure("U"), failure("503")]

    def answer(request: Any) -> Any:
        return http_library.Response(
            200 if request.headers["authorization"] == "Bearer at-2" else 403, json={}
        )

    blocking = colour.portal is None
    kind = http_library.Client if blocking else http_library.AsyncClient
    http = kind(base_url=BASE, transport=http_library.MockTransport(answer), auth=session.auth())
    assert colour.call(http.get, "Patient/1").status_code == 200
    colour.call(http.close if blocking else http.aclose)
    assert session.token.refresh_token.reveal() == "rt-1"
    colour.call(session.renew)
    forms = [tools.form_of(request) for request in endpoint.requests]
    assert [form["refresh_token"] for form in forms] == ["rt-1"] * 4
    assert len(set(identities(endpoint.requests, tools))) == 4
