"""The stored record: whose it is, what is in it, and what is never taken for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from smart_async import Scopes, Secret, StoreError
from smart_async.smart.binding import Binding
from smart_async.smart.refresh import refresh
from smart_async.smart.sessions.record import Intent, Record, SessionId, fingerprint, read_record

INTENT = Intent(id="i-1", started_at=1_750_000_000.5, fingerprint="f" * 64, attempts=2)


@pytest.fixture
def identity(login) -> SessionId:
    """The identity of the login."""
    return SessionId.of_login(login)


@pytest.fixture
def record(identity, login) -> Record:
    """A record with something in every place."""
    candidate = replace(login, access_token=Secret("at-2"), issued_at=login.issued_at + 9)
    return Record(id=identity, token=login, intent=INTENT, candidate=candidate, ended="invalid_grant")


def changed(record, **changes):
    """The stored bytes with some members changed; `...` leaves one out."""
    members = {**json.loads(record.to_json()), **changes}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


def test_there_and_back(record, identity):
    """What was stored is what is read, the candidate's tokens included."""
    read = read_record(record.to_json(), identity.key)
    assert (read.id, read.intent, read.ended) == (identity, INTENT, "invalid_grant")
    assert [token.to_json() for token in (read.token, read.candidate)] == [
        token.to_json() for token in (record.token, record.candidate)
    ]
    assert read.token.raw == record.token.raw


def test_an_empty_record(identity):
    """A record without a token is one, too."""
    read = read_record(Record(id=identity).to_json(), identity.key)
    assert (read, read.newest) == (Record(id=identity), 0.0)


def test_newest(record, login):
    """The candidate may be newer than the token, or older."""
    assert record.newest == login.issued_at + 9
    assert replace(record, candidate=None).newest == login.issued_at
    older = replace(login, issued_at=login.issued_at - 9)
    assert replace(record, candidate=older).newest == login.issued_at


def test_nothing_is_shown(record):
    """No text shows a token, a patient or the bytes of either."""
    text = f"{record!r} {record}"
    for secret in ("at-1", "at-2", "r-1", "p-3307"):
        assert secret not in text


def test_names_that_are_kept():
    """What a release stored is found by the next one: neither the key nor the mark of a token changes."""
    binding = Binding(
        fhir_base="https://ehr.example.com/r4",
        client_id="c-1",
        issuer=None,
        token_endpoint="https://sso.example.com/t",
    )
    parts = ("1", "user", "", binding.token_endpoint, "c-1", binding.fhir_base, "u-1", "a b", "")
    text = "".join(f"{len(part)}:{part}" for part in parts)
    identity = SessionId(kind="user", binding=binding, subject="u-1", scope=("a", "b"))
    assert identity.key == f"user-{hashlib.sha256(text.encode()).hexdigest()}"
    assert fingerprint(Secret("r-1")) == hashlib.sha256(b"smart-async intent\0r-1").hexdigest()


def test_the_key_is_an_opaque_name(identity, login):
    """It tells the kind and nothing else, and is the same for the same scopes in any order."""
    assert identity.key.startswith("user-")
    assert len(identity.key) == len("user-") + 64
    reversed_ = " ".join(reversed(str(login.launch_scopes).split()))
    assert SessionId.of_login(replace(login, launch_scopes=Scopes(reversed_))).key == identity.key
    narrowed = replace(login, scopes=Scopes("patient/Patient.r"))  # by a refresh: it is the same login
    assert SessionId.of_login(narrowed).key == identity.key


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "backend"},
        {"subject": "another"},
        {"scope": ("patient/*.rs",)},
        {"resource": "https://ehr.example.com/other"},
    ],
)
def test_whatever_differs_makes_another_key(identity, change):
    """Two tokens that differ in anything have two keys."""
    assert replace(identity, **change).key != identity.key


@pytest.mark.parametrize("name", ["issuer", "token_endpoint", "client_id", "fhir_base"])
def test_another_registration_has_another_key(identity, name):
    """So do two clients, two servers, and two tenants of one server."""
    other = replace(identity.binding, **{name: f"{getattr(identity.binding, name)}x"})
    assert replace(identity, binding=other).key != identity.key


