"""The ID token: one good one, and everything that can be wrong with one, each with its own reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from smart_async import IdTokenError, Secret, SigningKey
from smart_async.keys.jwks import parse_jwks
from smart_async.smart.id_token import ID_TOKEN_ALGORITHMS, identify, verify_id_token

NOW = 1_750_000_000
DAY = 86_400


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verify(issuer, token, jwks=None, **changes):
    """Verify *token* as a client does right after a login."""
    arguments = {
        "keys": parse_jwks(jwks or issuer.jwks()),
        "algorithms": ID_TOKEN_ALGORITHMS,
        "issuer": issuer.url,
        "client_id": "growth-chart",
        "nonce": Secret("n-1"),
        "access_token": Secret("at-1"),
        "fhir_base": "https://ehr.example.com/r4",
        "trusted_audiences": ("other",),
        "now": float(NOW),
        "max_age": 3600.0,
    }
    return verify_id_token(Secret(token), **{**arguments, **changes})


def refusal(issuer, token, jwks=None, **changes) -> str:
    with pytest.raises(IdTokenError) as caught:
        verify(issuer, token, jwks, **changes)
    return caught.value.message


# ------------------------------------------------------------------------------- the published vector


@pytest.fixture(scope="session")
def vector(smart_vectors):
    """The published ID token with its key, and a way to verify it."""
    jwk = smart_vectors["rsa_private_jwk"]
    public = {"kty": "RSA", "n": jwk["n"], "e": jwk["e"], "kid": "wb-sig-1"}
    key = SigningKey.from_jwk({**jwk, "alg": "RS256", "kid": "wb-sig-1"}, algorithm="RS256")
    vector = smart_vectors["rs256_id_token"]

    class Vector:
        token: str = vector["token"]
        header = vector["header"]
        claims = vector["claims"]

        def sign(self, header, claims) -> str:
            signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
            return f"{signed}.{b64(key.sign(signed.encode()))}"

        def verify(self, token, **changes):
            arguments = {
                "keys": parse_jwks({"keys": [public]}),
                "algorithms": ID_TOKEN_ALGORITHMS,
                "issuer": vector["issuer"],
                "client_id": vector["client_id"],
                "nonce": None,
                "access_token": Secret(vector["access_token"]),
                "fhir_base": "https://fhir.willowbrook.example/r4",
                "trusted_audiences": (),
                "now": float(vector["now"]),
                "max_age": 3600.0,
            }
            return verify_id_token(Secret(token), **{**arguments, **changes})

    return Vector()


@pytest.mark.rule("ID-01", "ID-06", "ID-08", "ID-09")
def test_the_published_vector(vector):
    """The reference's own ID token is accepted at its clock, at_hash included."""
    identity, findings = vector.verify(vector.token)
    assert findings == ()
    assert (identity.issuer, identity.subject) == ("https://sso.willowbrook.example", "u-58121")
    assert (identity.audience, identity.issued_at, identity.expires_at) == (
        ("chart-widget",),
        1924992000.0,
        1924995600.0,
    )
    assert identity.fhir_user is not None
    assert identity.fhir_user.url == "https://fhir.willowbrook.example/r4/Practitioner/dr-9"
    assert identity.fhir_user.local
    assert identity.claims == vector.claims


@pytest.mark.rule("ID-01")
@given(data=st.data())
def test_the_vector_with_one_character_changed(vector, data):
    """No character of header, payload or signature can be another one."""
    position = data.draw(st.integers(0, len(vector.token) - 1))
    character = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = vector.token[:position] + character + vector.token[position + 1 :]
    if changed == vector.token:
        assert vector.verify(changed)
        return
    with pytest.raises(IdTokenError):
        vector.verify(changed)


