"""Tokens that are kept between two calls: not asked for twice, renewed in time, forgotten when revoked."""

from __future__ import annotations

import json
import os
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from smart_async import SmartClient, SmartConfig
from smart_async.cli import way
from smart_async.cli.keeping import Kept, default_folder
from smart_async.clients._session import SmartSession
from smart_async.errors import StoreError
from smart_async.files import load_signing_key
from smart_async.keys import public_jwks
from smart_async.sandbox import Sandbox, serve
from smart_async.smart.client_secret import ClientSecret
from smart_async.stores import MemoryStore
from smart_async.transports import ScriptedTransport, json_response

Run = Callable[..., Any]
posix = pytest.mark.skipif(os.name != "posix", reason="a FileStore needs a POSIX system")
pytestmark = posix
REDIRECT = "http://127.0.0.1/callback"


def token_of(done: Any) -> str:
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["access_token"])


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets this client's clock ahead; the sandbox keeps its own."""
    real = time.time

    def ahead(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return ahead


def test_a_second_call_sends_nothing(run: Run, served: Sandbox, registered: SimpleNamespace) -> None:
    """While a token works, the next call prints it again without asking anybody."""
    first = token_of(run("token", *registered.words, "--json"))
    asked = len(served.requests)
    assert (token_of(run("token", *registered.words, "--json")), len(served.requests)) == (first, asked)


def test_people_are_told_that_it_was_kept(
    run: Run, registered: SimpleNamespace, later: Callable[[float], None]
) -> None:
    """A token that is not new says how old it is, and how to get another."""
    first = run("token", *registered.words)
    later(60)
    second = run("token", *registered.words)
    assert ["--fresh gets another" in done.stdout for done in (first, second)] == [False, True]


@pytest.mark.parametrize("option", ["--header", "--export"])
def test_who_pipes_a_token_is_told_that_it_was_kept(
    run: Run, registered: SimpleNamespace, later: Callable[[float], None], option: str
) -> None:
    """The age of a token for curl is said where it does not get into the pipe."""
    first = run("token", *registered.words, option)
    later(60)
    second = run("token", *registered.words, option)
    assert (first.stdout, "kept" in first.stderr) == (second.stdout, False)
    assert "This token was kept for 60 s; --fresh gets another." in " ".join(second.stderr.split())


def test_a_process_of_its_own_finds_it_too(
    script: Callable[..., Any], served: Sandbox, registered: SimpleNamespace
) -> None:
    """The token outlives the process, and only its owner can get at it."""
    first, second = (script("token", *registered.words, "--header") for _ in range(2))
    folder = default_folder()
    modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert (first.returncode, first.stdout, first.stderr) == (0, second.stdout, "")
    assert (folder.stat().st_mode & 0o777, modes) == (0o700, {0o600})


@pytest.mark.parametrize("option", ["--fresh", "--no-store"])
def test_another_token_can_be_had(run: Run, registered: SimpleNamespace, option: str) -> None:
    """--fresh replaces the token that is kept, and --no-store neither looks nor keeps."""
    first = token_of(run("token", *registered.words, "--json"))
    other = token_of(run("token", *registered.words, "--json", option))
    kept = token_of(run("token", *registered.words, "--json"))
    assert (other != first, kept == other) == (True, option == "--fresh")


def test_nothing_is_written_without_a_store(run: Run, registered: SimpleNamespace) -> None:
    """--no-store leaves no trace."""
    token_of(run("token", *registered.words, "--json", "--no-store"))
    assert not default_folder().exists()


def test_other_scopes_are_another_token(run: Run, served: Sandbox, registered: SimpleNamespace) -> None:
    """What was asked for decides, whatever the order of the scopes."""

    def ask(scope: str) -> tuple[str, int]:
        return token_of(run("token", *registered.words, "--json", "--scope", scope)), len(served.requests)

    one = ask("system/Patient.rs system/Observation.rs")
    same = ask("system/Observation.rs  system/Patient.rs")
    other = ask("system/*.rs")
    assert (same, other[0] == one[0]) == (one, False)


def test_an_expired_token_is_fetched_again(
    run: Run, registered: SimpleNamespace, later: Callable[[float], None]
) -> None:
    """A token of yesterday is replaced, and the new one kept in its place."""
    key = load_signing_key(registered.path, kid="cli-key")
    # A clock that goes ahead with the client's: assertions from the future would be refused.
    with serve(Sandbox(clock=lambda: time.time())) as sandbox:
        sandbox.register_client(client_id="cli-app", jwks=public_jwks([key]))
        words = [*registered.words, "--fhir-base", sandbox.fhir_base, "--json"]
        first = token_of(run("token", *words))
        later(86_400)
        second = token_of(run("token", *words))
        assert (second != first, token_of(run("token", *words)) == second) == (True, True)


def test_a_folder_of_your_own(run: Run, registered: SimpleNamespace, tmp_path: Path) -> None:
    """--store, or SMART_TOKEN_STORE, names another folder."""
    folder = tmp_path / "tokens"
    first = token_of(run("token", *registered.words, "--json", "--store", folder))
    again = run("token", *registered.words, "--json", env={"SMART_TOKEN_STORE": str(folder)})
    assert (token_of(again), default_folder().exists()) == (first, False)


def test_a_folder_that_others_can_enter_is_refused(
    run: Run, registered: SimpleNamespace, tmp_path: Path
) -> None:
    """A folder that was named has to be safe, or nothing is sent."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    done = run("token", *registered.words, "--store", folder)
    assert (done.exit_code, str(folder) in done.stderr, done.stdout) == (2, True, "")


def test_without_a_home_a_token_comes_all_the_same(
    run: Run, registered: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the user's own folder cannot be made, that is said, and nothing is kept."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    done = run("token", *registered.words, "--json")
    findings = json.loads(done.stdout)["findings"]
    assert (done.exit_code, [finding["rule"] for finding in findings]) == (0, ["token-store"])


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_STATE_HOME counts if it is absolute; otherwise it is under the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_folder() == tmp_path / ".local" / "state" / "smart-async" / "tokens"


def scripted(monkeypatch: pytest.MonkeyPatch, *tokens: dict[str, Any]) -> None:
    document = json_response({"token_endpoint": "https://ehr.example.com/token"})
    answers = [answer for token in tokens for answer in (document, json_response(token))]
    transport = ScriptedTransport(*answers)
    monkeypatch.setattr(way, "open_transport", lambda *_, **__: transport)


def test_a_token_without_an_end_is_not_trusted(
    run: Run, registered: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server does not say how long a token lives, the next call fetches another."""
    scripted(monkeypatch, *({"access_token": name, "token_type": "Bearer"} for name in ("one", "two")))
    base = ["--fhir-base", "https://ehr.example.com/r4", "--client-id", "app", "--key", registered.path]
    assert [token_of(run("token", *base, "--json")) for _ in range(2)] == ["one", "two"]


class User:
    """The sandbox with a public client, and a browser that signs in when it is opened."""

    def __init__(self, run: Run, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run, self.sandbox, self.opened = run, sandbox, 0
        monkeypatch.setattr(webbrowser, "open", self.open)
        base = ["--fhir-base", sandbox.fhir_base, "--allow-insecure-loopback", "--client-id", "person"]
        self.words = [*base, "--scope", "launch/patient patient/Patient.rs offline_access"]

    def open(self, url: str) -> bool:
        self.opened += 1
        # The port is free each time; the sandbox compares redirect URIs as text, as servers do.
        uri = httpx.URL(url).params["redirect_uri"]
        self.sandbox.register_client(client_id="person", redirect_uris=[uri])
        back = httpx.get(url).headers["location"]
        return httpx.get(back).status_code == 200

    def login(self, *words: str) -> Any:
        return self.run("login", *self.words, "--json", *words)


@pytest.fixture
def user(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    with serve(Sandbox(access_token_lifetime=600)) as sandbox:
        yield User(run, sandbox, monkeypatch)


def test_a_login_is_kept_and_renewed(user: User, later: Callable[[float], None]) -> None:
    """The second call sends nothing, and the third, after the token's end, needs no browser."""
    first = user.login()
    asked = len(user.sandbox.requests)
    second = user.login()
    assert (token_of(second), len(user.sandbox.requests), user.opened) == (token_of(first), asked, 1)
    later(1200)
    third = user.login()
    assert (token_of(third) != token_of(first), user.opened) == (True, 1)
    assert json.loads(third.stdout)["patient"] == "patient-amber"
    assert token_of(user.login()) == token_of(third)


def test_a_login_that_has_ended_begins_anew(user: User, later: Callable[[float], None]) -> None:
    """Where the server renews no longer, the user is told and signs in again."""
    first = token_of(user.login())
    user.sandbox.revoke_tokens()
    later(1200)
    done = user.login()
    assert (token_of(done) != first, user.opened) == (True, 2)
    assert "sign in again" in done.stderr


def test_a_fresh_login_takes_the_place_of_the_other(user: User) -> None:
    """--fresh opens the browser although a token is kept."""
    first, second, third = (token_of(user.login(*words)) for words in ((), ("--fresh",), ()))
    assert (second != first, third == second, user.opened) == (True, True, 2)


def test_a_login_without_a_store_is_for_once(user: User) -> None:
    """--no-store signs in each time."""
    assert token_of(user.login("--no-store")) != token_of(user.login("--no-store"))
    assert user.opened == 2


def test_a_kept_token_is_asked_about_and_revoked(
    run: Run, served: Sandbox, registered: SimpleNamespace
) -> None:
    """Introspect and revoke find it by themselves, and afterwards it is given out no more."""
    first = token_of(run("token", *registered.words, "--json"))
    for words in ([], ["--stored"], ["--token-file", "-"]):
        given = first if words[:1] == ["--token-file"] else ""
        done = run("introspect", *registered.words, *words, "--json", input=given)
        assert (done.exit_code, json.loads(done.stdout)["active"], first in done.output) == (0, True, False)
    revoked = run("revoke", *registered.words, "--stored", "--json")
    assert json.loads(revoked.stdout)["revoked"]
    assert token_of(run("token", *registered.words, "--json")) != first


def test_a_token_revoked_by_hand_is_forgotten_too(run: Run, registered: SimpleNamespace) -> None:
    """A token that is piped into revoke is not given out again either."""
    first = token_of(run("token", *registered.words, "--json"))
    assert run("revoke", *registered.words, input=first).exit_code == 0
    assert token_of(run("token", *registered.words, "--json")) != first


def test_of_several_kept_tokens_one_is_named(run: Run, registered: SimpleNamespace) -> None:
    """Where there is a choice it is asked for, and --scope makes it."""
    for scope in ("system/Patient.rs", "system/Observation.rs"):
        token_of(run("token", *registered.words, "--json", "--scope", scope))
    unclear = run("introspect", *registered.words, "--stored")
    clear = run("introspect", *registered.words, "--stored", "--scope", "system/Patient.rs", "--json")
    none = run("introspect", *registered.words, "--stored", "--scope", "system/Device.rs")
    assert (unclear.exit_code, "--scope" in unclear.stderr, "system/Observation.rs" in unclear.stderr) == (
        2,
        True,
        True,
    )
    assert (json.loads(clear.stdout)["scope"], none.exit_code) == ("system/Patient.rs", 2)


@pytest.mark.parametrize("words", [["--no-store"], ["--stored"], ["--no-store", "--stored"]])
def test_where_nothing_is_kept_nothing_is_found(
    run: Run, registered: SimpleNamespace, words: list[str]
) -> None:
    """Without a token anywhere that is your input."""
    done = run("revoke", *registered.words, *words)
    assert (done.exit_code, "none is kept" in done.stderr) == (2, True)


CONFIG = SmartConfig(
    fhir_base="https://ehr.example.com/r4",
    client_id="app",
    client_auth=ClientSecret("s"),
    scope="system/*.rs",
)
ISSUED = {"access_token": "t", "token_type": "Bearer", "expires_in": 300}


@pytest.fixture
def client() -> SmartClient:
    document = json_response({"token_endpoint": "https://ehr.example.com/token"})
    return SmartClient(
        CONFIG, transport=ScriptedTransport(document, json_response(ISSUED)), store=MemoryStore()
    )


def kept(client: SmartClient, store: MemoryStore) -> Kept:
    return Kept(store, client.config)


def key_of(session: SmartSession | None) -> str | None:
    return session and session.key


def test_a_session_that_is_gone_is_forgotten(client: SmartClient) -> None:
    """An entry whose session was deleted leads nowhere, once."""
    store = MemoryStore()
    session = client.backend_session("system/*.rs")
    kept(client, store).keep("token", "system/*.rs", session)  # without a token there is nothing to find
    assert kept(client, store).find(client, "token", "system/*.rs") is None
    session.get_token()
    kept(client, store).keep("token", "system/*.rs", session)
    assert key_of(kept(client, store).find(client, "token", "system/*.rs")) == session.key
    session.delete()
    assert kept(client, store).find(client, "token", "system/*.rs") is None
    assert kept(client, store).tokens(client, None) == []


@pytest.mark.parametrize(
    "data",
    [b"nonsense", b"[]", b'{"version": 2, "sessions": {"token a": "x"}}', b'{"version": 1, "sessions": []}'],
)
def test_an_entry_of_another_kind_is_written_anew(client: SmartClient, data: bytes) -> None:
    """What cannot be read counts as empty, and is replaced."""
    store = MemoryStore()
    one = kept(client, store)
    store.save(one._entry, data, expected=None)
    assert one.find(client, "token", "a") is None
    session = client.backend_session("system/*.rs")
    session.get_token()
    one.keep("token", "a", session)
    assert key_of(one.find(client, "token", "a")) == session.key


class Contended(MemoryStore):
    """A store in which somebody else is quicker, a number of times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def save(self, key: str, data: bytes, *, expected: str | None, lease: Any = None) -> str | None:
        self.times -= 1
        return None if self.times >= 0 else super().save(key, data, expected=expected, lease=lease)


def test_two_calls_at_once_lose_nothing(client: SmartClient) -> None:
    """A call that finds the entry changed reads it again; after too many times it says so."""
    session = client.backend_session("system/*.rs")
    session.get_token()
    busy = kept(client, Contended(2))
    busy.keep("token", "a", session)
    assert key_of(busy.find(client, "token", "a")) == session.key
    with pytest.raises(StoreError, match="again and again"):
        kept(client, Contended(99)).keep("token", "a", session)
