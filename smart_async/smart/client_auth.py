"""
How a client proves to the authorization server that it is that client.

One object does it for every endpoint. It returns form fields and headers to add to a request, and
exactly one method is ever used in one request: sending two is an error to most servers and a leak to the
rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.interfaces import AsyncSigner, Signer
from smart_async.messages import discreet_init

if TYPE_CHECKING:
    from smart_async.flow import Flow
    from smart_async.keys.ring import KeyRing
    from smart_async.keys.ring_source import RingSource
    from smart_async.smart.config import SmartConfig
    from smart_async.smart.entropy import Entropy
    from smart_async.smart.metadata import SmartMetadata

__all__ = ("Authentication", "ClientAuth", "PrivateKeyJWT")

_ASSERTION_TYPE = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """
    What to add to a request so that it is authenticated.

    Args:
        headers: Header fields.
        fields: Form fields.
    """

    headers: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Name the fields, never their values."""
        return f"<Authentication by {', '.join(name for name, _ in self.headers + self.fields)}>"


class ClientAuth(Protocol):
    """One way for a client to authenticate, the same object at every endpoint."""

    def check(self, config: SmartConfig) -> None:
        """Raise `ConfigurationError` if it cannot work with *config*."""
        ...

    def authenticate(
        self, config: SmartConfig, metadata: SmartMetadata, audience: str, *, entropy: Entropy
    ) -> Flow[Authentication]:
        """
        Return what authenticates one request.

        Args:
            config: The registration.
            metadata: What the server says of itself.
            audience: The URL that an assertion is meant for.
            entropy: The source of random bytes.
        """
        ...


@discreet_init
@dataclass(frozen=True, slots=True)
class PrivateKeyJWT:
    """
    Authenticate with a short-lived JWT, signed by the client's own private key (`private_key_jwt`).

    The server holds only the public key, so there is no secret that both sides could lose. SMART calls
    this client type *confidential asymmetric* and prefers it.

    Args:
        key: The signing key, or any other `Signer`; or a `KeyRing`, or something that holds one (a
            `RingHolder`, a `KeyFolder`), of which each assertion is signed with the first active key that
            the server accepts. A ring that is exchanged is used from the next assertion on.
        jku: The URL of the JWK Set you registered, sent as the `jku` header. Leave it out unless the
            server asks for it: it must equal the registered URL exactly, and helps nobody otherwise.
        algorithm: Insist on this JWS algorithm; it must be the signer's, or of a ring an active key's. By
            default it is the signer's own, and refused where the server lists others; a server whose list is
            wrong needs it named.

    Raises:
        ConfigurationError: If *key* cannot sign, *jku* is not https or *algorithm* is not what *key* signs
            with.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric; RFC 7523, section 2.2.
    """

    key: Signer | AsyncSigner | RingSource
    jku: str | None = None
    algorithm: str | None = None
    # Which of the two it is, found out once: asking a protocol costs as much as making half an assertion.
    _signer: Signer | AsyncSigner | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the combination now rather than at the first token request."""
        signer = self.key if isinstance(self.key, Signer | AsyncSigner) else None
        if signer is None:
            self._check_ring()
        object.__setattr__(self, "_signer", signer)
        # The class itself has all the methods of a signer, too.
        if isinstance(self.key, type):
            raise self._no_key()
        if self.jku is not None:
            from smart_async.messages import parse_url

            _ = parse_url(self.jku, field="jku", allow_query=True)
        if signer is None and self.algorithm is not None:
            _ = self._ring.choose(algorithm=self.algorithm)
        elif signer is not None and self.algorithm not in (None, signer.algorithm):
            raise ConfigurationError(
                f"The key signs with {signer.algorithm}, not {self.algorithm}.",
                field="algorithm",
                advice="Leave algorithm out, or load the key with algorithm= to override it.",
            )

    def _check_ring(self) -> None:
        from smart_async.keys.ring_source import holds_ring  # most clients have one key and no ring

        if not holds_ring(self.key):
            raise self._no_key()

    def _no_key(self) -> ConfigurationError:
        return ConfigurationError(
            f"PrivateKeyJWT needs a signing key, not {type(self.key).__name__}.",
            field="client_auth",
            advice="Make one with SigningKey.from_pem(pem_bytes), or pass any other Signer or a KeyRing.",
        )

    @property
    def signers(self) -> tuple[Signer | AsyncSigner, ...]:
        """The key, or all keys of the ring that is in force now."""
        return (self._signer,) if self._signer is not None else self._ring.keys

    @property
    def _ring(self) -> KeyRing:
        return cast("RingSource", self.key).ring

    def check(self, config: SmartConfig) -> None:
        """Accept any *config*: a key works in every flow."""

    def authenticate(
        self, config: SmartConfig, metadata: SmartMetadata, audience: str, *, entropy: Entropy
    ) -> Flow[Authentication]:
        """Return the two assertion fields, signed anew: a server accepts each assertion once."""
        assertion = yield from _sign_assertion()(
            self._signer_for(metadata),
            client_id=config.client_id,
            audience=config.assertion_audience or audience,
            lifetime=config.assertion_lifetime,
            backdate=config.assertion_backdate,
            jku=self.jku,
            nbf=config.assertion_nbf,
            header=config.assertion_header,
            entropy=entropy,
        )
        fields: tuple[tuple[str, str], ...] = (_ASSERTION_TYPE, ("client_assertion", assertion))
        if config.client_id_in_body:
            fields = (("client_id", config.client_id), *fields)
        return Authentication(fields=fields)

    def _signer_for(self, metadata: SmartMetadata) -> Signer | AsyncSigner:
        if self._signer is None:
            listed = metadata.token_endpoint_auth_signing_alg_values_supported
            return self._ring.choose(listed, self.algorithm, endpoint=metadata.token_endpoint)
        if self.algorithm is None:
            check_algorithm(self._signer.algorithm, metadata)
        return self._signer


@cache
def _sign_assertion() -> Callable[..., Flow[str]]:
    from smart_async.smart.assertions import sign_assertion  # the first token needs it, and no client before

    return sign_assertion


def check_algorithm(algorithm: str, metadata: SmartMetadata) -> None:
    """
    Refuse to sign with an algorithm that the server says it does not accept.

    Args:
        algorithm: The signer's algorithm.
        metadata: The server's metadata; where it lists no algorithms, anything goes.

    Raises:
        ConfigurationError: Before anything is sent, naming both sides.
    """
    listed = metadata.token_endpoint_auth_signing_alg_values_supported
    if listed and algorithm not in listed:
        from smart_async.messages import clean_text

        raise ConfigurationError(
            f"The key signs with {algorithm}, and the server accepts only {clean_text(', '.join(listed))}.",
            field="client_auth",
            endpoint=metadata.token_endpoint,
            advice=(
                "Register and use a key of a kind that the server lists: RSA for RS384, P-384 for ES384. If "
                "the list is wrong, insist with PrivateKeyJWT(key, algorithm=...)."
            ),
        )
