"""What the routes of one login share."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from smart_async._values import dataclass
from smart_async.errors import OAuthError, SmartError
from smart_async.integrations.starlette._cookies import Cookies
from smart_async.integrations.starlette._local import home_path, local_path
from smart_async.integrations.starlette._pages import Link, Pages, Submit, protect
from smart_async.integrations.starlette._pending import PendingLogins
from smart_async.integrations.starlette._places import EHRChoice, Places
from smart_async.integrations.starlette._pool import Pool
from smart_async.integrations.starlette._sessions import WebSessions
from smart_async.integrations.starlette._signed_in import SignedIn
from smart_async.integrations.starlette._texts import text_of

__all__ = ("AfterLogin", "ChooseEHR", "OnFailure", "Parts", "called", "logger")

T = TypeVar("T")

AfterLogin: TypeAlias = Callable[[Request, SignedIn], Awaitable[Response | None] | Response | None]
"""Is told who has signed in, and may answer the browser; a `SmartError` that it raises undoes the login."""

OnFailure: TypeAlias = Callable[[Request, SmartError], Awaitable[Response | None] | Response | None]
"""Is told what went wrong, and may answer the browser."""

ChooseEHR: TypeAlias = Callable[
    [Request, tuple[EHRChoice, ...]], Awaitable[EHRChoice | Response] | EHRChoice | Response
]
"""Chooses the EHR of a login, or answers with a page of its own that links to `/login?ehr=ID`."""

logger = logging.getLogger("smart_async.integrations.starlette")
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """
    What the routes of one login share.

    Args:
        places: The EHRs, and where the routes are.
        pendings: The logins under way.
        sessions: Who is signed in.
        cookies: The cookies.
        pages: The pages.
        pool: Makes the FHIR clients.
        now: Tells Unix seconds.
        new_id: Makes a random id.
        after_login: The caller's hook, or None.
        on_failure: The caller's hook, or None.
        choose_ehr: The caller's hook, or None.
        default_return_to: Where a login leads that names no page, below the app's root path.
    """

    places: Places
    pendings: PendingLogins
    sessions: WebSessions
    cookies: Cookies
    pages: Pages
    pool: Pool
    now: Callable[[], float]
    new_id: Callable[[], str]
    after_login: AfterLogin | None
    on_failure: OnFailure | None
    choose_ehr: ChooseEHR | None
    default_return_to: str

    def home(self, request: Request) -> str:
        """Return the path of the start page, as the browser knows it."""
        return home_path(request.scope, self.default_return_to)

    def way_back(self, value: object) -> str | None:
        """
        Return *value* if a login may lead there, else None.

        Args:
            value: What a request or a record said.
        """
        path = local_path(value)
        if path is None:
            return None
        # Coming back to the login itself would begin the next one.
        where = path.partition("?")[0].partition("#")[0]
        own = {f"{self.places.prefix}/{name}" for name in ("login", "launch", "logout")}
        back = f"{self.places.prefix}{self.places.callback_path}/"
        return None if where.rstrip("/") in own or f"{where}/".startswith(back) else path

    async def failed(
        self, request: Request, error: SmartError, *, return_to: str | None = None, form_token: str = ""
    ) -> Response:
        """
        Answer a request that could not be fulfilled.

        Args:
            request: The request.
            error: Why.
            return_to: Where the user wanted to go.
            form_token: Lets the page offer to sign out.
        """
        # An error's own text holds no secret, and what it quotes of a server has been cleaned.
        logger.log(_level(error), "%s: %s", type(error).__name__, error)
        if self.on_failure is not None:
            response = await called(self.on_failure(request, error))
            if response is not None:
                return protect(response)
        text = text_of(error)
        actions: list[Link | Submit] = [Link(return_to or self.home(request), "Continue to the app")]
        if form_token:
            form = (("form_token", form_token),)
            actions.insert(0, Submit(f"{self.places.prefix}/logout", "Sign out", form))
        response = self.pages.page(text.title, text.body, actions, status=text.status)
        if isinstance(error, OAuthError) and error.retry_after is not None:
            response.headers["Retry-After"] = str(int(error.retry_after))
        return response


async def called(outcome: Awaitable[T] | T) -> T:
    """
    Return what a hook returned, awaited if need be.

    Args:
        outcome: What the call gave.
    """
    if inspect.isawaitable(outcome):
        return await outcome
    return outcome


def _level(error: SmartError) -> int:
    if getattr(error, "error", None) == "access_denied":
        return logging.INFO
    # A wrong set-up fails every login, until somebody looks into it.
    return logging.ERROR if text_of(error).status == 500 else logging.WARNING
