"""The verifier: start from a good token, break one thing."""

import contextlib
import hashlib
import hmac
import json
import math
from dataclasses import replace
from itertools import product

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws

from smart_async.errors import ConfigurationError, IdTokenError, ProtocolError
from smart_async.keys import (
    SigningKey,
    compact,
    has_key_for,
    parse_jwks,
    public_jwks,
    signing_input,
    verify_jws,
)
from smart_async.keys.base64url import b64url_encode
from smart_async.limits import JWS_HEADER_BYTES, JWS_PAYLOAD_BYTES, JWS_SIGNATURE_BYTES

CLAIMS = {"iss": "https://ehr.example.com", "sub": "u-1"}
ALL = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")


def make(key, header=None, claims=CLAIMS, **more):
    """Return a good token of *key*, or one with another header."""
    header = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | (header or {}) | more
    header = {name: value for name, value in header.items() if value is not ...}
    data = signing_input(header, claims)
    return compact(data, key.sign(data))


def with_header(token, header):
    """Return *token* with its header's bytes replaced."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return ".".join([b64url_encode(data), *token.split(".")[1:]])


@pytest.fixture(scope="session")
def keys(rsa_signer, ec_signer):
    return parse_jwks(public_jwks([rsa_signer, ec_signer]))


@pytest.mark.parametrize("fixture", ["rsa_signer", "ec_signer"])
def test_a_good_token_gives_its_header_and_claims(request, keys, fixture):
    """A token signed by one of the keys is verified, and says what was signed."""
    key = request.getfixturevalue(fixture)
    verified = verify_jws(make(key), keys, algorithms=ALL)
    assert verified.header == {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
    assert verified.claims() == CLAIMS


@pytest.mark.parametrize("algorithm", ALL)
def test_every_algorithm_verifies_what_it_signed(algorithm):
    """Signer and verifier agree in all nine algorithms."""
    key = SigningKey.generate(algorithm, key_size=2048)
    keys = parse_jwks(public_jwks([key]))
    assert verify_jws(make(key), keys, algorithms=[algorithm]).claims() == CLAIMS


def rsa_8192():
    """Return a key of the two 4096-bit primes of RFC 3526 and RFC 7919: making one takes half a minute."""
    scale = 1 << 5000
    arctan = lambda x: sum((-1) ** k * (scale // x ** (2 * k + 1)) // (2 * k + 1) for k in range(2200))  # noqa: E731
    pi, e = 4 * (4 * arctan(5) - arctan(239)), sum(scale // math.factorial(k) for k in range(700))
    p, q = (
        2**4096 - 2**4032 - 1 + 2**64 * ((constant >> (5000 - 3966)) + offset)
        for constant, offset in ((pi, 240904), (e, 5736041))
    )
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(65537, p * q)).private_key(
        unsafe_skip_rsa_key_validation=True
    )


def test_a_key_of_the_largest_size_verifies():
    """An RSA-8192 signature has 1024 bytes, and is not too long."""
    key = SigningKey.from_key(rsa_8192())
    assert len(key.sign(b"")) == 1024
    assert verify_jws(make(key), parse_jwks(public_jwks([key])), algorithms=["RS384"]).claims() == CLAIMS


@pytest.mark.rule("AS-02", "AS-03", "ID-01")
@pytest.mark.parametrize(
    ("name", "signer"),
    [
        ("es384_assertion", "ec_private_jwk"),
        ("rs384_assertion", "rsa_private_jwk"),
        ("rs256_id_token", "rsa_private_jwk"),
    ],
)
def test_the_published_tokens_verify(smart_vectors, name, signer):
    """The vectors of the SMART reference verify with their keys, and say what it prints."""
    vector, jwk = smart_vectors[name], smart_vectors[signer]
    public = {member: jwk[member] for member in ("kty", "n", "e", "crv", "x", "y") if member in jwk}
    keys = parse_jwks({"keys": [public | {"kid": vector["header"]["kid"]}]})
    verified = verify_jws(vector["token"], keys, algorithms=[vector["header"]["alg"]])
    assert (verified.header, verified.claims()) == (vector["header"], vector["claims"])


def test_an_empty_list_of_algorithms_accepts_nothing(ec_signer, keys):
    """An empty list, as narrowing may leave it, is an error and never a default."""
    for nothing in ([], (), set()):
        with pytest.raises(IdTokenError, match="No signature algorithm is left"):
            verify_jws(make(ec_signer), keys, algorithms=nothing, error=IdTokenError)


@pytest.mark.parametrize("name", ["none", "None", "HS256", "HS512", "EdDSA", "dir", ""])
def test_algorithms_without_a_public_key_cannot_be_allowed(ec_signer, keys, name):
    """None and HMAC cannot even be asked for."""
    with pytest.raises(ConfigurationError, match="not an algorithm to verify with a public key") as caught:
        verify_jws(make(ec_signer), keys, algorithms=["ES384", name])
    assert caught.value.field == "algorithms"


def test_a_single_name_is_a_list_of_one(ec_signer, keys):
    """A forgotten pair of brackets does not turn a name into its letters."""
    assert verify_jws(make(ec_signer), keys, algorithms="ES384").claims() == CLAIMS


@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "", "HS256", "RS384", "ES256", "ES384 ", ["ES384"], None, 5, True, ...]
)
def test_the_token_does_not_choose_its_algorithm(ec_signer, keys, alg):
    """An algorithm that is not on the list, or no text, is refused before any cryptography."""
    with pytest.raises(ProtocolError, match="names the algorithm"):
        verify_jws(make(ec_signer, alg=alg), keys, algorithms=["ES384"])


@pytest.mark.parametrize("alg", ["none", "NONE"])
def test_a_token_without_signature_is_refused(ec_signer, keys, alg):
    """An empty signature is no signature."""
    unsigned = make(ec_signer, alg=alg).rpartition(".")[0] + "."
    with pytest.raises(ProtocolError, match="no signature"):
        verify_jws(unsigned, keys, algorithms=ALL)


@pytest.mark.parametrize("form", ["pem", "der", "ssh", "jwk"])
def test_a_public_key_is_never_an_hmac_secret(rsa_key, rsa_signer, keys, form):
    """A token signed with HMAC under the server's public key is refused, whatever its form."""
    public, pkcs = rsa_key.public_key(), serialization.PublicFormat.SubjectPublicKeyInfo
    secret = {
        "pem": public.public_bytes(serialization.Encoding.PEM, pkcs),
        "der": public.public_bytes(serialization.Encoding.DER, pkcs),
        "ssh": public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        "jwk": json.dumps(rsa_signer.public_jwk()).encode(),
    }[form]
    for kid in ("rsa-1", ...):
        header = {"alg": "HS256"} | ({} if kid is ... else {"kid": kid})
        data = signing_input(header, CLAIMS)
        token = compact(data, hmac.digest(secret, data, hashlib.sha256))
        with pytest.raises(ProtocolError, match="names the algorithm HS256"):
            verify_jws(token, keys, algorithms=ALL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jwk", {}),
        ("jku", "https://evil.example.com/jwks"),
        ("jku", "http://127.0.0.1:1/jwks"),
        ("x5u", "https://evil.example.com/x5u"),
        ("crit", ["exp"]),
        ("crit", []),
        ("crit", ["b64"]),
        ("crit", None),
        ("b64", False),
        ("b64", True),
    ],
)
def test_headers_that_bring_keys_or_change_the_rules_are_refused(ec_signer, keys, name, value):
    """A validly signed token with such a header is refused all the same."""
    with pytest.raises(ProtocolError, match=f"header has {name}, which is refused"):
        verify_jws(make(ec_signer, {name: value}), keys, algorithms=ALL)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("crit", "it demands extensions"),
        ("b64", "it changes how the payload is encoded"),
        ("jwk", "a token must not bring its own key"),
        ("jku", "a token must not say where its key is"),
        ("x5u", "a token must not say where its certificate is"),
    ],
)
def test_a_refused_header_is_told_why(ec_signer, keys, name, why):
    """The message says what such a header would do."""
    with pytest.raises(ProtocolError) as caught:
        verify_jws(make(ec_signer, {name: None}), keys, algorithms=ALL)
    assert caught.value.message == f"The token's header has {name}, which is refused: {why}."


