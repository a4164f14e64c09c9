"""From what a user gave as `transport=` to a transport."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeGuard

from smart_async.errors import ConfigurationError
from smart_async.interfaces import AsyncTransport, Transport
from smart_async.transports._engine import KEEP_ALIVE, ClientCertificate

__all__ = ("open_async_transport", "open_transport")

_HTTP_CLIENTS = frozenset({"httpx", "httpx2", "niquests", "requests"})


def open_transport(
    transport: Transport | str | None = None,
    *,
    proxy: str | None = None,
    no_proxy: str | Iterable[str] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert: ClientCertificate | None = None,
    max_connections: int = 10,
    keepalive_expiry: float = KEEP_ALIVE,
    trust_env: bool = False,
) -> Transport:
    """
    Return the transport for `SmartClient` that *transport* means.

    Args:
        transport: `"httpx"` (also meant by None), `"httpx2"`, or an object with `send` and `close`,
            which is returned as it is.
        proxy: As in `HttpxTransport`; only where a library is named.
        no_proxy: Likewise, as is the rest.
        ca_file: See there.
        cert: See there.
        max_connections: See there.
        keepalive_expiry: See there.
        trust_env: See there.

    Raises:
        ConfigurationError: If there is no such transport, if it serves `AsyncSmartClient` only, or if
            its library is not installed.

    >>> open_transport("httpx")
    <HttpxTransport, at most 10 connections>
    """
    from smart_async.transports.httpx import HttpxTransport
    from smart_async.transports.httpx2 import Httpx2Transport

    if _is_transport(transport):
        _refuse_http_client(transport)
        return transport
    kinds = {"httpx": HttpxTransport, "httpx2": Httpx2Transport}
    kind = _choose(transport, kinds, needs="send() and close()", client="SmartClient")
    made: Transport = kind(
        proxy=proxy,
        no_proxy=no_proxy,
        ca_file=ca_file,
        cert=cert,
        max_connections=max_connections,
        keepalive_expiry=keepalive_expiry,
        trust_env=trust_env,
    )
    return made


def open_async_transport(
    transport: AsyncTransport | str | None = None,
    *,
    proxy: str | None = None,
    no_proxy: str | Iterable[str] | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert: ClientCertificate | None = None,
    max_connections: int = 10,
    keepalive_expiry: float = KEEP_ALIVE,
    trust_env: bool = False,
) -> AsyncTransport:
    """
    Return the transport for `AsyncSmartClient` that *transport* means; the twin of `open_transport`.

    Args:
        transport: `"httpx"` (also meant by None), `"httpx2"`, or an object with `async_send` and
            `aclose`, which is returned as it is.
        proxy: As in `AsyncHttpxTransport`; only where a library is named.
        no_proxy: Likewise, as is the rest.
        ca_file: See there.
        cert: See there.
        max_connections: See there.
        keepalive_expiry: See there.
        trust_env: See there.

    Raises:
        ConfigurationError: If there is no such transport, if it serves `SmartClient` only, or if its
            library is not installed.
    """
    from smart_async.transports.httpx import AsyncHttpxTransport
    from smart_async.transports.httpx2 import AsyncHttpx2Transport

    if _is_async_transport(transport):
        return transport
    kinds = {"httpx": AsyncHttpxTransport, "httpx2": AsyncHttpx2Transport}
    kind = _choose(transport, kinds, needs="async_send() and aclose()", client="AsyncSmartClient")
    made: AsyncTransport = kind(
        proxy=proxy,
        no_proxy=no_proxy,
        ca_file=ca_file,
        cert=cert,
        max_connections=max_connections,
        keepalive_expiry=keepalive_expiry,
        trust_env=trust_env,
    )
    return made


# For each tenant's client, and to ask the protocol takes ten times as long.
def _is_transport(given: object) -> TypeGuard[Transport]:
    return hasattr(given, "send") and hasattr(given, "close")


def _is_async_transport(given: object) -> TypeGuard[AsyncTransport]:
    return hasattr(given, "async_send") and hasattr(given, "aclose")


def _refuse_http_client(transport: object) -> None:
    # It has the right method names, keeps cookies, may follow redirects, and logs URLs.
    homes = {base.__module__.partition(".")[0] for base in type(transport).__mro__}
    if homes & _HTTP_CLIENTS:
        raise ConfigurationError(
            f"{type(transport).__name__} is an HTTP client and not a transport: what it does with redirects, "
            "cookies and proxies is not fit for credentials.",
            field="transport",
            advice='Give "httpx" or "httpx2", with open_transport(…) for options such as proxy and ca_file.',
        )


def _choose(transport: object, kinds: dict[str, Any], *, needs: str, client: str) -> Any:
    if transport is None:
        return kinds["httpx"]
    if isinstance(transport, str):
        if transport in kinds:
            return kinds[transport]
        problem = "There is no transport of that name."
    else:
        problem = f"{type(transport).__name__} cannot serve {client}: it has no {needs}."
    names = " or ".join(f'"{name}"' for name in kinds)
    raise ConfigurationError(
        problem, field="transport", advice=f"Give {names}, or an object with {needs} for {client}."
    )
