"""Every client type, from registration to revocation, against a server that nobody here wrote."""

from __future__ import annotations

import hashlib
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from smart_async import (
    CallbackError,
    ClientMetadata,
    ClientRegistration,
    ClientSecret,
    ConfigurationError,
    EHRLaunch,
    IdTokenError,
    OAuthError,
    PendingAuthorization,
    PrivateKeyJWT,
    PublicClient,
    SigningKey,
    SmartConfig,
    Token,
)

pytestmark = pytest.mark.peers

Peer: TypeAlias = Any
Colour: TypeAlias = Any
"""What the fixtures return: a conftest cannot be imported."""

SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"
SECRETS = ("literal", "form", "post")
KEYS = ("RS384", "ES384")
CREDENTIALS = {
    "public": (False, {"client_id"}),
    "literal": (True, set[str]()),
    "form": (True, set[str]()),
    "post": (False, {"client_id", "client_secret"}),
    "RS384": (False, {"client_assertion", "client_assertion_type"}),
    "ES384": (False, {"client_assertion", "client_assertion_type"}),
}
"""Of each kind: whether it sends an Authorization header, and which fields say who it is."""


def make_auth(peer: Peer, kind: str) -> Any:
    """Return what the client *kind* authenticates with."""
    if kind == "public":
        return PublicClient()
    if kind in KEYS:
        key = peer.keys[kind]
        return PrivateKeyJWT(SigningKey.from_pem(key.as_pem(private=True), kid=key.kid))
    secret = peer.clients[kind]["client_secret"]
    if kind == "post":
        return ClientSecret(secret, method="post")
    return ClientSecret(secret, basic_encoding="form" if kind == "form" else "literal")


def make_config(peer: Peer, kind: str, **further: Any) -> SmartConfig:
    """Return the configuration of the client *kind*."""
    values: dict[str, Any] = {
        "fhir_base": peer.fhir_base,
        "client_id": peer.clients[kind]["client_id"],
        "client_auth": make_auth(peer, kind),
        "redirect_uri": peer.redirect_uri,
        "scope": SCOPE,
        "allow_insecure_loopback": True,
    }
    return SmartConfig(**values | further)


async def log_in(colour: Colour, client: Any, peer: Peer) -> tuple[PendingAuthorization, Token]:
    """Sign a user in with a GET and a callback URL."""
    pending = await colour.call(client.authorize)
    return pending, await colour.call(client.exchange_code, pending, peer.log_in(pending.url))


