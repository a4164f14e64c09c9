"""
Verifying an ID token: is it really our server that says who signed in, and to us, and just now?

Every expectation is an argument without a default, so that no check can be forgotten.

Spec: SMART App Launch 2.2, scopes-and-launch-context; OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from smart_async.errors import IdTokenError
from smart_async.flow import Flow, now
from smart_async.keys.base64url import b64url_encode
from smart_async.keys.jwks import VerificationKey
from smart_async.keys.jws import has_key_for, verify_jws
from smart_async.limits import CLOCK_SKEW, ID_TOKEN_AGE
from smart_async.messages import JSON, Finding, JSONObject, Secret, as_list, discreet
from smart_async.smart.identity import Identity, identity_from_claims
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.server_keys import server_keys
from smart_async.smart.state import ClientState

__all__ = ("ID_TOKEN_ALGORITHMS", "identify", "verify_id_token")

ID_TOKEN_ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
)
"""The algorithms accepted. A server's metadata can only shorten this list."""

_LATEST = 2.0**53
"""Seconds: beyond this a float no longer counts in ones, and no honest clock gets there."""

_AGAIN = "Do not sign the user in. Start a new login; if it goes on, ask the server's operator."


@discreet
def verify_id_token(
    token: Secret,
    *,
    keys: Iterable[VerificationKey],
    algorithms: Iterable[str],
    issuer: str,
    client_id: str,
    nonce: Secret | None,
    access_token: Secret | None,
    fhir_base: str,
    trusted_audiences: Iterable[str],
    now: float,
    max_age: float | None,
) -> tuple[Identity, tuple[Finding, ...]]:
    """
    Verify an ID token and return who it speaks of.

    Args:
        token: The ID token.
        keys: The issuer's keys.
        algorithms: The algorithms accepted.
        issuer: The issuer that it must be from, exactly.
        client_id: The client that it must be for.
        nonce: What was sent with the authorization request; None after a refresh, where there is none.
        access_token: The access token it came with, for `at_hash`.
        fhir_base: Where a relative `fhirUser` starts.
        trusted_audiences: Who else may be named in `aud`, and so hold the same token.
        now: Unix seconds.
        max_age: Seconds since it was issued, at most; None for no limit.

    Returns:
        The identity, and what was odd about it.

    Raises:
        IdTokenError: If any check fails; `reason` says which.

    Spec: OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2.
    """
    verified = verify_jws(token.reveal(), keys, algorithms=algorithms, error=IdTokenError)
    claims = verified.claims(IdTokenError)
    _check_issuer(claims, issuer)
    _check_subject(claims)
    _check_audience(claims, client_id, frozenset(trusted_audiences))
    _check_times(claims, now, max_age)
    _check_nonce(claims, nonce)
    if access_token is not None and "at_hash" in claims:
        _check_at_hash(claims["at_hash"], str(verified.header["alg"]), access_token)
    return identity_from_claims(claims, fhir_base=fhir_base)


def identify(
    state: ClientState,
    metadata: SmartMetadata,
    token: Secret,
    *,
    nonce: Secret | None,
    access_token: Secret,
    max_age: float | None = ID_TOKEN_AGE,
    received_at: float | None = None,
) -> Flow[tuple[Identity, tuple[Finding, ...]]]:
    """
    Fetch the server's keys where needed, and verify an ID token with them.

    Args:
        state: The client.
        metadata: The server; its issuer is the only one believed.
        token: The ID token.
        nonce: As in `verify_id_token`.
        access_token: As in `verify_id_token`.
        max_age: As in `verify_id_token`.
        received_at: When it came, where that may be long ago: it had to be valid then. None for now.

    Raises:
        IdTokenError: If the server names no issuer, or the token cannot be trusted.
    """
    issuer = state.config.id_token_issuer or metadata.issuer
    if issuer is None:
        raise IdTokenError(
            "The server's discovery document names no issuer, so nobody can vouch for the ID token.",
            endpoint=metadata.token_endpoint,
            advice="Set id_token_issuer in the configuration, or leave openid out of the scope.",
        )

    def fits(keys: Iterable[VerificationKey]) -> bool:
        # Any algorithm of ours: what the issuer lists may have changed together with its keys.
        return has_key_for(token.reveal(), keys, algorithms=ID_TOKEN_ALGORITHMS, error=IdTokenError)

    try:
        _ = fits(())  # what no key could make acceptable is refused before any is fetched
        known = yield from server_keys(state, metadata, issuer, lambda found: fits(found.keys))
        instant = yield from now()
        return verify_id_token(
            token,
            keys=known.keys,
            algorithms=_allowed(known.algorithms),
            issuer=issuer,
            client_id=state.config.client_id,
            nonce=nonce,
            access_token=access_token,
            fhir_base=state.config.fhir_base,
            trusted_audiences=state.config.id_token_audiences,
            now=instant.wall if received_at is None else received_at,
            max_age=max_age,
        )
    except IdTokenError as exc:
        exc.endpoint = exc.endpoint or metadata.token_endpoint
        raise


