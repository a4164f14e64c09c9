"""
Keys and signatures: a client's own private key, a server's public ones.

Importing this room loads neither `cryptography` nor `joserfc`; using it does.
"""

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