async def refused(
    colour: Colour, method: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[str | None, int | None]:
    """Return the error and the status that a call of *method* ends in."""
    with pytest.raises(OAuthError) as caught:
        await colour.call(method, *args, **kwargs)
    return caught.value.error, caught.value.status


def verified_claims(peer: Peer, token: Token, client_id: str) -> dict[str, Any]:
    """Verify the ID token of *token* outside the library, and return its claims."""
    raw: Any = token.raw["id_token"]
    keys = KeySet.import_key_set(peer.keys_of_server())
    decoded = jwt.decode(raw.reveal(), keys, algorithms=["RS256", "ES384"])
    assert (decoded.claims["iss"], decoded.claims["aud"]) == (peer.issuer, client_id)
    digest = hashlib.new({"RS256": "sha256", "ES384": "sha384"}[decoded.header["alg"]])
    digest.update(token.access_token.reveal().encode())
    half = digest.digest()[: digest.digest_size // 2]
    assert decoded.claims["at_hash"] == urlsafe_b64encode(half).rstrip(b"=").decode()
    return decoded.claims


def check_identity(peer: Peer, token: Token, pending: PendingAuthorization) -> None:
    """Hold the identity that the library found against the ID token as others read it."""
    identity, nonce = token.identity, pending.nonce
    assert identity is not None
    assert nonce is not None
    assert dict(identity.claims) == verified_claims(peer, token, pending.binding.client_id)
    assert (identity.issuer, identity.subject, identity.claims["nonce"]) == (
        peer.issuer,
        "dr-1",
        nonce.reveal(),
    )
    assert identity.fhir_user is not None
    assert identity.fhir_user.url == f"{peer.fhir_base}/Practitioner/dr-1"


def check_credentials(requests: list[dict[str, Any]], kind: str) -> None:
    """Hold what the server saw of the client at each endpoint against the one way of its type."""
    header, fields = CREDENTIALS[kind]
    for request in requests:
        named = {name for name in request["parameters"] if name.startswith("client_")}
        assert (request["authorization_header"], named) == (header, fields), request["route"]
    if kind in KEYS:
        assert len({request["claims"]["jti"] for request in requests}) == len(requests)


@pytest.mark.rule(
    *("AL-14", "ID-01", "ID-02", "ID-06", "ID-08", "ID-09", "IN-01", "IN-03", "IN-04", "IN-05", "RF-03"),
    *("RF-04", "RF-05", "RF-09", "TK-02", "TK-03", "TK-04", "TK-05", "TK-06", "TK-07", "TK-09", "TK-10"),
)
@pytest.mark.parametrize("kind", CREDENTIALS)
def test_from_login_to_revocation(oidc_provider: Peer, kind: str, colour: Colour) -> None:
    """Each type signs in, is recognised, refreshes, asks, revokes and asks again, authenticating one way."""
    peer, config = oidc_provider, make_config(oidc_provider, kind)
    before = len(peer.seen())

    async def workflow() -> None:
        async with colour.client(config) as client:
            metadata = await colour.call(client.discover)
            assert metadata.introspection_endpoint == f"{peer.issuer}/token/introspection"
            pending, first = await log_in(colour, client, peer)
            assert first.findings == ()
            check_identity(peer, first, pending)
            assert first.context.patient == "pat-1"

            token = await colour.call(client.refresh, first)
            assert token.access_token != first.access_token
            check_identity(peer, token, pending)
            assert token.context == first.context

            status = await colour.call(client.introspect, token)
            assert (status.active, status.client_id, status.findings) == (True, config.client_id, ())
            assert (status.issuer, status.subject) == (peer.issuer, "dr-1")
            assert (status.context.patient, status.scopes) == ("pat-1", token.scopes)
            assert status.expires_at == pytest.approx(token.expires_at, abs=5)

            await colour.call(client.revoke, token)
            assert (await colour.call(client.introspect, token)).active is False
            assert await refused(colour, client.refresh, token) == ("invalid_grant", 400)

    colour.run(workflow)
    requests = peer.seen()[before:]
    assert [(request["route"], request["outcome"]) for request in requests] == [
        ("token", "granted"),
        ("token", "granted"),
        ("introspection", "granted"),
        ("revocation", "granted"),
        ("revocation", "granted"),
        ("introspection", "granted"),
        ("token", "refused"),
    ]
    check_credentials(requests, kind)


@pytest.mark.rule("BS-02", "BS-03", "IN-01", "IN-05", "TK-21")
@pytest.mark.parametrize("kind", [*SECRETS, *KEYS])
def test_backend_services(oidc_provider: Peer, kind: str, colour: Colour) -> None:
    """A secret or a key gets a token for the client itself, which works until it is revoked."""
    peer, config = oidc_provider, make_config(oidc_provider, kind, redirect_uri=None, scope="")
    before = len(peer.seen())

    async def workflow() -> None:
        async with colour.client(config) as client:
            token = await colour.call(client.backend_token, scope="system/Patient.rs")
            assert (str(token.scopes), token.refresh_token, token.identity) == (
                "system/Patient.rs",
                None,
                None,
            )
            assert peer.read_patient(token).json()["id"] == "pat-1"
            status = await colour.call(client.introspect, token)
            assert (status.active, status.client_id, str(status.scopes)) == (
                True,
                config.client_id,
                "system/Patient.rs",
            )
            await colour.call(client.revoke, token)
            assert (await colour.call(client.introspect, token)).active is False
            assert peer.read_patient(token).status_code == 401

    colour.run(workflow)
    requests = peer.seen()[before:]
    assert [request["route"] for request in requests] == [
        "token",
        "introspection",
        "revocation",
        "introspection",
    ]
    check_credentials(requests, kind)


@pytest.mark.rule("BS-01")
def test_no_backend_token_for_a_public_client(oidc_provider: Peer, colour: Colour) -> None:
    """A public client is told so before anything is sent."""
    before = len(oidc_provider.seen())

    async def workflow() -> None:
        async with colour.client(make_config(oidc_provider, "public")) as client:
            with pytest.raises(ConfigurationError) as caught:
                await colour.call(client.backend_token)
            assert caught.value.field == "client_auth"

    colour.run(workflow)
    assert len(oidc_provider.seen()) == before


@pytest.mark.rule("TK-19")
@pytest.mark.parametrize("kind", SECRETS)
def test_wrong_secret(oidc_provider: Peer, kind: str, colour: Colour) -> None:
    """Another secret ends in invalid_client at each endpoint, and no message shows it."""
    right = make_config(oidc_provider, kind)
    wrong = replace(right, client_auth=replace(right.client_auth, secret="not-it-Xyzzy"))

    async def workflow() -> None:
        async with colour.client(right) as client:
            token = await colour.call(client.backend_token)
        async with colour.client(wrong) as client:
            for method, argument in (
                (client.backend_token, "system/*.rs"),
                (client.introspect, token),
                (client.revoke, token),
            ):
                with pytest.raises(OAuthError) as caught:
                    await colour.call(method, argument)
                assert (caught.value.error, caught.value.status) == ("invalid_client", 401)
                assert "Xyzzy" not in f"{caught.value} {caught.value!r}"
        async with colour.client(right) as client:
            assert (await colour.call(client.introspect, token)).active

    colour.run(workflow)


def test_encoding_of_basic(oidc_provider: Peer, colour: Colour) -> None:
    """The server decodes: what means something in a form works encoded, and is refused as it is."""
    config = make_config(oidc_provider, "post")
    secret = oidc_provider.clients["post"]["client_secret"]

    async def workflow() -> None:
        encoded = replace(config, client_auth=ClientSecret(secret, basic_encoding="form"))
        async with colour.client(encoded) as client:
            assert (await colour.call(client.backend_token)).access_token
        literal = replace(config, client_auth=ClientSecret(secret, basic_encoding="literal"))
        async with colour.client(literal) as client:
            assert await refused(colour, client.backend_token) == ("invalid_request", 400)

    colour.run(workflow)


@pytest.mark.parametrize("who", ["bearer", "none"])
def test_who_may_ask(oidc_provider: Peer, who: Any, colour: Colour) -> None:
    """The server answers clients alone: whoever asks otherwise is refused, in its own words."""
    config = make_config(oidc_provider, "literal")

    async def workflow() -> None:
        async with colour.client(config) as client:
            token = await colour.call(client.backend_token)
        async with colour.client(replace(config, introspection_auth=who)) as client:
            assert await refused(colour, client.introspect, token) == ("invalid_request", 400)

    colour.run(workflow)
    last = oidc_provider.seen()[-1]
    assert (last["route"], last["parameters"]) == ("introspection", ["token"])
    assert last["authorization_header"] is (who == "bearer")


def describe(peer: Peer, kind: str, key: SigningKey) -> ClientMetadata:
    """Return what a client of *kind* registers with."""
    if kind == "backend":
        return ClientMetadata.for_backend(key, client_name="Before")
    wish = ClientMetadata.for_app(
        *([key] if kind == "key" else []),
        redirect_uris=[peer.redirect_uri],
        scope=SCOPE,
        public=kind == "public",
        client_name="Before",
    )
    return replace(wish, token_endpoint_auth_method="client_secret_post") if kind == "post" else wish


async def work(colour: Colour, config: SmartConfig, peer: Peer, kind: str) -> None:
    """Do once what a client of *kind* is for."""
    async with colour.client(config) as client:
        if kind == "backend":
            assert (await colour.call(client.backend_token)).access_token
            return
        pending, token = await log_in(colour, client, peer)
        check_identity(peer, token, pending)
        assert (await colour.call(client.refresh, token)).access_token != token.access_token


@pytest.mark.rule("AS-01", "AS-15", "AS-21")
@pytest.mark.parametrize("kind", ["backend", "public", "basic", "post", "key"])
def test_life_of_a_registration(oidc_provider: Peer, kind: str, colour: Colour) -> None:
    """Each type registers, works with what came back, reads, changes and deletes its registration."""
    peer, key = oidc_provider, SigningKey.generate("ES384")
    auth = PrivateKeyJWT(key) if kind in ("backend", "key") else PublicClient()
    newcomer = make_config(peer, "public", client_id="unregistered", client_auth=auth)
    wish = describe(peer, kind, key)

    async def workflow() -> None:
        async with colour.client(newcomer) as client:
            made = await colour.call(client.register, wish, initial_access_token=peer.initial_access_token())
            assert made.findings == ()
            assert (made.client_secret is not None) is (kind in ("basic", "post"))
            registration = ClientRegistration.from_json(made.to_json())
            config = registration.config(newcomer)
            await work(colour, config, peer, kind)

            read = await colour.call(client.read_registration, registration)
            assert (read.client_id, read.metadata) == (made.client_id, made.metadata)
            renamed = replace(read.metadata, client_name="After")
            updated = await colour.call(client.update_registration, read, renamed)
            assert (updated.findings, updated.metadata) == ((), renamed)
            assert updated.registration_access_token != read.registration_access_token
            assert await refused(colour, client.read_registration, read) == ("invalid_token", 401)
            await work(colour, updated.config(newcomer), peer, kind)

            assert await colour.call(client.delete_registration, updated) is None
            assert await refused(colour, client.read_registration, updated) == ("invalid_token", 401)

    colour.run(workflow)


def test_registration_of_another_key(oidc_provider: Peer, colour: Colour) -> None:
    """A key that is registered in the place of another works at once, and the other one no more."""
    peer, old, new = oidc_provider, SigningKey.generate("ES384"), SigningKey.generate("ES384")
    newcomer = make_config(peer, "public", client_id="unregistered", client_auth=PrivateKeyJWT(old))

    async def workflow() -> None:
        async with colour.client(newcomer) as client:
            registration = await colour.call(
                client.register,
                ClientMetadata.for_backend(old),
                initial_access_token=peer.initial_access_token(),
            )
            before = registration.config(newcomer)
            wish = replace(registration.metadata, jwks=ClientMetadata.for_backend(new).jwks)
            updated = await colour.call(client.update_registration, registration, wish)
            after = updated.config(replace(newcomer, client_auth=PrivateKeyJWT(new)))
            await work(colour, after, peer, "backend")
            async with colour.client(before) as stale:
                assert await refused(colour, stale.backend_token) == ("invalid_client", 401)
            await colour.call(client.delete_registration, updated)
            async with colour.client(after) as gone:
                assert await refused(colour, gone.backend_token) == ("invalid_client", 401)

    colour.run(workflow)


@pytest.mark.parametrize("permission", [None, "made-up"])
def test_registration_needs_permission(oidc_provider: Peer, permission: str | None, colour: Colour) -> None:
    """Without an initial access token that the server knows, its refusal comes through."""
    wish = ClientMetadata.for_app(redirect_uris=[oidc_provider.redirect_uri], scope=SCOPE, public=True)

    async def workflow() -> None:
        async with colour.client(make_config(oidc_provider, "public")) as client:
            outcome = await refused(colour, client.register, wish, initial_access_token=permission)
            assert outcome == ("invalid_token", 401)

    colour.run(workflow)


def test_registration_that_the_server_cannot_keep(oidc_provider: Peer, colour: Colour) -> None:
    """A scope that this server does not have is refused as its error, not registered otherwise."""
    wish = ClientMetadata.for_app(redirect_uris=[oidc_provider.redirect_uri], scope="made/Up.rs", public=True)

    async def workflow() -> None:
        async with colour.client(make_config(oidc_provider, "public")) as client:
            permission = oidc_provider.initial_access_token()
            outcome = await refused(colour, client.register, wish, initial_access_token=permission)
            assert outcome == ("invalid_client_metadata", 400)

    colour.run(workflow)


@pytest.mark.rule("CB-01", "CB-10")
def test_form_post(oidc_provider: Peer, colour: Colour) -> None:
    """A callback that was posted is read as a mapping, with state and issuer checked as in a URL."""
    config = make_config(oidc_provider, "RS384", response_mode="form_post")

    async def workflow() -> None:
        async with colour.client(config) as client:
            pending = await colour.call(client.authorize)
            posted = oidc_provider.browse("GET", pending.url).fields
            assert posted.keys() == {"code", "state", "iss"}
            assert posted["iss"] == oidc_provider.issuer
            before = len(oidc_provider.seen())
            without = {name: value for name, value in posted.items() if name != "iss"}
            for changed in (
                without,
                {**posted, "iss": "https://other.test"},
                {**posted, "state": posted["state"][::-1]},
                {**posted, "code": [posted["code"], posted["code"]]},
            ):
                with pytest.raises(CallbackError):
                    await colour.call(client.exchange_code, pending, changed)
            assert len(oidc_provider.seen()) == before
            token = await colour.call(client.exchange_code, pending, posted)
            check_identity(oidc_provider, token, pending)

    colour.run(workflow)


@pytest.mark.rule("AL-18", "AL-20")
def test_authorization_by_post(oidc_provider: Peer, colour: Colour) -> None:
    """The page with the authorization request as a form takes a user to the same callback."""
    # This server needs a prompt for offline_access, which for a GET the test server adds.
    config = make_config(oidc_provider, "public", extra_authorize_params={"prompt": "consent"})

    async def workflow() -> None:
        async with colour.client(config) as client:
            pending = await colour.call(client.authorize)
            assert pending.post_supported
            callback = oidc_provider.log_in_by_form(pending.form.html())
            token = await colour.call(client.exchange_code, pending, callback)
            check_identity(oidc_provider, token, pending)

    colour.run(workflow)


@pytest.mark.rule("AL-03", "AL-04", "AL-13")
@pytest.mark.parametrize("kind", ["public", "form", "ES384"])
def test_ehr_launch(oidc_provider: Peer, kind: str, colour: Colour) -> None:
    """A launch from the EHR comes back with its patient; one that the EHR does not know is refused."""
    peer = oidc_provider
    config = make_config(peer, kind, scope="launch openid fhirUser patient/*.rs offline_access")

    async def workflow() -> None:
        async with colour.client(config) as client:
            query = urlencode({"iss": peer.fhir_base, "launch": peer.launch})
            launch = EHRLaunch.from_url(f"https://app.example.com/launch?{query}")
            pending = await colour.call(client.authorize, launch=launch)
            assert dict(parse_qsl(urlsplit(pending.url).query))["launch"] == peer.launch
            token = await colour.call(client.exchange_code, pending, peer.log_in(pending.url))
            assert (token.context.patient, token.context.need_patient_banner) == ("pat-1", True)
            check_identity(peer, token, pending)

            unknown = await colour.call(client.authorize, launch=replace(launch, launch="of-another-day"))
            assert await refused(colour, client.exchange_code, unknown, peer.log_in(unknown.url)) == (
                "invalid_request",
                None,
            )

    colour.run(workflow)


class Later:
    """A clock that can be put forward where keys are concerned, and tells servers the true time."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def wall(self) -> float:
        """Return the true time."""
        return time.time()

    def monotonic(self) -> float:
        """Return a later time."""
        return time.monotonic() + self.ahead


@pytest.mark.rule("ID-01", "ID-13")
@pytest.mark.parametrize("kind", ["RS384", "ES384"])
def test_rotated_keys_of_the_server(oidc_provider: Peer, kind: str, colour: Colour) -> None:
    """A new key of the server is fetched, though not within a minute; until then it proves nobody."""
    clock = Later()

    async def workflow() -> None:
        async with colour.client(make_config(oidc_provider, kind), clock=clock) as client:
            await log_in(colour, client, oidc_provider)
            oidc_provider.rotate()
            with pytest.raises(IdTokenError) as caught:
                await log_in(colour, client, oidc_provider)
            assert (await colour.call(client.introspect, caught.value.token)).active
            clock.ahead = 61
            pending, token = await log_in(colour, client, oidc_provider)
            check_identity(oidc_provider, token, pending)

    colour.run(workflow)
