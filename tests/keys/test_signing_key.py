"""The signing key: made in every way, signing as JWS wants it, showing nothing."""

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from smart_async.errors import ConfigurationError
from smart_async.interfaces import Signer
from smart_async.keys import (
    SigningKey,
    compact,
    parse_jwks,
    public_jwks,
    signing_input,
    thumbprint,
    verify_jws,
)

PEM, PKCS8, PLAIN = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


def pem_of(key):
    return key.private_bytes(PEM, PKCS8, PLAIN)


@pytest.mark.rule("AS-02")
def test_the_published_rs384_assertion_comes_out_byte_for_byte(smart_vectors):
    """RS384 is deterministic: the reference's key and claims give the reference's token."""
    vector = smart_vectors["rs384_assertion"]
    key = SigningKey.from_jwk(smart_vectors["rsa_private_jwk"])
    data = signing_input({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}, vector["claims"])
    assert compact(data, key.sign(data)) == vector["token"]


@pytest.mark.rule("AS-03", "AS-23")
def test_es384_signatures_are_raw_and_verify(smart_vectors):
    """ES384 signatures have 96 bytes, R and S, and the reference's public key verifies them."""
    key = SigningKey.from_jwk(smart_vectors["ec_private_jwk"])
    data = signing_input({"alg": "ES384", "kid": key.kid, "typ": "JWT"}, {"iss": "lab-harvester"})
    signature = key.sign(data)
    assert (key.algorithm, len(signature)) == ("ES384", 96)
    keys = parse_jwks(public_jwks([key]))
    assert verify_jws(compact(data, signature), keys, algorithms=["ES384"]).claims() == {
        "iss": "lab-harvester"
    }


