"""
The network settings of the environment, read only where `trust_env=True` asks for them.

Proxies and trusted certificates decide who sees the traffic, and a variable is easily set by somebody
else: a shell profile, a container image, a CGI server. So they are opt-in, read once when the transport
is made, and each error names its variable. `.netrc` and `SSLKEYLOGFILE` are never looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from smart_async.errors import ConfigurationError
from smart_async.transports._routes import Exceptions, Proxy

__all__ = ("environment_exceptions", "environment_proxies", "environment_roots")


def environment_proxies(environ: Mapping[str, str]) -> dict[str, Proxy]:
    """
    Return the proxies that `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` name, by the scheme of the server.

    The names in small letters come first, as with curl. `HTTP_PROXY` in capitals is ignored under CGI,
    where it is a header field that the visitor sent. An address without a scheme means `http://`.

    Args:
        environ: The variables.

    Raises:
        ConfigurationError: If one of them is no URL of an HTTP proxy.
    """
    found: dict[str, Proxy] = {}
    for scheme in ("https", "http"):
        for variable in _names(f"{scheme}_proxy", "all_proxy"):
            value = environ.get(variable, "").strip()
            if not value or (variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
                continue
            url = value if "://" in value else f"http://{value}"
            found[scheme] = Proxy.from_url(url, setting=variable)
            break
    return found


def environment_exceptions(environ: Mapping[str, str]) -> Exceptions:
    """
    Return the hosts that `NO_PROXY` excepts.

    Args:
        environ: The variables.

    Raises:
        ConfigurationError: If an entry cannot be understood: the request would take the wrong way.
    """
    for variable in _names("no_proxy"):
        if environ.get(variable, "").strip():
            return Exceptions(environ[variable], setting=variable)
    return Exceptions("", setting="NO_PROXY")


def environment_roots(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """
    Return the file and the folder of trusted certificates that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.

    Args:
        environ: The variables.

    Raises:
        ConfigurationError: If a folder does not exist; OpenSSL would trust nobody and not say why.
    """
    file, folders = (environ.get(name, "").strip() or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    for folder in folders.split(os.pathsep) if folders else ():
        if not os.path.isdir(folder):  # noqa: PTH112 - OpenSSL takes it as a string
            raise ConfigurationError(
                "SSL_CERT_DIR names a folder that does not exist.",
                field="SSL_CERT_DIR",
                advice="Unset it, or name a folder with hashed certificates (see openssl rehash).",
            )
    return file, folders


def _names(*variables: str) -> tuple[str, ...]:
    return tuple(name for variable in variables for name in (variable, variable.upper()))
