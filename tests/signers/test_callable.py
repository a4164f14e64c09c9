"""Any function as a signer: both colours, both forms of ECDSA signatures, and the first one verified."""

from __future__ import annotations

import datetime
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio.lowlevel
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from smart_async import (
    AsyncSmartClient,
    ConfigurationError,
    PrivateKeyJWT,
    SigningKey,
    SmartClient,
    SmartConfig,
    TransportError,
    public_jwks,
)
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.keys.jwks import thumbprint
from smart_async.signers import AsyncCallableSigner, CallableSigner, _public

SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def pem_of(key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, SPKI)


def certificate_of(key) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start)
    return builder.sign(key, hashes.SHA384()).public_bytes(serialization.Encoding.PEM)


def forms(key):
    jwk = SigningKey.from_key(key, kid="key-1").public_jwk()
    return {
        "PEM": pem_of(key),
        "PEM text": pem_of(key).decode(),
        "DER": key.public_key().public_bytes(serialization.Encoding.DER, SPKI),
        "certificate": certificate_of(key),
        "JWK": jwk,
        "JWK text": json.dumps(jwk),
        "JWK bytes": b" " + json.dumps(jwk).encode(),
        "object": key.public_key(),
    }


def counted(elsewhere):
    """A remote key that counts its signatures."""

    def sign(signing_input):
        sign.calls += 1
        return elsewhere.sign(signing_input)

    sign.calls = 0
    return sign


# ------------------------------------------------------------------------------- values


def test_each_form_of_the_public_key(private_key, elsewhere):
    """PEM, DER, certificate, JWK or object: the same key, and a signature that it verifies."""
    for name, form in forms(private_key).items():
        signer = CallableSigner(elsewhere.sign, public_key=form, kid="key-1")
        assert (signer.public_jwk(), len(signer.sign(b"a.b"))) == (
            elsewhere.public_jwk(),
            len(elsewhere.sign(b"a.b")),
        ), name


def test_it_is_a_signer(elsewhere):
    """It has what a client asks of a signer, goes into a JWK Set, and shows nothing but id and algorithm."""
    signer = CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk())
    assert isinstance(signer, Signer)
    assert not isinstance(signer, AsyncSigner)
    assert (signer.kid, signer.algorithm, signer.blocking) == ("key-1", elsewhere.algorithm, True)
    assert public_jwks([signer]) == {"keys": [elsewhere.public_jwk()]}
    assert repr(signer) == f"<CallableSigner kid='key-1' algorithm='{elsewhere.algorithm}'>"


def test_the_async_twin_is_an_async_signer_only(elsewhere):
    """SmartClient must be able to refuse it, so it has no `sign`."""

    async def sign(signing_input):
        return elsewhere.sign(signing_input)

    signer = AsyncCallableSigner(sign, public_key=elsewhere.public_jwk())
    assert isinstance(signer, AsyncSigner)
    assert not isinstance(signer, Signer)
    assert (signer.kid, signer.algorithm, signer.blocking) == ("key-1", elsewhere.algorithm, False)
    assert public_jwks([signer]) == {"keys": [elsewhere.public_jwk()]}
    assert repr(signer) == f"<AsyncCallableSigner kid='key-1' algorithm='{elsewhere.algorithm}'>"
    config = SmartConfig(
        fhir_base="https://ehr.example.com/r4", client_id="c", client_auth=PrivateKeyJWT(signer)
    )
    with pytest.raises(ConfigurationError, match="can only be awaited"):
        SmartClient(config)


def test_the_kid_is_the_thumbprint_unless_given(private_key, elsewhere):
    """A key without a name is called by its thumbprint; a given name wins over the JWK's."""
    signer = CallableSigner(elsewhere.sign, public_key=pem_of(private_key))
    assert signer.kid == thumbprint(elsewhere.public_jwk())
    assert CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk(), kid="mine").kid == "mine"


def test_a_function_that_does_not_block(elsewhere):
    """Who knows that it is quick can say so."""
    quick = CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk(), blocking=False)
    assert quick.blocking is False


