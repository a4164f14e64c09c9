"""
Clients that introduce themselves, and later change their minds.

Anybody may register here, unless the sandbox was made with an initial access token. What is registered this
way lives in the same registry as what `register_client` puts there.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from smart_async.errors import ProtocolError
from smart_async.messages import Headers, JSONObject, Response, strict_loads
from smart_async.sandbox.client_metadata import register_metadata
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.grants import GrantStore
from smart_async.sandbox.replies import NO_STORE, error_json, json_reply
from smart_async.sandbox.settings import Place, Settings
from smart_async.sandbox.shapes import is_object
from smart_async.sandbox.verdicts import Case, Received, RefusedError, invalid_request

__all__ = ("Management", "Registration", "RegistrationBook")

_SERVERS_OWN = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """What the server knows of a registration beside the client itself."""

    document: JSONObject
    token: str
    issued_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationBook:
    """
    Keeps the registrations that clients made themselves.

    Args:
        registry: The known clients.
        place: The sandbox's URLs.
        settings: The clock, and the initial access token.
        entries: The registrations by client id.
    """

    registry: Registry
    place: Place
    settings: Settings
    entries: dict[str, _Entry]

    def add(self, members: JSONObject) -> JSONObject:
        """Register a new client and return what its registrant is told."""
        client_id = f"dyn-{secrets.token_urlsafe(12)}"
        document = register_metadata(self.registry, client_id, members)
        self.entries[client_id] = _Entry(
            document=document, token=secrets.token_urlsafe(32), issued_at=int(self.settings.clock())
        )
        return self.describe(client_id)

    def change(self, client_id: str, members: JSONObject) -> JSONObject:
        """Replace what a client registered, its secret apart, and return what it is told."""
        secret = self.entries[client_id].document.get("client_secret")
        self.entries[client_id].document = register_metadata(
            self.registry, client_id, members, client_secret=secret
        )
        return self.describe(client_id)

    def remove(self, client_id: str) -> None:
        """Forget a client."""
        del self.entries[client_id]
        self.registry.remove(client_id)

    def describe(self, client_id: str) -> JSONObject:
        """
        Return the client information response.

        Spec: RFC 7591, section 3.2.1; RFC 7592, section 3.
        """
        entry = self.entries[client_id]
        expiry = {"client_secret_expires_at": 0} if "client_secret" in entry.document else {}
        return {
            "client_id": client_id,
            "client_id_issued_at": entry.issued_at,
            **entry.document,
            **expiry,
            "registration_access_token": entry.token,
            "registration_client_uri": f"{self.place.registration_endpoint}/{client_id}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """
    Takes new clients.

    Args:
        book: The registrations.

    Spec: RFC 7591, section 3.
    """

    book: RegistrationBook

    def answer(self, case: Case) -> Response:
        """
        Return the new client.

        Raises:
            RefusedError: If the request, its token or its metadata is wrong.
        """
        received = case.received
        if received.method != "POST":
            raise invalid_request("RFC 7591 §3.1", f"the request must be a POST, not {received.method}")
        required = self.book.settings.initial_access_token
        if required is not None and not _bears(received, required):
            raise _unauthorized("RFC 7591 §3", "the initial access token is missing or wrong")
        members = _document(received, "RFC 7591 §3.1")
        for name in ("client_id", "client_secret", *_SERVERS_OWN):
            if name in members:
                raise _refused("RFC 7591 §2", f"{name} is for the server to decide")
        description = self.book.add(members)
        case.client_id = description["client_id"]
        return json_reply(description, status=201, headers=NO_STORE)

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request."""
        return error_json(refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """
    Shows, changes and deletes one registration, for the bearer of its own token.

    Args:
        book: The registrations.
        grants: What was handed out; a deleted client's tokens end with it.

    Spec: RFC 7592, section 2.
    """

    book: RegistrationBook
    grants: GrantStore

    def answer(self, case: Case) -> Response:
        """
        Return the registration, or nothing once it is deleted.

        Raises:
            RefusedError: If the request, its token or its metadata is wrong.
        """
        received = case.received
        client_id = received.path.rpartition("/")[2]
        entry = self.book.entries.get(client_id)
        # Whether the client is unknown or the token is wrong, the answer is the same.
        if entry is None or not _bears(received, entry.token):
            raise _unauthorized("RFC 7592 §2", "the registration access token is missing or wrong")
        case.client_id = client_id
        if received.method == "DELETE":
            self.book.remove(client_id)
            self.grants.revoke_all(client_id)
            return Response(status=204, headers=Headers(NO_STORE))
        if received.method == "PUT":
            return json_reply(self._change(client_id, entry, received), headers=NO_STORE)
        if received.method == "GET":
            return json_reply(self.book.describe(client_id), headers=NO_STORE)
        raise RefusedError("RFC 7592 §2", f"{received.method} is not for registrations", status=405)

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request."""
        return error_json(refusal)

    def _change(self, client_id: str, entry: _Entry, received: Received) -> JSONObject:
        members = _document(received, "RFC 7592 §2.2")
        if members.pop("client_id", None) != client_id:
            raise _refused("RFC 7592 §2.2", "client_id must be the client's own")
        for name in _SERVERS_OWN:
            if name in members:
                raise _refused("RFC 7592 §2.2", f"{name} has no place in an update")
        secret = entry.document.get("client_secret")
        if members.pop("client_secret", secret) != secret:
            raise _refused("RFC 7592 §2.2", "client_secret cannot be chosen by the client")
        return self.book.change(client_id, members)


def _bears(received: Received, token: str) -> bool:
    scheme, _, text = received.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(text.strip().encode(), token.encode())


def _document(received: Received, rule: str) -> dict[str, Any]:
    media_type = received.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != "application/json":
        raise _refused(rule, f"the content type must be application/json, not '{media_type[:64]}'")
    if received.query:
        raise _refused(rule, "the metadata belongs in the body, and the URL carries a query")
    try:
        document: object = strict_loads(received.body)
    except ProtocolError as exc:
        raise _refused(rule, exc.message) from None
    if not is_object(document):
        raise _refused(rule, "the body must be a JSON object")
    return document


def _refused(rule: str, message: str) -> RefusedError:
    return RefusedError(rule, message, error="invalid_client_metadata")


def _unauthorized(rule: str, message: str) -> RefusedError:
    return RefusedError(
        rule,
        message,
        error="invalid_token",
        status=401,
        headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
    )