def _allowed(listed: tuple[str, ...] | None) -> tuple[str, ...]:
    if listed is None:
        return ID_TOKEN_ALGORITHMS
    return tuple(name for name in ID_TOKEN_ALGORITHMS if name in listed)


def _refused(reason: str, message: str) -> IdTokenError:
    refusal = IdTokenError(f"The ID token cannot be trusted: {message}.", advice=_AGAIN)
    refusal.reason = reason
    return refusal


def _check_issuer(claims: JSONObject, issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise _refused("iss", "it is from another issuer than the one that discovery names")


def _check_subject(claims: JSONObject) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise _refused("sub", "its sub is not a string of 1 to 255 characters")


def _check_audience(claims: JSONObject, client_id: str, trusted: frozenset[str]) -> None:
    value: JSON = claims.get("aud")
    listed = as_list(value)
    audience = tuple(listed) if listed is not None else (value,)
    if client_id not in audience or set(map(type, audience)) != {str}:
        raise _refused("aud", "it is not for this client (aud)")
    azp = claims.get("azp")
    if azp is not None and azp != client_id:
        raise _refused("azp", "it was issued to another client (azp)")
    # Each other audience holds this token as well, and could sign in here with it.
    others = frozenset(audience) - {client_id}
    if others - trusted:
        raise _refused("aud", "it is also for others, who are not in id_token_audiences (aud)")
    if others and azp is None:
        raise _refused("azp", "it has several audiences and no azp")


def _check_times(claims: JSONObject, now: float, max_age: float | None) -> None:
    expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
    if expires_at + CLOCK_SKEW <= now:
        raise _refused("exp", "it has expired")
    if issued_at - CLOCK_SKEW > now:
        raise _refused("iat", "it is dated in the future; compare the clocks of server and client")
    if max_age is not None and issued_at < now - max_age - CLOCK_SKEW:
        raise _refused("iat", "it was issued too long ago for a login that has just happened")
    if "nbf" in claims and _time(claims, "nbf") - CLOCK_SKEW > now:
        raise _refused("nbf", "it is not valid yet")


def _time(claims: JSONObject, name: str) -> float:
    value: JSON = claims.get(name)
    if type(value) not in (int, float) or not 0 <= value <= _LATEST:  # a bool is no number of seconds
        raise _refused(name, f"its {name} is missing or not a number of seconds")
    return float(value)


def _check_nonce(claims: JSONObject, nonce: Secret | None) -> None:
    if nonce is None:
        return
    value = claims.get("nonce")
    if not isinstance(value, str) or Secret(value) != nonce:
        raise _refused("nonce", "its nonce is missing or from another login")


def _check_at_hash(value: JSON, algorithm: str, access_token: Secret) -> None:
    digest = hashlib.new(f"sha{algorithm[-3:]}", access_token.reveal().encode("utf-8", "replace")).digest()
    expected = b64url_encode(digest[: len(digest) // 2])
    if not isinstance(value, str) or not hmac.compare_digest(
        value.encode("utf-8", "replace"), expected.encode()
    ):
        raise _refused("at_hash", "it came with another access token (at_hash)")
