"""
The flows that the facades run, each loaded when it is first asked for.

A nightly job that wants one token should not load registration, introspection and the user's whole login to
get it: together they take longer to load than the request takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.smart.authorization import authorize
    from smart_async.smart.backend import backend_token
    from smart_async.smart.callback import exchange_code
    from smart_async.smart.discovery import discover
    from smart_async.smart.dynamic_client import register_dynamic_client
    from smart_async.smart.introspection import introspect
    from smart_async.smart.jwt_bearer import jwt_bearer_token
    from smart_async.smart.refresh import refresh
    from smart_async.smart.registration import register
    from smart_async.smart.registration_management import (
        delete_registration,
        read_registration,
        update_registration,
    )
    from smart_async.smart.renewal import backend_session, load_session, user_session
    from smart_async.smart.revocation import revoke
    from smart_async.smart.style import fetch_style

__all__ = (
    "authorize",
    "backend_session",
    "backend_token",
    "delete_registration",
    "discover",
    "exchange_code",
    "fetch_style",
    "introspect",
    "jwt_bearer_token",
    "load_session",
    "read_registration",
    "refresh",
    "register",
    "register_dynamic_client",
    "revoke",
    "update_registration",
    "user_session",
)

_HOMES = {
    "authorize": "authorization",
    "backend_session": "renewal",
    "backend_token": "backend",
    "delete_registration": "registration_management",
    "discover": "discovery",
    "exchange_code": "callback",
    "fetch_style": "style",
    "introspect": "introspection",
    "jwt_bearer_token": "jwt_bearer",
    "load_session": "renewal",
    "read_registration": "registration_management",
    "refresh": "refresh",
    "register": "registration",
    "register_dynamic_client": "dynamic_client",
    "revoke": "revocation",
    "update_registration": "registration_management",
    "user_session": "renewal",
}

__getattr__, __dir__ = loading(__name__, _HOMES, root="smart_async.smart")
