"""
One token for several FHIR endpoints: what it is good for at each.

Spec: SMART App Launch 2.2, scopes-and-launch-context (authorization_details, experimental); RFC 9396.
"""

from __future__ import annotations

from collections.abc import Mapping

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.messages import JSON, Finding, JSONObject, as_list, as_object, parse_url, same_base
from smart_async.smart.launch import LaunchContext, parse_launch_context
from smart_async.smart.scopes import Scopes

__all__ = ("AuthorizationDetail", "parse_authorization_details")

_TYPE = "smart_on_fhir"
_CONTEXT = ("patient", "encounter", "fhirContext")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationDetail:
    """
    FHIR endpoints that take the token, and what it is good for there.

    Args:
        locations: FHIR base URLs.
        fhir_versions: FHIR versions that all of them support, such as `4.0.1`.
        scopes: The scopes that count there.
        context: The launch context that counts there.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (authorization_details).
    """

    locations: tuple[str, ...]
    fhir_versions: tuple[str, ...]
    scopes: Scopes
    context: LaunchContext

    def at(self, location: str) -> bool:
        """Return whether *location* is one of its FHIR base URLs, a trailing slash ignored."""
        return any(same_base(location, known) for known in self.locations)


def parse_authorization_details(
    document: Mapping[str, object],
    *,
    scopes: Scopes,
    context: LaunchContext,
    allow_insecure_loopback: bool = False,
) -> tuple[tuple[AuthorizationDetail, ...], tuple[Finding, ...]]:
    """
    Read the `authorization_details` of a token response.

    Details of other types are ignored. What a detail leaves out is as in the rest of the response.

    Args:
        document: The token response.
        scopes: Its own scopes.
        context: Its own launch context.
        allow_insecure_loopback: Whether locations on loopback may be plain http.

    Returns:
        The details, and what was odd about them.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (authorization_details).
    """
    details: list[AuthorizationDetail] = []
    findings: list[Finding] = []
    listed = document.get("authorization_details")
    if listed is not None and as_list(listed) is None:
        findings.append(_note("authorization_details is not a list and is left out."))
    for item in as_list(listed) or ():
        members = as_object(item)
        if members is None or members.get("type") != _TYPE:
            continue
        locations = _locations(members, allow_insecure_loopback)
        if not locations:
            findings.append(
                _note("An item of authorization_details names no usable location and is skipped.")
            )
            continue
        if not _strings(members.get("fhirVersions")):
            findings.append(_note("An item of authorization_details names no FHIR version."))
        own, noted = parse_launch_context({name: members.get(name) for name in _CONTEXT}, previous=context)
        findings.extend(noted)
        details.append(
            AuthorizationDetail(
                locations=locations,
                fhir_versions=_strings(members.get("fhirVersions")),
                scopes=_scopes(members.get("scope"), scopes),
                context=own,
            )
        )
    return tuple(details), tuple(findings)


def _note(message: str) -> Finding:
    return Finding(rule="CTX-12", severity="warning", message=message)


def _strings(value: JSON) -> tuple[str, ...]:
    return tuple(item for item in as_list(value) or () if isinstance(item, str))


def _locations(members: JSONObject, allow_insecure_loopback: bool) -> tuple[str, ...]:
    found: list[str] = []
    for location in _strings(members.get("locations")):
        try:
            found.append(
                parse_url(location, field="locations", allow_insecure_loopback=allow_insecure_loopback).text
            )
        except ConfigurationError:
            continue  # the token must never go there
    return tuple(found)


def _scopes(value: JSON, default: Scopes) -> Scopes:
    if value is None:
        return default
    items = as_list(value)
    text = " ".join(_strings(value)) if items is not None and len(items) == len(_strings(value)) else value
    try:
        return Scopes.parse(text) if isinstance(text, str) else Scopes()
    except ConfigurationError:
        return Scopes()  # unreadable: count on nothing, rather than on what counts elsewhere
