"""
A session's next token: fetched once, stored before it is used, and never asked for twice by accident.

The order is the point. Re-read the store, for another worker may have been quicker. Note the intent. Send.
Validate. Persist. Only then publish. Whoever dies on the way leaves a record that says how far it got: a
refresh token that may be spent is not sent again behind anybody's back.

Spec: SMART App Launch 2.2, app launch (refresh access token); RFC 6749, sections 6 and 10.4; RFC 9700,
section 4.14.
"""

from __future__ import annotations

from smart_async.errors import (
    OAuthError,
    ProtocolError,
    SessionEndedError,
    SmartError,
    TransportError,
)
from smart_async.flow import Flow, delete, emit, exclusive, load, now
from smart_async.messages import Event, EventName
from smart_async.smart.arguments import check_argument
from smart_async.smart.backend import backend_scopes, backend_token
from smart_async.smart.binding import Binding, check_registration
from smart_async.smart.discovery import discover
from smart_async.smart.scopes import Scopes
from smart_async.smart.sessions.adopting import adopted, crowded, fresh, latest
from smart_async.smart.sessions.endings import is_outage
from smart_async.smart.sessions.place import Place, overwrite, reread
from smart_async.smart.sessions.record import Record, SessionId, read_record
from smart_async.smart.sessions.refreshing import insist, refresh_once
from smart_async.smart.sessions.state import SessionState, Unsaved, renewed_record
from smart_async.smart.state import ClientState
from smart_async.smart.tokens import Token

__all__ = (
    "backend_session",
    "current_token",
    "delete_session",
    "load_session",
    "renew",
    "replace_token",
    "user_session",
)

_POSTPONED = 5.0
"""Seconds for which a token that still works is given out after its renewal failed."""


def user_session(client: ClientState, token: Token) -> SessionState:
    """
    Return a new session for a login.

    Args:
        client: The client that signed the user in.
        token: The token of the login, or one that it was refreshed to.

    Raises:
        ConfigurationError: If *token* is none, or belongs to another registration.
    """
    check_argument(token, Token, "token", "Read stored JSON with Token.from_json first.")
    check_registration(token.binding, client.config, what="token")
    return SessionState(client=client, kind="user", id=SessionId.of_login(token), login=token)


def backend_session(client: ClientState, scope: str | Scopes) -> SessionState:
    """
    Return a new session for the client itself.

    Args:
        client: The client.
        scope: The scopes to ask for.

    Raises:
        ConfigurationError: If *scope* is none, or the client cannot prove who it is.
    """
    return SessionState(client=client, kind="backend", scope=backend_scopes(client.config, scope))


def current_token(session: SessionState) -> Flow[Token]:
    """
    Return a token that works: the one at hand, the store's, or a new one.

    If there is none to be had, yet the old one has not expired, the old one is returned: a server that is
    down for a minute need not stop anybody whose token is good for that minute.

    Args:
        session: The session.

    Raises:
        SessionEndedError: If the user has to sign in again.
        OutcomeUnknownError: If the refresh token was sent and no answer came, now or before.
        OAuthError: If the server refused.
        TransportError: If it cannot be reached.
        StoreError: If the store cannot be.
        ContextChangedError: If the new token is for another patient or user; it is kept, and not used until
            `replace_token` accepts it.
        IdTokenError: If its ID token cannot be trusted; likewise.
    """
    instant = yield from now()
    if (token := session.ready(instant.wall)) is not None:
        return token
    failure, epoch = session.failure, session.epoch
    if failure is not None and instant.monotonic < failure[1]:
        # Without the traceback of those before, which would grow with each.
        raise failure[0].with_traceback(None)
    try:
        return (yield from _next_token(session))
    except SmartError as exc:
        instant = yield from now()
        session.failed(exc, instant.monotonic, epoch)
        if (token := session.usable(instant.wall)) is None or not is_outage(exc):
            raise
        session.postpone(token, _POSTPONED, instant.wall)
        return token


def renew(session: SessionState, *, after_unknown: bool = False) -> Flow[Token]:
    """
    Return a new token, whether or not the old one still works.

    Args:
        session: The session.
        after_unknown: Whether to send a refresh token again that may be spent. If it is, the server refuses,
            and may end every session of that login; what it would have to lose by then is up to you.

    Raises:
        SmartError: As `current_token`, and also where the old token still works.
    """
    session.failure = None
    token = session.token
    if token is None:
        place = yield from _place(session)
        token = (yield from reread(place)).token
    return (yield from _next_token(session, besides=token, after_unknown=after_unknown))


def replace_token(session: SessionState, token: Token) -> Flow[Token]:
    """
    Go on with *token*: after a new login, or because a changed patient or user is accepted.

    Args:
        session: The session.
        token: The token; it must be of the same registration.

    Raises:
        ConfigurationError: If it is none, or belongs to another registration.
        StoreError: If it cannot be stored.
    """
    check_argument(token, Token, "token", "Read stored JSON with Token.from_json first.")
    check_registration(token.binding, session.client.config, what="token")
    place = yield from _place(session)
    return (yield from exclusive(place.key, _replaced(session, place, token), leased=True))


