"""
Whose browser this is, and whether a form comes from a page of ours that was shown in it.

A web page that a developer has open could otherwise register clients, ask for faults or agree to sign-ins
at a sandbox on the same machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from smart_async.messages import Response
from smart_async.sandbox.forms import post_fields, strict_fields
from smart_async.sandbox.pages.render import Renderer
from smart_async.sandbox.pages.texts import PageError
from smart_async.sandbox.settings import Place
from smart_async.sandbox.verdicts import Received, RefusedError

__all__ = ("COOKIE", "Browser", "Guard", "query_of")

COOKIE = "sandbox_browser"
"""The cookie that tells one browser from another; it says nothing else."""

_VALUE = re.compile(r"[A-Za-z0-9_\-]{43}")


class Browser:
    """
    The browser behind a request.

    Args:
        name: The cookie's value, as sent or as made now.
        known: Whether it was sent.
        token: What the forms shown in this browser carry.
    """

    def __init__(self, name: str, *, known: bool, token: str) -> None:
        self.name = name
        self.known = known
        self.token = token

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields that make the browser known."""
        if self.known:
            return ()
        return (("Set-Cookie", f"{COOKIE}={self.name}; Path=/; HttpOnly; SameSite=Lax"),)


class Guard:
    """
    Lets only those requests through to a page that may reach it.

    Args:
        place: The sandbox's URLs.
        renderer: Makes the error pages.
    """

    def __init__(self, place: Place, renderer: Renderer) -> None:
        self._place = place
        self._renderer = renderer
        self._secret = secrets.token_bytes(32)

    def page(
        self, *, get: Callable[[Received, Browser], Response], post: Callable[..., Response] | None = None
    ) -> Callable[[Received], Response]:
        """
        Return a page that shows itself by *get* and takes forms by *post*.

        Args:
            get: Is given the request and the browser.
            post: Is given the request, the browser and the fields of a form that passed all checks.
        """

        def answer(received: Received) -> Response:
            try:
                self._check_host(received)
                browser = self.browser(received)
                if received.method != "POST" or post is None:
                    return get(received, browser)
                return post(received, browser, self._fields(received, browser))
            except PageError as exc:
                return self._renderer.problem(exc)
            except RefusedError as exc:
                return self._renderer.problem(PageError("request", detail=exc.message))

        return answer

    def browser(self, received: Received) -> Browser:
        """Return the browser that sent *received*, a new one if it is not known yet."""
        sent = _cookie(received)
        name = sent or secrets.token_urlsafe(32)
        token = hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()
        return Browser(name, known=sent is not None, token=token)

    def _check_host(self, received: Received) -> None:
        host = received.headers.get("host", "")
        if host != self._place.base_url.partition("://")[2]:
            raise PageError("host", status=421, detail=f"It is at {self._place.base_url}/")

    def _fields(self, received: Received, browser: Browser) -> dict[str, str]:
        # The Origin of a form is "null" where no referrer is sent, as here; this field tells it all the same.
        site = received.headers.get("sec-fetch-site", "same-origin")
        fields = post_fields(received, rule="form")
        sent = fields.pop("form_token", "")
        # A browser without the cookie got a name just now, and with it a token that no form can hold.
        if site not in ("same-origin", "none") or not hmac.compare_digest(
            sent.encode(), browser.token.encode()
        ):
            raise PageError("form", status=403)
        return fields


def query_of(received: Received) -> dict[str, str]:
    """Return the parameters of the query, read strictly."""
    return strict_fields(received.query)


def _cookie(received: Received) -> str | None:
    # Cookies know no ports: those of the app beside us come along, with whatever names it gave them. The
    # standard library's parser gives up at the first name that it does not like.
    for pair in received.headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and _VALUE.fullmatch(value):
            return value
    return None
