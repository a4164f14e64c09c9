"""
What a login ends with: the user's verified identity, and the patient where the server hides it elsewhere.

Spec: SMART App Launch 2.2, scopes-and-launch-context; OpenID Connect Core 1.0, sections 3.1.3 and 12.2.
"""

from __future__ import annotations

from dataclasses import replace

from smart_async.errors import ContextChangedError, IdTokenError, ProtocolError, TransportError
from smart_async.flow import Flow
from smart_async.keys.base64url import b64url_decode
from smart_async.limits import ID_TOKEN_AGE
from smart_async.messages import Finding, Secret, as_object, strict_loads
from smart_async.smart.id_token import identify
from smart_async.smart.identity import Identity
from smart_async.smart.launch import parse_launch_context
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = ("patient_elsewhere", "with_identity")

_CLAIM = "access_token_claim:"


def with_identity(
    state: ClientState,
    metadata: SmartMetadata,
    token: Token,
    *,
    nonce: Secret | None,
    openid: bool,
    previous: Token | None = None,
) -> Flow[Token]:
    """
    Return *token* with the identity that its ID token proves.

    Args:
        state: The client.
        metadata: The server.
        token: The token as it was received.
        nonce: What the ID token must repeat; None after a refresh.
        openid: Whether `openid` was asked for.
        previous: The token that was refreshed.

    Raises:
        IdTokenError: If the ID token cannot be trusted, or its keys cannot be fetched, and the configuration
            says that this matters. The token without its identity is on the error: the code or refresh
            token that it was paid with is spent.
        ContextChangedError: If a refresh speaks of another user.
    """
    id_token = token.raw.get("id_token")
    if openid and state.config.id_token != "off":
        if isinstance(id_token, Secret):
            token = yield from _identified(state, metadata, token, id_token, nonce, previous)
        else:
            token = _without_id_token(token, previous)
    return patient_elsewhere(token, state.config.patient_from)


def _identified(
    state: ClientState,
    metadata: SmartMetadata,
    token: Token,
    id_token: Secret,
    nonce: Secret | None,
    previous: Token | None,
) -> Flow[Token]:
    before = previous.identity if previous is not None else None
    try:
        identity, findings = yield from identify(
            state,
            metadata,
            id_token,
            nonce=nonce,
            access_token=token.access_token,
            max_age=ID_TOKEN_AGE if previous is None else None,
            # A process can die, and another find the token hours later.
            received_at=None if previous is None else token.issued_at,
        )
        _check_nonce_again(identity, before, metadata)
    except (IdTokenError, TransportError) as exc:
        if state.config.id_token == "warn":
            return _noted(token, "ID-01", f"The ID token was not verified: {exc.message}")
        if isinstance(exc, TransportError):
            raise _unproven(exc, token) from exc
        exc.token = token
        raise
    token = replace(token, identity=identity, findings=(*token.findings, *findings))
    if before is not None and (identity.issuer, identity.subject) != (before.issuer, before.subject):
        raise ContextChangedError(
            "The refreshed token is for another user than the one it replaces.",
            endpoint=metadata.token_endpoint,
            advice="Do not merge the two. The new token is .token on this error: adopt it, or drop it.",
            token=token,
        )
    if identity.fhir_user is None and not findings and "fhirUser" in token.scopes:
        return _noted(
            token, "ID-11", "fhirUser was granted, and the ID token names none.", "Ask the server's operator."
        )
    return token


def _check_nonce_again(identity: Identity, before: Identity | None, metadata: SmartMetadata) -> None:
    # A refreshed ID token need not repeat the nonce of its login, but must not have another one.
    nonce = identity.claims.get("nonce")
    if before is not None and nonce is not None and nonce != before.claims.get("nonce"):
        refusal = IdTokenError(
            "The ID token cannot be trusted: its nonce is from another login.",
            endpoint=metadata.token_endpoint,
            advice="Do not sign the user in. Start a new login.",
        )
        refusal.reason = "nonce"
        raise refusal


def _unproven(error: TransportError, token: Token) -> IdTokenError:
    # A transport error may say that repeating is safe; repeating the token request never is.
    failure = IdTokenError(
        f"The keys that prove the ID token could not be fetched: {error.message}",
        endpoint=error.endpoint,
        status=error.status,
        advice="The token came, and is .token on this error, without an identity. Sign in again later.",
    )
    failure.token = token
    return failure


def _without_id_token(token: Token, previous: Token | None) -> Token:
    if previous is not None:
        return replace(token, identity=previous.identity)
    return _noted(token, "ID-11", "openid was asked for, and the server sent no ID token.")


def _noted(token: Token, rule: str, message: str, advice: str = "Nobody vouches for the user.") -> Token:
    finding = Finding(rule=rule, severity="warning", message=message, advice=advice)
    return replace(token, findings=(*token.findings, finding))


def patient_elsewhere(token: Token, sources: tuple[str, ...]) -> Token:
    """
    Return *token* with the patient that the token response left out.

    Args:
        token: The token.
        sources: Where to look, in order: `fhirUser`, `access_token_claim:NAME`. What the token response
            itself says always comes first.
    """
    if token.context.patient is not None:
        return token
    for source in sources:
        if source == "fhirUser":
            patient = _from_user(token)
        elif source.startswith(_CLAIM):
            patient = _from_claim(token, source.removeprefix(_CLAIM))
        else:
            continue  # "token": the response itself, which has been looked at
        if patient is not None:
            finding = Finding(
                rule="CTX-01",
                severity="info",
                message=f"The token response names no patient; it was found by {source}.",
            )
            context = replace(token.context, patient=patient)
            return replace(token, context=context, findings=(*token.findings, finding))
    return token


def _from_user(token: Token) -> str | None:
    user = token.identity.fhir_user if token.identity else None
    return user.id if user is not None and user.type == "Patient" and user.local else None


def _from_claim(token: Token, name: str) -> str | None:
    # Read without verifying: the token came straight from the token endpoint, and an id opens nothing.
    segments = token.access_token.reveal().split(".")
    if len(segments) != 3:
        return None
    try:
        claims = as_object(strict_loads(b64url_decode(segments[1]))) or {}
    except ProtocolError:
        return None
    context, _ = parse_launch_context({"patient": claims.get(name)})
    return context.patient