@pytest.mark.rule("ID-01", "ID-03", "ID-04", "ID-05", "ID-08")
@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp", "at_hash"])
@given(
    value=st.none()
    | st.booleans()
    | st.text(max_size=30).filter(lambda text: "\0" not in text)
    | st.lists(st.text(max_size=5), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.integers()
)
def test_the_vector_with_one_claim_changed(vector, name, value):
    """Signed by the right key, a token with one claim of another kind or value is refused all the same."""
    near = isinstance(value, int | float) and not isinstance(value, bool) and value > 1924991000
    harmless = (name == "sub" and isinstance(value, str) and len(value) > 0) or (
        name in ("iat", "exp") and near
    )
    if harmless:
        return
    with pytest.raises(IdTokenError):
        vector.verify(vector.sign(vector.header, {**vector.claims, name: value}))


@pytest.mark.rule("ID-01")
@pytest.mark.parametrize("name", ["iss", "sub", "aud", "iat", "exp"])
def test_the_vector_with_one_claim_missing(vector, name):
    """Each of the five required claims is required."""
    claims = {key: value for key, value in vector.claims.items() if key != name}
    with pytest.raises(IdTokenError):
        vector.verify(vector.sign(vector.header, claims))


@pytest.mark.rule("ID-01", "ID-07")
@pytest.mark.parametrize(
    "change",
    [
        {"alg": "RS384"},
        {"alg": "PS256"},
        {"alg": "none"},
        {"alg": ["RS256"]},
        {"alg": None},
        {"kid": "wb-sig-2"},
        {"kid": 1},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"jwk": {"kty": "RSA"}},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
    ],
)
def test_the_vector_with_one_header_changed(vector, change):
    """A header of another algorithm or key, or with a key of its own, is refused though it is signed."""
    with pytest.raises(IdTokenError):
        vector.verify(vector.sign({**vector.header, **change}, vector.claims))


# ------------------------------------------------------------------- the OpenID relying party's modules


@pytest.mark.rule("ID-01")
def test_a_good_token(issuer):
    """The token that all the following break is accepted."""
    identity, findings = verify(issuer, issuer.token())
    assert (identity.subject, findings) == ("u-58121", ())


@pytest.mark.rule("ID-03")
@pytest.mark.parametrize(
    "iss",
    [
        "https://evil.example",
        "https://sso.example.com/",
        "https://SSO.example.com",
        ["https://sso.example.com"],
        ["https://sso.example.com", "https://evil.example"],
        "",
        None,
        ...,
    ],
)
def test_invalid_or_missing_issuer(issuer, iss):
    """The issuer is compared as one string, byte for byte."""
    assert "another issuer" in refusal(issuer, issuer.token(iss=iss))


@pytest.mark.rule("ID-01")
@pytest.mark.parametrize("sub", ["", 5, None, ["u"], "x" * 256, ...])
def test_invalid_or_missing_subject(issuer, sub):
    """There is a subject, and it is a string of at most 255 characters."""
    assert "its sub" in refusal(issuer, issuer.token(sub=sub))


def test_the_longest_subject(issuer):
    """255 characters are allowed."""
    assert verify(issuer, issuer.token(sub="x" * 255))[0].subject == "x" * 255


@pytest.mark.rule("ID-04")
@pytest.mark.parametrize(
    "aud",
    ["other", "growth-chart ", ["other"], [], {}, 5, None, ["growth-chart", 5], [["growth-chart"]], ...],
)
def test_invalid_or_missing_audience(issuer, aud):
    """The client is named in aud, which holds strings and nothing else."""
    assert "(aud)" in refusal(issuer, issuer.token(aud=aud))


@pytest.mark.rule("ID-04")
@pytest.mark.parametrize(
    ("aud", "azp", "reason"),
    [
        (["growth-chart", "other"], ..., "several audiences and no azp"),
        (["growth-chart", "other"], None, "several audiences and no azp"),
        (["growth-chart", "other"], "other", "another client (azp)"),
        (["growth-chart", "other"], ["growth-chart"], "another client (azp)"),
        ("growth-chart", "other", "another client (azp)"),
        ("growth-chart", "", "another client (azp)"),
        ("growth-chart", 5, "another client (azp)"),
    ],
)
def test_invalid_secondary_audience(issuer, aud, azp, reason):
    """A second audience needs the issuer's word that the token is meant for us."""
    assert reason in refusal(issuer, issuer.token(aud=aud, azp=azp))


@pytest.mark.rule("ID-04")
def test_an_audience_that_nobody_vouched_for(issuer):
    """Whoever else is named in aud holds the same token; azp alone does not make that safe."""
    token = issuer.token(aud=["growth-chart", "other"], azp="growth-chart")
    assert "also for others" in refusal(issuer, token, trusted_audiences=())


