"""
The whole workflow over real sockets: three colours, two HTTP libraries, both algorithms.

The sandbox listens on a free loopback port; every request goes through the transport that an app would use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from smart_async import (
    AsyncSmartClient,
    EHRLaunch,
    OAuthError,
    PrivateKeyJWT,
    SigningKey,
    SmartClient,
    SmartConfig,
    Token,
)

pytest.importorskip("uvicorn")
from smart_async.sandbox import Sandbox, serve

REDIRECT_URI = "https://app.example.com/callback"


@pytest.fixture(scope="module", params=["ES384", "RS384"])
def key(request: pytest.FixtureRequest) -> SigningKey:
    """A key of either kind."""
    return SigningKey.generate(request.param, kid="key-1", key_size=2048)


@pytest.fixture
def ehr(key: SigningKey) -> Iterator[Sandbox]:
    """A sandbox on a loopback port that knows one client."""
    with serve(Sandbox()) as sandbox:
        sandbox.register_client(
            client_id="growth-chart", redirect_uris=[REDIRECT_URI], jwks={"keys": [key.public_jwk()]}
        )
        yield sandbox


@pytest.fixture(params=["sync", "asyncio", "trio"])
def call(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Calls a method of either client, in one event loop for the whole test where there is one."""
    if request.param == "sync":
        yield lambda method, *arguments, **named: method(*arguments, **named)
        return
    with start_blocking_portal(request.param) as portal:
        yield lambda method, *arguments, **named: portal.call(partial(method, *arguments, **named))


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> str:
    """Each HTTP library."""
    pytest.importorskip(request.param)
    name: str = request.param
    return name


def browse(url: str) -> str:
    """Does the browser's part: the sandbox consents by itself and redirects to the app."""
    response = httpx.get(url, follow_redirects=False)
    assert response.status_code in (302, 303)
    return response.headers["location"]


def patient_of(ehr: Sandbox, token: Token) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token.access_token.reveal()}"}
    return httpx.get(f"{ehr.fhir_base}/Patient/{token.context.patient or 'patient-amber'}", headers=headers)


@pytest.mark.rule("AS-02", "AS-03", "AS-10", "TK-01", "TK-07", "RF-01", "RF-05", "BS-02")
def test_the_whole_workflow_over_loopback(
    request: pytest.FixtureRequest, call: Callable[..., Any], library: str, key: SigningKey, ehr: Sandbox
) -> None:
    """Discovery, standalone and EHR login, FHIR reads, refresh with rotation and backend token all pass."""
    config = SmartConfig(
        fhir_base=ehr.fhir_base,
        client_id="growth-chart",
        client_auth=PrivateKeyJWT(key),
        redirect_uri=REDIRECT_URI,
        scope="launch/patient patient/*.rs offline_access",
        allow_insecure_loopback=True,
    )
    colour = request.node.callspec.params["call"]
    client = (SmartClient if colour == "sync" else AsyncSmartClient)(config, transport=library)
    try:
        pending = call(client.authorize)
        token = call(client.exchange_code, pending, browse(pending.url))
        assert (token.context.patient, token.findings) == ("patient-amber", ())
        assert patient_of(ehr, token).json()["id"] == "patient-amber"

        fresh = call(client.refresh, Token.from_json(token.to_json()))
        assert patient_of(ehr, fresh).status_code == 200
        with pytest.raises(OAuthError) as caught:
            call(client.refresh, token)
        assert (caught.value.error, caught.value.status) == ("invalid_grant", 400)

        launch = EHRLaunch.from_url(ehr.launch_url("https://app.example.com/launch", patient=ehr.patients[1]))
        pending = call(client.authorize, launch=launch)
        launched = call(client.exchange_code, pending, browse(pending.url))
        assert launched.context.patient == ehr.patients[1]

        backend = call(client.backend_token)
        assert patient_of(ehr, backend).status_code == 200
    finally:
        call(client.close if isinstance(client, SmartClient) else client.aclose)
    refused = [(verdict.endpoint, verdict.rule) for verdict in ehr.verdicts if not verdict.accepted]
    assert len(refused) == 1
