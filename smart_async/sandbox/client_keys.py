"""Where a client's public keys come from: its registration, or its JWKS URL."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, TypeAlias

from smart_async.errors import ProtocolError
from smart_async.limits import DOCUMENT_BYTES, JWKS_KEYS, METADATA_TTL_MAX
from smart_async.messages import Headers, JSONObject, Response, parse_url, strict_loads
from smart_async.sandbox.clients import SandboxClient
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.shapes import is_list, is_object
from smart_async.sandbox.verdicts import Case, invalid_client

__all__ = ("ClientKeys", "Fetch", "fetch_jwks")

Fetch: TypeAlias = Callable[[str], bytes | Response]
"""Gets the document at a URL: its bytes, or a whole response where caching matters."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_TIMEOUT = 5.0


class ClientKeys:
    """
    Finds the public keys of a client, and keeps a fetched set for as long as the client allows.

    Args:
        fetch: Gets a JWK Set from a URL.
        clock: Returns Unix seconds.
        faults: What goes wrong on demand.

    Spec: SMART App Launch 2.2, client authentication: asymmetric (registering keys; AS-15 to AS-17).
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float], faults: Faults) -> None:
        self._fetch = fetch
        self._clock = clock
        self._faults = faults
        self._first: dict[str, list[JSONObject]] = {}
        self._cache: dict[str, tuple[float, list[JSONObject]]] = {}

    def of(self, client: SandboxClient, case: Case) -> list[JSONObject]:
        """
        Return the keys registered for *client*.

        Args:
            client: The client.
            case: The request that they are needed for.

        Raises:
            RefusedError: If they cannot be had.
        """
        known = self._first.get(client.client_id)
        if known is not None and self._faults.take("stale_client_keys", case):
            return known
        keys = self._current(client)
        self._first.setdefault(client.client_id, keys)
        return keys

    def _current(self, client: SandboxClient) -> list[JSONObject]:
        if client.jwks is not None:
            return _keys_of(client.jwks)
        if client.jwks_uri is None:
            raise invalid_client("AS-15", f"the client '{client.client_id}' has not registered any keys")
        return self._fetched(client.jwks_uri)

    def _fetched(self, url: str) -> list[JSONObject]:
        until, keys = self._cache.get(url, (0.0, []))
        if self._clock() < until:
            return keys
        response = self._get(url)
        try:
            keys = _keys_of(strict_loads(response.body))
        except ProtocolError as exc:
            raise invalid_client("AS-15", f"the JWK Set at {url} cannot be read: {exc.message}") from None
        self._cache[url] = (self._clock() + _lifetime(response.headers), keys)
        return keys

    def _get(self, url: str) -> Response:
        try:
            answer = self._fetch(url)
        except Exception as exc:
            # Whatever a replaced fetch raises: the keys are out of reach, and the client must learn why.
            raise invalid_client(
                "AS-16", f"the JWK Set at {url} cannot be fetched: {type(exc).__name__}"
            ) from exc
        response = answer if isinstance(answer, Response) else Response(status=200, body=answer, url=url)
        if response.status != 200:
            raise invalid_client("AS-16", f"the JWK Set at {url} answers with status {response.status}")
        return response


def fetch_jwks(url: str) -> Response:
    """
    Get *url* over https, or plain http on loopback; no redirects, no proxies, 256 KiB, five seconds.

    It blocks, so host the keys of a client under test on another thread than the sandbox.

    Raises:
        ConfigurationError: If the URL is neither https nor on loopback.
        OSError: If there is no answer.
    """
    _ = parse_url(url, field="jwks_uri", allow_insecure_loopback=True, allow_query=True)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            return _response(url, answer.status, answer.headers, answer.read(DOCUMENT_BYTES + 1))
    except urllib.error.HTTPError as exc:
        with exc:
            return _response(url, exc.code, exc.headers, b"")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing: the keys are where they were registered."""


def _response(url: str, status: int, headers: Any, body: bytes) -> Response:
    return Response(status=status, headers=Headers(headers.items()), body=body, url=url)


def _lifetime(headers: Headers) -> float:
    control = headers.get("cache-control", "")
    match = _MAX_AGE.search(control)
    if not match or re.search(r"no-store|no-cache", control, re.IGNORECASE):
        return 0.0
    return min(float(match[1]), METADATA_TTL_MAX)


def _keys_of(document: object) -> list[JSONObject]:
    keys = document.get("keys") if is_object(document) else None
    if not is_list(keys) or len(keys) > JWKS_KEYS:
        raise invalid_client(
            "AS-13", f"a JWK Set is an object with an array 'keys' of at most {JWKS_KEYS} keys"
        )
    return [key for key in keys if is_object(key)]
