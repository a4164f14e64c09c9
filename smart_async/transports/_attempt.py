"""One attempt to send a request: what goes out, how far it got, and what to say when it failed."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from smart_async.errors import ConfigurationError, TransportError
from smart_async.limits import ERROR_BODY_BYTES, Timeouts
from smart_async.messages import Headers, Request, Response, clean_text, is_loopback, parse_url
from smart_async.transports._body import Body, Content
from smart_async.transports._network import Progress
from smart_async.transports._routes import Proxy, Routes

__all__ = ("Attempt",)

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")
_QUERY = re.compile(r"[!-~]*")
_OURS = frozenset({"accept-encoding", "connection", "content-length", "host", "transfer-encoding"})
_QUICK = frozenset({"discovery", "jwks", "style"})


class Attempt:
    """
    One request on its way.

    Args:
        request: The request.
        timeouts: The caller's timeouts.
        user_agent: What to call ourselves where the request does not say.
        routes: The way to each server.

    Attributes:
        proxy: The proxy that the request goes through, or None.
        seconds: How long it may take.
        progress: How far it got, and when its time is up.

    Raises:
        ConfigurationError: If the request's URL or a header field cannot be sent as it is.
    """

    def __init__(self, request: Request, timeouts: Timeouts, user_agent: str, routes: Routes) -> None:
        self._request = request
        self._timeouts = timeouts
        self.endpoint = request.url.partition("?")[0]
        self.status: int | None = None
        self._received = Headers()
        self.seconds = timeouts.discovery if request.purpose in _QUICK else timeouts.total
        self.scheme, self.host, self.port, self.target, self._netloc = _split(request.url)
        self.proxy: Proxy | None = routes.proxy(self.scheme, self.host, self.port)
        self.headers = list(self._fields(user_agent))
        self.progress = Progress(time.monotonic() + self.seconds)

    @property
    def patience(self) -> float:
        """Seconds to wait for a free connection."""
        return min(self._timeouts.pool, self.seconds)

    @property
    def left(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(self.progress.deadline - time.monotonic(), 0.0)

    def arguments(self, core: Any) -> dict[str, Any]:
        """Return the arguments of the engine's `stream`."""
        times = self._timeouts
        return {
            "method": self._request.method,
            "url": core.URL(scheme=self.scheme, host=self.host, port=self.port, target=self.target),
            "headers": self.headers,
            "content": None if self._request.body is None else Content(self._request.body),
            "extensions": {
                "timeout": {
                    "connect": times.connect,
                    "read": times.read,
                    "write": times.write,
                    "pool": times.pool,
                },
            },
        }

    def receive(self, status: int, fields: Iterable[tuple[bytes, bytes]]) -> Body:
        """Take in the head of the answer, and return the collector for its body."""
        self.status = status
        self._received = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
        limit, good = self._request.max_bytes, 200 <= status < 300
        # Of a refusal only the reason matters, and of a redirect nothing; so they are cut, not refused.
        limit = limit if good else min(limit, ERROR_BODY_BYTES)
        return Body(limit, self._received.get("content-encoding", ""), cut=not good)

    def conclude(self, body: Body) -> Response | TransportError:
        """Return the finished response, or the error that its body is."""
        content = body.finish()
        if body.problem or self.status is None:
            return self.failure(
                f"The answer {body.problem}.",
                "Check that the URL is that of the API and not of a portal or proxy in front of it.",
                permanent=body.problem is not None,
            )
        return Response(
            status=self.status,
            headers=self._received,
            body=content,
            url=self._request.url,
            truncated=body.truncated,
        )

    def failure(self, message: str, advice: str, *, permanent: bool = False) -> TransportError:
        """Return an error that says how far the request got."""
        sent = None if self.progress.phase == "sent" else False
        return TransportError(
            message,
            endpoint=self.endpoint,
            advice=advice,
            sent=sent,
            status=self.status,
            permanent=permanent,
        )

    def busy(self, connections: int) -> TransportError:
        """Return the error for having waited in vain for a free connection."""
        return self.failure(
            f"All {connections} connections stayed busy for {self.patience:g} seconds.",
            "Nothing was sent. Send fewer requests at once, or raise max_connections.",
        )

    def late(self) -> TransportError:
        """Return the error for a deadline that has passed."""
        return self.failure(
            f"The exchange was not over after {self.seconds:.3g} seconds.",
            "The server or a proxy is slow, or drips its answer. If it is honestly slow, raise "
            "Timeouts(total=…, discovery=…).",
        )

    def explain(self, exc: Exception, core: Any) -> TransportError:
        """
        Return our own error in the place of the engine's *exc*.

        Its text is not used: it may quote header values.
        """
        if not self.left:
            return self.late()
        if self.progress.phase == "sent":
            return self._explain_broken(exc, core)
        if isinstance(exc, core.PoolTimeout):  # pragma: no cover - a slot was free, so the pool has one
            return self.failure("No connection became free in time.", "Nothing was sent; try again.")
        if isinstance(exc, core.ProxyError) or self.progress.phase == "tunnelling":
            return self._explain_proxy(exc, core)
        if self.progress.phase == "securing":
            return self._explain_tls(exc)
        return self._explain_connect(exc, core)

    def _explain_broken(self, exc: Exception, core: Any) -> TransportError:
        advice = "Whether the server acted on the request is unknown."
        if isinstance(exc, core.TimeoutException):
            return self.failure(f"No answer came within {self._timeouts.read:g} seconds.", advice)
        if isinstance(exc, core.ProtocolError):
            return self.failure(
                "The server's answer is not valid HTTP, is too large in its header, or broke off.", advice
            )
        # With TLS 1.3 a server says only after the handshake that it wanted a certificate.
        if any("CERTIFICATE_REQUIRED" in (getattr(cause, "reason", "") or "") for cause in _causes(exc)):
            return self.failure(
                "The server wants a client certificate (mutual TLS).",
                "It ended the connection before it looked at the request. Name one with cert.",
                permanent=True,
            )
        return self.failure("The connection broke off before the answer was complete.", advice)

    def _explain_proxy(self, exc: Exception, core: Any) -> TransportError:
        proxy = self.proxy
        if proxy is None:  # pragma: no cover - without a proxy there is no tunnel to be refused
            return self.failure("The connection broke off.", "Nothing was sent; try again.")
        if not isinstance(exc, core.ProxyError):
            return self.failure(
                f"The proxy {proxy.place} did not open a way to the server.",
                "Nothing was sent. Check that this is an HTTP proxy, and its address.",
            )
        # "407 Reason": only the number, as the rest is the proxy's own text.
        status = str(exc)[:3]
        if status != "407":
            return self.failure(
                f"The proxy {proxy.place} refused to open a way to the server: its answer was {status}.",
                "Nothing was sent. Ask whoever runs the proxy to let this host through, or list the host in "
                "no_proxy if it can be reached directly.",
            )
        if proxy.auth is None:
            problem = f"The proxy {proxy.place} wants a user name and a password."
        else:
            problem = f"The proxy {proxy.place} does not accept the user name and password it was given."
        return self.failure(
            problem,
            "Nothing was sent. Give them in the proxy's URL, percent-encoded: "
            "http://user:password@proxy.example.com:8080. A proxy that wants Kerberos or NTLM needs a local "
            "helper in front of it.",
            permanent=True,
        )

    def _explain_tls(self, exc: Exception) -> TransportError:
        proxy = None if self.progress.tunnelled else self.proxy
        who = "server" if proxy is None else f"proxy {proxy.place}"
        for cause in _causes(exc):
            if isinstance(cause, ssl.SSLCertVerificationError):
                problem = clean_text(cause.verify_message).rstrip(".")
                return self.failure(
                    f"The certificate of the {who} is not accepted: {problem}.",
                    "Nothing was sent. If it comes from a private authority, as where a proxy inspects TLS, "
                    "name that authority's certificate with ca_file; otherwise it has to be renewed.",
                    permanent=True,
                )
        return self.failure(
            f"No secure connection could be agreed with the {who}.",
            "Nothing was sent. Check that this port speaks TLS 1.2 or later, and whether a proxy is needed."
            if proxy is None
            else "Nothing was sent. Most proxies are spoken to in plain http, also for https servers: try an "
            "http:// URL for it.",
        )

    def _explain_connect(self, exc: Exception, core: Any) -> TransportError:
        proxy = self.proxy
        place, host = (self._netloc, self.host) if proxy is None else (f"the proxy {proxy.place}", proxy.host)
        if isinstance(exc, core.ConnectTimeout):
            problem = f"No connection to {place} could be opened within {self._timeouts.connect:g} seconds."
        elif any(isinstance(cause, socket.gaierror | UnicodeError) for cause in _causes(exc)):
            problem = f"The name of the host {host} cannot be resolved."
        else:
            problem = f"No connection to {place} could be opened."
        if proxy is not None:
            advice = "Nothing was sent. Check the proxy's address, and whether this machine may use it."
        elif is_loopback(host):
            advice = f"Nothing was sent. Is the server running, and {self.port} the right port?"
        else:
            advice = "Nothing was sent. Check the host name, the network, and whether a proxy is needed."
        return self.failure(problem, advice)

    def _fields(self, user_agent: str) -> Iterator[tuple[bytes, bytes]]:
        given = self._request.headers
        yield b"Host", self._netloc.encode("ascii")
        if "user-agent" not in given:
            yield b"User-Agent", user_agent.encode("ascii")
        for name, value in given.items():
            if name not in _OURS:
                yield _checked(name, value)
        yield b"Accept-Encoding", b"identity"
        if self._request.fresh:
            yield b"Connection", b"close"
        if self._request.body is not None or self._request.method in ("POST", "PUT", "PATCH"):
            yield b"Content-Length", str(len(self._request.body or b"")).encode("ascii")


