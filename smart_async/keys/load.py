"""
Private keys from whatever form they are kept in.

PEM (PKCS #1, PKCS #8, SEC 1, plain or encrypted), DER, PKCS #12, JWK, JWK Set and the key objects of the
`cryptography` package. What cannot sign for a SMART client is refused here with what was found and what is
needed; no message ever holds a piece of the key.

Spec: RFC 7468 (PEM), RFC 5958 (PKCS #8), RFC 5915 (SEC 1), RFC 7292 (PKCS #12), RFC 7517 (JWK).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.keys.given import (
    file_name_error,
    given_bytes,
    given_document,
    is_file_name,
    other_form_error,
)
from smart_async.keys.passphrase import Passphrase, hidden, passphrase_bytes
from smart_async.keys.private_jwk import key_from_jwk, parse_json, pick_jwk
from smart_async.keys.strength import MAKE_ONE, check_key, refuse_key
from smart_async.messages import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from smart_async.keys.algorithms import PrivateKey

__all__ = (
    "LoadedKey",
    "load_bytes",
    "load_der",
    "load_jwk",
    "load_jwks",
    "load_pem",
    "load_pkcs12",
    "needs_passphrase",
)

_PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_CONVERT = "Convert a copy with: openssl pkcs8 -topk8 -v2 aes256 -in KEY -out COPY."
_PRIVATE_LABELS = (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedKey:
    """
    A private key, and what its file says about it.

    Args:
        key: The key, fit to sign.
        kid: The id that stands in a JWK.
        algorithm: The algorithm that stands in a JWK.
    """

    key: PrivateKey = field(repr=False)
    kid: str | None = None
    algorithm: str | None = None


def load_bytes(data: bytes, *, passphrase: Passphrase | None = None, kid: str | None = None) -> LoadedKey:
    """
    Read a private key in any of the forms, telling them apart by their content.

    Args:
        data: The content of a key file.
        passphrase: What opens an encrypted one.
        kid: Which key of a JWK Set to take; needed only where there are several.

    Raises:
        ConfigurationError: If there is not exactly one usable private key in it.
    """
    passphrase = hidden(passphrase)
    data = given_bytes(data, caller="from_bytes")
    text = data.removeprefix(b"\xef\xbb\xbf").strip()
    if not text:
        raise refuse_key("an empty file")
    if b"-----BEGIN " in text:
        return load_pem(text, passphrase=passphrase)
    if text[:1] in (b"{", b"["):
        document = parse_json(text)
        return load_jwks(document, kid=kid) if "keys" in document else load_jwk(document)
    if data[:1] == b"\x30":
        read = load_pkcs12 if _is_pkcs12(data) else load_der
        return read(data, passphrase=passphrase)
    if is_file_name(text):
        raise file_name_error()
    raise refuse_key("not a key in PEM, DER, PKCS #12 or JWK form")


def needs_passphrase(data: bytes) -> bool:
    """Return whether *data* looks like a key that a passphrase opens, so that one has to be asked for."""
    if b"-----BEGIN " in data:
        return b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data or b"Proc-Type: 4,ENCRYPTED" in data
    # Encrypted PKCS #8 begins with the cipher's name, a plain key with its version number.
    return data[:1] == b"\x30" and (_is_pkcs12(data) or _der_content(data)[:1] == b"\x30")


def load_pem(data: bytes | str, *, passphrase: Passphrase | None = None) -> LoadedKey:
    """
    Read the one private key in *data*, as PEM.

    Certificates and comments beside it do not disturb.

    Args:
        data: The PEM text.
        passphrase: What opens an encrypted key.

    Raises:
        ConfigurationError: If there is not exactly one usable private key in it, or the passphrase does
            not open it.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    passphrase = hidden(passphrase)
    data = given_bytes(data, caller="from_pem", text=True)
    blocks = [(match[1], match[0]) for match in _PEM_BLOCK.finditer(data)]
    private = [block for label, block in blocks if label in _PRIVATE_LABELS]
    if len(private) > 1:
        raise refuse_key(f"a file with {len(private)} private keys", advice="Keep one key per file.")
    if not private or _has_escaped_lines(private[0]):
        labels = [label for label, _ in blocks]
        raise other_form_error(data) or refuse_key(*_describe_pem(data, labels))
    return _decrypt(load_pem_private_key, private[0], passphrase)


