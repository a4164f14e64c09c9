"""Client assertions: what is in them, what is not, and how often a key is read for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from smart_async import SigningKey
from smart_async.flow import Now, Sign
from smart_async.keys.base64url import b64url_decode
from smart_async.smart.assertions import sign_assertion

TOKEN_URL = "https://sso.example.com/oauth2/token"


@pytest.fixture(scope="session")
def rsa_signer() -> SigningKey:
    return SigningKey.generate("RS384", kid="rsa-1", key_size=2048)


def parts_of(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = (b64url_decode(part) for part in assertion.split("."))
    return json.loads(header), json.loads(claims), signature


def make(script, signer, state, **changes):
    arguments = {
        "client_id": "lab-harvester",
        "audience": TOKEN_URL,
        "lifetime": 300,
        "backdate": 60,
        "entropy": state.entropy,
    }
    return script.run(sign_assertion(signer, **{**arguments, **changes}))


@pytest.mark.rule("AS-04")
def test_header_is_exactly_alg_kid_and_typ(script, signing_key, state):
    """The header names algorithm, key id and the type JWT, and nothing else."""
    header = b64url_decode(make(script, signing_key, state).split(".")[0])
    assert header == b'{"alg":"ES384","kid":"key-1","typ":"JWT"}'


@pytest.mark.rule("AS-06")
def test_header_names_the_jwks_url_where_one_is_given(script, signing_key, state):
    """`jku` is sent as it was registered, and only on request."""
    url = "https://app.example.com/jwks.json"
    header, _, _ = parts_of(make(script, signing_key, state, jku=url))
    assert header == {"alg": "ES384", "kid": "key-1", "typ": "JWT", "jku": url}


def test_header_members_can_be_added_and_left_out(script, signing_key, state):
    """Servers with habits of their own get what they want, in that assertion and no other."""
    changed = make(script, signing_key, state, header={"x5t": "abc", "kid": None})
    assert parts_of(changed)[0] == {"alg": "ES384", "typ": "JWT", "x5t": "abc"}
    assert parts_of(make(script, signing_key, state))[0] == {"alg": "ES384", "kid": "key-1", "typ": "JWT"}


def test_a_signer_that_changes_its_key_is_followed(script, signing_key, state):
    """The header is that of the moment: a signer may go over to its next key."""

    class Rotating:
        kid, algorithm, blocking = "key-1", "ES384", False

        def sign(self, signing_input: bytes) -> bytes:
            return signing_key.sign(signing_input)

    signer = Rotating()
    first = parts_of(make(script, signer, state))[0]["kid"]
    signer.kid = "key-2"
    assert (first, parts_of(make(script, signer, state))[0]["kid"]) == ("key-1", "key-2")


@pytest.mark.rule("AS-07", "AS-08", "AS-09", "AS-21")
def test_claims_are_exactly_six(script, signing_key, state):
    """Issuer and subject are the client, the audience is one string, the times are 300 seconds apart."""
    script.wall = 1_924_992_000.999
    _, claims, _ = parts_of(make(script, signing_key, state))
    jti = claims.pop("jti")
    assert claims == {
        "iss": "lab-harvester",
        "sub": "lab-harvester",
        "aud": TOKEN_URL,
        "iat": 1_924_991_940,
        "exp": 1_924_992_240,
    }
    assert (type(claims["iat"]), type(claims["exp"]), type(jti)) == (int, int, str)


def test_nbf_is_added_on_request_only(script, signing_key, state):
    """`nbf` is the time of `iat`, for the servers that insist."""
    claims = parts_of(make(script, signing_key, state, nbf=True))[1]
    assert (claims["nbf"], claims["exp"]) == (claims["iat"], claims["iat"] + 300)


@pytest.mark.parametrize("client_id", ['a "quoted" one', "back\\slash", "{brace}", "%s", "a,b:c"])
def test_an_odd_client_id_stays_one_value(script, signing_key, state, client_id):
    """Whatever the id holds, it cannot break out of its place among the claims."""
    claims = parts_of(make(script, signing_key, state, client_id=client_id))[1]
    assert (claims["iss"], claims["sub"], len(claims)) == (client_id, client_id, 6)


@pytest.mark.rule("AS-08")
@pytest.mark.parametrize(
    "audience",
    [
        "https://sso.example.com/oauth2/token/",
        "https://SSO.example.com/OAuth2/Token",
        "https://sso.example.com:443/t?a=%2f",
    ],
)
def test_audience_is_kept_byte_for_byte(script, signing_key, state, audience):
    """Trailing slash, letter case, port and query of the token URL are not touched."""
    assert parts_of(make(script, signing_key, state, audience=audience))[1]["aud"] == audience


def test_the_time_is_asked_right_before_signing(script, signing_key, state):
    """An assertion lives minutes, so the clock is read at the last moment."""
    make(script, signing_key, state)
    assert script.kinds == [Now, Sign]


@pytest.mark.rule("AS-10", "AS-19")
def test_every_assertion_has_its_own_jti(script, signing_key, state):
    """A server accepts an assertion once: two made at the same second differ in `jti`."""
    made = [parts_of(make(script, signing_key, state))[1]["jti"] for _ in range(3)]
    assert len(set(made)) == 3
    assert [len(jti) for jti in made] == [43, 43, 43]


@pytest.mark.rule("AS-02", "AS-03")
@pytest.mark.parametrize(("kind", "size"), [("ES384", 96), ("RS384", 256)])
def test_signature_verifies_with_the_public_key(script, state, signing_key, rsa_signer, kind, size):
    """Another implementation accepts the signature, and ES384 is R and S in 96 bytes, not DER."""
    signer, jwk = {"ES384": (signing_key, ECKey), "RS384": (rsa_signer, RSAKey)}[kind]
    assertion = make(script, signer, state)
    read = jwt.decode(assertion, jwk.import_key(signer.public_jwk()), algorithms=[kind])
    assert (read.header, read.claims) == parts_of(assertion)[:2]
    assert len(parts_of(assertion)[2]) == size


@pytest.mark.rule("AS-02", "AS-04")
def test_published_rs384_assertion_is_made_byte_for_byte(script, state, smart_vectors):
    """The header comes out as published, and so does the signature of the published bytes."""
    vector = smart_vectors["rs384_assertion"]
    signer = SigningKey.from_jwk(smart_vectors["rsa_private_jwk"])
    to_sign, _, signature = vector["token"].rpartition(".")
    assert make(script, signer, state).split(".")[0] == to_sign.split(".")[0]
    assert signer.sign(to_sign.encode()) == b64url_decode(signature)


def test_a_key_is_read_once_for_a_thousand_assertions(script, state, monkeypatch):
    """Reading a key costs as much as a hundred signatures, so that is done once, not per assertion."""
    read = []
    for name in ("load_pem_private_key", "load_der_private_key"):
        original = getattr(serialization, name)

        def counted(*args, _original=original, **kwargs):
            read.append(1)
            return _original(*args, **kwargs)

        monkeypatch.setattr(serialization, name, counted)
    for wrapper in (ECKey, RSAKey):
        monkeypatch.setattr(wrapper, "import_key", lambda *_, **__: read.append(1))
    pem = SigningKey.generate("ES384").private_pem()
    signer = SigningKey.from_pem(pem, kid="key-1")
    jtis = {parts_of(make(script, signer, state))[1]["jti"] for _ in range(1_000)}
    assert (len(read), len(jtis)) == (1, 1_000)
