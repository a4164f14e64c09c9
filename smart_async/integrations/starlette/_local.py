"""
Where a user comes back to after signing in: a page of this app, never anybody else's.

A link to the app's own login, with somebody else's page as the way back, is how a stranger's sign-in page
comes to look like ours. So only a path is taken, and only one that no browser and no proxy reads as a host.

Spec: SMART App Launch 2.2, app launch (an app SHALL NOT be an open redirector).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from smart_async.limits import URL_LENGTH

__all__ = ("app_root", "browser_path", "home_path", "local_path")

_VISIBLE = re.compile(r"/[!-\[\]-~]*")
_PATH = re.compile(rb"/(?:[^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*)?")
_SAFE = "/:@!$&'()*+,;=~-._"
_DOTS = frozenset({b".", b".."})


def local_path(value: object) -> str | None:
    r"""
    Return *value* if it is a path on this site, with or without a query, else None.

    Args:
        value: What a request gave, such as its `return_to`.

    >>> local_path("/chart?tab=vitals")
    '/chart?tab=vitals'
    >>> [local_path(bad) for bad in ("//evil", "/\\evil", "https:evil", "/%09/evil", "/..//evil")]
    [None, None, None, None, None]
    """
    if not isinstance(value, str) or len(value) > URL_LENGTH or not _VISIBLE.fullmatch(value):
        return None
    path = re.split(r"[?#]", value, maxsplit=1)[0]
    decoded = unquote_to_bytes(path)
    if not _PATH.fullmatch(decoded) or b"//" in decoded or _DOTS & set(decoded.split(b"/")):
        return None
    return value


def browser_path(scope: Mapping[str, Any]) -> str:
    """
    Return the path and query of a request, as the browser knows them.

    Args:
        scope: The ASGI scope. Servers and frameworks differ in whether `path` begins with `root_path`.
    """
    root, path = app_root(scope), str(scope["path"])
    if root and path != root and not path.startswith(f"{root}/"):
        path = root + path
    query = bytes(scope.get("query_string", b"")).decode("latin-1")
    return quote(path, safe=_SAFE) + (f"?{query}" if query else "")


def home_path(scope: Mapping[str, Any], below: str) -> str:
    """
    Return a page of the app, as the browser knows it.

    Args:
        scope: The ASGI scope. Some proxies take the root path from a header of the request, so that it is
            not believed where it would lead elsewhere.
        below: The path of the page below the root path.
    """
    return local_path(quote(app_root(scope), safe=_SAFE) + below) or below


def app_root(scope: Mapping[str, Any]) -> str:
    """
    Return where the proxy has put the whole app: its root path, without what was mounted inside.

    Args:
        scope: The ASGI scope.
    """
    return str(scope.get("app_root_path", scope.get("root_path", ""))).rstrip("/")
