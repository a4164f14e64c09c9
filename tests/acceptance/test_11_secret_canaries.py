"""
Acceptance 11: every flow and more than forty failures over real sockets with everything logged, and none of
the secrets comes out anywhere; T44, T45, T47.

First each sink is shown a secret, so that one that looks the other way is noticed.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from loopback import Caller
from sinks import SINKS, Detector, Watch, leaks

from smart_async import (
    ClientMetadata,
    ClientRegistration,
    ClientSecret,
    PendingAuthorization,
    PrivateKeyJWT,
    PublicClient,
    Secret,
    SigningKey,
    SmartConfig,
    SmartError,
    Token,
    config_from_env,
    load_signing_key,
)
from smart_async.files import write_private_key
from smart_async.transports import UrlLogFilter

# ------------------------------------------------------------------------------------------ the detector

PLANTED = "planted: Geheimnis/ü+1"


class PlantedError(Exception):
    """Shows a secret in every way there is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.shown = text
        self.add_note(text)

    def __reduce__(self):
        return PlantedError, self.args


@dataclass
class PlantedValue:
    """The same for what is no error."""

    shown: str


def planted_error(text: str) -> BaseException:
    namespace = {"PlantedError": PlantedError, "secret": text}
    try:
        # A frame that is none of the tests'.
        exec(compile("variable = secret\nraise PlantedError(secret)", "/lib/elsewhere.py", "exec"), namespace)
    except PlantedError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("sink", SINKS)
def test_each_sink_is_searched(sink):
    """A secret that is planted in it is found, and nothing is found where there is none."""
    detector = Detector(secret=PLANTED, other="something else")
    thing = PlantedValue(PLANTED) if sink == "asdict" else planted_error(PLANTED)
    assert detector.found(SINKS[sink](thing)) == {"secret"}
    harmless = PlantedValue("x") if sink == "asdict" else planted_error("x")
    assert detector.found(SINKS[sink](harmless)) == set()


def test_what_is_written_is_searched(tmp_path):
    """Logs, warnings as they are logged, files, and a command line."""
    detector = Detector(secret=PLANTED)
    with Watch(tmp_path) as watch:
        logging.getLogger("httpx").info("GET https://a.example/?%s", PLANTED)
        (tmp_path / "left-behind").write_text(PLANTED)
    assert detector.found(watch.logged) == detector.found(watch.written) == {"secret"}
    with pytest.warns(UserWarning, match="planted") as caught:
        warnings.warn(PLANTED, stacklevel=1)
    assert detector.found(str(caught[0].message)) == {"secret"}
    if not Path("/proc/self/cmdline").exists():
        return
    code = "import pathlib; print(pathlib.Path('/proc/self/cmdline').read_bytes())"
    done = subprocess.run([sys.executable, "-c", code, PLANTED], capture_output=True, text=True, check=True)
    assert detector.found(done.stdout.encode().decode("unicode_escape").encode("latin-1").decode())


@pytest.mark.parametrize("value", [PLANTED, "a", "ab", "abc", "abcd", "p@ss:w/rd+1"])
def test_each_spelling_is_found(value):
    """As it is, in a URL, in a form, as JSON, in a repr, in Basic credentials of any length before it."""
    import base64
    from urllib.parse import quote, quote_plus

    value = value * 8  # short ones are everywhere
    detector = Detector(secret=value)
    for text in (value, quote(value), quote_plus(value), json.dumps(value), repr(value.encode())):
        assert detector.found(f"x{text}x") == {"secret"}
    for before in ("", "c", "cl", "cli", "client:"):
        for after in ("", "x", "xy"):
            encoded = base64.b64encode(f"{before}{value}{after}".encode()).decode()
            assert detector.found(encoded) == {"secret"}


# ------------------------------------------------------------------------------- the server on a socket

SECRETS = {
    "client_secret": "canary+client/secret 0001",
    "code": "canary-code-0002",
    "access_token": "canary-access-0003",
    "refresh_token": "canary-refresh-0004",
    "registration_access_token": "canary-registration-0005",
    "initial_access_token": "canary-initial-0006",
    "patient": "canary-patient-0007",
    "passphrase": "canary-passphrase-0008",
    "launch": "canary-launch-0009",
    "bearer_assertion": "eyJhbGciOiJub25lIn0.canary-bearer-0010.c2ln",
    "old_access_token": "canary-old-access-0011",
    "old_refresh_token": "canary-old-refresh-0012",
    "extra": "canary-extra-0013",
}


