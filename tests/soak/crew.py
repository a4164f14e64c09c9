"""Those who work in a soak: one way to use the library each, with all the operations it has."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import httpx
import httpx2
import trio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from judge import Failure, Record
from peers import Peer

from smart_async import AsyncSmartClient, SmartClient, SmartError, fhir_pages
from smart_async.interfaces import TokenStore
from smart_async.limits import Timeouts

BURST = 8
THINKING = 0.05
"""Seconds at most between two operations of one worker."""

TIMEOUTS = Timeouts(connect=5, read=10, write=5, pool=20, total=30, discovery=20)
LIBRARY_ERRORS = (httpx.TransportError, httpx2.TransportError)
WEIGHTS = {
    "discover": 2,
    "login": 1,
    "backend": 4,
    "read": 8,
    "renew": 4,
    "burst": 2,
    "expire": 3,
    "pages": 3,
    "introspect": 3,
    "revoke": 1,
    "register": 1,
}


class RefusedError(Exception):
    """A FHIR server's answer that is no success."""


class Way:
    """One colour over one HTTP library: its event loop, if it has one, and what shall run there."""

    def __init__(self, colour: str, library: str, stack: contextlib.ExitStack, noise: list[str]) -> None:
        self.colour = colour
        self.library = library
        self.http_library: Any = importlib.import_module(library)
        self.portal: BlockingPortal | None = None
        if colour != "sync":
            self.portal = stack.enter_context(start_blocking_portal(colour))
        if colour == "asyncio":
            self.call(self._listen, noise)

    @property
    def name(self) -> str:
        """What to call it."""
        return f"{self.colour}-{self.library}"

    def call(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Return the result of *method*, waited for on the event loop where there is one."""
        if self.portal is None:
            return method(*args, **named)
        return self.portal.call(partial(method, *args, **named))

    def client(self, peer: Peer, store: TokenStore) -> Any:
        """Make a client."""
        kind = SmartClient if self.portal is None else AsyncSmartClient
        config = peer.config(f"soak-{self.name}")
        return kind(config, transport=self.library, store=store, timeouts=TIMEOUTS)

    def http(self, peer: Peer) -> Any:
        """Make the client that a user of the library would have for FHIR."""
        kind = self.http_library.Client if self.portal is None else self.http_library.AsyncClient
        # Servers close what is idle for five seconds; a client that waits as long would race with them.
        limits = self.http_library.Limits(keepalive_expiry=2)
        return kind(base_url=peer.fhir_base, trust_env=False, timeout=30, limits=limits)

    def auth(self, session: Any) -> Any:
        """Return a session's `auth=` for the library."""
        return session.auth() if self.library == "httpx" else session.httpx2_auth()

    def tasks(self) -> int:
        """Return how many tasks the event loop has."""
        if self.portal is None:
            return 0
        if self.colour == "trio":
            return int(self.call(lambda: trio.lowlevel.current_statistics().tasks_living))
        return len(self.call(asyncio.all_tasks))

    @staticmethod
    def _listen(noise: list[str]) -> None:
        def heard(_: Any, context: dict[str, Any]) -> None:
            noise.append(f"The event loop says: {context.get('message')} {context.get('exception')!r}")

        asyncio.get_running_loop().set_exception_handler(heard)


class Worker:
    """Does one thing after the other at one server, and keeps a login for a while."""

    def __init__(self, number: int, way: Way, peer: Peer, client: Any, http: Any, record: Record) -> None:
        self.way = way
        self.peer = peer
        self.client = client
        self.http = http
        self.record = record
        self.dice = random.Random(f"{way.name}-{peer.name}-{number}")
        self.session: Any = None
        self.generation = 0
        self.keeper: threading.Thread | Any = None
        self.made = 0
        self.patient = ""

    def work(self, stop: threading.Event) -> None:
        """Go on until told to stop."""
        while not stop.is_set():
            kind = self.choose()
            begun, generation = time.monotonic(), self.generation
            try:
                getattr(self, kind)()
            except BaseException as exc:
                self.record.fail(self.failure(kind, exc, begun, generation))
                self.forget()
                stop.wait(0.2)
            else:
                self.record.add(self.peer.name, kind)
            stop.wait(self.dice.uniform(0, THINKING))
        self.forget()

    def choose(self) -> str:
        """Return what to do next."""
        kinds = dict(WEIGHTS)
        if self.peer.pages is None:
            del kinds["pages"]
        if self.session is None:
            for kind in ("read", "renew", "burst", "expire", "pages", "introspect", "revoke"):
                kinds.pop(kind, None)
            kinds["login"] = 6
        return self.dice.choices(list(kinds), list(kinds.values()))[0]

    def failure(self, kind: str, exc: BaseException, begun: float, generation: int) -> Failure:
        """Return what is noted of an error."""
        detail = getattr(exc, "error", None) or getattr(exc, "status", None)
        name = type(exc).__name__ if not isinstance(exc, RefusedError) else str(exc)
        return Failure(
            server=self.peer.name,
            operation=f"{kind} ({self.way.name})",
            error=f"{name} {detail}" if detail and isinstance(exc, SmartError) else name,
            typed=isinstance(exc, (SmartError, RefusedError, *LIBRARY_ERRORS)),
            forgotten=bool(generation) and generation != self.peer.generation,
            begun=begun,
            ended=time.monotonic(),
            text=f"{type(exc).__module__}: {exc}"[:500],
        )

    def forget(self) -> None:
        """Drop the login here; a server that is away is not asked."""
        session, self.session, self.generation = self.session, None, 0
        if session is not None:
            self.call(session.delete)
            self.call(session.close if self.way.portal is None else session.aclose)
        keeper, self.keeper = self.keeper, None
        if isinstance(keeper, threading.Thread):
            keeper.join()
        elif keeper is not None:
            with contextlib.suppress(SmartError):
                keeper.result(60)

    def call(self, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self.way.call(method, *args, **named)

    def get(self, session: Any, url: str) -> None:
        """Read something with a session's token."""
        answer = self.call(self.http.get, url, auth=self.way.auth(session))
        if answer.status_code != 200:
            raise RefusedError(f"status {answer.status_code}")
        answer.json()

    # The operations.

    def discover(self) -> None:
        found = self.call(self.client.discover, refresh=self.dice.random() < 0.5)
        if found.issuer != self.peer.issuer:
            raise AssertionError("somebody else's document")

    def login(self) -> None:
        self.forget()
        generation = self.peer.generation
        pending = self.call(self.client.authorize)
        callback = self.peer.browse(pending.url)
        token = self.call(self.client.exchange_code, pending, callback)
        if token.identity is None:
            raise AssertionError("no ID token")
        session = self.client.session(token) if self.way.portal is None else self.adopt(token)
        self.session, self.generation = session, generation
        self.patient = f"Patient/{token.context.patient}"
        if self.dice.random() < 0.3:
            self.keep()

    def adopt(self, token: Any) -> Any:
        async def make() -> Any:
            return self.client.session(token)

        return self.call(make)

    def keep(self) -> None:
        """Renew the login behind the scenes, as a service would."""
        session = self.session
        if self.way.portal is not None:
            self.keeper = self.way.portal.start_task_soon(session.keep_renewed)
            return

        def run() -> None:
            with contextlib.suppress(SmartError):
                session.keep_renewed()

        self.keeper = threading.Thread(target=run, daemon=True)
        self.keeper.start()

    def backend(self) -> None:
        scope = self.dice.choice(("system/Patient.rs", "system/*.rs"))
        generation = self.peer.generation
        session = self.call(self._backend_session, scope)
        if self.dice.random() < 0.3:
            session.invalidate(self.call(session.get_token))
        self.get(session, "Patient/pat-1" if self.peer.pages is None else "Patient/patient-amber")
        if generation == self.peer.generation and session.token.refresh_token is not None:
            raise AssertionError("a refresh token for a backend service")

    def _backend_session(self, scope: str) -> Any:
        session = self.client.backend_session(scope)
        return session if self.way.portal is None else _awaited(session)

    def read(self) -> None:
        self.get(self.session, self.patient)

    def renew(self) -> None:
        before = self.session.token
        if self.call(self.session.renew) is before:
            raise AssertionError("the same token again")

    def expire(self) -> None:
        self.session.invalidate(self.call(self.session.get_token))
        self.get(self.session, self.patient)

    def burst(self) -> None:
        """Let several callers find the token gone at once."""
        session, url = self.session, self.patient
        session.invalidate(self.call(session.get_token))
        if self.way.portal is None:
            with ThreadPoolExecutor(BURST) as pool:
                for done in [pool.submit(self.get, session, url) for _ in range(BURST)]:
                    done.result()
            return
        self.call(self._crowd, session, url)

    async def _crowd(self, session: Any, url: str) -> None:
        outcomes: list[Any] = []

        async def one() -> None:
            try:
                answer = await self.http.get(url, auth=self.way.auth(session))
                outcomes.append(
                    None if answer.status_code == 200 else RefusedError(f"status {answer.status_code}")
                )
            except Exception as exc:
                outcomes.append(exc)

        async with anyio.create_task_group() as group:
            for _ in range(BURST):
                group.start_soon(one)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def pages(self) -> None:
        count = self.call(self._read_pages)
        if count < 2:
            raise AssertionError("a single page")

    def _read_pages(self) -> Any:
        pages = fhir_pages(self.http, str(self.peer.pages), auth=self.way.auth(self.session))
        if self.way.portal is None:
            return sum(1 for _ in pages)

        async def read() -> int:
            return len([page async for page in pages])

        return read()

    def introspect(self) -> None:
        generation = self.generation
        status = self.call(self.client.introspect, self.call(self.session.get_token))
        if not status.active and generation == self.peer.generation:
            raise AssertionError("the token of a login is not active")

    def revoke(self) -> None:
        self.call(self.client.revoke, self.call(self.session.get_token))
        self.forget()

    def register(self) -> None:
        self.made += 1
        name = f"{self.way.name}-{self.made}"
        made = self.call(
            self.client.register, self.peer.wish(name), initial_access_token=self.peer.initial_access_token()
        )
        if made.metadata.client_name != name:
            raise AssertionError("somebody else's registration")
        self.call(self.client.delete_registration, made)


async def _awaited(value: Any) -> Any:
    return value
