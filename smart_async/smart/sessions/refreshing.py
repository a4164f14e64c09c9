"""
Refreshing under the lease: the one place where a stored refresh token leaves the process.

Spec: RFC 6749, sections 6 and 10.4; RFC 9700, section 4.14 (rotation and reuse).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from smart_async.errors import (
    ContextChangedError,
    OAuthError,
    OutcomeUnknownError,
    ProtocolError,
    SessionEndedError,
    SmartError,
    StoreError,
    TransportError,
)
from smart_async.flow import Flow, now
from smart_async.limits import REFRESH_GRACE
from smart_async.messages import Secret
from smart_async.smart.binding import check_binding
from smart_async.smart.discovery import discover
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.refresh import exchange_refresh_token, refreshed_identity
from smart_async.smart.sessions.place import Place, persist, persist_or_keep, read
from smart_async.smart.sessions.record import Intent, Record, fingerprint
from smart_async.smart.sessions.state import SessionState, renewed_record
from smart_async.smart.token_response import refuse_change
from smart_async.smart.tokens import Token

__all__ = ("refresh_once",)

_INSISTENCE = 3
_SIGN_IN = "Sign the user in again, and give the new token to session.replace()."


def refresh_once(
    session: SessionState, place: Place, record: Record, *, after_unknown: bool = False
) -> Flow[Token]:
    """
    Return the token that the stored refresh token gets, once it is stored.

    Args:
        session: The session; the caller holds its lease.
        place: Where it is stored.
        record: What is stored there.
        after_unknown: Whether a refresh token is sent although it may be spent.

    Raises:
        SessionEndedError: If there is no refresh token any more.
        OutcomeUnknownError: If it was sent before and nobody knows what became of it; or now.
        SmartError: As `refresh`.
    """
    client, token = session.client, record.token
    if token is None or record.ended is not None:
        raise _ended(session, record)
    metadata = yield from discover(client)
    check_binding(token.binding, metadata, client.config, what="token")
    if record.candidate is None:
        if token.refresh_token is None:
            raise _ended(session, record)
        record = yield from _with_intent(session, place, record, token.refresh_token, after_unknown)
        record = yield from _sent(session, place, metadata, record, token, token.refresh_token)
    return (yield from _promoted(session, place, metadata, record, token))


def _with_intent(
    session: SessionState, place: Place, record: Record, refresh_token: Secret, after_unknown: bool
) -> Flow[Record]:
    instant = yield from now()
    mark = fingerprint(refresh_token)
    before = record.intent if record.intent is not None and record.intent.fingerprint == mark else None
    if before is not None and not after_unknown and not _forgiven(session, before, instant.wall):
        raise OutcomeUnknownError(
            "The refresh token was sent before, and nobody knows what became of it.",
            endpoint=record.id.binding.token_endpoint,
            advice=(
                "It is kept, and was not sent again: a server may end the login when it sees one twice. "
                "Sign in again, or risk it with session.renew(after_unknown=True)."
            ),
        )
    intent = (
        Intent(started_at=instant.wall, fingerprint=mark)
        if before is None
        else replace(before, attempts=before.attempts + 1)
    )
    record = replace(record, intent=intent)
    if not (yield from persist(place, record)):
        raise StoreError(
            "The session was changed by somebody else at the same moment; nothing was sent.",
            advice="Ask for the token again.",
        )
    return record


def _forgiven(session: SessionState, intent: Intent, now: float) -> bool:
    # Where the token never rotates, nothing is lost by sending it twice.
    if not session.client.config.refresh_rotates:
        return True
    return (
        session.client.config.refresh_retry == "grace"
        and intent.attempts < 2
        and 0 <= now - intent.started_at <= REFRESH_GRACE
    )


def _sent(
    session: SessionState,
    place: Place,
    metadata: SmartMetadata,
    record: Record,
    token: Token,
    refresh_token: Secret,
) -> Flow[Record]:
    """Send the refresh token, and return the record with the token that came as its candidate."""
    client = session.client
    try:
        candidate = yield from exchange_refresh_token(client, metadata, token, refresh_token, None)
    except OutcomeUnknownError:
        again = yield from _graceful(session, place, record)
        if again is None:
            raise
        return (yield from _sent(session, place, metadata, again, token, refresh_token))
    except ContextChangedError as exc:
        if not isinstance(exc.token, Token):
            raise
        candidate = exc.token
    except OAuthError as exc:
        if exc.error != "invalid_grant":
            yield from _settled(place, record, exc)
            raise
        yield from _dropped(session, place, record, token, exc)
        raise _refused(exc) from exc
    except SmartError as exc:
        yield from _settled(place, record, exc)
        raise
    return replace(record, candidate=candidate, intent=None)


def _graceful(session: SessionState, place: Place, record: Record) -> Flow[Record | None]:
    """Return the record with a second attempt noted in it, where the one grace try is allowed, else None."""
    instant = yield from now()
    intent = record.intent
    if intent is None or not _forgiven(session, intent, instant.wall) or intent.attempts > 1:
        return None
    again = replace(record, intent=replace(intent, attempts=intent.attempts + 1))
    return again if (yield from persist(place, again)) else None


def _settled(place: Place, record: Record, error: SmartError) -> Flow[None]:
    """Take the intent back where the refresh token is certainly not spent."""
    if not _unspent(error):
        return
    # The error that led here says more, and an intent that stays makes the next attempt careful.
    with suppress(StoreError):
        _ = yield from persist(place, replace(record, intent=None))


def _unspent(error: SmartError) -> bool:
    if isinstance(error, OutcomeUnknownError):
        return False
    if isinstance(error, TransportError):
        return error.sent is False
    if isinstance(error, OAuthError):
        # A refusal spends nothing, nor does a server that asks to come back later; behind any other 5xx
        # anything may have happened.
        return error.status is not None and (error.status < 500 or error.retry_after is not None)
    # A 200 that cannot be used has spent it; what was wrong before sending has not.
    return not isinstance(error, ProtocolError)


def _dropped(
    session: SessionState, place: Place, record: Record, token: Token, error: OAuthError
) -> Flow[None]:
    without = replace(token, refresh_token=None)
    ended = replace(record, token=without, intent=None, ended=error.error)
    _ = yield from persist_or_keep(session, place, ended)


def _promoted(
    session: SessionState, place: Place, metadata: SmartMetadata, record: Record, previous: Token
) -> Flow[Token]:
    """Put the candidate in the token's place, once it is stored and found to be for the same user."""
    candidate = record.candidate
    if candidate is None:
        raise AssertionError("there is a candidate here")
    if _needs_looking_at(previous, candidate):
        # It may take a while, or be refused; the refresh token that came with it is the only good one.
        taken = yield from _insisted(session, place, record, previous)
        if taken is not None:
            return taken
        refuse_change(previous, candidate)
    token = yield from refreshed_identity(session.client, metadata, candidate, previous)
    taken = yield from _insisted(session, place, renewed_record(record, token), previous)
    return taken or token


def _needs_looking_at(previous: Token, candidate: Token) -> bool:
    try:
        refuse_change(previous, candidate)
    except ContextChangedError:
        return True
    return isinstance(candidate.raw.get("id_token"), Secret)


def _insisted(session: SessionState, place: Place, record: Record, previous: Token) -> Flow[Token | None]:
    """
    Store *record*, also over what somebody wrote there meanwhile, if that was no newer token.

    Whoever lost the lease while it was busy may hold the only good refresh token; and whoever deleted the
    session meant it.
    """
    for _ in range(_INSISTENCE):
        if (yield from persist_or_keep(session, place, record)):
            return None
        there = yield from read(place)
        if there.token is None:
            raise _ended(session, there)
        if there.candidate is None and there.token.access_token != previous.access_token:
            return there.token
    raise StoreError(
        "The session was changed by somebody else again and again while its token was renewed.",
        advice="Ask for the token again, and find out who else writes there.",
    )


def _ended(session: SessionState, record: Record) -> SessionEndedError:
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


def _refused(error: OAuthError) -> SessionEndedError:
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
