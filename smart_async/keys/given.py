"""
What a caller gave in the place of a key, if it is none: a path, an object, another form of key.

Nothing of it is quoted: what is taken for a file name may be a piece of a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from smart_async.errors import ConfigurationError
from smart_async.keys.jwks import is_array
from smart_async.keys.private_jwk import parse_json

__all__ = (
    "file_name_error",
    "given_bytes",
    "given_document",
    "is_file_name",
    "is_public_half",
    "other_form_error",
)

_FILE_NAME = re.compile(
    rb"[^\x00-\x1f{\[<>|\"*?]{1,250}\.(?:pem|key|der|p12|pfx|jwks?|json|txt|crt|cer|pub)",
    re.IGNORECASE,
)
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_READ_IT = "Read the file first, or use smart_async.load_signing_key(path)."


def given_bytes(data: object, *, caller: str, text: bool = False) -> bytes:
    """
    Return *data* as bytes.

    Args:
        data: What the caller gave.
        caller: The function that it was given to, for the message.
        text: Whether text is taken, too.

    Raises:
        ConfigurationError: If it is something else; a path gets advice of its own.
    """
    if isinstance(data, bytes | bytearray):
        return bytes(data)
    if isinstance(data, memoryview):
        return data.tobytes()
    if isinstance(data, str) and is_file_name(data.encode("utf-8", "replace")):
        raise file_name_error()
    if isinstance(data, str) and text:
        return data.encode("utf-8", "replace")
    needed = "bytes or text" if text else "bytes"
    if isinstance(data, str):
        raise _wrong_type(data, caller, needed, "Encode the text first; PEM text goes to from_pem as it is.")
    raise _wrong_type(data, caller, needed)


def given_document(given: object, *, caller: str) -> dict[str, Any]:
    """
    Return a JWK or JWK Set as a dict.

    Args:
        given: The JSON text, or the object already parsed.
        caller: The function that it was given to.

    Raises:
        ConfigurationError: If it is something else.
    """
    if isinstance(given, Mapping):
        return dict(cast("Mapping[str, Any]", given))
    if not isinstance(given, str | bytes):
        raise _wrong_type(given, caller, "a mapping or JSON text")
    data = given_bytes(given, caller=caller, text=True)
    if is_file_name(data):
        raise file_name_error()
    return parse_json(data)


def is_public_half(data: bytes) -> bool:
    """Return whether *data* holds public keys or certificates in PEM or JSON, and nothing private."""
    if labels := _LABEL.findall(data):
        return not any(b"PRIVATE" in label for label in labels)
    try:
        document = parse_json(data.strip())
    except ConfigurationError:
        return False
    entries: Any = document.get("keys", [document])
    return is_array(entries) and bool(entries) and all(map(_is_public_jwk, entries))


def _is_public_jwk(jwk: Any) -> bool:
    return isinstance(jwk, dict) and "kty" in jwk and "d" not in jwk


def is_file_name(data: bytes) -> bool:
    """Return whether *data* looks like the name of a key file, and so not like a key."""
    return _FILE_NAME.fullmatch(data.strip()) is not None


def file_name_error() -> ConfigurationError:
    """Return the error for the name of a file where its content is needed."""
    return ConfigurationError("This looks like a file name, not like a key.", field="key", advice=_READ_IT)


def other_form_error(data: bytes) -> ConfigurationError | None:
    """
    Return the error for *data* that is no PEM but something else that is known by sight, or None.

    Args:
        data: What was given as PEM.
    """
    content = data.strip()
    if is_file_name(content):
        return file_name_error()
    if content[:1] == b"{":
        is_set = re.search(rb'"keys"\s*:', content) is not None
        form, constructor = ("a JWK Set", "from_jwks") if is_set else ("a JWK", "from_jwk")
    elif data[:1] == b"\x30":
        form, constructor = "a key in binary form (DER or PKCS #12)", "from_bytes"
    else:
        return None
    return ConfigurationError(
        f"This is {form}, not PEM.", field="key", advice=f"Use {constructor} for it, or from_bytes."
    )


def _wrong_type(given: object, caller: str, needed: str, advice: str | None = None) -> ConfigurationError:
    if hasattr(given, "__fspath__"):
        advice = _READ_IT
    return ConfigurationError(
        f"{caller} takes {needed}, not {type(given).__name__}.",
        field="key",
        advice=advice or "Give the content of a key file.",
    )
