"""The authorization endpoint: checks the request, then has it decided by the user, or agrees at once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from smart_async.messages import Response, clean_text
from smart_async.sandbox.clients import Registry, SandboxClient
from smart_async.sandbox.consent import Asked, Consent
from smart_async.sandbox.forms import post_fields, strict_fields
from smart_async.sandbox.grants import GrantStore, Launch
from smart_async.sandbox.logins import LoginDesk
from smart_async.sandbox.replies import see_other
from smart_async.sandbox.scopes import data_scopes, grant_scopes, read_scope
from smart_async.sandbox.settings import Place
from smart_async.sandbox.verdicts import Case, RefusedError, invalid_request, invalid_scope

__all__ = ("Authorization",)

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_STATE_BITS = 122
_HIDDEN = ("client_secret", "client_assertion", "code_verifier", "access_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """
    Judges authorization requests and answers the good ones with a code, or with pages that ask the user.

    Args:
        registry: The known clients.
        grants: Where launches are looked up.
        place: The sandbox's URLs.
        consent: Sends the browser back to the app.
        desk: Where sign-ins wait for their user; None agrees to everything at once.
        show_error: Makes the page for a request after which nobody can be sent back.
        seen: States and challenges of earlier requests, for noticing a repeated one.

    Spec: SMART App Launch 2.2, obtain authorization code; RFC 6749, section 4.1; RFC 7636; RFC 9207.
    """

    registry: Registry
    grants: GrantStore
    place: Place
    consent: Consent
    desk: LoginDesk | None
    show_error: Callable[[RefusedError], Response]
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def answer(self, case: Case) -> Response:
        """
        Return the redirect: with a code, or to the sign-in.

        Raises:
            RefusedError: If client or redirect URI are not to be trusted, so that the user must be told
                instead of being sent anywhere.
        """
        fields, broken = _read(case)
        client = self._client(fields, case)
        redirect_uri = _redirect_uri(client, fields)
        status = 303 if case.received.method == "POST" else 302
        try:
            if broken:
                raise broken
            asked = self._checked(client, redirect_uri, fields, status, case)
        except RefusedError as exc:
            parameters = {"error": exc.error, "error_description": exc.description}
            state = fields.get("state")
            response = self.consent.send_back(redirect_uri, parameters, state, case, status=status)
            raise _RedirectedError(exc, response) from None
        if self.desk is None:
            return self.consent.allow(asked, case)
        return see_other(f"/login/{self.desk.open(asked).key}")

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request: the redirect with the error, or else a page."""
        return refusal.response if isinstance(refusal, _RedirectedError) else self.show_error(refusal)

    def _client(self, fields: dict[str, str], case: Case) -> SandboxClient:
        client = self.registry.find(fields.get("client_id", ""))
        if client is None:
            raise invalid_request("AL-06", "client_id is missing or not registered here")
        case.client_id = client.client_id
        return client

    def _checked(
        self, client: SandboxClient, redirect_uri: str, fields: dict[str, str], status: int, case: Case
    ) -> Asked:
        _check_basics(client, fields)
        self._check_state(fields, case)
        self._check_audience(fields)
        self._check_pkce(fields, case)
        requested = _requested(fields)
        launch = self._launch(fields, requested)
        granted = _grantable(launch, grant_scopes(requested, client.scopes), case)
        if not granted:
            raise invalid_scope("SC-17", "nothing of the requested scope can be granted to this client")
        return Asked(
            client=client,
            redirect_uri=redirect_uri,
            state=fields["state"],
            challenge=fields["code_challenge"],
            nonce=fields.get("nonce"),
            scopes=granted,
            launch=launch,
            status=status,
        )

    def _check_state(self, fields: dict[str, str], case: Case) -> None:
        state = fields.get("state")
        if state is None:
            raise invalid_request("AL-09", "state is missing")
        if _bits(state) < _STATE_BITS:
            case.remark("AL-10", f"state holds {_bits(state):.0f} bits at most; {_STATE_BITS} are wanted")
        self._notice(("state", state), "AL-10", case)

    def _check_audience(self, fields: dict[str, str]) -> None:
        rule = "AL-13" if "launch" in fields else "AL-12"
        if fields.get("aud") != self.place.fhir_base:
            found = fields.get("aud", "missing")[:200]
            raise invalid_request(rule, f"aud must be the FHIR base {self.place.fhir_base}, and is {found}")

    def _check_pkce(self, fields: dict[str, str], case: Case) -> None:
        if "code_challenge" not in fields:
            raise invalid_request("AL-14", "code_challenge is missing; PKCE is obligatory for every client")
        if fields.get("code_challenge_method") != "S256":
            raise invalid_request("AL-15", "code_challenge_method must be S256")
        if not _CHALLENGE.fullmatch(fields["code_challenge"]):
            raise invalid_request(
                "AL-16", "code_challenge must be 43 characters of base64url, without padding"
            )
        self._notice(("challenge", fields["code_challenge"]), "AL-16", case)

    def _notice(self, value: tuple[str, str], rule: str, case: Case) -> None:
        # A browser that reloads the page repeats both, so this is a remark and no refusal.
        if value in self.seen:
            case.remark(rule, f"the {value[0]} of an earlier request is used again; each needs a fresh one")
        self.seen.add(value)

    def _launch(self, fields: dict[str, str], requested: tuple[str, ...]) -> Launch | None:
        if "launch" not in fields:
            if "launch" in requested:
                raise invalid_request(
                    "AL-03", "the scope launch goes with the parameter launch, which is missing"
                )
            return None
        if "launch" not in requested:
            raise invalid_request("AL-04", "an EHR launch needs the scope launch")
        launch = self.grants.launch(fields["launch"])
        if launch is None:
            raise invalid_request("AL-03", "the launch handle is unknown here or expired")
        return launch