@pytest.mark.rule("ID-04")
@pytest.mark.parametrize(
    ("aud", "azp"),
    [
        (["growth-chart"], ...),
        (["growth-chart", "growth-chart"], ...),
        (["growth-chart", "other"], "growth-chart"),
        ("growth-chart", "growth-chart"),
    ],
)
def test_audiences_that_are_fine(issuer, aud, azp):
    """A list of one, and several with our azp."""
    assert "growth-chart" in verify(issuer, issuer.token(aud=aud, azp=azp))[0].audience


@pytest.mark.rule("ID-05")
@pytest.mark.parametrize("name", ["exp", "iat"])
@pytest.mark.parametrize("value", [True, "1750003600", None, [], -1, 1e308, 2.0**53 + 2, 10**60, ...])
def test_invalid_or_missing_time(issuer, name, value):
    """Times are finite numbers that a clock can show."""
    assert f"its {name} is missing or not a number" in refusal(issuer, issuer.token(**{name: value}))


@pytest.mark.rule("ID-05")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_times_that_are_no_json(issuer, value):
    """NaN and Infinity are refused with the whole payload."""
    assert "payload cannot be used" in refusal(issuer, issuer.token(exp=value))


@pytest.mark.rule("ID-05")
@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 60}, "has expired"),
        ({"iat": NOW + 61}, "dated in the future"),
        ({"iat": NOW + 3600, "exp": NOW + 7200}, "dated in the future"),
        ({"iat": NOW - 3661}, "too long ago"),
        ({"iat": NOW - 7 * DAY}, "too long ago"),
        ({"nbf": NOW + 61}, "not valid yet"),
        ({"nbf": "soon"}, "its nbf is"),
        ({"nbf": None}, "its nbf is"),
    ],
)
def test_times_out_of_bounds(issuer, claims, reason):
    """Expired, from the future, a week old, not valid yet: each has its own reason."""
    assert reason in refusal(issuer, issuer.token(**claims))


@pytest.mark.rule("ID-05")
@pytest.mark.parametrize(
    "claims", [{"exp": NOW - 59}, {"iat": NOW + 60}, {"iat": NOW - 3660}, {"nbf": NOW + 60}, {"nbf": 0}]
)
def test_times_just_in_bounds(issuer, claims):
    """Clocks may differ by a minute."""
    assert verify(issuer, issuer.token(**claims))


def test_no_age_limit_after_a_refresh(issuer):
    """Without max_age an old token that has not expired is accepted."""
    assert verify(issuer, issuer.token(iat=NOW - 30 * DAY), max_age=None)


@pytest.mark.rule("ID-08")
@pytest.mark.parametrize("nonce", ["n-2", "", "n-1 ", 1, None, ["n-1"], ...])
def test_invalid_or_missing_nonce(issuer, nonce):
    """What was sent with the authorization request comes back, exactly."""
    assert "its nonce" in refusal(issuer, issuer.token(nonce=nonce))


@pytest.mark.rule("ID-08")
def test_a_nonce_that_was_not_sent_is_ignored(issuer):
    """Where no nonce was sent there is nothing to compare with."""
    assert verify(issuer, issuer.token(nonce="anything"), nonce=None)


def half(access_token: str, name: str) -> str:
    digest = hashlib.new(name, access_token.encode()).digest()
    return b64(digest[: len(digest) // 2])


@pytest.mark.rule("ID-08")
@pytest.mark.parametrize(
    ("kid", "name"), [("RS256", "sha256"), ("ES384", "sha384"), ("RS512", "sha512"), ("PS384", "sha384")]
)
def test_at_hash_takes_the_hash_of_the_algorithm(issuer, kid, name):
    """The left half of SHA-256, 384 or 512, as the signature has it."""
    token = issuer.token(kid, at_hash=half("at-1", name))
    assert verify(issuer, token, issuer.jwks(issuer.jwk(kid)))


@pytest.mark.rule("ID-08")
@pytest.mark.parametrize(
    "value",
    [half("at-2", "sha256"), half("at-1", "sha384"), "", 5, None, [half("at-1", "sha256")], "ü", "\ud800"],
)
def test_invalid_at_hash(issuer, value):
    """A hash of another token or another kind is refused, and so is what is no string."""
    reason = refusal(issuer, issuer.token(at_hash=value))
    assert "(at_hash)" in reason or "half a character" in reason


@pytest.mark.rule("ID-08")
def test_missing_at_hash(issuer):
    """The code flow does not require one; without an access token there is nothing to compare."""
    assert verify(issuer, issuer.token())
    assert verify(issuer, issuer.token(at_hash="x"), access_token=None)


def test_an_access_token_that_is_not_ascii(issuer):
    """It matches nothing, and raises nothing else."""
    assert "(at_hash)" in refusal(issuer, issuer.token(at_hash="x"), access_token=Secret("ü\ud800"))


@pytest.mark.rule("ID-07")
@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "HS256", ["RS256"], None, "RS1", ...])
def test_algorithms_that_are_never_accepted(issuer, alg):
    """`none` and HMAC cannot be expressed, whatever the key."""
    assert "names the algorithm" in refusal(issuer, issuer.token(header={"alg": alg}))


