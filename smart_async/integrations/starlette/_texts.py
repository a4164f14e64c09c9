"""
What a person reads when a login does not work: a fixed text for each kind of error.

Nothing that a server or a URL said is quoted. Whoever runs the app finds that in its log.
"""

from __future__ import annotations

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
    SmartError,
    StoreError,
    TransportError,
)
from smart_async.integrations.starlette._errors import OtherUserError, UsedError

__all__ = ("Text", "text_of")


@dataclass(frozen=True, slots=True)
class Text:
    """
    What a page says.

    Args:
        status: The HTTP status.
        title: The heading.
        body: One sentence or two.
    """

    status: int
    title: str
    body: str


_BROKEN = "The sign-in could not be completed, and nothing was changed. Please start again."
_OURS = (
    "This is not your fault, and trying again will not help until it is mended. "
    "Please tell the support of this app."
)

_BY_CODE = {
    "access_denied": Text(
        400, "Not signed in", "You or the EHR did not allow this app. You can start again."
    ),
    "login_required": Text(
        400, "Not signed in", "The EHR wants you to sign in there first. Then start again."
    ),
    "interaction_required": Text(
        400, "Not signed in", "The EHR wants to ask you something. Please start again."
    ),
    "server_error": Text(503, "The EHR has a problem", "Please try again in a few minutes."),
    "temporarily_unavailable": Text(503, "The EHR is busy", "Please try again in a few minutes."),
}

_BY_KIND: tuple[tuple[type[SmartError], Text], ...] = (
    (
        LaunchRejectedError,
        Text(
            400,
            "This app cannot be opened from there",
            "The EHR that opened this page is not one that this app knows. "
            "Please open the app from your EHR again.",
        ),
    ),
    (
        OtherUserError,
        Text(
            409,
            "Somebody else is signed in",
            "The sign-in was started by one person and finished by another. "
            "Sign out first, then start again.",
        ),
    ),
    (
        UsedError,
        Text(
            400,
            "This sign-in has been used",
            "Each sign-in works once. If you pressed a button twice, you may be signed in already.",
        ),
    ),
    (
        CallbackError,
        Text(
            400,
            "This sign-in cannot be finished",
            "It was started in another browser, has expired or was changed on the way. Please start again.",
        ),
    ),
    (OutcomeUnknownError, Text(503, "The EHR did not answer", _BROKEN)),
    (TransportError, Text(503, "The EHR cannot be reached", "Please try again in a few minutes.")),
    (StoreError, Text(503, "Signing in is not possible now", "Please try again in a few minutes.")),
    (EndpointChangedError, Text(502, "The EHR has changed", _OURS)),
    (DiscoveryError, Text(502, "The EHR cannot be used", _OURS)),
    (IdTokenError, Text(502, "It is not certain who you are", _BROKEN)),
    (ContextChangedError, Text(502, "The patient or user has changed", _BROKEN)),
    (ProtocolError, Text(502, "The EHR gave an unusable answer", _BROKEN)),
    (ConfigurationError, Text(500, "This app is not set up correctly", _OURS)),
)
_REFUSED = Text(502, "The EHR refused this app", _OURS)
_ANY = Text(500, "Signing in did not work", _BROKEN)


def text_of(error: SmartError) -> Text:
    """
    Return what a person is told about *error*.

    Args:
        error: The error.
    """
    if isinstance(error, OAuthError):
        return _BY_CODE.get(error.error or "", _REFUSED)
    return next((text for kind, text in _BY_KIND if isinstance(error, kind)), _ANY)
