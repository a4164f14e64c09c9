"""
The server's public keys: where they are, and how long they are believed.

They verify ID tokens. They are fetched from where the pinned issuer says, kept for a few minutes, and
fetched again for a key that is not among them, though never more than once a minute: a stream of tokens
with made-up key ids must not become a stream of requests.

Spec: SMART App Launch 2.2, scopes-and-launch-context (ID token validation); OpenID Connect Discovery 1.0.
"""

from __future__ import annotations

from collections.abc import Callable

from smart_async.errors import ConfigurationError, IdTokenError, ProtocolError, TransportError
from smart_async.flow import Flow, exclusive, now
from smart_async.keys.jwks import VerificationKey, parse_jwks
from smart_async.limits import JWKS_COOLDOWN, JWKS_TTL, Limits
from smart_async.messages import (
    Headers,
    JSONObject,
    Purpose,
    Request,
    Response,
    as_list,
    parse_object,
    parse_url,
    resolve_url,
)
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.redirects import redirect_target
from smart_async.smart.retries import send_repeated
from smart_async.smart.state import ClientState, ServerKeys

__all__ = ("openid_configuration_url", "parse_server_keys", "server_keys", "server_keys_request")


def openid_configuration_url(issuer: str) -> str:
    """
    Return where an issuer's OpenID configuration is: after its path, not at the host's root.

    Spec: OpenID Connect Discovery 1.0, section 4.

    >>> openid_configuration_url("https://sso.example.com/realms/r1/")
    'https://sso.example.com/realms/r1/.well-known/openid-configuration'
    """
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


def server_keys_request(url: str, *, limits: Limits | None = None, purpose: Purpose = "jwks") -> Request:
    """
    Build the request for a JWK Set or an OpenID configuration. It carries no credentials.

    Args:
        url: Where it is.
        limits: The client's limits.
        purpose: What it is for.
    """
    return Request(
        method="GET",
        url=url,
        purpose=purpose,
        headers=Headers({"Accept": "application/json"}),
        max_bytes=(limits or Limits()).document_bytes,
    )


def parse_server_keys(response: Response, *, limits: Limits | None = None) -> tuple[VerificationKey, ...]:
    """
    Read a JWK Set; keys that cannot be used are skipped.

    Args:
        response: The answer.
        limits: The client's limits.

    Raises:
        IdTokenError: If it is not a JWK Set.
    """
    return parse_jwks(_document(response, "JWK Set", limits), error=IdTokenError)


def server_keys(
    state: ClientState, metadata: SmartMetadata, issuer: str, fits: Callable[[ServerKeys], bool]
) -> Flow[ServerKeys]:
    """
    Return the keys of *issuer*, fetched again if none of the known ones fits.

    Args:
        state: The client, which keeps the keys.
        metadata: The server, whose `jwks_uri` stands in where the issuer publishes no OpenID configuration.
        issuer: The pinned issuer.
        fits: Whether some keys hold the one that is looked for.

    Raises:
        IdTokenError: If the issuer's documents cannot be used.
        TransportError: If they cannot be fetched, and no keys are known.
    """
    instant = yield from now()
    known = state.server_keys
    if known is not None and known.fresh(issuer, instant.monotonic) and fits(known):
        return known
    # One at a time: a crowd of tokens with a new key needs one request.
    return (yield from exclusive("server keys", _renew(state, metadata, issuer, fits)))


def _renew(
    state: ClientState, metadata: SmartMetadata, issuer: str, fits: Callable[[ServerKeys], bool]
) -> Flow[ServerKeys]:
    instant = yield from now()
    known = state.server_keys if state.server_keys and state.server_keys.issuer == issuer else None
    if known is not None and not _due(known, instant.monotonic, fits):
        return known
    try:
        keys, algorithms = yield from _fetch(state, metadata, issuer)
    except (TransportError, ProtocolError):
        if known is None:
            raise
        state.server_keys = known.asked(instant.monotonic)
        if not known.bridges(instant.monotonic) or not fits(known):
            raise
        return known
    state.server_keys = ServerKeys(
        issuer=issuer,
        keys=keys,
        algorithms=algorithms,
        fetched_at=instant.monotonic,
        asked_at=instant.monotonic,
        fresh_until=instant.monotonic + JWKS_TTL,
    )
    return state.server_keys


