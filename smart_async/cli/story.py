"""What happens in the demo, in order; written once for blocking and for async code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import closing, suppress
from typing import Any, TypeAlias

from smart_async._values import dataclass
from smart_async.cli.appserver import AppServer
from smart_async.errors import ProtocolError
from smart_async.keys import SigningKey
from smart_async.messages import Headers, Request, Response, Secret, as_object, strict_loads
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.config import SmartConfig

__all__ = ("Cast", "KeyInUse", "Story", "run_async", "run_sync", "tell")

Story: TypeAlias = Generator[Any, Any, None]
"""Yields what a client's method returned: a value, or something to await that ends in the value."""


class KeyInUse:
    """
    A signer that passes the work to one of several keys, as while keys are being exchanged.

    Args:
        key: The key to begin with; assign another to `key` at any time.
    """

    def __init__(self, key: SigningKey) -> None:
        self.key = key

    @property
    def kid(self) -> str:
        """The current key's id."""
        return self.key.kid

    @property
    def algorithm(self) -> str:
        """The current key's algorithm."""
        return self.key.algorithm

    @property
    def blocking(self) -> bool:
        """As the current key says."""
        return self.key.blocking

    def sign(self, signing_input: bytes) -> bytes:
        """Return the current key's signature."""
        return self.key.sign(signing_input)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """
    Who and what takes part.

    Args:
        fhir_base: The EHR's FHIR base URL.
        app: The app's web server.
        es384: The app's elliptic-curve key.
        rs384: The app's RSA key.
        login_id: The client id for logins.
        login_scope: What is asked of the user.
        backend_id: The client id for Backend Services.
        backend_scope: What is asked for there.
        other_patient: The id of a patient to read there.
        client: Makes a client from a configuration, blocking or async.
        app_send: Sends a request of the app's.
        browser_send: Sends a request of the browser's.
        title: Begins a part of the story.
    """

    fhir_base: str
    app: AppServer
    es384: SigningKey
    rs384: SigningKey
    login_id: str
    login_scope: str
    backend_id: str
    backend_scope: str
    other_patient: str
    client: Callable[[SmartConfig], Any]
    app_send: Callable[[Request], Response | Awaitable[Response]]
    browser_send: Callable[[Request], Response | Awaitable[Response]]
    title: Callable[[str], None]

    def config(self, client_id: str, signer: KeyInUse, scope: str) -> SmartConfig:
        """Return the configuration of one of the two registrations."""
        return SmartConfig(
            fhir_base=self.fhir_base,
            client_id=client_id,
            client_auth=PrivateKeyJWT(signer),
            redirect_uri=self.app.redirect_uri,
            scope=scope,
            allow_insecure_loopback=True,
        )


def tell(cast: Cast) -> Story:
    """
    Sign a user in, read the patient, refresh; then the same without a user.

    Args:
        cast: Who takes part.
    """
    yield from _login(cast)
    yield from _backend(cast)


def run_sync(story: Story) -> None:
    """Play *story* with blocking clients, whose methods have returned the value itself."""
    with closing(story), suppress(StopIteration):
        step = next(story)
        while True:
            step = story.send(step)


async def run_async(story: Story) -> None:
    """Play *story* with async clients, by awaiting what their methods return."""
    with closing(story), suppress(StopIteration):
        step = next(story)
        while True:
            step = story.send(await step)


def _login(cast: Cast) -> Story:
    cast.title("Part 1: a user signs in")
    signer = KeyInUse(cast.es384)
    client = cast.client(cast.config(cast.login_id, signer, cast.login_scope))
    pending = yield client.authorize()
    callback = yield from _browse(cast, pending.url)
    token = yield client.exchange_code(pending, callback)
    yield from _read(cast, token.context.patient, token.access_token)
    signer.key = cast.rs384
    token = yield client.refresh(token)
    yield from _read(cast, token.context.patient, token.access_token)


def _backend(cast: Cast) -> Story:
    cast.title("Part 2: Backend Services, without a user")
    signer = KeyInUse(cast.es384)
    client = cast.client(cast.config(cast.backend_id, signer, cast.backend_scope))
    for key in (cast.es384, cast.rs384):
        signer.key = key
        token = yield client.backend_token(cast.backend_scope)
        yield from _read(cast, cast.other_patient, token.access_token)


def _browse(cast: Cast, url: str) -> Generator[Any, Any, str]:
    # What a browser does: open the page, and go where it is sent until there is a page to show.
    response = yield cast.browser_send(Request(method="GET", url=url, purpose="fhir"))
    while "location" in response.headers:
        url = response.headers["location"]
        response = yield cast.browser_send(Request(method="GET", url=url, purpose="fhir"))
    if response.status != 200 or url not in cast.app.callbacks:
        raise ProtocolError(
            "The browser was not sent back to the app.",
            endpoint=url.partition("?")[0],
            status=response.status,
        )
    return url


def _read(cast: Cast, patient: str, token: Secret) -> Story:
    url = f"{cast.fhir_base}/Patient/{patient}"
    headers = Headers({"Accept": "application/fhir+json", "Authorization": f"Bearer {token.reveal()}"})
    response = yield cast.app_send(Request(method="GET", url=url, purpose="fhir", headers=headers))
    found = (as_object(strict_loads(response.body)) if response.status == 200 else None) or {}
    if (found.get("resourceType"), found.get("id")) != ("Patient", patient):
        raise ProtocolError("The Patient could not be read.", endpoint=url, status=response.status)
