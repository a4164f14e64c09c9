"""What a server's TLS looks like: version, certificate, and what is wrong with it."""

from __future__ import annotations

import os
import socket
import ssl
import warnings
from collections.abc import Iterator
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from smart_async.smart.diagnosis.evidence import TlsFacts, TlsProblem

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ("look_at_tls",)

_SECONDS = 5.0
_HTTPS = 443
# OpenSSL's codes for a certificate that is not accepted, as `verify_code` holds them.
_VERIFY: dict[int, TlsProblem] = {
    9: "expired",
    10: "expired",
    18: "self-signed",
    19: "self-signed",
    62: "name",
    64: "name",
}


def look_at_tls(url: str, ca_file: str | os.PathLike[str] | None = None) -> TlsFacts:
    """
    Shake hands with the server of *url*, send it nothing, and return what was seen.

    Where the certificate is not accepted a second handshake looks at it, to say what is wrong; nothing is
    ever sent over that connection.

    Args:
        url: An https URL.
        ca_file: The certificates to trust instead of the public ones.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _HTTPS
    place = f"{host}:{port}"
    try:
        version, der = _handshake(host, port, _context(ca_file))
    except ssl.SSLCertVerificationError as exc:
        problem = _VERIFY.get(exc.verify_code, "untrusted")
        return _facts(place, *_unverified(host, port), problem)
    except ssl.SSLError:
        return _without_agreement(place, host, port)
    except socket.gaierror:
        return TlsFacts(host=place, problem="unknown-host")
    except OSError:
        return TlsFacts(host=place, problem="unreachable")
    return _facts(place, version, der, None)


def _context(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    import certifi  # comes with httpcore

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=ca_file or certifi.where())
    return context


def _blind_context(*, any_version: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if any_version:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def _handshake(host: str, port: int, context: ssl.SSLContext) -> tuple[str | None, bytes | None]:
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.version(), secured.getpeercert(binary_form=True)


def _unverified(host: str, port: int) -> tuple[str | None, bytes | None]:
    try:
        return _handshake(host, port, _blind_context())
    except OSError:
        return None, None


def _without_agreement(place: str, host: str, port: int) -> TlsFacts:
    try:
        version, der = _handshake(host, port, _blind_context(any_version=True))
    except OSError:
        return TlsFacts(host=place, problem="failed")
    return _facts(place, version, der, "old")


def _facts(place: str, version: str | None, der: bytes | None, problem: TlsProblem | None) -> TlsFacts:
    if der is None:
        return TlsFacts(host=place, version=version, problem=problem)
    from cryptography.x509 import load_der_x509_certificate

    try:
        certificate = load_der_x509_certificate(der)
        return TlsFacts(
            host=place,
            version=version,
            names=tuple(_names(certificate)),
            issuer=certificate.issuer.rfc4514_string(),
            not_after=certificate.not_valid_after_utc.astimezone(UTC).timestamp(),
            problem=problem,
        )
    except ValueError:
        return TlsFacts(host=place, version=version, problem=problem)


def _names(certificate: Certificate) -> Iterator[str]:
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    try:
        found = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return
    yield from found.get_values_for_type(DNSName)
    yield from (str(address) for address in found.get_values_for_type(IPAddress))
