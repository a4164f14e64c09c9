"""Each cause is provoked by breaking one thing, and named first."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from smart_async import ClientSecret, KeyRing, PrivateKeyJWT, PublicClient, SigningKey
from smart_async.errors import ConfigurationError, SmartError, TransportError
from smart_async.messages import Headers
from smart_async.smart.diagnosis import CATALOGUE, TlsFacts
from smart_async.smart.diagnosis.sheet import Sheet

BASE = "https://ehr.example.com/r4"
WELL_KNOWN = f"{BASE}/.well-known/smart-configuration"
TOKEN = "https://ehr.example.com/oauth2/token"
JWKS = "https://app.example.net/jwks.json"
NOW = 1_800_000_000.0


def test_a_healthy_client_has_no_cause(world: Any) -> None:
    """Where nothing is wrong nothing is named, with a token request and without."""
    tried, looked = world.diagnose(), world.diagnose(try_token=False)
    assert (tried.causes, tried.granted, tried.ok, tried.summary) == (
        (),
        True,
        True,
        "A token was issued; nothing is wrong.",
    )
    assert (looked.causes, looked.tried, looked.summary.startswith("No token was asked for")) == (
        (),
        False,
        True,
    )
    assert {check.status for check in tried.checks} == {"ok", "skipped"}
    assert [check.id for check in looked.checks] == [
        "key", "kid", "jwks", "jwks-caching", "jwks-key", "jku", "clock", "discovery", "conformance",
        "algorithms", "methods", "grants", "scopes", "token-endpoint", "tls", "assertion", "token",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "field", "cause"),
    [
        (
            "The key file /certificate.pem cannot be read: No such file or directory.",
            "path",
            "key-unreadable",
        ),
        (
            "The key file /k cannot be used: The passphrase does not open this key.",
            "passphrase",
            "key-passphrase",
        ),
        ("The key file /k cannot be used: This is a public key, which cannot sign.", "key", "key-public"),
        (
            "The key file /k cannot be used: This is a certificate without its private key.",
            "key",
            "key-public",
        ),
        (
            "The key file /k cannot be used: This is an RSA key of 1024 bits; 2048 are needed.",
            "key",
            "key-weak",
        ),
        (
            "The key file /k cannot be used: This is an elliptic-curve key on P-256; P-384 is needed.",
            "algorithm",
            "key-curve",
        ),
        (
            "SMART_PRIVATE_KEY_PATH: The key file /k cannot be used: This is not a key. An RSA key "
            "(2048 bits or more) or an elliptic-curve key on P-384 is needed.",
            "SMART_PRIVATE_KEY_PATH",
            "key-kind",
        ),
        (
            "The key file /k cannot be used: RS384 needs an RSA key; this is a key on P-384.",
            "algorithm",
            "key-kind",
        ),
        ("There is nothing the client could prove itself with.", "key", "key-none"),
        ("jku uses plain http.", "jku", "jwks-http"),
        ("client_id must be visible.", "client_id", "configuration"),
        ("The key file /k can be read or written by others (mode 0644).", "path", "key-exposed"),
    ],
)
def test_what_is_wrong_with_the_key_or_a_setting(world: Any, message: str, field: str, cause: str) -> None:
    """An error from loading is a cause like any other, and the rest is looked at all the same."""
    problem = ConfigurationError(message, field=field, advice="Do this.")
    world.config = replace(world.config, client_auth=PublicClient())
    found = world.diagnose(key_problem=problem)
    assert ([each.id for each in found.causes], found.tried) == ([cause], False)
    assert "Do this." in f"{found.causes[0].explanation} {found.causes[0].fix}"
    assert "discovery" in {check.id for check in found.checks if check.status == "ok"}


def test_without_a_configuration_the_problem_is_all_there_is(world: Any) -> None:
    """Not even the server is known then."""
    world.config = None
    found = world.diagnose(
        key_problem=ConfigurationError("fhir_base is no URL.", field="fhir_base"), jwks_url=None
    )
    assert ([each.id for each in found.causes], found.fhir_base, world.sent) == (["configuration"], None, [])


class Broken:
    """A signer whose service is down."""

    kid, algorithm, blocking = "key-1", "ES384", False

    def __init__(self, error: Exception) -> None:
        self.error = error

    def sign(self, signing_input: bytes) -> bytes:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("The token is locked."),
        TransportError("The token is locked. The key service could not be reached."),
        OSError("no such device"),
    ],
)
def test_a_signer_that_fails(world: Any, error: Exception) -> None:
    """Whatever a signer raises is a finding; its text is shown only if it is ours."""
    world.config = replace(world.config, client_auth=PrivateKeyJWT(Broken(error)))  # type: ignore[arg-type]
    found = world.diagnose()
    assert ([each.id for each in found.causes], found.tried) == (["signing-failed"], False)
    said = "The token is locked." if isinstance(error, SmartError) else "OSError"
    assert (found.causes[0].id, said in found.causes[0].explanation) == ("signing-failed", True)


@pytest.mark.parametrize(
    ("page", "cause"),
    [
        (TransportError("No connection to app.example.net could be opened."), "jwks-unreachable"),
        (TransportError("The server's certificate is not accepted: it has expired."), "jwks-tls"),
        (({}, 401), "jwks-auth"),
        (({}, 403), "jwks-auth"),
        (({}, 404), "jwks-status"),
        (({}, 500), "jwks-status"),
        (({}, 302), "jwks-redirect"),
        ((b"<!doctype html><title>App</title>", 200), "jwks-html"),
        ((b"nothing", 200), "jwks-invalid"),
        (([], 200), "jwks-invalid"),
        (({"keys": {}}, 200), "jwks-invalid"),
        (({"keys": []}, 200), "jwks-empty"),
        (({"keys": ["x"]}, 200), "jwks-empty"),
    ],
)
def test_the_published_set_is_not_to_be_had(
    world: Any, refuse: Any, make: Any, page: Any, cause: str
) -> None:
    """Why the server finds no keys is seen by fetching them as it does."""
    refuse()
    world.pages[JWKS] = page if isinstance(page, Exception) else make(*page)
    assert world.causes() == [cause]


def test_plain_http_is_not_even_fetched(world: Any) -> None:
    """Nobody fetches keys over http."""
    found = world.diagnose(jwks_url="http://app.example.net/jwks.json")
    assert ([each.id for each in found.causes], [r for r in world.sent if "app." in r.url]) == (
        ["jwks-http"],
        [],
    )


def test_a_set_at_no_url_at_all(world: Any) -> None:
    """What is no URL is a setting that cannot be used."""
    assert world.causes(jwks_url="app.example.net", try_token=False) == ["configuration"]


@pytest.mark.parametrize(
    ("members", "cause"),
    [
        ({"kid": "key-2"}, "jwks-kid-other"),
        ({"kid": None}, "jwks-kid-missing"),
        ({"use": "enc"}, "jwks-use"),
        ({"key_ops": ["encrypt"]}, "jwks-use"),
        ({"alg": "ES256"}, "jwks-alg"),
        ({"d": "AAAA"}, "jwks-private"),
        ({"kty": "RSA"}, "jwks-type"),
        ({"crv": "P-256"}, "jwks-type"),
        ({"x": "****"}, "jwks-key"),
    ],
)
def test_the_published_key_does_not_fit(
    world: Any, refuse: Any, published: Any, members: Any, cause: str
) -> None:
    """The published key is compared with the one that signs, member by member."""
    refuse()
    published(**members)
    assert world.causes() == [cause]


def test_another_key_is_published(
    world: Any, refuse: Any, published: Any, other: SigningKey, rsa: SigningKey
) -> None:
    """The same kid on another key, another kid, another type, and a kid that is there twice."""
    refuse()
    mine = world.config.client_auth.key.public_jwk()
    for keys, cause in (
        ([other.public_jwk()], "jwks-key"),
        ([{**other.public_jwk(), "kid": "old"}], "jwks-kid"),
        ([{**rsa.public_jwk(), "kid": "old"}], "jwks-kid"),
        ([rsa.public_jwk()], "jwks-type"),
        ([mine, other.public_jwk()], "jwks-kid-twice"),
        ([{"kty": "OKP", "kid": "old"}], "jwks-kid"),
    ):
        published(*keys)
        assert world.causes() == [cause]


def test_the_fix_names_the_published_kid(world: Any, published: Any) -> None:
    """A key published under another name can be signed with under that name."""
    published(kid="key-2")
    assert world.diagnose().causes[0].fix == "Sign with the published kid: --kid key-2"


def test_a_cache_in_front_hands_out_an_old_copy(
    world: Any, refuse: Any, other: SigningKey, make: Any
) -> None:
    """Where the origin has the key and the copy has not, it is the cache."""
    refuse()
    new = make({"keys": [world.config.client_auth.key.public_jwk()]})
    for headers in ({"Age": "5000"}, {"X_Cache": "Hit from cloud"}):
        old = make({"keys": [{**other.public_jwk(), "kid": "old"}]}, **headers)
        world.pages[JWKS] = lambda request, old=old: new if "cache-control" in request.headers else old
        assert world.causes() == ["jwks-cached"]
    world.pages[JWKS] = make({"keys": [{**other.public_jwk(), "kid": "old"}]}, Age="5000")
    assert world.causes() == ["jwks-kid"]


@pytest.mark.parametrize(
    ("jku", "registered", "said"),
    [
        (f"{JWKS}/", JWKS, "slash"),
        (JWKS.replace("jwks", "JWKS"), JWKS, "letter case"),
        ("https://other.example.net/jwks", JWKS, ""),
    ],
)
def test_jku_is_not_what_is_registered(
    world: Any, refuse: Any, key: SigningKey, jku: str, registered: str, said: str
) -> None:
    """The two are compared byte for byte."""
    refuse()
    world.config = replace(world.config, client_auth=PrivateKeyJWT(key, jku=jku))
    found = world.diagnose(registered_jwks_url=registered)
    assert ([each.id for each in found.causes], said in found.causes[0].explanation) == (
        ["jku-differs"],
        True,
    )


@pytest.mark.parametrize(
    ("ahead", "cause"),
    [(0, []), (50, []), (400, ["clock-fast"]), (-200, []), (-260, ["clock-slow"]), (-4000, ["clock-slow"])],
)
def test_the_clocks(world: Any, ahead: float, cause: list[str]) -> None:
    """What the assertion bears is no cause; what it does not bear is one."""
    world.now = NOW + ahead
    assert world.causes() == cause


@pytest.mark.parametrize(
    ("page", "cause"),
    [
        (({}, 401), "discovery-refused"),
        (({}, 404), "discovery-missing"),
        (({}, 410), "discovery-missing"),
        (({}, 301), "discovery-redirect"),
        (({}, 429), "rate-limited"),
        (({}, 407), "proxy-failed"),
        (({}, 502), "discovery-failing"),
        ((b"<html>", 200), "discovery-html"),
        ((b'{"token_endpoint": ', 200), "discovery-invalid"),
        (([], 200), "discovery-invalid"),
        (({}, 200), "token-endpoint-missing"),
        (({"token_endpoint": ""}, 200), "token-endpoint-missing"),
        (({"token_endpoint": "HTTP://ehr.example.com/token"}, 200), "token-endpoint-http"),
        (({"token_endpoint": "ftp://ehr.example.com/token"}, 200), "token-endpoint-missing"),
        (TransportError("No connection to ehr.example.com could be opened."), "server-unreachable"),
        (TransportError("The name of the host ehr.example.com cannot be resolved."), "host-unknown"),
        (TransportError("The proxy did not open a way to the server."), "proxy-failed"),
        (TransportError("The server's certificate is not accepted: certificate has expired."), "tls-expired"),
        (TransportError("The server's certificate is not accepted: Hostname mismatch."), "tls-name"),
        (
            TransportError("The server's certificate is not accepted: self-signed certificate."),
            "tls-self-signed",
        ),
        (TransportError("The server's certificate is not accepted: unable to get issuer."), "tls-untrusted"),
        (TransportError("The handshake failed: unsupported protocol."), "tls-old"),
        (TransportError("No secure connection could be agreed with the server."), "tls-failed"),
        (TransportError("The answer has more than 262144 bytes."), "no-answer"),
        (TransportError("No answer came within 10 seconds."), "no-answer"),
    ],
)
def test_discovery_fails(world: Any, make: Any, page: Any, cause: str) -> None:
    """Why there is no document, or no use in it."""
    world.pages[WELL_KNOWN] = page if isinstance(page, Exception) else make(*page)
    assert world.causes() == [cause]


@pytest.mark.parametrize(
    "base",
    [
        "https://ehr.example.com",
        "https://ehr.example.com/R4",
        "https://ehr.example.com/r4/metadata",
        "https://ehr.example.com/r4/Patient",
        "https://ehr.example.com/r4/tenant",
    ],
)
@pytest.mark.parametrize("shell", [False, True])
def test_the_right_base_is_looked_for(world: Any, make: Any, base: str, shell: bool) -> None:
    """A path that is only nearly right is found out, also where every path answers with a web page."""
    lost = make(b"<!doctype html>", 200) if shell else make({}, 404)
    pages = dict(world.pages)
    world.answer_for_lost = lost
    world.pages = {**pages}
    world.config = replace(world.config, fhir_base=base)
    original = world.answer

    def answer(request: Any) -> Any:
        if request.url not in pages:
            world.pages[request.url] = lost
        return original(request)

    world.answer = answer
    found = world.diagnose()
    assert ([each.id for each in found.causes], found.causes[0].fix) == (
        ["fhir-base-path"],
        f"Use the FHIR base {BASE}",
    )


def test_no_path_leads_anywhere(world: Any, make: Any) -> None:
    """Where every path answers 404 the base is wrong in some other way; nobody is asked for ever."""
    world.pages = {}
    original = world.answer
    world.answer = lambda request: world.pages.setdefault(request.url, make({}, 404)) and original(request)
    assert world.causes(jwks_url=None) == ["discovery-missing"]
    assert len(world.sent) <= 9


def test_a_request_that_cannot_be_made(world: Any) -> None:
    """Whatever else stands in the way of discovery is told in its own words."""
    world.pages[WELL_KNOWN] = ConfigurationError("The header field x cannot be sent.", field="headers")
    found = world.diagnose()
    assert (found.causes[0].id, "header field x" in found.causes[0].explanation) == (
        "discovery-invalid",
        True,
    )


def test_strict_refuses_by_choice(world: Any, document: Any) -> None:
    """A document that strict=True refuses is named as such."""
    world.config = replace(world.config, strict=True)
    document(code_challenge_methods_supported=["plain"])
    assert world.causes() == ["discovery-strict"]


@pytest.mark.parametrize(
    ("answered", "cause"),
    [
        (({}, 404), "token-endpoint-missing-page"),
        (({"error": "not_found"}, 404), "token-endpoint-missing-page"),
        (({}, 405), "token-endpoint-method"),
        (({}, 307), "token-endpoint-redirect"),
        (({}, 429), "rate-limited"),
        (({}, 503), "server-failing"),
        ((b"<html>", 200), "token-endpoint-html"),
    ],
)
@pytest.mark.parametrize("try_token", [False, True])
def test_the_token_endpoint_is_none(
    world: Any, make: Any, answered: Any, cause: str, try_token: bool
) -> None:
    """A URL that is no token endpoint is found out with a token request and without."""
    world.pages[TOKEN] = make(*answered)
    assert world.causes(try_token=try_token) == [cause]


@pytest.mark.parametrize("try_token", [False, True])
def test_the_token_endpoint_is_silent(world: Any, try_token: bool) -> None:
    """It cannot be reached although discovery can."""
    del world.pages[TOKEN]
    assert world.causes(try_token=try_token) == ["server-unreachable"]


@pytest.mark.parametrize(
    ("answered", "cause"),
    [
        (({}, 400), "request-refused"),
        (({}, 401), "client-unknown"),
        (({}, 403), "blocked"),
        (({}, 407), "proxy-failed"),
        ((b"<html><title>Sign in</title>", 400), "request-refused"),
        ((b"<html>", 400), "token-endpoint-html"),
        (({"error": "invalid_client"}, 500), "server-failing"),
        (({"error": "invalid_client"}, 429), "rate-limited"),
        (({"error": "made_up"}, 500), "server-failing"),
        (({"error": "made_up"}, 400), "request-refused"),
        (({"error": "invalid_request"}, 400), "client-unknown"),
        (({"error": "slow_down"}, 400), "rate-limited"),
        (({"error": "invalid_scope"}, 400), "scope-not-allowed"),
        (({"error": "invalid_scope", "error_description": "use v1 scopes"}, 400), "scope-syntax"),
        (({"error": "unauthorized_client"}, 400), "grant-not-allowed"),
        (({"error": "unsupported_grant_type"}, 400), "grant-type"),
        (({"error": "server_error"}, 500), "server-failing"),
        (({"token_type": "Bearer"}, 200), "token-response-broken"),
        (({"access_token": "x"}, 201), "token-response-broken"),
        (TransportError("The connection broke off before the answer was complete."), "no-answer"),
    ],
)
def test_what_the_answer_says(world: Any, make: Any, answered: Any, cause: str) -> None:
    """Code, status and shape of the answer point to a cause."""
    world.pages[TOKEN] = answered if isinstance(answered, Exception) else make(*answered)
    assert world.causes()[0] == cause


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("AS-21: no client 'nightly-job' is registered here", "client-unknown"),
        ("client nightly-job is not known here", "client-unknown"),
        ("Unknown client", "client-unknown"),
        ("Invalid value for 'client_id' parameter.", "client-unknown"),
        ("AADSTS700016: Application with identifier 'x' was not found in the directory", "client-unknown"),
        ("The app is not yet approved", "client-not-active"),
        ("Client is disabled", "client-not-active"),
        ("the header jku is not the JWKS URL registered for this client", "jku-differs"),
        ("the JWK Set at https://app.example.net/jwks.json cannot be fetched: URLError", "jwks-blocked"),
        ("the JWK Set at https://app.example.net/jwks.json answers with status 404", "jwks-blocked"),
        ("Unable to load public key", "server-stale-jwks"),
        ("the JWK Set at https://app.example.net/jwks.json cannot be read: no JSON", "jwks-invalid"),
        ("AS-23: ES384 needs a key on the curve P-384", "jwks-type"),
        ("JWT ID (jti) was already used", "assertion-replayed"),
        ("Invalid audience", "aud-wrong"),
        ("the client 'nightly-job' has not registered any keys", "registered-with-secret"),
        ("AS-14: the published JWK Set holds private key material; replace it", "jwks-private"),
        ("AS-08: the claim aud is 'x'; it must be 'y'", "aud-wrong"),
        ("Client secret is required", "registered-with-secret"),
        ("client authentication method not allowed", "auth-method"),
        ("the header typ must be JWT", "typ-wrong"),
        ("The client_assertion token is expired.", "assertion-times"),
        ("the assertion has an expiration that is too far in the future", "assertion-times"),
        ("the claim exp must be an integer", "assertion-times"),
        ("Client Assertion signature is invalid.", "server-stale-jwks"),
        ("Public key not found", "server-stale-jwks"),
        ("exactly one registered EC key must have the kid 'key-1', and 0 do", "server-stale-jwks"),
        ("Token is not active", "assertion-times"),
        ("AADSTS700024: Client assertion is not within its valid time range.", "assertion-times"),
        ("The certificate used to sign the client assertion is not registered.", "server-stale-jwks"),
        ("Verification failed: JWKSNoMatchingKey", "server-stale-jwks"),
        ("The client is not registered to use the private_key_jwt method.", "registered-with-secret"),
        ("Missing jku in the JWT header", "jku-missing"),
        ("Client IP is not whitelisted", "blocked"),
        ("the alg is not allowed", "algorithm"),
        ("the claim iss is not acceptable", "assertion-issuer"),
        ("no system scopes for you", "scope-not-allowed"),
    ],
)
def test_the_words_of_a_description(world: Any, refuse: Any, words: str, cause: str) -> None:
    """A server that says what it dislikes is believed."""
    refuse("invalid_client", words)
    found = world.diagnose()
    assert (found.causes[0].id, words in found.causes[0].explanation) == (cause, True)


def test_an_unknown_key_where_nothing_is_known_of_the_set(world: Any, refuse: Any) -> None:
    """Without the published set it remains open on whose side the key is missing."""
    refuse("invalid_client", "no key with this kid")
    assert world.causes(jwks_url=None) == ["key-unknown", "server-stale-jwks", "jwks-blocked"]
    assert world.causes() == ["server-stale-jwks", "key-unknown", "jwks-blocked"]


@pytest.mark.parametrize("words", [None, "no key with this kid"])
def test_no_kid_was_given(world: Any, refuse: Any, words: str | None) -> None:
    """A thumbprint in the place of a kid is the first suspect where the set is unknown."""
    refuse("invalid_client", words)
    world.config = replace(world.config, client_auth=PrivateKeyJWT(SigningKey.generate("ES384")))
    found = world.diagnose(jwks_url=None)
    assert found.causes[0].id == "kid-not-given"
    assert "thumbprint" in found.checks[1].explanation


def test_what_was_set_by_hand_is_suspected_first(
    world: Any, refuse: Any, document: Any, key: SigningKey
) -> None:
    """The issuer as audience may be right, a jku may be registered; else they come first."""
    refuse()
    document(issuer="https://ehr.example.com")
    world.config = replace(
        world.config, assertion_audience="https://ehr.example.com", client_auth=PrivateKeyJWT(key, jku=JWKS)
    )
    found = world.diagnose()
    assert [each.id for each in found.causes][:2] == ["aud-wrong", "jku-differs"]
    assert {"assertion": "warning", "jku": "ok"}.items() <= {
        each.id: each.status for each in found.checks
    }.items()


def test_expired_with_a_clock_that_is_fast(world: Any, refuse: Any) -> None:
    """The server's word and its Date contradict each other, so no side is named."""
    refuse("invalid_client", "the assertion is expired")
    world.now = NOW + 20
    assert world.causes()[0] == "clock"