@pytest.mark.parametrize("name", ["RS256", "RS512", "PS256", "PS384", "PS512"])
def test_other_rsa_algorithms(rsa_key, name):
    """Whatever JWS algorithm the key makes can be declared, and is verified as that."""
    remote = SigningKey.from_key(rsa_key, algorithm=name)
    signer = CallableSigner(remote.sign, public_key=pem_of(rsa_key), algorithm=name)
    assert (signer.algorithm, len(signer.sign(b"a.b"))) == (name, 256)
    with pytest.raises(ConfigurationError, match="does not fit"):
        CallableSigner(remote.sign, public_key=pem_of(rsa_key)).sign(b"a.b")


@pytest.mark.parametrize(("name", "curve"), [("ES256", ec.SECP256R1()), ("ES512", ec.SECP521R1())])
def test_other_curves(name, curve):
    """Other curves work if the algorithm is named, in both forms."""
    key = ec.generate_private_key(curve)
    raw = CallableSigner(
        SigningKey.from_key(key, algorithm=name).sign, public_key=pem_of(key), algorithm=name
    )
    der = CallableSigner(
        lambda data: key.sign(data, ec.ECDSA({"ES256": hashes.SHA256(), "ES512": hashes.SHA512()}[name])),
        public_key=pem_of(key),
        algorithm=name,
        signature_format="der",
    )
    assert len(raw.sign(b"a.b")) == len(der.sign(b"a.b")) == {"ES256": 64, "ES512": 132}[name]
    with pytest.raises(ConfigurationError, match="ES384, which SMART servers take"):
        CallableSigner(lambda data: b"", public_key=pem_of(key))


# ---------------------------------------------------------------------------- DER, by declaration


@pytest.fixture
def der_signer(ec_key):
    """A remote P-384 key whose signatures come in DER."""
    return lambda signing_input: ec_key.sign(signing_input, ec.ECDSA(hashes.SHA384()))


def test_der_is_converted_when_declared(ec_key, der_signer):
    """Every signature comes out as 96 bytes that a server would verify."""
    signer = CallableSigner(der_signer, public_key=pem_of(ec_key), signature_format="der")
    half = _public.public_half(pem_of(ec_key), kid=None, algorithm=None)
    for number in range(20):
        signature = signer.sign(b"a.%d" % number)
        assert half.verifies(signature, b"a.%d" % number) is True


def test_der_is_never_guessed(ec_key, der_signer):
    """Undeclared DER is refused, with a hint, although it is easy to recognise."""
    signer = CallableSigner(der_signer, public_key=pem_of(ec_key))
    with pytest.raises(ConfigurationError, match="does not fit") as caught:
        signer.sign(b"a.b")
    assert "signature_format='der'" in caught.value.advice


def test_declared_der_that_is_not(ec_key):
    """R‖S declared as DER is refused too."""
    remote = SigningKey.from_key(ec_key)
    signer = CallableSigner(remote.sign, public_key=pem_of(ec_key), signature_format="der")
    with pytest.raises(ConfigurationError, match="in DER"):
        signer.sign(b"a.b")


def test_rsa_has_no_der_form(rsa_key):
    """Declaring it for an RSA key is a mistake worth hearing about early."""
    with pytest.raises(ConfigurationError, match="RS384 signatures have no DER form"):
        CallableSigner(lambda data: b"", public_key=pem_of(rsa_key), signature_format="der")


# --------------------------------------------------------------------- the first signature


def test_the_first_signature_is_verified(elsewhere, algorithm):
    """A key that is not the public key's is found before anybody sees its signature."""
    other = SigningKey.generate(algorithm, key_size=2048)
    signer = CallableSigner(other.sign, public_key=elsewhere.public_jwk())
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="does not fit the public key 'key-1'") as caught:
            signer.sign(b"a.b")
        assert (caught.value.field, "nothing was sent" in str(caught.value)) == ("public_key", True)


