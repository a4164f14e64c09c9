"""
What a SMART server says of itself: the smart-configuration document, typed.

The document is advertising rather than a contract. Lists leave out what works, carry wrong names or stand
empty; so only a document without a usable token endpoint is an error, and everything else is a finding.

Spec: SMART App Launch 2.2, conformance (`.well-known/smart-configuration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, DiscoveryError
from smart_async.messages import (
    JSON,
    Finding,
    JSONObject,
    Severity,
    as_list,
    as_object,
    member_names,
    resolve_url,
)
from smart_async.smart.capabilities import Capability, capability_sets, current_names
from smart_async.smart.conformance import conformance_findings

__all__ = ("OVERRIDES", "AssociatedEndpoint", "SmartMetadata", "parse_metadata")


_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "management_endpoint",
    "smart_app_state_endpoint",
    "jwks_uri",
    "user_access_brand_bundle",
)
OVERRIDES = (
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
)
"""The endpoints that a configuration can put in the place of the discovered ones."""

_LISTS = (
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "scopes_supported",
    "response_types_supported",
    "capabilities",
    "code_challenge_methods_supported",
)
# Names that production servers use in the place of the right ones.
_ALIASES = {
    "token_endpoint_auth_methods_supported": "token_endpoint_auth_methods",
    "response_types_supported": "response_types",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociatedEndpoint:
    """
    Another FHIR endpoint that shares this server's authorization.

    Args:
        url: Its FHIR base URL.
        capabilities: What it can do, such as `smart-app-state`.

    Spec: SMART App Launch 2.2, conformance (associated_endpoints, experimental).
    """

    url: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartMetadata:
    """
    The authorization server that stands in front of a FHIR server: its endpoints and abilities.

    Args:
        fhir_base: The FHIR base URL that was asked.
        token_endpoint: Where tokens come from.
        authorization_endpoint: Where the user signs in; None for servers without a user-facing flow.
        issuer: Who signs ID tokens.
        jwks_uri: The server's public keys.
        registration_endpoint: Dynamic client registration.
        introspection_endpoint: Token introspection.
        revocation_endpoint: Token revocation.
        management_endpoint: A page where the user reviews and revokes access.
        smart_app_state_endpoint: Deprecated; see `associated_endpoints`.
        user_access_brand_bundle: The brands that this endpoint belongs to.
        user_access_brand_identifier: Which of them is the primary one.
        associated_endpoints: Other endpoints that take the same tokens.
        grant_types_supported: Grant types. `refresh_token` is often missing although it works.
        token_endpoint_auth_methods_supported: Client authentication methods, as far as admitted.
        token_endpoint_auth_signing_alg_values_supported: Assertion algorithms; often absent.
        scopes_supported: Some of the scopes; never a complete list.
        response_types_supported: Usually `code`.
        capabilities: SMART capabilities; unknown ones are kept.
        code_challenge_methods_supported: PKCE methods.
        authorization_response_iss_parameter_supported: Whether callbacks always name the issuer.
        raw: The whole document, unknown members included.
        sources: For each member, where it was found: `well-known`, `capability-statement`,
            `openid-configuration` or `configuration`.
        findings: What was noticed while reading it.

    Spec: SMART App Launch 2.2, conformance; RFC 9207 for the last flag.
    """

    fhir_base: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    issuer: str | None = None
    jwks_uri: str | None = None
    registration_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    management_endpoint: str | None = None
    smart_app_state_endpoint: str | None = None
    user_access_brand_bundle: str | None = None
    user_access_brand_identifier: Mapping[str, object] | None = None
    associated_endpoints: tuple[AssociatedEndpoint, ...] = ()
    grant_types_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()
    response_types_supported: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    code_challenge_methods_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False
    raw: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    sources: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    findings: tuple[Finding, ...] = ()

    def supports(self, capability: str) -> bool:
        """
        Return whether the server lists *capability*, under today's name or its former one.

        Args:
            capability: A `Capability`, a former name of one, or the URI of an extension.
        """
        return current_names([capability]) <= current_names(self.capabilities)

    @property
    def capability_sets(self) -> tuple[str, ...]:
        """The capability sets of SMART that the server offers in full."""
        return capability_sets(self.capabilities)

    @property
    def supports_backend_services(self) -> bool:
        """Whether the server seems to offer Backend Services, for which there is no capability."""
        return "client_credentials" in self.grant_types_supported and self.supports(
            Capability.CLIENT_CONFIDENTIAL_ASYMMETRIC
        )

    def conformance(self) -> tuple[Finding, ...]:
        """
        Return what this server does otherwise than the specification says.

        Use it to judge a server before going live, or to show its operator what to mend. An empty
        answer means that nothing was found, not that the server works. Where no document was read, as with
        `discovery="off"`, there is none to judge.
        """
        if self.sources and set(self.sources.values()) == {"configuration"}:
            return self.findings
        return self.findings + conformance_findings(self.raw)


def parse_metadata(
    document: JSONObject,
    *,
    fhir_base: str,
    url: str,
    allow_insecure_loopback: bool = False,
    raw: JSONObject | None = None,
    sources: Mapping[str, str] | None = None,
    findings: tuple[Finding, ...] = (),
) -> SmartMetadata:
    """
    Read a smart-configuration document.

    Relative endpoint URLs are resolved against the FHIR base, as the specification asks of clients. An
    endpoint that is no usable https URL counts as missing: nothing is ever sent there.

    Args:
        document: The parsed JSON object.
        fhir_base: The FHIR base URL it was found under, exactly as configured.
        url: Where the document came from, for messages.
        allow_insecure_loopback: Whether endpoints on loopback may be plain http.
        raw: What the server sent, where *document* is not only that.
        sources: Where each member was found.
        findings: What was noticed before; it comes first.

    Returns:
        The typed document.

    Raises:
        DiscoveryError: If there is no usable `token_endpoint`.

    Spec: SMART App Launch 2.2, conformance (metadata).
    """
    reader = _Reader(document, fhir_base, allow_insecure_loopback)
    values: dict[str, Any] = {name: reader.endpoint(name) for name in _ENDPOINTS}
    if values["token_endpoint"] is None:
        reasons = [item.message for item in reader.findings if item.message.startswith("token_endpoint ")]
        raise DiscoveryError(
            " ".join(["The discovery document names no usable token_endpoint.", *reasons]),
            endpoint=url,
            status=200,
            received=member_names(document),
            advice="Check that the FHIR base is right and that the server offers SMART; ask its operator.",
        )
    values.update((name, reader.strings(name)) for name in _LISTS)
    return SmartMetadata(
        fhir_base=fhir_base,
        issuer=reader.string("issuer"),
        user_access_brand_identifier=as_object(
            reader.of_type("user_access_brand_identifier", dict, "an object")
        ),
        associated_endpoints=reader.associated(),
        authorization_response_iss_parameter_supported=reader.flag(
            "authorization_response_iss_parameter_supported"
        ),
        raw=document if raw is None else raw,
        sources=sources or {},
        findings=(*findings, *reader.findings),
        **values,
    )


class _Reader:
    """Reads members one by one and notes what is odd."""

    def __init__(self, document: JSONObject, fhir_base: str, allow_insecure_loopback: bool) -> None:
        self.document = document
        self.fhir_base = fhir_base
        self.allow_insecure_loopback = allow_insecure_loopback
        self.findings: list[Finding] = []

    def note(self, rule: str, message: str, advice: str = "", severity: Severity = "warning") -> None:
        self.findings.append(Finding(rule=rule, severity=severity, message=message, advice=advice))

    def of_type(self, name: str, kind: type, article: str) -> JSON:
        value = self.document.get(name)
        if value is None or value == "":  # LinuxForHealth writes "" for what is not configured
            return None
        if isinstance(value, kind):
            return value
        self.note("DI-12", f"{name} is not {article} and is ignored.")
        return None

    def string(self, name: str) -> str | None:
        text: str | None = self.of_type(name, str, "a string")
        return text

    def flag(self, name: str) -> bool:
        return self.of_type(name, bool, "true or false") is True

    def endpoint(self, name: str) -> str | None:
        text = self.string(name)
        if text is None:
            return None
        try:
            url = resolve_url(
                self.fhir_base, text, field=name, allow_insecure_loopback=self.allow_insecure_loopback
            ).text
        except ConfigurationError as exc:
            self.note("DI-18", f"{exc.message} It counts as missing.", "Nothing is sent to it.")
            return None
        if url != text:
            self.note(
                "DI-04", f"{name} is a relative URL.", "It was resolved against the FHIR base.", "error"
            )
        return url

    def strings(self, name: str) -> tuple[str, ...]:
        alias = _ALIASES.get(name)
        empty = (None, "")
        if alias and self.document.get(name) in empty and self.document.get(alias) not in empty:
            self.note("DI-12", f"{name} is missing; {alias} is read in its place.")
            name = alias
        items = self.of_type(name, list, "a list") or ()
        names = [item for item in items if isinstance(item, str)]
        if len(names) < len(items):
            self.note("DI-12", f"{name} holds something other than strings, which is ignored.")
        return tuple(dict.fromkeys(names))

    def associated(self) -> tuple[AssociatedEndpoint, ...]:
        items = as_list(self.of_type("associated_endpoints", list, "a list")) or []
        found = [self._associated(item) for item in items]
        if None in found:
            self.note(
                "DI-17",
                "An item of associated_endpoints lacks url or capabilities and is skipped.",
                severity="error",
            )
        return tuple(item for item in found if item)

    def _associated(self, item: JSON) -> AssociatedEndpoint | None:
        match item:
            case {"url": str(url), "capabilities": [*capabilities]} if url:
                return AssociatedEndpoint(
                    url=url, capabilities=tuple(name for name in capabilities if isinstance(name, str))
                )
            case _:
                return None