class World:
    """An authorization server on a real socket; what the token endpoint answers can be set."""

    def __init__(self, servers, caller, provider, detector) -> None:
        self.caller, self.provider, self.detector = caller, provider, detector
        self.server = servers.start(self._serve)
        self.base = f"{self.server.url}/r4"
        provider.sso = self.server.url
        self.answers: dict[str, tuple[int, Any, tuple[str, ...]]] = {}
        self.key = SigningKey.generate("ES384", kid="key-1")
        self.id_token: str | None = None
        self.sent: list[dict[str, str]] = []
        pem = self.key.private_pem().decode()
        detector.add(
            key_line=pem.splitlines()[2],
            key_number=json.loads(json.dumps(self._private_number())),
        )
        self.config = SmartConfig(
            fhir_base=self.base,
            client_id="growth-chart",
            client_auth=PrivateKeyJWT(self.key),
            redirect_uri="https://app.example.com/callback",
            scope="openid launch/patient patient/*.rs offline_access",
            allow_insecure_loopback=True,
            extra_token_params={"extra": SECRETS["extra"]},
            extra_discovery_headers={"X-Extra": SECRETS["extra"]},
        )

    def _private_number(self) -> str:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        number = load_pem_private_key(self.key.private_pem(), None).private_numbers().private_value
        return str(number)

    def client(self, **changes):
        config = replace(self.config, **changes)
        return self.caller.client(config)

    def _serve(self, connection) -> None:
        while request := connection.read_request():
            head, _, body = request.partition(b"\r\n\r\n")
            line, *_ = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            path = target.partition("?")[0].rsplit("/", 1)[-1]
            form = dict(parse_qsl(body.decode("latin-1")))
            if "client_assertion" in form:
                self.detector.add(**{f"assertion_{len(self.sent)}": form["client_assertion"]})
            self.sent.append(form)
            if path in self.answers and self.answers[path][0] == 0:
                connection.reset()
                return
            status, document, headers = self.answers.get(path) or self._honest(method, path, body)
            data = document if isinstance(document, bytes) else json.dumps(document).encode()
            for name, value in form.items():
                data = data.replace(b"{" + name.encode() + b"}", value.encode())
            connection.reply(data, status=f"{status} X", headers=("Content-Type: application/json", *headers))

    def _honest(self, method, path, body) -> tuple[int, Any, tuple[str, ...]]:
        url = self.server.url
        if path == "smart-configuration":
            return 200, self.provider.document(), ()
        if path == "openid-configuration":
            return 200, self.provider.openid(), ()
        if path == "keys":
            return 200, {"keys": [self.provider.jwk()]}, ()
        if path == "introspect":
            return 200, {"active": True, "patient": SECRETS["patient"], "sub": SECRETS["patient"]}, ()
        if path == "revoke":
            return 200, b"", ()
        if path in ("register", "c1"):
            made = {**json.loads(body or b"{}"), "client_id": "c1"}
            made["registration_client_uri"] = f"{url}/register/c1"
            made["registration_access_token"] = SECRETS["registration_access_token"]
            return {"POST": (201, made, ()), "DELETE": (204, b"", ())}.get(method, (200, made, ()))
        return 200, self.good(), ()

    def good(self, **changes) -> dict[str, Any]:
        members = {
            "access_token": SECRETS["access_token"],
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "openid launch/patient patient/*.rs offline_access",
            "refresh_token": SECRETS["refresh_token"],
            "patient": SECRETS["patient"],
            **({"id_token": self.id_token} if self.id_token else {}),
        }
        return {name: value for name, value in {**members, **changes}.items() if value is not ...}

    def start(self, client):
        pending = self.caller.call(client.authorize)
        self.id_token = self.provider.sign(
            {
                "iss": self.provider.sso,
                "sub": SECRETS["patient"],
                "aud": "growth-chart",
                "iat": int(pending.created_at),
                "exp": int(pending.created_at) + 600,
                "nonce": pending.nonce.reveal(),
                "fhirUser": f"Patient/{SECRETS['patient']}",
            }
        )
        self.detector.add(
            verifier=pending.code_verifier.reveal(),
            nonce=pending.nonce.reveal(),
            state=pending.state,
            id_token=self.id_token,
        )
        return pending, f"https://app.example.com/callback?code={SECRETS['code']}&state={pending.state}"

    def old_token(self, client) -> Token:
        """A token from storage, whose successor the server is asked for."""
        pending, back = self.start(client)
        token = self.caller.call(client.exchange_code, pending, back)
        return replace(
            token,
            access_token=Secret(SECRETS["old_access_token"]),
            refresh_token=Secret(SECRETS["old_refresh_token"]),
        )


