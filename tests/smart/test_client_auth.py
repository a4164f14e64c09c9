"""Authentication with a private key: one method, one assertion, and a check against both sides first."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

from smart_async import ConfigurationError, KeyRing, PrivateKeyJWT, SigningKey
from smart_async.flow import Now, Sign
from smart_async.keys import RingHolder
from smart_async.keys.base64url import b64url_decode
from smart_async.smart.client_auth import Authentication, check_algorithm

TOKEN_URL = "https://sso.example.com/oauth2/token"


class RemoteSigner:
    """A signer that can only be awaited."""

    kid = "remote-1"
    algorithm = "RS384"

    async def async_sign(self, signing_input: bytes) -> bytes:
        return b"signed"


def authenticate(script, auth, config, metadata, state):
    return script.run(auth.authenticate(config, metadata, TOKEN_URL, entropy=state.entropy))


def decoded(authentication, part):
    assertion = dict(authentication.fields)["client_assertion"]
    return json.loads(b64url_decode(assertion.split(".")[part]))


@pytest.mark.rule("TK-06", "TK-10", "AS-11")
def test_two_form_fields_and_nothing_else(script, config, metadata, state):
    """An assertion is the only authentication: no header, no client_id, no secret beside it."""
    found = authenticate(script, config.client_auth, config, metadata, state)
    assert found.headers == ()
    assert [name for name, _ in found.fields] == ["client_assertion_type", "client_assertion"]
    assert found.fields[0][1] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def test_client_id_is_added_where_the_server_insists(script, config, metadata, state):
    """`client_id_in_body` adds the id; it is off unless asked for."""
    found = authenticate(script, config.client_auth, replace(config, client_id_in_body=True), metadata, state)
    assert [name for name, _ in found.fields] == ["client_id", "client_assertion_type", "client_assertion"]
    assert found.fields[0][1] == "growth-chart"


@pytest.mark.rule("AS-07", "AS-08", "AS-09", "AS-21")
def test_claims_follow_the_configuration(script, config, metadata, state):
    """By default the audience is the URL posted to, and the times are 60 seconds back and 300 long."""
    claims = decoded(authenticate(script, config.client_auth, config, metadata, state), 1)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("growth-chart", "growth-chart", TOKEN_URL)
    assert (claims["iat"], claims["exp"]) == (1_750_000_000 - 60, 1_750_000_000 + 240)


def test_configured_audience_and_times_are_used(script, config, metadata, state):
    """Servers that expect something else than the token URL get what the configuration says."""
    changed = replace(
        config, assertion_audience="https://issuer.example", assertion_lifetime=120, assertion_backdate=0
    )
    claims = decoded(authenticate(script, config.client_auth, changed, metadata, state), 1)
    assert (claims["aud"], claims["iat"], claims["exp"]) == (
        "https://issuer.example",
        1_750_000_000,
        1_750_000_120,
    )


@pytest.mark.rule("AS-10", "BS-03", "RF-03")
def test_every_request_is_signed_anew(script, config, metadata, state):
    """Two requests never share an assertion, since a server accepts each only once."""
    made = [authenticate(script, config.client_auth, config, metadata, state) for _ in range(2)]
    assert decoded(made[0], 1)["jti"] != decoded(made[1], 1)["jti"]
    assert script.kinds == [Now, Sign, Now, Sign]


@pytest.mark.rule("AS-06")
def test_jku_is_sent_only_if_configured(script, config, metadata, state, signing_key):
    """Without `jku` there is none; with it, it is the configured text."""
    url = "https://app.example.com/jwks.json?tenant=1"
    plain = authenticate(script, PrivateKeyJWT(signing_key), config, metadata, state)
    named = authenticate(script, PrivateKeyJWT(signing_key, jku=url), config, metadata, state)
    assert "jku" not in decoded(plain, 0)
    assert decoded(named, 0)["jku"] == url


@pytest.mark.rule("AS-06")
@pytest.mark.parametrize(
    "jku",
    [
        "http://app.example.com/jwks.json",
        "http://127.0.0.1/jwks.json",
        "ftp://app.example.com/jwks.json",
        "https://app.example.com/jwks.json#key",
        "https://user@app.example.com/jwks.json",
        "jwks.json",
        "",
    ],
)
def test_jku_must_be_https(signing_key, jku):
    """A JWK Set URL that is not plain https is refused before any use."""
    with pytest.raises(ConfigurationError) as caught:
        PrivateKeyJWT(signing_key, jku=jku)
    assert caught.value.field == "jku"


def test_algorithm_may_be_insisted_on(signing_key):
    """Naming the key's own algorithm changes nothing."""
    assert PrivateKeyJWT(signing_key, algorithm="ES384").key is signing_key