def test_expired_with_a_clock_that_is_slow(world: Any, refuse: Any) -> None:
    """The server's word confirms what its Date shows."""
    refuse("invalid_client", "the assertion is expired")
    world.now = NOW - 500
    found = world.diagnose()
    assert [(each.id, each.certainty) for each in found.causes] == [("clock-slow", "certain")]


@pytest.mark.parametrize(
    ("changes", "members", "cause"),
    [
        ({}, {"token_endpoint_auth_signing_alg_values_supported": ["RS384"]}, "algorithm"),
        ({}, {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, "auth-method"),
        ({}, {"grant_types_supported": ["authorization_code"]}, "grant-type"),
        ({}, {"capabilities": ["permission-v1"]}, "scope-syntax"),
        ({}, {"capabilities": [], "scopes_supported": ["system/Patient.read", 'a"b']}, "scope-syntax"),
        ({"scope": "system/Patient.read"}, {}, "scope-syntax"),
        ({"scope": "patient/*.rs"}, {}, "scope-level"),
        ({"scope": "openid system/*.rs"}, {}, "scope-level"),
        ({"scope": "system/*.rs offline_access"}, {}, "scope-level"),
        ({"assertion_audience": f"{TOKEN}/"}, {}, "aud-wrong"),
        ({"assertion_audience": "https://ehr.example.com/elsewhere"}, {}, "aud-wrong"),
        ({"assertion_header": {"kid": None}}, {}, "kid-missing"),
        ({"assertion_header": {"typ": "at+jwt"}}, {}, "typ-wrong"),
        ({"token_endpoint": "https://ehr.example.com/oauth2/token/"}, {}, "token-endpoint-override"),
        ({"client_auth": ClientSecret("swordfish")}, {}, "registered-with-key"),
    ],
)
@pytest.mark.parametrize("try_token", [False, True])
def test_what_is_offered_and_what_is_sent(
    world: Any, refuse: Any, document: Any, changes: Any, members: Any, cause: str, try_token: bool
) -> None:
    """The client's own request is compared with the rules and with what the server lists."""
    refuse()
    world.pages["https://ehr.example.com/oauth2/token/"] = world.pages[TOKEN]
    document(**members)
    world.config = replace(world.config, **changes)
    assert world.causes(try_token=try_token)[0] == cause


def test_the_algorithm_insisted_on_is_only_likely(
    world: Any, refuse: Any, document: Any, key: SigningKey
) -> None:
    """Where the caller says that the list is wrong, it is doubted."""
    refuse()
    document(token_endpoint_auth_signing_alg_values_supported=["RS384"])
    world.config = replace(world.config, client_auth=PrivateKeyJWT(key, algorithm="ES384"))
    assert world.diagnose().causes[0].certainty == "likely"


def test_the_token_endpoint_elsewhere(world: Any, refuse: Any, document: Any) -> None:
    """An endpoint on another site than all others is named first, whatever answers there."""
    elsewhere = "https://token.example.org/token"
    document(token_endpoint=elsewhere)
    refuse()
    world.pages[elsewhere] = world.pages[TOKEN]
    assert world.causes()[0] == "token-endpoint-host"
    del world.pages[elsewhere]
    assert world.causes() == ["token-endpoint-host", "server-unreachable"]
    assert world.causes(try_token=False) == ["token-endpoint-host", "server-unreachable"]


def test_authorization_on_a_host_of_its_own(world: Any, document: Any) -> None:
    """Many servers keep all of it elsewhere, or name no other endpoint at all."""
    elsewhere = "https://login.example.org/token"
    world.pages[elsewhere] = world.pages[TOKEN]
    for authorize in ("https://login.example.org/authorize", None):
        document(token_endpoint=elsewhere, authorization_endpoint=authorize)
        assert (world.causes(), world.causes(try_token=False)) == ([], [])


@pytest.mark.parametrize("problem", ["expired", "name", "self-signed", "untrusted", "old", "failed"])
def test_what_the_handshake_showed(world: Any, problem: Any) -> None:
    """The look at TLS says more than the error that a transport raised."""
    world.pages[WELL_KNOWN] = TransportError("The server's certificate is not accepted: nobody knows why.")
    facts = TlsFacts(
        host="ehr.example.com:443",
        version="TLSv1.2",
        names=("b.example",),
        issuer="CN=us",
        not_after=NOW,
        problem=problem,
    )
    assert world.causes(tls=facts) == [f"tls-{problem}"]


@pytest.mark.parametrize("problem", ["unreachable", "unknown-host"])
def test_a_proxy_that_was_forgotten(world: Any, problem: Any) -> None:
    """A server that cannot be reached, and a proxy in the environment: that is it."""
    del world.pages[WELL_KNOWN]
    facts = TlsFacts(host="ehr.example.com:443", problem=problem)
    assert world.causes(proxy_in_environment="the proxy p:8080 (HTTPS_PROXY)", tls=facts) == ["proxy-needed"]


@pytest.mark.parametrize(
    ("description", "cause"), [("client secret is wrong", "secret-wrong"), (None, "secret-wrong")]
)
def test_a_wrong_secret(world: Any, refuse: Any, document: Any, description: str | None, cause: str) -> None:
    """A client with a secret is told of its secret."""
    refuse("invalid_client", description)
    document(token_endpoint_auth_methods_supported=["client_secret_basic"])
    world.config = replace(world.config, client_auth=ClientSecret("swordfish"))
    assert world.causes(jwks_url=None)[0] == cause


def test_a_refusal_without_a_reason(world: Any, refuse: Any) -> None:
    """Where nothing is wrong on our side, what remains is named in the order of its likelihood."""
    refuse()
    found = world.diagnose()
    assert [(each.id, each.certainty) for each in found.causes] == [
        ("client-unknown", "possible"),
        ("server-stale-jwks", "possible"),
        ("client-not-active", "possible"),
        ("jwks-blocked", "possible"),
        ("registered-with-secret", "possible"),
        ("aud-wrong", "possible"),
    ]
    assert found.summary.startswith("First suspect: The server does not know this client_id.")


def test_what_remains_depends_on_what_is_known(
    world: Any, refuse: Any, published: Any, other: SigningKey
) -> None:
    """Two published keys speak of a rotation, an unknown set of the wrong key."""
    mine = world.config.client_auth.key.public_jwk()
    refuse(date=False)
    world.pages[WELL_KNOWN] = replace(world.pages[WELL_KNOWN], headers={})
    assert world.causes(jwks_url=None)[:1] + world.causes(jwks_url=None)[-1:] == ["key-unknown", "clock"]
    refuse()
    published(mine, {**other.public_jwk(), "kid": "next"})
    assert world.causes()[:2] == ["server-stale-jwks", "client-unknown"]
    for headers in (
        {"Cache_Control": "max-age=86400"},
        {"Last_Modified": formatdate(NOW - 3600, usegmt=True)},
    ):
        published(headers=headers)
        assert world.causes()[:2] == ["server-stale-jwks", "client-unknown"]
    published(headers={"Last_Modified": formatdate(NOW - 1e6, usegmt=True)})
    assert world.causes()[0] == "client-unknown"


def test_an_algorithm_that_nobody_lists(world: Any, refuse: Any, document: Any) -> None:
    """Where the server does not list algorithms ours may be the wrong one; of some makes it is known."""
    refuse()
    document(token_endpoint_auth_signing_alg_values_supported=None)
    assert "algorithm" in world.causes()
    base = "https://fhir.eclinicalworks.com/fhir/r4"
    world.pages[f"{base}/.well-known/smart-configuration"] = world.pages[WELL_KNOWN]
    world.config = replace(world.config, fhir_base=base)
    found = world.diagnose()
    assert (found.causes[0].id, found.causes[0].certainty) == ("algorithm", "likely")


def test_epic_has_a_favourite(world: Any, refuse: Any, make: Any) -> None:
    """With Epic the wait for activation comes before the key."""
    refuse()
    base = "https://fhir.epic.com/interconnect/api/FHIR/R4"
    world.pages[f"{base}/.well-known/smart-configuration"] = world.pages[WELL_KNOWN]
    world.config = replace(world.config, fhir_base=base)
    found = world.diagnose()
    assert [each.id for each in found.causes][:2] == ["client-unknown", "client-not-active"]
    assert (found.vendor, len(found.vendor_notes) > 3) == ("epic", True)
    vendor = next(check for check in found.checks if check.id == "vendor")
    assert vendor.fix == "Set vendor='epic'."


def test_a_preset_for_a_server_without_a_document(world: Any) -> None:
    """A make that publishes no document suggests its preset, after the cause itself."""
    world.config = replace(world.config, fhir_base="https://api.bcda.cms.gov/api/v2")
    assert world.causes(jwks_url=None) == ["server-unreachable", "vendor-preset"]
    world.config = replace(world.config, vendor="epic", discovery="well-known")
    assert world.diagnose(jwks_url=None).vendor == "epic"


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"kid": "other", "clock": -900}, {"jwks-kid-other", "clock-slow"}),
        ({"use": "enc", "clock": 900}, {"jwks-use", "clock-fast"}),
        ({"d": "AAAA", "alg": "RS384"}, {"jwks-private", "jwks-alg"}),
    ],
)
def test_two_causes_are_both_named(
    world: Any, refuse: Any, published: Any, faults: Any, expected: set[str]
) -> None:
    """One cause does not hide another."""
    refuse()
    world.now = NOW + faults.pop("clock", 0)
    published(**faults)
    assert set(world.causes()) == expected