@pytest.mark.rule("ID-07")
def test_an_empty_signature(issuer):
    """A token with alg none and no signature is refused for either."""
    head, body, _ = issuer.token(header={"alg": "none"}).split(".")
    assert "no signature" in refusal(issuer, f"{head}.{body}.")


@pytest.mark.rule("ID-07")
@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
    ],
)
@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_hmac_with_the_public_key(issuer, encoding, form, alg):
    """The public key is no shared secret, however it is written."""
    public = parse_jwks(issuer.jwks())[0].key.public_bytes(encoding, form)
    signed = ".".join(
        b64(json.dumps(part).encode()) for part in ({"alg": alg, "kid": "RS256"}, issuer.claims())
    )
    signature = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    expected = "names the algorithm" if alg == "HS256" else "signature does not match"
    assert expected in refusal(issuer, f"{signed}.{b64(signature)}")


@pytest.mark.rule("ID-01")
@pytest.mark.parametrize("kid", ["RS256", "ES256"])
def test_invalid_signatures(issuer, kid):
    """One bit of the signature, or another key of the same kind."""
    token = issuer.token(kid)
    jwks = issuer.jwks(issuer.jwk(kid))
    assert verify(issuer, token, jwks)
    other = SigningKey.generate(kid, kid=kid, key_size=2048).public_jwk()
    assert "signature does not match" in refusal(issuer, token, {"keys": [other]})
    head, body, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[7] ^= 1
    assert "signature does not match" in refusal(issuer, f"{head}.{body}.{b64(bytes(raw))}", jwks)
    assert "signature does not match" in refusal(issuer, f"{head}.{b64(b'{}')}.{signature}", jwks)


@pytest.mark.parametrize("payload", [[], "x", 5, [{}]])
def test_payloads_that_are_no_object(issuer, payload):
    """Claims are a JSON object."""
    assert "payload is not a JSON object" in refusal(issuer, issuer.token(payload=payload))


def test_kid_absent_and_one_key(issuer):
    """Without kid the one key that fits is taken."""
    assert verify(issuer, issuer.token(header={"kid": ...}))
    assert verify(issuer, issuer.token(), issuer.jwks(issuer.jwk(kid=...)))
    # Oracle Health's set holds keys of several kinds without alg and use.
    mixed = [issuer.jwk(kid, alg=..., use=...) for kid in ("ES256", "ES384", "RS256")]
    assert verify(issuer, issuer.token(header={"kid": ...}), issuer.jwks(*mixed))


def test_kid_absent_and_several_keys(issuer):
    """Without kid and with two keys that fit nobody can tell."""
    jwks = issuer.jwks(issuer.jwk(), issuer.jwk("second", "RS256"))
    assert "2 of the server's keys fit" in refusal(issuer, issuer.token(header={"kid": ...}), jwks)


@pytest.mark.rule("ID-12")
def test_a_key_that_is_only_a_certificate(issuer):
    """Bare numbers are required; x5c alone is no key."""
    jwks = issuer.jwks(issuer.jwk(n=..., e=..., x5c=["MIIB"]))
    assert "None of the server's keys fits" in refusal(issuer, issuer.token(), jwks)


def test_an_encrypted_token(issuer):
    """Five parts are an encrypted token, and the advice says what to change."""
    with pytest.raises(IdTokenError, match="encrypted") as caught:
        verify(issuer, "a.b.c.d.e")
    assert "unencrypted" in str(caught.value.advice)


# ------------------------------------------------------------------------------------ with the server