def test_what_is_insisted_on_overrides_the_servers_list(script, config, metadata, state, signing_key):
    """A server whose list is wrong still gets the signature that it wants."""
    listed = replace(metadata, token_endpoint_auth_signing_alg_values_supported=("RS384",))
    auth = PrivateKeyJWT(signing_key, algorithm="ES384")
    assert decoded(authenticate(script, auth, config, listed, state), 0)["alg"] == "ES384"


@pytest.mark.parametrize("algorithm", ["RS384", "ES256", "es384", "none", ""])
def test_algorithm_must_be_the_keys(signing_key, algorithm):
    """An override that the key cannot sign with is refused, naming both."""
    with pytest.raises(ConfigurationError) as caught:
        PrivateKeyJWT(signing_key, algorithm=algorithm)
    assert caught.value.field == "algorithm"
    assert caught.value.message == f"The key signs with ES384, not {algorithm}."


def test_override_of_the_key_reaches_the_header(script, config, metadata, state, document):
    """A key loaded with another algorithm signs with that one, where the server lists it."""
    key = SigningKey.generate("RS384", kid="rsa-1", key_size=2048)
    other = SigningKey.from_pem(key.private_pem(), kid="rsa-1", algorithm="PS384")
    listed = replace(metadata, token_endpoint_auth_signing_alg_values_supported=("PS384",))
    assert decoded(authenticate(script, PrivateKeyJWT(other), config, listed, state), 0)["alg"] == "PS384"


@pytest.mark.rule("AS-22")
def test_nothing_is_signed_that_the_server_does_not_accept(script, config, metadata, state):
    """An algorithm that is not on the server's list fails before the clock is even asked."""
    listed = replace(metadata, token_endpoint_auth_signing_alg_values_supported=("RS384", "PS384"))
    with pytest.raises(ConfigurationError) as caught:
        authenticate(script, config.client_auth, config, listed, state)
    assert script.kinds == []
    assert caught.value.field == "client_auth"
    assert caught.value.endpoint == TOKEN_URL
    assert caught.value.message == "The key signs with ES384, and the server accepts only RS384, PS384."


@pytest.mark.rule("AS-22")
@pytest.mark.parametrize("listed", [(), ("ES384",), ("RS384", "ES384")])
def test_a_silent_or_fitting_list_is_accepted(metadata, listed):
    """Servers often list no algorithms; then the key decides."""
    metadata = replace(metadata, token_endpoint_auth_signing_alg_values_supported=listed)
    assert check_algorithm("ES384", metadata) is None


def test_a_hostile_list_is_shown_harmlessly(metadata):
    """The server's list is cleaned of control characters and cut before it is shown."""
    metadata = replace(
        metadata, token_endpoint_auth_signing_alg_values_supported=("\x1b]0;pwn\x07\n", *["X" * 50] * 1000)
    )
    with pytest.raises(ConfigurationError) as caught:
        check_algorithm("ES384", metadata)
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("key", [None, "-----BEGIN PRIVATE KEY-----", b"pem", object(), SigningKey])
def test_only_signers_are_accepted(key):
    """Text, bytes and the class itself are no keys; the message does not quote them."""
    with pytest.raises(ConfigurationError) as caught:
        PrivateKeyJWT(key)
    assert caught.value.field == "client_auth"
    assert "BEGIN" not in str(caught.value)


def test_a_signer_that_can_only_be_awaited_is_accepted():
    """Remote keys are as good as local ones; which client can use them is for the client to check."""
    assert PrivateKeyJWT(RemoteSigner(), algorithm="RS384").key.kid == "remote-1"