@pytest.mark.rule("AS-23")
@pytest.mark.parametrize(("algorithm", "width"), [("ES256", 64), ("ES384", 96), ("ES512", 132)])
def test_ec_signatures_keep_leading_zeros(algorithm, width):
    """R and S are written in full width, also when they begin with zero bytes, as one in 256 does."""
    key = SigningKey.generate(algorithm)
    signatures = [key.sign(b"%d" % n) for n in range(600)]
    assert {len(signature) for signature in signatures} == {width}
    assert any(0 in (signature[0], signature[width // 2]) for signature in signatures)


def test_every_constructor_gives_the_same_key(p384_key, smart_vectors):
    """PEM, PKCS #12, JWK, JWK Set, key object and bytes lead to one and the same key."""
    pem = pem_of(p384_key)
    locked = serialization.BestAvailableEncryption(b"opensesame")
    p12 = pkcs12.serialize_key_and_certificates(b"app", p384_key, None, None, locked)
    keys = [
        SigningKey.from_pem(pem),
        SigningKey.from_pem(pem.decode()),
        SigningKey.from_pem(p384_key.private_bytes(PEM, PKCS8, locked), passphrase="opensesame"),
        SigningKey.from_pkcs12(p12, passphrase="opensesame"),
        SigningKey.from_key(p384_key),
        SigningKey.from_bytes(pem),
        SigningKey.from_bytes(p12, passphrase=b"opensesame"),
    ]
    expected = SigningKey.from_key(p384_key).public_jwk()
    assert [key.public_jwk() for key in keys] == [expected] * 7
    jwk = smart_vectors["ec_private_jwk"]
    from_set = SigningKey.from_jwks({"keys": [jwk, smart_vectors["rsa_private_jwk"]]}, kid="cw-ec-2031a")
    assert from_set.public_jwk() == SigningKey.from_jwk(json.dumps(jwk)).public_jwk()


def test_kid_is_the_given_one_the_jwks_own_or_the_thumbprint(p384_key, smart_vectors):
    """kid= wins, then the JWK's kid, then the RFC 7638 thumbprint."""
    jwk = smart_vectors["ec_private_jwk"]
    bare = {name: value for name, value in jwk.items() if name != "kid"}
    assert [
        SigningKey.from_jwk(jwk, kid="mine").kid,
        SigningKey.from_jwk(jwk).kid,
        SigningKey.from_jwk(bare).kid,
    ] == ["mine", "cw-ec-2031a", thumbprint(jwk)]


@pytest.mark.parametrize("kid", ["", 5, b"k"])
def test_a_kid_that_is_empty_or_no_text_is_refused(p384_key, kid):
    """An empty kid is a mistake, not a wish for the thumbprint."""
    with pytest.raises(ConfigurationError, match="kid is empty, or not text"):
        SigningKey.from_key(p384_key, kid=kid)


def test_an_empty_kid_in_a_jwk_is_refused(smart_vectors):
    """The JWK's own kid is held to the same."""
    with pytest.raises(ConfigurationError, match="kid is empty"):
        SigningKey.from_jwk(smart_vectors["ec_private_jwk"] | {"kid": ""})


def test_algorithm_is_smarts_the_jwks_own_or_the_checked_override(rsa_key, p256_key, smart_vectors):
    """RS384 and ES384 by default; alg of a JWK and algorithm= count, if they fit."""
    jwk = smart_vectors["rsa_private_jwk"]
    bare = {name: value for name, value in jwk.items() if name != "alg"}
    assert [
        SigningKey.from_key(rsa_key).algorithm,
        SigningKey.from_key(rsa_key, algorithm="PS256").algorithm,
        SigningKey.from_key(p256_key, algorithm="ES256").algorithm,
        SigningKey.from_jwk(jwk | {"alg": "RS512"}).algorithm,
        SigningKey.from_jwk(bare).algorithm,
        SigningKey.from_jwk(bare, algorithm="RS256").algorithm,
    ] == ["RS384", "PS256", "ES256", "RS512", "RS384", "RS256"]


def test_an_algorithm_that_contradicts_the_jwk_is_refused(smart_vectors):
    """The registered public half says RS384; signing with another would fail at the server."""
    with pytest.raises(
        ConfigurationError, match="'RS256' was asked for, but the JWK says that it is for RS384"
    ):
        SigningKey.from_jwk(smart_vectors["rsa_private_jwk"], algorithm="RS256")


@pytest.mark.parametrize("algorithm", ["ES384", "RS384", "PS512", "ES256", "ES512"])
def test_a_generated_key_signs_with_the_algorithm_asked_for(algorithm):
    """generate() makes the type and curve that the algorithm needs."""
    key = SigningKey.generate(algorithm, kid="new", key_size=2048)
    assert (key.algorithm, key.kid, key.public_jwk()["kty"]) == (
        algorithm,
        "new",
        "EC" if algorithm.startswith("E") else "RSA",
    )


def test_generated_rsa_keys_have_3072_bits_unless_told_otherwise():
    """The default size is the one recommended beyond 2030."""
    private = serialization.load_pem_private_key(SigningKey.generate("RS384").private_pem(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size == 3072


@pytest.mark.parametrize("size", [1024, 2047, 8193])
def test_a_key_size_out_of_range_is_refused(size):
    """No weak key is made, and none that others refuse."""
    with pytest.raises(ConfigurationError, match="not between 2048 and 8192"):
        SigningKey.generate("RS384", key_size=size)


@pytest.mark.parametrize("algorithm", ["HS256", "none", "P-384"])
def test_no_key_is_generated_for_an_unknown_algorithm(algorithm):
    """The error lists the algorithms there are."""
    with pytest.raises(ConfigurationError, match="Use one of RS256"):
        SigningKey.generate(algorithm)


@pytest.mark.parametrize("passphrase", [None, "opensesame"])
def test_the_private_key_can_be_written_and_read_again(ec_signer, passphrase):
    """private_pem() is PKCS #8, encrypted where a passphrase is given."""
    pem = ec_signer.private_pem(passphrase)
    assert (b"ENCRYPTED" in pem) == bool(passphrase)
    again = SigningKey.from_pem(pem, kid="ec-1", passphrase=passphrase)
    assert again.public_jwk() == ec_signer.public_jwk()


@pytest.mark.rule("AS-01")
def test_nothing_private_is_shown(ec_signer):
    """The repr shows id and algorithm, and there is no __dict__ to look into."""
    assert repr(ec_signer) == str(ec_signer) == "<SigningKey kid='ec-1' algorithm='ES384'>"
    assert not hasattr(ec_signer, "__dict__")


@pytest.mark.parametrize(
    "attempt", [pickle.dumps, copy.copy, copy.deepcopy, lambda key: pickle.dumps({"deep": [key]})]
)
def test_a_key_is_never_pickled_or_copied(ec_signer, attempt):
    """A private key stays where it was loaded."""
    with pytest.raises(TypeError, match="never pickled or copied"):
        attempt(ec_signer)


def test_a_key_is_made_by_its_constructors_only():
    """Calling the class says where to go instead."""
    with pytest.raises(TypeError, match=r"SigningKey\.from_pem"):
        SigningKey()


def test_a_signing_key_is_a_signer(ec_signer):
    """It has what the Signer interface asks for, and does not block."""
    assert isinstance(ec_signer, Signer)
    assert ec_signer.blocking is False


@pytest.mark.parametrize(("bits", "blocking"), [(2048, False), (2056, True), (3072, True)])
def test_long_rsa_keys_block(bits, blocking):
    """A signature of more than a millisecond would stall an event loop: one by RSA above 2048 bits."""
    key = SigningKey.generate("RS384", key_size=bits)
    assert (key.blocking, SigningKey.from_key(key._key, algorithm="PS384").blocking) == (blocking, blocking)


def test_the_key_is_parsed_once(monkeypatch, p384_key):
    """After loading, signing reads no PEM and looks up no curve: it goes on without the parser."""
    key = SigningKey.from_pem(pem_of(p384_key))

    def forbidden(*args, **kwargs):
        raise AssertionError("parsed again")

    monkeypatch.setattr(serialization, "load_pem_private_key", forbidden)
    monkeypatch.setattr(ec, "ECDSA", forbidden)
    assert [len(key.sign(b"%d" % n)) for n in range(3)] == [96, 96, 96]


def modules_after(code):
    """Return which heavy modules a fresh interpreter has loaded after *code*."""
    report = (
        "import sys; print([m for m in ('cryptography', 'joserfc', 'httpx', 'anyio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_the_room_loads_neither_cryptography_nor_joserfc():
    """An import costs nothing until a key is used."""
    assert modules_after("from smart_async.keys import SigningKey, parse_jwks, verify_jws") == "[]"


def test_signing_with_a_pem_or_jwk_loads_no_joserfc():
    """Whoever only signs has no need of the verifying library."""
    code = (
        "from smart_async.keys import SigningKey, parse_jwks, public_jwks\n"
        "key = SigningKey.from_pem(SigningKey.generate().private_pem())\n"
        "key.sign(b'x'); parse_jwks(public_jwks([key]))"
    )
    assert modules_after(code) == "['cryptography']"


@pytest.mark.parametrize("read", [SigningKey.from_jwk, SigningKey.from_jwks])
@pytest.mark.parametrize("given", ["key.jwk", b"keys/key.json"])
def test_the_name_of_a_jwk_file_is_not_taken_for_its_text(read: Any, given: str | bytes) -> None:
    """Whoever passes a file name instead of the file's contents is told so."""
    with pytest.raises(ConfigurationError, match="file"):
        read(given)
