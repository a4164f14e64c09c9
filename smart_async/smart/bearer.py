"""
Where an access token may go.

A FHIR server's answers are full of URLs: the next page, a reference, a redirect. Whoever follows one with
the token in the header hands the token to the host that it names. So each URL is judged before anything is
sent, by its origin as the HTTP library will connect to it, and each redirect that was followed, afterwards.

Spec: SMART App Launch 2.2, app launch (access the FHIR API); RFC 6750, section 5.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Self

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, TokenOriginError
from smart_async.interfaces import AccessToken
from smart_async.messages import parse_url
from smart_async.smart.config import SmartConfig
from smart_async.smart.tokens import Token, is_token

__all__ = (
    "BearerGuard",
    "Hop",
    "authorization",
    "token_origins",
    "url_origin",
)

_PLACE = re.compile(r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<authority>[^/?#\\]*)(?P<path>[^?#]*)")
_PORT = re.compile(r":[0-9]+\Z")
_USUAL = {("http", 80), ("https", 443)}
_DOT = re.compile(r"(?:\.|%2[eE]){1,2}")
# An encoded slash is in one segment to this parser and ends it to the next, perhaps after a pair of dots.
_DOUBTFUL = re.compile(r"[^!-~]|\\|%2[fF]|%5[cC]")
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hop:
    """One request that was answered: its URL, and whether an Authorization header went along."""

    url: str
    carried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerGuard:
    """
    Decides which URLs get the token.

    Args:
        home: The FHIR base's origin, for messages.
        origins: The origins that get it whatever the token says, *home* among them.
        hinted: The origins that the token of the start names; they count as long as the token does.
        rejected_statuses: The statuses by which the FHIR server refuses a token.
    """

    home: str
    origins: frozenset[str]
    hinted: frozenset[str] = _NONE
    rejected_statuses: frozenset[int] = frozenset({401})
    _places: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", tuple(f"{origin}/" for origin in sorted(self.origins)))

    @classmethod
    def of(cls, config: SmartConfig, token: AccessToken | None = None, origins: Iterable[str] = ()) -> Self:
        """
        Return the guard of a registration.

        Args:
            config: The registration; its FHIR base's origin gets the token.
            token: The token at hand, if any: its `authorization_details` name further FHIR endpoints.
            origins: Further origins of the same service, such as that of its bulk files.

        Raises:
            ConfigurationError: If one of *origins* is not a URL that could get a token.
        """
        loopback = config.allow_insecure_loopback
        home = parse_url(config.fhir_base, field="fhir_base", allow_insecure_loopback=loopback).origin
        return cls(
            home=home,
            origins=frozenset({home, *_listed(origins, allow_insecure_loopback=loopback)}),
            hinted=_NONE if token is None else token_origins(token),
            rejected_statuses=frozenset(config.token_rejected_statuses),
        )

    @classmethod
    def around(cls, url: str) -> Self:
        """
        Return a guard that lets through only what has the same origin as *url*.

        Args:
            url: An absolute URL; plain http as well, for a server that is open to everybody.

        Raises:
            TokenOriginError: If it is not a URL that every parser reads the same way.
        """
        home = url_origin(url)
        return cls(home=home, origins=frozenset({home}))

    def admits(self, url: str) -> bool:
        """
        Return whether *url* plainly may get the token; False means only that `check` has to decide.

        This is asked before each request, so it does no more than compare a few characters.

        Args:
            url: An absolute URL, as the HTTP library writes it.
        """
        path = url.partition("?")[0]
        return path.startswith(self._places) and not ("%" in path or "/." in path or "\\" in path)

    def check(self, url: str, also: frozenset[str] = _NONE) -> None:
        """
        Refuse a URL that must not get the token.

        Args:
            url: An absolute URL.
            also: Origins that the current token names.

        Raises:
            TokenOriginError: Naming the origin; never the rest of the URL, which says whom it is about.

        Spec: SMART App Launch 2.2, app launch (access the FHIR API).
        """
        origin = url_origin(url)
        if origin not in self.origins and origin not in also:
            raise TokenOriginError(
                f"The request goes to {origin}, and the access token belongs to {self.home}.",
                endpoint=origin,
                advice="Nothing was sent. If that host is part of the same service, list it: "
                f'session.auth(origins=["{origin}"]). Otherwise fetch it with a client that has no token.',
            )
        path = _path(url)
        if _DOUBTFUL.search(path) or any(_DOT.fullmatch(segment) for segment in path.split("/")):
            raise TokenOriginError(
                "The path of the URL holds dot segments, a backslash or an encoded slash, "
                "which servers and proxies read differently.",
                endpoint=origin,
                advice="Nothing was sent. Write the path as the server shall read it.",
            )

    def check_hops(self, hops: Sequence[Hop], also: frozenset[str] = _NONE) -> None:
        """
        Refuse an answer that came from elsewhere, because the HTTP client followed a redirect there.

        Args:
            hops: The requests that led to the answer.
            also: Origins that the current token names.

        Raises:
            TokenOriginError: Naming the origin, and whether an Authorization header got there.
        """
        hop = self.stray(hops, also)
        if hop is None:
            return
        origin = _origin_or_none(hop.url) or "a URL that parsers read differently"
        if hop.carried:
            outcome, advice = "The access token went along.", "Revoke the token, and sign in again."
        else:
            outcome = "The access token did not go along."
            advice = (
                "If that host is part of the same service, list it with session.auth(origins=…), "
                "and send the request there directly."
            )
        raise TokenOriginError(
            f"{self.home} redirected to {origin}, and the HTTP client followed. {outcome}",
            endpoint=origin,
            advice=advice,
        )

    def stray(self, hops: Sequence[Hop], also: frozenset[str] = _NONE) -> Hop | None:
        """
        Return the first of *hops* that left the origins which get the token, or None.

        Args:
            hops: The requests that led to an answer.
            also: Origins that the current token names.
        """
        return next((hop for hop in hops if _origin_or_none(hop.url) not in self.origins | also), None)


def url_origin(url: str) -> str:
    """
    Return the origin of an absolute http or https URL, in its canonical form.

    Args:
        url: The URL.

    Raises:
        TokenOriginError: If parsers could disagree about its host. The URL is not quoted.

    >>> url_origin("HTTPS://EHR.example.com:443/r4/Patient?name=x")
    'https://ehr.example.com'
    """
    place = _PLACE.match(url)
    if place is None:
        raise _unreadable("is not an absolute http or https URL")
    scheme, authority = place["scheme"].lower(), place["authority"]
    try:
        # parse_url takes plain http for loopback only; here another scheme is another origin, and no more.
        parsed = parse_url(f"https://{authority}", field="URL")
    except ConfigurationError as exc:
        problem = exc.message.removeprefix("URL ").rstrip(".")
    else:
        port = parsed.port if _PORT.search(authority) else {"http": 80, "https": 443}[scheme]
        host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
        return f"{scheme}://{host}" + ("" if (scheme, port) in _USUAL else f":{port}")
    raise _unreadable(problem)


def token_origins(token: AccessToken) -> frozenset[str]:
    """
    Return the origins of the further FHIR endpoints that *token* is for.

    Args:
        token: The token; only a `Token` can say so.

    Spec: SMART App Launch 2.2, scopes-and-launch-context (authorization_details).
    """
    if not isinstance(token, Token):
        return _NONE
    places = (place for detail in token.authorization_details for place in detail.locations)
    return frozenset(url_origin(place) for place in places)


def authorization(token: AccessToken) -> str:
    """
    Return the value of the Authorization header.

    Args:
        token: The token to show.

    Raises:
        ConfigurationError: If it is no token that fits into a header; another source than ours made it.

    Spec: RFC 6750, section 2.1.
    """
    if not is_token(token.access_token):
        raise ConfigurationError(
            "The token source returned something that cannot be sent as an access token.",
            advice="Its access_token must be a Secret of visible ASCII characters.",
        )
    return f"Bearer {token.access_token.reveal()}"


def _origin_or_none(url: str) -> str | None:
    try:
        return url_origin(url)
    except TokenOriginError:
        return None


def _listed(origins: Iterable[str], *, allow_insecure_loopback: bool) -> tuple[str, ...]:
    if isinstance(origins, str):
        raise ConfigurationError(
            "origins must be a list of origins, each a string such as https://host.", field="origins"
        )
    return tuple(
        parse_url(origin, field="origins", allow_insecure_loopback=allow_insecure_loopback).origin
        for origin in origins
    )


def _path(url: str) -> str:
    place = _PLACE.match(url)
    return place["path"] if place else ""  # pragma: no cover - the origin was read from it before


def _unreadable(problem: str) -> TokenOriginError:
    return TokenOriginError(
        f"The URL of the request {problem}.",
        advice="Nothing was sent: the access token goes only to URLs that every parser reads the same way.",
    )
