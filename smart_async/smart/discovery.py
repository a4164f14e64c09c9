"""
Finding the authorization server of a FHIR server.

Spec: SMART App Launch 2.2, conformance (using `.well-known`).
"""

from __future__ import annotations

import re

from smart_async.errors import ConfigurationError, DiscoveryError
from smart_async.flow import Flow, now, send
from smart_async.limits import METADATA_TTL, METADATA_TTL_MAX, Limits
from smart_async.messages import Finding, Headers, Request, Response, parse_object, resolve_url
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import SmartMetadata, parse_metadata
from smart_async.smart.state import CachedMetadata, ClientState

__all__ = ("discover", "discovery_request", "discovery_url", "metadata_lifetime", "parse_discovery")

_REDIRECTS = 3
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})")
_UNCACHED = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?:$|[,\s=])")


def discovery_url(fhir_base: str) -> str:
    """
    Return where the discovery document of *fhir_base* is.

    The path of the base is kept: one host may serve many FHIR servers.

    Spec: SMART App Launch 2.2, conformance (DI-01).

    >>> discovery_url("https://gw.example.net/t7/fhir/")
    'https://gw.example.net/t7/fhir/.well-known/smart-configuration'
    """
    return f"{fhir_base.removesuffix('/')}/.well-known/smart-configuration"


def discovery_request(url: str, *, limits: Limits | None = None) -> Request:
    """
    Build the request for a discovery document. It carries no credentials.

    Args:
        url: Where the document is.
        limits: The client's limits.
    """
    return Request(
        method="GET",
        url=url,
        purpose="discovery",
        headers=Headers({"Accept": "application/json"}),
        max_bytes=(limits or Limits()).document_bytes,
    )


def parse_discovery(
    response: Response, config: SmartConfig, *, limits: Limits | None = None
) -> SmartMetadata:
    """
    Read the answer to a discovery request.

    Args:
        response: The answer.
        config: The registration that is being discovered.
        limits: The client's limits.

    Returns:
        The typed document.

    Raises:
        DiscoveryError: If it is a redirect, an error, no JSON object, or names no usable token endpoint;
            under `strict` also if it breaks a SHALL.
    """
    _refuse_status(response)
    document = parse_object(response, DiscoveryError, "discovery document", limits=limits)
    metadata = parse_metadata(
        document,
        fhir_base=config.fhir_base,
        url=response.url,
        allow_insecure_loopback=config.allow_insecure_loopback,
    )
    if config.strict:
        _refuse_findings(metadata, response)
    return metadata


def metadata_lifetime(response: Response) -> float:
    """
    Return for how many seconds a discovery document may be kept.

    Args:
        response: The answer that held it.

    Returns:
        Ten minutes, or what `Cache-Control` says, up to a day; 0 where it forbids keeping it.

    Spec: RFC 9111, section 5.2.2.
    """
    control = response.headers.get("cache-control", "").lower()
    if _UNCACHED.search(control):
        return 0.0
    if match := _MAX_AGE.search(control):
        return min(float(match[1]), METADATA_TTL_MAX)
    return METADATA_TTL


def discover(state: ClientState, *, refresh: bool = False) -> Flow[SmartMetadata]:
    """
    Return the server's metadata, from the cache while it is fresh.

    Args:
        state: The client.
        refresh: Ask the server even if the cached document is still fresh.

    Raises:
        DiscoveryError: If the document is unusable. Failures are not remembered.
    """
    instant = yield from now()
    cached = state.cached
    if cached is not None and not refresh and instant.monotonic < cached.fresh_until:
        return cached.metadata
    response = yield from _fetch(state)
    metadata = parse_discovery(response, state.config, limits=state.limits)
    state.cached = CachedMetadata(metadata, instant.monotonic + metadata_lifetime(response))
    return metadata


def _fetch(state: ClientState) -> Flow[Response]:
    url = discovery_url(state.config.fhir_base)
    response = yield from send(discovery_request(url, limits=state.limits))
    for _ in range(_REDIRECTS if state.config.follow_discovery_redirects else 0):
        if not 300 <= response.status < 400:
            break
        url = _target(response, state.config.allow_insecure_loopback)
        response = yield from send(discovery_request(url, limits=state.limits))
    return response


def _target(response: Response, allow_insecure_loopback: bool) -> str:
    try:
        return resolve_url(
            response.url,
            response.headers.get("location", ""),
            field="The redirect's Location",
            allow_insecure_loopback=allow_insecure_loopback,
        ).text
    except ConfigurationError as exc:
        raise DiscoveryError(exc.message, endpoint=response.url, status=response.status) from None


def _refuse_status(response: Response) -> None:
    status = response.status
    if 300 <= status < 400:
        raise DiscoveryError(
            f"Discovery was redirected ({status}) to {redirect_target(response)}; no redirect is followed.",
            endpoint=response.url,
            status=status,
            advice=(
                "Configure the FHIR base that the redirect leads to, or set follow_discovery_redirects=True."
            ),
        )
    if status != 200:
        raise DiscoveryError(
            f"The server answered {status} to discovery.",
            endpoint=response.url,
            status=status,
            advice=(
                "The server is failing; try again later."
                if status >= 500
                else "Check the FHIR base URL, path included; the server may not offer SMART there."
            ),
        )


def _refuse_findings(metadata: SmartMetadata, response: Response) -> None:
    broken: list[Finding] = [item for item in metadata.conformance() if item.severity == "error"]
    if broken:
        raise DiscoveryError(
            f"The discovery document breaks {len(broken)} rule(s): "
            + " ".join(f"{item.rule}: {item.message}" for item in broken),
            endpoint=response.url,
            status=response.status,
            advice="Leave out strict=True to work with this server all the same.",
        )


def redirect_target(response: Response) -> str:
    """
    Return the origin that a redirect leads to, for a message; never the whole URL, which may carry secrets.

    Args:
        response: The redirect.
    """
    try:
        target = resolve_url(
            response.url,
            response.headers.get("location", ""),
            field="Location",
            allow_insecure_loopback=True,
        )
    except ConfigurationError:
        return "a target that is no https URL"
    return target.origin
