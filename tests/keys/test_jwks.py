"""Public keys as JSON, ours and theirs."""

import copy
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from smart_async.errors import ConfigurationError, IdTokenError, ProtocolError
from smart_async.keys import ALGORITHMS, SigningKey, parse_jwks, public_jwk, public_jwks, thumbprint
from smart_async.keys.base64url import b64url_decode, b64url_encode
from smart_async.keys.jwks import VerificationKey

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

# RFC 7638, section 3.1
RFC_7638 = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
        "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
        "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
        "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_the_thumbprint_is_the_one_of_the_rfc():
    """RFC 7638's own example comes out, whatever else stands in the key."""
    assert thumbprint(RFC_7638) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    "change", [{"n": None}, {"kty": "oct"}, {"kty": None}, {"e": 65537}, {"kty": ["RSA"]}]
)
def test_no_thumbprint_without_a_complete_key(change):
    """A key that lacks a number, or is of another type, has no thumbprint."""
    with pytest.raises(ConfigurationError, match="neither a complete RSA key"):
        thumbprint(RFC_7638 | change)


@pytest.mark.rule("AS-13", "AS-14")
@pytest.mark.parametrize("fixture", ["rsa_key", "p384_key", "p256_key"])
@pytest.mark.parametrize("half", ["private", "public"])
def test_an_exported_key_has_its_public_members_and_no_others(request, fixture, half):
    """The JWK is kty, kid, use, alg and the public numbers; nothing private can be in it."""
    key = request.getfixturevalue(fixture)
    jwk = public_jwk(key if half == "private" else key.public_key(), "k1", "X")
    numbers = {"n", "e"} if fixture == "rsa_key" else {"crv", "x", "y"}
    assert jwk.keys() == {"kty", "kid", "use", "alg"} | numbers
    assert (jwk["kid"], jwk["use"], jwk["alg"], jwk.keys() & PRIVATE) == ("k1", "sig", "X", set())


def test_an_exported_key_without_kid_is_named_by_its_thumbprint(p384_key):
    """The default kid is the thumbprint, and an algorithm is stated only where one is given."""
    jwk = public_jwk(p384_key)
    assert (jwk["kid"], "alg" in jwk) == (thumbprint(jwk), False)


@pytest.mark.rule("AS-23")
@pytest.mark.parametrize(
    ("curve", "width"), [(ec.SECP256R1(), 32), (ec.SECP384R1(), 48), (ec.SECP521R1(), 66)]
)
def test_coordinates_keep_their_leading_zeros(curve, width):
    """A coordinate whose first byte is zero is still exported in full width."""
    for value in range(1, 4000):
        numbers = ec.derive_private_key(value, curve).public_key()
        point = numbers.public_numbers()
        if min(point.x, point.y).bit_length() <= 8 * (width - 1):
            break
    else:
        pytest.fail("no key with a leading zero was found")
    jwk = public_jwk(numbers)
    assert [len(b64url_decode(jwk[name])) for name in "xy"] == [width, width]
    assert parse_jwks({"keys": [jwk]})[0].key.public_numbers() == point


@pytest.mark.rule("AS-05")
def test_a_set_with_two_keys_of_one_kid_is_refused(rsa_key, p384_key):
    """Within a set every kid is unique."""
    pair = [SigningKey.from_key(key, kid="same") for key in (rsa_key, p384_key)]
    with pytest.raises(ConfigurationError, match="'same'") as caught:
        public_jwks(pair)
    assert caught.value.field == "kid"


@pytest.mark.rule("AS-14")
def test_a_published_set_can_be_read_back(rsa_signer, ec_signer):
    """What we publish is a set that we would accept ourselves, without findings."""
    findings = []
    keys = parse_jwks(public_jwks([rsa_signer, ec_signer]), findings=findings)
    assert ([(key.kty, key.kid, key.alg) for key in keys], findings) == (
        [("RSA", "rsa-1", "RS384"), ("EC", "ec-1", "ES384")],
        [],
    )


@pytest.mark.parametrize("document", [None, [], "x", 1, {}, {"keys": None}, {"keys": "x"}, {"keys": {}}])
def test_what_is_no_set_at_all_is_an_error(document):
    """Without an array of keys there is nothing to read; the caller chooses the error class."""
    with pytest.raises(IdTokenError, match="array called keys"):
        parse_jwks(document, error=IdTokenError)


def test_a_set_of_a_hundred_keys_is_read_and_one_more_is_refused(ec_signer):
    """At most 100 keys are read."""
    assert len(parse_jwks({"keys": [ec_signer.public_jwk()] * 100})) == 100
    with pytest.raises(ProtocolError, match="101 keys"):
        parse_jwks({"keys": [ec_signer.public_jwk()] * 101})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "symmetric"),
        ({"kty": "oct", "n": None}, "symmetric"),
        ({"d": "AQAB"}, r"private members \(d\)"),
        ({"qi": "AQAB", "dp": "AQAB"}, r"private members \(dp, qi\)"),
        ({"oth": []}, r"private members \(oth\)"),
        ({"kty": "AKP"}, "neither RSA nor EC"),
        ({"kty": "OKP", "crv": "Ed25519", "x": "AA"}, "neither RSA nor EC"),
        ({"kty": None}, "neither RSA nor EC"),
        ({"n": "!!"}, "its n is not base64url"),
        ({"n": None}, "its n is missing"),
        ({"n": "AQAB"}, "of 17 bits"),
        ({"e": "Aw"}, "exponent 3"),
        ({"e": "AQ"}, "exponent 1"),
        ({"kid": 5}, "its kid is not a string"),
        ({"alg": ["RS256"]}, "its alg is not a string"),
        ({"use": {}}, "its use is not a string"),
        ({"key_ops": "verify"}, "its key_ops is not an array"),
        ({"kty": "EC", "crv": "P-224"}, r"its curve is not one of P-256, P-384, P-521\.$"),
        ({"kty": "EC", "crv": None}, "its curve is not one of"),
        ({"kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ"}, "not on the curve"),
        ({"kty": "EC", "crv": "P-384", "x": "AQ"}, "its y is missing"),
    ],
)
def test_one_bad_key_is_skipped_with_a_finding_and_the_good_one_stays(rsa_signer, ec_signer, change, problem):
    """Keys are read one by one: a bad one costs a finding that says why, not the whole set."""
    findings = []
    bad = rsa_signer.public_jwk() | change
    keys = parse_jwks({"keys": [bad, ec_signer.public_jwk()]}, findings=findings)
    assert [key.kid for key in keys] == ["ec-1"]
    assert [finding.rule for finding in findings] == ["jwks-key"]
    assert re.search(problem, findings[0].message)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_each_private_member_is_one(rsa_signer, ec_signer, member):
    """Whichever half of the secret a server publishes, its key is not trusted any more."""
    findings = []
    for signer in (rsa_signer, ec_signer):
        bad = signer.public_jwk() | {member: "AQAB"}
        assert parse_jwks({"keys": [bad]}, findings=findings) == ()
    assert [f"private members ({member})" in finding.message for finding in findings] == [True, True]