def with_payload(key, payload):
    """Return a token that *key* signed over any bytes."""
    head = signing_input({"alg": key.algorithm, "kid": key.kid}, {}).split(b".")[0]
    data = head + b"." + b64url_encode(payload).encode()
    return compact(data, key.sign(data))


def test_what_a_refusal_quotes(ec_signer, keys):
    """The algorithms are listed in order; of what the token says, 32 characters of alg and 64 of kid."""
    for claimed, shown in (("none", "none"), ("x" * 33, "x" * 31 + "…"), (5, "nothing readable")):
        with pytest.raises(ProtocolError) as caught:
            verify_jws(make(ec_signer, alg=claimed), keys, algorithms={"RS384", "ES384"})
        assert caught.value.message == f"The token names the algorithm {shown}; accepted are ES384, RS384."
    for kid, shown in (("x" * 64, "x" * 64), ("x" * 65, "x" * 63 + "…")):
        with pytest.raises(ProtocolError, match=f"kid '{shown}', ES384"):
            verify_jws(make(ec_signer, kid=kid), keys, algorithms=ALL)


REFUSALS = {
    "not text": (lambda key: None, "format"),
    "endless": (lambda key: "a" * 200_000, "format"),
    "two parts": (lambda key: "a.b", "format"),
    "five parts": (lambda key: "a.b.c.d.e", "encrypted"),
    "padded": (lambda key: make(key) + "=", "format"),
    "unsigned": (lambda key: make(key).rpartition(".")[0] + ".", "format"),
    "no JSON header": (lambda key: with_header(make(key), b"{"), "header"),
    "a list as header": (lambda key: with_header(make(key), b"[]"), "header"),
    "its own key": (lambda key: make(key, jwk={}), "header"),
    "kid": (lambda key: make(key, kid=5), "header"),
    "alg": (lambda key: make(key, alg="none"), "alg"),
    "another kid": (lambda key: make(key, kid="other"), "key"),
    "changed": (lambda key: with_header(make(key), {"alg": "ES384", "kid": "ec-1"}), "signature"),
    "no JSON payload": (lambda key: with_payload(key, b"{"), "payload"),
    "a list as payload": (lambda key: with_payload(key, b"[]"), "payload"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_each_refusal_says_in_a_word_what_it_is_about(ec_signer, keys, refusal):
    """Programs tell a key that is not there yet from a token that is none by the reason, not by the text."""
    token, reason = REFUSALS[refusal]
    with pytest.raises(IdTokenError) as caught:
        verify_jws(token(ec_signer), keys, algorithms=ALL, error=IdTokenError).claims(IdTokenError)
    assert caught.value.reason == reason


def test_the_reason_where_two_keys_fit_or_no_algorithm_is_left(ec_signer, keys):
    """The same holds for what is wrong with the caller's side."""
    for options, reason in (
        ({"keys": keys + keys, "algorithms": ALL}, "key"),
        ({"keys": keys, "algorithms": []}, "alg"),
    ):
        with pytest.raises(ProtocolError) as caught:
            verify_jws(make(ec_signer), **options)
        assert caught.value.reason == reason


def test_the_longest_honest_token(ec_signer, keys):
    """Header, payload and signature may all be as long as each of them may be."""
    parts = [
        json.dumps({"alg": "ES384", "kid": "ec-1"}).encode().ljust(JWS_HEADER_BYTES),
        b" " * JWS_PAYLOAD_BYTES,
        b"\1" * JWS_SIGNATURE_BYTES,
    ]
    with pytest.raises(ProtocolError, match="signature does not match"):
        verify_jws(".".join(map(b64url_encode, parts)), keys, algorithms=ALL)


def test_a_token_cannot_bring_the_key_that_signed_it(keys):
    """The jwk header with the very key that made the signature is refused."""
    foreign = SigningKey.generate("ES384", kid="ec-1")
    with pytest.raises(ProtocolError, match="header has jwk"):
        verify_jws(make(foreign, jwk=foreign.public_jwk()), keys, algorithms=ALL)


@pytest.mark.parametrize(
    "header", [{"x5c": ["MIIB"]}, {"x5t": "abc"}, {"x5t#S256": "abc"}, {"extra": [1, {}]}]
)
def test_certificates_and_unknown_headers_are_ignored(ec_signer, keys, header):
    """They decide nothing: the key comes from the caller."""
    assert verify_jws(make(ec_signer, header), keys, algorithms=ALL).claims() == CLAIMS


def test_a_long_honest_header_is_read(ec_signer, keys):
    """A certificate chain makes a header longer than the 512 bytes that joserfc allows by itself."""
    token = make(ec_signer, x5c=["A" * 1500] * 3)
    assert verify_jws(token, keys, algorithms=ALL).claims() == CLAIMS
    with pytest.raises(ProtocolError, match=f"at most {JWS_HEADER_BYTES}"):
        verify_jws(make(ec_signer, x5c=["A" * JWS_HEADER_BYTES]), keys, algorithms=ALL)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'"alg"',
        b"1",
        b"null",
        b"",
        b"{",
        b"\xff\xfe",
        b'{"alg":"ES384","alg":"none"}',
        b'{"alg":"ES384","x":NaN}',
        b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
)
def test_a_header_that_is_no_strict_json_object_is_our_error(ec_signer, keys, header):
    """No foreign exception escapes from an odd header."""
    with pytest.raises(ProtocolError, match="The token's header"):
        verify_jws(with_header(make(ec_signer), header), keys, algorithms=ALL)


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "....", "a.b.c.d", "a.b.c.d.e.f", ".....", "a.b.c", None, 5, b"a.b.c"]
)
def test_what_has_not_three_parts_is_refused(keys, token):
    """Anything but three parts of base64url text is our error."""
    with pytest.raises(ProtocolError, match="The token is"):
        verify_jws(token, keys, algorithms=ALL)


