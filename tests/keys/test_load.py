"""Private keys in every form they are kept in, and everything that is none."""

import datetime
import json
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st

from smart_async.errors import ConfigurationError, SmartError
from smart_async.keys import SigningKey, is_public_half, load
from smart_async.keys.base64url import b64url_encode, octets
from smart_async.keys.load import load_bytes, needs_passphrase
from smart_async.messages import Secret

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"opensesame")


def numbers(key):
    return key.private_numbers()


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app.example.com")])
    start = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


def public_pem(key):
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_jwk(key, **more):
    """Return the private JWK of *key*, written by hand."""
    text = lambda value, width=None: b64url_encode(octets(value, width))  # noqa: E731
    held = key.private_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        crt = {"p": held.p, "q": held.q, "dp": held.dmp1, "dq": held.dmq1, "qi": held.iqmp}
        public = held.public_numbers
        members = {"n": public.n, "e": public.e, "d": held.d} | crt
        return {"kty": "RSA"} | {name: text(value) for name, value in members.items()} | more
    width = (key.key_size + 7) // 8
    crv = {32: "P-256", 48: "P-384", 66: "P-521"}[width]
    point = held.public_numbers
    values = {"x": text(point.x, width), "y": text(point.y, width), "d": text(held.private_value, width)}
    return {"kty": "EC", "crv": crv} | values | more


@pytest.mark.parametrize("fixture", ["rsa_key", "p384_key"])
@pytest.mark.parametrize(
    "form", ["pkcs8", "old", "pkcs8-locked", "old-locked", "pkcs8-der", "old-der", "der-locked"]
)
def test_pem_and_der_are_read_plain_and_encrypted(request, fixture, form):
    """PKCS #1, PKCS #8 and SEC 1 give back the key that was written, in PEM and DER."""
    key = request.getfixturevalue(fixture)
    locked = "locked" in form
    data = key.private_bytes(
        DER if "der" in form else PEM, OLD if "old" in form else PKCS8, LOCKED if locked else PLAIN
    )
    assert needs_passphrase(data) == locked
    loaded = load_bytes(data, passphrase="opensesame" if locked else None)
    assert (numbers(loaded.key), loaded.kid, loaded.algorithm) == (numbers(key), None, None)


@pytest.mark.parametrize("passphrase", ["öffne dich", "öffne dich".encode(), Secret("öffne dich")])
def test_a_passphrase_may_be_text_bytes_or_a_secret(p384_key, passphrase):
    """Text is UTF-8, whichever way it is given."""
    locked = serialization.BestAvailableEncryption("öffne dich".encode())
    data = p384_key.private_bytes(PEM, PKCS8, locked)
    assert numbers(load_bytes(data, passphrase=passphrase).key) == numbers(p384_key)


@pytest.mark.parametrize("fixture", ["rsa_key", "p384_key"])
@pytest.mark.parametrize("locked", [True, False])
def test_pkcs12_is_read(request, fixture, locked):
    """A PKCS #12 file gives its key, with or without a passphrase."""
    key = request.getfixturevalue(fixture)
    data = pkcs12.serialize_key_and_certificates(
        b"app", key, certificate(key), None, LOCKED if locked else PLAIN
    )
    loaded = load_bytes(data, passphrase="opensesame" if locked else None)
    assert (numbers(loaded.key), needs_passphrase(data)) == (numbers(key), True)


@pytest.mark.parametrize("fixture", ["rsa_key", "p384_key"])
def test_a_jwk_is_read_with_its_kid_and_alg(request, fixture):
    """The JWK's own kid and alg are kept, parsed or as text."""
    key = request.getfixturevalue(fixture)
    jwk = private_jwk(key, kid="k1", alg="RS512" if fixture == "rsa_key" else "ES384", use="sig", ext=True)
    for form in (jwk, json.dumps(jwk), json.dumps(jwk).encode()):
        loaded = load.load_jwk(form)
        assert (numbers(loaded.key), loaded.kid, loaded.algorithm) == (numbers(key), "k1", jwk["alg"])
    assert load_bytes(b"\xef\xbb\xbf \n" + json.dumps(jwk).encode()).kid == "k1"


