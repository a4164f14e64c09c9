"""Our own HTTP messages, so that the core depends on no HTTP library and works over any."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, cast
from urllib.parse import quote_plus

from smart_async._values import dataclass
from smart_async.limits import DOCUMENT_BYTES

__all__ = ("FORM", "Headers", "Purpose", "Request", "Response", "form_body")

FORM = "application/x-www-form-urlencoded"
"""The media type of every OAuth form. Without a charset: at least one server compares it exactly."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")

Purpose: TypeAlias = Literal[
    "discovery", "jwks", "token", "introspection", "revocation", "registration", "style", "fhir"
]
"""What a request is for; it decides the deadline and names the exchange in a trace."""


class Headers(Mapping[str, str]):
    """
    Header fields whose names are looked up in any letter case.

    A field that occurs more than once is joined with commas, as HTTP allows.

    Spec: RFC 9110, sections 5.1 and 5.3.

    >>> Headers([("Content-Type", "application/json")])["content-type"]
    'application/json'
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> None:
        pairs: Iterable[tuple[str, str]] = (
            cast("Mapping[str, str]", fields).items() if isinstance(fields, Mapping) else fields
        )
        joined: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        self._fields = joined

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __hash__(self) -> int:
        return hash(frozenset(self._fields.items()))

    def __repr__(self) -> str:
        """Name the fields, never their values: one of them may be Authorization."""
        return f"Headers({', '.join(self._fields)})"


NO_HEADERS = Headers()
"""No header fields at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    One HTTP request, ready to be sent as it stands.

    Args:
        method: The HTTP method, in capitals.
        url: The absolute URL.
        purpose: What it is for.
        headers: The header fields.
        body: The body, or None.
        max_bytes: Bytes of the answer's body that a transport reads before it gives up.
        fresh: Whether the request must go out on a new connection. A kept-alive connection may turn out
            to be closed only after the request was written, and then nobody knows whether it arrived;
            for a request that must not be repeated that is too late to find out.
    """

    method: str
    url: str
    purpose: Purpose
    headers: Headers = NO_HEADERS
    body: bytes | None = None
    max_bytes: int = DOCUMENT_BYTES
    fresh: bool = False

    def __repr__(self) -> str:
        """Leave out header values and body: both carry credentials."""
        size = "no body" if self.body is None else f"{len(self.body)} bytes"
        return f"<Request {self.method} {self.url.partition('?')[0]} for {self.purpose}, {size}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """
    One HTTP response, read to its end.

    Args:
        status: The HTTP status code.
        headers: The header fields.
        body: The body, decompressed.
        url: The URL that was requested.
        received_at: Unix seconds at which the answer had arrived, set by the driver.
        truncated: Whether the body was cut because only an error text was wanted of it.
    """

    status: int
    headers: Headers = NO_HEADERS
    body: bytes = b""
    url: str = ""
    received_at: float = 0.0
    truncated: bool = False

    def stamped(self, received_at: float) -> Response:
        """Return the same response, received at *received_at* Unix seconds."""
        # Not dataclasses.replace, which asks every field whether it may be replaced, for every answer.
        return Response(
            status=self.status,
            headers=self.headers,
            body=self.body,
            url=self.url,
            received_at=received_at,
            truncated=self.truncated,
        )

    def __repr__(self) -> str:
        """Leave out the body: it may hold tokens."""
        return f"<Response {self.status} from {self.url.partition('?')[0]}, {len(self.body)} bytes>"


def form_body(fields: Iterable[tuple[str, str]]) -> bytes:
    """
    Encode *fields* as a form, in their order.

    Args:
        fields: Names and values; both are encoded as UTF-8.

    Returns:
        The body of a request with the media type `FORM`.

    Spec: RFC 6749, appendix B.

    >>> form_body([("scope", "system/*.rs"), ("a b", "ü")])
    b'scope=system%2F%2A.rs&a+b=%C3%BC'
    """
    return "&".join([f"{_encoded(name)}={_encoded(value)}" for name, value in fields]).encode("ascii")


def _encoded(text: str) -> str:
    # An assertion and the names of all fields are made of what stands for itself.
    return text if _PLAIN.fullmatch(text) else quote_plus(text)