@pytest.fixture
def detector():
    return Detector(**SECRETS)


# What the two libraries and three colours do otherwise lies in their own tests.
CALLERS = ("sync-httpx2", "asyncio-httpx", "trio-httpx2")
THOROUGH = ("test_every_flow", "test_a_code_that_buys_nothing")


@pytest.fixture(params=[0, 1, 2])
def caller(request):
    """Calls clients over a real HTTP library; most failures are tried in one colour, by turns."""
    turn = zlib.crc32(request.node.name.replace(f"[{request.param}", "[").encode()) % 3
    if request.function.__name__ not in THOROUGH and turn != request.param:
        pytest.skip("this failure is tried in another colour")
    colour, _, library = CALLERS[request.param].partition("-")
    with ExitStack() as stack:
        yield Caller(colour, library, stack)


@pytest.fixture
def world(servers, caller, provider, detector, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return World(servers, caller, provider, detector)


@pytest.fixture
def watch(tmp_path):
    with Watch(tmp_path, [UrlLogFilter()]) as watch:
        yield watch


def check(detector, watch, capfd, *things):
    """No secret in what was made, raised, logged, printed or left behind."""
    assert leaks(detector, things) == set()
    assert detector.found(watch.logged) == set()
    assert detector.found(watch.written) == set()
    assert detector.found("".join(capfd.readouterr())) == set()


AUTH = {
    "public": lambda world: PublicClient(),
    "basic": lambda world: ClientSecret(SECRETS["client_secret"]),
    "form": lambda world: ClientSecret(SECRETS["client_secret"], basic_encoding="form"),
    "key": lambda world: PrivateKeyJWT(world.key),
}


@pytest.mark.parametrize("auth", AUTH)
def test_every_flow(auth, world, detector, watch, capfd):
    """From registration to revocation: results, clients, requests and logs show nothing."""
    call, client = world.caller.call, world.client(client_auth=AUTH[auth](world))
    pending, back = world.start(client)
    stored = PendingAuthorization.from_json(pending.to_json())
    token = call(client.exchange_code, stored, back)
    assert token.identity is not None
    renewed = call(client.refresh, token)
    bearing = world.client(introspection_auth="bearer")
    made = call(
        client.register,
        ClientMetadata(redirect_uris=["https://app.example.com/callback"]),
        initial_access_token=SECRETS["initial_access_token"],
    )
    things = [
        *(client, client.config, client.config.client_auth, stored, pending, token, token.context),
        *(token.identity, token.identity.fhir_user, renewed, Token.from_json(token.to_json())),
        call(client.introspect, token),
        call(bearing.introspect, token),
        call(client.revoke, token),
        *(made, ClientRegistration.from_json(made.to_json())),
        call(client.read_registration, made),
        call(client.update_registration, made, ClientMetadata(client_name="x")),
        call(client.delete_registration, made),
        call(client.jwt_bearer_token, assertion=SECRETS["bearer_assertion"]),
        call(client.discover).conformance(),
        world.key,
    ]
    if auth != "public":
        things.append(call(client.backend_token))
    assert len(world.sent) > 12
    assert "httpcore" in watch.logged
    # State and nonce are in the browser, the patient is what an app asks for, and extra parameters are what
    # it configured: they are there to be read, and hidden from texts alone.
    public = ("state", "nonce", "patient", "extra")
    secrets = {name: value for name, value in detector.secrets.items() if name not in public}
    check(Detector(**secrets), watch, capfd, *things, token.raw)
    texts = ("str", "repr", "format", "logging.exception", "print", "json")
    shown = Detector(patient=SECRETS["patient"], extra=SECRETS["extra"])
    assert leaks(shown, things, texts) == set()


ECHO = b"You sent {code} {code_verifier} {refresh_token} {client_assertion} {assertion} and {extra}"
TOKEN_ANSWERS = {
    "connection reset": lambda w: (0, b"", ()),
    "redirect": lambda w: (307, w.good(), (f"Location: https://evil.example/{SECRETS['refresh_token']}?x",)),
    "created": lambda w: (201, w.good(), ()),
    "no content": lambda w: (204, b"", ()),
    "not found": lambda w: (404, w.good(), ()),
    "server error": lambda w: (500, w.good(), ()),
    "unavailable": lambda w: (503, w.good(), ("Retry-After: 3600",)),
    "unauthorized": lambda w: (401, w.good(), (f'WWW-Authenticate: Bearer x="{SECRETS["access_token"]}"',)),
    "error beside tokens": lambda w: (200, w.good(error="server_error"), ()),
    "echo of the form": lambda w: (400, b"grant_type=x&extra={extra}&code={code}&rt={refresh_token}", ()),
    "echo in the description": lambda w: (
        400,
        b'{"error":"invalid_grant","error_description":"' + ECHO + b'"}',
        (),
    ),
    "echo in the code": lambda w: (400, b'{"error":"' + ECHO + b'"}', ()),
    "echo as text": lambda w: (400, ECHO, ()),
    "echo as a page": lambda w: (200, b"<title>" + ECHO, ()),
    "echo as an outcome": lambda w: (
        400,
        b'{"resourceType":"OperationOutcome","issue":[{"diagnostics":"' + ECHO + b'"}]}',
        (),
    ),
    "cut": lambda w: (200, json.dumps(w.good()).encode()[:-1], ()),
    "not UTF-8": lambda w: (200, json.dumps(w.good()).encode()[:-1] + b',"a":"\xff"}', ()),
    "twice": lambda w: (200, json.dumps(w.good()).encode()[:-1] + b',"token_type":"Bearer"}', ()),
    "a list": lambda w: (200, [w.good()], ()),
    "text": lambda w: (200, SECRETS["access_token"].encode(), ()),
    "too deep": lambda w: (200, b"[" * 40 + json.dumps(w.good()).encode() + b"]" * 40, ()),
    "too large": lambda w: (200, w.good(pad="x" * 300_000), ()),
    "no access token": lambda w: (200, w.good(access_token=...), ()),
    "line break": lambda w: (200, w.good(access_token=SECRETS["access_token"] + "\r\nX: y"), ()),
    "token in a list": lambda w: (200, w.good(access_token=[SECRETS["access_token"]]), ()),
    "token too long": lambda w: (200, w.good(access_token=SECRETS["access_token"] * 2000), ()),
    "refresh with a blank": lambda w: (200, w.good(refresh_token=SECRETS["refresh_token"] + " x"), ()),
    "mac": lambda w: (200, w.good(token_type="mac"), ()),
    "expires in a list": lambda w: (200, w.good(expires_in=[1]), ()),
    "scope is a number": lambda w: (200, w.good(scope=5), ()),
    "scope with a quote": lambda w: (200, w.good(scope='a"b'), ()),
}
ID_TOKEN_ANSWERS = {
    "ID token cut": lambda w: (200, w.good(id_token=w.id_token[:-4]), ()),
    "ID token with another signature": lambda w: (200, w.good(id_token=w.id_token[:-20] + "A" * 20), ()),
    "ID token encrypted": lambda w: (200, w.good(id_token=w.id_token + ".a.b"), ()),
    "ID token of somebody else": lambda w: (
        200,
        w.good(id_token=w.provider.sign({"sub": SECRETS["patient"], "aud": "x"})),
        (),
    ),
}
REFRESH_ONLY = {
    "another patient": lambda w: (200, w.good(patient=SECRETS["patient"] + "-2", id_token=...), ()),
    "more scope": lambda w: (200, w.good(scope="system/*.*", id_token=...), ()),
}


def failure(call, method, *arguments, **named) -> SmartError:
    with pytest.raises(SmartError) as caught:
        call(method, *arguments, **named)
    return caught.value


def test_there_are_forty():
    """The criterion asks for forty failures; most are tried in several flows."""
    count = sum(map(len, (TOKEN_ANSWERS, ID_TOKEN_ANSWERS, REFRESH_ONLY, REFUSALS, KEYS, CALLBACKS)))
    assert count >= 40


@pytest.mark.parametrize("name", [*TOKEN_ANSWERS, *ID_TOKEN_ANSWERS])
def test_a_code_that_buys_nothing(name, world, detector, watch, capfd):
    """Whatever goes wrong with the exchange of a code."""
    client = world.client()
    pending, back = world.start(client)
    world.answers["token"] = {**TOKEN_ANSWERS, **ID_TOKEN_ANSWERS}[name](world)
    error = failure(world.caller.call, client.exchange_code, pending, back)
    check(detector, watch, capfd, error)


@pytest.mark.parametrize("name", [*TOKEN_ANSWERS, *REFRESH_ONLY])
def test_a_refresh_that_fails(name, world, detector, watch, capfd):
    """Whatever goes wrong with a refresh, for the old tokens and the new."""
    client = world.client()
    token = world.old_token(client)
    world.answers["token"] = {**TOKEN_ANSWERS, **REFRESH_ONLY}[name](world)
    check(detector, watch, capfd, failure(world.caller.call, client.refresh, token))


@pytest.mark.parametrize("name", [*TOKEN_ANSWERS][::2])
@pytest.mark.parametrize("flow", ["backend", "assertion"])
def test_a_backend_token_that_fails(flow, name, world, detector, watch, capfd):
    """Whatever goes wrong for the client itself: neither secret nor assertion shows."""
    client = world.client(client_auth=ClientSecret(SECRETS["client_secret"]))
    world.answers["token"] = TOKEN_ANSWERS[name](world)
    if flow == "backend":
        error = failure(world.caller.call, client.backend_token)
    else:
        error = failure(world.caller.call, client.jwt_bearer_token, assertion=SECRETS["bearer_assertion"])
    check(detector, watch, capfd, error)


ENDPOINTS = {
    "introspect": lambda c, t, r: (c.introspect, t),
    "revoke": lambda c, t, r: (c.revoke, t),
    "register": lambda c, t, r: (c.register, ClientMetadata(client_name="x")),
    "read": lambda c, t, r: (c.read_registration, r),
    "update": lambda c, t, r: (c.update_registration, r, ClientMetadata(client_name="x")),
    "delete": lambda c, t, r: (c.delete_registration, r),
}
ENDPOINT_ANSWERS = ("connection reset", "redirect", "server error", "unauthorized", "echo as text", "cut")


@pytest.mark.parametrize("name", ENDPOINT_ANSWERS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_other_endpoints_that_fail(endpoint, name, world, detector, watch, capfd):
    """Introspection, revocation and registration, refused or broken."""
    client = world.client(client_auth=ClientSecret(SECRETS["client_secret"]))
    token = world.old_token(client)
    metadata = ClientMetadata(redirect_uris=["https://app.example.com/callback"])
    made = world.caller.call(client.register, metadata)
    answer = TOKEN_ANSWERS[name](world)
    world.answers = dict.fromkeys(("introspect", "revoke", "register", "c1"), answer)
    method, *arguments = ENDPOINTS[endpoint](client, token, made)
    extra = {"initial_access_token": SECRETS["initial_access_token"]} if endpoint == "register" else {}
    if endpoint in ("revoke", "delete") and name == "cut":
        world.caller.call(method, *arguments)  # its answer has no body that matters
        return
    check(detector, watch, capfd, failure(world.caller.call, method, *arguments, **extra))


CALLBACKS = {
    "of another login": lambda p: f"https://app.example.com/callback?code={SECRETS['code']}&state=other",
    "on another path": lambda p: f"https://app.example.com/x?code={SECRETS['code']}&state={p.state}",
    "with a token": lambda p: f"https://app.example.com/callback#access_token={SECRETS['access_token']}",
    "with two codes": lambda p: {"code": [SECRETS["code"]] * 2, "state": p.state},
    "with a code and an error": lambda p: {"code": SECRETS["code"], "state": p.state, "error": "x"},
    "with an odd code": lambda p: {"code": SECRETS["code"] + "\n", "state": p.state},
    "that is a list": lambda p: [SECRETS["code"]],
    "that is bytes": lambda p: SECRETS["code"].encode(),
    "with a refusal": lambda p: {"error": "access_denied", "state": p.state, "error_uri": "https://x"},
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_that_are_refused(name, world, detector, watch, capfd):
    """The facade's own frame is one that reporters show, too."""
    client = world.client()
    pending, _ = world.start(client)
    callback = CALLBACKS[name](pending)
    for given in (pending, replace(pending, binding=replace(pending.binding, client_id="c2")), None):
        error = failure(world.caller.call, client.exchange_code, given, callback)
        check(detector, watch, capfd, error)


def pem(world):
    return world.key.private_pem()


REFUSALS = {
    "token of another client": lambda w, c, t: (
        c.refresh,
        replace(t, binding=replace(t.binding, client_id="c2")),
    ),
    "token without refresh token": lambda w, c, t: (c.refresh, replace(t, refresh_token=None)),
    "more scope": lambda w, c, t: (lambda: c.refresh(t, scope="system/*.rs"),),
    "two grants": lambda w, c, t: (
        lambda: c.jwt_bearer_token(key=w.key, assertion=SECRETS["bearer_assertion"]),
    ),
    "an assertion with a blank": lambda w, c, t: (
        lambda: c.jwt_bearer_token(assertion=SECRETS["bearer_assertion"] + " "),
    ),
    "an assertion of another type": lambda w, c, t: (
        lambda: c.jwt_bearer_token(assertion=[SECRETS["bearer_assertion"]]),
    ),
    "an initial token with a blank": lambda w, c, t: (
        lambda: c.register(ClientMetadata(), initial_access_token=SECRETS["initial_access_token"] + " "),
    ),
    "an initial token in a list": lambda w, c, t: (
        lambda: c.register(ClientMetadata(), initial_access_token=[SECRETS["initial_access_token"]]),
    ),
    "metadata that is none": lambda w, c, t: (
        lambda: c.register({}, initial_access_token=SECRETS["initial_access_token"]),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_before_it_is_sent(name, world, detector, watch, capfd):
    """Mistakes of the caller's, with something secret in the arguments."""
    client = world.client()
    token = world.old_token(client)
    method, *arguments = REFUSALS[name](world, client, token)
    check(detector, watch, capfd, failure(world.caller.call, method, *arguments))


STORED = {
    "token": (Token, lambda w, t, p, r: t.to_json()),
    "pending": (PendingAuthorization, lambda w, t, p, r: p.to_json()),
    "registration": (ClientRegistration, lambda w, t, p, r: r.to_json()),
}


@pytest.mark.parametrize("damage", ["cut", "version", "type", "member", "list", "bytes"])
@pytest.mark.parametrize("kind", STORED)
def test_stored_things_that_are_damaged(kind, damage, world, detector, watch, capfd):
    """What is stored is plain text, and an error about it shows none of it."""
    client = world.client()
    token = world.old_token(client)
    pending, _ = world.start(client)
    made = world.caller.call(client.register, ClientMetadata(redirect_uris=["https://app.example.com/cb"]))
    cls, make = STORED[kind]
    text = make(world, token, pending, made)
    members = json.loads(text)
    broken = {
        "cut": text[:-1],
        "version": json.dumps({**members, "version": 99}),
        "type": json.dumps({**members, "type": "x"}),
        "member": json.dumps({**members, "fhir_base": 5, "response": [1], "code_verifier": None}),
        "list": json.dumps([members]),
        "bytes": text.encode()[:-1] + b"\xff}",
    }[damage]
    with pytest.raises(SmartError) as caught:
        cls.from_json(broken)
    check(detector, watch, capfd, caught.value)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_the_apps_own_fhir_client(library, servers, detector, tmp_path):
    """A FHIR client logs its searches, patients' names included, until the filter is put on."""
    client = pytest.importorskip(library)
    server = servers.honest(b"{}", headers=(f"Location: /next?code={SECRETS['code']}",))
    for filters, expected in (([], {"patient", "code"}), ([UrlLogFilter()], set())):
        with Watch(tmp_path, filters) as watch:
            client.get(f"{server.url}/r4/Patient?name={SECRETS['patient']}", trust_env=False)
        assert f"{library} HTTP Request" in watch.logged
        assert detector.found(watch.logged) == expected


# ------------------------------------------------------------------------------ keys, environment, CLI


@pytest.fixture(scope="module")
def key():
    return SigningKey.generate("ES384", kid="k")


KEYS = {
    "PEM, empty kid": lambda key: lambda: SigningKey.from_pem(key.private_pem(), kid=""),
    "PEM, wrong algorithm": lambda key: lambda: SigningKey.from_pem(key.private_pem(), algorithm="RS384"),
    "PEM, damaged": lambda key: lambda: SigningKey.from_pem(key.private_pem().replace(b"M", b"N", 1)),
    "PEM, cut": lambda key: lambda: SigningKey.from_pem(key.private_pem()[:-40]),
    "PEM, twice": lambda key: lambda: SigningKey.from_pem(key.private_pem() * 2),
    "PEM as JWK": lambda key: lambda: SigningKey.from_jwk(key.private_pem()),
    "PEM as PKCS 12": lambda key: lambda: SigningKey.from_pkcs12(key.private_pem(), passphrase="x"),
    "bytes, cut": lambda key: lambda: SigningKey.from_bytes(key.private_pem()[:-60]),
    "bytes, a JWK set": lambda key: (
        lambda: SigningKey.from_bytes(json.dumps({"keys": [jwk(key)] * 2}).encode())
    ),
    "JWK, wrong algorithm": lambda key: lambda: SigningKey.from_jwk(jwk(key), algorithm="ES256"),
    "JWK, wrong curve": lambda key: lambda: SigningKey.from_jwk({**jwk(key), "crv": "P-256"}),
    "JWK, no number": lambda key: lambda: SigningKey.from_jwk({**jwk(key), "x": 5}),
    "JWK, foreign number": lambda key: lambda: SigningKey.from_jwk({**jwk(key), "x": jwk(key)["y"]}),
    "JWK, text": lambda key: lambda: SigningKey.from_jwk(json.dumps(jwk(key))[:-1]),
    "JWK set": lambda key: lambda: SigningKey.from_jwks({"keys": [jwk(key)]}, kid="other"),
    "an encrypted PEM": lambda key: (
        lambda: SigningKey.from_pem(
            key.private_pem(SECRETS["passphrase"]), passphrase=SECRETS["passphrase"] + "x"
        )
    ),
    "a passphrase in a list": lambda key: (
        lambda: SigningKey.from_pem(key.private_pem(), passphrase=[SECRETS["passphrase"]])
    ),
    "a secret with a line break": lambda key: lambda: ClientSecret(SECRETS["client_secret"] + "\n"),
    "a secret of another type": lambda key: lambda: ClientSecret([SECRETS["client_secret"]]),
    "a key in the place of a signer": lambda key: lambda: PrivateKeyJWT(key.private_pem()),
    "a key where a path is expected": lambda key: lambda: load_signing_key(key.private_pem()),
    "a secret without https": lambda key: (
        lambda: SmartConfig(
            fhir_base="http://ehr.example.com",
            client_id="c",
            client_auth=ClientSecret(SECRETS["client_secret"]),
        )
    ),
    "a URL with a password": lambda key: (
        lambda: SmartConfig(
            fhir_base=f"https://user:{SECRETS['passphrase']}@ehr.example.com/r4",
            client_id="c",
            client_auth=PublicClient(),
        )
    ),
}


def jwk(key):
    """The private JWK of *key*."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(key.private_pem(), None).private_numbers().private_value
    from smart_async.keys import b64url_encode

    return {**key.public_jwk(), "d": b64url_encode(private.to_bytes(48, "big"))}


@pytest.mark.parametrize("name", KEYS)
def test_keys_and_secrets_that_are_refused(name, key, detector, watch, capfd):
    """Key text, private numbers, passphrases and client secrets, in whatever form they were given."""
    lines = key.private_pem().decode().splitlines()
    detector.add(**{f"line {number}": line for number, line in enumerate(lines[1:-1])}, d=jwk(key)["d"])
    with pytest.raises(SmartError) as caught:
        KEYS[name](key)()
    check(detector, watch, capfd, caught.value)


ENVIRONMENTS = {
    "both": {"SMART_CLIENT_SECRET": SECRETS["client_secret"], "SMART_PRIVATE_KEY_PATH": "/nowhere"},
    "no base": {"FHIR_BASE_URL": "", "SMART_CLIENT_SECRET": SECRETS["client_secret"]},
    "no client id": {"SMART_CLIENT_ID": " ", "SMART_CLIENT_SECRET": SECRETS["client_secret"]},
    "a bad base": {"FHIR_BASE_URL": "http://x.example", "SMART_CLIENT_SECRET": SECRETS["client_secret"]},
    "a bad secret": {"SMART_CLIENT_SECRET": SECRETS["client_secret"] + "\x00x"},
    "no key": {"SMART_PRIVATE_KEY_PATH": "/nowhere", "SMART_KEY_PASSPHRASE": SECRETS["passphrase"]},
}


@pytest.mark.parametrize("source", ["given", "environ"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_that_are_refused(name, source, detector, watch, capfd, monkeypatch):
    """The environment is full of secrets, and an error about one variable shows none of the others."""
    values = {"FHIR_BASE_URL": "https://ehr.example.com", "SMART_CLIENT_ID": "c", **ENVIRONMENTS[name]}
    for variable in [variable for variable in os.environ if variable.startswith(("SMART_", "FHIR_"))]:
        monkeypatch.delenv(variable)
    if source == "environ":
        values = {variable: value.replace("\x00", "\x01") for variable, value in values.items()}
        for variable, value in values.items():
            monkeypatch.setenv(variable, value)
    with pytest.raises(SmartError) as caught:
        config_from_env(values if source == "given" else None)
    check(detector, watch, capfd, caught.value)


@pytest.mark.parametrize("options", [{"proxy": "http://user:{}@127.0.0.1:1"}, {"proxy": "ftp://user:{}@x"}])
def test_the_password_of_a_proxy(options, world, detector, watch, capfd):
    """Neither a proxy that is down nor one that cannot be a proxy shows how it was to be opened."""
    options = {name: value.format(SECRETS["passphrase"]) for name, value in options.items()}

    def use():
        transport = world.caller.open(**options)
        config = replace(world.config, fhir_base="https://ehr.example.com/r4")
        client = world.caller.client(config, transport=transport)
        return world.caller.call(client.discover)

    with pytest.raises(SmartError) as caught:
        use()
    check(detector, watch, capfd, caught.value)


def command_lines(pid: int) -> str:
    """The command lines of a process and its children, as `ps` shows them."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True)
    return found.stdout


@pytest.mark.skipif(not Path("/proc").exists(), reason="command lines are read from /proc")
def test_command_lines(servers, provider, detector, tmp_path, key):
    """A running command shows no secret to others on the machine, and none in what it prints on failure."""
    pytest.importorskip("typer")
    path = tmp_path / "key.pem"
    write_private_key(path, key, passphrase=SECRETS["passphrase"])
    lines = path.read_text().splitlines()
    detector.add(
        line=lines[2], **{f"plain {n}": x for n, x in enumerate(key.private_pem().decode().split()[3:-3])}
    )
    seen: list[str] = []

    def behave(connection) -> None:
        # While the command waits for its answer everybody may look.
        if connection.read_request():
            seen.append(command_lines(0))
            connection.reply(b'{"error":"x"}', status="500 X")

    server = servers.start(behave)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "smart_async", "token", "--fhir-base", f"{server.url}/r4"),
            *("--allow-insecure-loopback", "--client-id", "c", "--key", str(path), "--kid", "k"),
        ],
        env={**os.environ, "SMART_KEY_PASSPHRASE": SECRETS["passphrase"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert any("smart_async token" in text for text in seen), done.stderr
    assert detector.found("".join(seen)) == set()
    assert detector.found(done.stdout + done.stderr) == set()