def test_a_boundary_cannot_move(identity):
    """("ab", "c") and ("a", "bc") are two keys."""
    binding = replace(identity.binding, client_id="ab", fhir_base="c")
    moved = replace(identity.binding, client_id="a", fhir_base="bc")
    assert replace(identity, binding=binding).key != replace(identity, binding=moved).key
    whole, split = replace(identity, scope=("a b",)), replace(identity, scope=("a",), resource="b")
    assert whole.key != split.key


def test_a_backend_session(binding):
    """Its scopes make it, each once and sorted; there is no subject, and the issuer may be unknown."""
    one = SessionId.of_backend(binding, Scopes("system/Patient.rs system/Encounter.rs"))
    other = SessionId.of_backend(binding, Scopes("system/Encounter.rs system/Patient.rs"))
    assert (one.key, one.subject, one.kind) == (other.key, "", "backend")
    assert one.scope == ("system/Encounter.rs", "system/Patient.rs")
    assert read_record(Record(id=one).to_json(), one.key) == Record(id=one)
    unnamed = replace(binding, issuer=None)
    assert SessionId.of_backend(unnamed, Scopes("system/Patient.rs")).key != one.key


def test_a_login_keeps_its_identity(script, known_state, login, refreshed):
    """A token that was refreshed is of the same session as the one it came from."""
    script.answer(refreshed(2))
    second = script.run(refresh(known_state, login))
    assert SessionId.of_login(second) == SessionId.of_login(login)


def test_a_record_under_another_key(record, identity):
    """A record that somebody copied is refused: one user's token would be another's."""
    key = replace(identity, subject="another").key
    with pytest.raises(StoreError, match="belongs to another") as caught:
        read_record(record.to_json(), key)
    assert "at-1" not in str(caught.value)


def token_with(record, **changes):
    return {**json.loads(record.to_json())["token"], **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "1"},
        {"type": "token"},
        {"kind": "nobody"},
        {"subject": None},
        {"scope": [1]},
        {"scope": None},
        {"resource": ...},
        {"issuer": 5},
        {"token": {}},
        {"token": "at-1"},
        {"candidate": ...},
        {"ended": 5},
        {"ended": ...},
        {"intent": "yes"},
        {"intent": []},
        {"intent": {}},
        {"intent": {"id": "i", "started_at": True, "fingerprint": "f", "attempts": 1}},
        {"intent": {"id": "i", "started_at": "1", "fingerprint": "f", "attempts": 1}},
        {"intent": {"id": "i", "started_at": 1, "fingerprint": None, "attempts": 1}},
        {"intent": {"id": None, "started_at": 1, "fingerprint": "f", "attempts": 1}},
        {"intent": {"id": "i", "started_at": 1, "fingerprint": "f", "attempts": True}},
        {"intent": {"id": "i", "started_at": 1, "fingerprint": "f", "attempts": 0}},
        {"intent": {"id": "i", "started_at": 1, "fingerprint": "f", "attempts": 1.0}},
    ],
)
def test_what_was_never_stored(record, identity, changes):
    """A member that is missing, of another type or of another version makes it no record."""
    with pytest.raises(StoreError, match="not written by this version"):
        read_record(changed(record, **changes), identity.key)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b'{"version": 1, "version": 1}', b"[" * 100])
def test_what_is_no_json(identity, data):
    """Bytes of any kind are a typed error."""
    with pytest.raises(StoreError, match="delete it and sign in again"):
        read_record(data, identity.key)


@pytest.mark.parametrize("place", ["token", "candidate"])
@pytest.mark.parametrize(
    "change",
    [{"client_id": "other-app"}, {"fhir_base": "https://ehr.example.com/r5"}],
    ids=["client", "base"],
)
def test_a_token_of_another_registration(record, identity, place, change):
    """A token that was slipped into somebody else's record is refused."""
    with pytest.raises(StoreError):
        read_record(changed(record, **{place: token_with(record, **change)}), identity.key)


def test_a_slash_makes_no_other_registration(record, identity):
    """As everywhere, one slash at the end of the base is nothing."""
    token = token_with(record, fhir_base=f"{identity.binding.fhir_base}/")
    assert read_record(changed(record, token=token), identity.key).token is not None


def test_a_fingerprint_tells_and_does_not_say():
    """Two refresh tokens have two fingerprints; neither can be read from its own."""
    one, other = fingerprint(Secret("r-1")), fingerprint(Secret("r-2"))
    assert (len(one), one == other, one == fingerprint(Secret("r-1"))) == (64, False, True)
    assert "r-1" not in one
