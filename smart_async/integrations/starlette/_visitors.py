"""Who sends a request: found by the cookie, given a token that works, and forgotten when it is over."""

from __future__ import annotations

from starlette.requests import Request

from smart_async.errors import (
    ConfigurationError,
    ContextChangedError,
    EndpointChangedError,
    IdTokenError,
    LaunchRejectedError,
    OutcomeUnknownError,
    SessionEndedError,
    SmartError,
)
from smart_async.integrations.starlette._parts import Parts, logger
from smart_async.integrations.starlette._sessions import WebSession
from smart_async.integrations.starlette._shelf import hashed
from smart_async.integrations.starlette._signed_in import SignedIn
from smart_async.smart.sessions.endings import is_outage
from smart_async.smart.tokens import Token

__all__ = ("Visitors", "form_token_of")

_ENDED = (
    SessionEndedError,
    OutcomeUnknownError,
    ContextChangedError,
    EndpointChangedError,
    IdTokenError,
    LaunchRejectedError,
    ConfigurationError,
)
"""What no later request could mend: the user has to sign in again."""


class Visitors:
    """
    Finds out who sends a request.

    Args:
        parts: What the routes share.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def current(self, request: Request) -> SignedIn | None:
        """
        Return the signed-in user, or None.

        Args:
            request: The request.

        Raises:
            SmartError: If the store or the EHR is away, so that nobody can tell now.
        """
        web = await self.session(request)
        if web is None:
            return None
        try:
            return await self.signed_in(request, web)
        except _ENDED as error:
            if isinstance(error, IdTokenError) and is_outage(error):
                raise  # the new token waits in the store until its ID token can be looked at
            logger.warning("A session has ended, %s: %s", type(error).__name__, error)
            await self.forget(web)
            return None

    async def session(self, request: Request) -> WebSession | None:
        """
        Return the record of the session that a request's cookie names, or None if there is none any more.

        Args:
            request: The request.

        Raises:
            StoreError: If the store cannot be reached.
        """
        value = self._parts.cookies.session(request)
        return await self.alive(None if value is None else hashed(value))

    async def alive(self, digest: str | None) -> WebSession | None:
        """
        Return a session whose time is not over, or None; one whose time is over is forgotten.

        Args:
            digest: The hash of its id, or None.

        Raises:
            StoreError: If the store cannot be reached.
        """
        web = await self._parts.sessions.find(digest)
        if web is not None and self._parts.sessions.over(web):
            await self.forget(web)
            return None
        return web

    async def signed_in(self, request: Request, web: WebSession) -> SignedIn:
        """
        Return the user of a session, with a token that works.

        Args:
            request: The request.
            web: The session.

        Raises:
            SmartError: If there is no token to be had.
        """
        client = self._parts.places.of(web.fhir_base, web.client_id).client
        session = await client.load_session(web.key)
        token = await session.get_token()
        await self._parts.sessions.touch(web)
        value = self._parts.cookies.session(request) or ""
        return SignedIn(
            token=token,
            session=session,
            client=client,
            http=self._parts.pool.client(session),
            form_token=form_token_of(value),
        )

    async def forget(self, web: WebSession, *, besides: WebSession | None = None) -> Token | None:
        """
        End a session here, and return the token that it had; the EHR is told nothing.

        Args:
            web: The session.
            besides: One that goes on. Where the EHR gave both the same token, it stays, and none is returned.

        Raises:
            StoreError: If the store cannot be reached; then the session is still there.
        """
        await self._parts.sessions.end(web.digest)
        if besides is not None and besides.key == web.key:
            return None
        try:
            client = self._parts.places.of(web.fhir_base, web.client_id).client
            session = await client.load_session(web.key)
            token = session.token
            await session.delete()
        except SessionEndedError:
            return None
        except SmartError as error:
            # Nobody finds these tokens any more; that they are still stored is for the log.
            logger.warning("The tokens of an ended session stay in the store: %s", error)
            return None
        return token


def form_token_of(session_id: str) -> str:
    """
    Return what a form of this session's user carries; it tells nothing of the id.

    Args:
        session_id: The id from the cookie.
    """
    return hashed(f"form {session_id}")
