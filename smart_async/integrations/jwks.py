"""
A client's public keys on the web: as an ASGI app, or as bytes for an object store.

The app needs no framework. Run it with any ASGI server, or mount it in Starlette, FastAPI, Litestar or
Django; TLS is the server's or the proxy's business, and there must be no login in front of it.

Spec: SMART App Launch 2.2, client-confidential-asymmetric (registering a public key: AS-16, AS-17).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from smart_async.errors import ConfigurationError
from smart_async.keys import KeyRing, RingSource, holds_ring
from smart_async.limits import JWKS_MAX_AGE, METADATA_TTL_MAX
from smart_async.messages import Finding, parse_url
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.config import SmartConfig

__all__ = ("JWKSApp", "Rings", "check_jku", "export_jwks", "jwks_app")

Rings: TypeAlias = RingSource | Callable[[], KeyRing]
"""A ring, something that holds one (`RingHolder`, `KeyFolder`), or a function that returns one."""

_Headers: TypeAlias = list[tuple[bytes, bytes]]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


def export_jwks(rings: Rings) -> bytes:
    """
    Return the JWK Set of a ring as JSON, to be uploaded to where it is served from.

    Serve it over https as `application/json`, with a `Cache-Control: max-age=…` that you also give to
    `KeyRing.rotate`. It is the very text that `jwks_app` serves.

    Args:
        rings: The ring, or what holds it.

    Raises:
        ConfigurationError: If that is no ring.

    >>> from smart_async import KeyRing, SigningKey
    >>> ring = KeyRing(active=[SigningKey.generate("ES384", kid="2026")])
    >>> export_jwks(ring)[:45]
    b'{"keys":[{"kty":"EC","kid":"2026","use":"sig"'
    """
    return _encoded(_getter(rings)())


def jwks_app(rings: Rings, *, max_age: int = JWKS_MAX_AGE, path: str | None = None) -> JWKSApp:
    """
    Return an ASGI app that publishes the keys of a ring, the private halves never.

    It answers GET and HEAD, tells caches how long they may keep the set, and answers 304 to those that have
    it already. With a `RingHolder`, a `KeyFolder` or a function, an exchanged ring is published at once.

    Args:
        rings: The ring, or what holds it.
        max_age: Seconds for which servers may cache the set; the same that you give to `KeyRing.rotate`.
            Longer means fewer requests and longer rotations.
        path: The one path at which it answers, below the place where it is mounted; None for every path.

    Raises:
        ConfigurationError: If *rings* is no ring, *max_age* is more than a day, or *path* begins otherwise
            than with a slash.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric (AS-16, AS-17); RFC 9110, section 13.1.2.

    >>> from smart_async import KeyRing, SigningKey
    >>> app = jwks_app(KeyRing(active=[SigningKey.generate("ES384", kid="2026")]), path="/jwks.json")
    """
    return JWKSApp(rings, max_age=max_age, path=path)


class JWKSApp:
    """The ASGI app of `jwks_app`; an object, so that a Starlette `Route` takes it as an app, too."""

    def __init__(self, rings: Rings, *, max_age: int = JWKS_MAX_AGE, path: str | None = None) -> None:
        if type(max_age) is not int or not 0 <= max_age <= METADATA_TTL_MAX:
            raise ConfigurationError(
                f"max_age must be whole seconds from 0 to {METADATA_TTL_MAX:.0f}, not {max_age!r}.",
                field="max_age",
                advice="A key that falls into wrong hands is believed for that long after you removed it.",
            )
        if path is not None and not path.startswith("/"):
            raise ConfigurationError(f"path={path!r} does not begin with a slash.", field="path")
        self._get = _getter(rings)
        self._cache_control = f"public, max-age={max_age}".encode("ascii")
        self._path = path
        self._rendered: tuple[KeyRing, bytes, bytes] | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "http":
            status, headers, body = self._answer(scope)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    def _answer(self, scope: Mapping[str, Any]) -> tuple[int, _Headers, bytes]:
        always: _Headers = [(b"x-content-type-options", b"nosniff")]
        if self._path is not None and _local_path(scope) != self._path:
            return 404, [*always, (b"content-length", b"0")], b""
        if scope["method"] not in ("GET", "HEAD"):
            return 405, [*always, (b"allow", b"GET, HEAD"), (b"content-length", b"0")], b""
        body, tag = self._render()
        always += [
            (b"cache-control", self._cache_control),
            (b"etag", tag),
            # The set is public, and a page elsewhere that verifies our signatures may read it.
            (b"access-control-allow-origin", b"*"),
        ]
        if _known(scope, tag):
            return 304, always, b""
        always += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode("ascii")),
        ]
        return 200, always, b"" if scope["method"] == "HEAD" else body

    def _render(self) -> tuple[bytes, bytes]:
        ring = self._get()
        rendered = self._rendered
        if rendered is None or rendered[0] is not ring:
            body = _encoded(ring)
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode("ascii")
            self._rendered = rendered = (ring, body, tag)
        return rendered[1:]


def check_jku(config: SmartConfig, url: str) -> tuple[Finding, ...]:
    """
    Say what is wrong between the `jku` that a client sends and the place where its keys are hosted.

    Args:
        config: The client's configuration.
        url: Where the keys are hosted and, if by URL, registered.

    Returns:
        Findings, none if all is well. A client that sends no `jku`, as most do, has only its URL checked.

    Spec: SMART App Launch 2.2, client-confidential-asymmetric (AS-06, AS-16).
    """
    findings: list[Finding] = []
    shown = repr(url)
    try:
        _ = parse_url(url, field="url", allow_query=True)
    except ConfigurationError as exc:
        shown = "another URL"  # what was wrong with it may have been a password
        findings.append(
            _finding("AS-16", f"Servers will not fetch the keys from there: {exc.message}", exc.advice)
        )
    auth = config.client_auth
    jku = auth.jku if isinstance(auth, PrivateKeyJWT) else None
    if jku is not None and jku != url:
        findings.append(
            _finding(
                "AS-06",
                f"The client sends jku={jku!r}, and its keys are hosted at {shown}.",
                "Make them equal to the registered URL, character for character, or leave jku out.",
            )
        )
    return tuple(findings)


def _finding(rule: str, message: str, advice: str | None) -> Finding:
    return Finding(rule=rule, severity="error", message=message, advice=advice or "Host them over https.")


def _getter(rings: Rings) -> Callable[[], KeyRing]:
    if holds_ring(rings):
        source = rings
        return lambda: source.ring
    if callable(rings) and not isinstance(rings, type):
        function = rings
        return lambda: _checked(function())
    raise ConfigurationError(
        f"The keys to publish come from a KeyRing, not from {type(rings).__name__}.",
        field="rings",
        advice="Put your key into one: KeyRing(active=[key]).",
    )


def _checked(ring: object) -> KeyRing:
    if not isinstance(ring, KeyRing):
        raise ConfigurationError(
            f"The function that returns the keys to publish returned {type(ring).__name__}, not a KeyRing.",
            field="rings",
        )
    return ring


def _encoded(ring: KeyRing) -> bytes:
    return json.dumps(ring.public_jwks(), separators=(",", ":")).encode("ascii")


def _local_path(scope: Mapping[str, Any]) -> str:
    # ASGI leaves the place of a mount in the path, and repeats it in root_path.
    path: str = scope["path"]
    return path.removeprefix(str(scope.get("root_path", "")).rstrip("/"))


def _known(scope: Mapping[str, Any], tag: bytes) -> bool:
    given = [value for name, value in scope["headers"] if name.lower() == b"if-none-match"]
    tags = [each.strip().removeprefix(b"W/") for value in given for each in value.split(b",")]
    return tag in tags or b"*" in tags


async def _live(receive: _Receive, send: _Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