class _RedirectedError(RefusedError):
    """A refusal that the browser carries back to the app."""

    def __init__(self, refusal: RefusedError, response: Response) -> None:
        super().__init__(refusal.rule, refusal.message, error=refusal.error, status=response.status)
        self.response = response


def _read(case: Case) -> tuple[dict[str, str], RefusedError | None]:
    received = case.received
    if received.method == "POST":
        return post_fields(received, rule="AL-20"), None
    try:
        return strict_fields(received.query), None
    except RefusedError as exc:
        # The error may still go back to the app, if client and redirect URI can be told beyond doubt.
        pairs = [
            pair
            for pair in received.query.split("&")
            if pair.startswith(("client_id=", "redirect_uri=", "state="))
        ]
        return strict_fields("&".join(pairs)), exc


def _redirect_uri(client: SandboxClient, fields: dict[str, str]) -> str:
    redirect_uri = fields.get("redirect_uri")
    if redirect_uri is None or redirect_uri not in client.redirect_uris:
        raise invalid_request("AL-07", _not_registered(redirect_uri, client.redirect_uris))
    return redirect_uri


def _not_registered(sent: str | None, registered: Collection[str]) -> str:
    known = ", ".join(registered) or "none"
    if sent is None:
        return f"redirect_uri is missing; registered: {known}"
    # What was sent is shown for the comparison, yet it must not push out what it is to be compared with.
    said = clean_text(sent, length=200)
    return f"redirect_uri is not, character by character, a registered one; sent: {said}; registered: {known}"


def _check_basics(client: SandboxClient, fields: dict[str, str]) -> None:
    if "response_type" not in fields:
        raise invalid_request("AL-06", "response_type is missing")
    if fields["response_type"] != "code":
        raise RefusedError("AL-06", "response_type must be 'code'", error="unsupported_response_type")
    if "authorization_code" not in client.grant_types:
        raise RefusedError(
            "RFC 6749 §4.1.2.1", "this client is not registered for logins", error="unauthorized_client"
        )
    if "max_age" in fields:
        raise invalid_request("AL-24", "max_age is not supported here and must not be sent")
    for name in _HIDDEN:
        if name in fields:
            raise invalid_request("TK-11", f"{name} must never pass through the browser")


def _requested(fields: dict[str, str]) -> tuple[str, ...]:
    if "scope" not in fields:
        raise invalid_scope("AL-08", "scope is missing or empty")
    return read_scope(fields["scope"])


def _grantable(launch: Launch | None, granted: tuple[str, ...], case: Case) -> tuple[str, ...]:
    if launch is not None:
        # Patient-level access needs a patient in context, and a launch may have none (CTX-01).
        if "patient" in launch.context:
            return granted
        return tuple(scope for scope in granted if not scope.startswith(("patient/", "launch/")))
    if "online_access" in granted:
        case.remark("AL-23", "online_access belongs to EHR launches, and this is none; it is not granted")
    if "launch/patient" not in granted and any(scope.level == "patient" for scope in data_scopes(granted)):
        case.remark(
            "AL-28", "patient/ scopes need the scope launch/patient; a patient was chosen all the same"
        )
    return tuple(scope for scope in granted if scope != "online_access")


def _bits(state: str) -> float:
    # The most that a random string of these characters can hold; few different ones betray a counter.
    dense = state.replace("-", "") if re.fullmatch(r"[0-9A-Fa-f-]+", state) else state
    alphabet = 10 if dense.isdigit() else 16 if re.fullmatch(r"[0-9A-Fa-f]+", dense) else 64
    fixed = 6 if len(state) == 36 and state.count("-") == 4 else 0
    return len(dense) * math.log2(min(alphabet, len(set(dense)) * 2 or 1)) - fixed
