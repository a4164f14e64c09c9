"""
ECDSA signatures from DER, as key services return them, to R‖S, as JWS wants them.

Spec: RFC 3279, section 2.2.3 (the DER form); RFC 7518, section 3.4 (the JWS form).
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError
from smart_async.keys.algorithms import ALGORITHMS, CURVES

__all__ = ("der_to_raw",)

_SEQUENCE = 0x30
_INTEGER = 0x02
_LONG_LENGTH = 0x81  # the length is in one further byte; no ECDSA signature needs more


def der_to_raw(signature: bytes, algorithm: str) -> bytes:
    r"""
    Return an ECDSA signature in DER as the fixed-width R‖S of a JWS.

    AWS KMS, Google Cloud KMS, OpenSSL and Java return DER; Azure Key Vault and PKCS #11 return R‖S already.
    Know which one you have: the two cannot be told apart safely by looking.

    Args:
        signature: The DER bytes.
        algorithm: `ES256`, `ES384` or `ES512`, which says how wide R and S are.

    Returns:
        64, 96 or 132 bytes.

    Raises:
        ConfigurationError: If the algorithm is no ECDSA one, or the bytes are not DER to the letter: two
            positive numbers that fit the curve, each as short as it can be, and nothing after them.

    Spec: RFC 7518, section 3.4.

    >>> der_to_raw(bytes.fromhex("3006020101020102"), "ES256")[31::32]
    b'\x01\x02'
    """
    chosen = ALGORITHMS.get(algorithm)
    if chosen is None or chosen.curve is None:
        raise ConfigurationError(
            f"{algorithm} signatures have no DER form.",
            field="signature_format",
            advice="Only ES256, ES384 and ES512 signatures are converted; leave others as they are.",
        )
    width = CURVES[chosen.curve]
    try:
        r, rest = _integer(_sequence(bytes(signature)), width)
        s, rest = _integer(rest, width)
    except (IndexError, ValueError):
        rest = b"?"
        r = s = b""
    if rest:
        raise ConfigurationError(
            f"The signature is not an {algorithm} signature in DER.",
            field="signature_format",
            advice="Check what the signer returns. If that is R and S already, say signature_format='raw'.",
        )
    return r.rjust(width, b"\0") + s.rjust(width, b"\0")


def _sequence(data: bytes) -> bytes:
    # The content of the one SEQUENCE that *data* is.
    start, length = 2, data[1]
    if length == _LONG_LENGTH:
        start, length = 3, data[2]
        if length < 0x80:
            raise ValueError("longer than needed")
    if data[0] != _SEQUENCE or length != len(data) - start:
        raise ValueError("no sequence of that length")
    return data[start:]


def _integer(data: bytes, width: int) -> tuple[bytes, bytes]:
    # The first INTEGER of *data* without its sign byte, and what follows it.
    length, first = data[1], data[2]
    value, rest = data[2 : 2 + length], data[2 + length :]
    if data[0] != _INTEGER or not 0 < length == len(value) or first & 0x80:
        raise ValueError("no positive integer")
    if first == 0:
        if not value[1] & 0x80:  # zero itself fails too, by having no second byte
            raise ValueError("longer than needed")
        value = value[1:]
    if len(value) > width:
        raise ValueError("too large for the curve")
    return value, rest
