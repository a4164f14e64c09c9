"""
Redirects, which are not followed: where they lead is said, and nothing is sent there.

A redirected token request would carry the code, the verifier and the assertion to whatever host the
answer names.

Spec: RFC 9700, section 4.12; RFC 9110, section 15.4.
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.messages import Response, resolve_url

__all__ = ("location", "redirect_target", "refuse_redirect")


def location(response: Response) -> str:
    """Return the `Location` of a redirect without its fragment, or an empty string."""
    # A fragment is legal here and never sent.
    return response.headers.get("location", "").partition("#")[0]


def redirect_target(response: Response) -> str:
    """
    Return the origin that a redirect leads to, for a message; never the whole URL, which may carry secrets.

    Args:
        response: The redirect.
    """
    found = location(response)
    if not found:
        return "nowhere (there is no Location)"
    # Plain http is named as well: it is where a proxy that is set up wrongly points.
    plain = found[:7].lower() == "http://"
    text = f"https{found[4:]}" if plain else found
    try:
        origin = resolve_url(response.url, text, field="Location", allow_insecure_loopback=True).origin
    except ConfigurationError:
        return "a target that is no web address"
    return f"http{origin[5:]}" if plain else origin


def refuse_redirect(response: Response, what: str) -> None:
    """
    Raise if *response* is a redirect: credentials are never sent along.

    Args:
        response: The answer.
        what: Who answered, for the message.

    Raises:
        ProtocolError: Naming the origin that the redirect leads to.
    """
    if 300 <= response.status < 400:
        raise ProtocolError(
            f"The {what} redirected ({response.status}) to {redirect_target(response)}; "
            "credentials are never sent along.",
            endpoint=response.url,
            status=response.status,
            advice="The discovery document should name the final endpoint; ask the server's operator.",
        )
