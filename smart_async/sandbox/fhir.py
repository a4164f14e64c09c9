"""A small read-only FHIR R4 endpoint that gives nothing away without a token that allows it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from smart_async.messages import Response, Secret
from smart_async.sandbox.data import RESOURCE_TYPES, Resource, compartment
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.forms import strict_fields
from smart_async.sandbox.grants import AccessToken, GrantStore
from smart_async.sandbox.replies import json_reply
from smart_async.sandbox.scopes import DataScope, data_scopes
from smart_async.sandbox.search import CONTROL, PARAMETERS, matches
from smart_async.sandbox.settings import Place
from smart_async.sandbox.verdicts import Case, RefusedError

__all__ = ("FHIR_JSON", "FhirEndpoint")

FHIR_JSON = "application/fhir+json"
"""The media type of FHIR in JSON."""

_PAGE = 20
_PAGE_MOST = 100
_UNKNOWN = (
    "is unknown here; one that was kept is lost when the sandbox is restarted: get a new one, on the "
    "command line with --fresh"
)
_ISSUES = {400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FhirEndpoint:
    """
    Serves read and search, as far as the token's scopes go.

    Args:
        resources: The data, by type and id.
        grants: Knows the access tokens.
        place: The sandbox's URLs.
        faults: What goes wrong on demand.

    Spec: FHIR R4, RESTful API; RFC 6750; SMART App Launch 2.2, scopes and launch context.
    """

    resources: dict[str, dict[str, Resource]]
    grants: GrantStore
    place: Place
    faults: Faults

    def answer(self, case: Case) -> Response:
        """
        Return the resource or the searchset Bundle.

        Raises:
            RefusedError: With the status and the broken rule.
        """
        token = self._token(case)
        if self.faults.take("insufficient_scope", case):
            raise _forbidden("the token has too little scope")
        parts = case.received.path.removeprefix("/fhir/").split("/")
        if case.received.method != "GET":
            raise _refuse("FHIR R4 §3.1.0", "the sandbox is read-only", status=405)
        if parts[0] not in RESOURCE_TYPES or len(parts) > 2 or not parts[-1]:
            raise _refuse("FHIR R4 §3.1.0", f"'{'/'.join(parts)[:100]}' is not served here", status=404)
        if len(parts) == 2:
            return self._read(token, parts[0], parts[1])
        return self._search(token, parts[0], strict_fields(case.received.query), case)

    def refuse(self, refusal: RefusedError) -> Response:
        """Return the answer to a refused request: an OperationOutcome."""
        issue = {
            "severity": "error",
            "code": _ISSUES.get(refusal.status, "processing"),
            "diagnostics": f"{refusal.rule}: {refusal.message}",
        }
        document = {"resourceType": "OperationOutcome", "issue": [issue]}
        return json_reply(document, status=refusal.status, headers=refusal.headers, media_type=FHIR_JSON)

    def _token(self, case: Case) -> AccessToken:
        authorization = case.received.headers.get("authorization")
        if "access_token=" in case.received.query:
            raise _refuse(
                "RFC 6750 §2", "the token belongs in the Authorization header, not in the URL", status=400
            )
        if authorization is None:
            # Without credentials a challenge names no error (RFC 6750, section 3.1).
            raise _refuse(
                "TK-21", "there is no Authorization header", status=401, challenge='Bearer realm="sandbox"'
            )
        scheme, _, text = authorization.partition(" ")
        known = self.grants.known_access(text.strip()) if scheme.lower() == "bearer" else None
        if known is not None:
            case.client_id = known.grant.client_id
        token = self.grants.access(text.strip()) if known else None
        if token is not None and self.faults.take("fhir_401", case):
            token = None
        if token is None:
            rule, message = ("TK-25", "expired or was revoked") if known else ("TK-21", _UNKNOWN)
            if text.strip() == str(Secret("")):
                message = "is the mask of a Secret, not its text: the client has to send token.reveal()"
            raise _refuse(
                rule, f"the access token {message}", status=401, challenge=_challenge("invalid_token")
            )
        return token

    def _read(self, token: AccessToken, resource_type: str, identifier: str) -> Response:
        scopes = _allowing(token, "r", resource_type)
        resource = self.resources[resource_type].get(identifier)
        if resource is None:
            raise _refuse("FHIR R4 §3.1.0.1", f"there is no {resource_type}/{identifier[:64]}", status=404)
        if not _visible(resource, scopes, token):
            raise _forbidden(f"the scopes of the token do not reach {resource_type}/{identifier[:64]}")
        return json_reply(resource, media_type=FHIR_JSON)

    def _search(self, token: AccessToken, resource_type: str, fields: dict[str, str], case: Case) -> Response:
        scopes = _allowing(token, "s", resource_type)
        wanted = {name: value for name, value in fields.items() if name not in CONTROL}
        for name in wanted:
            if name not in PARAMETERS:
                raise _refuse(
                    "FHIR R4 §3.1.1.1", f"the search parameter '{name[:64]}' is not served", status=400
                )
        _check_patient(token, scopes, resource_type, wanted)
        found = [
            resource
            for resource in self.resources[resource_type].values()
            if matches(resource, wanted.items()) and _visible(resource, scopes, token)
        ]
        paged = self.faults.take("page_size", case)
        most = _PAGE_MOST if paged is None else int(paged.value or 1)
        bundle = self._bundle(resource_type, found, fields, wanted, most)
        return json_reply(bundle, media_type=FHIR_JSON)

    def _bundle(
        self,
        resource_type: str,
        found: list[Resource],
        fields: dict[str, str],
        wanted: dict[str, str],
        most: int,
    ) -> dict[str, Any]:
        count = min(_number(fields, "_count", _PAGE), most)
        offset = _number(fields, "_offset", 0)
        links = [{"relation": "self", "url": self._url(resource_type, wanted, count, offset)}]
        if 0 < count < len(found) - offset:
            links.append({"relation": "next", "url": self._url(resource_type, wanted, count, offset + count)})
        return {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "link": links,
            "entry": [
                {
                    "fullUrl": f"{self.place.fhir_base}/{resource_type}/{resource['id']}",
                    "resource": resource,
                    "search": {"mode": "match"},
                }
                for resource in found[offset : offset + count]
            ],
        }

    def _url(self, resource_type: str, wanted: dict[str, str], count: int, offset: int) -> str:
        query = urlencode({**wanted, "_count": count, "_offset": offset}, quote_via=quote)
        return f"{self.place.fhir_base}/{resource_type}?{query}"


def _allowing(token: AccessToken, letter: str, resource_type: str) -> tuple[DataScope, ...]:
    scopes = tuple(scope for scope in data_scopes(token.scopes) if scope.allows(letter, resource_type))
    if not scopes:
        what = {"r": "reading", "s": "searching"}[letter]
        raise _forbidden(f"the token has no scope for {what} {resource_type} (.{letter})")
    return scopes


def _visible(resource: Resource, scopes: Iterable[DataScope], token: AccessToken) -> bool:
    patient = token.grant.context.get("patient")
    return any(
        (scope.level != "patient" or (patient is not None and compartment(resource) == patient))
        and matches(resource, scope.constraints, encoded=True)
        for scope in scopes
    )


def _check_patient(
    token: AccessToken, scopes: Iterable[DataScope], resource_type: str, wanted: dict[str, str]
) -> None:
    # Asking for another patient's data by name is refused; an open search is narrowed silently.
    names = ("_id",) if resource_type == "Patient" else ("patient", "subject")
    asked = {wanted[name].removeprefix("Patient/") for name in names if name in wanted}
    patient = token.grant.context.get("patient")
    if all(scope.level == "patient" for scope in scopes) and asked - {patient}:
        raise _forbidden("the token is confined to the patient in context, and the search names another")


def _number(fields: dict[str, str], name: str, default: int) -> int:
    text = fields.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise _refuse("FHIR R4 §3.1.1.1", f"{name} must be a number", status=400)
    return int(text)


def _challenge(error: str) -> str:
    return f'Bearer realm="sandbox", error="{error}"'


def _forbidden(message: str) -> RefusedError:
    return _refuse("SC-06", message, status=403, challenge=_challenge("insufficient_scope"))


def _refuse(rule: str, message: str, *, status: int, challenge: str | None = None) -> RefusedError:
    headers = (("WWW-Authenticate", challenge),) if challenge else ()
    error = {401: "invalid_token", 403: "insufficient_scope"}.get(status, "invalid_request")
    return RefusedError(rule, message, error=error, status=status, headers=headers)
