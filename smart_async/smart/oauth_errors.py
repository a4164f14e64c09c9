"""
Reading a refusal, in whatever shape it comes.

OAuth has one shape for errors; production servers answer in seven more, some of them plain text. Whatever
the body is, its status and what can be understood of it reach the caller.

Spec: RFC 6749, section 5.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

from smart_async.errors import OAuthError, ProtocolError
from smart_async.limits import ERROR_BODY_BYTES, ERROR_TEXT
from smart_async.messages import (
    JSON,
    JSONObject,
    Response,
    Secret,
    as_list,
    as_object,
    clean_text,
    member_names,
    strict_loads,
)

__all__ = ("ADVICE", "correlation_id", "parse_oauth_error", "retry_after")

ADVICE: Mapping[str, str] = {
    "invalid_client": (
        "The server does not believe that this is the client. Check client_id, that the public key with this "
        "kid is in the registered JWK Set (new keys can take hours to arrive), the assertion's aud, and the "
        "clock."
    ),
    "invalid_grant": (
        "The code, refresh token or verifier is expired, used, revoked or meant for another client. "
        "Start a new login."
    ),
    "invalid_scope": "Ask for less, or in the other scope syntax (v1 .read, v2 .rs); see scopes_supported.",
    "unauthorized_client": "The registration does not allow this grant type; ask the server's operator.",
    "unsupported_grant_type": "The server does not offer this grant type at all.",
    "invalid_request": "The server misses or dislikes a parameter; its description may say which.",
    "unsupported_token_type": "The server cannot revoke this kind of token; forget it, it ends by itself.",
    "access_denied": "The user or the server's policy said no. Ask again only if the user wants to.",
    "invalid_redirect_uri": "The server does not take this redirect URI; its rules for them are its own.",
    "invalid_client_metadata": "The server dislikes a member of the registration; see its description.",
    "invalid_software_statement": "The software statement is wrong, expired or not meant for this server.",
    "unapproved_software_statement": "The software statement is from somebody whom the server does not know.",
    "invalid_token": "The access token is expired, revoked or not meant for this; get a new one.",
    "temporarily_unavailable": "Try again later.",
    "server_error": "The server failed; try again later, and give its operator the correlation id.",
}
"""What the usual codes mean in practice."""

_CODE = re.compile(r"[A-Za-z0-9_.\-:/]{1,64}")
# Bounded, or a page of nothing but openings would take seconds.
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,1000})</title>", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
_JWT = re.compile(r"eyJ[\w\-]{8,}(?:\.[\w\-]*)*", re.ASCII)
_HIDDEN = "<hidden>"
_UNIX_TIME = 1e9
"""Seconds: nobody is asked to wait for thirty years, so a number from here on is a date."""
_CORRELATION = ("x-correlation-id", "x-request-id", "cerner-correlation-id", "request-id", "x-amzn-requestid")


def parse_oauth_error(
    response: Response, what: str = "token request", *, sent: Iterable[Secret] = ()
) -> OAuthError:
    """
    Make an error of an answer that says no.

    Args:
        response: The answer: an error status, or a 200 whose body holds `error`.
        what: What was refused, for the message.
        sent: The secrets that were sent. Servers quote them ("Invalid refresh token: …"); here they are
            struck out, as is everything that looks like a JWT.

    Returns:
        The error, to be raised. Its texts are cleaned; its `received` holds names, never values.
    """
    document = _document(response)
    code, *texts = _read(document) if document is not None else (None, _plain_text(response), None)
    description, uri = (_without(text, sent) for text in texts)
    said = code or (f"“{description}”" if description else "no reason")
    return OAuthError(
        f"The server refused the {what} with status {response.status}: {said}"
        + (f" ({description})." if code and description else "."),
        endpoint=response.url,
        advice=ADVICE.get(code or "", _advice_for_status(response.status)),
        error=code,
        error_description=description,
        error_uri=uri,
        status=response.status,
        received=member_names(document),
        retry_after=retry_after(response),
        correlation_id=correlation_id(response),
    )


def retry_after(response: Response) -> float | None:
    """
    Return the seconds that the server asks to wait, or None. They are what it says, however much.

    Args:
        response: An answer with a `Retry-After` of seconds or of a date; where it has none, with an
            `X-RateLimit-Reset` of seconds or of Unix time (Okta, and what stands in front of it).

    Spec: RFC 9110, section 10.2.3.
    """
    text = response.headers.get("retry-after", "").strip()
    if (seconds := _whole(text)) is not None:
        return seconds
    if not text:
        return _rate_limit_reset(response)
    # Half of the e-mail package comes with it, and few servers name a date.
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text[:64])
    except (ValueError, OverflowError):
        return _rate_limit_reset(response)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(response.received_at, UTC)).total_seconds())


def _rate_limit_reset(response: Response) -> float | None:
    seconds = _whole(response.headers.get("x-ratelimit-reset", "").strip(), digits=10)
    if seconds is None or seconds < _UNIX_TIME:
        return seconds
    return max(0.0, seconds - response.received_at)


def _whole(text: str, *, digits: int = 9) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def correlation_id(response: Response) -> str | None:
    """Return the identifier that the server gave this exchange, for its support desk."""
    found = (response.headers.get(name) for name in _CORRELATION)
    return next((clean_text(value, length=128) for value in found if value), None)


def _without(text: str | None, sent: Iterable[Secret]) -> str | None:
    if text is None:
        return None
    for secret in sent:
        # Servers quote whole requests, too, and then it is encoded as it was in the form.
        for written in (secret.reveal(), quote_plus(secret.reveal()), quote(secret.reveal(), safe="")):
            text = text.replace(written, _HIDDEN) if written else text
    return clean_text(_JWT.sub(_HIDDEN, text))


def _document(response: Response) -> JSON | None:
    try:
        document: JSON = strict_loads(response.body, max_bytes=ERROR_BODY_BYTES)
    except ProtocolError:
        return None
    return document


def _read(answer: JSON) -> tuple[str | None, str | None, str | None]:
    document = as_object(answer)
    if document is None:  # a gateway may answer with a bare JSON string
        return None, _text(answer), None
    match document:
        case {"error": str(code)} if code:
            description = _text(document.get("error_description")) or _text(document.get("message"))
            if not _CODE.fullmatch(code):  # SSAS puts a sentence where the code belongs
                return None, description or _text(code), _text(document.get("error_uri"))
            return code, description, _text(document.get("error_uri"))
        case {"resourceType": "OperationOutcome"}:
            return None, _outcome(document), None
        case {"errorCode": str(code)} if _CODE.fullmatch(code):
            return code, _text(document.get("errorSummary")), _text(document.get("errorLink"))
        case {"statusmessage": str(code)} if _CODE.fullmatch(code):
            return code, _text(document.get("description")), None
        case _:
            names = ("error_description", "message", "detail", "description", "statusmessage", "title")
            return None, next((text for name in names if (text := _text(document.get(name)))), None), None


def _outcome(document: JSONObject) -> str | None:
    first = as_object(next(iter(as_list(document.get("issue")) or ()), None)) or {}
    details = as_object(first.get("details")) or {}
    return _text(first.get("diagnostics")) or _text(details.get("text")) or "an OperationOutcome without text"


def _text(value: object) -> str | None:
    # Cut to its final length only once the secrets are out of it: half a secret would not be found.
    return (clean_text(value, length=8 * ERROR_TEXT) or None) if isinstance(value, str) else None


def _plain_text(response: Response) -> str | None:
    body = response.body[:ERROR_BODY_BYTES].removeprefix(_BOM).lstrip()
    if body[:1] == b"<":
        title = _TITLE.search(body)
        return _text(title[1].decode("utf-8", "replace")) if title else "a page of HTML"
    if body[:1] in (b"{", b"["):
        return "JSON that cannot be read"
    return _text(body.decode("utf-8", "replace"))


def _advice_for_status(status: int) -> str:
    if status == 429:
        return "Too many requests; wait as long as .retry_after says, and keep tokens until they expire."
    if status >= 500:
        return "The server or something in front of it is failing; try again later."
    return "The answer holds no OAuth error code; check the endpoint's URL and ask the server's operator."
