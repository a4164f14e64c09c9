"""The authorization endpoint: checks the request, consents for the user, sends the browser back."""

from __future__ import annotations

import math
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from smart_async.messages import Response
from smart_async.sandbox.clients import Registry, SandboxClient
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.forms import post_fields, strict_fields
from smart_async.sandbox.grants import Grant, GrantStore
from smart_async.sandbox.replies import page, redirect
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
    Judges authorization requests and answers the good ones with a code.

    Args:
        registry: The known clients.
        grants: Where codes are kept and launches looked up.
        place: The sandbox's URLs.
        user: The relative reference to the user who is always signed in.
        standalone: The launch context that a standalone launch ends up with.
        faults: What goes wrong on demand.
        seen: States and challenges of earlier requests, for noticing a repeated one.

    Spec: SMART App Launch 2.2, obtain authorization code; RFC 6749, section 4.1; RFC 7636; RFC 9207.
    """

    registry: Registry
    grants: GrantStore
    place: Place
    user: str
    standalone: dict[str, Any]
    faults: Faults
    seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def answer(self, case: Case) -> Response:
        """
        Return the redirect with a code.

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
            parameters = {"code": self._consent(client, redirect_uri, fields, case)}
            refusal = None
        except RefusedError as exc:
            parameters = {"error": exc.error, "error_description": exc.description}
            refusal = exc
        if "state" in fields:
            parameters["state"] = fields["state"]
        if self.faults.take("wrong_state", case):
            parameters["state"] = secrets.token_urlsafe(32)
        response = redirect(redirect_uri, {**parameters, "iss": self.place.issuer}, status=status)
        if refusal is not None:
            raise _RedirectedError(refusal, response)
        return response

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request: the redirect with the error, or else a page."""
        if isinstance(refusal, _RedirectedError):
            return refusal.response
        explanation = "The app that sent you here made a mistake, so you were not sent back to it."
        return page("This sign-in cannot go on", (explanation, refusal.description), status=400)

    def _client(self, fields: dict[str, str], case: Case) -> SandboxClient:
        client = self.registry.find(fields.get("client_id", ""))
        if client is None:
            raise invalid_request("AL-06", "client_id is missing or not registered here")
        case.client_id = client.client_id
        return client

    def _consent(self, client: SandboxClient, redirect_uri: str, fields: dict[str, str], case: Case) -> str:
        _check_basics(client, fields)
        self._check_state(fields, case)
        self._check_audience(fields)
        self._check_pkce(fields, case)
        requested = _requested(fields)
        context = self._context(fields, requested)
        granted = _within(context, grant_scopes(requested, client.scopes))
        if "launch" not in fields and "online_access" in granted:
            case.remark("AL-23", "online_access belongs to EHR launches, and this is none; it is not granted")
            granted = tuple(scope for scope in granted if scope != "online_access")
        if not granted:
            raise invalid_scope("SC-17", "nothing of the requested scope can be granted to this client")
        grant = Grant(
            client_id=client.client_id,
            scopes=granted,
            context=self._granted_context(context, granted, "launch" in fields, case),
            user=self.user,
            nonce=fields.get("nonce"),
        )
        return self.grants.new_code(grant, redirect_uri=redirect_uri, challenge=fields["code_challenge"])

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

    def _context(self, fields: dict[str, str], requested: tuple[str, ...]) -> dict[str, Any]:
        if "launch" not in fields:
            if "launch" in requested:
                raise invalid_request(
                    "AL-03", "the scope launch goes with the parameter launch, which is missing"
                )
            return self.standalone
        if "launch" not in requested:
            raise invalid_request("AL-04", "an EHR launch needs the scope launch")
        launch = self.grants.launch(fields["launch"])
        if launch is None:
            raise invalid_request("AL-03", "the launch handle is unknown here or expired")
        return launch.context

    def _granted_context(
        self, context: dict[str, Any], granted: tuple[str, ...], ehr_launch: bool, case: Case
    ) -> dict[str, Any]:
        if ehr_launch:
            return context
        wanted = {scope.removeprefix("launch/") for scope in granted if scope.startswith("launch/")}
        if any(scope.level == "patient" for scope in data_scopes(granted)) and "patient" not in wanted:
            case.remark(
                "AL-28", "patient/ scopes need the scope launch/patient; a patient was chosen all the same"
            )
            wanted.add("patient")
        if "encounter" in wanted or "patient" in wanted:
            wanted |= {"patient", "need_patient_banner"}
        return {name: value for name, value in context.items() if name in wanted}


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
        raise invalid_request(
            "AL-07", "redirect_uri is missing or not, character by character, a registered one"
        )
    return redirect_uri


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


def _within(context: dict[str, Any], granted: tuple[str, ...]) -> tuple[str, ...]:
    # Patient-level access needs a patient in context, and a launch may have none (CTX-01).
    if "patient" in context:
        return granted
    return tuple(scope for scope in granted if not scope.startswith(("patient/", "launch/")))


def _bits(state: str) -> float:
    # The most that a random string of these characters can hold; few different ones betray a counter.
    dense = state.replace("-", "") if re.fullmatch(r"[0-9A-Fa-f-]+", state) else state
    alphabet = 10 if dense.isdigit() else 16 if re.fullmatch(r"[0-9A-Fa-f]+", dense) else 64
    fixed = 6 if len(state) == 36 and state.count("-") == 4 else 0
    return len(dense) * math.log2(min(alphabet, len(set(dense)) * 2 or 1)) - fixed
