"""A Starlette or FastAPI app whose users sign in at the sandbox, and the browsers they use."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from smart_async import AsyncSmartClient, PrivateKeyJWT, SigningKey, SmartConfig, public_jwks
from smart_async.integrations.starlette import SignedIn, SmartLogin
from smart_async.sandbox import Sandbox

__all__ = ("API", "ORIGIN", "PAGE", "Time", "WebApp", "cookies_of", "location")

ORIGIN = "https://app.example.com"
PAGE = {"Accept": "text/html,application/xhtml+xml", "Sec-Fetch-Mode": "navigate"}
API = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}
KEY = SigningKey.generate("ES384", kid="key-1")
SCOPE = "openid fhirUser launch launch/patient patient/*.rs offline_access"


class Time:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    wall = monotonic = __call__


class WebApp:
    """
    An app with a start page, a page and an API for signed-in users, over a sandbox in memory.

    Keyword arguments that are none of these go to `SmartLogin`.
    """

    def __init__(
        self,
        framework: str = "starlette",
        *,
        sandbox: Sandbox | None = None,
        redirect_uri: str = f"{ORIGIN}/smart/callback",
        clock: Time | None = None,
        ehrs: Any = None,
        path: str | None = None,
        root_path: str = "",
        client: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or Time()
        self.sandbox = sandbox or Sandbox(clock=self.clock)
        self.config = register(self.sandbox, redirect_uri, **(config or {}))
        self.client = ehrs or AsyncSmartClient(
            self.config, transport=self.sandbox.transport(), clock=self.clock, **(client or {})
        )
        options = {"http_transport": httpx.ASGITransport(self.sandbox.app), "clock": self.clock, **options}
        self.login = SmartLogin(self.client, **options)
        self.origin = f"{urlsplit(redirect_uri).scheme}://{urlsplit(redirect_uri).netloc}"
        self.app = (fastapi_app if framework == "fastapi" else starlette_app)(self.login, path)
        self.transport = httpx.ASGITransport(self.app, root_path=root_path)

    def browser(self) -> httpx.AsyncClient:
        """A new browser with an empty cookie jar."""
        return httpx.AsyncClient(transport=self.transport, base_url=self.origin, headers=PAGE)

    async def to_the_ehr(self, browser: httpx.AsyncClient, start: str | None = None) -> str:
        """Where the browser is sent when it begins to sign in."""
        return location(await browser.get(start or f"{self.login.prefix}/login"))

    async def sign_in(self, browser: httpx.AsyncClient, start: str | None = None) -> httpx.Response:
        """The answer to the callback of a whole login."""
        return await browser.get(self.sandbox.authorize(await self.to_the_ehr(browser, start)))

    def exchanges(self) -> int:
        """How many codes have arrived at the token endpoint."""
        return sum(
            b"grant_type=authorization_code" in received.body
            for received in self.sandbox.requests
            if received.method == "POST"
        )


def register(sandbox: Sandbox, redirect_uri: str, client_id: str = "chart", **changes: Any) -> SmartConfig:
    """Register a client with the sandbox and return its configuration."""
    sandbox.register_client(
        client_id=client_id, jwks=public_jwks([KEY]), redirect_uris=[redirect_uri], scope=SCOPE
    )
    config = SmartConfig(
        fhir_base=sandbox.fhir_base,
        client_id=client_id,
        client_auth=PrivateKeyJWT(KEY),
        redirect_uri=redirect_uri,
        scope=SCOPE.replace(" launch ", " "),
        allow_insecure_loopback=redirect_uri.startswith("http://"),
    )
    return replace(config, **changes)


async def chart(signed_in: SignedIn) -> dict[str, Any]:
    """What the app shows of a patient."""
    answer = await signed_in.http.get(f"Patient/{signed_in.context.patient}")
    assert signed_in.identity is not None
    return {
        "patient": signed_in.context.patient,
        "user": signed_in.identity.subject,
        "read": answer.json()["id"],
        "token": signed_in.token.access_token.reveal()[:8],
    }


def starlette_app(login: SmartLogin, path: str | None) -> Starlette:
    """The app in Starlette."""

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse("nobody" if await login.current(request) is None else "somebody")

    @login.required
    async def page(request: Request, signed_in: SignedIn) -> JSONResponse:
        assert request.state.signed_in is signed_in
        return JSONResponse(await chart(signed_in))

    @login.required
    async def post(request: Request) -> JSONResponse:
        return JSONResponse(await chart(request.state.signed_in))

    routes = [Route("/", home), Route("/chart", page), Route("/note", post, methods=["POST"])]
    app = Starlette(routes=routes)
    login.install(app, path=path)
    return app


def fastapi_app(login: SmartLogin, path: str | None) -> Any:
    """The app in FastAPI."""
    from fastapi import Depends, FastAPI

    app = FastAPI()

    async def home(user: Any = Depends(login.current)) -> PlainTextResponse:  # noqa: B008
        return PlainTextResponse("nobody" if user is None else "somebody")

    async def page(user: Any = Depends(login.session)) -> dict[str, Any]:  # noqa: B008
        return await chart(user)

    app.get("/", response_class=PlainTextResponse)(home)
    app.get("/chart")(page)
    app.post("/note")(page)
    login.install(app, path=path)
    return app


def location(answer: httpx.Response) -> str:
    """Where a redirect leads."""
    assert answer.status_code == 303, (answer.status_code, answer.text)
    return answer.headers["location"]


def cookies_of(answer: httpx.Response) -> dict[str, tuple[str, list[str]]]:
    """The cookies that an answer sets: each value, and its attributes."""
    found = {}
    for field in answer.headers.get_list("set-cookie"):
        pair, *attributes = [part.strip() for part in field.split(";")]
        name, _, value = pair.partition("=")
        found[name] = (value, attributes)
    return found


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def body_of(answer: httpx.Response) -> Any:
    """The JSON of an answer."""
    return json.loads(answer.content)
