"""
For tests of apps that use this library: a sandbox EHR, clients registered with it, and its verdicts.

The pytest plugin brings fixtures, and is found by itself once `pip install "smart-async[testing]"` has been
run. The functions are for tests of every other kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.testing.checks import assert_no_violations, requests_to, violations
    from smart_async.testing.clients import REDIRECT_URI, ClientKind, registered
    from smart_async.testing.signing_in import async_sign_in, sign_in

_HOMES = {
    "REDIRECT_URI": "clients",
    "ClientKind": "clients",
    "assert_no_violations": "checks",
    "async_sign_in": "signing_in",
    "registered": "clients",
    "requests_to": "checks",
    "sign_in": "signing_in",
    "violations": "checks",
}

__all__ = (
    "REDIRECT_URI",
    "ClientKind",
    "assert_no_violations",
    "async_sign_in",
    "registered",
    "requests_to",
    "sign_in",
    "violations",
)

__getattr__, __dir__ = loading(__name__, _HOMES)
