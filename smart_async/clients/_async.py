"""The client for asyncio and trio."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from smart_async.clients import _flows as flows
from smart_async.smart.arguments import DEFAULT_SCOPE

if TYPE_CHECKING:
    from smart_async.clients._async_session import AsyncSmartSession
    from smart_async.clients._drivers import AsyncPerformer
    from smart_async.clients._events import Listener
    from smart_async.flow import Flow
    from smart_async.interfaces import AsyncSigner, AsyncTransport, Clock, Signer, TokenStore
    from smart_async.keys.jwks import Publishable
    from smart_async.limits import Limits, Timeouts
    from smart_async.messages import Secret
    from smart_async.smart.callback import Callback
    from smart_async.smart.client_metadata import ClientMetadata
    from smart_async.smart.client_registration import ClientRegistration
    from smart_async.smart.config import SmartConfig
    from smart_async.smart.entropy import Entropy
    from smart_async.smart.introspection import TokenStatus
    from smart_async.smart.launch import EHRLaunch
    from smart_async.smart.metadata import SmartMetadata
    from smart_async.smart.pending import PendingAuthorization
    from smart_async.smart.scopes import Scopes
    from smart_async.smart.sessions.state import SessionState
    from smart_async.smart.style import SmartStyle
    from smart_async.smart.tokens import Token

__all__ = ("AsyncSmartClient",)

T = TypeVar("T")


class AsyncSmartClient:
    """
    Talk to the authorization server in front of a FHIR server, from asyncio or trio.

    It works with and without `async with`. Making one is cheap and opens no connection; its connections
    belong to the event loop that first used it.

    Args:
        config: The registration.
        transport: `"httpx"` (the default), `"httpx2"`, or an object with the `AsyncTransport` methods. An
            object stays yours: closing the client does not close it, and many clients may share it.
        timeouts: How long one request may take.
        limits: How much of an answer is read.
        clock: Who tells the time.
        entropy: The source of random bytes, for tests.
        store: Where sessions keep their tokens; None for the memory of this client.
        on_event: Is called with each `Event`: a renewal, a repeated request. It should be quick.

    Raises:
        ConfigurationError: If a part does not fit.
    """

    __slots__ = ("_owned", "_perform", "_sessions", "_state", "_transport")

    def __init__(
        self,
        config: SmartConfig,
        *,
        transport: str | AsyncTransport | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        store: TokenStore | None = None,
        on_event: Listener | None = None,
    ) -> None:
        # What a client is made of loads when one is made.
        from smart_async.clients._drivers import AsyncPerformer
        from smart_async.clients._live import LiveSessions
        from smart_async.clients._parts import check_clock, check_listener, check_timeouts, new_state
        from smart_async.clients._storing import OpenedStore

        self._state = new_state(config, limits, entropy)
        timeouts, clock = check_timeouts(timeouts), check_clock(clock)
        self._transport = self._open(transport)
        self._owned = self._transport is not transport
        self._perform = AsyncPerformer(
            self._transport, timeouts, clock, OpenedStore(store), check_listener(on_event)
        )
        self._sessions = LiveSessions(partial(_new_session, self._perform))

    @property
    def config(self) -> SmartConfig:
        """The registration."""
        return self._state.config

    @property
    def store(self) -> TokenStore:
        """Where its sessions keep their tokens."""
        return self._perform.store

    async def discover(self, *, refresh: bool = False) -> SmartMetadata:
        """
        Return what the server says of itself: its endpoints, abilities, and `conformance()`.

        The answer is kept for ten minutes, or as long as the server says.

        Args:
            refresh: Ask the server even if the kept answer is still fresh.

        Raises:
            DiscoveryError: If the server's document is missing or unusable.
            TransportError: If the server cannot be reached.
        """
        return await self._run(flows.discover(self._state, refresh=refresh))

    async def authorize(
        self, *, launch: EHRLaunch | None = None, scope: str | Scopes | None = None
    ) -> PendingAuthorization:
        """
        Start a login, and return what it takes to finish it.

        Send the browser to the result's `url`; keep `to_json()` on your server until it comes back.

        Args:
            launch: The EHR launch that is answered, from `EHRLaunch.from_url`; None if the app starts it.
            scope: The scopes to ask for; None for those of the configuration.

        Raises:
            ConfigurationError: If there is no redirect URI or no scope.
            LaunchRejectedError: If *launch* is from another FHIR server than the configured one.
            DiscoveryError: If users cannot sign in at this server.
        """
        return await self._run(flows.authorize(self._state, launch=launch, scope=scope))

    async def exchange_code(self, pending: PendingAuthorization, callback: Callback) -> Token:
        """
        Finish a login: check what the browser came back with, and exchange its code for a token.

        Args:
            pending: What `authorize` returned, from `PendingAuthorization.from_json`. It works once:
                delete the stored copy before calling.
            callback: The full URL that the browser came back to, or a mapping of its parameters.

        Raises:
            CallbackError: If the callback does not belong to *pending*; nothing was sent.
            OAuthError: If the user or the server said no.
            OutcomeUnknownError: If no answer came; the code is not sent twice, so start a new login.
            EndpointChangedError: If discovery now names another server; nothing was sent.
            IdTokenError: If who signed in cannot be proven.
            TokenResponseError: If the answer cannot be used.
        """
        flow = flows.exchange_code(self._state, pending, callback)
        del callback
        return await self._run(flow)

    async def refresh(self, token: Token, *, scope: str | Scopes | None = None) -> Token:
        """
        Get the next token without the user.

        Store it before using it: with many servers the old refresh token stops working now.

        Args:
            token: The token to refresh; it needs a refresh token.
            scope: Ask for less than was granted; None for all of it.

        Raises:
            ConfigurationError: If *token* has no refresh token, or is another client's.
            OAuthError: If the server said no; `invalid_grant` means that the user has to sign in again.
            OutcomeUnknownError: If no answer came, so that the old refresh token may be spent.
            ContextChangedError: If the answer is for another patient or user; it holds the new token.
        """
        return await self._run(flows.refresh(self._state, token, scope=scope))

    async def backend_token(self, scope: str | Scopes = DEFAULT_SCOPE) -> Token:
        """
        Get a token for the client itself, with no user involved. Each call fetches a new one.

        Args:
            scope: The scopes to ask for, normally `system/…`.

        Raises:
            ConfigurationError: If *scope* is none, or the client is a public one.
            OAuthError: If the server said no.
            TokenResponseError: If the answer cannot be used.
        """
        return await self._run(flows.backend_token(self._state, scope=scope))

    def session(self, token: Token) -> AsyncSmartSession:
        """
        Return the session of a login: a token that renews itself for as long as the server allows.

        Two calls with tokens of one login, refreshed or not, return the same session. Its first `get_token`
        stores it, and `session.key` is what `load_session` finds it by after a restart.

        Args:
            token: What `exchange_code` returned, or any token that it was refreshed to.

        Raises:
            ConfigurationError: If *token* is none, or belongs to another registration.
        """
        return self._sessions.of(flows.user_session(self._state, token))

    def backend_session(self, scope: str | Scopes = DEFAULT_SCOPE) -> AsyncSmartSession:
        """
        Return the client's own session: a backend token that is fetched, kept, and fetched again in time.

        Workers that share a store share the token.

        Args:
            scope: The scopes to ask for, normally `system/…`.

        Raises:
            ConfigurationError: If *scope* is none, or the client is a public one.
        """
        return self._sessions.of(flows.backend_session(self._state, scope))

    async def load_session(self, key: str) -> AsyncSmartSession:
        """
        Return the session that the store holds under *key*.

        Args:
            key: What `session.key` was.

        Raises:
            SessionEndedError: If nothing is stored there: sign the user in again.
            ConfigurationError: If it belongs to another registration.
            StoreError: If the store cannot be reached, or holds something damaged.
        """
        return self._sessions.of(await self._run(flows.load_session(self._state, key)))

    async def introspect(self, token: Token) -> TokenStatus:
        """
        Ask the server what a token is still good for. A dead token is an answer, not an error.

        Args:
            token: The token to ask about.

        Raises:
            ConfigurationError: If the server offers no introspection.
            OAuthError: If the server will not say.
        """
        return await self._run(flows.introspect(self._state, token))

    async def revoke(self, token: Token) -> None:
        """
        Tell the server that a token is no longer needed, its refresh token included.

        Args:
            token: The token; forget it afterwards.

        Raises:
            ConfigurationError: If the server offers no revocation.
            OAuthError: If the server said no.
        """
        return await self._run(flows.revoke(self._state, token))

    async def fetch_style(self, token: Token) -> SmartStyle | None:
        """
        Return the EHR's style object, or None if it named none. It is fetched without the token.

        Args:
            token: The token of an EHR launch.

        Raises:
            ConfigurationError: If it is on a host that nobody vouched for.
        """
        return await self._run(flows.fetch_style(self._state, token))

    async def register(
        self,
        client_metadata: ClientMetadata,
        *,
        initial_access_token: Secret | str | None = None,
        allow_changes: Iterable[str] = (),
    ) -> ClientRegistration:
        """
        Register a new client with the server, and return its registration.

        Start from a configuration whose `client_id` is a placeholder; `registration.config(config)` makes
        the finished one.

        Args:
            client_metadata: What to register, from `ClientMetadata.for_app` or `.for_backend`.
            initial_access_token: What the server wants to see first, if anything.
            allow_changes: Members that the server may register otherwise than asked for.

        Raises:
            ConfigurationError: If the server offers no registration.
            RegistrationChangedError: If it registered something weaker; it holds the registration.
            OAuthError: If the server said no.
            OutcomeUnknownError: If no answer came, so that a client may have been made.
        """
        flow = flows.register(
            self._state,
            client_metadata,
            initial_access_token=initial_access_token,
            allow_changes=allow_changes,
        )
        del initial_access_token
        return await self._run(flow)

    async def read_registration(self, registration: ClientRegistration) -> ClientRegistration:
        """Ask what the server knows of a registration. See `smart_async.smart.registration_management`."""
        return await self._run(flows.read_registration(self._state, registration))

    async def update_registration(
        self,
        registration: ClientRegistration,
        client_metadata: ClientMetadata,
        *,
        allow_changes: Iterable[str] = (),
    ) -> ClientRegistration:
        """Replace what is registered of a client. See `smart_async.smart.registration_management`."""
        return await self._run(
            flows.update_registration(self._state, registration, client_metadata, allow_changes=allow_changes)
        )

    async def delete_registration(self, registration: ClientRegistration) -> None:
        """Delete a registration. See `smart_async.smart.registration_management`."""
        return await self._run(flows.delete_registration(self._state, registration))

    async def register_dynamic_client(
        self, token: Token, key: Publishable, *, allow_changes: Iterable[str] = ()
    ) -> ClientRegistration:
        """Register this device as a client of its own. See `smart_async.smart.dynamic_client`."""
        return await self._run(
            flows.register_dynamic_client(self._state, token, key, allow_changes=allow_changes)
        )

    async def jwt_bearer_token(
        self,
        *,
        key: Signer | AsyncSigner | None = None,
        assertion: Secret | str | None = None,
        scope: str | Scopes | None = None,
    ) -> Token:
        """Get a token for a signed assertion. See `smart_async.smart.jwt_bearer.jwt_bearer_token`."""
        flow = flows.jwt_bearer_token(self._state, key=key, assertion=assertion, scope=scope)
        del assertion
        return await self._run(flow)

    async def aclose(self) -> None:
        """Wait for renewals in progress, and release the connections, unless the transport was yours."""
        for session in self._sessions:
            await session.aclose()
        if self._owned:
            await self._transport.aclose()

    # Transports load when a client is made, and sessions when there is one.

    @staticmethod
    def _open(transport: str | AsyncTransport | None) -> AsyncTransport:
        from smart_async.transports import open_async_transport

        return open_async_transport(transport)

    async def _run(self, flow: Flow[T]) -> T:
        from smart_async.clients._drivers import drive_async

        return await drive_async(flow, self._perform.begin())

    async def __aenter__(self) -> Self:
        """Return the client itself; nothing is opened before the first request."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Release the connections."""
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        """Refuse copying and pickling: connections cannot be copied, and secrets must not be."""
        raise TypeError("a client is never copied or pickled; make another one from its config")

    def __repr__(self) -> str:
        """Name the registration."""
        return f"<AsyncSmartClient {self.config.client_id} at {self.config.fhir_base}>"


# Not a method: a client that its own sessions lead back to would wait for the collector of cycles.
def _new_session(perform: AsyncPerformer, state: SessionState) -> AsyncSmartSession:
    from smart_async.clients._async_session import AsyncSmartSession

    return AsyncSmartSession(state, perform=perform)
