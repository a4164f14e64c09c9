"""Project Wycheproof's vectors, through our own door."""

import json
from pathlib import Path

import pytest

from smart_async.errors import ProtocolError
from smart_async.keys import ALGORITHMS, parse_jwks, verify_jws

FOLDER = Path(__file__).parents[1] / "vectors" / "wycheproof"

# Valid there and refused here: HMAC, which we do not have, and keys that are labelled with another algorithm
# than the token's (ES521, which does not exist, for ES512; PS256 for a PS384 signature).
NOT_OURS = ("oct", "ES521")
MISLABELLED = ("sig-rfc7520-346", "sig-rfc7520WithKeyOps-350")


def vectors(name):
    for group in json.loads((FOLDER / name).read_text())["testGroups"]:
        # Where the vectors have no public half the key is symmetric, and published it would look like this.
        published = group.get("public", group["private"])
        keys = published.get("keys", [published])
        refused = any(key.get("kty") in NOT_OURS or key.get("alg") in NOT_OURS for key in keys)
        for test in group["tests"]:
            case = f"{name[9:12]}-{group['comment']}-{test['tcId']}"
            expected = test["result"] == "valid" and not refused and case not in MISLABELLED
            yield pytest.param(keys, test["jws"], expected, id=case)


@pytest.mark.parametrize(
    ("keys", "token", "expected"),
    [*vectors("json_web_signature_test.json"), *vectors("json_web_key_test.json")],
)
def test_wycheproof(keys, token, expected):
    """Every valid signature is accepted, every invalid one refused, and none with a foreign exception."""
    try:
        verify_jws(token, parse_jwks({"keys": keys}), algorithms=ALGORITHMS)
    except ProtocolError:
        accepted = False
    else:
        accepted = True
    assert accepted == expected