@pytest.fixture(scope="module")
def rsa_key():
    return SigningKey.generate("RS384", kid="rsa-1", key_size=2048)


@pytest.fixture
def ring(rsa_key, signing_key):
    """A ring with one active key of each type and one that is to come."""
    return KeyRing(active=[rsa_key, signing_key], next=[SigningKey.generate("ES384", kid="key-2")])


@pytest.mark.rule("AS-22")
@pytest.mark.parametrize(
    ("listed", "algorithm", "kid"),
    [
        ((), None, "rsa-1"),
        (("ES384",), None, "key-1"),
        (("ES384", "RS384"), None, "rsa-1"),
        (("RS384",), "ES384", "key-1"),
    ],
)
def test_of_a_ring_the_first_key_that_fits_signs(
    script, config, metadata, state, ring, listed, algorithm, kid
):
    """The server's list decides, unless an algorithm is insisted on."""
    listed = replace(metadata, token_endpoint_auth_signing_alg_values_supported=listed)
    header = decoded(authenticate(script, PrivateKeyJWT(ring, algorithm=algorithm), config, listed, state), 0)
    assert (header["kid"], header["alg"]) == (kid, "RS384" if kid == "rsa-1" else "ES384")


@pytest.mark.rule("AS-22")
def test_a_ring_of_which_nothing_fits(script, config, metadata, state, ring):
    """Nothing is signed and the endpoint is named."""
    listed = replace(metadata, token_endpoint_auth_signing_alg_values_supported=("PS384",))
    with pytest.raises(ConfigurationError, match="sign with RS384, ES384, and the server accepts") as caught:
        authenticate(script, PrivateKeyJWT(ring), config, listed, state)
    assert (script.kinds, caught.value.endpoint) == ([], TOKEN_URL)


@pytest.mark.parametrize("algorithm", ["PS384", "none", ""])
def test_an_algorithm_must_be_one_of_the_rings(ring, algorithm):
    """Insisting on what no active key signs with fails when it is configured."""
    with pytest.raises(ConfigurationError, match="sign with RS384, ES384") as caught:
        PrivateKeyJWT(ring, algorithm=algorithm)
    assert caught.value.field == "algorithm"


def test_an_exchanged_ring_signs_the_next_assertion(script, config, metadata, state, ring):
    """The ring in force is looked up for each assertion, so nothing has to be built anew."""
    holder = RingHolder(ring.remove("rsa-1"))
    auth = PrivateKeyJWT(holder)
    before = decoded(authenticate(script, auth, config, metadata, state), 0)["kid"]
    holder.ring = holder.ring.switch("key-2")
    after = decoded(authenticate(script, auth, config, metadata, state), 0)["kid"]
    assert (before, after) == ("key-1", "key-2")
    assert [signer.kid for signer in auth.signers] == ["key-2", "key-1"]


def test_a_single_key_is_its_own_signer(signing_key):
    """What checks all signers need not ask what kind of key it is."""
    assert PrivateKeyJWT(signing_key).signers == (signing_key,)


@pytest.mark.parametrize("ring", [None, [], "ring"])
def test_what_holds_something_else_than_a_ring_is_refused(ring):
    """An attribute that happens to be called ring is not enough."""

    class Phone:
        def __init__(self):
            self.ring = ring

    with pytest.raises(ConfigurationError, match="needs a signing key, not Phone"):
        PrivateKeyJWT(Phone())


def test_every_configuration_is_accepted(config):
    """A key works in every flow, so the check has nothing to refuse."""
    assert config.client_auth.check(config) is None


def test_reprs_name_fields_and_never_values(script, config, metadata, state):
    """Neither the authentication nor the key shows what it sends."""
    found = authenticate(script, config.client_auth, config, metadata, state)
    assert repr(found) == "<Authentication by client_assertion_type, client_assertion>"
    header = Authentication(headers=(("Authorization", "Basic c2VjcmV0"),))
    assert repr(header) == "<Authentication by Authorization>"
    assert "PRIVATE" not in repr(config.client_auth)


def test_a_configuration_with_a_key_is_never_pickled(config):
    """A pickle of the configuration would be a copy of the key."""
    with pytest.raises(TypeError):
        pickle.dumps(config)
