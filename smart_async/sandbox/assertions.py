"""
The judge of client assertions: everything that SMART and RFC 7523 demand of one, checked one by one.

Nothing here is shared with the code that makes assertions. The order matters: first what can be read
without trust, then the key and its signature, then the claims, and the replay store last, so that a
forged assertion cannot use up somebody's `jti`.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from smart_async.errors import ProtocolError
from smart_async.limits import RSA_BITS_MAX, RSA_BITS_MIN, TOKEN_BYTES
from smart_async.messages import JSONObject, strict_loads
from smart_async.sandbox.client_keys import ClientKeys
from smart_async.sandbox.clients import Registry, SandboxClient
from smart_async.sandbox.shapes import PRIVATE_MEMBERS, is_integer, is_number, is_object
from smart_async.sandbox.verdicts import Case, invalid_client

__all__ = ("ALGORITHMS", "ASSERTION_TYPE", "AssertionJudge")

ALGORITHMS = ("RS384", "ES384")
"""The signature algorithms that clients may use."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""The one value of `client_assertion_type`."""

_KEY_TYPES = {"RS384": "RSA", "ES384": "EC"}
_MATERIAL = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_LIFETIME = 300


class AssertionJudge:
    """
    Decides whether a client assertion proves who sent it.

    Args:
        registry: The known clients.
        keys: Finds their public keys.
        clock: Returns Unix seconds.

    Spec: SMART App Launch 2.2, client authentication: asymmetric (signature verification); RFC 7523,
        section 3.
    """

    def __init__(self, registry: Registry, keys: ClientKeys, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._keys = keys
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}

    def judge(self, assertion: str, audiences: tuple[str, ...], case: Case) -> SandboxClient:
        """
        Return the client that *assertion* authenticates.

        Args:
            assertion: The compact JWS.
            audiences: The values of `aud` that are accepted.
            case: Learns the client's id as soon as a known one is named.

        Raises:
            RefusedError: With the broken rule; the error code is always `invalid_client` (AS-20).
        """
        header, claims = _take_apart(assertion)
        _check_header(header)
        client = self._client(claims, case)
        key = self._key(client, header, case)
        _check_signature(assertion, header["alg"], key)
        _check_audience(claims, audiences)
        expires_at = self._check_times(claims)
        self._check_replay(client.client_id, claims, expires_at)
        return client

    def _client(self, claims: JSONObject, case: Case) -> SandboxClient:
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or not issuer:
            raise invalid_client("AS-07", "the claim iss must be the client_id, and is missing or no text")
        if claims.get("sub") != issuer:
            raise invalid_client("AS-07", "the claim sub must be the client_id, the same as iss")
        client = self._registry.find(issuer)
        if client is None:
            raise invalid_client("AS-21", f"no client '{issuer}' is registered here")
        case.client_id = client.client_id
        return client

    def _key(self, client: SandboxClient, header: JSONObject, case: Case) -> JSONObject:
        if "jku" in header and (client.jwks_uri is None or header["jku"] != client.jwks_uri):
            raise invalid_client("AS-06", "the header jku is not the JWKS URL registered for this client")
        kid, key_type = header["kid"], _KEY_TYPES[header["alg"]]
        fitting = [
            key for key in self._keys.of(client, case) if key.get("kid") == kid and key.get("kty") == key_type
        ]
        if len(fitting) != 1:
            raise invalid_client(
                "AS-18",
                f"exactly one registered {key_type} key must have the kid '{kid}', and {len(fitting)} do",
            )
        return fitting[0]

    def _check_times(self, claims: JSONObject) -> int:
        now = self._clock()
        expires_at = claims.get("exp")
        if not is_integer(expires_at):
            raise invalid_client("AS-09", "the claim exp must be an integer of Unix seconds")
        if expires_at <= now:
            raise invalid_client("AS-09", f"the assertion expired {now - expires_at:.0f} s ago (claim exp)")
        if expires_at > now + _LIFETIME:
            raise invalid_client(
                "AS-09",
                f"the claim exp lies {expires_at - now:.0f} s ahead; at most {_LIFETIME} s are allowed",
            )
        for name in {"iat", "nbf"} & claims.keys():
            value = claims[name]
            if not is_number(value):
                raise invalid_client("RFC 7523 §3", f"the claim {name} must be a number")
            if value > now:
                raise invalid_client(
                    "RFC 7523 §3", f"the claim {name} lies {value - now:.0f} s in the future"
                )
        return expires_at

    def _check_replay(self, client_id: str, claims: JSONObject, expires_at: int) -> None:
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise invalid_client("AS-10", "the claim jti must be text that is different in every assertion")
        now = self._clock()
        self._seen = {entry: until for entry, until in self._seen.items() if until > now}
        if (client_id, jti) in self._seen:
            raise invalid_client(
                "AS-19", "this assertion was used before; each request needs one with a new jti"
            )
        self._seen[client_id, jti] = expires_at


