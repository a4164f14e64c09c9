"""What is measured with: keys made on the spot, a server's documents, a registration."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smart_async import PrivateKeyJWT, SigningKey, SmartConfig
from smart_async.smart.metadata import SmartMetadata

__all__ = (
    "BASE",
    "DISCOVERY",
    "KEY_NAMES",
    "PATIENT",
    "SCOPE",
    "TOKEN",
    "TOKEN_URL",
    "config",
    "discovery",
    "metadata",
    "pem",
    "private_key",
)

BASE = "https://ehr.example.com/r4"
TOKEN_URL = "https://ehr.example.com/oauth2/token"
SCOPE = "system/Patient.rs system/Observation.rs"

KEY_NAMES = ("ES384", "RSA-2048", "RSA-4096")

TOKEN = json.dumps(
    {
        "access_token": "eyJhbGciOiJSUzI1NiJ9." + "a" * 200 + "." + "b" * 86,
        "token_type": "bearer",
        "expires_in": 300,
        "scope": SCOPE,
    }
).encode()
"""A backend token's answer; the token is as long as a small JWT."""

PATIENT = json.dumps(
    {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"versionId": "1", "lastUpdated": "2024-05-01T12:00:00Z"},
        "active": True,
        "name": [{"use": "official", "family": "Example", "given": ["Pat", "Q."]}],
        "gender": "other",
        "birthDate": "1970-01-01",
        "address": [{"line": ["1 Main Street"], "city": "Springfield", "country": "US"}],
    }
).encode()
"""A small FHIR resource."""


def discovery(origin: str = "https://ehr.example.com") -> bytes:
    """
    Return a discovery document as a current EHR sends it.

    Args:
        origin: Where its endpoints are.
    """
    resources = ("Patient", "Observation", "Condition", "Encounter", "MedicationRequest", "Immunization")
    document = {
        "issuer": f"{origin}/r4",
        "jwks_uri": f"{origin}/oauth2/jwks",
        "authorization_endpoint": f"{origin}/oauth2/authorize",
        "token_endpoint": f"{origin}/oauth2/token",
        "introspection_endpoint": f"{origin}/oauth2/introspect",
        "revocation_endpoint": f"{origin}/oauth2/revoke",
        "registration_endpoint": f"{origin}/oauth2/register",
        "management_endpoint": f"{origin}/user/manage",
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "scopes_supported": [
            *("openid", "fhirUser", "profile", "launch", "launch/patient", "offline_access"),
            *(f"{level}/{name}.rs" for level in ("patient", "user", "system") for name in resources),
        ],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": [
            *("launch-ehr", "launch-standalone", "client-public", "client-confidential-symmetric"),
            *("client-confidential-asymmetric", "context-ehr-patient", "context-ehr-encounter"),
            *("context-standalone-patient", "context-banner", "context-style", "permission-offline"),
            *(
                "permission-patient",
                "permission-user",
                "permission-v1",
                "permission-v2",
                "sso-openid-connect",
            ),
            *("authorize-post", "smart-app-state"),
        ],
    }
    return json.dumps(document).encode()


DISCOVERY = discovery()


@cache
def private_key(name: str) -> Any:
    """
    Return a private key of `cryptography`, made once.

    Args:
        name: One of `KEY_NAMES`.
    """
    if name == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(name.removeprefix("RSA-")))


def pem(name: str) -> bytes:
    """Return the same key as PKCS #8 PEM."""
    return private_key(name).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def config(key: Any = None, *, fhir_base: str = BASE, client_id: str = "growth-chart") -> SmartConfig:
    """
    Return a backend registration.

    Args:
        key: The signing key; None for the ES384 one.
        fhir_base: The FHIR base; plain http only on loopback.
        client_id: The client id.
    """
    key = key or SigningKey.from_key(private_key("ES384"), kid="key-1")
    return SmartConfig(
        fhir_base=fhir_base,
        client_id=client_id,
        client_auth=PrivateKeyJWT(key),
        scope=SCOPE,
        allow_insecure_loopback=fhir_base.startswith("http://"),
    )


def metadata(token_url: str = TOKEN_URL) -> SmartMetadata:
    """Return what discovery would have found."""
    return SmartMetadata(
        fhir_base=BASE,
        token_endpoint=token_url,
        token_endpoint_auth_signing_alg_values_supported=("RS384", "ES384"),
    )
