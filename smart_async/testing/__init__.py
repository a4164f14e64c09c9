"""
For tests of apps that use this library: a sandbox EHR, clients registered with it, and its verdicts.

The pytest plugin brings fixtures, and is found by itself once `pip install "smart-async[testing]"` has been
run. The functions are for tests of every other kind.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    # Loaded on first use: pytest imports this package in every run, also where nobody asks for a fixture.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