def _take_apart(assertion: str) -> tuple[JSONObject, JSONObject]:
    parts = assertion.split(".")
    if len(assertion) > TOKEN_BYTES or len(parts) != 3 or not all(map(_BASE64URL.fullmatch, parts)):
        raise invalid_client("AS-11", "client_assertion must be a compact JWS: three parts of base64url")
    return _object(parts[0], "header"), _object(parts[1], "claims")


def _object(part: str, what: str) -> JSONObject:
    try:
        value = strict_loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, ProtocolError):
        value = None
    if not is_object(value):
        raise invalid_client("AS-11", f"the {what} of the assertion is not a JSON object")
    return value


def _check_header(header: JSONObject) -> None:
    if not isinstance(header.get("alg"), str):
        raise invalid_client("AS-04", "the header alg is missing")
    if header["alg"] not in ALGORITHMS:
        raise invalid_client(
            "AS-22", f"the algorithm '{header['alg']}' is not one of {', '.join(ALGORITHMS)}"
        )
    if header.get("typ") != "JWT":
        raise invalid_client("AS-04", "the header typ must be 'JWT'")
    if not isinstance(header.get("kid"), str) or not header["kid"]:
        raise invalid_client("AS-04", "the header kid is missing")
    if "crit" in header:
        raise invalid_client(
            "RFC 7515 §4.1.11", "the header crit names extensions, and none is understood here"
        )


def _check_signature(assertion: str, algorithm: str, jwk: JSONObject) -> None:
    _check_material(jwk)
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = TOKEN_BYTES
    if algorithm == "ES384" and len(assertion.rpartition(".")[2]) != 128:
        raise invalid_client("AS-23", "an ES384 signature has 96 bytes (R and S), and this one has not")
    try:
        key = RSAKey.import_key(jwk) if algorithm == "RS384" else ECKey.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError):
        raise invalid_client("AS-13", f"the registered key '{jwk['kid']}' cannot be read") from None
    try:
        _ = jws.deserialize_compact(assertion, key, registry=registry)
    except (JoseError, ValueError):
        raise invalid_client(
            "RFC 7515 §5.2", f"the signature does not verify with the registered key '{jwk['kid']}'"
        ) from None


def _check_material(jwk: JSONObject) -> None:
    if PRIVATE_MEMBERS & jwk.keys():
        raise invalid_client(
            "AS-14", "the published JWK Set holds private key material; replace that key at once"
        )
    if not all(_is_base64url(jwk.get(name)) or name == "crv" for name in _MATERIAL[jwk["kty"]]):
        raise invalid_client("AS-13", f"the registered key '{jwk['kid']}' lacks its bare key members")
    if jwk["kty"] == "EC":
        if jwk.get("crv") != "P-384":
            raise invalid_client("AS-23", "ES384 needs a key on the curve P-384")
        if len(jwk["x"]) != 64 or len(jwk["y"]) != 64:
            raise invalid_client(
                "AS-23", "the coordinates of a P-384 key have 48 bytes each, zeros in front kept"
            )
        return
    bits = _bits(jwk["n"])
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise invalid_client(
            "RFC 7518 §3.3", f"an RSA key has {RSA_BITS_MIN} bits at least, and this one has {bits}"
        )


def _bits(number: str) -> int:
    try:
        return int.from_bytes(urlsafe_b64decode(number + "=" * (-len(number) % 4))).bit_length()
    except ValueError:
        return 0


def _check_audience(claims: JSONObject, audiences: tuple[str, ...]) -> None:
    audience = claims.get("aud")
    if not isinstance(audience, str):
        raise invalid_client("AS-08", f"the claim aud must be one text, '{audiences[0]}'")
    if audience not in audiences:
        raise invalid_client("AS-08", f"the claim aud is '{audience[:200]}'; it must be '{audiences[0]}'")


def _is_base64url(value: Any) -> bool:
    return isinstance(value, str) and bool(_BASE64URL.fullmatch(value))
