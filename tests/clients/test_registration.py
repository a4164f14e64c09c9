"""From an unknown program to a working client, against the sandbox's own judgement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from smart_async import (
    AsyncSmartClient,
    ClientMetadata,
    ClientRegistration,
    OAuthError,
    PrivateKeyJWT,
    PublicClient,
    SigningKey,
    SmartClient,
    SmartConfig,
)
from smart_async.sandbox import Sandbox

CALLBACK = "https://app.example.com/callback"


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.generate("ES384")


@pytest.fixture(params=["sync", "asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Any:
    """Calls a method of a client in each colour."""

    def call(sandbox: Sandbox, config: SmartConfig, method: str, *arguments: Any, **options: Any) -> Any:
        if request.param == "sync":
            client = SmartClient(config, transport=sandbox.transport())
            return getattr(client, method)(*arguments, **options)

        async def awaited() -> Any:
            async with AsyncSmartClient(config, transport=sandbox.transport()) as client:
                return await getattr(client, method)(*arguments, **options)

        return anyio.run(awaited, backend=request.param)

    return call


def newcomer(sandbox: Sandbox, client_auth: Any) -> SmartConfig:
    return SmartConfig(fhir_base=sandbox.fhir_base, client_id="unregistered", client_auth=client_auth)


@pytest.mark.rule("AS-01", "AS-15", "BS-01")
def test_a_backend_client_registers_and_works(key, run):
    """Register, become the client, get a token, change, read, delete: the whole life of a client."""
    sandbox = Sandbox(initial_access_token="iat-1")
    config = newcomer(sandbox, PrivateKeyJWT(key))
    wish = ClientMetadata.for_backend(key, client_name="Nightly")
    registration = run(sandbox, config, "register", wish, initial_access_token="iat-1")
    assert registration.findings == ()
    assert replace(registration.metadata, redirect_uris=None, scope=wish.scope) == wish
    restored = ClientRegistration.from_json(registration.to_json())
    mine = restored.config(config)
    assert SmartClient(mine, transport=sandbox.transport()).backend_token("system/Patient.rs").access_token
    successor = SigningKey.generate("RS384", key_size=2048)
    both = ClientMetadata.for_backend(key, successor, client_name="Weekly")
    updated = run(sandbox, mine, "update_registration", restored, both)
    assert (updated.findings, updated.metadata.client_name) == ((), "Weekly")
    assert run(sandbox, mine, "read_registration", updated).metadata == updated.metadata
    rotated = replace(mine, client_auth=PrivateKeyJWT(successor))
    assert SmartClient(rotated, transport=sandbox.transport()).backend_token("system/Patient.rs")
    run(sandbox, mine, "delete_registration", updated)
    with pytest.raises(OAuthError):
        SmartClient(mine, transport=sandbox.transport()).backend_token("system/Patient.rs")


@pytest.mark.parametrize("kind", ["public", "secret", "key"])
def test_an_app_registers_and_logs_a_user_in(key, kind, run):
    """Each client type is registered as asked for, and works with what came back."""
    sandbox = Sandbox()
    config = newcomer(sandbox, PrivateKeyJWT(key) if kind == "key" else PublicClient())
    config = replace(config, scope="openid launch/patient patient/*.rs")
    wish = ClientMetadata.for_app(
        *([key] if kind == "key" else []),
        redirect_uris=[CALLBACK],
        scope=config.scope,
        public=kind == "public",
    )
    registration = run(sandbox, config, "register", wish)
    assert registration.findings == ()
    client = SmartClient(registration.config(config), transport=sandbox.transport())
    assert client.config.redirect_uri == CALLBACK
    pending = client.authorize()
    token = client.exchange_code(pending, sandbox.authorize(pending.url))
    assert token.context.patient == "patient-amber"
    assert token.binding.client_id == registration.client_id


@pytest.mark.parametrize("token", [None, "iat-2"])
def test_a_stranger_is_refused(key, token, run):
    """Without the right initial access token the server's refusal comes through, and hides the token."""
    sandbox = Sandbox(initial_access_token="iat-1")
    with pytest.raises(OAuthError) as caught:
        run(
            sandbox,
            newcomer(sandbox, PrivateKeyJWT(key)),
            "register",
            ClientMetadata.for_backend(key),
            initial_access_token=token,
        )
    assert (caught.value.error, caught.value.status) == ("invalid_token", 401)