def test_two_causes_of_different_kinds(world: Any, refuse: Any, make: Any) -> None:
    """A broken set, a wrong path and a bad key do not hide each other."""
    world.pages[JWKS] = make({}, 404)
    world.pages[WELL_KNOWN] = make({}, 404)
    problem = ConfigurationError("The key file /k cannot be read: No such file.", field="path")
    assert world.causes(key_problem=problem) == ["key-unreadable", "discovery-missing", "jwks-status"]


def test_a_token_refutes_what_was_only_likely(world: Any, document: Any, published: Any) -> None:
    """Lists are advertising; what will be noticed sooner or later stays named, with a word that it works."""
    document(token_endpoint_auth_methods_supported=["client_secret_post"], grant_types_supported=["implicit"])
    found = world.diagnose()
    assert (found.causes, found.summary.endswith("2 remark(s) below are worth knowing.")) == ((), True)
    published(d="AAAA")
    found = world.diagnose()
    assert [each.id for each in found.causes] == ["jwks-private"]
    assert found.summary.startswith(
        "A token was issued all the same. Cause: The published JWK Set holds private"
    )


def test_every_cause_has_a_title_an_explanation_and_a_fix() -> None:
    """Nobody is left with a name alone."""
    assert [
        name for name, known in CATALOGUE.items() if not (known.title and known.explanation and known.fix)
    ] == []


