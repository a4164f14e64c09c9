"""
Refreshing under the lease: the one place where a stored refresh token leaves the process.

Spec: RFC 6749, sections 6 and 10.4; RFC 9700, section 4.14 (rotation and reuse).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import cast

from smart_async.errors import (
    ContextChangedError,
    EndpointChangedError,
    OAuthError,
    OutcomeUnknownError,
    ProtocolError,
    SmartError,
    StoreError,
    TransportError,
)
from smart_async.flow import Flow, now
from smart_async.limits import REFRESH_GRACE
from smart_async.messages import Secret
from smart_async.smart.binding import check_binding
from smart_async.smart.discovery import discover
from smart_async.smart.entropy import new_token
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.refresh import exchange_refresh_token, refreshed_identity
from smart_async.smart.sessions.endings import ended, refused, restless
from smart_async.smart.sessions.place import Place, persist, persist_or_keep, reread
from smart_async.smart.sessions.record import Intent, Record, fingerprint
from smart_async.smart.sessions.state import SessionState, renewed_record
from smart_async.smart.token_response import refuse_change
from smart_async.smart.tokens import Token

__all__ = ("insist", "refresh_once")

_INSISTENCE = 3


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
    client = session.client
    for _ in range(_INSISTENCE):
        token = record.token
        if token is None or record.ended is not None:
            raise ended(session, record)
        metadata = yield from discover(client)
        check_binding(token.binding, metadata, client.config, what="token")
        if record.candidate is None:
            if token.refresh_token is None:
                raise ended(session, record)
            record = yield from _with_intent(session, place, record, token.refresh_token, after_unknown)
            return (yield from _sent(session, place, metadata, record, token, token.refresh_token))
        found = yield from _examined(session, metadata, record.candidate, token)
        found = (yield from insist(session, place, renewed_record(record, found), token)) or found
        instant = yield from now()
        if session.fresh(found, instant.wall):
            return found
        # It lay there for too long, or is the one that the FHIR server refused: it gets the next one.
        record = yield from reread(place)
    raise restless()  # a store that shows the candidate whatever is stored


def _with_intent(
    session: SessionState, place: Place, record: Record, refresh_token: Secret, after_unknown: bool
) -> Flow[Record]:
    client, instant = session.client, (yield from now())
    mark = fingerprint(refresh_token)
    before = record.intent if record.intent is not None and record.intent.fingerprint == mark else None
    if before is not None and before.id == session.unsent:
        before = None
    if before is not None and not after_unknown and not _forgiven(session, before, instant.wall):
        raise OutcomeUnknownError(
            "The refresh token was sent before, and nobody knows what became of it.",
            endpoint=record.id.binding.token_endpoint,
            advice=(
                "It is kept, and was not sent again: a server may end the login when it sees one twice. "
                "Sign in again, or risk it with session.renew(after_unknown=True)."
            ),
        )
    if before is None:
        intent = Intent(id=new_token(client.entropy), started_at=instant.wall, fingerprint=mark)
        session.unsent = intent.id  # a store that fails now may have stored it all the same
    else:
        intent = replace(before, attempts=before.attempts + 1)
    record = replace(record, intent=intent)
    if not (yield from persist(place, record)):
        raise StoreError(
            "The session was changed by somebody else at the same moment; nothing was sent.",
            advice="Ask for the token again.",
        )
    session.unsent = None
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
) -> Flow[Token]:
    """Send the refresh token, and return the token that came once it is stored."""
    try:
        candidate = yield from exchange_refresh_token(session.client, metadata, token, refresh_token, None)
    except OutcomeUnknownError:
        again = yield from _graceful(session, place, record)
        if again is None:
            raise
        return (yield from _sent(session, place, metadata, again, token, refresh_token))
    except ContextChangedError as exc:
        candidate = cast("Token", exc.token)
    except OAuthError as exc:
        if exc.error != "invalid_grant":
            yield from _settled(session, place, record, exc)
            raise
        taken = yield from _dropped(session, place, record, token, exc)
        if taken is None:
            raise refused(exc) from exc
        return taken
    except SmartError as exc:
        yield from _settled(session, place, record, exc)
        raise
    return (yield from _promoted(session, place, metadata, record, token, candidate))


def _graceful(session: SessionState, place: Place, record: Record) -> Flow[Record | None]:
    """Return the record with a second attempt noted in it, where the one grace try is allowed, else None."""
    instant = yield from now()
    intent = record.intent
    # The waits between two attempts count: what is not immediate comes too late.
    if intent is None or not _forgiven(session, intent, instant.wall) or intent.attempts > 1:
        return None
    again = replace(record, intent=replace(intent, attempts=intent.attempts + 1))
    stored = False
    with suppress(StoreError):  # unnoted, it is not sent; and that its outcome is unknown says more
        stored = yield from persist(place, again)
    return again if stored else None


def _settled(session: SessionState, place: Place, record: Record, error: SmartError) -> Flow[None]:
    """Take the intent back where the refresh token is certainly not spent, by this attempt or one before."""
    intent = record.intent
    if intent is None or intent.attempts > 1 or not _unspent(error):
        return
    session.unsent = intent.id
    # The error that led here says more.
    with suppress(StoreError):
        _ = yield from persist(place, replace(record, intent=None))


def _unspent(error: SmartError) -> bool:
    if isinstance(error, TransportError):
        return error.sent is False
    if isinstance(error, OAuthError):
        # A refusal spends nothing, nor does a server that asks to come back later; behind any other 5xx
        # anything may have happened.
        come_back = error.status == 503 and error.retry_after is not None
        return error.status is not None and (error.status < 500 or come_back)
    # A 200 that cannot be used has spent it; what was wrong before sending has not.
    return isinstance(error, EndpointChangedError) or not isinstance(error, ProtocolError)


def _dropped(
    session: SessionState, place: Place, record: Record, token: Token, error: OAuthError
) -> Flow[Token | None]:
    """Note that the session has ended, or return the token that somebody else got meanwhile."""
    without = replace(token, refresh_token=None)
    last = replace(record, token=without, intent=None, ended=error.error)
    with suppress(StoreError):  # it is kept, and that the session has ended says more
        return (yield from insist(session, place, last, token))
    return None


def _promoted(
    session: SessionState,
    place: Place,
    metadata: SmartMetadata,
    record: Record,
    previous: Token,
    candidate: Token,
) -> Flow[Token]:
    """Put the candidate in the token's place, once it is stored and found to be for the same user."""
    if _needs_looking_at(previous, candidate):
        # It may take a while, or be refused; the refresh token that came with it is the only good one.
        record = replace(record, candidate=candidate, intent=None)
        taken = yield from insist(session, place, record, previous)
        if taken is not None:
            return taken
    token = yield from _examined(session, metadata, candidate, previous)
    taken = yield from insist(session, place, renewed_record(record, token), previous)
    return taken or token


