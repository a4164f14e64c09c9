"""Where the sandbox is and how long its things live."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smart_async.errors import ConfigurationError
from smart_async.messages import parse_url

__all__ = ("Place", "Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How the sandbox behaves; every value has the default that SMART recommends.

    Args:
        clock: Returns Unix seconds; replace it to see what happens at an expiry without waiting.
        access_token_lifetime: Seconds that a user's access token lives; at most an hour is advised.
        backend_token_lifetime: Seconds that a token from `client_credentials` lives.
        refresh_token_lifetime: Seconds that a refresh token lives.
        id_token_lifetime: Seconds that an ID token lives.
        code_lifetime: Seconds that an authorization code can be exchanged.
        launch_lifetime: Seconds that a launch handle can be used.
        rotate_refresh_tokens: Whether each refresh replaces the refresh token. The replaced one, used
            again, then revokes everything that came from the same login.
        repeat_context: Whether a refresh answer repeats patient, encounter and the rest.
        initial_access_token: What a client must present to register itself; None lets everybody register.
        auto_consent: Whether the sandbox agrees for the user at once, instead of showing pages.
    """

    clock: Callable[[], float] = time.time
    access_token_lifetime: int = 3600
    backend_token_lifetime: int = 300
    refresh_token_lifetime: int = 90 * 24 * 3600
    id_token_lifetime: int = 3600
    code_lifetime: int = 60
    launch_lifetime: int = 600
    rotate_refresh_tokens: bool = True
    repeat_context: bool = True
    initial_access_token: str | None = field(default=None, repr=False)
    auto_consent: bool = True


class Place:
    """
    The sandbox's address, and every URL that follows from it.

    It can move once: a sandbox that is served learns its port only when the socket is open.

    Args:
        base_url: The origin, without a path: `https://sandbox.example` or `http://127.0.0.1:8080`.

    Raises:
        ConfigurationError: If that is not an https origin, or plain http on a loopback host.
    """

    def __init__(self, base_url: str) -> None:
        self.move(base_url)

    def move(self, base_url: str) -> None:
        """Take *base_url* as the address from now on."""
        url = parse_url(base_url.removesuffix("/"), field="base_url", allow_insecure_loopback=True)
        if url.path:
            raise ConfigurationError(
                "base_url has a path.",
                field="base_url",
                advice="The sandbox answers at the root of its host: give an origin such as https://sandbox.example.",
            )
        self.base_url = url.text
        self.origin = url.origin

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL, which is also the `aud` of authorization requests."""
        return f"{self.base_url}/fhir"

    @property
    def issuer(self) -> str:
        """The issuer of ID tokens and authorization responses."""
        return self.base_url

    @property
    def authorization_endpoint(self) -> str:
        """Where the browser goes."""
        return f"{self.base_url}/oauth2/authorize"

    @property
    def token_endpoint(self) -> str:
        """Where codes become tokens; the `aud` of every client assertion."""
        return f"{self.base_url}/oauth2/token"

    @property
    def introspection_endpoint(self) -> str:
        """Where the state of a token can be asked for."""
        return f"{self.base_url}/oauth2/introspect"

    @property
    def revocation_endpoint(self) -> str:
        """Where a token can be given back."""
        return f"{self.base_url}/oauth2/revoke"

    @property
    def registration_endpoint(self) -> str:
        """Where clients register themselves."""
        return f"{self.base_url}/oauth2/register"

    @property
    def jwks_uri(self) -> str:
        """Where the public keys of the ID tokens are."""
        return f"{self.base_url}/oauth2/keys"
