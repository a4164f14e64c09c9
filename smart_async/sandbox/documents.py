"""The documents that say what the sandbox is and where its endpoints are."""

from __future__ import annotations

from typing import Any

from smart_async.sandbox.assertions import ALGORITHMS
from smart_async.sandbox.data import RESOURCE_TYPES
from smart_async.sandbox.scopes import PLAIN_SCOPES
from smart_async.sandbox.settings import Place

__all__ = ("NOTICE", "capability_statement", "openid_configuration", "smart_configuration")

NOTICE = (
    "smart-async sandbox: for tests and learning on this machine, not for production. All data is invented."
)
"""What the sandbox says about itself wherever it can."""

_CAPABILITIES = (
    "launch-ehr", "launch-standalone", "authorize-post",
    "client-public", "client-confidential-symmetric", "client-confidential-asymmetric",
    "sso-openid-connect", "context-banner", "context-style",
    "context-ehr-patient", "context-ehr-encounter",
    "context-standalone-patient", "context-standalone-encounter",
    "permission-patient", "permission-user", "permission-offline", "permission-online",
    "permission-v1", "permission-v2",
)  # fmt: skip
_DATA_SCOPES = tuple(
    f"{level}/*.{perms}" for level in ("patient", "user", "system") for perms in ("rs", "read")
)
_AUTH_METHODS = ["private_key_jwt", "client_secret_basic"]
_GRANTS = ["authorization_code", "client_credentials", "refresh_token"]
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def smart_configuration(place: Place) -> dict[str, Any]:
    """
    Return the discovery document.

    Spec: SMART App Launch 2.2, conformance (using `.well-known`).
    """
    return {
        **_endpoints(place),
        "scopes_supported": [*PLAIN_SCOPES, *_DATA_SCOPES],
        "capabilities": list(_CAPABILITIES),
        "x_not_for_production": NOTICE,
    }


def openid_configuration(place: Place) -> dict[str, Any]:
    """
    Return the OpenID provider's metadata.

    Spec: OpenID Connect Discovery 1.0, section 3.
    """
    return {
        **_endpoints(place),
        "scopes_supported": [*PLAIN_SCOPES, *_DATA_SCOPES],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "at_hash", "fhirUser"],
    }


def capability_statement(place: Place) -> dict[str, Any]:
    """
    Return the FHIR CapabilityStatement, with the older form of discovery in its security part.

    Spec: FHIR R4, CapabilityStatement; SMART App Launch 2.2, conformance (deprecated `oauth-uris`).
    """
    uris = [("authorize", place.authorization_endpoint), ("token", place.token_endpoint)]
    uris += [("introspect", place.introspection_endpoint), ("revoke", place.revocation_endpoint)]
    uris += [("register", place.registration_endpoint)]
    service = {
        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
        "code": "SMART-on-FHIR",
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2025-01-01",
        "kind": "instance",
        "implementation": {"description": NOTICE, "url": place.fhir_base},
        "software": {"name": "smart-async sandbox"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "service": [{"coding": [service]}],
                    "extension": [
                        {
                            "url": _OAUTH_URIS,
                            "extension": [{"url": name, "valueUri": uri} for name, uri in uris],
                        }
                    ],
                },
                "resource": [
                    {"type": name, "interaction": [{"code": "read"}, {"code": "search-type"}]}
                    for name in RESOURCE_TYPES
                ],
            }
        ],
    }


def _endpoints(place: Place) -> dict[str, Any]:
    return {
        "issuer": place.issuer,
        "jwks_uri": place.jwks_uri,
        "authorization_endpoint": place.authorization_endpoint,
        "token_endpoint": place.token_endpoint,
        "introspection_endpoint": place.introspection_endpoint,
        "revocation_endpoint": place.revocation_endpoint,
        "registration_endpoint": place.registration_endpoint,
        "grant_types_supported": _GRANTS,
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": _AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
    }
