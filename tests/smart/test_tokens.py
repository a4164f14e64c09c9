"""The token: what it says of itself, and its way through JSON and back."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import pytest

from smart_async import ConfigurationError, Secret, Token
from smart_async.messages import Finding
from smart_async.smart.token_response import parse_token_response
from smart_async.smart.tokens import is_token

NOW = 1_750_000_000.0


@pytest.fixture
def token(token_document, json_response, binding) -> Token:
    """A token with everything that a server can send."""
    return parse(token_document, json_response, binding)


def parse(document, json_response, binding, **arguments) -> Token:
    response = dataclasses.replace(json_response(document), received_at=NOW)
    return parse_token_response(response, binding=binding, requested_scope="openid", **arguments)


@pytest.fixture
def stored(token) -> dict:
    """The token's JSON, parsed, to break one thing in it."""
    return json.loads(token.to_json())


def test_round_trip_keeps_everything(token):
    """What was stored is what comes back, tokens, context, findings and unknown members included."""
    assert Token.from_json(token.to_json()) == token
    assert Token.from_json(token.to_json().encode()) == token
    assert Token.from_json(token.to_json()).access_token.reveal() == "opaque-7Fq2-access"


def test_round_trip_keeps_what_is_missing(json_response, binding):
    """No expiry, no refresh token, no context and findings about all that survive as well."""
    token = parse({"access_token": "at", "patient": "Patient/p1"}, json_response, binding)
    assert (token.expires_at, token.refresh_token, len(token.findings)) == (None, None, 4)
    assert Token.from_json(token.to_json()) == token


def test_round_trip_of_a_replaced_token(token):
    """A refresh token taken away stays away, though the answer held one."""
    bare = dataclasses.replace(token, refresh_token=None)
    assert Token.from_json(bare.to_json()) == bare


def test_round_trip_of_the_largest_answer(token_document, json_response, binding):
    """An answer at the limit is longer once it is stored, and is read all the same."""
    nested: object = "x"
    for _ in range(30):
        nested = [nested]
    token_document |= {"deep": nested, "many": list(range(9_900)), "wide": "ü" * 60_000, "also": "ü" * 30_000}
    body = json.dumps(token_document, ensure_ascii=False).encode()
    response = dataclasses.replace(json_response(None, body=body), received_at=NOW)
    token = parse_token_response(response, binding=binding, requested_scope="openid")
    assert len(token.to_json()) > 512 * 1024
    assert Token.from_json(token.to_json()) == token


def test_json_says_where_it_belongs(stored, binding):
    """The stored form carries a version, the server and the client, so that it goes back only there."""
    assert (stored["version"], stored["type"]) == (1, "token")
    assert {name: stored[name] for name in binding.to_members()} == binding.to_members()


TAMPERED = {
    "version": [None, 0, 2, "1"],
    "type": [None, "pending", 1],
    "fhir_base": [None, 5, ["https://ehr.example.com/r4"]],
    "client_id": [None, 5],
    "issuer": [5, {}],
    "token_endpoint": [None, 5],
    "issued_at": [None, "1750000000", "nan", True, []],
    "expires_at": ["1750001800", "Infinity", True, [], {}],
    "refresh_token": [5, "", "a\r\nX: y", "tökén", "a b", "x" * 16_385, ["rt"]],
    "scope": [None, 5, ["openid"], 'a"b', "a\nb"],
    "launch_scope": [None, 5, ["openid"], "a\\b"],
    "context": [None, [], "p-3307", {}],
    "findings": [None, 5, ["x"], [["r", "warning", "m"]], [["r", "fatal", "m", "a"]], [["r", 1, "m", "a"]]],
    "response": [None, [], "x", [["access_token", "at"]], {}],
}


@pytest.mark.parametrize(
    ("member", "value"), [(member, value) for member, values in TAMPERED.items() for value in values]
)
def test_tampered_member_is_refused(stored, member, value):
    """A member of another kind than `to_json` writes makes the whole thing unusable."""
    stored[member] = value
    with pytest.raises(ConfigurationError, match="not a token that this version"):
        Token.from_json(json.dumps(stored))


@pytest.mark.parametrize("member", sorted(TAMPERED))
def test_missing_member_is_refused(stored, member):
    """Every member is needed."""
    del stored[member]
    with pytest.raises(ConfigurationError):
        Token.from_json(json.dumps(stored))


