"""
Everything this library raises, sorted by whose fault it is and when it happened.

```
SmartError                  the root: catch this to catch everything of ours
├── ConfigurationError      you gave us something unusable; nothing was sent
├── StoreError              the token store could not be read or written
├── TransportError          no usable HTTP answer came back (.sent says whether the request left)
│   └── OutcomeUnknownError the request left and may have taken effect; repeating it could do harm
├── ProtocolError           an answer came, but not as the specification says
│   ├── DiscoveryError      the server's smart-configuration document is unusable
│   ├── EndpointChangedError  discovery now names another server than the one that issued this
│   ├── LaunchRejectedError an EHR launch from somewhere that is not configured
│   ├── CallbackError       the redirect back to the app does not belong to a pending login
│   ├── TokenResponseError  the token endpoint said yes, but with an unusable answer
│   ├── IdTokenError        the ID token cannot be trusted
│   ├── ContextChangedError a refresh came back for another patient, another user or more scope
│   ├── RegistrationChangedError  the server registered another client than the one asked for
│   └── TokenOriginError    a URL would have carried the access token to another server
└── OAuthError              the server said no, in OAuth's own words (.error, .description, .status)
    └── SessionEndedError   this session gets no more tokens: the user has to sign in again
```

A message says what happened, at which endpoint and what to do about it. No message, attribute or pickle
of an error holds a secret or a response body: where a server's text is quoted it has been cleaned of
control characters and cut to size first.
"""

from __future__ import annotations

__all__ = (
    "CallbackError",
    "ConfigurationError",
    "ContextChangedError",
    "DiscoveryError",
    "EndpointChangedError",
    "IdTokenError",
    "LaunchRejectedError",
    "OAuthError",
    "OutcomeUnknownError",
    "ProtocolError",
    "RegistrationChangedError",
    "SessionEndedError",
    "SmartError",
    "StoreError",
    "TokenOriginError",
    "TokenResponseError",
    "TransportError",
)


class SmartError(Exception):
    """
    The root of every error raised by this library.

    Args:
        message: What happened, in one sentence.
        endpoint: The URL that was being talked to, or None where no server was involved.
        advice: What to do now, in one or two sentences.
    """

    def __init__(self, message: str, *, endpoint: str | None = None, advice: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.advice = advice

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without token or registration: they would be plain text."""
        kept = {name: value for name, value in vars(self).items() if name not in ("token", "registration")}
        return type(self), self.args, kept

    def __str__(self) -> str:
        """Return message, endpoint and advice as one readable paragraph."""
        text = self.message
        if self.endpoint and self.endpoint not in text:
            text = f"{text.rstrip('.')} (at {self.endpoint})."
        return f"{text} {self.advice}" if self.advice else text


class ConfigurationError(SmartError):
    """
    You gave us something unusable; nothing was sent.

    Args:
        message: What was found and what is needed.
        field: The argument, setting or variable at fault, as you would type it.
        endpoint: The URL concerned, if any.
        advice: What to do now.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        endpoint: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, advice=advice)
        self.field = field


class StoreError(SmartError):
    """The token store could not be read or written, or holds something damaged."""


class TransportError(SmartError):
    """
    No usable HTTP answer came back.

    Args:
        message: What went wrong on the way.
        endpoint: The URL that was requested.
        advice: What to do now.
        sent: False if the request certainly never reached the server, so that repeating it is safe;
            None if that is unknown.
        status: The HTTP status, where a status line arrived before things went wrong.
        permanent: Whether another attempt would end the same way, as with a certificate that is not accepted.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        advice: str | None = None,
        sent: bool | None = None,
        status: int | None = None,
        permanent: bool = False,
    ) -> None:
        super().__init__(message, endpoint=endpoint, advice=advice)
        self.sent = sent
        self.status = status
        self.permanent = permanent


class OutcomeUnknownError(TransportError):
    """
    The request left and may have taken effect; repeating it could do harm.

    An authorization code works once, and servers may revoke what they issued when they see it twice; a
    rotating refresh token likewise. So nothing is sent again, and you decide.
    """


class ProtocolError(SmartError):
    """
    A server answered, but not as the specification says.

    Args:
        message: What was wrong with the answer.
        endpoint: The URL that answered.
        advice: What to do now.
        status: The HTTP status of the answer, if there was one.
        received: The member names that the answer held, never their values.

    `reason` is one word for what was wrong with a signed token, to count and compare by, where messages are
    to be read: `iss`, `aud`, `exp`, `nonce` and so on for the claim at fault, and `format`, `encrypted`,
    `header`, `alg`, `key`, `signature` or `payload` before that. It is None for all other errors.
    """

    reason: str | None = None

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        advice: str | None = None,
        status: int | None = None,
        received: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, endpoint=endpoint, advice=advice)
        self.status = status
        self.received = received


class DiscoveryError(ProtocolError):
    """The server's smart-configuration document is missing or unusable."""


