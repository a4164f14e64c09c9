"""
Base64url as JOSE uses it: bytes, and the numbers of a JWK.

Tokens are read canonically, one text for one value: padding, stray characters and stray bits would let the
same signature travel in many disguises. JWK numbers are read more kindly, because servers pad them.

Spec: RFC 7515, section 2; RFC 7518, section 2 (Base64urlUInt).
"""

from __future__ import annotations

import binascii

from smart_async.errors import ProtocolError
from smart_async.limits import RSA_BITS_MAX
from smart_async.messages import JSONObject

__all__ = ("b64url_decode", "b64url_encode", "number", "octets")

_URL_SAFE, _STANDARD = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
_NUMBER_CHARACTERS = 2 * RSA_BITS_MAX // 8


def b64url_encode(data: bytes) -> str:
    r"""
    Return *data* in base64url without padding.

    >>> b64url_encode(b"\xfb\xff")
    '-_8'
    """
    # The base64 module takes three calls for this, which tells beside a signature of a quarter millisecond.
    return _encoded(data).decode("ascii")


def _encoded(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


def b64url_decode(text: str) -> bytes:
    r"""
    Read canonical base64url.

    Args:
        text: Base64url without padding.

    Returns:
        The bytes; encoding them again gives *text*, always.

    Raises:
        ProtocolError: If *text* has padding, a character outside the alphabet, white space, an impossible
            length or bits set that no byte uses.

    >>> b64url_decode("-_8")
    b'\xfb\xff'
    """
    try:
        encoded = text.encode("ascii")
        # Padding beyond the end is passed over, as is much else: what counts is the comparison below.
        data = binascii.a2b_base64(encoded.translate(_STANDARD) + b"==")
    except ValueError:
        raise ProtocolError("The text is not base64url.") from None
    if _encoded(data) != encoded:
        raise ProtocolError("The text is not canonical base64url without padding.")
    return data


def number(jwk: JSONObject, member: str) -> int:
    """
    Read the number *member* of a JWK.

    Padding and leading zero bytes are tolerated: servers send both, and neither changes the number.

    Args:
        jwk: The key.
        member: The member's name, for the error too.

    Raises:
        ProtocolError: If the member is missing, not text, not base64url or longer than any key's number.
    """
    text = jwk.get(member)
    if not isinstance(text, str) or not text:
        raise ProtocolError(f"its {member} is missing or not text.")
    if len(text) > _NUMBER_CHARACTERS:
        raise ProtocolError(f"its {member} is longer than any key's.")
    try:
        return int.from_bytes(b64url_decode(text.rstrip("=")), "big")
    except ProtocolError:
        raise ProtocolError(f"its {member} is not base64url.") from None


def octets(value: int, width: int | None = None) -> bytes:
    """
    Return *value* as big-endian bytes.

    Args:
        value: A number of zero or more.
        width: Bytes of the result, or None for as few as the number needs.
    """
    return value.to_bytes(width or max(1, (value.bit_length() + 7) // 8), "big")
