"""Any of this library's errors in plain words: what it means, why it happens, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import (
    CallbackError,
    ConfigurationError,
    ContextChangedError,
    DiscoveryError,
    EndpointChangedError,
    IdTokenError,
    LaunchRejectedError,
    OAuthError,
    OutcomeUnknownError,
    ProtocolError,
    RegistrationChangedError,
    SmartError,
    StoreError,
    TokenOriginError,
    TokenResponseError,
    TransportError,
)
from smart_async.smart.diagnosis.catalogue import cause
from smart_async.smart.diagnosis.key_problems import cause_of_configuration
from smart_async.smart.diagnosis.makes import make_of, notes_for
from smart_async.smart.diagnosis.report import Cause
from smart_async.smart.diagnosis.words import cause_of_discovery, cause_of_refusal, cause_of_silence

__all__ = ("REMAINING", "Explanation", "explain", "server_words", "suspects")

REMAINING = (
    "client-unknown",
    "key-unknown",
    "server-stale-jwks",
    "client-not-active",
    "jwks-blocked",
    "registered-with-secret",
    "aud-wrong",
    "algorithm",
    "clock",
)
"""What `invalid_client` without a reason can mean, the most frequent first."""

_MEANINGS: tuple[tuple[type[SmartError], str], ...] = (
    (ConfigurationError, "What this program was given cannot be used. Nothing was sent."),
    (StoreError, "The place where tokens are kept could not be read or written."),
    (
        OutcomeUnknownError,
        "The request left and no answer came, so nobody knows whether it took effect. It was not repeated, "
        "for a code or refresh token works once.",
    ),
    (TransportError, "No usable answer came from the server."),
    (
        DiscoveryError,
        "The server's own description of itself, from which its endpoints are known, is unusable.",
    ),
    (EndpointChangedError, "The server now names other endpoints than before. Nothing was sent there."),
    (LaunchRejectedError, "An EHR that is not configured tried to start this app. Nothing was sent to it."),
    (CallbackError, "The browser came back with an answer that does not belong to a login started here."),
    (IdTokenError, "Who signed in cannot be proven from the server's ID token."),
    (ContextChangedError, "The renewed token is for another patient, another user or more than before."),
    (RegistrationChangedError, "The server registered this client otherwise than it was asked to."),
    (TokenOriginError, "A request would have carried the access token to another server. It was not sent."),
    (TokenResponseError, "The server meant to issue a token, and its answer cannot be used."),
    (ProtocolError, "The server's answer breaks the protocol."),
)
_CODES = {
    "invalid_client": "The server does not believe that the request comes from this client.",
    "invalid_grant": "The code or refresh token is no longer good, or was never meant for this client.",
    "invalid_scope": "The server does not give this client the scopes that it asks for.",
    "unauthorized_client": "The server knows this client, and does not let it use this way to get a token.",
    "unsupported_grant_type": "The server does not offer this way to get a token at all.",
    "invalid_request": "The server misses or dislikes something in the request.",
    "access_denied": "The user or the server's policy said no.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """
    An error in plain words.

    Args:
        meaning: What happened, for somebody who has not read the specification.
        causes: Why this happens, the likeliest first.
        steps: What to do, in order.
        vendor: The server's make, where its address gives it away.
        vendor_notes: What is known of servers of that make.
        server: The server's own words: status, code, description, `error_uri`, correlation id.
    """

    meaning: str
    causes: tuple[Cause, ...]
    steps: tuple[str, ...]
    vendor: str | None
    vendor_notes: tuple[str, ...]
    server: Mapping[str, Any]

    def __str__(self) -> str:
        """Return the explanation as text of several lines."""
        said = [f"The server's {name}: {value}" for name, value in self.server.items()]
        causes = [f"{number}. {each}" for number, each in enumerate(self.causes, 1)]
        steps = [f"- {step}" for step in self.steps]
        return "\n".join((self.meaning, *said, *causes, *steps, *self.vendor_notes))

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as a JSON object; nothing in it is secret."""
        return {
            "meaning": self.meaning,
            "causes": [each.to_dict() for each in self.causes],
            "steps": list(self.steps),
            "vendor": self.vendor,
            "vendor_notes": list(self.vendor_notes),
            "server": dict(self.server),
        }


def explain(error: SmartError) -> Explanation:
    """
    Say in plain words what *error* means, why it happens, and what to do.

    It looks at nothing but the error. `diagnose` looks at the server, the keys and the clock as well, and
    can often name the one cause.

    Args:
        error: Anything that this library raised.

    >>> explain(OAuthError("refused", error="invalid_client", status=401)).causes[0].id
    'client-unknown'
    """
    make = make_of([error.endpoint])
    steps: tuple[str, ...] = (error.advice,) if error.advice else ()
    if isinstance(error, OAuthError) and error.error in (None, "invalid_client"):
        steps += ("Run: smart-async doctor --try, with the same options, to have each cause looked at.",)
    if isinstance(error, OAuthError) and (error.correlation_id or error.error_uri):
        steps += ("Give the server's support the correlation id and the error_uri above.",)
    return Explanation(
        meaning=_meaning(error),
        causes=_causes(error),
        steps=steps,
        vendor=make,
        vendor_notes=notes_for(make),
        server=server_words(error),
    )


def server_words(error: SmartError) -> dict[str, Any]:
    """
    Return what the server said, by name, without what it did not say.

    Args:
        error: The error that was made of its answer. Its texts are cleaned already.
    """
    names = ("status", "error", "error_description", "error_uri", "correlation_id", "retry_after")
    said = {name: getattr(error, name, None) for name in names}
    return {name: value for name, value in said.items() if value is not None}


def suspects(make: str | None) -> tuple[str, ...]:
    """
    Return what `invalid_client` without a reason can mean, the likeliest first.

    Args:
        make: The server's make; some have a favourite.
    """
    if make != "epic":
        return REMAINING
    return (
        "client-unknown",
        "client-not-active",
        *(name for name in REMAINING[1:] if name != "client-not-active"),
    )


def _meaning(error: SmartError) -> str:
    if isinstance(error, OAuthError):
        return _CODES.get(error.error or "", "The server said no.")
    return next((text for kind, text in _MEANINGS if isinstance(error, kind)), error.message)


def _causes(error: SmartError) -> tuple[Cause, ...]:
    if isinstance(error, OAuthError):
        return _causes_of_refusal(error)
    name = _cause_of(error)
    return (cause(name, certainty="likely", explanation=error.message),) if name else ()


def _cause_of(error: SmartError) -> str | None:
    if isinstance(error, ConfigurationError):
        return cause_of_configuration(error)
    if isinstance(error, TransportError):
        return cause_of_silence(error)
    if isinstance(error, DiscoveryError):
        return cause_of_discovery(error.status or 200) or "discovery-invalid"
    return "token-response-broken" if isinstance(error, TokenResponseError) else None


def _causes_of_refusal(error: OAuthError) -> tuple[Cause, ...]:
    found = cause_of_refusal(error)
    if found != "client-refused":
        return (cause(found, certainty="likely"),)
    return tuple(cause(name, certainty="possible") for name in suspects(make_of([error.endpoint])))