def test_a_signature_over_something_else(elsewhere):
    """A service that signs other bytes, a hash of the hash for one, is found as well."""
    signer = CallableSigner(lambda data: elsewhere.sign(data + b"!"), public_key=elsewhere.public_jwk())
    with pytest.raises(ConfigurationError, match="exactly once"):
        signer.sign(b"a.b")


def test_only_the_first_is_verified(elsewhere, monkeypatch):
    """Verification is not paid for each time."""
    verified = []
    real = _public.PublicHalf.verifies
    monkeypatch.setattr(_public.PublicHalf, "verifies", lambda *args: verified.append(args) or real(*args))
    sign = counted(elsewhere)
    signer = CallableSigner(sign, public_key=elsewhere.public_jwk())
    for _ in range(3):
        signer.sign(b"a.b")
    assert (sign.calls, len(verified)) == (3, 1)


def test_a_forked_process_verifies_anew(elsewhere, monkeypatch):
    """What was seen in one process is not taken for granted in another."""
    signer = CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk())
    signer.sign(b"a.b")
    signer._function = lambda data: b"wrong"
    assert signer.sign(b"a.b") == b"wrong"
    monkeypatch.setattr(_public.os, "getpid", lambda: -1)
    with pytest.raises(ConfigurationError, match="does not fit"):
        signer.sign(b"a.b")


def test_threads_that_come_first_together(elsewhere, algorithm):
    """However many threads sign first at once, not one of them gets an unverified signature."""
    good, bad = elsewhere, SigningKey.generate(algorithm, key_size=2048)
    together = threading.Barrier(8)

    def sign(signing_input):
        together.wait(10)
        return (bad if signing_input.startswith(b"bad") else good).sign(signing_input)

    def attempt(number):
        try:
            return signer.sign(b"bad%d" % number)
        except ConfigurationError:
            return None

    signer = CallableSigner(sign, public_key=elsewhere.public_jwk())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(8))) == [None] * 8


# ------------------------------------------------------------------------------ bad arguments


@pytest.mark.parametrize("returned", [None, "text", 5, ["x"]])
def test_a_function_that_returns_no_bytes(elsewhere, returned):
    """Base64 text is the usual mistake."""
    signer = CallableSigner(lambda data: returned, public_key=elsewhere.public_jwk())
    with pytest.raises(ConfigurationError, match=f"returned {type(returned).__name__}, not bytes"):
        signer.sign(b"a.b")


def test_a_bytearray_is_bytes(elsewhere):
    """Other buffers are copied into bytes."""
    signer = CallableSigner(lambda data: bytearray(elsewhere.sign(data)), public_key=elsewhere.public_jwk())
    assert type(signer.sign(b"a.b")) is bytes


def test_what_the_function_raises_comes_through(elsewhere):
    """The function's own error is the caller's to see, unchanged."""
    failure = TransportError("The service is down.", sent=False)

    def sign(signing_input):
        raise failure

    with pytest.raises(TransportError) as caught:
        CallableSigner(sign, public_key=elsewhere.public_jwk()).sign(b"a.b")
    assert caught.value is failure


def test_functions_of_the_other_colour(elsewhere):
    """An async function in the plain signer, or the other way round, is refused by name of the right one."""

    async def later(signing_input):
        return b""

    with pytest.raises(ConfigurationError, match="AsyncCallableSigner"):
        CallableSigner(later, public_key=elsewhere.public_jwk())
    with pytest.raises(ConfigurationError, match="must be a function, not str"):
        CallableSigner("sign", public_key=elsewhere.public_jwk())


@pytest.mark.anyio
async def test_a_plain_function_in_the_async_signer(elsewhere):
    """It is found when it is called: only then is there something to await."""
    signer = AsyncCallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk())
    with pytest.raises(ConfigurationError, match="cannot be awaited"):
        await signer.async_sign(b"a.b")


def test_an_unknown_format(elsewhere):
    """There are two forms."""
    with pytest.raises(ConfigurationError, match="neither 'raw' nor 'der'"):
        CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk(), signature_format="asn1")