def test_a_certain_cause_replaces_a_likely_one() -> None:
    """The surer sight of the same cause is kept, and the check has both lines."""
    sheet = Sheet()
    sheet.blame("a", "A", "clock", certainty="likely")
    sheet.blame("a", "A", "clock", seen="Seen.")
    sheet.blame("a", "A", "clock", certainty="likely")
    assert (sheet.causes["clock"].certainty, sheet.checks["a"].status) == ("certain", "problem")


def test_a_ring_is_looked_at_as_a_whole(world: Any, other: SigningKey, key: SigningKey) -> None:
    """Of a ring the key that signs is looked for."""
    second = SigningKey.generate("ES384", kid="key-9")
    world.config = replace(world.config, client_auth=PrivateKeyJWT(KeyRing(active=[key, second])))
    found = world.diagnose()
    assert (found.causes, "ring with 1 more" in found.checks[0].explanation) == ((), True)


@pytest.mark.parametrize(
    "changes",
    [{"assertion_audience": f"{TOKEN}/"}, {"assertion_header": {"kid": None}}, {"scope": "patient/*.rs"}],
)
def test_a_token_refutes_what_only_a_refusal_would_confirm(world: Any, changes: Any) -> None:
    """A server that takes it after all is right by definition."""
    world.config = replace(world.config, **changes)
    assert world.causes() == []
    assert world.causes(try_token=False) != []


