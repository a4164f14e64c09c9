"""
Keys and signatures: a client's own private key, a server's public ones.

Importing this room loads neither `cryptography` nor `joserfc`; using it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.keys.algorithms import ALGORITHMS, Algorithm
    from smart_async.keys.given import is_public_half
    from smart_async.keys.jwks import (
        Publishable,
        VerificationKey,
        parse_jwks,
        public_jwk,
        public_jwks,
        thumbprint,
    )
    from smart_async.keys.jws import (
        VerifiedJWS,
        b64url_decode,
        b64url_encode,
        compact,
        has_key_for,
        signing_input,
        verify_jws,
    )
    from smart_async.keys.load import needs_passphrase
    from smart_async.keys.passphrase import Passphrase, hidden
    from smart_async.keys.ring import KeyRing
    from smart_async.keys.ring_keys import KeyState, PublishableAsyncSigner, PublishableSigner, RingKey
    from smart_async.keys.ring_source import RingHolder, RingSource, holds_ring
    from smart_async.keys.rotation import Rotation, RotationStep
    from smart_async.keys.signing_key import SigningKey

__all__ = (
    "ALGORITHMS",
    "Algorithm",
    "KeyRing",
    "KeyState",
    "Passphrase",
    "Publishable",
    "PublishableAsyncSigner",
    "PublishableSigner",
    "RingHolder",
    "RingKey",
    "RingSource",
    "Rotation",
    "RotationStep",
    "SigningKey",
    "VerificationKey",
    "VerifiedJWS",
    "b64url_decode",
    "b64url_encode",
    "compact",
    "has_key_for",
    "hidden",
    "holds_ring",
    "is_public_half",
    "needs_passphrase",
    "parse_jwks",
    "public_jwk",
    "public_jwks",
    "signing_input",
    "thumbprint",
    "verify_jws",
)

_HOMES = {
    "ALGORITHMS": "algorithms",
    "Algorithm": "algorithms",
    "KeyRing": "ring",
    "KeyState": "ring_keys",
    "Passphrase": "passphrase",
    "Publishable": "jwks",
    "PublishableAsyncSigner": "ring_keys",
    "PublishableSigner": "ring_keys",
    "RingHolder": "ring_source",
    "RingKey": "ring_keys",
    "RingSource": "ring_source",
    "Rotation": "rotation",
    "RotationStep": "rotation",
    "SigningKey": "signing_key",
    "VerificationKey": "jwks",
    "VerifiedJWS": "jws",
    "b64url_decode": "jws",
    "b64url_encode": "jws",
    "compact": "jws",
    "has_key_for": "jws",
    "hidden": "passphrase",
    "holds_ring": "ring_source",
    "is_public_half": "given",
    "needs_passphrase": "load",
    "parse_jwks": "jwks",
    "public_jwk": "jwks",
    "public_jwks": "jwks",
    "signing_input": "jws",
    "thumbprint": "jwks",
    "verify_jws": "jws",
}

__getattr__, __dir__ = loading(__name__, _HOMES)
