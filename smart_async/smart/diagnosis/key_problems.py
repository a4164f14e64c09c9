"""Which cause an error about a key or a setting is, before anything was sent."""

from __future__ import annotations

import re

from smart_async.errors import SmartError

__all__ = ("cause_of_configuration",)

_KEY_FIELDS = frozenset(
    {"key", "path", "passphrase", "algorithm", "SMART_PRIVATE_KEY_PATH", "SMART_KEY_PASSPHRASE"}
)
_SIGNS: tuple[tuple[str, str], ...] = (
    ("key-kind", r"needs an RSA key"),
    ("key-passphrase", r"passphrase"),
    ("key-public", r"public key|public half|certificate"),
    ("key-weak", r"RSA key of \d+ bits|public exponent|even modulus|faulty hardware"),
    ("key-exposed", r"can be read or written|belongs to another user"),
    ("key-curve", r"\bP-256\b|\bP-521\b|secp\w+|prime256|elliptic-curve key on"),
    (
        "key-unreadable",
        r"cannot be read\b|No such file|Permission denied|"
        r"is (?:a folder|a named pipe|a socket|a device|something else)|is empty|far more than any key",
    ),
)
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _SIGNS)
# A path may be called anything, "certificate.pem" among it.
_PATH = re.compile(r"^(?:\w+: )?The key file .*? (?=(?:cannot be|is|belongs|can be|has) )", re.DOTALL)
_NEEDED = re.compile(r"(?:An RSA key \(|That is needed|is needed\.).*", re.DOTALL)


def cause_of_configuration(error: SmartError) -> str:
    """
    Return the cause that *error* is, which was raised for a key file or for a setting.

    Args:
        error: The error.

    Returns:
        An id of the catalogue.
    """
    field, message = getattr(error, "field", None), error.message
    if field in ("jku", "SMART_JWKS_URI") and "http" in message:
        return "jwks-http"
    if field in ("client_auth", "algorithm") and "the server accepts only" in message:
        return "algorithm"
    if "nothing the client could" in message or "Nothing is set that" in message:
        return "key-none"
    if field not in _KEY_FIELDS and "key file" not in message:
        return "configuration"
    # What is needed instead is not what was found.
    found = _NEEDED.sub("", _PATH.sub("", message))
    return next((name for name, pattern in _PATTERNS if pattern.search(found)), "key-kind")
