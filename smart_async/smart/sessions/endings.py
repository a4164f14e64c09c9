"""With which errors a session ends, or cannot go on for now: what happened, and what to do about it."""

from __future__ import annotations

from smart_async.errors import (
    DiscoveryError,
    IdTokenError,
    OAuthError,
    SessionEndedError,
    SmartError,
    StoreError,
    TransportError,
)
from smart_async.smart.sessions.record import Record
from smart_async.smart.sessions.state import SessionState

__all__ = ("ended", "is_outage", "refused", "restless")

_SIGN_IN = "Sign the user in again, and give the new token to session.replace()."


def ended(session: SessionState, record: Record) -> SessionEndedError:
    """
    Return the error for a session that gets no further token.

    Args:
        session: The session.
        record: What is stored of it.
    """
    if record.token is None:
        reason = "The session is not stored any more."
    elif record.ended is not None:
        reason = f"The server ended this session: {record.ended}."
    else:
        reason = "The token has expired or was refused, and there is no refresh token to get another."
    return SessionEndedError(
        reason,
        endpoint=session.client.config.fhir_base,
        advice=f"{_SIGN_IN} To stay signed in for longer, ask for the scope offline_access.",
        error=record.ended,
    )


def is_outage(error: SmartError) -> bool:
    """
    Return whether *error* will pass, and is no verdict on the session.

    Args:
        error: Why there is no new token.
    """
    if isinstance(error, SessionEndedError):
        return False
    if isinstance(error, IdTokenError) and isinstance(error.__cause__, TransportError):
        return True  # the token waits in the store until the server's keys can be fetched
    if isinstance(error, OAuthError | DiscoveryError | IdTokenError):
        return error.status is not None and (error.status >= 500 or error.status == 429)
    return isinstance(error, TransportError | StoreError)


def refused(error: OAuthError) -> SessionEndedError:
    """
    Return the error for a session whose refresh token the server refused, with all that it said.

    Args:
        error: The server's refusal.
    """
    return SessionEndedError(
        error.message,
        endpoint=error.endpoint,
        advice=_SIGN_IN,
        error=error.error,
        error_description=error.error_description,
        error_uri=error.error_uri,
        status=error.status,
        received=error.received,
        retry_after=error.retry_after,
        correlation_id=error.correlation_id,
    )


def restless() -> StoreError:
    """Return the error for a record that is another one whenever it is looked at."""
    return StoreError(
        "The session was changed by somebody else again and again while its token was renewed.",
        advice="Ask for the token again, and find out who else writes there.",
    )
