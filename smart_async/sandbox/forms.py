"""Forms and queries, read strictly: what two parsers could read differently is refused."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from smart_async.messages import FORM
from smart_async.sandbox.verdicts import Received, invalid_request

__all__ = ("post_fields", "strict_fields")

_MAX_BYTES = 64 * 1024
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def strict_fields(text: str) -> dict[str, str]:
    """
    Read the parameters of a query or a form.

    Args:
        text: The encoded text.

    Returns:
        The parameters that have a value: one without counts as left out.

    Raises:
        RefusedError: If a parameter occurs twice or the encoding is broken.

    Spec: RFC 6749, sections 3.1 and 3.2, and appendix B.

    >>> strict_fields("scope=system%2F*.rs&state=")
    {'scope': 'system/*.rs'}
    """
    fields: dict[str, str] = {}
    seen: set[str] = set()
    for pair in filter(None, text.split("&")):
        name, _, value = (_decode(part) for part in pair.partition("="))
        if name in seen:
            raise invalid_request("RFC 6749 §3.2", f"the parameter '{name[:64]}' occurs twice")
        seen.add(name)
        if value:
            fields[name] = value
    return fields


def post_fields(received: Received, *, rule: str) -> dict[str, str]:
    """
    Read the form that a request carries.

    Args:
        received: The request.
        rule: The rule that asks for a POST with a form body.

    Raises:
        RefusedError: If it is no POST, no form, too large, or puts parameters into the URL.
    """
    if received.method != "POST":
        raise invalid_request(rule, f"the request must be a POST, not {received.method}")
    media_type = received.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != FORM:
        raise invalid_request(rule, f"the content type must be {FORM}, not '{media_type[:64]}'")
    if received.query:
        raise invalid_request(rule, "the parameters belong in the body, and the URL carries some")
    if len(received.body) > _MAX_BYTES:
        raise invalid_request(rule, f"the body is larger than {_MAX_BYTES} bytes")
    try:
        return strict_fields(received.body.decode("ascii"))
    except UnicodeDecodeError:
        raise invalid_request("RFC 6749 appendix B", "the form holds bytes that are not encoded") from None


def _decode(text: str) -> str:
    if _PERCENT.search(text):
        raise invalid_request(
            "RFC 6749 appendix B", "a percent sign is not followed by two hexadecimal digits"
        )
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid_request("RFC 6749 appendix B", "a parameter is not UTF-8") from None
