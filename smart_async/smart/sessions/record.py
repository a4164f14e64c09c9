"""
What a session keeps in the store: its token, and what it was in the middle of.

A process can die between any two lines, and another then finds the record. So it says not only which token is
good, but also that a refresh token is on its way to the server (the intent), and which token has come that
nobody has looked at yet (the candidate).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Literal, TypeAlias

from smart_async._values import dataclass
from smart_async.errors import StoreError
from smart_async.messages import JSON, JSONObject, Secret, as_object, same_base
from smart_async.smart.binding import Binding
from smart_async.smart.scopes import Scopes
from smart_async.smart.stored import read_stored
from smart_async.smart.tokens import Token

__all__ = ("Intent", "Kind", "Record", "SessionId", "fingerprint", "read_record")

Kind: TypeAlias = Literal["user", "backend"]
"""Whether somebody signed in, or the client acts for itself."""

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionId:
    """
    Everything that makes two tokens two: whoever shares all of it shares the token.

    Args:
        kind: Whose token it is.
        binding: Which registration at which server.
        subject: The lineage of the login; empty for a backend session.
        scope: The scopes, each once and sorted.
        resource: The resource that the token is bound to, where it is not the FHIR base.
    """

    kind: Kind
    binding: Binding
    subject: str
    scope: tuple[str, ...]
    resource: str = ""

    @classmethod
    def of_login(cls, token: Token) -> SessionId:
        """Return the id of the session that *token* belongs to."""
        return cls(
            kind="user",
            binding=token.binding,
            subject=token.lineage,
            scope=_sorted(token.launch_scopes),
        )

    @classmethod
    def of_backend(cls, binding: Binding, scope: Scopes) -> SessionId:
        """Return the id of the client's own session for *scope*."""
        return cls(kind="backend", binding=binding, subject="", scope=_sorted(scope))

    @property
    def key(self) -> str:
        """
        The store's key: a hash, each part with its length before it.

        Without the lengths, ("ab", "c") and ("a", "bc") would be one key, and one user's token another's.
        """
        binding = self.binding
        parts = (
            str(_VERSION),
            self.kind,
            binding.issuer or "",
            binding.token_endpoint,
            binding.client_id,
            binding.fhir_base,
            self.subject,
            " ".join(self.scope),
            self.resource,
        )
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """
    A refresh token is about to be sent, or has been, and nobody knows yet what became of it.

    Args:
        id: Random, so that a worker knows its own.
        started_at: Unix seconds of the first attempt.
        fingerprint: Which refresh token.
        attempts: How often it was sent.
    """

    id: str
    started_at: float
    fingerprint: str
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    The stored state of one session.

    Args:
        id: Whose it is.
        token: The token that is in use; None before the first one.
        intent: The refresh whose outcome is unknown, or None.
        candidate: The token that replaces `token` once it is found to be for the same user and patient.
        ended: Why there will be no further tokens: OAuth's error code; None while there may be.
    """

    id: SessionId
    token: Token | None = None
    intent: Intent | None = None
    candidate: Token | None = None
    ended: str | None = None

    @property
    def newest(self) -> float:
        """The Unix seconds at which the latest of its tokens was received."""
        return max((token.issued_at for token in (self.token, self.candidate) if token), default=0.0)

    def to_json(self) -> bytes:
        """Return everything as JSON, tokens in plain text, as a store keeps it."""
        document = {
            "version": _VERSION,
            "type": "session",
            "kind": self.id.kind,
            **self.id.binding.to_members(),
            "subject": self.id.subject,
            "scope": list(self.id.scope),
            "resource": self.id.resource,
            "token": _token_member(self.token),
            "candidate": _token_member(self.candidate),
            "ended": self.ended,
            "intent": None
            if self.intent is None
            else {
                "id": self.intent.id,
                "started_at": self.intent.started_at,
                "fingerprint": self.intent.fingerprint,
                "attempts": self.intent.attempts,
            },
        }
        return json.dumps(document).encode()


def fingerprint(secret: Secret) -> str:
    """
    Return what tells one refresh token from another without being it.

    Args:
        secret: The refresh token.
    """
    return hashlib.sha256(b"smart-async intent\0" + secret.reveal().encode()).hexdigest()


def read_record(data: bytes, key: str) -> Record:
    """
    Read what `to_json` returned.

    Args:
        data: The stored bytes.
        key: The key that they were stored under.

    Raises:
        StoreError: If they are something else, or belong under another key.
    """
    record = read_stored(data, kind="session", version=_VERSION, read=_from_members)
    del data  # error reporters show the variables of every frame
    if record is None:
        raise StoreError(
            "What the store holds for this session was not written by this version of smart-async.",
            advice="The session is lost: delete it and sign in again, and find out who wrote there.",
        )
    if record.id.key != key:
        raise StoreError(
            "What the store holds for this session belongs to another one.",
            advice="Nothing of it was used. Find out who copied it there: one user's token is another's now.",
        )
    return record


def _sorted(scope: Scopes) -> tuple[str, ...]:
    return tuple(sorted({str(one) for one in scope}))


def _token_member(token: Token | None) -> JSON:
    return None if token is None else json.loads(token.to_json())


def _from_members(members: JSONObject) -> Record:
    identity = SessionId(
        kind=_kind(members["kind"]),
        binding=Binding.from_members(members),
        subject=_text(members["subject"]),
        scope=tuple(_texts(members["scope"])),
        resource=_text(members["resource"]),
    )
    return Record(
        id=identity,
        token=_token(members["token"], identity),
        candidate=_token(members["candidate"], identity),
        intent=_intent(members["intent"]),
        ended=None if members["ended"] is None else _text(members["ended"]),
    )


def _token(value: JSON, identity: SessionId) -> Token | None:
    if value is None:
        return None
    token = Token.from_json(json.dumps(value))
    here, there = token.binding, identity.binding
    if here.client_id != there.client_id or not same_base(here.fhir_base, there.fhir_base):
        raise ValueError("a session holds tokens of its own registration")
    return token


def _intent(value: JSON) -> Intent | None:
    if value is None:
        return None
    members = as_object(value) or {}
    started_at, attempts = members["started_at"], members["attempts"]
    if type(attempts) is not int or isinstance(started_at, bool) or not isinstance(started_at, int | float):
        raise TypeError("an intent holds numbers")
    if attempts < 1:
        raise ValueError("an intent is an attempt")
    return Intent(
        id=_text(members["id"]),
        started_at=float(started_at),
        fingerprint=_text(members["fingerprint"]),
        attempts=attempts,
    )


def _kind(value: JSON) -> Kind:
    if value == "user":
        return "user"
    if value == "backend":
        return "backend"
    raise ValueError("a session is of one of two kinds")


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is stored here")
    return value


def _texts(values: JSON) -> Iterable[str]:
    return map(_text, values)
