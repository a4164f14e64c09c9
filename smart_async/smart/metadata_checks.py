"""
The checks behind `ClientMetadata`: what each member may hold, whoever wrote it.

Spec: RFC 7591, section 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from smart_async.errors import ConfigurationError
from smart_async.keys import ALGORITHMS, thumbprint
from smart_async.keys.jwks import PRIVATE_MEMBERS
from smart_async.limits import DOCUMENT_BYTES, JWKS_KEYS
from smart_async.messages import as_list, as_object, clean_text, parse_url
from smart_async.smart.config_checks import check_redirect_uri
from smart_async.smart.scopes import Scopes

__all__ = ("checked", "endpoints_of")

_URLS = ("client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri")
_VISIBLE = re.compile(r"[!-~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked(name: str, value: Any) -> Any:
    """
    Return *value* as the member *name* keeps it, or say what is wrong with it.

    Args:
        name: A member of `ClientMetadata`.
        value: What it is to hold, not None.

    Raises:
        ConfigurationError: Naming the member and the rule.
    """
    check: Callable[[str, Any], Any] = _CHECKS.get(name, _text)
    return check(name, value)


def endpoints_of(members: Mapping[str, Any], *, allow_insecure_loopback: bool) -> None:
    """
    Check every URL among *members* that somebody else will open.

    Args:
        members: Members of a registration.
        allow_insecure_loopback: Whether plain http is accepted for loopback hosts.

    Raises:
        ConfigurationError: For the first that is no https URL.
    """
    for name in _URLS:
        if name in members:
            _ = parse_url(
                members[name],
                field=name,
                allow_query=True,
                allow_insecure_loopback=allow_insecure_loopback,
            )


def _wrong(name: str, rule: str, advice: str | None = None) -> ConfigurationError:
    return ConfigurationError(f"{name} {rule}.", field=name, advice=advice)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise _wrong(name, "must be a non-empty string without control characters")
    return value


def _token(name: str, value: Any) -> str:
    if not _VISIBLE.fullmatch(_text(name, value)):
        raise _wrong(name, "must be visible ASCII characters without blanks")
    return str(value)


def _list(name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(name, "must be a list of strings", "Put a single one in brackets, too.")
    return tuple(cast("list[Any]", value))


def _texts(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_text(name, item) for item in _list(name, value))


def _tokens(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_token(name, item) for item in _list(name, value))


def _redirect_uris(name: str, value: Any) -> tuple[str, ...]:
    uris = _texts(name, value)
    for uri in uris:
        check_redirect_uri(uri)
    return uris


def _url(name: str, value: Any) -> str:
    # Loopback is judged by `endpoints_of`, once the configuration that may allow it is known.
    return parse_url(_text(name, value), field=name, allow_query=True, allow_insecure_loopback=True).text


def _scope(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "must be one string, with blanks between the scopes")
    _ = Scopes.parse(value)
    return value


def _signing_algorithm(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in ALGORITHMS:
        raise _wrong(name, f"must be one of {', '.join(ALGORITHMS)}")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "must be a JSON object")
    try:
        text = json.dumps({**value}, allow_nan=False)
        copy: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise _wrong(name, "holds something that JSON cannot hold") from None
    if len(text) > DOCUMENT_BYTES:
        raise _wrong(name, f"is larger than {DOCUMENT_BYTES} bytes")
    return copy


def _jwks(name: str, value: Any) -> dict[str, Any]:
    jwks = _object(name, value)
    keys = as_list(jwks.get("keys"))
    if keys is None or len(keys) > JWKS_KEYS:
        raise _wrong(name, f'must be an object {{"keys": [...]}} with at most {JWKS_KEYS} keys')
    for key in keys:
        _public_key(name, as_object(key) or {})
    return jwks


def _public_key(name: str, key: dict[str, Any]) -> None:
    if private := sorted(PRIVATE_MEMBERS & key.keys()):
        raise _wrong(
            name,
            f"holds private members ({', '.join(private)}); only the public half of a key is registered",
            "Build it with smart_async.public_jwks([key]).",
        )
    if not isinstance(key.get("kid"), str | None):
        raise _wrong(name, "holds a key whose kid is not a string")
    try:
        _ = thumbprint(key)
    except ConfigurationError as exc:
        raise _wrong(name, f"holds an unusable key: {clean_text(exc.message).rstrip('.')}") from None


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(_URLS, _url),
    **dict.fromkeys(("token_endpoint_auth_method", "application_type", "software_statement"), _token),
    **dict.fromkeys(("grant_types", "response_types"), _tokens),
    **dict.fromkeys(("id_token_signed_response_alg", "token_endpoint_auth_signing_alg"), _signing_algorithm),
    "redirect_uris": _redirect_uris,
    "contacts": _texts,
    "scope": _scope,
    "jwks": _jwks,
    "extra": _object,
}