def test_an_rsa_jwk_with_d_alone_is_completed(rsa_key):
    """n, e and d are enough: the primes follow from them."""
    jwk = {name: value for name, value in private_jwk(rsa_key).items() if name in ("kty", "n", "e", "d")}
    loaded = numbers(load.load_jwk(jwk).key)
    assert {loaded.p, loaded.q} == {numbers(rsa_key).p, numbers(rsa_key).q}


def test_padded_numbers_with_leading_zeros_are_read(rsa_key):
    """Tools that pad JWK numbers are common."""
    jwk = private_jwk(rsa_key)
    jwk["n"] = b64url_encode(b"\0" + octets(numbers(rsa_key).public_numbers.n)) + "="
    assert numbers(load.load_jwk(jwk).key) == numbers(rsa_key)


def test_the_published_jwks_are_read(smart_vectors):
    """The example keys of the SMART reference load, with their ids."""
    loaded = [load.load_jwk(smart_vectors[name]) for name in ("ec_private_jwk", "rsa_private_jwk")]
    assert [(key.kid, key.algorithm) for key in loaded] == [
        ("cw-ec-2031a", "ES384"),
        ("cw-rsa-2031a", "RS384"),
    ]


def test_kid_chooses_a_key_of_a_set(rsa_key, p384_key):
    """One private key is taken as it is; of several, kid names one; public ones do not count."""
    public = {name: value for name, value in private_jwk(p384_key, kid="pub").items() if name != "d"}
    one = {"keys": [public, private_jwk(p384_key, kid="a"), 5]}
    two = {"keys": [*one["keys"], private_jwk(rsa_key, kid="b")]}
    assert load_bytes(json.dumps(one).encode()).kid == "a"
    assert load_bytes(json.dumps(two).encode(), kid="b").kid == "b"
    assert load.load_jwks(json.dumps(two), kid="a").kid == "a"
    with pytest.raises(ConfigurationError, match=r"2 private keys where one is needed .*it has: a, b"):
        load.load_jwks(two)
    with pytest.raises(ConfigurationError, match="0 private keys with the kid 'pub'"):
        load.load_jwks(two, kid="pub")
    with pytest.raises(ConfigurationError, match="it has: none"):
        load.load_jwks({"keys": []})


@pytest.mark.parametrize("text", ["# my key\n{}", "Bag Attributes\n  x: y\n{}\n", "{}\r\n", "\ufeff{}"])
def test_text_around_the_pem_does_not_disturb(p384_key, text):
    """Comments, bag attributes, a byte order mark and foreign line ends are common."""
    pem = p384_key.private_bytes(PEM, PKCS8, PLAIN).decode().replace("\n", "\r\n" if "\r" in text else "\n")
    assert numbers(load_bytes(text.format(pem).encode()).key) == numbers(p384_key)


