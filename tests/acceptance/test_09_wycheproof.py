"""Acceptance 9: Project Wycheproof's vectors through the public verifier; T31, T36, T32, T28."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smart_async import ConfigurationError, ProtocolError, SigningKey
from smart_async.keys import ALGORITHMS, parse_jwks, verify_jws

FOLDER = Path(__file__).parents[1] / "vectors" / "wycheproof"
FILES = {"signature": 401, "key": 26, "crypto": 83}
DEVIATIONS = {
    vector: entry
    for entry in tomllib.loads((Path(__file__).parent / "wycheproof_deviations.toml").read_text())[
        "deviation"
    ]
    for vector in entry["vectors"]
}


def groups(name: str) -> Iterator[dict[str, Any]]:
    yield from json.loads((FOLDER / f"json_web_{name}_test.json").read_text())["testGroups"]


def published(group: dict[str, Any]) -> list[Any]:
    # Where the vectors have no public half the key is symmetric, and published it would look like this.
    keys = group.get("public", group["private"])
    listed: list[Any] = keys.get("keys", [keys])
    return listed


def vectors() -> Iterator[Any]:
    for name in FILES:
        for group in groups(name):
            for test in group["tests"]:
                token = test.get("jws", test.get("jwe"))
                yield pytest.param(
                    published(group), token, test["result"], "jwe" in test, id=f"{name}-{test['tcId']}"
                )


def answer(keys: list[Any], token: object) -> str:
    """The reason for which a token is refused; empty if it is accepted. Anything else escapes."""
    try:
        verify_jws(token, parse_jwks({"keys": keys}), algorithms=ALGORITHMS)  # type: ignore[arg-type]
    except ProtocolError as refusal:
        return refusal.message
    return ""


@pytest.mark.parametrize(("keys", "token", "result", "encrypted"), [*vectors()])
def test_the_verifier(request, keys, token, result, encrypted):
    """No invalid token is accepted, no valid one refused without a reason in the table."""
    refused = answer(keys, token)
    deviation = DEVIATIONS.get(request.node.callspec.id)
    if encrypted:  # refused for what it is, whatever its vector says
        assert refused
    elif deviation:
        assert result == "valid"
        assert deviation["flag"] in refused
    else:
        assert (result == "valid") is (refused == "")


def test_every_vector_ran():
    """The files are whole, and each entry of the table is a vector in one of them."""
    seen = [parameter.id for parameter in vectors()]
    assert {name: sum(one.startswith(name) for one in seen) for name in FILES} == FILES
    assert set(DEVIATIONS) <= set(seen)
    assert all(entry["reason"] for entry in DEVIATIONS.values())


def group_named(name: str, comment: str) -> dict[str, Any]:
    return next(group for group in groups(name) if group["comment"] == comment)


@pytest.mark.parametrize("comment", ["jws_rsa_roca_key", "keysize_too_small", "exponentOne"])
def test_weak_keys_are_no_keys(comment):
    """ROCA, RSA-1024 and e = 1: skipped in a server's set, and refused by name as a key of our own."""
    group = group_named("key", comment)
    assert parse_jwks({"keys": published(group)}) == ()
    private = group["private"].get("keys", [group["private"]])[0]
    with pytest.raises(ConfigurationError) as caught:
        SigningKey.from_jwk({**private, "alg": "RS256"}, algorithm="RS256")
    expected = {"jws_rsa_roca_key": "ROCA", "keysize_too_small": "1024 bits", "exponentOne": "exponent 1"}
    assert expected[comment] in caught.value.message


def test_a_mixed_set_has_no_symmetric_key():
    """Of a set with symmetric keys none of those is left to verify with."""
    for name in ("key", "crypto"):
        keys = published(group_named(name, "jws_mixedSymmetryKeyset"))
        assert {key["kty"] for key in keys} >= {"oct"}
        assert all(key.kty in ("RSA", "EC") for key in parse_jwks({"keys": keys}))