def test_a_server_that_says_nothing_of_scopes(world: Any, document: Any) -> None:
    """Where no version is named, none is wrong."""
    document(capabilities=["client-confidential-asymmetric"], scopes_supported=None)
    for scope in ("system/Patient.rs", "system/Patient.read"):
        assert world.causes(scope=scope, try_token=False) == []


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("The client_assertion token is expired.", "clock-slow"),
        ("the expiration is too far in the future", "clock-fast"),
        ("Token is not active", "clock"),
    ],
)
def test_times_where_nobody_tells_the_time(world: Any, make: Any, words: str, cause: str) -> None:
    """Only a server that shows its clock can show that it is not the clock."""
    world.pages[TOKEN] = make({"error": "invalid_client", "error_description": words}, 401, date=False)
    document = world.pages[WELL_KNOWN]
    world.pages[WELL_KNOWN] = replace(document, headers=Headers({"Content-Type": "application/json"}))
    assert world.causes(jwks_url=None)[0] == cause


@pytest.mark.parametrize(
    ("code", "urn", "cause"),
    [
        ("invalid_client", "client-assertion:jwt-bearer:invalid-signature", "server-stale-jwks"),
        ("invalid_grant", "oauth2:token:invalid-tenant", "client-unknown"),
        ("invalid_grant", "oauth2:token:empty-scopes", "scope-not-allowed"),
    ],
)
def test_the_name_in_an_error_uri(world: Any, make: Any, code: str, urn: str, cause: str) -> None:
    """A server without descriptions names what is wrong in the address of a page about it."""
    page = f"urn:cerner:error:authorization-server:{urn}".replace(":", "%3A")
    uri = f"https://authorization.cerner.com/errors/{page}/instances/1?client=unknown"
    world.pages[TOKEN] = make({"error": code, "error_uri": uri}, 401)
    assert world.causes()[0] == cause


