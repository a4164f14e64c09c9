"""What a request ends with when nobody is signed in, or cannot be just now."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from smart_async.errors import CallbackError, SmartError

__all__ = ("NotSignedInError", "OtherUserError", "UnavailableError", "UsedError")

_RETRY_AFTER = "10"
"""Seconds after which a browser may ask again during an outage."""


class NotSignedInError(HTTPException):
    """
    Nobody is signed in: 303 to the login for a page, 401 for everything else.

    Both frameworks answer it by themselves; `SmartLogin.install` makes the 401 JSON in Starlette, too.

    Args:
        login_url: Where the user signs in, and comes back from.
        page: Whether a person waits for a page.
    """

    def __init__(self, login_url: str, *, page: bool) -> None:
        headers = {"Location": login_url} if page else {"WWW-Authenticate": 'Session realm="smart"'}
        super().__init__(303 if page else 401, "Not signed in.", {**headers, "Cache-Control": "no-store"})
        self.login_url = login_url
        self.page = page


class UnavailableError(HTTPException):
    """
    Somebody is signed in, and the token cannot be had just now: 503.

    Args:
        error: Why: the store or the EHR cannot be reached.
    """

    def __init__(self, error: SmartError) -> None:
        headers = {"Retry-After": _RETRY_AFTER, "Cache-Control": "no-store"}
        super().__init__(503, "Temporarily unavailable.", headers)
        self.error = error


class OtherUserError(CallbackError):
    """A login was begun by one user and finished by another; whoever was signed in still is."""


class UsedError(CallbackError):
    """
    A login's callback came a second time.

    Args:
        message: What happened.
        return_to: Where the first one led, or None for the start page.
    """

    return_to: str | None = None
