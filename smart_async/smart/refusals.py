"""
What a FHIR server means when it refuses a request that showed a token.

Spec: RFC 6750, section 3.1.
"""

from __future__ import annotations

import re

from smart_async.errors import ConfigurationError, OAuthError
from smart_async.interfaces import AccessToken
from smart_async.messages import Response, clean_text
from smart_async.smart.challenges import bearer_challenge
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.scopes import Scopes
from smart_async.smart.tokens import Token

__all__ = ("parse_refusal", "refuse_insufficient_scope", "shown_url")

_RESOURCE = re.compile(r"(/[A-Z][A-Za-z]+)/.+", re.DOTALL)
_SHOWN_SCOPE = 512
_ADVICE = {
    400: "The server cannot read the request; check the names and values of its search parameters.",
    401: "The server does not accept the token, or got none: make the client with auth=session.auth().",
    403: "The token does not permit this; see its scopes, and what the user may do in the EHR itself.",
    404: "There is no such resource here; servers also forget the pages of an old search: search again.",
    410: "It is there no more; servers forget the pages of an old search: search again.",
}


def shown_url(url: str) -> str:
    """
    Return *url* as an error may show it: no query and no resource id, for both say whom it is about.

    >>> shown_url("https://ehr.example.com/r4/Patient/p-1/$everything?_since=2024")
    'https://ehr.example.com/r4/Patient/…'
    """
    return _RESOURCE.sub(r"\1/…", url.partition("?")[0].partition("#")[0])


def refuse_insufficient_scope(challenge: str | None, token: AccessToken, *, url: str, status: int) -> None:
    """
    Raise if the FHIR server says that the token's scopes do not suffice.

    A new token would have the same scopes, so this is not answered with a renewal.

    Args:
        challenge: The answer's `WWW-Authenticate`, or None.
        token: The token that was shown.
        url: The URL that was requested.
        status: The answer's status.

    Raises:
        OAuthError: With the code `insufficient_scope`, naming the scope that is missing and those granted.

    Spec: RFC 6750, section 3.1.
    """
    said = bearer_challenge(challenge)
    if said.get("error") != "insufficient_scope":
        return
    needed = clean_text(said.get("scope", ""), length=_SHOWN_SCOPE) or None
    description = clean_text(said.get("error_description", "")) or None
    granted = token.scopes if isinstance(token, Token) else None
    missing = _missing(needed, granted)
    raise OAuthError(
        "The FHIR server refused the request: the token's scope does not suffice. "
        + (f"Missing: {missing}." if missing else "It does not say which scope is missing.")
        + (
            ""
            if granted is None
            else f" Granted: {clean_text(str(granted), length=_SHOWN_SCOPE) or 'nothing'}."
        ),
        endpoint=shown_url(url),
        advice="Start a new login, or fetch a new token, that asks for this scope. If it was asked for and "
        "not granted, the user or the server's policy decided so.",
        error="insufficient_scope",
        error_description=description,
        status=status,
        scope=needed,
    )


def _missing(needed: str | None, granted: Scopes | None) -> str | None:
    if needed is None or granted is None:
        return needed
    try:
        beyond = [scope.text for scope in Scopes.parse(needed) if not granted.covers(scope)]
    except ConfigurationError:
        return needed
    return " ".join(beyond) or needed  # the server counts otherwise than we do: show what it says


def parse_refusal(response: Response) -> OAuthError:
    """
    Make an error of a FHIR server's answer that says no.

    Args:
        response: The answer: a status from 400 on, often with an OperationOutcome.

    Returns:
        The error, to be raised; it has the status, the server's own words, cleaned, and `retry_after`.
    """
    error = parse_oauth_error(response, "FHIR request")
    if error.error is None:
        error.advice = _ADVICE.get(response.status, error.advice)
    error.endpoint = shown_url(response.url)
    return error