def test_an_encrypted_token_is_refused_as_such(keys):
    """Five parts are an encrypted token, and the error says what to do."""
    with pytest.raises(ProtocolError, match="encrypted") as caught:
        verify_jws("eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", keys, algorithms=ALL)
    assert "registration" in caught.value.advice


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "+{}", "{}/", "é{}", "{}A\0"])
def test_only_canonical_base64url_is_accepted(ec_signer, keys, part, change):
    """The same signature must not travel in a second disguise."""
    segments = make(ec_signer).split(".")
    segments[part] = change.format(segments[part])
    with pytest.raises(ProtocolError):
        verify_jws(".".join(segments), keys, algorithms=ALL)


def test_stray_bits_at_the_end_are_refused(ec_signer, keys):
    """The bits that no byte uses must be zero, or one signature had several texts."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    head, body, signature = make(ec_signer, claims={"a": "xx"}).split(".")
    assert len(body) % 4 == 2
    changed = body[:-1] + alphabet[alphabet.index(body[-1]) + 1]
    with pytest.raises(ProtocolError, match="canonical"):
        verify_jws(f"{head}.{changed}.{signature}", keys, algorithms=ALL)


def test_sizes_are_limited_before_anything_is_read(ec_signer, keys):
    """A payload at the limit is read, one byte more is refused, and an endless token is not looked at."""
    claims = {"a": "x" * (JWS_PAYLOAD_BYTES - len('{"a":""}'))}
    assert len(verify_jws(make(ec_signer, claims=claims), keys, algorithms=ALL).payload) == JWS_PAYLOAD_BYTES
    with pytest.raises(ProtocolError, match="too long"):
        verify_jws(make(ec_signer, claims={"a": claims["a"] + "x"}), keys, algorithms=ALL)
    with pytest.raises(ProtocolError, match="longer than any honest one"):
        verify_jws("a" * 200_000, keys, algorithms=ALL)
    with pytest.raises(ProtocolError, match="too long"):
        verify_jws(make(ec_signer).rpartition(".")[0] + "." + "A" * 1368, keys, algorithms=ALL)


@pytest.mark.parametrize("fixture", ["rsa_signer", "ec_signer"])
def test_a_changed_token_does_not_verify(request, keys, fixture):
    """Another claim, another header or another signature byte breaks the signature."""
    key = request.getfixturevalue(fixture)
    head, body, signature = make(key).split(".")
    other = make(key, claims={"sub": "u-2"}, typ="JOSE").split(".")
    broken = b64url_encode(b"\0" * len(key.sign(b"")))
    for parts in ((other[0], body, signature), (head, other[1], signature), (head, body, broken)):
        with pytest.raises(IdTokenError, match="signature does not match"):
            verify_jws(".".join(parts), keys, algorithms=ALL, error=IdTokenError)


@pytest.mark.parametrize("length", [1, 95, 97, 192, 1024])
def test_an_ec_signature_has_exactly_its_width(ec_signer, keys, length):
    """ES384 signatures have 96 bytes; DER and others are refused."""
    token = make(ec_signer).rpartition(".")[0] + "." + b64url_encode(b"\1" * length)
    with pytest.raises(ProtocolError, match="signature does not match"):
        verify_jws(token, keys, algorithms=ALL)


def joserfc_accepts(token, key):
    """Return whether joserfc's own reader of whole tokens accepts *token*."""
    registry = jws.JWSRegistry(algorithms=list(ALL), strict_check_header=False)
    try:
        jws.deserialize_compact(token, key.for_joserfc(), registry=registry)
    except Exception:  # it raises more than its own errors
        return False
    return True


