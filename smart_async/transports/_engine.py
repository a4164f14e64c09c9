"""
What a transport needs before its first request: an HTTP engine, a TLS context, a proxy.

The engine is httpcore, the part of httpx that speaks HTTP (httpcore2 for httpx2). It is used directly:
no cookies, no redirects, no environment, no second URL parser and no log line with a URL come with it.
It takes a good tenth of a second to load, so that waits for the first request.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, NoReturn

from smart_async._values import dataclass
from smart_async._version import VERSION
from smart_async.errors import ConfigurationError
from smart_async.messages import Secret, clean_text
from smart_async.transports._environment import (
    environment_exceptions,
    environment_proxies,
    environment_roots,
)
from smart_async.transports._routes import Exceptions, Proxy, Routes

__all__ = ("KEEP_ALIVE", "ClientCertificate", "Engine", "Family", "Options")

KEEP_ALIVE = 5.0
"""Seconds that an idle connection is kept; servers close theirs from five seconds on."""

_DAY = 86_400


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
        no_proxy: The hosts that are reached without it, as in `Exceptions`.
        ca_file: Path of a PEM file with the certificates to trust instead of the public ones.
        cert: The client's own certificate.
        max_connections: How many connections may be open at once.
        keepalive_expiry: Seconds that an idle connection is kept.
        trust_env: Whether the environment's variables count for what is not given here.

    Attributes:
        routes: The way to each server.
        roots: File and folder of the certificates to trust; the public ones if there is neither.

    Raises:
        ConfigurationError: If an option, or a variable that counts, cannot be used.
    """

    proxy: str | None = field(default=None, repr=False)
    no_proxy: str | Iterable[str] | None = None
    ca_file: str | os.PathLike[str] | None = None
    cert: ClientCertificate | None = None
    max_connections: int = 10
    keepalive_expiry: float = KEEP_ALIVE
    trust_env: bool = False
    routes: Routes = field(init=False, repr=False)
    roots: tuple[str | os.PathLike[str] | None, str | None] = field(init=False)

    def __post_init__(self) -> None:
        self._check_numbers()
        environ: Mapping[str, str] = os.environ if self.trust_env else {}
        if self.proxy is None:
            proxies = environment_proxies(environ)
        else:
            proxy = Proxy.from_url(self.proxy)
            proxies = {"http": proxy, "https": proxy}
        if self.no_proxy is None:
            direct = environment_exceptions(environ)
        else:
            direct = Exceptions(self.no_proxy, setting="no_proxy")
        object.__setattr__(self, "routes", Routes(proxies, direct))
        roots = environment_roots(environ) if self.ca_file is None else (self.ca_file, None)
        object.__setattr__(self, "roots", roots)

    def _check_numbers(self) -> None:
        if type(self.max_connections) is not int or not 1 <= self.max_connections <= 1000:
            raise ConfigurationError(
                f"max_connections is {self.max_connections!r}; a number from 1 to 1000 is needed.",
                field="max_connections",
            )
        kept: object = self.keepalive_expiry
        if isinstance(kept, bool) or not isinstance(kept, int | float) or not 0 <= kept <= _DAY:
            raise ConfigurationError(
                f"keepalive_expiry is {kept!r}; a number of seconds from 0 to {_DAY} is needed.",
                field="keepalive_expiry",
            )


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
        self.user_agent = f"smart-async/{VERSION}"
        self._options = options
        self.routes = options.routes
        self._context = _tls_context(options, options.cert)
        # The proxy is not the server that the client's certificate is meant for.
        self._proxy_context = _tls_context(options, None) if options.routes.secure_proxies else None

    def pool(self, kind: str, proxy: Proxy | None, **more: object) -> Any:
        """Return a new pool of the engine's class *kind*, whose connections go through *proxy*, if any."""
        size = self._options.max_connections
        return getattr(self.core, kind)(
            ssl_context=self._context,
            proxy=None if proxy is None else self._engines_own(proxy),
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=self._options.keepalive_expiry,
            **more,
        )

    def _engines_own(self, proxy: Proxy) -> Any:
        return self.core.Proxy(
            url=self.core.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/"),
            auth=proxy.auth,
            ssl_context=self._proxy_context if proxy.scheme == "https" else None,
        )


def _tls_context(options: Options, cert: ClientCertificate | None) -> ssl.SSLContext:
    # By hand, as ssl.create_default_context() reads SSLKEYLOGFILE and SSL_CERT_FILE. This class demands
    # a certificate and checks the host name from the start.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    file, folder = options.roots
    try:
        context.load_verify_locations(file or (None if folder else _public_roots()), folder)
    except (OSError, ValueError) as exc:
        setting = "ca_file" if options.ca_file else "SSL_CERT_FILE"
        raise _unusable(setting, "certificates to trust", exc) from None
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
