"""The second half of a login: the browser comes back, and becomes a signed-in one with a new id."""

from __future__ import annotations

import anyio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from smart_async._values import dataclass
from smart_async.clients._async import AsyncSmartClient
from smart_async.errors import CallbackError, ConfigurationError, SmartError
from smart_async.integrations.starlette._errors import OtherUserError, UsedError
from smart_async.integrations.starlette._pages import protect, see_other
from smart_async.integrations.starlette._parameters import Parameters, form_of, only, query_of
from smart_async.integrations.starlette._parts import Parts, called, logger
from smart_async.integrations.starlette._pending import PendingLogin
from smart_async.integrations.starlette._sessions import WebSession, user_of
from smart_async.integrations.starlette._shelf import hashed
from smart_async.integrations.starlette._signed_in import SignedIn
from smart_async.integrations.starlette._visitors import Visitors, form_token_of
from smart_async.smart.pending import PendingAuthorization
from smart_async.smart.tokens import Token

__all__ = ("Finishing", "revoke")


class Finishing:
    """
    The route that finishes a login.

    Args:
        parts: What the routes share.
        visitors: Finds out who sends a request.
    """

    def __init__(self, parts: Parts, visitors: Visitors) -> None:
        self._parts = parts
        self._visitors = visitors
        self._under_way: dict[tuple[str, str], _UnderWay] = {}

    async def callback(self, request: Request) -> Response:
        """Answer the browser that comes back from the EHR, by GET or by a form."""
        try:
            parameters = await form_of(request) if request.method == "POST" else query_of(request)
            state = only(parameters, "state")
            if not state:
                raise CallbackError("The callback does not hold exactly one state.")
            return await self._finish(request, parameters, state)
        except SmartError as error:
            return_to = error.return_to if isinstance(error, UsedError) else None
            return await self._parts.failed(request, error, return_to=self._parts.way_back(return_to))

    async def _finish(self, request: Request, parameters: Parameters, state: str) -> Response:
        parts = self._parts
        web = await self._visitors.session(request)
        if web is not None and web.login == hashed(state):
            # The back button, or a second press on one: this login is what the user is signed in with.
            return see_other(parts.way_back(web.return_to) or parts.home(request))
        key = (parts.cookies.browser(request) or "", hashed(state))
        if (first := self._under_way.get(key)) is not None:
            # A second press aborts the first one's request in the browser, and what answers it gets lost.
            await first.over.wait()
            if first.answer is not None:
                return _copied(first.answer)
            return await self._finish_once(request, parameters, state, web)
        self._under_way[key] = first = _UnderWay(over=anyio.Event())
        try:
            response = await self._finish_once(request, parameters, state, web)
            first.answer = response if response.status_code == 303 else None
            return response
        finally:
            del self._under_way[key]
            first.over.set()

    async def _finish_once(
        self, request: Request, parameters: Parameters, state: str, web: WebSession | None
    ) -> Response:
        parts = self._parts
        login = await parts.pendings.claim(parts.cookies.browser(request), state)
        try:
            client, token = await self._exchange(request, login, parameters)
        except SmartError as error:
            return await parts.failed(request, error, return_to=parts.way_back(login.return_to))
        previous = web or await self._visitors.alive(login.session)
        if _another(login, previous, user_of(token)):
            return await self._refuse(request, client, token)
        return await self._welcome(request, login, previous, client, token)

    async def _exchange(
        self, request: Request, login: PendingLogin, parameters: Parameters
    ) -> tuple[AsyncSmartClient, Token]:
        pending = PendingAuthorization.from_json(login.login)
        choice = self._parts.places.of(pending.binding.fhir_base, pending.binding.client_id)
        # One server's answer must not count as another's, whatever the proxy made of the path before it.
        if request.path_params.get("name", "") != choice.callback_name:
            raise CallbackError("The callback came to another path than the redirect_uri of this login.")
        return choice.client, await choice.client.exchange_code(pending, parameters)

    async def _refuse(self, request: Request, client: AsyncSmartClient, token: Token) -> Response:
        error = OtherUserError("The login was begun by one user and finished by another.")
        value = self._parts.cookies.session(request)
        response = await self._parts.failed(request, error, form_token=form_token_of(value) if value else "")
        response.background = BackgroundTask(revoke, client, token)
        return response

    async def _welcome(
        self,
        request: Request,
        login: PendingLogin,
        previous: WebSession | None,
        client: AsyncSmartClient,
        token: Token,
    ) -> Response:
        parts = self._parts
        session = client.session(token)
        token = await session.get_token()  # the first one stores it
        value, now = parts.new_id(), parts.now()
        web = WebSession(
            digest=hashed(value),
            key=session.key or "",
            fhir_base=client.config.fhir_base,
            client_id=client.config.client_id,
            user=user_of(token),
            login=login.state,
            return_to=login.return_to,
            created=now,
            seen=now,
        )
        await parts.sessions.begin(web)
        signed_in = SignedIn(
            token=token,
            session=session,
            client=client,
            http=parts.pool.client(session),
            form_token=form_token_of(value),
        )
        try:
            response = await self._answer(request, login, signed_in)
        except Exception:
            undone = await self._visitors.forget(web, besides=previous)
            if undone is not None:
                await revoke(client, undone)
            raise
        if previous is not None:
            await self._visitors.forget(previous, besides=web)
        parts.cookies.set_session(response, value)
        return response

    async def _answer(self, request: Request, login: PendingLogin, signed_in: SignedIn) -> Response:
        parts = self._parts
        if parts.after_login is not None:
            response = await called(parts.after_login(request, signed_in))
            if response is not None:
                return protect(response)
        return see_other(parts.way_back(login.return_to) or parts.home(request))


@dataclass(slots=True, kw_only=True)
class _UnderWay:
    """A callback at work, and what it was answered if that signed the browser in."""

    over: anyio.Event
    answer: Response | None = None


def _copied(answer: Response) -> Response:
    copy = Response(status_code=answer.status_code)
    copy.raw_headers = list(answer.raw_headers)
    return copy


def _another(login: PendingLogin, previous: WebSession | None, user: str | None) -> bool:
    """Return whether *user* is another one than whoever was signed in at the beginning or is now."""
    return any(known not in (None, user) for known in (login.user, previous and previous.user))


async def revoke(client: AsyncSmartClient, token: Token) -> None:
    """
    Tell the EHR that *token* is no longer needed; if it does not hear it, that is noted and no more.

    Args:
        client: The client of the EHR.
        token: The token.
    """
    try:
        await client.revoke(token)
    except ConfigurationError as error:  # most often: the server offers no revocation
        logger.debug("The token of an ended session was not revoked: %s", error)
    except SmartError as error:
        logger.warning("The token of an ended session was not revoked: %s", error)