def test_a_page_about_errors_in_general_says_nothing(world: Any, make: Any) -> None:
    """Words in an address are read only where they are the name of an error."""
    body = {"error": "invalid_client", "error_uri": "https://docs.example.com/scopes#signature"}
    world.pages[TOKEN] = make(body, 401)
    assert {cause.certainty for cause in world.diagnose().causes} == {"possible"}


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Application with identifier 'x' was not found in the directory", "client-unknown"),
        ("this client is not registered for client_credentials", "grant-not-allowed"),
        (None, "grant-not-allowed"),
    ],
)
def test_unauthorized_client_has_two_meanings(world: Any, refuse: Any, words: Any, cause: str) -> None:
    """Some say it of a client that they do not know; only the words tell."""
    refuse("unauthorized_client", words, 400)
    assert world.causes() == [cause]


def test_a_jku_that_is_sent_is_not_missing(world: Any, refuse: Any, key: SigningKey) -> None:
    """A server that says so of one that is sent means that it is not the registered one."""
    refuse("invalid_client", "Missing jku in the JWT header")
    world.config = replace(world.config, client_auth=PrivateKeyJWT(key, jku=JWKS))
    assert world.causes() == ["jku-differs"]


def test_a_client_that_has_no_secret(world: Any, refuse: Any) -> None:
    """A secret is not wrong where a key is registered."""
    refuse("invalid_client", "this client is registered as asymmetric, and has no secret")
    world.config = replace(world.config, client_auth=ClientSecret("swordfish"))
    assert world.causes(jwks_url=None) == ["registered-with-key"]