@pytest.mark.parametrize("algorithm", ALL)
def test_the_verdict_is_the_one_of_joserfcs_whole_reader(algorithm):
    """Judging the parts that we cut is as strict as handing joserfc the token: never yes where it says no."""
    signer = SigningKey.generate(algorithm, key_size=2048)
    (key,) = parse_jwks(public_jwks([signer]))
    good, other = make(signer), make(signer, claims={"sub": "u-2"})
    signature = signer.sign(b"")
    cut = b64url_encode(signature[:-1])
    tokens = [
        good,
        f"{good.rpartition('.')[0]}.{other.rpartition('.')[2]}",
        *(
            f"{good.rpartition('.')[0]}.{b64url_encode(bad)}"
            for bad in (b"\0" * len(signature), b"\1", signature)
        ),
        f"{good.rpartition('.')[0]}.{cut}",
        *(make(signer, {name: 5}) for name in ("typ", "cty", "x5t", "x5c")),
        *(make(signer, alg=name) for name in ALL if name != algorithm),
    ]

    def ours(token):
        try:
            return bool(verify_jws(token, [key], algorithms=ALL))
        except ProtocolError:
            return False

    assert [joserfc_accepts(token, key) for token in tokens] == [ours(token) for token in tokens]
    assert [ours(token) for token in tokens].count(True) == 1