class EndpointChangedError(ProtocolError):
    """
    Discovery now names another server than the one that issued this token or login.

    Nothing was sent. Either the server moved, and you list its new origin in `trusted_origins`, or
    somebody is trying to be handed your tokens.
    """


class LaunchRejectedError(ProtocolError):
    """An EHR launch named a FHIR server that is not configured; no request was made to it."""


class CallbackError(ProtocolError):
    """The redirect back to the app does not belong to this pending login; nothing was sent."""


class TokenResponseError(ProtocolError):
    """The token endpoint said yes, but its answer cannot be used."""


class IdTokenError(ProtocolError):
    """
    The ID token cannot be trusted: signature, issuer, audience, time or nonce.

    `token` is the new `Token`, without an identity: the code or refresh token that it was paid with may be
    spent. It is left out when the error is pickled.
    """

    token: object = None


class ContextChangedError(ProtocolError):
    """
    A refreshed token is for another patient, another user or more scope than the one it replaces.

    Args:
        message: What changed.
        endpoint: The token endpoint.
        advice: What to do now.
        status: The HTTP status of the answer.
        received: The member names that the answer held.
        token: The new `Token`. The old refresh token may be spent, so this one is handed over; it is left
            out when the error is pickled.
    """

    token: object = None

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        advice: str | None = None,
        status: int | None = None,
        received: tuple[str, ...] = (),
        token: object = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, advice=advice, status=status, received=received)
        self.token = token


class RegistrationChangedError(ProtocolError):
    """
    The server registered another client than the one asked for: other keys, other redirect URIs, no proof.

    The client exists all the same, so `registration` is its `ClientRegistration`: delete it, or register
    again and allow the change. It is left out when the error is pickled.
    """

    registration: object = None


class TokenOriginError(ProtocolError):
    """A request would have carried, or a redirect did lead, the access token's caller to another server."""


class OAuthError(SmartError):
    """
    The server said no, in OAuth's own words.

    Args:
        message: One sentence with the endpoint's verdict.
        endpoint: The URL that answered.
        advice: What this code usually means and what to do.
        error: The code, such as `invalid_client`. Servers invent codes, so it is a plain string; None
            where the answer held no code at all (plain text, HTML, an OperationOutcome).
        error_description: The server's own explanation, cleaned and cut to 256 characters, or None.
        error_uri: A page about the error, as untrusted text, or None.
        status: The HTTP status, or None for an error that came back through the browser.
        received: The member names that the answer held, never their values.
        retry_after: Seconds to wait before asking again, where the server said so.
        correlation_id: The server's own identifier for this exchange; its support desk will ask for it.
        scope: The scope that would have been needed, where a FHIR server said so (`insufficient_scope`).

    Spec: RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3.1.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        advice: str | None = None,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        status: int | None = None,
        received: tuple[str, ...] = (),
        retry_after: float | None = None,
        correlation_id: str | None = None,
        scope: str | None = None,
    ) -> None:
        super().__init__(message, endpoint=endpoint, advice=advice)
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri
        self.status = status
        self.received = received
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.scope = scope

    @property
    def description(self) -> str | None:
        """The same as `error_description`."""
        return self.error_description

    @property
    def uri(self) -> str | None:
        """The same as `error_uri`."""
        return self.error_uri


class SessionEndedError(OAuthError):
    """
    The session gets no more tokens: its refresh token was refused, or it never had one, or it was deleted.

    Sign the user in again, and give the new token to `session.replace`. Nothing was lost on the way: the
    server's own refusal, where there was one, is in `error` and `error_description`.
    """