def test_a_verification_key_is_that_key_and_no_other(rsa_key):
    """What verifies is made from the key; nobody can give another beside it, and absent is None."""
    fields = {"key": rsa_key.public_key(), "kty": "RSA"}
    key = VerificationKey(**fields)
    assert (key.crv, key.kid, key.alg) == (None, None, None)
    with pytest.raises(TypeError):
        VerificationKey(**fields, _joserfc=object())


@pytest.mark.parametrize("bad", [None, 1, "x", [], True])
def test_an_entry_that_is_no_object_is_skipped(ec_signer, bad):
    """Anything at all may stand in the array; findings are optional."""
    assert [key.kid for key in parse_jwks({"keys": [bad, ec_signer.public_jwk()]})] == ["ec-1"]


def test_a_finding_names_the_key_without_quoting_it(rsa_signer):
    """A finding says which key was skipped, cleaned, and holds none of its numbers."""
    findings = []
    bad = rsa_signer.public_jwk() | {"kid": "a\x1b[31m\nb", "d": "SECRETSECRET"}
    assert parse_jwks({"keys": [bad, 5]}, findings=findings) == ()
    assert "Key 1 of the JWK Set, kid 'a[31m b'" in findings[0].message
    assert "SECRET" not in str(findings)
    assert findings[1].message == "Key 2 of the JWK Set is skipped: it is not a JSON object."
    assert [finding.severity for finding in findings] == ["warning", "warning"]


def test_a_long_kid_is_cut(rsa_signer):
    """Of a kid that a server made endless, a finding quotes 64 characters."""
    findings = []
    bad = rsa_signer.public_jwk() | {"kid": "x" * 65, "d": "AQAB"}
    assert parse_jwks({"keys": [bad]}, findings=findings) == ()
    (quoted,) = re.findall("kid '(.*)' is skipped", findings[0].message)
    assert quoted == "x" * 63 + "…"


@pytest.mark.parametrize("change", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": []}])
def test_keys_for_encryption_are_left_out_quietly(ec_signer, change):
    """A key for another purpose is nothing to complain about, and never verifies."""
    findings = []
    assert parse_jwks({"keys": [ec_signer.public_jwk() | change]}, findings=findings) == ()
    assert findings == []


@pytest.mark.parametrize("operations", [["verify"], ["sign", "verify"]])
def test_keys_to_verify_with_may_say_so(ec_signer, operations):
    """A key that names verifying among its operations is used."""
    (key,) = parse_jwks({"keys": [ec_signer.public_jwk() | {"key_ops": operations}]})
    assert key.kid == "ec-1"


def test_padding_and_a_leading_zero_in_the_modulus_are_tolerated(rsa_signer, rsa_key):
    """Real servers publish both; the key is the same."""
    jwk = rsa_signer.public_jwk()
    padded = b64url_encode(b"\0" + b64url_decode(jwk["n"])) + "="
    (key,) = parse_jwks({"keys": [jwk | {"n": padded}]})
    assert key.key.public_numbers() == rsa_key.public_key().public_numbers()


def test_a_key_without_alg_and_use_fits_every_algorithm_of_its_type(rsa_signer):
    """Alg and use are optional; what fits is then decided by type and curve."""
    jwk = copy.copy(rsa_signer.public_jwk())
    for name in ("alg", "use", "kid"):
        del jwk[name]
    (key,) = parse_jwks({"keys": [jwk]})
    assert {name for name, each in ALGORITHMS.items() if key.fits(each)} == {
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    }  # fmt: skip


def test_a_key_with_alg_fits_only_that(ec_signer, rsa_signer):
    """A key that names its algorithm verifies no other."""
    keys = parse_jwks(public_jwks([rsa_signer, ec_signer]))
    fitting = [[name for name, each in ALGORITHMS.items() if key.fits(each)] for key in keys]
    assert fitting == [["RS384"], ["ES384"]]


@pytest.mark.parametrize(
    "wrap", [lambda key: key, lambda key: [[key]], lambda key: ["key.pem"], lambda key: None]
)
def test_what_is_no_list_of_keys_has_no_public_half(ec_signer, wrap):
    """One key alone, a list too many or a path: a configuration error that shows the right form."""
    with pytest.raises(ConfigurationError, match="a list of signing keys") as caught:
        public_jwks(wrap(ec_signer))
    assert "public_jwks([key])" in caught.value.advice
    assert caught.value.field == "keys"