@pytest.mark.parametrize("verdict", [None, 1, "yes", b"\1"])
def test_only_a_plain_yes_of_the_judge_counts(monkeypatch, ec_signer, keys, verdict):
    """A joserfc that one day answered with something else than True or False would let nothing through."""
    judge = jws.JWSRegistry.algorithms["ES384"]
    monkeypatch.setattr(judge, "verify", lambda *_: verdict)
    with pytest.raises(ProtocolError, match="signature does not match"):
        verify_jws(make(ec_signer), keys, algorithms=ALL)


def test_a_key_is_made_ready_for_joserfc_once(ec_signer):
    """However many tokens it judges, and without being another key for it."""
    first, second = (parse_jwks(public_jwks([ec_signer]))[0] for _ in range(2))
    for _ in range(2):
        assert verify_jws(make(ec_signer), [first], algorithms=ALL).claims() == CLAIMS
    assert first.for_joserfc() is first.for_joserfc()
    assert (first, repr(first)) == (replace(second, key=first.key), repr(replace(second, key=first.key)))


def test_a_key_of_another_type_or_algorithm_is_not_tried(rsa_signer, ec_signer):
    """The kid alone does not do: type, curve and alg of the key must fit the token's algorithm."""
    disguised = parse_jwks({"keys": [ec_signer.public_jwk() | {"kid": "rsa-1"}]})
    with pytest.raises(ProtocolError, match="None of the server's keys fits"):
        verify_jws(make(rsa_signer), disguised, algorithms=ALL)
    bound = parse_jwks({"keys": [rsa_signer.public_jwk() | {"alg": "RS256"}]})
    with pytest.raises(ProtocolError, match="None of the server's keys fits"):
        verify_jws(make(rsa_signer), bound, algorithms=ALL)


