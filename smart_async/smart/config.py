"""
One registration: which server, as whom, and how it likes things done.

A client is registered once with each authorization server. `SmartConfig` is what the app knows of that
registration; it is immutable and can be shared between clients, threads and event loops.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from smart_async.errors import ConfigurationError
from smart_async.limits import ASSERTION_BACKDATE, ASSERTION_LIFETIME
from smart_async.messages import is_loopback, parse_url
from smart_async.smart.client_auth import ClientAuth

__all__ = ("SmartConfig",)

_VISIBLE = re.compile(r"[ -~]+")
_SCOPE = re.compile(r"[!#-\[\]-~ ]*")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+\-]*(?:\.[a-z0-9+\-]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartConfig:
    """
    Say which FHIR server an app talks to, as which client, and how it proves that it is that client.

    Args:
        fhir_base: The FHIR base URL, https, exactly as the server publishes it: it is also sent as `aud`,
            and servers compare that byte for byte.
        client_id: The client id from the registration.
        client_auth: How the client authenticates: `PrivateKeyJWT`.
        redirect_uri: The registered redirect URI, byte for byte. Only the user-facing flow needs it.
        scope: The scopes to ask for, separated by blanks.
        assertion_audience: The `aud` of client assertions, for servers that expect something else than
            the token URL (their issuer, an internal URL behind a proxy).
        assertion_lifetime: Seconds from `iat` to `exp`, at most 300.
        assertion_backdate: Seconds that `iat` lies in the past, so that a fast clock does no harm.
        client_id_in_body: Send `client_id` beside the client authentication, for servers that insist.
        trusted_origins: Origins (`https://host`) that stored tokens and pending logins may be sent to
            although they were issued by another one: for a server that has moved.
        follow_discovery_redirects: Follow up to 3 https redirects when discovering. Nothing else is ever
            redirected.
        allow_insecure_loopback: Accept plain http for loopback hosts, to develop against a local server.
        strict: Refuse a server whose discovery document breaks a SHALL, where otherwise a finding is kept.

    Raises:
        ConfigurationError: If a value cannot work, naming the field and the rule.

    Spec: SMART App Launch 2.2, app launch (registration) and client authentication.
    """

    fhir_base: str
    client_id: str
    client_auth: ClientAuth
    redirect_uri: str | None = None
    scope: str = ""
    assertion_audience: str | None = None
    assertion_lifetime: int = ASSERTION_LIFETIME
    assertion_backdate: int = ASSERTION_BACKDATE
    client_id_in_body: bool = False
    trusted_origins: tuple[str, ...] = ()
    follow_discovery_redirects: bool = False
    allow_insecure_loopback: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Check every field now, so that nothing surprises at the first request."""
        parse_url(self.fhir_base, field="fhir_base", allow_insecure_loopback=self.allow_insecure_loopback)
        if not _VISIBLE.fullmatch(self.client_id):
            raise ConfigurationError(
                "client_id must be the non-empty id from your registration, in visible ASCII characters.",
                field="client_id",
            )
        if self.redirect_uri is not None:
            _check_redirect_uri(self.redirect_uri)
        if not _SCOPE.fullmatch(self.scope):
            raise ConfigurationError(
                "scope holds a character that no scope may hold (a quote, backslash, control or non-ASCII).",
                field="scope",
                advice="Percent-encode such characters inside the value of a granular scope.",
            )
        _check_assertion_times(self.assertion_lifetime, self.assertion_backdate)
        object.__setattr__(self, "trusted_origins", self._origins())
        self.client_auth.check(self)

    def _origins(self) -> tuple[str, ...]:
        if isinstance(self.trusted_origins, str):  # type: ignore[unreachable]  # a str is a tuple of str to many
            raise ConfigurationError(
                "trusted_origins must be a list of origins, not one string.", field="trusted_origins"
            )
        return tuple(
            parse_url(
                origin, field="trusted_origins", allow_insecure_loopback=self.allow_insecure_loopback
            ).origin
            for origin in self.trusted_origins
        )


def _check_redirect_uri(uri: str) -> None:
    # Registered redirect URIs are fixed and fully specified. Native apps use loopback http or a scheme
    # of their own (RFC 8252, section 7); everything else must be https, for the code travels in it.
    parts = urlsplit(uri)
    if _PRIVATE_SCHEME.fullmatch(parts.scheme) and not parts.fragment and "*" not in uri:
        return
    loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
    parse_url(uri, field="redirect_uri", allow_query=True, allow_insecure_loopback=loopback)
    if "*" in uri:
        raise ConfigurationError(
            "redirect_uri holds a wildcard; it must be one registered URI, byte for byte.",
            field="redirect_uri",
        )


def _check_assertion_times(lifetime: int, backdate: int) -> None:
    for field, value, lowest in (("assertion_lifetime", lifetime, 1), ("assertion_backdate", backdate, 0)):
        if type(value) is not int or not lowest <= value <= ASSERTION_LIFETIME:
            raise ConfigurationError(
                f"{field} must be a whole number of seconds from {lowest} to {ASSERTION_LIFETIME}.",
                field=field,
                advice="SMART allows an assertion five minutes at most.",
            )
    if backdate >= lifetime:
        raise ConfigurationError(
            "assertion_backdate must be less than assertion_lifetime; the assertion would be born expired.",
            field="assertion_backdate",
        )
