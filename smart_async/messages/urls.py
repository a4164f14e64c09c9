"""
URLs, read by one strict parser for comparing, storing and connecting alike.

Where two parsers disagree about the host of a URL, an attacker sits between them. So anything that they
could read differently is refused rather than tidied up, and the text that was accepted is kept byte for
byte: a server compares it exactly as it was registered.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urljoin

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.limits import URL_LENGTH

__all__ = ("Url", "is_loopback", "parse_url", "resolve_url", "same_base")

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://"
    r"(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?P<colon>:(?P<port>.*))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?P<last>{_LABEL})")
_PORTS = {"https": 443, "http": 80}
_DOTS = re.compile(r"/(?:\.|%2[eE]){1,2}(?:/|\Z)")
# Visible ASCII but for \ " < > ^ ` { | }, as one class: alternatives take three times as long.
_ILLEGAL = re.compile(r"[^!#-;=?-\[\]_a-z~]")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Url:
    """
    A URL that every parser reads the same way.

    Args:
        text: The URL as it was given.
        scheme: `https`, or `http` for loopback.
        host: The host in lower case, without brackets.
        port: The port, the scheme's own where none was given.
        path: The path as given, possibly empty.
        query: The query as given, without the question mark, or None.
    """

    text: str
    scheme: str
    host: str
    port: int
    path: str
    query: str | None

    @property
    def origin(self) -> str:
        """Scheme, host and port, the port left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    def __str__(self) -> str:
        """Return the URL as it was given."""
        return self.text


def parse_url(
    text: str, *, field: str, allow_insecure_loopback: bool = False, allow_query: bool = False
) -> Url:
    """
    Read *text* as an absolute https URL, or say which rule it breaks.

    Args:
        text: The URL.
        field: The setting it belongs to, for the message: `fhir_base`.
        allow_insecure_loopback: Whether plain http is accepted for 127.0.0.0/8, ::1 and `localhost`.
        allow_query: Whether a query is accepted.

    Returns:
        Its parts, with the text kept as given.

    Raises:
        ConfigurationError: Naming *field* and the rule. The URL is quoted only where it cannot hold a
            password.

    Spec: RFC 3986, narrowed to what all parsers agree on.

    >>> parse_url("https://EHR.example.com:443/r4", field="fhir_base").origin
    'https://ehr.example.com'
    """

    def refuse(rule: str) -> ConfigurationError:
        return ConfigurationError(
            f"{field} {rule}.", field=field, advice="Give an absolute URL such as https://ehr.example.com/r4."
        )

    if not text:
        raise refuse("must be a URL, and is empty")
    if len(text) > URL_LENGTH:
        raise refuse(f"has {len(text)} characters; at most {URL_LENGTH} are accepted")
    if illegal := _ILLEGAL.search(text):
        raise refuse(f"holds the character {illegal[0]!a}, which a URL cannot hold as it is")
    match = _URL.fullmatch(text)
    if not match:
        raise refuse("is not an absolute URL with a scheme and a host")
    scheme, authority, path = match["scheme"].lower(), match["authority"], match["path"] or ""
    if "@" in authority:
        raise refuse("holds a user name or password in front of the host")
    try:
        host, port = _host_and_port(authority, scheme)
    except _BrokenRuleError as broken:
        raise refuse(str(broken)) from None
    if scheme == "http" and not (allow_insecure_loopback and is_loopback(host)):
        raise _refuse_http(field, host)
    if match["fragment"] is not None:
        raise refuse("has a fragment (#…)")
    if match["query"] is not None and not allow_query:
        raise refuse("has a query (?…)")
    if _PERCENT.search(text):
        raise refuse("holds a percent sign that is not followed by two hexadecimal digits")
    if _DOTS.search(path):
        raise refuse("has a path with . or .. segments")
    return Url(text, scheme, host, port, path, match["query"])


def resolve_url(base: str, reference: str, *, field: str, allow_insecure_loopback: bool = False) -> Url:
    """
    Read *reference* as a URL, resolved against *base* where it is relative.

    Args:
        base: The absolute URL it is relative to, exactly as supplied.
        reference: An absolute or relative URL; a query is accepted.
        field: The setting or member it belongs to, for the message.
        allow_insecure_loopback: As in `parse_url`.

    Raises:
        ConfigurationError: If the result is not a URL that `parse_url` accepts.

    Spec: SMART App Launch 2.2, conformance (relative endpoint URLs); RFC 3986, section 5.

    >>> resolve_url("https://gw.example.net/t7/fhir", "auth/token", field="token_endpoint").text
    'https://gw.example.net/t7/auth/token'
    """
    text = reference
    # urljoin drops tabs, line ends and a scheme without a host ("https:x"); parse_url refuses them instead.
    if not _SCHEME.match(reference) and not _ILLEGAL.search(reference):
        with suppress(ValueError):  # brackets that are no IPv6 address
            text = urljoin(base, reference)
    return parse_url(text, field=field, allow_insecure_loopback=allow_insecure_loopback, allow_query=True)


def same_base(one: str, other: str) -> bool:
    """
    Return whether two FHIR base URLs are the same, one trailing slash ignored.

    >>> same_base("https://ehr.example.com/r4", "https://ehr.example.com/r4/")
    True
    """
    return one.removesuffix("/") == other.removesuffix("/")


def is_loopback(host: str) -> bool:
    """
    Return whether *host* can only be this machine: `localhost`, 127.0.0.0/8 or ::1.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost.evil.test")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _BrokenRuleError(ValueError):
    """Says which rule an authority breaks."""


# Nearly all endpoints of a server have one host; what is refused is not remembered.
@lru_cache(maxsize=256)
def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if scheme not in _PORTS:
        raise _BrokenRuleError(f"must begin with https://, not {scheme}:")
    match = _AUTHORITY.fullmatch(authority)
    if not match or not match["host"]:
        raise _BrokenRuleError("has no host, or one that cannot be read")
    port = _PORTS[scheme]
    if match["colon"]:
        digits = match["port"]
        if not digits.isdigit() or len(digits) > 5 or not 1 <= int(digits) <= 65535:
            raise _BrokenRuleError("has a port that is not a number from 1 to 65535")
        port = int(digits)
    return _host(match["host"].lower()), port


def _host(host: str) -> str:
    if host.startswith("["):
        # A zone, such as %eth0, means something to one machine only.
        with suppress(ValueError):
            if "%" not in host:
                return ipaddress.IPv6Address(host[1:-1]).compressed
        raise _BrokenRuleError("has a host in brackets that is not an IPv6 address")
    if len(host) > 253 or not (name := _NAME.fullmatch(host)):
        raise _BrokenRuleError("has a host that is not a plain DNS name (international names go in as xn--…)")
    if name["last"].isdigit() or name["last"].startswith("0x"):
        # 127.1, 0x7f000001 and 2130706433 are addresses to a resolver and names to a comparison.
        try:
            return ipaddress.IPv4Address(host).compressed
        except ValueError:
            raise _BrokenRuleError("has a host that looks like a number but is not an IPv4 address") from None
    return host


def _refuse_http(field: str, host: str) -> ConfigurationError:
    if is_loopback(host):
        return ConfigurationError(
            f"{field} uses plain http.",
            field=field,
            advice="For a server on this machine, say so with allow_insecure_loopback=True.",
        )
    return ConfigurationError(
        f"{field} uses plain http, where tokens could be read on the way.",
        field=field,
        advice="Use https. Plain http is possible only for loopback hosts (127.0.0.0/8, ::1, localhost).",
    )
