"""The whole workflow against a server that nobody here wrote, in each colour, over each HTTP library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from smart_async import (
    CallbackError,
    OAuthError,
    PendingAuthorization,
    PrivateKeyJWT,
    SigningKey,
    SmartConfig,
    Token,
)

pytestmark = pytest.mark.peers

Peer: TypeAlias = Any
Colour: TypeAlias = Any
"""What the fixtures return: a conftest cannot be imported."""

SCOPE = "openid fhirUser launch/patient patient/*.rs offline_access"
AUTHENTICATION = {"client_assertion", "client_assertion_type"}


def make_config(peer: Peer, algorithm: str, key: SigningKey | None = None) -> SmartConfig:
    """Return the registration of the peer's client for *algorithm*."""
    private = peer.keys[algorithm]
    pem = private.as_pem(private=True)
    return SmartConfig(
        fhir_base=peer.fhir_base,
        client_id=f"app-{algorithm}",
        client_auth=PrivateKeyJWT(key or SigningKey.from_pem(pem, kid=private.kid)),
        redirect_uri=peer.redirect_uri,
        scope=SCOPE,
        allow_insecure_loopback=True,
    )


def check_assertions(requests: list[dict[str, Any]], config: SmartConfig, algorithm: str, url: str) -> None:
    """Hold what the server saw against SMART's rules for client authentication."""
    for request in requests:
        assert request["outcome"] == "granted"
        assert request["authorization_header"] is False
        assert {name for name in request["parameters"] if name.startswith("client")} == AUTHENTICATION
        assert request["header"] == {"alg": algorithm, "kid": f"{algorithm.lower()}-key", "typ": "JWT"}
        claims = request["claims"]
        assert (claims["iss"], claims["sub"], claims["aud"]) == (config.client_id, config.client_id, url)
        assert claims["exp"] - claims["iat"] <= 300
    assert len({request["claims"]["jti"] for request in requests}) == len(requests)


@pytest.mark.rule(
    "AL-14", "AS-02", "AS-03", "AS-04", "AS-07", "AS-08", "AS-10", "RF-03", "RF-05", "RF-09", "TK-06", "TK-10"
)
def test_workflow(oidc_provider: Peer, algorithm: str, colour: Colour) -> None:
    """Discovery, login, exchange after a restart, refreshes and a backend token all pass."""
    config = make_config(oidc_provider, algorithm)
    before = len(oidc_provider.seen())

    async def workflow() -> None:
        async with colour.client(config) as client:
            metadata = await colour.call(client.discover)
            assert metadata.issuer == oidc_provider.issuer
            assert [finding for finding in metadata.conformance() if finding.severity == "error"] == []
            pending = await colour.call(client.authorize)
            stored = pending.to_json()

        async with colour.client(config) as client:
            callback = oidc_provider.log_in(pending.url)
            token = await colour.call(client.exchange_code, PendingAuthorization.from_json(stored), callback)
            assert set(str(token.scopes).split()) == set(SCOPE.split())
            assert token.context.patient == "pat-1"
            assert token.expires_at == pytest.approx(token.issued_at + 3600, abs=5)
            assert oidc_provider.read_patient(token).json()["id"] == token.context.patient

            rotated = await colour.call(client.refresh, Token.from_json(token.to_json()))
            assert rotated.refresh_token not in (None, token.refresh_token)
            assert rotated.access_token != token.access_token
            assert rotated.context == token.context
            narrow = await colour.call(client.refresh, rotated, scope="patient/*.rs")
            assert str(narrow.scopes) == "patient/*.rs"

            backend = await colour.call(client.backend_token, scope="system/Patient.rs")
            assert str(backend.scopes) == "system/Patient.rs"
            assert backend.refresh_token is None
            assert oidc_provider.read_patient(backend).json()["id"] == "pat-1"

    colour.run(workflow)
    requests = oidc_provider.seen()[before:]
    grants = [request["grant"] for request in requests]
    assert grants == ["authorization_code", "refresh_token", "refresh_token", "client_credentials"]
    check_assertions(requests, config, algorithm, f"{oidc_provider.issuer}/token")


@pytest.mark.rule("AS-20", "TK-19")
def test_refusals(oidc_provider: Peer, algorithm: str, colour: Colour) -> None:
    """Spent codes and refresh tokens, foreign scopes and unknown keys end in an OAuthError."""
    config = make_config(oidc_provider, algorithm)
    stranger = SigningKey.generate(algorithm, kid=f"{algorithm.lower()}-key")

    async def refused(method: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[str | None, int | None]:
        with pytest.raises(OAuthError) as caught:
            await colour.call(method, *args, **kwargs)
        return caught.value.error, caught.value.status

    async def workflow() -> None:
        async with colour.client(config) as client:
            pending = await colour.call(client.authorize)
            callback = oidc_provider.log_in(pending.url)
            token = await colour.call(client.exchange_code, pending, callback)
            await colour.call(client.refresh, token)
            assert await refused(client.refresh, token) == ("invalid_grant", 400)
            assert await refused(client.exchange_code, pending, callback) == ("invalid_grant", 400)
            assert await refused(client.backend_token, scope="system/Group.rs") == ("invalid_scope", 400)

        async with colour.client(make_config(oidc_provider, algorithm, stranger)) as impostor:
            assert await refused(impostor.backend_token, scope="system/*.rs") == ("invalid_client", 401)

    colour.run(workflow)


@pytest.mark.rule("CB-01", "CB-10")
def test_foreign_callbacks(oidc_provider: Peer, algorithm: str, colour: Colour) -> None:
    """A callback with another state or issuer, or without the announced issuer, reaches no token endpoint."""
    config = make_config(oidc_provider, algorithm)

    async def workflow() -> None:
        async with colour.client(config) as client:
            pending = await colour.call(client.authorize)
            callback = oidc_provider.log_in(pending.url)
            before = len(oidc_provider.seen())
            issuer = urlsplit(callback).query.split("iss=")[1]
            for changed in (
                callback.replace(pending.state, pending.state[::-1]),
                callback.replace(issuer, "https%3A%2F%2Fother.test"),
                callback.replace(f"&iss={issuer}", ""),
                f"{callback}&state={pending.state}",
            ):
                assert changed != callback
                with pytest.raises(CallbackError):
                    await colour.call(client.exchange_code, pending, changed)
            assert len(oidc_provider.seen()) == before

    colour.run(workflow)


@pytest.mark.rule("CB-05")
def test_access_denied(oidc_provider: Peer, algorithm: str, colour: Colour) -> None:
    """A refusal at the authorization endpoint comes back as the server's error, with its own words."""
    config = make_config(oidc_provider, algorithm)

    async def workflow() -> None:
        async with colour.client(config) as client:
            pending = await colour.call(client.authorize)
            foreign = pending.url.replace("code_challenge_method=S256", "code_challenge_method=plain")
            assert foreign != pending.url
            callback = oidc_provider.log_in(foreign)
            with pytest.raises(OAuthError) as caught:
                await colour.call(client.exchange_code, pending, callback)
            assert caught.value.error == "invalid_request"
            assert caught.value.error_description

    colour.run(workflow)
