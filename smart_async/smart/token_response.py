"""
Reading a token response: tolerant of what servers really send, strict about what could do harm.

Spec: SMART App Launch 2.2, app launch and backend services (access token response); RFC 6749, section 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from smart_async.errors import ConfigurationError, ContextChangedError, TokenResponseError
from smart_async.limits import TOKEN_BYTES, Limits
from smart_async.messages import (
    Finding,
    JSONObject,
    Response,
    Secret,
    Severity,
    as_list,
    as_object,
    member_names,
    parse_object,
)
from smart_async.smart.authorization_details import parse_authorization_details
from smart_async.smart.binding import Binding
from smart_async.smart.launch import parse_launch_context
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.redirects import redirect_target
from smart_async.smart.scopes import Scopes
from smart_async.smart.tokens import SECRET_MEMBERS, Token, is_token

__all__ = ("parse_token_response", "refuse_change")

_NUMBER = re.compile(r"\s*[+-]?\d{1,64}(?:\.\d{1,64})?\s*", re.ASCII)
_LONGEST = 100 * 365 * 86_400.0
"""Seconds, a hundred years: servers send 10**30 for "never", which no calendar can hold."""


def parse_token_response(
    response: Response,
    *,
    binding: Binding,
    requested_scope: str,
    previous: Token | None = None,
    limits: Limits | None = None,
    sent: Iterable[Secret] = (),
) -> Token:
    """
    Read the answer of a token endpoint.

    Args:
        response: The answer.
        binding: Which registration at which server was asked.
        requested_scope: The scopes asked for; they stand in where the answer names none.
        previous: The token that was refreshed; it lends what the answer omits.
        limits: The client's limits.
        sent: The secrets in the request, to be struck out of what the server says about them.

    Returns:
        The token.

    Raises:
        OAuthError: If the server said no.
        TokenResponseError: If it said yes in an unusable way.
        ContextChangedError: If a refresh came back for another patient, or with more scope. The new token
            is on the error: its refresh token may be the only one that still works.

    Spec: RFC 6749, sections 5.1 and 5.2.
    """
    if response.status >= 400:
        raise parse_oauth_error(response, sent=sent)
    _refuse_status(response)
    # No frame below keeps a token in a plain variable: error reporters show the variables of every frame.
    reader = _Reader(
        parse_object(response, TokenResponseError, "token response", limits=limits), response, previous
    )
    if reader.document.get("error"):
        raise parse_oauth_error(response, sent=sent)
    token = reader.token(binding, requested_scope)
    if previous is not None:
        refuse_change(previous, token)
    return token


def _refuse_status(response: Response) -> None:
    if 300 <= response.status < 400:
        raise TokenResponseError(
            f"The token endpoint redirected ({response.status}) to {redirect_target(response)}; "
            "credentials are never sent along.",
            endpoint=response.url,
            status=response.status,
            advice="The discovery document should name the final token endpoint; ask the server's operator.",
        )
    if response.status != 200:
        raise TokenResponseError(
            f"The token endpoint answered {response.status} where only 200 carries a token.",
            endpoint=response.url,
            status=response.status,
            advice="Check that the token endpoint is one.",
        )


class _Reader:
    """Reads one token response and notes what is odd."""

    def __init__(self, document: JSONObject, response: Response, previous: Token | None) -> None:
        self.document = {
            name: Secret(value) if name in SECRET_MEMBERS and isinstance(value, str) else value
            for name, value in document.items()
        }
        self.response = response
        self.previous = previous
        self.findings: list[Finding] = []

    def token(self, binding: Binding, requested_scope: str) -> Token:
        access_token = self.access_token()
        self.check_token_type()
        context, findings = parse_launch_context(
            self.document, previous=self.previous.context if self.previous else None
        )
        scopes = self.scopes(requested_scope)
        if context.patient is None and any(scope.level == "patient" for scope in scopes):
            self.note(
                "CTX-01",
                "patient/ scopes were granted, and no patient was named.",
                "Look for the patient in fhirUser, or ask for the scope launch/patient.",
            )
        _, noted = parse_authorization_details(self.document, scopes=scopes, context=context)
        expires_at, refresh_token = self.expires_at(), self.refresh_token()
        if str(scopes) != requested_scope:
            met = {"offline_access", "online_access"} if refresh_token else set[str]()
            self.compare(
                scopes, requested_scope, met=met | ({"launch/patient"} if context.patient else set())
            )
        return Token(
            access_token=access_token,
            expires_at=expires_at,
            refresh_token=refresh_token,
            scopes=scopes,
            launch_scopes=self.previous.launch_scopes if self.previous else scopes,
            context=context,
            findings=(*self.findings, *findings, *noted),
            raw=self.document,
            binding=binding,
            issued_at=self.response.received_at,
            lineage=self.previous.lineage if self.previous else "",
        )

    def note(self, rule: str, message: str, advice: str = "", severity: Severity = "warning") -> None:
        self.findings.append(Finding(rule=rule, severity=severity, message=message, advice=advice))

    def compare(self, granted: Scopes, requested_scope: str, *, met: set[str]) -> None:
        # Servers leave out the names of what they did grant, such as offline_access beside a refresh token.
        requested = Scopes(requested_scope)
        report = granted.report(_opening(requested) if self.previous else requested)
        less = " ".join(scope.text for scope in report.missing | report.narrowed if scope.name not in met)
        if less:
            self.note(
                "TK-16",
                f"Less was granted than asked for: {less}.",
                "Ask token.scopes.covers() before you use what may not have been granted.",
                severity="info",
            )

    def refuse(self, message: str, advice: str) -> TokenResponseError:
        return TokenResponseError(
            message,
            endpoint=self.response.url,
            status=self.response.status,
            received=member_names(self.document),
            advice=advice,
        )

    def access_token(self) -> Secret:
        if self.document.get("access_token") is None:
            raise self.refuse(
                "The token response holds no access_token.",
                "Check that the token endpoint is one; its answer holds the members in .received.",
            )
        return self._secret("access_token")

    def _secret(self, name: str) -> Secret:
        if not is_token(self.document[name]):
            raise self.refuse(
                f"The {name} is not a non-empty string of at most {TOKEN_BYTES} visible ASCII characters.",
                "Report this to the server's operator; such a token cannot be used.",
            )
        secret: Secret = self.document[name]
        return secret

    def check_token_type(self) -> None:
        value = self.document.get("token_type")
        if value is None:
            self.note("TK-13", "token_type is missing; it is taken as Bearer.")
        elif not isinstance(value, str) or value.strip().lower() != "bearer":
            raise self.refuse(
                "The token_type is not Bearer, the only kind that SMART knows.",
                "Have the registration changed so that the server issues Bearer tokens.",
            )

    def expires_at(self) -> float | None:
        value = self.document.get("expires_in")
        if type(value) is int and 0 < value < _LONGEST:  # as from nearly every server
            return self.response.received_at + value
        if isinstance(value, bool) or as_list(value) is not None or as_object(value) is not None:
            raise self.refuse(
                f"expires_in is a {type(value).__name__}, not a number.",
                "Report this to the server's operator.",
            )
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            self.note("TK-15", "expires_in is a string; its number is taken.")
            value = float(value)
        if not isinstance(value, int | float):
            missing = "missing" if value is None else "unreadable"
            rule = "RF-08" if self.previous else "TK-15"
            self.note(rule, f"expires_in is {missing}.", "The token is used until the server answers 401.")
            return None
        return self.response.received_at + max(0.0, min(float(value), _LONGEST))

    def refresh_token(self) -> Secret | None:
        if self.document.get("refresh_token") in (None, Secret("")):
            return self.previous.refresh_token if self.previous else None
        return self._secret("refresh_token")

    def scopes(self, requested_scope: str) -> Scopes:
        value = self.document.get("scope")
        if isinstance(value, str):
            return self._parse_scopes(value)
        items = as_list(value)
        if items is not None and all(isinstance(item, str) for item in items):
            self.note("TK-13", "scope is a list; its items are joined.")
            value = " ".join(items)
        if value is None:
            rule = "RF-08" if self.previous else "TK-13"
            self.note(rule, "scope is missing; what was asked for is assumed.")
            value = requested_scope
        if not isinstance(value, str):
            raise self.refuse("scope is not a string.", "Report this to the server's operator.")
        return self._parse_scopes(value)

    def _parse_scopes(self, text: str) -> Scopes:
        try:
            return Scopes.parse(text)
        except ConfigurationError:
            raise self.refuse(
                "scope holds a character that no scope may hold.", "Report this to the server's operator."
            ) from None


def refuse_change(previous: Token, token: Token) -> None:
    """
    Refuse a refreshed token for another patient, or with more scope, than the one it replaces.

    Args:
        previous: The token that was refreshed.
        token: The token that came.

    Raises:
        ContextChangedError: If it is; the new token is on the error.
    """
    changed = None
    if previous.context.patient is not None and token.context.patient != previous.context.patient:
        changed = "is for another patient"
    elif not previous.launch_scopes.covers(_opening(token.scopes)):
        changed = "carries more scope"
    if changed:
        raise ContextChangedError(
            f"The refreshed token {changed} than the one it replaces.",
            endpoint=token.binding.token_endpoint,
            status=200,
            received=member_names(token.raw),
            advice="Do not merge the two. The new token is .token on this error: adopt it, or drop it.",
            token=token,
        )


def _opening(scopes: Scopes) -> Scopes:
    # Servers add and drop openid or offline_access as they please; those open no data. What is no scope of
    # SMART may well do.
    return Scopes(scope for scope in scopes if scope.kind in ("clinical", "other"))
