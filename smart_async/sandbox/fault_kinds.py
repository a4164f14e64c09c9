"""What can go wrong on demand, each kind in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ("ENDPOINTS", "KINDS", "FaultKind")

ENDPOINTS = (
    "authorize",
    "token",
    "introspect",
    "revoke",
    "register",
    "fhir",
    "discovery",
    "metadata",
    "keys",
)
"""Where a slow or missing answer can be asked for; `keys` is the sandbox's own JWK Set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """
    One kind of fault.

    Args:
        name: What `Faults.add` calls it.
        text: What the sandbox does, in one line; `{}` stands for the value.
        option: The name of its number, or None if it has none.
        default: The number, unless another is given.
        least: The smallest number allowed.
        times: How often it strikes unless told otherwise; None means always.
        anywhere: Whether it can be narrowed to one endpoint.
        shared: Whether it is about the server as a whole: neither for one client nor a number of times.
    """

    name: str
    text: str
    option: str | None = None
    default: float | None = None
    least: float = 1
    times: int | None = 1
    anywhere: bool = False
    shared: bool = False


_ALL = (
    FaultKind(
        name="slow",
        text="Answers come {} s late, after the request has been processed.",
        option="seconds",
        default=2,
        least=0,
        times=None,
        anywhere=True,
    ),
    FaultKind(
        name="unavailable",
        text="Answers 503 with Retry-After: {} and does not look at the request.",
        option="retry_after",
        default=1,
        least=0,
        anywhere=True,
    ),
    FaultKind(
        name="lost_token_response",
        text="Processes a token request, then drops the connection instead of answering.",
    ),
    FaultKind(name="expired_code", text="Says that the authorization code has expired."),
    FaultKind(name="wrong_state", text="Sends the browser back to the app with another state."),
    FaultKind(
        name="rotated_server_keys",
        text="Signs the next ID token with a new key and publishes that one only.",
    ),
    FaultKind(
        name="unknown_kid",
        text="Signs the next ID token with a key that is published nowhere.",
    ),
    FaultKind(
        name="stale_client_keys",
        text="Goes on using the client's JWK Set as it saw it first, so that a new key is unknown.",
        times=None,
    ),
    FaultKind(
        name="clock_skew",
        text="The server's clock is off by {} s: in tokens, in judging assertions and in the Date header.",
        option="seconds",
        default=300,
        least=-1_000_000_000,
        times=None,
        shared=True,
    ),
    FaultKind(
        name="refresh_reuse_detection",
        text="Each refresh replaces the refresh token; a replaced one that comes again ends the whole login.",
        times=None,
    ),
    FaultKind(
        name="refresh_reused",
        text="Takes the refresh token for one that was used before, and ends the whole login.",
    ),
    FaultKind(
        name="non_rotating_refresh",
        text="A refresh brings no new refresh token; the old one stays good.",
        times=None,
    ),
    FaultKind(
        name="token_lifetime",
        text="Access tokens live {} s.",
        option="seconds",
        default=30,
        times=None,
    ),
    FaultKind(name="fhir_401", text="The FHIR endpoint refuses a good access token with 401."),
    FaultKind(
        name="insufficient_scope",
        text="The FHIR endpoint refuses a good access token with 403 insufficient_scope.",
    ),
    FaultKind(
        name="page_size",
        text="A page of search results has at most {} entries; an absolute next link leads on.",
        option="count",
        default=5,
        times=None,
    ),
)

KINDS: Mapping[str, FaultKind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""Every kind of fault by its name."""