def test_certificates_and_curve_parameters_beside_the_key_do_not_disturb(p384_key):
    """A file often holds the chain too, and openssl writes the curve in front of the key."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"
    chain = certificate(p384_key).public_bytes(PEM)
    pem = parameters + p384_key.private_bytes(PEM, OLD, PLAIN) + chain
    assert numbers(load.load_pem(pem.decode()).key) == numbers(p384_key)


def bad_keys():
    """Yield a name, a maker of bad bytes from (RSA key, P-384 key), and what the error says."""
    yield (
        "rsa-1024",
        lambda r, e: rsa.generate_private_key(65537, 1024).private_bytes(PEM, PKCS8, PLAIN),
        "1024 bits; 2048",
    )
    yield (
        "ed25519",
        lambda r, e: ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN),
        "an Ed25519 key",
    )
    yield "dsa", lambda r, e: dsa.generate_private_key(2048).private_bytes(PEM, PKCS8, PLAIN), "DSA key"
    yield (
        "secp256k1",
        lambda r, e: ec.generate_private_key(ec.SECP256K1()).private_bytes(PEM, OLD, PLAIN),
        "secp256k1",
    )
    yield "openssh", lambda r, e: e.private_bytes(PEM, serialization.PrivateFormat.OpenSSH, PLAIN), "OpenSSH"
    yield "public", lambda r, e: public_pem(r), "a public key, which cannot sign"
    yield (
        "public-der",
        lambda r, e: e.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "a public key, which cannot sign",
    )
    p384, other = bytes.fromhex("2b81040022"), bytes.fromhex("2b8104007f")
    yield "curve", lambda r, e: e.private_bytes(DER, PKCS8, PLAIN).replace(p384, other), "an unknown curve"
    yield (
        "certificate",
        lambda r, e: certificate(e).public_bytes(PEM),
        "a certificate without its private key",
    )
    yield "certificate-der", lambda r, e: certificate(e).public_bytes(DER), "a certificate, which cannot sign"
    yield (
        "two",
        lambda r, e: r.private_bytes(PEM, OLD, PLAIN) + e.private_bytes(PEM, PKCS8, PLAIN),
        "2 private keys",
    )
    yield "cut", lambda r, e: e.private_bytes(PEM, PKCS8, PLAIN)[:120], "cut off or damaged"
    yield (
        "escaped",
        lambda r, e: e.private_bytes(PEM, PKCS8, PLAIN).replace(b"\n", rb"\n"),
        r"line breaks were turned into \\n",
    )
    yield (
        "request",
        lambda r, e: b"-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----",
        "a certificate request without its private key",
    )
    yield (
        "other-pem",
        lambda r, e: b"-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----",
        "PEM with X509 CRL",
    )
    yield (
        "damaged",
        lambda r, e: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        "a damaged key",
    )
    yield "damaged-der", lambda r, e: e.private_bytes(DER, PKCS8, PLAIN)[:-20], "a damaged key"
    yield "empty", lambda r, e: b"", "an empty file"
    yield "blank", lambda r, e: b" \n\t", "an empty file"
    yield "junk", lambda r, e: b"hello", "not a key in PEM, DER, PKCS #12 or JWK form"
    yield "sequence", lambda r, e: b"\x30", "a damaged key"
    yield "json-array", lambda r, e: b"[]", "JSON, but not an object"
    yield "json-bad", lambda r, e: b'{"kty":', "neither PEM nor valid JSON"
    yield "json-twice", lambda r, e: b'{"d":"x","d":"y"}', "neither PEM nor valid JSON"
    yield (
        "p12-without-key",
        lambda r, e: pkcs12.serialize_key_and_certificates(None, None, certificate(e), None, PLAIN),
        "a PKCS #12 file without a private key",
    )
    yield "keys-no-array", lambda r, e: b'{"keys": {}}', "not a JWK Set"


@pytest.mark.parametrize(("make", "found"), [pytest.param(m, f, id=n) for n, m, f in bad_keys()])
def test_what_is_no_usable_key_is_refused_by_what_it_is(rsa_key, p384_key, make, found):
    """The error says what was found and what is needed, and never holds a piece of the file."""
    data = make(rsa_key, p384_key)
    with pytest.raises(ConfigurationError, match=found) as caught:
        load_bytes(data)
    shown = str(caught.value)
    assert ("needed" in shown, bool(caught.value.advice), caught.value.__cause__) == (True, True, None)
    body = re.findall(r"[A-Za-z0-9+/]{20,}", data.decode("latin-1"))
    assert not [piece for piece in body if piece in shown]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "a symmetric key"),
        ({"kty": "OKP", "crv": "Ed25519"}, "another type .kty OKP, crv Ed25519"),
        ({"kty": None}, "another type"),
        ({"d": ...}, "the JWK has no d"),
        ({"kid": 5}, "whose kid is not a string"),
        ({"alg": "RSA-OAEP"}, "whose alg is not a signature algorithm"),
        ({"alg": "HS256"}, "whose alg is not a signature algorithm"),
        ({"alg": ["RS384"]}, "whose alg is not a signature algorithm"),
        ({"use": "enc"}, "not for signatures"),
        ({"key_ops": ["verify"]}, "not for signatures"),
        ({"key_ops": "sign"}, "not for signatures"),
        ({"oth": []}, "more than two primes"),
        ({"n": "!!"}, "its n is not base64url"),
        ({"q": ...}, "its q is missing"),
        ({"e": "Aw"}, "public exponent 3"),
        ({"d": "AQAB"}, "do not belong to its public ones"),
        ({"dp": "AQ"}, "do not belong to its public ones"),
    ],
)
def test_a_jwk_that_cannot_sign_is_refused_by_what_is_wrong_with_it(rsa_key, change, found):
    """Start from a good RSA JWK and change one member: the error says which and why."""
    jwk = {name: value for name, value in (private_jwk(rsa_key) | change).items() if value is not ...}
    with pytest.raises(ConfigurationError, match=found) as caught:
        load.load_jwk(jwk)
    assert jwk["n"] not in str(caught.value)


@pytest.mark.parametrize("change", [{"d": "AQ"}, {"crv": "P-224"}, {"x": "AQ"}, {"y": None}, {"d": ""}])
def test_an_ec_jwk_that_does_not_hold_together_is_refused(p384_key, change):
    """The private number must belong to the point, and the point lie on the curve."""
    with pytest.raises(ConfigurationError, match=r"This (is a )?JWK"):
        load.load_jwk(private_jwk(p384_key) | change)


@pytest.mark.parametrize("form", ["pkcs8", "old", "der", "pkcs12"])
@pytest.mark.parametrize(
    ("passphrase", "message"),
    [
        (None, "no passphrase was given|needs a passphrase"),
        ("", "no passphrase was given|needs a passphrase"),
        ("WRONG-CANARY", "does not open"),
    ],
)
def test_a_wrong_or_missing_passphrase_is_told_apart(p384_key, form, passphrase, message):
    """An encrypted key says whether the passphrase is missing or wrong, and never quotes it."""
    data = (
        pkcs12.serialize_key_and_certificates(b"app", p384_key, None, None, LOCKED)
        if form == "pkcs12"
        else p384_key.private_bytes(DER if form == "der" else PEM, OLD if form == "old" else PKCS8, LOCKED)
    )
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_bytes(data, passphrase=passphrase)
    assert ("CANARY" in str(caught.value), caught.value.field) == (False, "passphrase")


def test_a_passphrase_for_a_plain_key_is_an_error(p384_key):
    """Whoever gives a passphrase believes the key to be encrypted, and should learn that it is not."""
    with pytest.raises(ConfigurationError, match="not encrypted, but a passphrase was given"):
        load_bytes(p384_key.private_bytes(PEM, PKCS8, PLAIN), passphrase="x")


def test_an_encryption_that_is_not_supported_is_named_as_such(p384_key):
    """Old ciphers that the cryptography package has dropped lead to the command that converts the key."""
    pem = p384_key.private_bytes(PEM, OLD, LOCKED).decode()
    foreign = re.sub(r"DEK-Info: [A-Z0-9-]+,", "DEK-Info: IDEA-CBC,", pem)
    assert foreign != pem
    with pytest.raises(ConfigurationError, match=r"not supported.*openssl pkcs8"):
        load_bytes(foreign.encode(), passphrase="opensesame")


def test_the_loaded_key_is_not_shown(p384_key):
    """The repr of what was loaded holds no key."""
    assert "key=" not in repr(load_bytes(p384_key.private_bytes(PEM, PKCS8, PLAIN)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_only_our_errors_escape(rsa_key, p384_key, data):
    """A good key file with some bytes changed gives a key or an error of ours."""
    key = data.draw(st.sampled_from([rsa_key, p384_key]))
    forms = [
        key.private_bytes(PEM, PKCS8, PLAIN),
        key.private_bytes(DER, PKCS8, PLAIN),
        key.private_bytes(DER, OLD, PLAIN),
        json.dumps(private_jwk(key)).encode(),
        pkcs12.serialize_key_and_certificates(b"app", key, None, None, PLAIN),
    ]
    good = bytearray(data.draw(st.sampled_from(forms)))
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_bytes(bytes(good))
    except SmartError as exc:
        refused = exc
    else:
        return
    assert type(refused) is ConfigurationError


@pytest.mark.parametrize(
    ("constructor", "given"),
    [
        ("from_pem", "key.pem"),
        ("from_pem", "/etc/keys/my key.pem"),
        ("from_pem", b"secrets\\app.key"),
        ("from_bytes", "key.pem"),
        ("from_bytes", b"./key.p12"),
        ("from_jwk", "key.jwk"),
        ("from_jwks", "~/jwks.json"),
        ("from_pem", Path("key.pem")),
        ("from_bytes", Path("key.pem")),
        ("from_jwk", Path("key.jwk")),
    ],
)
def test_a_path_in_the_place_of_a_key_is_called_one(constructor, given):
    """Whoever gives the name of a file is told to read it, or what reads it."""
    with pytest.raises(ConfigurationError, match=r"file name|takes .*Path") as caught:
        getattr(SigningKey, constructor)(given)
    assert "load_signing_key(path)" in caught.value.advice


@pytest.mark.parametrize("constructor", ["from_pem", "from_bytes", "from_jwk", "from_jwks", "from_pkcs12"])
@pytest.mark.parametrize("given", [5, None, ["x"], "some text"])
def test_an_argument_that_cannot_be_a_key_is_a_configuration_error(constructor, given):
    """Nothing of the wrong type or form ends in a TypeError."""
    more = {"passphrase": None} if constructor == "from_pkcs12" else {}
    with pytest.raises(ConfigurationError) as caught:
        getattr(SigningKey, constructor)(given, **more)
    assert (caught.value.field, bool(caught.value.advice)) == ("key", True)


@pytest.mark.parametrize(
    ("form", "found", "advice"),
    [
        ("jwks", "a JWK Set, not PEM", "from_jwks"),
        ("jwk", "a JWK, not PEM", "from_jwk "),
        ("der", "DER", "from_bytes"),
    ],
)
def test_another_form_given_as_pem_names_its_constructor(p384_key, form, found, advice):
    """A JWK Set, a JWK or DER in the place of PEM is called what it is."""
    jwk = json.dumps(private_jwk(p384_key))
    data = {
        "jwks": f'{{"keys": [{jwk}]}}'.encode(),
        "jwk": jwk.encode(),
        "der": p384_key.private_bytes(DER, PKCS8, PLAIN),
    }[form]
    with pytest.raises(ConfigurationError, match=found) as caught:
        load.load_pem(data)
    assert advice in caught.value.advice


def test_a_set_given_as_one_jwk_names_its_constructor(p384_key):
    """from_jwk takes no set."""
    with pytest.raises(ConfigurationError, match="a JWK Set, not one JWK") as caught:
        load.load_jwk({"keys": [private_jwk(p384_key)]})
    assert "from_jwks" in caught.value.advice


def test_a_set_of_public_keys_is_called_the_public_half(p384_key):
    """What was registered is easily mistaken for what signs."""
    public = {name: value for name, value in private_jwk(p384_key).items() if name != "d"}
    with pytest.raises(ConfigurationError, match="This is the public half") as caught:
        load.load_jwks({"keys": [public]})
    assert "key.pem" in caught.value.advice


def test_bytes_like_objects_are_read(p384_key):
    """A bytearray or memoryview holds bytes as well."""
    pem = p384_key.private_bytes(PEM, PKCS8, PLAIN)
    assert numbers(load.load_pem(bytearray(pem)).key) == numbers(load_bytes(memoryview(pem)).key)


def test_a_passphrase_of_another_type_is_refused(p384_key):
    """A number is no passphrase."""
    with pytest.raises(ConfigurationError, match="passphrase must be text, bytes or a Secret, not int"):
        load_bytes(p384_key.private_bytes(PEM, PKCS8, LOCKED), passphrase=5)


@pytest.mark.parametrize(
    ("form", "public"),
    [
        ("pem", False),
        ("public-pem", True),
        ("jwk", False),
        ("public-jwks", True),
        ("mixed", False),
        ("junk", False),
    ],
)
def test_the_public_half_is_known_by_sight(p384_key, form, public):
    """Only what holds public keys and nothing private is the public half."""
    private = private_jwk(p384_key)
    shown = {name: value for name, value in private.items() if name != "d"}
    data = {
        "pem": p384_key.private_bytes(PEM, PKCS8, PLAIN) + public_pem(p384_key),
        "public-pem": public_pem(p384_key),
        "jwk": json.dumps(private).encode(),
        "public-jwks": json.dumps({"keys": [shown]}).encode(),
        "mixed": json.dumps({"keys": [shown, private]}).encode(),
        "junk": b"{}",
    }[form]
    assert is_public_half(data) is public
