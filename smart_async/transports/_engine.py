"""
What a transport needs before its first request: an HTTP engine, a TLS context, a proxy.

The engine is httpcore, the part of httpx that speaks HTTP (httpcore2 for httpx2). It is used directly:
no cookies, no redirects, no environment, no second URL parser and no log line with a URL come with it.
It takes a good tenth of a second to load, so that waits for the first request.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import ssl
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from smart_async.errors import ConfigurationError
from smart_async.messages import Secret, clean_text, parse_url

__all__ = ("ClientCertificate", "Engine", "Family", "Options")

_PROXY = re.compile(r"(?P<scheme>https?)://(?:(?P<user>[^/@]*)@)?(?P<place>[^/@?#]+)/?", re.IGNORECASE)
_HAS_PORT = re.compile(r":[0-9]+\Z")
_KEEP_ALIVE = 5.0
"""Seconds that an idle connection is kept; servers close theirs from five seconds on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """
    One of the two HTTP libraries that share an interface.

    Args:
        library: The name that users know it by.
        engine: The module that speaks HTTP for it.
        extra: The extra of this package that installs it, or None if it is always there.
    """

    library: str
    engine: str
    extra: str | None = None

    def check_installed(self) -> None:
        """Raise `ConfigurationError` with the pip line if the library is not installed."""
        if importlib.util.find_spec(self.engine) is None:
            wanted = f"smart-async[{self.extra}]" if self.extra else self.library
            raise ConfigurationError(
                f"The transport {self.library!r} needs the package {self.library}, which is not installed.",
                field="transport",
                advice=f'Install it with: pip install "{wanted}"',
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """
    A certificate by which the client shows itself to the server's TLS (mutual TLS).

    Args:
        certfile: Path of the PEM file with the certificate and any intermediate ones.
        keyfile: Path of the PEM file with the private key, if it is not in *certfile*.
        password: The password of an encrypted key.
    """

    certfile: str | os.PathLike[str]
    keyfile: str | os.PathLike[str] | None = None
    password: Secret | str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    What a user chose about the way to the servers.

    Args:
        proxy: URL of an HTTP proxy, possibly with user name and password.
        ca_file: Path of a PEM file with the certificates to trust instead of the public ones.
        cert: The client's own certificate.
        max_connections: How many connections may be open at once.

    Raises:
        ConfigurationError: If the proxy's URL or the number cannot be used.
    """

    proxy: str | None = field(default=None, repr=False)
    ca_file: str | os.PathLike[str] | None = None
    cert: ClientCertificate | None = None
    max_connections: int = 10

    def __post_init__(self) -> None:
        if type(self.max_connections) is not int or not 1 <= self.max_connections <= 1000:
            raise ConfigurationError(
                f"max_connections is {self.max_connections!r}; a number from 1 to 1000 is needed.",
                field="max_connections",
            )
        if self.proxy is not None:
            _read_proxy(self.proxy)


class Engine:
    """
    The loaded HTTP library, ready to make connection pools.

    Args:
        family: The library to load.
        options: The user's options.

    Raises:
        ConfigurationError: If a certificate file cannot be used.
    """

    def __init__(self, family: Family, options: Options) -> None:
        self.core: Any = importlib.import_module(family.engine)
        self.user_agent = f"smart-async/{importlib.metadata.version('smart-async')}"
        self._options = options
        self._context = _tls_context(options, options.cert)
        self._proxy = self._make_proxy(options)

    def pool(self, kind: str, **more: object) -> Any:
        """Return a new pool of the engine's class *kind*."""
        size = self._options.max_connections
        return getattr(self.core, kind)(
            ssl_context=self._context,
            proxy=self._proxy,
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=_KEEP_ALIVE,
            **more,
        )

    def _make_proxy(self, options: Options) -> Any:
        if options.proxy is None:
            return None
        scheme, host, port, auth = _read_proxy(options.proxy)
        return self.core.Proxy(
            url=self.core.URL(scheme=scheme, host=host, port=port, target="/"),
            auth=auth,
            # The proxy is not the server that the client's certificate is meant for.
            ssl_context=_tls_context(options, None) if scheme == "https" else None,
        )


def _read_proxy(text: str) -> tuple[str, str, int, tuple[bytes, bytes] | None]:
    def refuse(rule: str) -> ConfigurationError:
        return ConfigurationError(
            rule, field="proxy", advice="Give the proxy as a URL such as http://proxy.example.com:8080."
        )

    match = _PROXY.fullmatch(text)
    if not match:
        raise refuse("proxy must be an http:// or https:// URL of a host, without a path.")
    scheme, place, user = match["scheme"].lower(), match["place"], match["user"]
    try:
        url = parse_url(f"https://{place}", field="proxy")
    except ConfigurationError as exc:
        raise refuse(exc.message) from None
    port = url.port if _HAS_PORT.search(place) else {"http": 80, "https": 443}[scheme]
    if user is None:
        return scheme, url.host, port, None
    name, _, password = user.partition(":")
    return scheme, url.host, port, (unquote_to_bytes(name), unquote_to_bytes(password))


def _tls_context(options: Options, cert: ClientCertificate | None) -> ssl.SSLContext:
    # By hand, as ssl.create_default_context() reads SSLKEYLOGFILE and SSL_CERT_FILE. This class demands
    # a certificate and checks the host name from the start.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cafile=options.ca_file or _public_roots())
    except (OSError, ValueError) as exc:
        raise _unusable("ca_file", "certificates to trust", exc) from None
    if cert is not None:
        try:
            context.load_cert_chain(cert.certfile, cert.keyfile, _password(cert))
        except (OSError, ValueError) as exc:
            raise _unusable("cert", "a client certificate with its private key", exc) from None
    return context


def _public_roots() -> str:
    import certifi  # comes with httpcore

    return certifi.where()


def _password(cert: ClientCertificate) -> Any:
    if cert.password is not None:
        return cert.password.reveal() if isinstance(cert.password, Secret) else cert.password

    def missing() -> NoReturn:
        # Without this, OpenSSL would ask on the terminal and wait.
        raise ConfigurationError(
            "The private key of the client certificate is encrypted and no password was given.",
            field="cert",
            advice="Give it as ClientCertificate(password=…).",
        )

    return missing


def _unusable(setting: str, what: str, exc: Exception) -> ConfigurationError:
    reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or type(exc).__name__
    return ConfigurationError(
        f"{setting} cannot be used: {clean_text(str(reason))}.",
        field=setting,
        advice=f"It must name a readable PEM file with {what}.",
    )