@pytest.mark.parametrize("value", [None, 5, "", "a\r\nX: y", "tökén", ["at"], "x" * 16_385])
def test_tampered_access_token_is_refused(stored, value):
    """The access token goes into a header: nothing else than visible ASCII comes back from storage."""
    stored["response"]["access_token"] = value
    with pytest.raises(ConfigurationError):
        Token.from_json(json.dumps(stored))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("patient", "../../metadata"),
        ("patient", 5),
        ("patient", ""),
        ("encounter", {"$ne": 1}),
        ("need_patient_banner", "true"),
        ("need_patient_banner", 0),
        ("smart_style_url", 5),
        ("intent", []),
        ("tenant", {}),
        ("fhirContext", None),
        ("fhirContext", {}),
        ("fhirContext", ["Patient/1"]),
        ("fhirContext", [{}]),
        ("extra", 1),
    ],
)
def test_tampered_context_is_refused(stored, member, value):
    """A context that no server's answer could have led to is not tidied up but refused."""
    stored["context"][member] = value
    with pytest.raises(ConfigurationError):
        Token.from_json(json.dumps(stored))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"token"',
        "NaN",
        "[" * 100,
        b"\xff\xfe",
        "\ud800",
        None,
        5,
        '{"version": 1, "version": 1, "type": "token"}',
    ],
)
def test_what_is_no_stored_token_is_refused(text):
    """Whatever was stored there instead, the error is ours and says what to do."""
    with pytest.raises(ConfigurationError) as caught:
        Token.from_json(text)
    assert caught.value.advice == "Fetch a new token, or start a new login."


def test_a_refusal_keeps_nothing_of_what_was_stored(token):
    """A damaged entry still holds tokens: no variable, cause or context of the error shows them."""
    with pytest.raises(ConfigurationError) as caught:
        Token.from_json(token.to_json()[:-1])
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    found = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = "".join(found.format())
    assert "ConfigurationError" in frames
    for secret in ("opaque-7Fq2", "r-2c44", "p-3307"):
        assert secret not in frames


@pytest.mark.rule("TK-17")
def test_repr_and_str_show_neither_tokens_nor_people(token):
    """A token in a log line says what it is good for, not whose data it opens."""
    shown = f"{token!r} {token} {token.context!r} {token.access_token} {token.refresh_token!r:>60}"
    for secret in ("opaque-7Fq2", "r-2c44", "p-3307", "e-9921"):
        assert secret not in shown
    assert repr(token) == (
        "<Token for growth-chart at https://ehr.example.com/r4, scopes "
        "'openid fhirUser launch/patient patient/*.rs offline_access', "
        "expires_at=1750001800.0, with refresh token>"
    )
    assert repr(dataclasses.replace(token, refresh_token=None)).endswith("no refresh token>")


def test_a_token_is_never_pickled_or_copied(token):
    """Pickle, deepcopy and asdict would all be plain text; `to_json` says so by its name."""
    for leak in (pickle.dumps, copy.deepcopy, dataclasses.asdict):
        with pytest.raises(TypeError):
            leak(token)


def test_raw_keeps_every_member_and_masks_the_tokens(token, token_document):
    """`raw` has all that the server sent, the three tokens as `Secret`."""
    assert set(token.raw) == set(token_document)
    assert token.raw["__nightMode"] is True
    assert (token.raw["access_token"], token.raw["refresh_token"]) == (
        Secret("opaque-7Fq2-access"),
        Secret("r-2c44-refresh"),
    )


@pytest.mark.rule("TK-25")
@pytest.mark.parametrize(("now", "expired"), [(NOW, False), (NOW + 1799.9, False), (NOW + 1800, True)])
def test_expired_at_the_second_that_was_named(token, now, expired):
    """A token stops working at `expires_at`, not after it."""
    assert token.expired(now) is expired


def test_a_token_without_expiry_never_counts_as_expired(token):
    """Where the server did not say, only its 401 tells."""
    assert dataclasses.replace(token, expires_at=None).expired(1e12) is False


def test_identity_is_none_until_it_is_verified(token):
    """An ID token that nobody verified is no identity."""
    assert token.identity is None


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (Secret("a"), True),
        (Secret("x" * 16_384), True),
        (Secret("x" * 16_385), False),
        (Secret(""), False),
        (Secret("a b"), False),
        (Secret("a\n"), False),
        (Secret("é"), False),
        ("a", False),
        (None, False),
    ],
)
def test_is_token(value, good):
    """A token is a secret of visible ASCII, 16 KiB at most."""
    assert is_token(value) is good


def test_findings_survive_with_their_severity(token):
    """A finding comes back as it was, so that its severity can be trusted."""
    noted = dataclasses.replace(
        token, findings=(Finding(rule="TK-13", severity="info", message="m", advice="a"),)
    )
    assert Token.from_json(noted.to_json()).findings == noted.findings
