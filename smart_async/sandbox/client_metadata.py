"""What a client may say of itself when it registers, and what becomes of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from smart_async.errors import ConfigurationError
from smart_async.messages import JSONObject, parse_url
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.shapes import is_list, is_object
from smart_async.sandbox.verdicts import RefusedError

__all__ = ("register_metadata",)

_METHODS = ("private_key_jwt", "client_secret_basic", "none")
_URLS = ("client_uri", "logo_uri", "tos_uri", "policy_uri")
_STRINGS = (
    *_URLS,
    "token_endpoint_auth_method",
    "client_name",
    "scope",
    "jwks_uri",
    "software_id",
    "software_version",
    "application_type",
)
_LISTS = ("redirect_uris", "grant_types", "response_types", "contacts")
_DEFAULTS: Mapping[str, Any] = {
    "token_endpoint_auth_method": "client_secret_basic",
    "grant_types": ["authorization_code"],
    "response_types": ["code"],
    "redirect_uris": [],
}


def register_metadata(
    registry: Registry, client_id: str, members: JSONObject, *, client_secret: str | None = None
) -> JSONObject:
    """
    Register the client that *members* describe, and return the members as they are registered.

    What the sandbox does not know is left out of it; what is left out gets RFC 7591's defaults.

    Args:
        registry: The known clients.
        client_id: The client's id.
        members: What the client sent.
        client_secret: The secret that it has already.

    Raises:
        RefusedError: If a member is wrong, or does not go with another.

    Spec: RFC 7591, section 2.
    """
    document = {**_DEFAULTS, **_known(members)}
    method = document["token_endpoint_auth_method"]
    _check_consistency(document)
    if method == "client_secret_basic":
        document["client_secret"] = client_secret or secrets.token_urlsafe(32)
    try:
        client = registry.register(
            client_id=client_id,
            redirect_uris=document["redirect_uris"],
            jwks=document.get("jwks"),
            jwks_uri=document.get("jwks_uri"),
            client_secret=document.get("client_secret"),
            scope=document.get("scope"),
            grant_types=document["grant_types"],
            client_name=document.get("client_name"),
            logo_uri=document.get("logo_uri"),
        )
    except ConfigurationError as exc:
        code = "invalid_redirect_uri" if exc.field == "redirect_uris" else "invalid_client_metadata"
        raise RefusedError("RFC 7591 §2", exc.message, error=code) from None
    return {**document, "scope": " ".join(client.scopes)}


def _known(members: JSONObject) -> JSONObject:
    known: JSONObject = {}
    for name, value in members.items():
        if name in _STRINGS:
            if not isinstance(value, str) or not value:
                raise _wrong(f"{name} must be a non-empty string")
        elif name in _LISTS:
            if not is_list(value) or not all(isinstance(item, str) and item for item in value):
                raise _wrong(f"{name} must be an array of strings")
        elif name == "jwks":
            if not is_object(value):
                raise _wrong("jwks must be an object")
        else:
            continue
        known[name] = value
    return known


def _check_consistency(document: JSONObject) -> None:
    method, grants = document["token_endpoint_auth_method"], document["grant_types"]
    if method not in _METHODS:
        raise _wrong(f"token_endpoint_auth_method must be one of {', '.join(_METHODS)}")
    keys = {"jwks", "jwks_uri"} & document.keys()
    if method == "private_key_jwt" and len(keys) != 1:
        raise _wrong("private_key_jwt needs either jwks or jwks_uri (AS-15)")
    if method != "private_key_jwt" and keys:
        raise _wrong(f"a client that authenticates by {method} has no keys to register")
    if method == "none" and "client_credentials" in grants:
        raise _wrong("a client without authentication cannot use client_credentials (BS-01)")
    if document["response_types"] != (["code"] if "authorization_code" in grants else []):
        raise _wrong("response_types must be [code] with authorization_code, and [] without it")
    for name in _URLS:
        if name in document:
            _check_url(name, document[name])


def _check_url(name: str, url: str) -> None:
    try:
        _ = parse_url(url, field=name, allow_insecure_loopback=True, allow_query=True)
    except ConfigurationError as exc:
        raise _wrong(exc.message) from None


def _wrong(message: str) -> RefusedError:
    return RefusedError("RFC 7591 §2", message, error="invalid_client_metadata")
