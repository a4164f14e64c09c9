"""The answers of the sandbox: JSON, redirects, pages."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from smart_async.messages import Headers, Response
from smart_async.sandbox.verdicts import RefusedError

__all__ = ("NO_STORE", "error_json", "json_reply", "page", "redirect")

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
"""The header fields of every answer that carries a credential."""

_PAGE_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    (
        "Content-Security-Policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    *NO_STORE,
)


def json_reply(
    document: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
    media_type: str = "application/json",
) -> Response:
    """Return *document* as JSON."""
    fields = [("Content-Type", media_type), *headers]
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, headers=Headers(fields), body=body)


def error_json(refusal: RefusedError) -> Response:
    """
    Return *refusal* as OAuth's error object, with the broken rule in front of the description.

    Spec: RFC 6749, section 5.2.
    """
    document = {"error": refusal.error, "error_description": refusal.description}
    return json_reply(document, status=refusal.status, headers=(*NO_STORE, *refusal.headers))


def redirect(target: str, parameters: Mapping[str, str], *, status: int) -> Response:
    """
    Send the browser to *target*, whose own query is kept, with *parameters* added.

    Spec: RFC 6749, sections 3.1.2 and 4.1.2.
    """
    joint = "&" if "?" in target else "?"
    location = f"{target}{joint}{urlencode(parameters, quote_via=quote)}"
    headers = Headers([("Location", location), ("Referrer-Policy", "no-referrer"), *NO_STORE])
    return Response(status=status, headers=headers)


def page(
    title: str, paragraphs: Iterable[str], *, status: int = 200, links: Iterable[tuple[str, str]] = ()
) -> Response:
    """Return a page of plain text and links (name and URL); whatever the texts hold, nothing in it runs."""
    body = "".join(f"<p>{html.escape(text)}</p>\n" for text in paragraphs)
    for name, url in links:
        body += f'<p>{html.escape(name)}: <a href="{html.escape(url)}">{html.escape(url)}</a></p>\n'
    escaped = html.escape(title)
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escaped}</title></head>\n<body><h1>{escaped}</h1>\n{body}</body></html>\n"
    )
    return Response(status=status, headers=Headers(_PAGE_HEADERS), body=text.encode())
