"""The first half of a login: an EHR opens the app or a user asks to sign in, and the browser goes there."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from smart_async.errors import CallbackError, LaunchRejectedError, SmartError
from smart_async.integrations.starlette._pages import Link, see_other
from smart_async.integrations.starlette._pages import Submit as Form
from smart_async.integrations.starlette._parameters import Parameters, only, query_of
from smart_async.integrations.starlette._parts import Parts, called
from smart_async.integrations.starlette._pending import PendingLogin
from smart_async.integrations.starlette._places import EHRChoice
from smart_async.integrations.starlette._shelf import hashed
from smart_async.integrations.starlette._visitors import Visitors
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.pending import PendingAuthorization

__all__ = ("Beginning",)


class Beginning:
    """
    The routes that begin a login.

    Args:
        parts: What the routes share.
        visitors: Finds out who sends a request.
    """

    def __init__(self, parts: Parts, visitors: Visitors) -> None:
        self._parts = parts
        self._visitors = visitors

    async def launch(self, request: Request) -> Response:
        """Answer an EHR that opens the app. An EHR that is not configured is not talked to."""
        try:
            launch = EHRLaunch.from_url(f"?{bytes(request.scope['query_string']).decode('latin-1')}")
            choices = self._parts.places.launched(launch)
            chosen = await self._choose(request, query_of(request), choices, launch)
            if isinstance(chosen, Response):
                return chosen
            return await self._begin(request, chosen, launch, None)
        except CallbackError as error:
            return await self._parts.failed(request, LaunchRejectedError(error.message))
        except SmartError as error:
            return await self._parts.failed(request, error)

    async def login(self, request: Request) -> Response:
        """Let a user sign in who came by themselves."""
        return_to = None
        try:
            query = query_of(request)
            return_to = self._parts.way_back(only(query, "return_to"))
            chosen = await self._choose(request, query, self._parts.places.choices, None)
            if isinstance(chosen, Response):
                return chosen
            return await self._begin(request, chosen, None, return_to)
        except SmartError as error:
            return await self._parts.failed(request, error, return_to=return_to)

    async def _choose(
        self,
        request: Request,
        query: Parameters,
        choices: tuple[EHRChoice, ...],
        launch: EHRLaunch | None,
    ) -> EHRChoice | Response:
        asked = only(query, "ehr")
        choices = tuple(choice for choice in choices if asked in (None, choice.id)) or choices
        if len(choices) == 1:
            return choices[0]
        if self._parts.choose_ehr is not None:
            return await called(self._parts.choose_ehr(request, choices))
        return self._choices(query, choices, launch)

    def _choices(
        self, query: Parameters, choices: tuple[EHRChoice, ...], launch: EHRLaunch | None
    ) -> Response:
        if launch is None:
            path, kept = "/login", {"return_to": self._parts.way_back(only(query, "return_to"))}
        else:
            path, kept = "/launch", {"iss": launch.iss, "launch": launch.launch}
        links = [
            Link(f"{self._parts.places.prefix}{path}?{urlencode({**_given(kept), 'ehr': choice.id})}", name)
            for choice, name in zip(choices, _names(choices), strict=True)
        ]
        return self._parts.pages.page("Sign in", "Choose where you sign in.", links)

    async def _begin(
        self, request: Request, choice: EHRChoice, launch: EHRLaunch | None, return_to: str | None
    ) -> Response:
        parts = self._parts
        web = await self._visitors.session(request)
        pending = await choice.client.authorize(launch=launch)
        login = PendingLogin(
            state=hashed(pending.state),
            login=pending.to_json(),
            return_to=return_to,
            user=None if web is None else web.user,
            session=None if web is None else web.digest,
            expires=parts.now() + (pending.expires_at - pending.created_at),
        )
        browser = await parts.pendings.add(parts.cookies.browser(request), login)
        response = self._to_the_ehr(pending)
        parts.cookies.set_browser(response, browser)
        return response

    def _to_the_ehr(self, pending: PendingAuthorization) -> Response:
        if not pending.prefers_post:
            return see_other(pending.url)
        form = Form(pending.form.action, "Continue", pending.form.fields)
        # Browsers hold the redirects after a form to this as well, and where the EHR leads is up to it.
        schemes = "https:" if self._parts.places.secure else "https: http:"
        return self._parts.pages.page(
            "Sign in", "You sign in at your EHR.", [form], form_action=f"'self' {schemes}"
        )


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _names(choices: tuple[EHRChoice, ...]) -> list[str]:
    # Two registrations of one EHR are told apart by their client.
    names = [choice.name for choice in choices]
    return [
        f"{choice.name} ({choice.client_id})" if names.count(choice.name) > 1 else choice.name
        for choice in choices
    ]