def _due(known: ServerKeys, now: float, fits: Callable[[ServerKeys], bool]) -> bool:
    if known.fresh(known.issuer, now) and fits(known):
        return False
    # An unknown key and an issuer that is down wait alike: neither may become a stream of requests.
    return now - known.asked_at >= JWKS_COOLDOWN or not known.bridges(now)


def _fetch(
    state: ClientState, metadata: SmartMetadata, issuer: str
) -> Flow[tuple[tuple[VerificationKey, ...], tuple[str, ...] | None]]:
    url, algorithms = state.config.jwks_uri, None
    if url is None:
        url, algorithms = yield from _openid_configuration(state, metadata, issuer)
    response = yield from send_repeated(state, server_keys_request(url, limits=state.limits))
    return parse_server_keys(response, limits=state.limits), algorithms


def _openid_configuration(
    state: ClientState, metadata: SmartMetadata, issuer: str
) -> Flow[tuple[str, tuple[str, ...] | None]]:
    _check_issuer(issuer, allow_insecure_loopback=state.config.allow_insecure_loopback)
    response = yield from send_repeated(
        state, server_keys_request(openid_configuration_url(issuer), limits=state.limits, purpose="discovery")
    )
    try:
        document = _document(response, "OpenID configuration", state.limits)
    except IdTokenError:
        # Servers without OpenID Connect documents put their keys into the smart-configuration.
        if metadata.jwks_uri is None:
            raise
        return metadata.jwks_uri, None
    if document.get("issuer") != issuer:
        raise IdTokenError(
            "The OpenID configuration belongs to another issuer than the one it was asked of.",
            endpoint=response.url,
            status=response.status,
            advice="If the server is known to do this, configure id_token_issuer and jwks_uri.",
        )
    return _jwks_uri(state, metadata, document, response), _algorithms(document)


def _check_issuer(issuer: str, *, allow_insecure_loopback: bool) -> None:
    try:
        _ = parse_url(issuer, field="issuer", allow_insecure_loopback=allow_insecure_loopback)
    except ConfigurationError as exc:
        raise IdTokenError(
            f"The server's keys cannot be looked up by its issuer: {exc.message}",
            advice="Set jwks_uri in the configuration to where the keys are; ask the server's operator.",
        ) from None


def _jwks_uri(state: ClientState, metadata: SmartMetadata, document: JSONObject, response: Response) -> str:
    named = document.get("jwks_uri")
    if not isinstance(named, str) or not named:
        if metadata.jwks_uri is None:
            raise IdTokenError(
                "Neither document of the server says where its keys are.", endpoint=response.url
            )
        return metadata.jwks_uri
    try:
        return resolve_url(
            response.url,
            named,
            field="jwks_uri",
            allow_insecure_loopback=state.config.allow_insecure_loopback,
        ).text
    except ConfigurationError as exc:
        raise IdTokenError(exc.message, endpoint=response.url) from None


def _algorithms(document: JSONObject) -> tuple[str, ...] | None:
    listed = as_list(document.get("id_token_signing_alg_values_supported"))
    return None if listed is None else tuple(item for item in listed if isinstance(item, str))


def _document(response: Response, what: str, limits: Limits | None) -> JSONObject:
    if response.status != 200:
        redirected = f" (to {redirect_target(response)})" if 300 <= response.status < 400 else ""
        raise IdTokenError(
            f"The server answered {response.status}{redirected} to a request for its {what}; "
            "no redirect is followed.",
            endpoint=response.url,
            status=response.status,
            advice="ID tokens cannot be verified without it; ask the server's operator.",
        )
    return parse_object(response, IdTokenError, what, limits=limits)
