"""The answers of the sandbox that are no pages: JSON and redirects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from smart_async.messages import Headers, Response
from smart_async.sandbox.verdicts import RefusedError

__all__ = ("NO_STORE", "error_json", "json_reply", "redirect", "see_other", "with_query")

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
"""The header fields of every answer that carries a credential."""


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


def with_query(target: str, parameters: Mapping[str, str]) -> str:
    """Return *target*, whose own query is kept, with *parameters* added."""
    return f"{target}{'&' if '?' in target else '?'}{urlencode(parameters, quote_via=quote)}"


def redirect(target: str, parameters: Mapping[str, str], *, status: int) -> Response:
    """
    Send the browser to *target*, whose own query is kept, with *parameters* added.

    Spec: RFC 6749, sections 3.1.2 and 4.1.2.
    """
    headers = Headers(
        [("Location", with_query(target, parameters)), ("Referrer-Policy", "no-referrer"), *NO_STORE]
    )
    return Response(status=status, headers=headers)


def see_other(path: str, *, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Send the browser to another place, to be fetched by GET."""
    fields = [("Location", path), ("Referrer-Policy", "no-referrer"), *NO_STORE, *headers]
    return Response(status=303, headers=Headers(fields))