def test_a_blank_at_the_end_of_the_client_id(world: Any, refuse: Any) -> None:
    """What copying leaves is pointed out, and that the server does not know the client is no second cause."""
    refuse("invalid_client", "Unknown client")
    world.config = replace(world.config, client_id="nightly-job ")
    found = world.diagnose().causes
    assert [(each.id, each.fix) for each in found] == [("assertion-issuer", "Take the blank away.")]


@pytest.mark.parametrize(
    ("granted", "causes"),
    [
        ("system/Group.rs", ["scope-not-granted"]),
        ("system/Patient.r", []),
        ("system/*.cruds", []),
        ("https://api.example.com/.default", []),
    ],
)
def test_a_token_that_permits_nothing_asked_for(
    world: Any, make: Any, granted: str, causes: list[str]
) -> None:
    """Less than was asked for is usual; nothing of it is a cause, unless only the server can read it."""
    body = {"access_token": "at-1", "token_type": "bearer", "expires_in": 300, "scope": granted}
    world.pages[TOKEN] = make(body, Cache_Control="no-store")
    assert world.causes(scope="system/Patient.rs") == causes


def test_the_registered_url_leads_elsewhere(world: Any, make: Any, other: SigningKey) -> None:
    """That the keys are at another URL than the registered one comes before what is found at that one."""
    old = "https://app.example.net/old.json"
    world.pages[old] = make({"keys": [other.public_jwk()]})
    assert world.causes(registered_jwks_url=old)[0] == "jwks-elsewhere"
    world.pages[old] = world.pages[JWKS]
    assert world.causes(registered_jwks_url=old) == []


