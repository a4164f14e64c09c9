"""
From a session to an `Auth` for the HTTP client that an app already has.

The HTTP library is loaded here, at the first call, and named in the error where it is missing.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, TypeVar

from smart_async.errors import ConfigurationError
from smart_async.interfaces import AccessToken, AsyncTokenSource, TokenSource
from smart_async.smart.bearer import BearerGuard

if TYPE_CHECKING:
    from smart_async.transports.httpx2_auth import AsyncHttpx2Auth, Httpx2Auth
    from smart_async.transports.httpx_auth import AsyncHttpxAuth, HttpxAuth

__all__ = ("async_httpx2_auth", "async_httpx_auth", "httpx2_auth", "httpx_auth")

T = TypeVar("T", bound=AccessToken)


def httpx_auth(source: TokenSource[T], guard: BearerGuard) -> HttpxAuth[T]:
    """
    Return the auth for an `httpx.Client`.

    It adds the token of *source* to each request. A refused token is replaced once, and the request sent
    once more, if its body can be: `content=` of bytes, `json=` and `data=` can, a generator or file cannot.
    If it cannot, or if the second token is refused too, the 401 is what the client returns.

    The client's calls then also raise, besides what the HTTP library raises and what *source* does:

    - `OAuthError` with `error == "insufficient_scope"` where a 401 or 403 says so. It names the scope that is
      missing; no other token would have it, so none is fetched. Any other 403 is returned.
    - `TokenOriginError` where a request, a link or a redirect leads to an origin that *guard* does not know.

    Args:
        source: Hands out the tokens: a `SmartSession`.
        guard: Where they may go.

    Raises:
        ConfigurationError: If httpx is not installed.

    Spec: RFC 6750, section 2.1.
    """
    _check_installed("httpx", "auth()", "httpx")
    from smart_async.transports.httpx_auth import HttpxAuth

    return HttpxAuth(source, guard)


def async_httpx_auth(source: AsyncTokenSource[T], guard: BearerGuard) -> AsyncHttpxAuth[T]:
    """
    Return the auth for an `httpx.AsyncClient`; the twin of `httpx_auth`, which tells what the calls raise.

    Args:
        source: Hands out the tokens: an `AsyncSmartSession`.
        guard: Where they may go.

    Raises:
        ConfigurationError: If httpx is not installed.
    """
    _check_installed("httpx", "auth()", "httpx")
    from smart_async.transports.httpx_auth import AsyncHttpxAuth

    return AsyncHttpxAuth(source, guard)


def httpx2_auth(source: TokenSource[T], guard: BearerGuard) -> Httpx2Auth[T]:
    """
    Return the auth for an `httpx2.Client`; as `httpx_auth`.

    Args:
        source: Hands out the tokens: a `SmartSession`.
        guard: Where they may go.

    Raises:
        ConfigurationError: If httpx2 is not installed; the message names the pip line.
    """
    _check_installed("httpx2", "httpx2_auth()", "smart-async[httpx2]")
    from smart_async.transports.httpx2_auth import Httpx2Auth

    return Httpx2Auth(source, guard)


def async_httpx2_auth(source: AsyncTokenSource[T], guard: BearerGuard) -> AsyncHttpx2Auth[T]:
    """
    Return the auth for an `httpx2.AsyncClient`; the twin of `httpx2_auth`.

    Args:
        source: Hands out the tokens: an `AsyncSmartSession`.
        guard: Where they may go.

    Raises:
        ConfigurationError: If httpx2 is not installed; the message names the pip line.
    """
    _check_installed("httpx2", "httpx2_auth()", "smart-async[httpx2]")
    from smart_async.transports.httpx2_auth import AsyncHttpx2Auth

    return AsyncHttpx2Auth(source, guard)


def _check_installed(library: str, method: str, wanted: str) -> None:
    if importlib.util.find_spec(library) is None:
        raise ConfigurationError(
            f"session.{method} is for clients of {library}, which is not installed.",
            field="auth",
            advice=f'Install it with: pip install "{wanted}"',
        )
