"""
Token introspection: asking the server what a token is still good for.

Spec: SMART App Launch 2.2, token introspection; RFC 7662.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.flow import Flow, send
from smart_async.limits import Limits
from smart_async.messages import (
    FORM,
    Finding,
    Headers,
    JSONObject,
    Request,
    Response,
    Secret,
    as_list,
    form_body,
    parse_object,
)
from smart_async.smart.binding import check_binding
from smart_async.smart.client_auth import Authentication
from smart_async.smart.discovery import discover
from smart_async.smart.endpoint_auth import authenticate_at, check_token
from smart_async.smart.grants import sent_secrets
from smart_async.smart.launch import LaunchContext, parse_launch_context
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.redirects import refuse_redirect
from smart_async.smart.retries import HARMLESS, repeated
from smart_async.smart.scopes import Scopes
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("TokenStatus", "introspect", "introspection_request", "parse_introspection")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """
    What the server knows of a token.

    Args:
        active: Whether the token works. An unknown token and an expired one look the same: False.
        scopes: What it is good for.
        client_id: Whom it was issued to.
        expires_at: Unix seconds, or None where the server did not say.
        context: The launch context it was issued for.
        issuer: Who vouches for the user, if an ID token was issued.
        subject: The user at that issuer.
        fhir_user: The user's FHIR resource as the server wrote it.
        findings: What was odd about the answer.
        raw: Every member of the answer.

    Spec: SMART App Launch 2.2, token introspection.
    """

    active: bool
    scopes: Scopes = field(default_factory=Scopes)
    client_id: str | None = None
    expires_at: float | None = None
    context: LaunchContext = field(default_factory=LaunchContext)
    issuer: str | None = None
    subject: str | None = field(default=None, repr=False)
    fhir_user: str | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = ()
    raw: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)


def introspection_request(
    endpoint: str, token: Secret, authentication: Authentication, *, limits: Limits | None = None
) -> Request:
    """
    Build an introspection request.

    Args:
        endpoint: The introspection endpoint.
        token: The token to ask about.
        authentication: What authorizes the asking.
        limits: The client's limits.
    """
    return Request(
        method="POST",
        url=endpoint,
        purpose="introspection",
        headers=Headers((("Accept", "application/json"), ("Content-Type", FORM), *authentication.headers)),
        body=form_body((("token", token.reveal()), *authentication.fields)),
        max_bytes=(limits or Limits()).document_bytes,
    )


def parse_introspection(
    response: Response, *, limits: Limits | None = None, sent: Iterable[Secret] = ()
) -> TokenStatus:
    """
    Read the answer to an introspection request.

    Args:
        response: The answer.
        limits: The client's limits.
        sent: The secrets in the request, to be struck out of what the server says about them.

    Returns:
        The status. That a token is not active is an answer, not an error.

    Raises:
        OAuthError: If the server refused to answer.
        ProtocolError: If the answer cannot be read.

    Spec: RFC 7662, section 2.2.
    """
    refuse_redirect(response, "introspection endpoint")
    if response.status >= 400:
        raise parse_oauth_error(response, "introspection", sent=sent)
    document = parse_object(response, ProtocolError, "introspection response", limits=limits)
    active = document.get("active")
    if not isinstance(active, bool):
        raise ProtocolError(
            "The introspection response does not say whether the token is active.",
            endpoint=response.url,
            status=response.status,
            advice="Check that the introspection endpoint is one.",
        )
    return _active(document, response) if active else TokenStatus(active=False, raw=document)


def _active(document: JSONObject, response: Response) -> TokenStatus:
    context, findings = parse_launch_context(document)
    client_id, expires_at = _string(document, "client_id"), _number(document, "exp")
    scope = _string(document, "scope") or as_list(document.get("scope"))
    missing = [
        Finding(rule="IN-03", severity="warning", message=f"The introspection response lacks {name}.")
        for name, value in (("scope", scope), ("client_id", client_id), ("exp", expires_at))
        if value is None
    ]
    return TokenStatus(
        active=True,
        scopes=_scopes(document, response),
        client_id=client_id,
        expires_at=expires_at,
        context=context,
        issuer=_string(document, "iss"),
        subject=_string(document, "sub"),
        fhir_user=_string(document, "fhirUser"),
        findings=(*missing, *findings),
        raw=document,
    )


def _scopes(document: JSONObject, response: Response) -> Scopes:
    value = document.get("scope")
    text = " ".join(str(item) for item in as_list(value) or ()) or _string(document, "scope") or ""
    try:
        return Scopes.parse(text)
    except ConfigurationError:
        raise ProtocolError(
            "The introspection response holds a scope that cannot be one.",
            endpoint=response.url,
            status=response.status,
            advice="Report this to the server's operator.",
        ) from None


def _string(document: JSONObject, name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and value else None


def _number(document: JSONObject, name: str) -> float | None:
    value = document.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def introspect(state: ClientState, token: Token) -> Flow[TokenStatus]:
    """
    Ask the server what *token* is still good for.

    How the asking is authorized is the configuration's `introspection_auth`: as the client, with the token
    itself as bearer, or not at all.

    Args:
        state: The client.
        token: The token to ask about.

    Raises:
        ConfigurationError: If the server offers no introspection, or *token* belongs to another client.
        EndpointChangedError: If discovery now names another server; nothing was sent.
        OAuthError: If the server refused to answer.
    """
    config = state.config
    check_token(token, config)
    metadata = yield from discover(state)
    check_binding(token.binding, metadata, config, what="token")
    endpoint = metadata.introspection_endpoint
    if endpoint is None:
        raise ConfigurationError(
            "The server names no introspection_endpoint.",
            endpoint=metadata.fhir_base,
            advice="Some servers have one that they do not list: set introspection_endpoint.",
        )
    response = yield from repeated(state, lambda: _ask(state, metadata, endpoint, token), HARMLESS)
    status = parse_introspection(
        response, limits=state.limits, sent=sent_secrets(state.config, token.access_token)
    )
    return replace(status, findings=(*status.findings, *_differences(status, token)))


def _ask(state: ClientState, metadata: SmartMetadata, endpoint: str, token: Token) -> Flow[Response]:
    authentication = yield from authenticate_at(
        state,
        metadata,
        endpoint,
        method=state.config.introspection_auth,
        bearer=token.access_token,
    )
    request = introspection_request(endpoint, token.access_token, authentication, limits=state.limits)
    return (yield from send(request))


def _differences(status: TokenStatus, token: Token) -> Iterable[Finding]:
    if not status.active:
        return
    context, identity = token.context, token.identity
    pairs = [
        # What the token response itself did not say, its introspection need not mirror.
        (name, getattr(context, name) if name in token.raw else None, getattr(status.context, name))
        for name in ("patient", "encounter")
    ]
    if identity is not None:
        pairs += [("iss", identity.issuer, status.issuer), ("sub", identity.subject, status.subject)]
    for name, expected, found in pairs:
        if expected is not None and found != expected:
            problem = "lacks" if found is None else "differs in"
            yield Finding(
                rule="IN-04",
                severity="warning",
                message=f"The introspection response {problem} {name}, against the token response.",
                advice="Tell the server's operator.",
            )
