"""
Every door through which something from outside comes in, with a message that is valid there.

The broken-messages test knocks at each with a valid message that has one thing wrong, the fuzzer with
whatever it finds. Behind all of them holds the same: in, or an error of ours, and within a moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, quote

from smart_async import (
    ClientMetadata,
    ClientRegistration,
    EHRLaunch,
    PendingAuthorization,
    PublicClient,
    Secret,
    SigningKey,
    SmartConfig,
    Token,
)
from smart_async.keys import ALGORITHMS, b64url_encode, compact, parse_jwks, signing_input, verify_jws
from smart_async.messages import Headers, Response, parse_url, resolve_url, strict_loads
from smart_async.smart.binding import Binding
from smart_async.smart.callback import parse_callback
from smart_async.smart.capability_statement import parse_capability_statement
from smart_async.smart.challenges import parse_challenges
from smart_async.smart.discovery import parse_discovery
from smart_async.smart.id_token import ID_TOKEN_ALGORITHMS, verify_id_token
from smart_async.smart.introspection import parse_introspection
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.registration_answer import parse_registration
from smart_async.smart.scopes import Scopes
from smart_async.smart.server_keys import parse_server_keys
from smart_async.smart.style import parse_style
from smart_async.smart.token_response import parse_token_response

__all__ = ("DOORS", "NOW", "Door", "response")

NOW = 1_750_000_000
BASE, SSO = "https://ehr.example.com/r4", "https://sso.example.com"


@dataclass(frozen=True)
class Door:
    """
    One parser.

    Args:
        valid: Messages that it takes: JSON values, or texts.
        enter: Gives it a message as bytes; returns what it made of it, or raises an error of ours.
    """

    valid: tuple[Any, ...]
    enter: Callable[[bytes], Any]


def response(body: bytes, status: int = 200, **headers: str) -> Response:
    """An answer of a server, received now."""
    fields = Headers({"Content-Type": "application/json", **headers})
    return Response(status=status, headers=fields, body=body, url=f"{SSO}/x", received_at=float(NOW))


CONFIG = SmartConfig(
    fhir_base=BASE,
    client_id="c1",
    client_auth=PublicClient(),
    redirect_uri="https://app.example.com/cb",
    scope="openid launch/patient patient/*.rs",
)
BINDING = Binding(fhir_base=BASE, client_id="c1", issuer=SSO, token_endpoint=f"{SSO}/token")
DISCOVERY = {
    "issuer": SSO,
    "jwks_uri": f"{SSO}/keys",
    "authorization_endpoint": f"{SSO}/authorize",
    "token_endpoint": "auth/token",
    "introspection_endpoint": f"{SSO}/introspect",
    "grant_types_supported": ["authorization_code"],
    "token_endpoint_auth_methods": ["private_key_jwt"],
    "scopes_supported": ["openid", "patient/*.rs"],
    "capabilities": ["launch-ehr", "permission-v2"],
    "code_challenge_methods_supported": ["S256"],
    "associated_endpoints": [{"url": BASE, "capabilities": ["smart-app-state"]}],
    "user_access_brand_identifier": {"system": "urn:x", "value": "y"},
    "authorization_response_iss_parameter_supported": True,
}
TOKEN = {
    "access_token": "at-1",
    "token_type": "bearer ",
    "expires_in": "3600",
    "scope": "openid launch/patient patient/*.rs",
    "refresh_token": "rt-1",
    "patient": "Patient/p1",
    "encounter": "e1",
    "need_patient_banner": "true",
    "smart_style_url": f"{BASE}/style.json",
    "intent": "x",
    "tenant": "t",
    "fhirContext": [{"reference": "ImagingStudy/1", "role": "https://x.example/r"}, "Observation/2"],
    "authorization_details": [
        {"type": "smart_on_fhir", "locations": [BASE], "fhirVersions": ["4.0.1"], "scope": "patient/*.rs"}
    ],
}
ERRORS = (
    {"error": "invalid_grant", "error_description": "no", "error_uri": "https://x.example"},
    {"resourceType": "OperationOutcome", "issue": [{"code": "x", "details": {"text": "no"}}]},
    {"errorCode": "invalid_client", "errorSummary": "no", "errorCauses": []},
    {"error": {"code": 400, "message": "no"}},
)
INTROSPECTION = {
    "active": True,
    "scope": "patient/*.rs",
    "client_id": "c1",
    "exp": NOW + 60,
    "patient": "p1",
    "iss": SSO,
    "sub": "u",
    "fhirUser": f"{BASE}/Practitioner/1",
}
REGISTRATION = {
    "client_id": "c2",
    "client_id_issued_at": NOW,
    "client_secret": "s",
    "client_secret_expires_at": 0,
    "registration_client_uri": f"{SSO}/register/c2",
    "registration_access_token": "rat",
    "redirect_uris": ["https://app.example.com/cb"],
    "grant_types": ["authorization_code"],
    "token_endpoint_auth_method": "client_secret_basic",
    "client_name": "x",
}
STATEMENT = {
    "resourceType": "CapabilityStatement",
    "rest": [
        {
            "mode": "server",
            "security": {
                "service": [{"coding": [{"code": "SMART-on-FHIR"}]}],
                "extension": [
                    {
                        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                        "extension": [
                            {"url": "token", "valueUri": f"{SSO}/token"},
                            {"url": "authorize", "valueUri": f"{SSO}/authorize"},
                        ],
                    }
                ],
            },
        }
    ],
}
STYLE = {"color_background": "#fff", "dim_spacing_size": "20px"}
CLAIMS = {
    "iss": SSO,
    "sub": "u",
    "aud": ["c1"],
    "azp": "c1",
    "iat": NOW,
    "exp": NOW + 600,
    "nonce": "n",
    "fhirUser": "Patient/1",
    "at_hash": "x",
}
HEADER = {"alg": "ES256", "kid": "k", "typ": "JWT"}
CALLBACK = "https://app.example.com/cb?code=code-1&state=state-1&iss=https%3A%2F%2Fsso.example.com"
LAUNCH = f"https://app.example.com/launch?iss={quote(BASE, safe='')}&launch=x1"
CHALLENGES = (
    'Bearer realm="x", error="invalid_token", error_description="expired \\"now\\""',
    'Basic abc==, Bearer scope="patient/*.rs"',
)
URLS = (
    "https://ehr.example.com:8443/r4?x=%20y",
    "https://[2001:db8::1]/r4",
    "auth/token",
    "https://127.0.0.1/",
)
SCOPES = ("openid fhirUser launch/patient patient/Observation.rs?category=x&y=z system/*.cruds user/*.read",)


@cache
def _key() -> SigningKey:
    return SigningKey.generate("ES256", kid="k")


@cache
def _keys() -> tuple[Any, ...]:
    return parse_jwks({"keys": [_key().public_jwk()]})


@cache
def _pending() -> PendingAuthorization:
    return PendingAuthorization(
        state="state-1",
        code_verifier=Secret("v" * 43),
        nonce=Secret("n"),
        binding=BINDING,
        authorization_endpoint=f"{SSO}/authorize",
        redirect_uri="https://app.example.com/cb",
        scope="openid patient/*.rs",
        aud=BASE,
        extra=(("x", "y"),),
        created_at=float(NOW),
        expires_at=NOW + 600.0,
        iss_expected=True,
    )


@cache
def _stored(kind: str) -> Any:
    made: dict[str, Callable[[], str]] = {
        "pending": lambda: _pending().to_json(),
        "token": lambda: _token(json.dumps(TOKEN).encode()).to_json(),
        "registration": lambda: _registration(json.dumps(REGISTRATION).encode()).to_json(),
    }
    return json.loads(made[kind]())


def _token(body: bytes) -> Token:
    return parse_token_response(response(body), binding=BINDING, requested_scope="patient/*.rs")


def _refreshed(body: bytes) -> Token:
    return parse_token_response(
        response(body),
        binding=BINDING,
        requested_scope="patient/*.rs",
        previous=_token(json.dumps(TOKEN).encode()),
    )


def _registration(body: bytes) -> ClientRegistration:
    return parse_registration(
        response(body, 201),
        requested=ClientMetadata(redirect_uris=["https://app.example.com/cb"]),
        binding=BINDING,
        registration_endpoint=f"{SSO}/register",
    )


def _signed(header: Any, claims: Any) -> str:
    parts = ".".join(b64url_encode(json.dumps(part).encode()) for part in (header, claims))
    return compact(parts.encode(), _key().sign(parts.encode()))


def _verified(token: str) -> Any:
    return verify_id_token(
        Secret(token),
        keys=_keys(),
        algorithms=ID_TOKEN_ALGORITHMS,
        issuer=SSO,
        client_id="c1",
        nonce=Secret("n"),
        access_token=None,
        fhir_base=BASE,
        trusted_audiences=(),
        now=float(NOW),
        max_age=3600.0,
    )


def _claims(body: bytes) -> Any:
    return _verified(_signed(HEADER, strict_loads(body)))


def _header(body: bytes) -> Any:
    return _verified(_signed(strict_loads(body), CLAIMS))


def _jws(body: bytes) -> Any:
    return verify_jws(body.decode("latin-1"), _keys(), algorithms=ALGORITHMS)


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _callback_members(body: bytes) -> Any:
    members = strict_loads(body)
    if isinstance(members, dict):
        return parse_callback(_pending(), members, now=float(NOW))
    return None


def _authentic(text: str) -> Any:
    """Both ways to read a URL; where one is taken, what httpx and urllib read is the same host."""
    made = resolve_url(f"{BASE}/", text, field="x")
    return made, parse_url(text, field="x", allow_query=True)


def _pairs(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text.partition("?")[2], keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


DOORS: dict[str, Door] = {
    "strict JSON": Door((DISCOVERY, TOKEN, [], "x", 1.5e3, None), strict_loads),
    "URL": Door(URLS, lambda body: _authentic(_text(body))),
    "scopes": Door(SCOPES, lambda body: Scopes.parse(_text(body))),
    "discovery": Door((DISCOVERY,), lambda body: parse_discovery(response(body), CONFIG).conformance()),
    "token response": Door((TOKEN,), _token),
    "refreshed token": Door((TOKEN,), _refreshed),
    "OAuth error": Door(ERRORS, lambda body: parse_oauth_error(response(body, 400))),
    "introspection": Door(
        (INTROSPECTION, {"active": False}), lambda body: parse_introspection(response(body))
    ),
    "registration": Door((REGISTRATION,), _registration),
    "JWK Set": Door(
        ({"keys": [_key().public_jwk(), {"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "sig"}]},),
        lambda body: parse_server_keys(response(body)),
    ),
    "ID token claims": Door((CLAIMS,), _claims),
    "ID token header": Door((HEADER,), _header),
    "JWS": Door((_signed(HEADER, CLAIMS), compact(signing_input(HEADER, CLAIMS), _key().sign(b"x"))), _jws),
    "callback URL": Door((CALLBACK,), lambda body: parse_callback(_pending(), _text(body), now=float(NOW))),
    "callback members": Door(
        ({"code": "c", "state": "state-1", "iss": SSO}, {"error": "x", "state": "state-1", "iss": SSO}),
        _callback_members,
    ),
    "launch URL": Door((LAUNCH,), lambda body: EHRLaunch.from_url(_text(body))),
    "capability statement": Door((STATEMENT,), lambda body: parse_capability_statement(response(body))),
    "style": Door((STYLE,), lambda body: parse_style(response(body))),
    "WWW-Authenticate": Door(CHALLENGES, lambda body: parse_challenges(_text(body))),
    "stored token": Door((_stored("token"),), Token.from_json),
    "stored login": Door((_stored("pending"),), PendingAuthorization.from_json),
    "stored registration": Door((_stored("registration"),), ClientRegistration.from_json),
    "private JWK": Door(
        ({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "d": "AA"},),
        lambda body: SigningKey.from_jwk(body),
    ),
    "key file": Door(
        ("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",), SigningKey.from_bytes
    ),
}
"""Every parser that reads what somebody else wrote, by what it reads."""
