"""The routes of a login: which paths there are, and which methods each takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from smart_async.integrations.starlette._beginning import Beginning
from smart_async.integrations.starlette._finishing import Finishing
from smart_async.integrations.starlette._leaving import Leaving
from smart_async.integrations.starlette._pages import STYLE
from smart_async.integrations.starlette._parts import Parts
from smart_async.integrations.starlette._visitors import Visitors

if TYPE_CHECKING:
    from smart_async.integrations.jwks import Rings

__all__ = ("STYLE_PATH", "Endpoint", "login_routes")

STYLE_PATH = "/smart-login.css"
"""Where the style sheet is, below the place of the routes."""

Endpoint = Callable[..., Awaitable[Any]]


def login_routes(
    parts: Parts, visitors: Visitors, callback_path: str, jwks: Rings | None, path: str
) -> list[BaseRoute]:
    """
    Return the routes.

    Args:
        parts: What they share.
        visitors: Finds out who sends a request.
        callback_path: What the redirect URIs have after the place of the routes.
        jwks: The keys to publish, or None.
        path: What stands before each of them in the app.
    """
    beginning, finishing = Beginning(parts, visitors), Finishing(parts, visitors)
    leaving = Leaving(parts, visitors)
    routes: list[BaseRoute] = [
        _route(f"{path}/launch", beginning.launch, "GET"),
        _route(f"{path}/login", beginning.login, "GET"),
        _route(f"{path}{callback_path}", finishing.callback, "GET", "POST"),
        _route(f"{path}{callback_path}/{{name}}", finishing.callback, "GET", "POST"),
        _route(f"{path}/logout", leaving.logout, "GET", "POST"),
        _route(f"{path}{STYLE_PATH}", _style, "GET"),
    ]
    if jwks is not None:
        from smart_async.integrations.jwks import jwks_app

        routes.append(Route(f"{path}/jwks.json", jwks_app(jwks)))
    return routes


def _route(path: str, endpoint: Endpoint, *methods: str) -> Route:
    route = Route(path, endpoint, methods=methods)
    # Starlette adds HEAD to GET. Whoever only looks at a link must not begin or use up a login with it.
    route.methods = set(methods)
    return route


async def _style(request: Request) -> Response:
    del request
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(STYLE, media_type="text/css", headers=headers)
