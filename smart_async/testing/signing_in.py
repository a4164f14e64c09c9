"""Signing a user in without a browser."""

from __future__ import annotations

from smart_async.clients import AsyncSmartClient, SmartClient
from smart_async.sandbox import Sandbox
from smart_async.smart.launch import EHRLaunch
from smart_async.smart.tokens import Token

__all__ = ("async_sign_in", "sign_in")

_LAUNCH_URL = "https://app.example.com/launch"


def sign_in(
    client: SmartClient, sandbox: Sandbox, *, patient: str | None = None, encounter: str | None = None
) -> Token:
    """
    Return the token of a login in which the user agreed to everything.

    Args:
        client: The client, over `sandbox.transport()` or the served sandbox.
        sandbox: The sandbox.
        patient: Whose chart the EHR had open when it launched the app; None for a standalone login.
        encounter: In which encounter.

    Raises:
        SmartError: If the login fails.
    """
    launch = _launch(sandbox, patient, encounter)
    pending = client.authorize(launch=launch, scope=_scope(client.config.scope, launch))
    return client.exchange_code(pending, sandbox.authorize(pending.url))


async def async_sign_in(
    client: AsyncSmartClient, sandbox: Sandbox, *, patient: str | None = None, encounter: str | None = None
) -> Token:
    """Return the token of a login in which the user agreed to everything; the twin of `sign_in`."""
    launch = _launch(sandbox, patient, encounter)
    pending = await client.authorize(launch=launch, scope=_scope(client.config.scope, launch))
    return await client.exchange_code(pending, sandbox.authorize(pending.url))


def _launch(sandbox: Sandbox, patient: str | None, encounter: str | None) -> EHRLaunch | None:
    if patient is None:
        return None
    return EHRLaunch.from_url(sandbox.launch_url(_LAUNCH_URL, patient=patient, encounter=encounter))


def _scope(scope: str, launch: EHRLaunch | None) -> str | None:
    if launch is None or "launch" in scope.split():
        return None
    return f"launch {scope}"
