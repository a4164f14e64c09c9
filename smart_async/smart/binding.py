"""
Stored things go back only where they came from.

A pending login holds a code verifier, a token holds a refresh token: either is worth stealing, and the
FHIR server's own document says where they are sent. So both remember their origin, and a document that
has changed since is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, EndpointChangedError
from smart_async.messages import parse_url, same_base
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import SmartMetadata

__all__ = ("Binding", "check_binding", "check_registration", "origin_of", "recorded_endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """
    Which registration at which server something belongs to.

    Args:
        fhir_base: The FHIR base URL.
        client_id: The client.
        issuer: The authorization server's issuer, or None where it names none.
        token_endpoint: Its token endpoint.
    """

    fhir_base: str
    client_id: str
    issuer: str | None
    token_endpoint: str

    @classmethod
    def of(cls, config: SmartConfig, metadata: SmartMetadata) -> Binding:
        """Return the binding of what *config* is about to get from the server that *metadata* describes."""
        return cls(
            fhir_base=config.fhir_base,
            client_id=config.client_id,
            issuer=metadata.issuer,
            token_endpoint=metadata.token_endpoint,
        )

    def to_members(self) -> dict[str, str | None]:
        """Return the JSON members that `from_members` reads."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_members(cls, members: Mapping[str, object]) -> Binding:
        """
        Read what `to_members` returned.

        Raises:
            KeyError: If a member is missing.
            TypeError: If a member is not a string.
        """
        values = {name: members[name] for name in cls.__slots__}
        if not all(
            isinstance(value, str) or (name == "issuer" and value is None) for name, value in values.items()
        ):
            raise TypeError("a binding holds strings")
        return cls(**values)  # type: ignore[arg-type]  # checked in the line above


def check_registration(binding: Binding, config: SmartConfig, *, what: str) -> None:
    """
    Refuse something that belongs to another registration.

    Args:
        binding: Where it came from.
        config: The registration it is used with.
        what: What it is, for the message: "pending login".

    Raises:
        ConfigurationError: If FHIR base or client differ.
    """
    if not same_base(binding.fhir_base, config.fhir_base) or binding.client_id != config.client_id:
        raise ConfigurationError(
            f"This {what} belongs to client {binding.client_id} at {binding.fhir_base}, "
            f"not to client {config.client_id} at {config.fhir_base}.",
            advice="Use the client with the configuration that it was made with.",
        )


def check_binding(binding: Binding, metadata: SmartMetadata, config: SmartConfig, *, what: str) -> None:
    """
    Refuse to send something to another server than the one that issued it.

    Args:
        binding: Where it came from.
        metadata: What discovery says now.
        config: The registration; its `trusted_origins` may allow the move.
        what: What would be sent, for the message.

    Raises:
        EndpointChangedError: If the token endpoint or the issuer has moved to an origin that is not trusted.
    """
    pairs = (
        ("token_endpoint", binding.token_endpoint, metadata.token_endpoint),
        ("issuer", binding.issuer, metadata.issuer),
    )
    for member, before, after in pairs:
        old, new = origin_of(before), origin_of(after)
        # A server that starts or stops naming its issuer has not moved; its token endpoint tells.
        if old != new and new not in config.trusted_origins and None not in (before, after):
            raise EndpointChangedError(
                f"The {what} was issued by {old}; discovery now names {new} as {member}. Nothing was sent.",
                endpoint=metadata.token_endpoint,
                advice=f"If the server has really moved, add {new!r} to trusted_origins; else sign in again.",
            )


def recorded_endpoint(binding: Binding, metadata: SmartMetadata) -> str:
    """
    Return the token endpoint for something that was started at *binding*.

    It is the endpoint recorded then, so that a code never follows a document that changed in between;
    only where the whole server has moved to a trusted origin is it the new one.

    Args:
        binding: Where it came from.
        metadata: What discovery says now, already checked by `check_binding`.
    """
    if origin_of(binding.token_endpoint) == origin_of(metadata.token_endpoint):
        return binding.token_endpoint
    return metadata.token_endpoint


def origin_of(url: str | None) -> str | None:
    """
    Return the origin of *url*, or the text itself where it is no URL that could be trusted.

    Args:
        url: An endpoint or issuer.
    """
    if url is None:
        return None
    try:
        return parse_url(url, field="url", allow_query=True, allow_insecure_loopback=True).origin
    except ConfigurationError:
        return url
