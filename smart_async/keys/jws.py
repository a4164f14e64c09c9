"""
Signed tokens in compact form: put together for ours, taken apart and verified for a server's.

Verification trusts nothing in the token. The algorithm must be on the caller's list, the key must be one of
the caller's and fit the algorithm, and headers that bring keys, change the encoding or demand extensions are
refused before any cryptography. JSON forms, detached and unencoded payloads and encrypted tokens are left
out.

Spec: RFC 7515 (JWS), RFC 7518 (its algorithms), RFC 8725 (best practice).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.keys.algorithms import ALGORITHMS, Algorithm
from smart_async.keys.base64url import b64url_decode, b64url_encode
from smart_async.keys.jwks import VerificationKey
from smart_async.limits import JWS_HEADER_BYTES, JWS_PAYLOAD_BYTES, JWS_SIGNATURE_BYTES
from smart_async.messages import JSON, JSONObject, clean_text, discreet, strict_loads

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

__all__ = (
    "VerifiedJWS",
    "b64url_decode",
    "b64url_encode",
    "compact",
    "has_key_for",
    "signing_input",
    "verify_jws",
)

_REFUSED_HEADERS = {
    "crit": "it demands extensions",
    "b64": "it changes how the payload is encoded",
    "jwk": "a token must not bring its own key",
    "jku": "a token must not say where its key is",
    "x5u": "a token must not say where its certificate is",
}
_NAMES = frozenset(ALGORITHMS)
_LONGEST = sum(size * 4 // 3 + 4 for size in (JWS_HEADER_BYTES, JWS_PAYLOAD_BYTES, JWS_SIGNATURE_BYTES))

_E = TypeVar("_E", bound=ProtocolError)


class VerifiedJWS(NamedTuple):
    """
    What a token says, now that its signature has been verified.

    Who issued it, for whom and until when is for the caller to check: a signature says nothing of that.
    """

    header: JSONObject
    """The header."""
    payload: bytes
    """The payload as it was signed."""

    @discreet
    def claims(self, error: type[ProtocolError] = ProtocolError) -> JSONObject:
        """
        Return the payload's JSON object.

        Args:
            error: The error class to raise.

        Raises:
            ProtocolError: Of the class *error*, if the payload is not one, or not strict JSON.
        """
        return _json_object(self.payload, "payload", JWS_PAYLOAD_BYTES, error)


class _Parts(NamedTuple):
    header: JSONObject
    algorithm: Algorithm
    payload: bytes
    signature: bytes


def signing_input(header: Mapping[str, object], claims: Mapping[str, object]) -> bytes:
    """
    Return the bytes to sign: header and claims, encoded, with a dot between.

    Args:
        header: The header; its members keep their order.
        claims: The claims; theirs too.

    Raises:
        ConfigurationError: If one of them holds something that JSON has no form for.

    Spec: RFC 7515, section 5.1.

    >>> signing_input({"alg": "ES384"}, {"iss": "app"})
    b'eyJhbGciOiJFUzM4NCJ9.eyJpc3MiOiJhcHAifQ'
    """
    try:
        parts = [
            b64url_encode(json.dumps(dict(part), separators=(",", ":"), allow_nan=False).encode())
            for part in (header, claims)
        ]
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(
            "A header or claim of the token to be signed cannot be written as JSON.",
            advice="Use text, finite numbers, booleans, None, lists and dicts with text keys.",
        ) from None
    return ".".join(parts).encode("ascii")


def compact(signing_input: bytes, signature: bytes) -> str:
    """
    Return the finished token.

    Args:
        signing_input: The bytes that were signed.
        signature: Their signature.

    Spec: RFC 7515, section 7.1.

    >>> compact(b"aGVhZGVy.Y2xhaW1z", b"signature")
    'aGVhZGVy.Y2xhaW1z.c2lnbmF0dXJl'
    """
    return f"{signing_input.decode('ascii')}.{b64url_encode(signature)}"


@discreet
def verify_jws(
    token: str,
    keys: Iterable[VerificationKey],
    *,
    algorithms: Iterable[str],
    error: type[_E] | None = None,
) -> VerifiedJWS:
    """
    Verify the signature of *token* and return what it says.

    The key is the one whose `kid` the token names and that fits its algorithm. A token that names none, or
    a set whose keys have none, is accepted only if exactly one key fits.

    Args:
        token: The token in compact form.
        keys: The issuer's keys, from `parse_jwks`.
        algorithms: The algorithms that you accept. A server's metadata may narrow this list, never widen
            it; an empty list accepts nothing.
        error: The error class to raise instead of `ProtocolError`.

    Returns:
        Header and payload.

    Raises:
        ProtocolError: Of the class *error*, if the token cannot be trusted, whatever the reason.
        ConfigurationError: If *algorithms* names one that cannot verify with a public key, such as `none`
            or `HS256`.

    Spec: RFC 7515, section 5.2; RFC 8725, sections 3.1 to 3.5.
    """
    fail: type[ProtocolError] = error or ProtocolError
    parts = _take_apart(token, algorithms, fail)
    candidates = _candidates(parts, tuple(keys))
    if len(candidates) != 1:
        raise _wrong_number_of_keys(parts, len(candidates), fail)
    _verify_signature(token, parts, candidates[0], fail)
    return VerifiedJWS(parts.header, parts.payload)


@discreet
def has_key_for(
    token: str,
    keys: Iterable[VerificationKey],
    *,
    algorithms: Iterable[str],
    error: type[_E] | None = None,
) -> bool:
    """
    Return whether some of *keys* could have signed *token*; if none could, fetch the keys again.

    Servers change their keys, so a token may name one that a cached set does not have yet.

    Args:
        token: The token in compact form; nothing in it is believed.
        keys: The issuer's keys as cached.
        algorithms: As in `verify_jws`.
        error: As in `verify_jws`.

    Raises:
        ProtocolError: Of the class *error*, if no key whatever could make this token acceptable.
    """
    return bool(_candidates(_take_apart(token, algorithms, error or ProtocolError), tuple(keys)))


def _no(fail: type[ProtocolError], reason: str, message: str, advice: str | None = None) -> ProtocolError:
    refusal = fail(message, advice=advice)
    refusal.reason = reason
    return refusal


def _take_apart(token: object, algorithms: Iterable[str], fail: type[ProtocolError]) -> _Parts:
    allowed = _allowed(algorithms, fail)
    if not isinstance(token, str) or len(token) > _LONGEST:
        raise _no(fail, "format", "The token is not text, or longer than any honest one.")
    segments = token.split(".", 5)
    if len(segments) == 5:
        raise _no(
            fail,
            "encrypted",
            "The token is encrypted (five parts), which is not supported.",
            advice="Have the server registration changed to signed, unencrypted tokens.",
        )
    if len(segments) != 3:
        raise _no(fail, "format", "The token is not a signed JWT of three parts.")
    try:
        header, payload, signature = map(b64url_decode, segments)
    except ProtocolError:
        raise _no(fail, "format", "The token is not in canonical base64url, without padding.") from None
    if len(payload) > JWS_PAYLOAD_BYTES or not 0 < len(signature) <= JWS_SIGNATURE_BYTES:
        raise _no(fail, "format", "The token has no signature, or a part of it is too long.")
    members = _json_object(header, "header", JWS_HEADER_BYTES, fail)
    return _Parts(members, _check_header(members, allowed, fail), payload, signature)


def _allowed(algorithms: Iterable[str], fail: type[ProtocolError]) -> frozenset[str]:
    names = frozenset((algorithms,) if isinstance(algorithms, str) else algorithms)
    if not names <= _NAMES:
        raise ConfigurationError(
            f"{min(names - _NAMES)!r} is not an algorithm to verify with a public key.",
            field="algorithms",
            advice=f"Use some of {', '.join(ALGORITHMS)}.",
        )
    if not names:
        raise _no(fail, "alg", "No signature algorithm is left that both the server offers and you accept.")
    return names


def _json_object(data: bytes, part: str, max_bytes: int, fail: type[ProtocolError]) -> JSONObject:
    try:
        value = strict_loads(data, max_bytes=max_bytes)
    except ProtocolError as exc:
        raise _no(fail, part, f"The token's {part} cannot be used: {exc.message}") from None
    if not isinstance(value, dict):
        raise _no(fail, part, f"The token's {part} is not a JSON object.")
    return cast("JSONObject", value)


def _check_header(header: JSONObject, allowed: frozenset[str], fail: type[ProtocolError]) -> Algorithm:
    if not _REFUSED_HEADERS.keys().isdisjoint(header):
        refused = next(name for name in _REFUSED_HEADERS if name in header)
        reason = _REFUSED_HEADERS[refused]
        raise _no(fail, "header", f"The token's header has {refused}, which is refused: {reason}.")
    if "kid" in header and not isinstance(header["kid"], str):
        raise _no(fail, "header", "The token's kid is not a string.")
    name: JSON = header.get("alg")
    if not isinstance(name, str) or name not in allowed:
        shown = clean_text(name, length=32) if isinstance(name, str) else "nothing readable"
        accepted = ", ".join(sorted(allowed))
        raise _no(fail, "alg", f"The token names the algorithm {shown}; accepted are {accepted}.")
    return ALGORITHMS[name]


def _candidates(parts: _Parts, keys: tuple[VerificationKey, ...]) -> list[VerificationKey]:
    kid = parts.header.get("kid")
    if kid is not None:
        named = [key for key in keys if key.kid == kid]
        # Some servers name a kid in tokens and publish keys without any.
        keys = tuple(named or (key for key in keys if key.kid is None))
    return [key for key in keys if key.fits(parts.algorithm)]


def _wrong_number_of_keys(parts: _Parts, count: int, fail: type[ProtocolError]) -> ProtocolError:
    kid = parts.header.get("kid")
    name = f"kid {clean_text(kid, length=64)!r}" if isinstance(kid, str) else "no kid"
    if count:
        return _no(
            fail,
            "key",
            f"{count} of the server's keys fit the token ({name}), so which signed it is unclear.",
        )
    return _no(
        fail,
        "key",
        f"None of the server's keys fits the token ({name}, {parts.algorithm.name}).",
        advice="If the server has just changed its keys, fetch them again.",
    )


def _verify_signature(token: str, parts: _Parts, key: VerificationKey, fail: type[ProtocolError]) -> None:
    # Decision 0013: joserfc judges header, key and signature, and does not take the token apart once more.
    signed = token.rpartition(".")[0].encode("ascii")
    try:
        registry, judged = _registry(parts.algorithm.name), key.for_joserfc()
        registry.check_header(parts.header)
        judge = registry.get_alg(parts.algorithm.name)
        judge.check_key(judged)
        genuine = judge.verify(signed, parts.signature, judged)
    except Exception:  # joserfc lets KeyError, TypeError and others through; all mean no
        genuine = False
    if genuine is not True:  # a judge that says neither yes nor no has not said yes
        raise _no(
            fail,
            "signature",
            "The token's signature does not match.",
            advice="It was changed on the way, or signed with another key than the server published.",
        )


@cache
def _registry(name: str) -> JWSRegistry:
    from joserfc.jws import JWSRegistry

    # Never without a name: joserfc takes an empty list for its own defaults, HS256 among them.
    return JWSRegistry(algorithms=[name], strict_check_header=False)
