"""The signed-in user, as a request of the app gets to know them."""

from __future__ import annotations

from dataclasses import field

import httpx

from smart_async._values import dataclass
from smart_async.clients._async import AsyncSmartClient
from smart_async.clients._async_session import AsyncSmartSession
from smart_async.smart.identity import Identity
from smart_async.smart.launch import LaunchContext
from smart_async.smart.tokens import Token

__all__ = ("SignedIn",)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """
    Who is signed in, and the way to their data.

    Args:
        token: A token that works now; `http` renews it by itself.
        session: The session that it belongs to.
        client: The client of the EHR.
        http: An `httpx.AsyncClient` with the EHR's FHIR base and the token: `http.get("Patient/1")`. Its
            connections are shared by all users and its token is this user's. It need not be closed.
        form_token: Put it into your sign-out form as a hidden field of this name, for browsers that do not
            say where a form comes from. It is no secret from this user, and of no use to anybody else.
    """

    token: Token
    session: AsyncSmartSession
    client: AsyncSmartClient
    http: httpx.AsyncClient = field(repr=False)
    form_token: str = field(repr=False)

    @property
    def context(self) -> LaunchContext:
        """The patient, encounter and so on that the token was issued for."""
        return self.token.context

    @property
    def identity(self) -> Identity | None:
        """The verified ID token; None where none was asked for."""
        return self.token.identity
