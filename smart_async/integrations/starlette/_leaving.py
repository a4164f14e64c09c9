"""Signing out: here at once, and at the EHR as soon as it listens."""

from __future__ import annotations

import hmac

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from smart_async.errors import CallbackError, SmartError, StoreError
from smart_async.integrations.starlette._finishing import revoke
from smart_async.integrations.starlette._pages import Link, Submit
from smart_async.integrations.starlette._parameters import form_of, only
from smart_async.integrations.starlette._parts import Parts, logger
from smart_async.integrations.starlette._sessions import WebSession
from smart_async.integrations.starlette._visitors import Visitors, form_token_of

__all__ = ("Leaving", "same_origin")


class Leaving:
    """
    The route that signs a user out.

    Args:
        parts: What the routes share.
        visitors: Finds out who sends a request.
    """

    def __init__(self, parts: Parts, visitors: Visitors) -> None:
        self._parts = parts
        self._visitors = visitors

    async def logout(self, request: Request) -> Response:
        """Ask whether to sign out, or do it."""
        value = self._parts.cookies.session(request)
        if request.method != "POST":
            return self._ask(value)
        # Another site's form brings no Lax cookie; the answer to it would take the cookie away all the same.
        if not await self._meant(request, value):
            return self._ask(value, status=200 if value is None else 403)
        try:
            web = await self._visitors.session(request)
            return await self._leave(request, web)
        except SmartError as error:
            response = await self._parts.failed(request, error)
            self._parts.cookies.clear(response)
            return response

    async def _leave(self, request: Request, web: WebSession | None) -> Response:
        parts = self._parts
        home = Link(parts.home(request), "Go to the start page")
        response = parts.pages.page("You are signed out", "You can close this window.", [home])
        parts.cookies.clear(response)
        try:
            await parts.pendings.drop(parts.cookies.browser(request))
        except StoreError as error:
            logger.warning("The logins under way in a browser were not forgotten: %s", error)
        if web is not None:
            client = parts.places.of(web.fhir_base, web.client_id).client
            token = await self._visitors.forget(web)
            if token is not None:
                # After the answer: an EHR that is down must not keep anybody signed in.
                response.background = BackgroundTask(revoke, client, token)
        return response

    def _ask(self, value: str | None, *, status: int = 200) -> Response:
        fields = () if value is None else (("form_token", form_token_of(value)),)
        form = Submit(f"{self._parts.places.prefix}/logout", "Sign out", fields)
        return self._parts.pages.page(
            "Sign out?", "You can sign in again at any time.", [form], status=status
        )

    async def _meant(self, request: Request, value: str | None) -> bool:
        """Return whether the form comes from a page of this app, and not from somebody else's."""
        if same_origin(request, self._parts.places.origin):
            return True
        if value is None:
            return False
        try:
            given = only(await form_of(request), "form_token") or ""
        except CallbackError:
            return False
        return hmac.compare_digest(given.encode(), form_token_of(value).encode())


def same_origin(request: Request, origin: str) -> bool:
    """
    Return whether the browser says that a request comes from a page of *origin*.

    Args:
        request: The request.
        origin: The app's origin.
    """
    # A page with Referrer-Policy: no-referrer posts its forms with "Origin: null": that is no verdict.
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == origin