def test_an_unknown_kid_is_refused_even_if_only_one_key_fits(ec_signer, keys):
    """A kid that no key has means that the keys changed, or that the token is another's."""
    with pytest.raises(ProtocolError, match=r"kid 'a\[31m b'") as caught:
        verify_jws(make(ec_signer, kid="a\x1b[31m\nb"), keys, algorithms=ALL)
    assert "fetch them again" in caught.value.advice


@pytest.mark.parametrize("kid", [5, None, ["ec-1"], {}])
def test_a_kid_that_is_no_text_is_refused(ec_signer, keys, kid):
    """A kid is text or absent."""
    with pytest.raises(ProtocolError, match="kid is not a string"):
        verify_jws(make(ec_signer, kid=kid), keys, algorithms=ALL)


def test_without_kid_exactly_one_key_must_fit(ec_signer, rsa_signer, keys):
    """A token without kid is accepted from the only key that fits, and from no two."""
    assert verify_jws(make(ec_signer, kid=...), keys, algorithms=ALL).claims() == CLAIMS
    two = keys + parse_jwks(public_jwks([SigningKey.generate("ES384")]))
    with pytest.raises(ProtocolError, match=r"2 of the server's keys fit the token \(no kid\)"):
        verify_jws(make(ec_signer, kid=...), two, algorithms=ALL)


def test_keys_without_kid_are_used_if_exactly_one_fits(ec_signer, rsa_signer):
    """Some servers publish keys without kid: the one that fits is taken, two are refused."""
    jwks = public_jwks([rsa_signer, ec_signer])
    for jwk in jwks["keys"]:
        del jwk["kid"]
    keys = parse_jwks(jwks)
    assert verify_jws(make(ec_signer), keys, algorithms=ALL).claims() == CLAIMS
    with pytest.raises(ProtocolError, match="2 of the server's keys"):
        verify_jws(make(ec_signer), keys + keys, algorithms=ALL)


def test_duplicate_kids_are_told_apart_by_type_or_refused(ec_signer, rsa_signer):
    """Two keys of one kid: type and algorithm decide; if both still fit, the token is refused."""
    same = [jwk | {"kid": "same"} for jwk in public_jwks([rsa_signer, ec_signer])["keys"]]
    token = make(ec_signer, kid="same")
    assert verify_jws(token, parse_jwks({"keys": same}), algorithms=ALL).claims() == CLAIMS
    twin = SigningKey.generate("ES384", kid="same").public_jwk()
    with pytest.raises(ProtocolError, match="2 of the server's keys fit"):
        verify_jws(token, parse_jwks({"keys": [*same, twin]}), algorithms=ALL)


