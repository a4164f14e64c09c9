"""Which way a request takes to its server: directly, or through which HTTP proxy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.messages import clean_text, parse_url

__all__ = ("Exceptions", "Proxy", "Routes")

_PROXY = re.compile(r"(?P<scheme>https?)://(?:(?P<user>[^/@]*)@)?(?P<place>[^/@?#]+)/?", re.IGNORECASE)
_HAS_PORT = re.compile(r":[0-9]+\Z")
_PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(r"(?P<host>\[[^\]]+\]|[^:]*|[0-9A-Fa-f:]*::?[0-9A-Fa-f:./]*)(?::(?P<port>[0-9]{1,5}))?")

_Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """
    An HTTP proxy.

    Args:
        scheme: How the proxy itself is spoken to, `http` or `https`.
        host: Its host.
        port: Its port.
        auth: User name and password, if it wants any.
    """

    scheme: str
    host: str
    port: int
    auth: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, text: str, *, setting: str = "proxy") -> Proxy:
        """
        Return the proxy that a URL names.

        Args:
            text: The URL, possibly with user name and password, percent-encoded.
            setting: The option or variable it comes from.

        Raises:
            ConfigurationError: If it is no URL of an HTTP proxy. The URL is not quoted.
        """
        match = _PROXY.fullmatch(text)
        if not match:
            raise _refusal(
                setting, f"{setting} must be an http:// or https:// URL of a host, without a path."
            )
        scheme, place, user = match["scheme"].lower(), match["place"], match["user"]
        try:
            url = parse_url(f"https://{place}", field=setting)
        except ConfigurationError as exc:
            raise _refusal(setting, exc.message) from None
        name, _, password = (user or "").partition(":")
        return cls(
            scheme=scheme,
            host=url.host,
            port=url.port if _HAS_PORT.search(place) else _PORTS[scheme],
            auth=None if user is None else (unquote_to_bytes(name), unquote_to_bytes(password)),
        )

    @property
    def place(self) -> str:
        """Host and port, for messages: never the user name or the password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Exceptions:
    """
    The hosts that are reached without the proxy, as `NO_PROXY` lists them.

    An entry is a host name, which covers the names below it too (with or without a dot or `*.` in front),
    an IP address, a network such as `10.0.0.0/8`, or `*` for all hosts; names and addresses may be followed
    by a port. A name is never looked up to see whether its address is in a network.

    Args:
        entries: The entries, as a list or as one string with commas or blanks between them.
        setting: The option or variable they come from.

    Raises:
        ConfigurationError: If an entry is none of these.

    >>> inside = Exceptions("hospital.example, 10.0.0.0/8", setting="no_proxy")
    >>> inside.cover("ehr.hospital.example", 443), inside.cover("10.1.2.3", 443), inside.cover("x.org", 443)
    (True, True, False)
    """

    def __init__(self, entries: str | Iterable[str], *, setting: str) -> None:
        if isinstance(entries, str):
            entries = entries.replace(",", " ").split()
        if not isinstance(entries, Iterable):
            raise _bad_entry(entries, setting)
        self._all = False
        self._names: list[tuple[str, int | None]] = []
        self._networks: list[tuple[_Network, int | None]] = []
        for entry in entries:
            self._add(entry, setting)

    def cover(self, host: str, port: int) -> bool:
        """Whether *host*, in lower case and without brackets, is to be reached directly at *port*."""
        if self._all:
            return True
        address = _address(host)
        if address is not None:
            return any(address in network for network, only in self._networks if only in (None, port))
        name = "." + host
        return any(name.endswith(known) for known, only in self._names if only in (None, port))

    def _add(self, entry: object, setting: str) -> None:
        match = _ENTRY.fullmatch(entry.strip()) if isinstance(entry, str) else None
        if match is None:
            raise _bad_entry(entry, setting)
        host, port = match["host"].strip("[]"), int(match["port"]) if match["port"] else None
        if host == "*":
            self._all = True
        elif "/" in host or _address(host) is not None:
            try:
                self._networks.append((ip_network(host, strict=False), port))
            except ValueError:
                raise _bad_entry(entry, setting) from None
        elif name := host.removeprefix("*").strip(".").lower():
            self._names.append(("." + name, port))
        else:
            raise _bad_entry(entry, setting)


class Routes:
    """
    The way to each server.

    Args:
        proxies: The proxy for each scheme of a server's URL; a scheme that is missing has none.
        direct: The hosts that are reached without one.
    """

    def __init__(self, proxies: Mapping[str, Proxy], direct: Exceptions) -> None:
        self._proxies = dict(proxies)
        self._direct = direct

    @property
    def secure_proxies(self) -> bool:
        """Whether a proxy is itself spoken to over TLS."""
        return any(proxy.scheme == "https" for proxy in self._proxies.values())

    def proxy(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Return the proxy on the way to a server, or None for the direct way."""
        proxy = self._proxies.get(scheme)
        return None if proxy is None or self._direct.cover(host, port) else proxy


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refusal(setting: str, rule: str) -> ConfigurationError:
    return ConfigurationError(
        rule, field=setting, advice="Give the proxy as a URL such as http://proxy.example.com:8080."
    )


def _bad_entry(entry: object, setting: str) -> ConfigurationError:
    shown = clean_text(str(entry), length=64)
    return ConfigurationError(
        f"{setting} holds {shown!r}, which is no host name, IP address or network.",
        field=setting,
        advice="List names such as hospital.example, which cover all below them, addresses, networks such as "
        "10.0.0.0/8, or * for every host.",
    )
