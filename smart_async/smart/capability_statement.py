"""
Where to look when a server has no usable smart-configuration: the older documents.

A CapabilityStatement may carry the endpoints in an `oauth-uris` extension, as SMART 1.0 had it, and some
servers publish only an OpenID configuration. Both are read as if they were a smart-configuration, each
filling what the one before left open.

Spec: SMART App Launch 2.2, conformance (deprecated CapabilityStatement extension); OpenID Connect Discovery.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from smart_async.errors import DiscoveryError
from smart_async.limits import Limits
from smart_async.messages import (
    JSON,
    Headers,
    JSONObject,
    Request,
    Response,
    as_list,
    as_object,
    parse_object,
)

__all__ = (
    "capability_statement_request",
    "openid_configuration_members",
    "parse_capability_statement",
)

_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_MEMBERS = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "register": "registration_endpoint",
    "introspect": "introspection_endpoint",
    "revoke": "revocation_endpoint",
    "manage": "management_endpoint",
}
_OPENID_MEMBERS = (
    "issuer",
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "scopes_supported",
    "response_types_supported",
    "code_challenge_methods_supported",
    "authorization_response_iss_parameter_supported",
)


def capability_statement_request(
    fhir_base: str, *, headers: tuple[tuple[str, str], ...] = (), limits: Limits | None = None
) -> Request:
    """
    Build the request for a CapabilityStatement. It carries no credentials.

    Args:
        fhir_base: The FHIR base URL.
        headers: Header fields to add.
        limits: The client's limits.
    """
    return Request(
        method="GET",
        url=f"{fhir_base.removesuffix('/')}/metadata",
        purpose="discovery",
        # Without this header some servers answer in XML.
        headers=Headers((("Accept", "application/fhir+json, application/json;q=0.9"), *headers)),
        max_bytes=(limits or Limits()).capability_statement_bytes,
    )


def parse_capability_statement(response: Response, *, limits: Limits | None = None) -> JSONObject:
    """
    Read the endpoints out of a CapabilityStatement.

    Args:
        response: The answer.
        limits: The client's limits.

    Returns:
        The members of a smart-configuration document that could be found.

    Raises:
        DiscoveryError: If it is not a JSON object, or names no endpoints.
    """
    limits = limits or Limits()
    if response.status != 200:
        raise DiscoveryError(
            f"The server answered {response.status} to a request for its CapabilityStatement.",
            endpoint=response.url,
            status=response.status,
            advice=(
                "The server is failing; try again later."
                if response.status >= 500
                else "Check the FHIR base URL, path included."
            ),
        )
    large = replace(
        limits,
        document_bytes=limits.capability_statement_bytes,
        document_members=limits.capability_statement_members,
    )
    document = parse_object(response, DiscoveryError, "CapabilityStatement", limits=large)
    for security in _securities(document):
        if members := _nested(security) or _flat(security):
            return members
    raise DiscoveryError(
        "The CapabilityStatement names no OAuth endpoints.",
        endpoint=response.url,
        status=response.status,
        advice="The server may be open, or need its endpoints configured by hand: see token_endpoint.",
    )


def openid_configuration_members(document: JSONObject) -> JSONObject:
    """
    Return the members of an OpenID configuration that a smart-configuration has too.

    Args:
        document: The OpenID configuration.
    """
    return {name: document[name] for name in _OPENID_MEMBERS if name in document}


def _securities(document: JSONObject) -> Iterator[JSONObject]:
    for item in as_list(document.get("rest")) or ():
        rest = as_object(item) or {}
        security = as_object(rest.get("security"))
        if rest.get("mode", "server") == "server" and security is not None:
            yield security


def _nested(security: JSONObject) -> JSONObject:
    extensions = [item for item in map(as_object, as_list(security.get("extension")) or ()) if item]
    exact = [item for item in extensions if item.get("url") == _OAUTH_URIS]
    # athenahealth's first one has a malformed URL; a second one with the same content follows.
    alike = [item for item in extensions if str(item.get("url", "")).endswith("/oauth-uris")]
    for extension in (*exact, *alike):
        if members := _members(as_list(extension.get("extension")) or (), prefix=""):
            return members
    return {}


def _flat(security: JSONObject) -> JSONObject:
    return _members(as_list(security.get("extension")) or (), prefix="oauth-uris#")


def _members(items: list[JSON] | tuple[()], *, prefix: str) -> JSONObject:
    members: JSONObject = {}
    for item in filter(None, map(as_object, items)):
        # What is malformed, such as a name and a value that have changed places, is skipped.
        _, found, name = str(item.get("url", "")).rpartition(prefix) if prefix else ("", "", item.get("url"))
        values = (item.get(key) for key in ("valueUri", "valueUrl", "valueString"))
        value = next((text for text in values if isinstance(text, str) and text), None)
        if value and found == prefix and isinstance(name, str) and name in _MEMBERS:
            members.setdefault(_MEMBERS[name], value)
    return members
