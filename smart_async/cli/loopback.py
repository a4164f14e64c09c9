"""
Which request on loopback may be the callback of a login, judged before anything of it is kept.

Spec: RFC 8252, sections 7.3 and 8.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.messages import is_loopback

__all__ = ("LISTENING", "Place", "judge")

LISTENING = "http://127.0.0.1/callback"
"""Where logins come back to, unless something else is registered; the port is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where the listener is.

    Args:
        host: The loopback host, as the browser names it.
        port: The port; 0 until there is one.
        path: The path of callbacks.
        named: Whether the port is part of the redirect URI as it was given.
    """

    host: str
    port: int
    path: str
    named: bool

    @classmethod
    def of(cls, redirect_uri: str, port: int) -> Place:
        """
        Return the place that a redirect URI means.

        Args:
            redirect_uri: A plain http URL on loopback.
            port: The port to take if the URL names none; 0 for a free one.

        Raises:
            ConfigurationError: If nobody can listen there.

        >>> Place.of("http://127.0.0.1/callback", 0)
        Place(host='127.0.0.1', port=0, path='/callback', named=False)
        """
        try:
            parts = urlsplit(redirect_uri)
            named, host = parts.port, parts.hostname or ""
        except ValueError:
            raise _elsewhere() from None
        if (
            parts.scheme != "http"
            or not is_loopback(host)
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise _elsewhere()
        if named is not None and port not in (0, named):
            raise ConfigurationError(
                f"--port {port} is not the port of the redirect URI, which is {named}.",
                field="port",
                advice="Leave out --port.",
            )
        return cls(
            host=host, port=port if named is None else named, path=parts.path or "/", named=named is not None
        )

    @property
    def authority(self) -> str:
        """What a browser sends as Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"


def judge(place: Place, method: str, target: str, hosts: Sequence[str], mode: str | None) -> HTTPStatus:
    """
    Return the status that a request deserves; 200 for what may be the callback.

    Args:
        place: Where the listener is.
        method: The request's method.
        target: Its target: path and query.
        hosts: Its Host header fields.
        mode: Its Sec-Fetch-Mode, which browsers send.

    >>> place = Place(host="127.0.0.1", port=5000, path="/callback", named=True)
    >>> judge(place, "GET", "/callback?code=a&state=b", ["127.0.0.1:5000"], "navigate").value
    200
    >>> judge(place, "GET", "/callback?code=a&state=b", ["evil.example"], None).value
    400
    """
    path, _, query = target.partition("?")
    # A name of somebody else's that leads here is how a web page gets round the same-origin policy.
    if [host.lower() for host in hosts] != [place.authority]:
        return HTTPStatus.BAD_REQUEST
    if method != "GET":
        return HTTPStatus.METHOD_NOT_ALLOWED
    if path != place.path:
        return HTTPStatus.NOT_FOUND
    # The user's browser navigates here; what a foreign page loads as an image or a script is not the answer.
    if mode not in (None, "navigate"):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.OK if _answers(query) else HTTPStatus.BAD_REQUEST


def _answers(query: str) -> bool:
    try:
        names = {name for name, _ in parse_qsl(query, keep_blank_values=True, max_num_fields=100)}
    except ValueError:
        return False
    return bool(names & {"code", "error", "state"})


def _elsewhere() -> ConfigurationError:
    return ConfigurationError(
        "A login from the command line comes back to this machine, and this redirect URI does not.",
        field="redirect_uri",
        advice=f"Register {LISTENING} (with the port that the server wants) and give it as --redirect-uri.",
    )
