"""What a diagnosis is made from: the facts, gathered first and judged afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeAlias

from smart_async._values import dataclass
from smart_async.errors import ProtocolError, SmartError, TransportError
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.messages import JSON, Finding, Response, strict_loads
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.client_secret import ClientSecret, PublicClient
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.scopes import Scopes
from smart_async.smart.tokens import Token

__all__ = ("Assertion", "Evidence", "Fetched", "TlsFacts", "TlsProblem", "shown")

TlsProblem: TypeAlias = Literal[
    "expired", "name", "self-signed", "untrusted", "old", "failed", "unreachable", "unknown-host"
]
"""Why no trusted TLS connection came about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFacts:
    """
    What was seen of one server's TLS.

    Args:
        host: The host and port that were connected to.
        version: The protocol version that was agreed, such as `TLSv1.3`.
        names: The host names in the certificate.
        issuer: Who issued the certificate.
        not_after: Unix seconds at which the certificate expires.
        problem: Why the connection is not trusted, or None.
    """

    host: str
    version: str | None = None
    names: tuple[str, ...] = ()
    issuer: str | None = None
    not_after: float | None = None
    problem: TlsProblem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """
    The outcome of one request: an answer, or why there was none.

    Args:
        url: What was asked for.
        response: The answer.
        error: Why there was none.
    """

    url: str
    response: Response | None = None
    error: TransportError | None = None

    @property
    def document(self) -> JSON | None:
        """The JSON in the answer, or None if it holds none."""
        if self.response is None:
            return None
        try:
            document: JSON = strict_loads(self.response.body)
        except ProtocolError:
            return None
        return document

    @property
    def is_html(self) -> bool:
        """Whether the answer is a web page."""
        if self.response is None:
            return False
        return self.response.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """
    A client assertion without its signature.

    Args:
        header: Its header.
        claims: Its claims.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Evidence:
    """
    Everything that was seen, filled in step by step.

    Args:
        config: The registration; None if there is no usable one.
        scopes: The scopes that would be asked for.
        key_problem: The error that loading the key or the configuration raised.
        key_findings: What was noticed about the key file.
        jwks_url: Where the client's public keys are.
        registered_jwks_url: The JWK Set URL that is registered with the server.
        try_token: Whether a token is to be asked for.
        proxy_in_environment: The proxy that the environment names and that was not used.
    """

    config: SmartConfig | None
    scopes: Scopes
    key_problem: SmartError | None = None
    key_findings: tuple[Finding, ...] = ()
    jwks_url: str | None = None
    registered_jwks_url: str | None = None
    try_token: bool = False
    proxy_in_environment: str | None = None
    document: Response | None = None
    discovery_error: SmartError | None = None
    metadata: SmartMetadata | None = None
    found_base: str | None = None
    jwks: Fetched | None = None
    jwks_refused: str | None = None
    jwks_at_origin: Fetched | None = None
    probe: Fetched | None = None
    assertion: Assertion | None = None
    assertion_error: Exception | None = None
    signed_at: float = 0.0
    tls: TlsFacts | None = None
    tls_why_not: str = ""
    answer: Token | SmartError | None = None
    not_sent: str = ""
    seen: list[Response] = field(default_factory=list[Response])

    @property
    def auth(self) -> PrivateKeyJWT | None:
        """The way to authenticate with a key, if that is the configured one."""
        auth = self.config.client_auth if self.config else None
        return auth if isinstance(auth, PrivateKeyJWT) else None

    @property
    def has_secret(self) -> bool:
        """Whether the configured way to authenticate is a client secret."""
        return self.config is not None and isinstance(self.config.client_auth, ClientSecret)

    @property
    def signer(self) -> Signer | AsyncSigner | None:
        """The key that signs: the one that the assertion names, else the first."""
        signers = self.auth.signers if self.auth else ()
        kid = self.assertion.header.get("kid") if self.assertion else None
        return next((each for each in signers if each.kid == kid), signers[0] if signers else None)

    @property
    def keys_url(self) -> str | None:
        """Where the server looks for the client's keys, as far as is known."""
        return self.registered_jwks_url or self.jwks_url or (self.auth.jku if self.auth else None)

    @property
    def is_backend(self) -> bool:
        """Whether this client gets tokens for itself, with no user involved."""
        if self.config is None or self.config.redirect_uri is None:
            return True
        return all(scope.level == "system" for scope in self.scopes)

    @property
    def why_not_try(self) -> str:
        """Why no token is asked for; empty where one is."""
        if not self.try_token:
            return "Not asked for. With --try (try_token=True) a token is asked for and the answer read."
        if self.config is None or self.key_problem is not None or self.assertion_error is not None:
            return "There is nothing that a request could be signed with."
        if self.metadata is None:
            return "The token endpoint is not known."
        if isinstance(self.config.client_auth, PublicClient):
            return "A public client proves nothing about itself, and gets a token only through a login."
        if not self.is_backend:
            return "This client's tokens need somebody who signs in; try it with: smart-async login."
        return self.not_sent


def shown(url: str | None) -> str:
    """
    Return *url* as it may be shown: without its query, which can hold a signature or a key.

    >>> shown("https://keys.example.com/jwks.json?sig=abc")
    'https://keys.example.com/jwks.json?…'
    """
    place, mark, _ = (url or "").partition("?")
    return f"{place}?…" if mark else place