def load_der(data: bytes, *, passphrase: Passphrase | None = None) -> LoadedKey:
    """
    Read the private key in *data*, as DER (PKCS #1, PKCS #8 or SEC 1).

    Args:
        data: The DER bytes.
        passphrase: What opens an encrypted key.

    Raises:
        ConfigurationError: If it is no usable private key, or the passphrase does not open it.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

    passphrase = hidden(passphrase)
    for kind, read in (
        ("a certificate", x509.load_der_x509_certificate),
        ("a public key", load_der_public_key),
    ):
        try:
            read(data)
        except Exception:  # noqa: S112 - whatever is wrong with it, it is not one of these
            continue
        raise refuse_key(f"{kind}, which cannot sign", advice="Give the private key that belongs to it.")
    return _decrypt(load_der_private_key, data, passphrase)


def load_pkcs12(data: bytes, *, passphrase: Passphrase | None) -> LoadedKey:
    """
    Read the private key in *data*, a PKCS #12 file (.p12, .pfx).

    Args:
        data: The file's bytes; its certificates are not looked at.
        passphrase: What opens it, or None if nothing is needed.

    Raises:
        ConfigurationError: If it holds no usable private key, or the passphrase does not open it.
    """
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

    passphrase = hidden(passphrase)
    data = given_bytes(data, caller="from_pkcs12")
    try:
        key, _, _ = load_key_and_certificates(data, passphrase_bytes(passphrase))
    except Exception:  # the parser's errors differ by version; all mean the same
        if passphrase is None:
            raise _refuse_passphrase("This PKCS #12 file is damaged, or needs a passphrase") from None
        raise _refuse_passphrase(
            "The passphrase does not open this PKCS #12 file, or it is damaged"
        ) from None
    if key is None:
        raise refuse_key("a PKCS #12 file without a private key", advice="Export it again with its key.")
    return LoadedKey(key=check_key(key))


def load_jwk(jwk: Mapping[str, object] | str | bytes) -> LoadedKey:
    """
    Read a private JWK, with its `kid` and `alg`.

    Args:
        jwk: The JWK, parsed or as JSON text.

    Raises:
        ConfigurationError: If it is no usable private key for signatures.

    Spec: RFC 7518, sections 6.2 and 6.3.
    """
    document = given_document(jwk, caller="from_jwk")
    if "keys" in document and "kty" not in document:
        raise ConfigurationError(
            "This is a JWK Set, not one JWK.", field="key", advice="Use from_jwks for it."
        )
    key, kid, algorithm = key_from_jwk(document)
    return LoadedKey(key=check_key(key), kid=kid, algorithm=algorithm)


def load_jwks(jwks: Mapping[str, object] | str | bytes, *, kid: str | None = None) -> LoadedKey:
    """
    Read one private key of a JWK Set.

    Args:
        jwks: The set, parsed or as JSON text.
        kid: Which key to take; needed only where there are several private ones.

    Raises:
        ConfigurationError: If that does not name exactly one usable private key.
    """
    return load_jwk(pick_jwk(given_document(jwks, caller="from_jwks"), kid))


def _has_escaped_lines(data: bytes) -> bool:
    # What an environment variable or a JSON document does to a key; base64 has no backslash.
    return rb"\n" in data


def _describe_pem(data: bytes, labels: list[bytes]) -> tuple[str, str]:
    if _has_escaped_lines(data):
        return "PEM whose line breaks were turned into \\n", "Put real line breaks back in."
    if any(label.endswith(b"PUBLIC KEY") for label in labels):
        return "a public key, which cannot sign", "Give the private key that belongs to it."
    if any(b"CERTIFICATE" in label for label in labels):
        request = any(b"REQUEST" in label for label in labels)
        kind = "a certificate request" if request else "a certificate"
        return f"{kind} without its private key", "Give the private key that belongs to it."
    if b"OPENSSH PRIVATE KEY" in labels:
        return "a key in OpenSSH's own form", "Convert a copy with: ssh-keygen -p -m PKCS8 -f COPY."
    if labels:
        return f"PEM with {labels[0].decode()}, which is no private key of a known form", MAKE_ONE
    return "PEM that is cut off or damaged", "Copy it again, from the BEGIN line to the END line."


def _decrypt(
    read: Callable[[bytes, bytes | None], object], data: bytes, passphrase: Secret | None
) -> LoadedKey:
    from cryptography.exceptions import UnsupportedAlgorithm

    encrypted = needs_passphrase(data)
    if encrypted and passphrase is None:
        raise _refuse_passphrase("This key is encrypted, and no passphrase was given")
    if passphrase is not None and not encrypted:
        raise _refuse_passphrase("This key is not encrypted, but a passphrase was given")
    try:
        key = read(data, passphrase_bytes(passphrase))
    except UnsupportedAlgorithm:
        raise refuse_key("a key of an unknown type, or on an unknown curve") from None
    except (ValueError, TypeError) as exc:
        if not encrypted:
            raise refuse_key("a damaged key, or one of an unknown type") from None
        if "unknown" in str(exc).lower():
            raise refuse_key("a key encrypted with a cipher that is not supported", advice=_CONVERT) from None
        raise _refuse_passphrase("The passphrase does not open this key, or the key is damaged") from None
    return LoadedKey(key=check_key(key))


def _is_pkcs12(data: bytes) -> bool:
    return _der_content(data).startswith(b"\x02\x01\x03\x30")


def _der_content(data: bytes) -> bytes:
    # The outermost SEQUENCE without its tag and length; enough to see what comes first in it.
    length = data[1] if len(data) > 1 else 0
    return data[2 + (length & 0x7F if length & 0x80 else 0) :][:16]


def _refuse_passphrase(what: str) -> ConfigurationError:
    return ConfigurationError(f"{what}.", field="passphrase", advice="Check passphrase=.")