def run(script, state, metadata, token):
    flow = identify(state, metadata, Secret(token), nonce=Secret("n-1"), access_token=Secret("at-1"))
    return script.run(flow)


@pytest.mark.rule("ID-01", "ID-02")
def test_identify(script, state, metadata, issuer, json_response):
    """The keys are found by the issuer's OpenID configuration, and the token verified with them."""
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    identity, findings = run(script, state, metadata, issuer.token())
    assert (identity.subject, findings) == ("u-58121", ())
    assert [request.url for request in script.requests] == [
        "https://sso.example.com/.well-known/openid-configuration",
        "https://sso.example.com/oauth2/keys",
    ]


@pytest.mark.rule("ID-07")
@pytest.mark.parametrize("listed", [["none"], ["HS256"], ["none", "HS256"], [], ["ES256"], [None, 5]])
def test_metadata_only_narrows_the_algorithms(script, state, metadata, issuer, json_response, listed):
    """A list that leaves nothing, or not the token's algorithm, refuses the token."""
    document = issuer.configuration(id_token_signing_alg_values_supported=listed)
    script.answer(json_response(document), json_response(issuer.jwks()))
    with pytest.raises(IdTokenError, match="algorithm"):
        run(script, state, metadata, issuer.token())


@pytest.mark.rule("ID-06")
@pytest.mark.parametrize("listed", [..., None, ["RS256"], ["HS256", "none", "RS256"]])
@pytest.mark.parametrize("kid", ["RS256"])
def test_rs256_is_accepted(script, state, metadata, issuer, json_response, listed, kid):
    """A list that names it, or no list at all, accepts RS256."""
    document = issuer.configuration(id_token_signing_alg_values_supported=listed)
    script.answer(json_response(document), json_response(issuer.jwks()))
    assert run(script, state, metadata, issuer.token(kid))


@pytest.mark.parametrize("kid", ID_TOKEN_ALGORITHMS)
def test_without_a_list_every_algorithm_of_ours(script, state, metadata, issuer, json_response, kid):
    """SMART's own example is signed with RS384; nobody has to list it."""
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks(issuer.jwk(kid))))
    assert run(script, state, metadata, issuer.token(kid))


@pytest.mark.rule("ID-03")
def test_the_issuer_is_pinned_to_discovery(script, state, metadata, issuer, json_response):
    """A token that vouches for itself leads to no request at its own issuer."""
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    with pytest.raises(IdTokenError, match="another issuer") as caught:
        run(script, state, metadata, issuer.token(iss="https://evil.example"))
    assert all(request.url.startswith(issuer.url) for request in script.requests)
    assert caught.value.endpoint == "https://sso.example.com/oauth2/token"


def test_no_issuer_no_identity(script, state, metadata, issuer):
    """Without an issuer nobody can vouch for anybody; the advice names the setting."""
    with pytest.raises(IdTokenError, match="names no issuer") as caught:
        run(script, state, replace(metadata, issuer=None), issuer.token())
    assert "id_token_issuer" in str(caught.value.advice)
    assert script.requests == []


@pytest.mark.rule("ID-03")
@pytest.mark.parametrize("discovered", ["https://ehr.example.com/r4", None])
def test_id_token_issuer(script, state, metadata, issuer, json_response, discovered):
    """Where ID tokens are from another issuer than discovery names, the configured one is the pinned one."""
    state.config = replace(state.config, id_token_issuer=issuer.url)
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    identity, _ = run(script, state, replace(metadata, issuer=discovered), issuer.token())
    assert identity.issuer == issuer.url
    with pytest.raises(IdTokenError, match="another issuer"):
        run(script, state, metadata, issuer.token(iss="https://ehr.example.com/r4"))


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c.d.e", "a.b.c.d.e.f", "e30.e30.e30", "ü.ü.ü"])
def test_what_is_no_token_is_the_same_error_with_known_keys(
    script, state, metadata, issuer, json_response, token
):
    """Whether or not keys are known already, garbage is an IdTokenError, and no key is fetched for it."""
    for answered in (0, 2):
        with pytest.raises(IdTokenError) as caught:
            run(script, state, metadata, token)
        assert caught.value.endpoint == "https://sso.example.com/oauth2/token"
        assert len(script.requests) == answered
        if not answered:
            script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
            assert run(script, state, metadata, issuer.token())