def test_no_keys_verify_nothing(ec_signer):
    """An empty key set refuses every token."""
    with pytest.raises(ProtocolError, match="None of the server's keys fits"):
        verify_jws(make(ec_signer), (), algorithms=ALL)


def test_a_cached_set_that_lacks_the_key_can_be_noticed(ec_signer, keys):
    """Before fetching again one can ask whether a key is there; a hopeless token is an error at once."""
    assert has_key_for(make(ec_signer), keys, algorithms=ALL)
    assert not has_key_for(make(ec_signer, kid="new"), keys, algorithms=ALL)
    with pytest.raises(IdTokenError, match="names the algorithm"):
        has_key_for(make(ec_signer), keys, algorithms=["RS256"], error=IdTokenError)


@pytest.mark.parametrize(
    "payload", [b"[]", b"null", b'"x"', b"", b"\xff", b'{"a":1,"a":2}', b'{"exp":Infinity}']
)
def test_a_payload_that_is_no_strict_json_object_has_no_claims(ec_signer, keys, payload):
    """A signature over nonsense is valid, but its claims cannot be read."""
    data = (
        signing_input({"alg": "ES384", "kid": "ec-1"}, {}).split(b".")[0]
        + b"."
        + b64url_encode(payload).encode()
    )
    verified = verify_jws(compact(data, ec_signer.sign(data)), keys, algorithms=ALL)
    with pytest.raises(IdTokenError, match="The token's payload"):
        verified.claims(IdTokenError)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", {1, 2}])
def test_what_json_cannot_say_is_not_signed(value):
    """A claim without a JSON form is our error, and its value is not quoted."""
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        signing_input({"alg": "ES384"}, {"x": value})


def test_members_keep_their_order_and_take_no_white_space():
    """The signing input is compact JSON in the order given."""
    assert (
        signing_input({"b": 1, "a": [1, 2]}, {"ü": None})
        == (b64url_encode(b'{"b":1,"a":[1,2]}') + "." + b64url_encode(b'{"\\u00fc":null}')).encode()
    )


_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.lists(st.text(max_size=3), max_size=2)
)
_HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "x5c", "x5t", "cty", "zip", "enc", "url", "nonce", "iss"]), _VALUES
)


@settings(max_examples=150, deadline=None)
@given(change=_HEADERS, drop=st.sampled_from(["alg", "kid", "typ", "none"]))
def test_whatever_the_header_holds_only_our_errors_escape(ec_signer, keys, change, drop):
    """A validly signed token with any header is verified or refused with an error of ours."""
    token = make(ec_signer, {drop: ...} | change)
    with contextlib.suppress(ProtocolError):
        assert verify_jws(token, keys, algorithms=ALL).claims() == CLAIMS


@settings(max_examples=200, deadline=None)
@given(position=st.integers(min_value=0), character=st.characters())
def test_one_changed_character_never_verifies(ec_signer, keys, position, character):
    """Any other character anywhere gives an error of ours, never a token."""
    token = make(ec_signer)
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(ProtocolError):
            verify_jws(changed, keys, algorithms=ALL)


def test_the_errors_never_hold_the_token(ec_signer, keys):
    """No message quotes header, payload or signature."""
    token = make(ec_signer, kid=..., claims={"name": "CANARY"})
    segments = token.split(".")
    for index, junk in product(range(3), ("A", "=", "AAAA")):
        broken = [*segments[:index], segments[index] + junk, *segments[index + 1 :]]
        with pytest.raises(ProtocolError) as caught:
            verify_jws(".".join(broken), keys, algorithms=ALL)
        assert not any(segment in str(caught.value) for segment in [*segments, "CANARY"])
