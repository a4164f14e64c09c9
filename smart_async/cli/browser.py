"""
Opening the user's browser at a URL that a server named.

Whatever opens it (xdg-open is a shell script, Windows has its own ideas) may read more into a text than a
URL. So a URL goes there only if it is https and holds nothing that any shell could take for itself.
"""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager

from smart_async.errors import ConfigurationError, DiscoveryError
from smart_async.messages import parse_url

__all__ = ("check_page", "open_page")

_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?&=%+,@\[\]]+")
_LENGTH = 8192


def check_page(endpoint: str, *, fhir_base: str, allow_insecure_loopback: bool) -> None:
    """
    Refuse an authorization endpoint that no browser should be sent to.

    Args:
        endpoint: As discovered.
        fhir_base: Who named it.
        allow_insecure_loopback: Accept plain http for loopback hosts.

    Raises:
        DiscoveryError: If it is no https URL.
    """
    try:
        _ = parse_url(
            endpoint,
            field="authorization_endpoint",
            allow_query=True,
            allow_insecure_loopback=allow_insecure_loopback,
        )
    except ConfigurationError as exc:
        raise DiscoveryError(
            f"No browser is sent there: {exc.message}",
            endpoint=fhir_base,
            advice="Check that this is the right server, and tell its operator.",
        ) from None


def open_page(url: str) -> bool:
    """
    Open *url* in the user's browser, and return whether there is one.

    Args:
        url: A URL that `check_page` let pass, with its query.

    Raises:
        DiscoveryError: If it holds a character that means something to a shell.
    """
    if len(url) > _LENGTH or not url.startswith(("https://", "http://")) or not _PLAIN.fullmatch(url):
        raise DiscoveryError(
            "The server's authorization endpoint holds characters that mean something to a shell, "
            "so no browser is opened.",
            endpoint=url.partition("?")[0],
            advice="If you trust it, use --no-browser and open the URL yourself.",
        )
    with _stdout_aside():
        return webbrowser.open(url)


@contextmanager
def _stdout_aside() -> Generator[None]:
    """Send what a browser prints to stderr: stdout is for the result."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        _ = os.dup2(2, 1)
        yield
    finally:
        _ = os.dup2(kept, 1)
        os.close(kept)