def _examined(
    session: SessionState, metadata: SmartMetadata, candidate: Token, previous: Token
) -> Flow[Token]:
    refuse_change(previous, candidate)
    return (yield from refreshed_identity(session.client, metadata, candidate, previous))


def _needs_looking_at(previous: Token, candidate: Token) -> bool:
    try:
        refuse_change(previous, candidate)
    except ContextChangedError:
        return True
    return isinstance(candidate.raw.get("id_token"), Secret)


def insist(session: SessionState, place: Place, record: Record, previous: Token) -> Flow[Token | None]:
    """
    Store *record*, also over what somebody wrote there meanwhile, if that was no other token.

    Whoever lost the lease while it was busy may hold the only good refresh token; and whoever deleted or
    replaced the session meant it.

    Args:
        session: The session; it keeps the record until one of the two is stored.
        place: Where.
        record: What.
        previous: The token that it replaces.

    Returns:
        The other token that is stored there, or None if *record* is.

    Raises:
        SessionEndedError: If the session was deleted.
        StoreError: If the store cannot be reached, or others write there all the time.
    """
    for _ in range(_INSISTENCE):
        if (yield from persist_or_keep(session, place, record, previous)):
            return None
        there = yield from reread(place)
        if there.token is None:
            session.unsaved = None
            raise ended(session, there)
        if there.token.access_token != previous.access_token and not session.has_replaced(there.token):
            session.unsaved = None
            return there.token
    raise restless()
