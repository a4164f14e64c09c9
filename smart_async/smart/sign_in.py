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
from smart_async.smart.launch import is_fhir_id
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
        IdTokenError: If the ID token cannot be trusted, and the configuration says that this matters.
        ContextChangedError: If a refresh speaks of another user.
        TransportError: If the server's keys cannot be fetched.
    """
    id_token = token.raw.get("id_token")
    if not openid or state.config.id_token == "off":
        return patient_elsewhere(token, state.config.patient_from)
    if not isinstance(id_token, Secret):
        return patient_elsewhere(_without_id_token(token, previous), state.config.patient_from)
    try:
        identity, findings = yield from identify(
            state,
            metadata,
            id_token,
            nonce=nonce,
            access_token=token.access_token,
            max_age=ID_TOKEN_AGE if previous is None else None,
        )
    except (IdTokenError, TransportError) as exc:
        if state.config.id_token == "verify":
            if isinstance(exc, IdTokenError):
                exc.token = token  # a rotated refresh token may be on it, and nowhere else
            raise
        return _noted(token, "ID-01", f"The ID token was not verified: {exc.message}")
    if (
        previous is not None
        and previous.identity is not None
        and identity.subject != previous.identity.subject
    ):
        raise ContextChangedError(
            "The refreshed token is for another user than the one it replaces.",
            endpoint=metadata.token_endpoint,
            advice="Do not merge the two. The new token is .token on this error: adopt it, or drop it.",
            token=token,
        )
    token = replace(token, identity=identity, findings=(*token.findings, *findings))
    return patient_elsewhere(token, state.config.patient_from)


def _without_id_token(token: Token, previous: Token | None) -> Token:
    if previous is not None:
        return replace(token, identity=previous.identity)
    return _noted(token, "ID-11", "openid was asked for, and the server sent no ID token.")


def _noted(token: Token, rule: str, message: str) -> Token:
    finding = Finding(rule=rule, severity="warning", message=message, advice="Nobody vouches for the user.")
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
        patient = (
            _from_user(token) if source == "fhirUser" else _from_claim(token, source.removeprefix(_CLAIM))
        )
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
    value = claims.get(name)
    return value if is_fhir_id(value) else None