@pytest.mark.parametrize("kid", ["", 5])
def test_a_kid_that_is_none(elsewhere, kid):
    """A kid is text with something in it."""
    with pytest.raises(ConfigurationError, match="kid is empty, or not text"):
        CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk(), kid=kid)


PKCS8 = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: key.private_bytes(serialization.Encoding.PEM, *PKCS8), "a private key"),
        (lambda key: {**SigningKey.from_key(key).public_jwk(), "d": "AQ"}, "a private key"),
        (lambda key: {**SigningKey.from_key(key).public_jwk(), "kid": 5}, "kid or alg is not text"),
        (lambda key: {"kty": "oct", "x": "AQ"}, "no public key that can be used"),
        (lambda key: b"", "neither a public key"),
        (lambda key: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "neither a public key"),
        (lambda key: "hello", "neither a public key"),
        (lambda key: key, "neither RSA nor on one of the curves"),
        (lambda key: 5, "neither RSA nor on one of the curves"),
        (lambda key: ed25519.Ed25519PrivateKey.generate().public_key(), "neither RSA nor"),
        (lambda key: ec.generate_private_key(ec.SECP256K1()).public_key(), "neither RSA nor"),
        (lambda key: rsa.generate_private_key(65537, 1024).public_key(), "1024 bits"),
    ],
)
def test_no_public_key(ec_key, make, message):
    """A private key has no place here, and what cannot verify is refused with what it is."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        CallableSigner(lambda data: b"", public_key=make(ec_key))
    assert caught.value.field == "public_key"


def test_json_that_is_no_jwk():
    """Text that starts like a JWK is read as one."""
    with pytest.raises(ConfigurationError):
        CallableSigner(lambda data: b"", public_key="{")


def test_no_secret_in_an_error(ec_key):
    """A private key that was given by mistake does not stand in the message."""
    pem = ec_key.private_bytes(serialization.Encoding.PEM, *PKCS8).decode()
    with pytest.raises(ConfigurationError) as caught:
        CallableSigner(lambda data: b"", public_key=pem)
    assert pem.splitlines()[1] not in str(caught.value)


# ----------------------------------------------------------------------- through the clients


@pytest.fixture
def ehr(elsewhere):
    """A sandbox in memory, where the remote key is registered."""
    sandbox = pytest.importorskip("smart_async.sandbox", exc_type=ImportError).Sandbox()
    sandbox.register_client(client_id="nightly", jwks={"keys": [elsewhere.public_jwk()]}, scope="system/*.rs")
    return sandbox


def config_for(ehr, signer):
    return SmartConfig(fhir_base=ehr.fhir_base, client_id="nightly", client_auth=PrivateKeyJWT(signer))


def test_a_token_with_a_function(ehr, elsewhere):
    """The sandbox accepts what the function signs."""
    signer = CallableSigner(elsewhere.sign, public_key=elsewhere.public_jwk())
    with SmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:
        assert client.backend_token("system/*.rs").access_token.reveal()


@pytest.mark.anyio
async def test_a_token_with_an_async_function(ehr, elsewhere):
    """The same by awaiting, on both event loops."""

    async def sign(signing_input):
        await anyio.lowlevel.checkpoint()
        return elsewhere.sign(signing_input)

    signer = AsyncCallableSigner(sign, public_key=elsewhere.public_jwk())
    async with AsyncSmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:
        token = await client.backend_token("system/*.rs")
    assert token.access_token.reveal()


@pytest.mark.anyio
async def test_nothing_is_sent_with_a_wrong_key(ehr, algorithm, elsewhere):
    """A mismatch stops before the token request."""
    other = SigningKey.generate(algorithm, key_size=2048)
    signer = CallableSigner(other.sign, public_key=elsewhere.public_jwk())
    async with AsyncSmartClient(config_for(ehr, signer), transport=ehr.transport()) as client:
        with pytest.raises(ConfigurationError, match="nothing was sent"):
            await client.backend_token("system/*.rs")
    assert [each.url for each in ehr.requests if each.url == ehr.token_endpoint] == []
