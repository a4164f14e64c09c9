"""Sessions for threads: tokens that renew themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from smart_async.clients._drivers import Performer, drive
from smart_async.clients._flights import SOLO, Flights, after_failure
from smart_async.errors import SessionEndedError, SmartError
from smart_async.flow import Flow
from smart_async.smart.bearer import BearerGuard
from smart_async.smart.config import SmartConfig
from smart_async.smart.renewal import current_token, delete_session, renew, replace_token
from smart_async.smart.sessions.state import SessionState
from smart_async.smart.tokens import Token

if TYPE_CHECKING:
    from smart_async.transports.httpx2_auth import Httpx2Auth
    from smart_async.transports.httpx_auth import HttpxAuth

__all__ = ("SmartSession",)

T = TypeVar("T")


class SmartSession:
    """
    A token that is renewed when it has to be, for any number of threads.

    Get one from `SmartClient.session`, `.backend_session` or `.load_session`. However many threads ask at
    once, one request is made; what it brings is stored before anybody gets it, and Ctrl-C does not stop it
    in between. With a store that several processes share, one of them renews for all.

    Args:
        state: The pure half.
        perform: Performs the steps of the client's flows.
    """

    __slots__ = ("__weakref__", "_closing", "_flights", "_perform", "_state", "_wall")

    def __init__(self, state: SessionState, perform: Performer) -> None:
        self._state = state
        self._perform = perform
        self._wall = perform.clock.wall
        self._flights = Flights()
        self._closing = threading.Event()

    @property
    def state(self) -> SessionState:
        """The pure half, for the client."""
        return self._state

    @property
    def config(self) -> SmartConfig:
        """The registration."""
        return self._state.client.config

    @property
    def key(self) -> str | None:
        """What `load_session` finds it by; for a backend session None until the first token."""
        return self._state.key

    @property
    def token(self) -> Token | None:
        """The token at hand, whether or not it still works; None before the first `get_token`."""
        return self._state.token

    def ready(self) -> Token | None:
        """Return the token at hand if it needs no renewal yet; nothing is waited for."""
        return self._state.ready(self._wall())

    def get_token(self) -> Token:
        """
        Return a token that works, renewed if need be. Call it for every request; mostly it costs nothing.

        Raises:
            SessionEndedError: If the user has to sign in again.
            OutcomeUnknownError: If a refresh token was sent and no answer came, now or earlier; it is kept,
                and not sent again unless `renew(after_unknown=True)` says so.
            ContextChangedError: If the new token is for another patient or user. It is kept aside:
                `replace(error.token)` accepts it.
            OAuthError: If the server refused for another reason.
            TransportError: If the server cannot be reached, and the old token has expired.
            StoreError: If the store cannot be reached.
        """
        token = self.ready()
        if token is not None:
            return token
        return self._run("renewal", lambda: current_token(self._state))

    def renew(self, *, after_unknown: bool = False) -> Token:
        """
        Return a new token now, although the old one may still work.

        Args:
            after_unknown: Send the refresh token although it was sent before and its answer was lost. If
                the server had accepted it then, it may end the user's login for good: do this instead of
                signing in again, when there is nothing to lose.

        Raises:
            SmartError: As `get_token`.
        """
        kind = f"renewal after_unknown={after_unknown}"
        return self._run(kind, lambda: renew(self._state, after_unknown=after_unknown))

    def invalidate(self, token: Token) -> None:
        """
        Say that the FHIR server refused *token*, so that the next `get_token` gets another.

        Args:
            token: The token that failed; if it has been replaced meanwhile, nothing changes.
        """
        return self._state.invalidate(token)

    def replace(self, token: Token) -> Token:
        """
        Go on with *token*: after another login, or to accept what a `ContextChangedError` brought.

        Args:
            token: The token, of the same registration.

        Raises:
            ConfigurationError: If it belongs to another registration.
            StoreError: If it cannot be stored.
        """
        return self._run(f"replacement {next(SOLO)}", lambda: replace_token(self._state, token))

    def delete(self) -> None:
        """
        Forget the session here and in the store, as at logout; `SmartClient.revoke` tells the server.

        Raises:
            StoreError: If the store cannot be reached.
        """
        return self._run("deletion", lambda: delete_session(self._state))

    def keep_renewed(self) -> None:
        """
        Renew the token before anybody has to wait for it, until `close`. Run it in a thread of its own.

        Failures are events, and no reason to stop; only the end of the session is.

        Raises:
            SessionEndedError: If there will be no further token.
        """
        pause = self._state.pause(self._wall())
        while not self._closing.wait(pause):
            try:
                _ = self.get_token()
            except SessionEndedError:
                raise
            except SmartError:
                pause = after_failure(pause)
            else:
                pause = self._state.pause(self._wall())

    def auth(self, *, origins: Iterable[str] = ()) -> HttpxAuth[Token]:
        """
        Return the `auth=` for an `httpx.Client`: see `smart_async.transports.auth.httpx_auth`.

        A refused token (401) is replaced, and the request sent once more. If that is refused too, the client
        returns the 401 as it returns any other answer. It raises `OAuthError`, naming the missing scope,
        where a 401 or 403 says `insufficient_scope`, and `TokenOriginError` where the token would go to
        another origin.

        Args:
            origins: Origins besides the FHIR base's that the token may go to.

        Raises:
            ConfigurationError: If one of *origins* is none.
        """
        from smart_async.transports.auth import httpx_auth

        return httpx_auth(self, self._guard(origins))

    def httpx2_auth(self, *, origins: Iterable[str] = ()) -> Httpx2Auth[Token]:
        """Return the `auth=` for an `httpx2.Client`; as `auth`."""
        from smart_async.transports.auth import httpx2_auth

        return httpx2_auth(self, self._guard(origins))

    def close(self) -> None:
        """Wait for the renewal in progress, and end `keep_renewed`. The stored token stays."""
        self._closing.set()
        self._flights.wait()

    def _guard(self, origins: Iterable[str]) -> BearerGuard:
        return BearerGuard.of(self.config, self._state.token, origins)

    def _run(self, kind: str, make: Callable[[], Flow[T]]) -> T:
        return self._flights.join(kind, lambda: drive(make(), self._perform.begin()))

    def __repr__(self) -> str:
        """Name the registration."""
        return f"<SmartSession of {self.config.client_id} at {self.config.fhir_base}>"