def _split(text: str) -> tuple[str, str, int, str, str]:
    place, mark, query = text.partition("?")
    scheme, host, port, path, netloc = _place(place)
    if not _QUERY.fullmatch(query) or "#" in query:
        raise ConfigurationError(
            "The query of the URL holds a character that a URL cannot hold.", field="url"
        )
    return scheme, host, port, path + mark + query, netloc


@lru_cache(maxsize=256)  # the same few endpoints, over and over; a query may name a patient and is not kept
def _place(text: str) -> tuple[str, str, int, str, str]:
    url = parse_url(text, field="url", allow_insecure_loopback=True)
    return url.scheme, url.host, url.port, url.path or "/", url.origin.partition("://")[2]


def _checked(name: str, value: str) -> tuple[bytes, bytes]:
    if not _TOKEN.fullmatch(name):
        raise ConfigurationError(
            f"{clean_text(name, length=64)!r} is not the name of a header field.", field="headers"
        )
    if not _VALUE.fullmatch(value):
        raise ConfigurationError(
            f"The value of the header field {name} holds a character that a header cannot hold.",
            field="headers",
            advice="Only visible ASCII characters and blanks between them are possible: no line breaks, no "
            "umlauts. Check the token, client id or secret that goes into it.",
        )
    return name.encode("ascii"), value.encode("ascii")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        yield exc
        seen.add(id(exc))
        exc = exc.__cause__ or exc.__context__
