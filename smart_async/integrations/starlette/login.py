"""`SmartLogin`: everything that it takes to sign users of a Starlette or FastAPI app in, and to know them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute, Router

from smart_async.clients._async import AsyncSmartClient
from smart_async.clients._parts import check_clock
from smart_async.clients._registry import AsyncEHRRegistry
from smart_async.errors import ConfigurationError, SmartError
from smart_async.integrations.starlette._answers import Answers, is_page
from smart_async.integrations.starlette._cookies import Cookies
from smart_async.integrations.starlette._errors import NotSignedInError, UnavailableError
from smart_async.integrations.starlette._local import browser_path, local_path
from smart_async.integrations.starlette._pages import Pages
from smart_async.integrations.starlette._parts import AfterLogin, ChooseEHR, OnFailure, Parts
from smart_async.integrations.starlette._pending import PendingLogins
from smart_async.integrations.starlette._places import EHRChoice, Places
from smart_async.integrations.starlette._pool import Pool
from smart_async.integrations.starlette._routes import STYLE_PATH, Endpoint, login_routes
from smart_async.integrations.starlette._sessions import WebSessions
from smart_async.integrations.starlette._shelf import Shelf, check_store
from smart_async.integrations.starlette._signed_in import SignedIn
from smart_async.integrations.starlette._visitors import Visitors
from smart_async.interfaces import Clock, TokenStore
from smart_async.limits import PENDING_TTL, WEB_IDLE, WEB_LIFETIME, WEB_PENDING_BROWSERS
from smart_async.smart.entropy import Entropy, new_token, system_entropy
from smart_async.stores.memory import MemoryStore

if TYPE_CHECKING:
    import httpx

    from smart_async.integrations.jwks import Rings

__all__ = ("SmartLogin",)


class SmartLogin:
    """
    Sign users in, and hand each request who they are.

    The redirect URI of the registration says where the routes are: with
    `https://app.example.com/smart/callback` they are below `/smart`, as browsers see it. There are `/launch`
    (for EHRs), `/login`, `/callback`, `/logout` and, if you give your keys, `/jwks.json`. Tokens, patients
    and everything else stay on the server; the browser holds random ids alone.

    Args:
        ehrs: The registry of the EHRs that users may come from, or the client of the only one.
        store: Where it is kept who is signed in; None for the store in which *ehrs* keeps the tokens.
            Replicas have to share it.
        pending_store: Where logins under way are kept; None for *store*, or for a bounded one of its own if
            that is a `MemoryStore`, so that strangers who begin logins push out nobody who is signed in.
        callback_path: What the redirect URIs have after the place of the routes. Each may go on with
            `/NAME`, so that every registration has a path of its own.
        names: A name for people for each FHIR base, for the page on which users choose.
        choose_ehr: Is called with the request and the `EHRChoice`s where there are several, and returns one
            of them, or a page that links to `/login?ehr=ID`. None for a plain page.
        after_login: Is called with the request and the `SignedIn` user, and may return the answer. A
            `SmartError` that it raises undoes the login. None to go where the user wanted to go.
        on_failure: Is called with the request and the error, and may return the answer. None for a plain
            page.
        default_return_to: Where a login leads that names no page: a path below the app's root path.
        cookie: The cookie's name; `__Host-` is put before it, and `-login` after that of logins under way.
        framed: Whether EHRs show the app in a frame: True, or the origins that may. Cookies then are
            `SameSite=None; Partitioned`.
        idle: Seconds without a request after which a user is signed out.
        lifetime: Seconds after which a user is signed out in any case.
        jwks: The keys to publish at `/jwks.json`: as for `smart_async.integrations.jwks.jwks_app`.
        http_transport: What requests of `SignedIn.http` go through, for a proxy, a private CA or a test. It
            stays yours.
        allow_insecure_loopback: Accept an http redirect URI on a loopback host, for development.
        clock: Who tells the time.
        entropy: The source of random bytes, for tests.

    Raises:
        ConfigurationError: If the parts do not go together, naming the one at fault.

    Spec: SMART App Launch 2.2, app launch; RFC 9700.
    """

    def __init__(
        self,
        ehrs: AsyncEHRRegistry | AsyncSmartClient,
        *,
        store: TokenStore | None = None,
        pending_store: TokenStore | None = None,
        callback_path: str = "/callback",
        names: Mapping[str, str] | None = None,
        choose_ehr: ChooseEHR | None = None,
        after_login: AfterLogin | None = None,
        on_failure: OnFailure | None = None,
        default_return_to: str = "/",
        cookie: str = "smart-session",
        framed: bool | Iterable[str] = False,
        idle: float = WEB_IDLE,
        lifetime: float = WEB_LIFETIME,
        jwks: Rings | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
        allow_insecure_loopback: bool = False,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        places = Places(
            ehrs, names=names, callback_path=callback_path, allow_insecure_loopback=allow_insecure_loopback
        )
        _check_hooks(choose_ehr=choose_ehr, after_login=after_login, on_failure=on_failure)
        if not places.secure and framed:
            raise ConfigurationError("No browser takes a cookie in a frame without https.", field="framed")
        if local_path(default_return_to) is None:
            raise ConfigurationError("default_return_to is a path such as /home.", field="default_return_to")
        store = check_store(ehrs.store if store is None else store, "store")
        random = entropy or system_entropy
        now = check_clock(clock).wall

        def new_id() -> str:
            return new_token(random)

        cookies = Cookies(
            cookie,
            secure=places.secure,
            framed=bool(framed),
            posts=places.posts,
            pending_seconds=PENDING_TTL,
        )
        self._parts = Parts(
            places=places,
            pendings=PendingLogins(Shelf(_pending_store(pending_store, store), "pending"), now, new_id),
            sessions=WebSessions(Shelf(store, "session"), now, idle=idle, lifetime=lifetime),
            cookies=cookies,
            pages=Pages(places.prefix + STYLE_PATH, framed),
            pool=Pool(http_transport),
            now=now,
            new_id=new_id,
            after_login=after_login,
            on_failure=on_failure,
            choose_ehr=choose_ehr,
            default_return_to=default_return_to,
        )
        self._ehrs = ehrs
        self._visitors = Visitors(self._parts)
        self._answers = Answers(self._parts, self.session)
        self._make_routes = functools.partial(login_routes, self._parts, self._visitors, callback_path, jwks)

    @property
    def prefix(self) -> str:
        """Where the routes are, as browsers see it: what the redirect URI has before `/callback`."""
        return self._parts.places.prefix

    @property
    def choices(self) -> tuple[EHRChoice, ...]:
        """The EHRs that users can sign in at, for a page of your own with links to `/login?ehr=ID`."""
        return self._parts.places.choices

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes, relative to the place where you mount them."""
        return self._make_routes("")

    @property
    def app(self) -> Router:
        """The routes as an ASGI app: `app.mount("/smart", login.app)`."""
        return Router(routes=self.routes)

    @property
    def logout_url(self) -> str:
        """Where a form is posted to sign the user out."""
        return f"{self.prefix}/logout"

    def login_url(self, return_to: str | None = None) -> str:
        """
        Return the link that signs a user in.

        Args:
            return_to: A path of this site that the user comes back to; anything else is left out.
        """
        path = self._parts.way_back(return_to)
        return f"{self.prefix}/login" + (f"?return_to={quote(path, safe='/')}" if path else "")

    def install(self, app: Starlette, *, path: str | None = None) -> None:
        """
        Put the routes into an app, close everything with it, and answer for users who are not signed in.

        Args:
            app: The Starlette or FastAPI app.
            path: Where in the app; None for `prefix`. Behind a proxy that takes a part of the path away, it
                is what is left.
        """
        # No mount: inside of one, Starlette finds nothing where a root path is not in the path as well.
        app.router.routes.extend(self._make_routes(self.prefix if path is None else path))
        for kind in (NotSignedInError, UnavailableError, SmartError):
            app.add_exception_handler(kind, self._answers.answer)
        inner = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(running: Any) -> AsyncGenerator[Any]:
            async with self.lifespan(running), inner(running) as state:
                yield state

        app.router.lifespan_context = lifespan

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Close everything when the app stops: `Starlette(lifespan=login.lifespan)`, unless installed."""
        del app
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections to the FHIR servers, and the registry or client."""
        await self._parts.pool.aclose()
        if isinstance(self._ehrs, AsyncEHRRegistry):
            for client in self._ehrs.clients:
                await client.aclose()
        await self._ehrs.aclose()

    async def current(self, request: Request) -> SignedIn | None:
        """
        Return the signed-in user, or None.

        Args:
            request: The request.

        Raises:
            UnavailableError: If the store or the EHR is away, so that nobody can tell now.
        """
        try:
            request.state.signed_in = await self._visitors.current(request)
        except SmartError as error:
            raise UnavailableError(error) from error
        signed_in: SignedIn | None = request.state.signed_in
        return signed_in

    async def session(self, request: Request) -> SignedIn:
        """
        Return the signed-in user: `Depends(login.session)` in FastAPI, or called with the request.

        Args:
            request: The request.

        Raises:
            NotSignedInError: If nobody is signed in: a page is sent to the login, anything else gets 401.
            UnavailableError: If the store or the EHR is away, so that nobody can tell now.
        """
        signed_in = await self.current(request)
        if signed_in is None:
            raise self._not_signed_in(request)
        return signed_in

    def required(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Any]]:
        """
        Let only signed-in users reach a Starlette endpoint.

        Args:
            endpoint: An `async` function of the request, or of the request and the `SignedIn` user. Either
                way the user is `request.state.signed_in`, too.
        """
        wanted = len(inspect.signature(endpoint).parameters)

        @functools.wraps(endpoint)
        async def guarded(request: Request) -> Any:
            try:
                signed_in = await self.session(request)
                return await (endpoint(request, signed_in) if wanted > 1 else endpoint(request))
            except (NotSignedInError, UnavailableError, SmartError) as error:
                return await self._answers.answer(request, error)

        return guarded

    def _not_signed_in(self, request: Request) -> NotSignedInError:
        # What was posted cannot be repeated after the login, so then the start page has to do.
        path = browser_path(request.scope) if request.method in ("GET", "HEAD") else None
        return NotSignedInError(self.login_url(path), page=is_page(request))


def _pending_store(given: TokenStore | None, store: TokenStore) -> TokenStore:
    if given is not None:
        return check_store(given, "pending_store")
    return MemoryStore(max_entries=WEB_PENDING_BROWSERS) if isinstance(store, MemoryStore) else store


def _check_hooks(**hooks: object) -> None:
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise ConfigurationError(f"{name} is a function, not {type(hook).__name__}.", field=name)