def test_what_fails_on_this_side_is_not_the_fault_of_the_set(world: Any) -> None:
    """The server does not go through this machine's proxy, and need not lack the same certificates."""
    world.pages[JWKS] = world.pages[WELL_KNOWN] = TransportError(
        "No connection to the proxy 10.0.0.1:3128 could be opened.", sent=False
    )
    assert world.causes() == ["proxy-failed"]
    world.pages[JWKS] = world.pages[WELL_KNOWN] = TransportError(
        "The certificate of the server is not accepted: unable to get local issuer certificate.", sent=False
    )
    found = [(each.id, each.certainty) for each in world.diagnose().causes]
    assert found == [("tls-untrusted", "certain"), ("jwks-tls", "possible")]


def test_an_endpoint_on_a_host_of_its_own_that_answers(world: Any, document: Any, make: Any) -> None:
    """It is worth a remark and no more, where it answers as a token endpoint does."""
    lonely = "https://tokens.example.org/token"
    document(token_endpoint=lonely)
    world.pages[lonely] = make({"error": "invalid_client"}, 401)
    found = world.diagnose(try_token=False)
    remarks = [each.id for each in found.checks if each.status == "warning"]
    assert (found.causes, remarks) == ((), ["token-endpoint"])


def test_a_firewall_on_the_way_to_the_token_endpoint(world: Any, make: Any) -> None:
    """A page that forbids is not a page that stands in the wrong place."""
    world.pages[TOKEN] = make(b"<html><title>Request blocked</title></html>", 403)
    assert world.causes(try_token=False) == ["blocked"]


def test_a_server_that_wants_a_client_certificate(world: Any) -> None:
    """Mutual TLS has a name, and options."""
    world.pages[WELL_KNOWN] = TransportError("The server wants a client certificate (mutual TLS).", sent=None)
    assert world.causes() == ["tls-client-certificate"]
