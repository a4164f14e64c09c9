"""
Reading the answer to a registration: tolerant of what does no harm, strict about who the client now is.

Spec: RFC 7591, section 3.2; RFC 7592, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from smart_async.errors import ConfigurationError, ProtocolError, RegistrationChangedError
from smart_async.limits import Limits
from smart_async.messages import (
    Finding,
    JSONObject,
    Response,
    Secret,
    member_names,
    parse_object,
    parse_url,
)
from smart_async.smart.binding import Binding, origin_of
from smart_async.smart.client_metadata import ClientMetadata
from smart_async.smart.client_registration import ClientRegistration, sealed
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.redirects import refuse_redirect
from smart_async.smart.registered_metadata import merge_metadata, read_metadata
from smart_async.smart.registration_changes import GUARDED, Change, changes
from smart_async.smart.tokens import is_token

__all__ = ("check_allowed", "parse_registration", "parse_registration_answer", "refuse_status")

_CLIENT_ID = re.compile(r"[ -~]{1,512}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNOFFERED = (
    "The server offers no dynamic registration here, or not for this software. Register by hand, and put the "
    "client id that you get into the configuration."
)


def check_allowed(allow_changes: Iterable[str]) -> frozenset[str]:
    """
    Return the members whose change the caller accepts.

    Args:
        allow_changes: Their names.

    Raises:
        ConfigurationError: If one of them is not guarded against changes anyway.
    """
    names = frozenset((allow_changes,) if isinstance(allow_changes, str) else allow_changes)
    if unknown := sorted(names - set(GUARDED)):
        raise ConfigurationError(
            f"allow_changes takes {', '.join(GUARDED)}; {unknown[0]} is not among them.",
            field="allow_changes",
            advice="Changes of other members are findings and need no permission.",
        )
    return names


def parse_registration(
    response: Response,
    *,
    requested: ClientMetadata,
    binding: Binding,
    registration_endpoint: str,
    allow_changes: Iterable[str] = (),
    allow_insecure_loopback: bool = False,
    limits: Limits | None = None,
    sent: Iterable[Secret] = (),
) -> ClientRegistration:
    """
    Read the answer to a request for a new client.

    Args:
        response: The answer.
        requested: What was asked for.
        binding: Which server was asked; the client id in it does not count.
        registration_endpoint: Where it was asked.
        allow_changes: The members that the server may change although that changes who can act as the
            client; such a change is then a finding.
        allow_insecure_loopback: Whether the registration may be managed over plain http on loopback.
        limits: The client's limits.
        sent: The secrets in the request, to be struck out of what the server says about them.

    Returns:
        The registration.

    Raises:
        OAuthError: If the server refused.
        RegistrationChangedError: If it registered another client than the one asked for.
        ProtocolError: If its answer cannot be used.

    Spec: RFC 7591, section 3.2.
    """
    return parse_registration_answer(
        response,
        base=ClientRegistration(
            client_id=binding.client_id,
            metadata=requested,
            raw={},
            binding=binding,
            registration_endpoint=registration_endpoint,
        ),
        requested=requested,
        first=True,
        allow_changes=allow_changes,
        allow_insecure_loopback=allow_insecure_loopback,
        limits=limits,
        sent=sent,
    )


def parse_registration_answer(
    response: Response,
    *,
    base: ClientRegistration,
    requested: ClientMetadata | None = None,
    first: bool = False,
    allow_changes: Iterable[str] = (),
    allow_insecure_loopback: bool = False,
    limits: Limits | None = None,
    sent: Iterable[Secret] = (),
) -> ClientRegistration:
    """
    Read an answer that describes a client: after registering, reading or updating it.

    Args:
        response: The answer.
        base: The registration so far; it lends what the answer omits.
        requested: What was asked for; None if the server was only asked what it knows, and then no change
            is an error.
        first: Whether *base* is only a plan, and the client id is new.
        allow_changes: As in `parse_registration`, as is the rest.
        allow_insecure_loopback: See there.
        limits: See there.
        sent: See there.

    Raises:
        OAuthError: If the server refused.
        RegistrationChangedError: If it registered another client than the one asked for.
        ProtocolError: If its answer cannot be used, or is about another client.

    Spec: RFC 7592, section 3.
    """
    allowed = check_allowed(allow_changes) if requested else frozenset(GUARDED)
    base = replace(base, metadata=requested or base.metadata)
    refuse_status(response, (201, 200) if first else (200,), sent)
    # No frame below keeps a secret in a plain variable: error reporters show the variables of every frame.
    reader = _Reader(sealed(_document(response, limits)), response, base, allow_insecure_loopback)
    if reader.document.get("error"):
        raise parse_oauth_error(response, "registration", sent=sent)
    if first and response.status == 200:
        reader.note("registration-status", "The server answered 200 where 201 is due.")
    registration, different = reader.registration(first=first)
    return _judged(registration, different, response, allowed)


def refuse_status(response: Response, accepted: tuple[int, ...], sent: Iterable[Secret] = ()) -> None:
    """
    Raise if *response* is a redirect, an error, or a success that means nothing here.

    Args:
        response: The answer.
        accepted: The statuses that carry an answer.
        sent: The secrets in the request.

    Raises:
        OAuthError: If the server refused.
        ProtocolError: If it answered something else.
    """
    refuse_redirect(response, "registration endpoint")
    if response.status >= 400:
        error = parse_oauth_error(response, "registration", sent=sent)
        if error.error is None and response.status in (404, 405, 501):
            error.advice = _UNOFFERED
        raise error
    if response.status not in accepted:
        raise ProtocolError(
            f"The registration endpoint answered {response.status}, "
            f"where {' or '.join(map(str, accepted))} says that it is done.",
            endpoint=response.url,
            status=response.status,
            advice="Ask the server's operator whether registrations wait for somebody's approval.",
        )


def _document(response: Response, limits: Limits | None) -> JSONObject:
    if response.body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"{", b"[", b"<"):
        raise ProtocolError(
            "The registration endpoint answered with plain text and not with a JSON object.",
            endpoint=response.url,
            status=response.status,
            advice=(
                "Some test servers (bulk-data-server) have a form of their own that answers with the bare "
                "client id. Register there by hand, and put that id into the configuration."
            ),
        )
    return parse_object(response, ProtocolError, "registration answer", limits=limits)


def _judged(
    registration: ClientRegistration,
    different: Iterable[Change],
    response: Response,
    allowed: frozenset[str],
) -> ClientRegistration:
    refused = [change for change in different if change.dangerous and change.member not in allowed]
    noted = tuple(change.finding() for change in different if change not in refused)
    registration = replace(registration, findings=(*registration.findings, *noted))
    if not refused:
        return registration
    error = RegistrationChangedError(
        "The server registered another client than the one asked for: "
        + "; ".join(f"{change.member}: {change.what}" for change in refused)
        + ".",
        endpoint=response.url,
        status=response.status,
        received=member_names(registration.raw),
        advice=(
            "The client exists, and is .registration on this error. Delete it, or register again with "
            f"allow_changes={tuple(dict.fromkeys(change.member for change in refused))!r} if that is meant."
        ),
    )
    error.registration = registration
    raise error


class _Reader:
    """Reads one registration answer and notes what is odd."""

    def __init__(
        self,
        document: JSONObject,
        response: Response,
        base: ClientRegistration,
        allow_insecure_loopback: bool,
    ) -> None:
        self.document = document
        self.response = response
        self.base = base
        self.allow_insecure_loopback = allow_insecure_loopback
        self.findings: list[Finding] = []

    def note(self, rule: str, message: str, advice: str = "") -> None:
        self.findings.append(Finding(rule=rule, severity="warning", message=message, advice=advice))

    def refuse(self, message: str) -> ProtocolError:
        return ProtocolError(
            message,
            endpoint=self.response.url,
            status=self.response.status,
            received=member_names(self.document),
            advice="Report this to the server's operator; such a registration cannot be used.",
        )

    def registration(self, *, first: bool) -> tuple[ClientRegistration, list[Change]]:
        client_id = self.client_id(first=first)
        returned = self.metadata()
        different = list(changes(self.base.metadata, returned))
        secret = self.secret("client_secret") or self.base.client_secret
        registration = replace(
            self.base,
            client_id=client_id,
            client_secret=secret,
            client_secret_expires_at=self.secret_expiry(),
            client_id_issued_at=self.seconds("client_id_issued_at") or self.base.client_id_issued_at,
            registration_access_token=self.access_token(),
            registration_client_uri=self.client_uri(),
            metadata=self.merged(returned),
            raw=self.document,
            binding=replace(self.base.binding, client_id=client_id),
        )
        self.check_management(registration)
        return replace(registration, findings=tuple(self.findings)), different

    def client_id(self, *, first: bool) -> str:
        value = self.document.get("client_id")
        if not isinstance(value, str) or not _CLIENT_ID.fullmatch(value):
            raise self.refuse(
                "The registration answer holds no client_id of 1 to 512 visible ASCII characters."
            )
        if not first and value != self.base.client_id:
            raise self.refuse("The answer is about another client than the one it was asked for.")
        return value

    def secret(self, name: str) -> Secret | None:
        value: Any = self.document.get(name)
        if value is None or value == Secret(""):
            return None
        if not isinstance(value, Secret) or _CONTROL.search(value.reveal()):
            raise self.refuse(f"The {name} is not a string, or holds control characters.")
        return value

    def access_token(self) -> Secret | None:
        token = self.secret("registration_access_token")
        if token is None:
            return self.base.registration_access_token
        if not is_token(token):
            raise self.refuse("The registration_access_token is nothing that a request can carry.")
        return token

    def secret_expiry(self) -> float | None:
        if self.secret("client_secret") is None:
            return self.base.client_secret_expires_at
        if self.document.get("client_secret_expires_at") is None:
            self.note("registration-expiry", "The server does not say when the client secret ends.")
        return self.seconds("client_secret_expires_at") or None  # 0 stands for never

    def seconds(self, name: str) -> float | None:
        value = self.document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
            self.note("registration-time", f"{name} is no number of Unix seconds and is ignored.")
            return None
        return float(value)

    def client_uri(self) -> str | None:
        value = self.document.get("registration_client_uri")
        if value is None or value == "":
            return self.base.registration_client_uri
        try:
            if not isinstance(value, str):
                raise ConfigurationError("registration_client_uri must be a string.")
            url = parse_url(
                value,
                field="registration_client_uri",
                allow_query=True,
                allow_insecure_loopback=self.allow_insecure_loopback,
            )
        except ConfigurationError as exc:
            raise self.refuse(exc.message) from None
        if url.origin != origin_of(self.base.registration_endpoint):
            raise self.refuse(
                f"registration_client_uri is at {url.origin}, not where the registration was made."
            )
        return url.text

    def check_management(self, registration: ClientRegistration) -> None:
        if (registration.registration_client_uri is None) != (registration.registration_access_token is None):
            self.note(
                "registration-management",
                "Only one of registration_client_uri and registration_access_token came.",
                "The registration cannot be read, updated or deleted from here.",
            )

    def metadata(self) -> ClientMetadata:
        try:
            returned, unusable = read_metadata(self.document)
        except ConfigurationError as exc:
            raise self.refuse(f"The server registered something unusable: {exc.message}") from None
        for name in unusable:
            self.note("registration-member", f"{name} is unusable and left out.")
        return returned

    def merged(self, returned: ClientMetadata) -> ClientMetadata:
        merged, silent = merge_metadata(self.base.metadata, returned)
        if silent:
            self.note(
                "registration-silent", f"The answer does not repeat {', '.join(silent)}; taken as asked for."
            )
        return merged
