"""
SMART on FHIR authorization for asyncio, trio and plain Python.

`AsyncSmartClient` and `SmartClient` get tokens from the authorization server in front of a FHIR server, as
the client that `SmartConfig` describes. Everything public is here, loaded when it is first used: importing
the package itself costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.clients._async import AsyncSmartClient
    from smart_async.clients._async_session import AsyncSmartSession
    from smart_async.clients._diagnosis import async_diagnose, diagnose
    from smart_async.clients._paging import fhir_pages
    from smart_async.clients._registry import AsyncEHRRegistry, EHRRegistry
    from smart_async.clients._session import SmartSession
    from smart_async.clients._sync import SmartClient
    from smart_async.errors import (
        CallbackError,
        ConfigurationError,
        ContextChangedError,
        DiscoveryError,
        EndpointChangedError,
        IdTokenError,
        LaunchRejectedError,
        OAuthError,
        OutcomeUnknownError,
        ProtocolError,
        RegistrationChangedError,
        SessionEndedError,
        SmartError,
        StoreError,
        TokenOriginError,
        TokenResponseError,
        TransportError,
    )
    from smart_async.files.env import config_from_env
    from smart_async.files.keyfiles import load_signing_key
    from smart_async.keys.jwks import public_jwks
    from smart_async.keys.ring import KeyRing
    from smart_async.keys.signing_key import SigningKey
    from smart_async.limits import Limits, Timeouts
    from smart_async.messages.events import Event
    from smart_async.messages.findings import Finding
    from smart_async.messages.secret import Secret
    from smart_async.smart.client_auth import PrivateKeyJWT
    from smart_async.smart.client_metadata import ClientMetadata
    from smart_async.smart.client_registration import ClientRegistration
    from smart_async.smart.client_secret import ClientSecret, PublicClient
    from smart_async.smart.config import SmartConfig
    from smart_async.smart.diagnosis.explain import Explanation, explain
    from smart_async.smart.diagnosis.report import Cause, Check, Diagnosis
    from smart_async.smart.identity import FhirUser, Identity
    from smart_async.smart.introspection import TokenStatus
    from smart_async.smart.launch import EHRLaunch, FhirContextItem, LaunchContext
    from smart_async.smart.metadata import AssociatedEndpoint, SmartMetadata
    from smart_async.smart.pending import PendingAuthorization
    from smart_async.smart.scopes import Scope, Scopes
    from smart_async.smart.tokens import Token

_HOMES = {
    "AssociatedEndpoint": "smart.metadata",
    "AsyncEHRRegistry": "clients._registry",
    "AsyncSmartClient": "clients._async",
    "AsyncSmartSession": "clients._async_session",
    "CallbackError": "errors",
    "Cause": "smart.diagnosis.report",
    "Check": "smart.diagnosis.report",
    "ClientMetadata": "smart.client_metadata",
    "ClientRegistration": "smart.client_registration",
    "ClientSecret": "smart.client_secret",
    "ConfigurationError": "errors",
    "ContextChangedError": "errors",
    "Diagnosis": "smart.diagnosis.report",
    "DiscoveryError": "errors",
    "EHRLaunch": "smart.launch",
    "EHRRegistry": "clients._registry",
    "EndpointChangedError": "errors",
    "Event": "messages.events",
    "Explanation": "smart.diagnosis.explain",
    "FhirContextItem": "smart.launch",
    "FhirUser": "smart.identity",
    "Finding": "messages.findings",
    "IdTokenError": "errors",
    "Identity": "smart.identity",
    "KeyRing": "keys.ring",
    "LaunchContext": "smart.launch",
    "LaunchRejectedError": "errors",
    "Limits": "limits",
    "OAuthError": "errors",
    "OutcomeUnknownError": "errors",
    "PendingAuthorization": "smart.pending",
    "PrivateKeyJWT": "smart.client_auth",
    "ProtocolError": "errors",
    "PublicClient": "smart.client_secret",
    "RegistrationChangedError": "errors",
    "Scope": "smart.scopes",
    "Scopes": "smart.scopes",
    "Secret": "messages.secret",
    "SessionEndedError": "errors",
    "SigningKey": "keys.signing_key",
    "SmartClient": "clients._sync",
    "SmartConfig": "smart.config",
    "SmartError": "errors",
    "SmartMetadata": "smart.metadata",
    "SmartSession": "clients._session",
    "StoreError": "errors",
    "Timeouts": "limits",
    "Token": "smart.tokens",
    "TokenOriginError": "errors",
    "TokenResponseError": "errors",
    "TokenStatus": "smart.introspection",
    "TransportError": "errors",
    "async_diagnose": "clients._diagnosis",
    "config_from_env": "files.env",
    "diagnose": "clients._diagnosis",
    "explain": "smart.diagnosis.explain",
    "fhir_pages": "clients._paging",
    "load_signing_key": "files.keyfiles",
    "public_jwks": "keys.jwks",
}

__all__ = (
    "AssociatedEndpoint",
    "AsyncEHRRegistry",
    "AsyncSmartClient",
    "AsyncSmartSession",
    "CallbackError",
    "Cause",
    "Check",
    "ClientMetadata",
    "ClientRegistration",
    "ClientSecret",
    "ConfigurationError",
    "ContextChangedError",
    "Diagnosis",
    "DiscoveryError",
    "EHRLaunch",
    "EHRRegistry",
    "EndpointChangedError",
    "Event",
    "Explanation",
    "FhirContextItem",
    "FhirUser",
    "Finding",
    "IdTokenError",
    "Identity",
    "KeyRing",
    "LaunchContext",
    "LaunchRejectedError",
    "Limits",
    "OAuthError",
    "OutcomeUnknownError",
    "PendingAuthorization",
    "PrivateKeyJWT",
    "ProtocolError",
    "PublicClient",
    "RegistrationChangedError",
    "Scope",
    "Scopes",
    "Secret",
    "SessionEndedError",
    "SigningKey",
    "SmartClient",
    "SmartConfig",
    "SmartError",
    "SmartMetadata",
    "SmartSession",
    "StoreError",
    "Timeouts",
    "Token",
    "TokenOriginError",
    "TokenResponseError",
    "TokenStatus",
    "TransportError",
    "async_diagnose",
    "config_from_env",
    "diagnose",
    "explain",
    "fhir_pages",
    "load_signing_key",
    "public_jwks",
)

__getattr__, __dir__ = loading(__name__, _HOMES)
