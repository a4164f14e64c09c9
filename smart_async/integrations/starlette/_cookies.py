"""
The two cookies: one for a browser's logins under way, one for who is signed in. Each holds one random id.

They are two because they live differently. The id of a signed-in user is made new at each login. That of a
login has to outlive another login in the next tab, and where the EHR posts the callback it has to come along
with a request from another site.

Spec: RFC 6265bis (`__Host-`, SameSite); CHIPS (`Partitioned`).
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from smart_async.errors import ConfigurationError

__all__ = ("Cookies",)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


class Cookies:
    """
    Reads and sets the two cookies.

    Args:
        name: The session's cookie; the other one is called `NAME-login`.
        secure: Whether the app is reached by https.
        framed: Whether EHRs show the app in a frame.
        posts: Whether callbacks arrive by POST from the EHR's site.
        pending_seconds: How long a login may be under way.

    Raises:
        ConfigurationError: If *name* is no plain name.
    """

    def __init__(self, name: str, *, secure: bool, framed: bool, posts: bool, pending_seconds: float) -> None:
        if not _NAME.fullmatch(str(name)):
            raise ConfigurationError(
                "A cookie's name is letters, digits, _ and -.",
                field="cookie",
                advice="The prefix __Host- is added where the app is reached by https.",
            )
        # With this prefix, no other host and no plain http page can plant one.
        start = "__Host-" if secure else ""
        self._session = f"{start}{name}"
        self._browser = f"{start}{name}-login"
        self._session_site = _same_site("None; Partitioned" if framed else "Lax", secure=secure)
        self._browser_site = self._session_site
        if posts and not framed:
            # A form from another site brings no Lax cookie. Without https, None is refused: leaving SameSite
            # out is what lets a browser send it for the first minutes.
            self._browser_site = _same_site("None", secure=True) if secure else ""
        self._max_age = int(pending_seconds)

    def session(self, request: Request) -> str | None:
        """Return the id of the signed-in user's session, or None."""
        return _read(request, self._session)

    def browser(self, request: Request) -> str | None:
        """Return the id that this browser's logins are found by, or None."""
        return _read(request, self._browser)

    def set_session(self, response: Response, value: str) -> None:
        """Give the browser a session's id, until it is closed."""
        _set(response, f"{self._session}={value}; Path=/; HttpOnly{self._session_site}")

    def set_browser(self, response: Response, value: str) -> None:
        """Give the browser an id for its logins."""
        age = f"; Max-Age={self._max_age}"
        _set(response, f"{self._browser}={value}; Path=/; HttpOnly{self._browser_site}{age}")

    def clear(self, response: Response) -> None:
        """Take both back."""
        _set(response, f"{self._session}=; Path=/; HttpOnly{self._session_site}; Max-Age=0")
        _set(response, f"{self._browser}=; Path=/; HttpOnly{self._browser_site}; Max-Age=0")


def _same_site(policy: str, *, secure: bool) -> str:
    if not secure:
        policy = "Lax"
    return f"{'; Secure' if secure else ''}; SameSite={policy}"


def _read(request: Request, name: str) -> str | None:
    value = request.cookies.get(name, "")
    return value if _VALUE.fullmatch(value) else None


def _set(response: Response, field: str) -> None:
    response.headers.append("Set-Cookie", field)
