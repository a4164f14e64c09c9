"""
The checks behind `SmartConfig`: each names the field and the rule that it breaks.

A configuration is written by hand, often copied from a portal, and a mistake in it shows up at the worst
moment; so everything that can be known beforehand is checked beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from smart_async.errors import ConfigurationError
from smart_async.limits import ASSERTION_LIFETIME
from smart_async.messages import is_loopback, parse_url
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.client_secret import ClientSecret, PublicClient
from smart_async.smart.scopes import refuse_commas

if TYPE_CHECKING:
    from smart_async.smart.config import SmartConfig

__all__ = ("check_config", "check_redirect_uri")

_VISIBLE = re.compile(r"[ -~]+")
_SCOPE = re.compile(r"[!#-\[\]-~ ]*")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+\-]*(?:\.[a-z0-9+\-]+)+")
_URI = re.compile(r"[!$-;=?-\[\]_a-z~]+")  # no fragment, blank, quote, backslash, brace or control
_PATIENT_SOURCE = re.compile(r"token|fhirUser|access_token_claim:.+")
_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")  # no blank at either end: senders refuse those
_ENDPOINTS = (
    "discovery_url",
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "jwks_uri",
)
_MOST_ATTEMPTS = 10
_TEXTS = ("fhir_base", "client_id", "scope")
_OPTIONAL_TEXTS = (*_ENDPOINTS, "redirect_uri", "aud", "assertion_audience", "id_token_issuer")
_FLAGS = (
    "strict",
    "allow_insecure_loopback",
    "follow_discovery_redirects",
    "assertion_nbf",
    "client_id_in_body",
    "refresh_includes_scope",
    "refresh_includes_client_id",
    "refresh_rotates",
    "retry_bare_400",
)
_CHOICES = {
    "discovery": ("well-known", "auto", "metadata", "off"),
    "response_mode": (None, "query", "form_post"),
    "refresh_retry": ("never", "grace"),
    "token_request": ("form", "basic-empty"),
    "introspection_auth": ("client", "bearer", "none"),
    "id_token": ("verify", "warn", "off"),
}
# What frames a message belongs to the transport, in any request.
_FRAMING = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "te"}
    | {"trailer", "transfer-encoding", "upgrade"}
)
_RESERVED = {
    "extra_authorize_params": frozenset(
        {"response_type", "client_id", "redirect_uri", "launch", "scope", "state", "aud", "nonce"}
        | {"code_challenge", "code_challenge_method", "response_mode"}
    ),
    "extra_token_params": frozenset(
        {"grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "client_secret"}
        | {"assertion", "client_id", "client_assertion", "client_assertion_type"}
    ),
    "extra_discovery_headers": _FRAMING | {"accept", "authorization", "cookie"},
    "extra_token_headers": _FRAMING | {"accept", "authorization", "content-type", "cookie"},
    "assertion_header": frozenset({"alg", "jku", "jwk", "crit", "b64"}),
}


def check_config(config: SmartConfig) -> tuple[str, ...]:
    """
    Check every field of *config*.

    Args:
        config: The configuration, with all defaults filled in.

    Returns:
        Its trusted origins in their canonical form.

    Raises:
        ConfigurationError: For the first field that cannot work.
    """
    _check_types(config)
    loopback = config.allow_insecure_loopback
    _ = parse_url(config.fhir_base, field="fhir_base", allow_insecure_loopback=loopback)
    if not _VISIBLE.fullmatch(config.client_id):
        raise ConfigurationError(
            "client_id must be the non-empty id from your registration, in visible ASCII characters.",
            field="client_id",
        )
    if config.redirect_uri is not None:
        check_redirect_uri(config.redirect_uri)
    _check_scope(config.scope)
    for name in _ENDPOINTS:
        if (url := getattr(config, name)) is not None:
            _ = parse_url(url, field=name, allow_insecure_loopback=loopback, allow_query=True)
    _check_choices(config)
    _check_assertion_times(config.assertion_lifetime, config.assertion_backdate)
    _check_extras(config)
    _check_patient_from(config.patient_from)
    _check_rejected(config.token_rejected_statuses)
    return _origins(config)


def _check_types(config: SmartConfig) -> None:
    for name in (*_TEXTS, *_OPTIONAL_TEXTS):
        value = getattr(config, name)
        if not isinstance(value, str) and (value is not None or name in _TEXTS):
            raise ConfigurationError(f"{name} must be a string.", field=name)
    for name in _FLAGS:
        if not isinstance(getattr(config, name), bool):
            raise ConfigurationError(f"{name} must be True or False.", field=name)
    if type(config.attempts) is not int or not 1 <= config.attempts <= _MOST_ATTEMPTS:
        raise ConfigurationError(
            f"attempts must be a whole number from 1 to {_MOST_ATTEMPTS}.",
            field="attempts",
            advice="1 sends every request once; 3 is the default.",
        )
    for name in ("assertion_audience", "id_token_issuer"):
        if getattr(config, name) == "":
            raise ConfigurationError(f"{name} must not be empty; leave it out for the default.", field=name)
    if isinstance(config.client_auth, type) or not hasattr(config.client_auth, "authenticate"):
        raise ConfigurationError(
            "client_auth must say how the client authenticates, and this object cannot.",
            field="client_auth",
            advice="Wrap a key: client_auth=PrivateKeyJWT(key).",
        )


def check_redirect_uri(uri: str) -> None:
    """
    Refuse a redirect URI that no server should have registered.

    Native apps use loopback http or a scheme of their own; everything else must be https, for the code
    travels in it.

    Args:
        uri: The redirect URI.

    Raises:
        ConfigurationError: If it is relative, holds a wildcard or fragment, or could be read on the way.

    Spec: RFC 8252, section 7; SMART App Launch 2.2, app launch (registration).
    """
    if "*" in uri:
        raise ConfigurationError(
            "redirect_uri holds a wildcard; it must be one registered URI, byte for byte.",
            field="redirect_uri",
        )
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        raise ConfigurationError("redirect_uri cannot be read as a URI.", field="redirect_uri") from None
    if _PRIVATE_SCHEME.fullmatch(parts.scheme) and _URI.fullmatch(uri):
        return
    loopback = parts.scheme == "http" and is_loopback(host)
    _ = parse_url(uri, field="redirect_uri", allow_query=True, allow_insecure_loopback=loopback)


def _check_scope(scope: str) -> None:
    if not _SCOPE.fullmatch(scope):
        raise ConfigurationError(
            "scope holds a character that no scope may hold (a quote, backslash, control or non-ASCII).",
            field="scope",
            advice="Percent-encode such characters inside the value of a granular scope.",
        )
    refuse_commas(scope)


def _check_choices(config: SmartConfig) -> None:
    for name, known in _CHOICES.items():
        if getattr(config, name) not in known:
            listed = ", ".join(repr(choice) for choice in known)
            raise ConfigurationError(f"{name} must be one of {listed}.", field=name)
    auth = config.client_auth
    if config.token_request == "basic-empty" and (
        isinstance(auth, PrivateKeyJWT | PublicClient)
        or (isinstance(auth, ClientSecret) and auth.method == "post")
    ):
        raise ConfigurationError(
            'token_request="basic-empty" has no room for this client authentication.',
            field="token_request",
            advice='Use client_auth=ClientSecret(secret, method="basic").',
        )
    if config.discovery == "off" and config.token_endpoint is None:
        raise ConfigurationError(
            'discovery="off" needs a token_endpoint, since nothing is looked up.', field="token_endpoint"
        )
    if config.aud is not None and config.aud not in ("base", "strip-slash"):
        _ = parse_url(config.aud, field="aud", allow_insecure_loopback=config.allow_insecure_loopback)


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


def _check_extras(config: SmartConfig) -> None:
    for field, reserved in _RESERVED.items():
        extras: object = getattr(config, field)
        if not isinstance(extras, Mapping):
            raise ConfigurationError(f"{field} must be a mapping of names to values.", field=field)
        for name, value in cast("Mapping[object, object]", extras).items():
            if not _sendable(field, name, value):
                raise ConfigurationError(f"{field} holds a name or value that cannot be sent.", field=field)
            if str(name).lower() in reserved:
                raise ConfigurationError(
                    f"{field} cannot hold {name}, which the protocol sets itself.", field=field
                )


def _sendable(field: str, name: object, value: object) -> bool:
    if value is None and field == "assertion_header":
        value = ""
    if not isinstance(name, str) or not isinstance(value, str) or not name:
        return False
    if field.endswith("_headers"):
        return bool(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value))
    return bool(_TEXT.fullmatch(name) and _TEXT.fullmatch(value))


def _check_patient_from(sources: object) -> None:
    if not isinstance(sources, tuple) or not all(
        isinstance(source, str) and _PATIENT_SOURCE.fullmatch(source)
        for source in cast("tuple[object, ...]", sources)
    ):
        raise ConfigurationError(
            'patient_from is a tuple of "token", "fhirUser" and "access_token_claim:NAME".',
            field="patient_from",
        )


def _check_rejected(statuses: object) -> None:
    if not isinstance(statuses, tuple) or not all(
        type(status) is int and 400 <= status < 500 for status in cast("tuple[object, ...]", statuses)
    ):
        raise ConfigurationError(
            "token_rejected_statuses is a tuple of HTTP statuses from 400 to 499, such as (401, 403).",
            field="token_rejected_statuses",
        )


def _origins(config: SmartConfig) -> tuple[str, ...]:
    origins: object = config.trusted_origins
    if not isinstance(origins, tuple) or not all(
        isinstance(origin, str) for origin in cast("tuple[object, ...]", origins)
    ):
        raise ConfigurationError(
            "trusted_origins must be a list of origins, each a string such as https://host.",
            field="trusted_origins",
        )
    return tuple(
        parse_url(
            origin, field="trusted_origins", allow_insecure_loopback=config.allow_insecure_loopback
        ).origin
        for origin in config.trusted_origins
    )