def delete_session(session: SessionState) -> Flow[None]:
    """
    Forget the session here and in the store. The server still knows its tokens: revoke them first.

    Args:
        session: The session.

    Raises:
        StoreError: If the store cannot be reached.
    """
    storing = session.login is not None
    if session.id is not None:
        yield from delete(session.id.key)
    session.forget()
    if storing and session.id is not None:
        yield from delete(session.id.key)  # somebody may have stored the login before it was forgotten


def load_session(client: ClientState, key: str) -> Flow[SessionState]:
    """
    Return the session that is stored under *key*.

    Args:
        client: The client whose session it is.
        key: What `session.key` was.

    Raises:
        SessionEndedError: If nothing is stored there.
        ConfigurationError: If it belongs to another registration.
        StoreError: If it is damaged.
    """
    stored = yield from load(key)
    if stored is None:
        raise _gone(client)
    record = read_record(stored.data, key)
    check_registration(record.id.binding, client.config, what="session")
    session = SessionState(client=client, kind=record.id.kind, id=record.id)
    if record.token is not None and record.candidate is None and record.ended is None:
        _ = session.publish(record.token, session.epoch)
    return session


def _next_token(
    session: SessionState, *, besides: Token | None = None, after_unknown: bool = False
) -> Flow[Token]:
    place = yield from _place(session)
    if session.unsaved is None:
        # Without the lease, for most often the token is simply there.
        token = yield from adopted(session, place, besides)
        if token is not None:
            return token
    return (
        yield from exclusive(
            place.key, _renewed(session, place, besides=besides, after_unknown=after_unknown), leased=True
        )
    )


def _place(session: SessionState) -> Flow[Place]:
    if session.id is None:
        metadata = yield from discover(session.client)
        session.id = SessionId.of_backend(Binding.of(session.client.config, metadata), session.scope)
    return Place(id=session.id, epoch=session.epoch)


def _renewed(
    session: SessionState, place: Place, *, besides: Token | None, after_unknown: bool
) -> Flow[Token]:
    """Return a new token, while nobody else is after one: all of this runs under the lease."""
    if session.unsaved is not None:
        yield from _save_at_last(session, place, session.unsaved)
    record = yield from latest(session, place)
    token = yield from fresh(session, place, record, besides)
    if token is not None:
        return token
    if session.token is None and record.token is not None and session.epoch == place.epoch:
        session.current = (record.token, 0.0)  # if all fails, it may still work for a while
    started = yield from now()
    yield from emit(_event(session, "token.refresh.start"))
    try:
        if session.kind == "backend":
            token = yield from _fetched(session, place, record)
        else:
            token = yield from refresh_once(session, place, record, after_unknown=after_unknown)
    except SmartError as exc:
        ended = yield from now()
        yield from emit(
            _event(session, "token.refresh.fail", seconds=ended.monotonic - started.monotonic, error=exc)
        )
        raise
    ended = yield from now()
    yield from emit(_event(session, "token.refresh.ok", seconds=ended.monotonic - started.monotonic))
    return session.publish(token, place.epoch)


def _fetched(session: SessionState, place: Place, record: Record) -> Flow[Token]:
    token = yield from backend_token(session.client, scope=session.scope or " ".join(record.id.scope))
    _ = yield from overwrite(place, renewed_record(record, token))
    return token


def _save_at_last(session: SessionState, place: Place, unsaved: Unsaved) -> Flow[None]:
    place.version = unsaved.expected
    _ = yield from insist(session, place, unsaved.record, unsaved.previous)


def _replaced(session: SessionState, place: Place, token: Token) -> Flow[Token]:
    record = yield from reread(place)
    if not (yield from overwrite(place, renewed_record(record, token))):
        raise crowded("Replace the token again.")
    session.forget()
    return session.publish(token, session.epoch)


def _event(
    session: SessionState, name: EventName, *, seconds: float = 0.0, error: SmartError | None = None
) -> Event:
    code = status = None
    if isinstance(error, OAuthError | TransportError | ProtocolError):
        status = error.status
    if error is not None:
        code = (error.error if isinstance(error, OAuthError) else None) or type(error).__name__
    return Event(
        name=name,
        fhir_base=session.client.config.fhir_base,
        client_id=session.client.config.client_id,
        seconds=seconds,
        status=status,
        error=code,
    )


def _gone(client: ClientState) -> SessionEndedError:
    return SessionEndedError(
        "There is no session under this key.",
        endpoint=client.config.fhir_base,
        advice="It was deleted, has run out in the store, or was never stored. Sign the user in again.",
    )
