"""
Finding the authorization server of a FHIR server.

Spec: SMART App Launch 2.2, conformance (using `.well-known`).
"""

from __future__ import annotations

import re
from dataclasses import field, replace
from sys import intern
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError, DiscoveryError
from smart_async.flow import Flow, now
from smart_async.limits import METADATA_TTL, METADATA_TTL_MAX, Limits
from smart_async.messages import Finding, Headers, JSONObject, Request, Response, parse_object, resolve_url
from smart_async.smart.capability_statement import (
    capability_statement_request,
    openid_configuration_members,
    parse_capability_statement,
)
from smart_async.smart.config import SmartConfig
from smart_async.smart.metadata import OVERRIDES, SmartMetadata, parse_metadata
from smart_async.smart.redirects import location, redirect_target
from smart_async.smart.retries import send_repeated
from smart_async.smart.state import CachedMetadata, ClientState

__all__ = (
    "discover",
    "discovery_request",
    "discovery_url",
    "metadata_lifetime",
    "parse_discovery",
)

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
    return f"{fhir_base.rstrip('/')}/.well-known/smart-configuration"


def discovery_request(
    url: str, *, headers: tuple[tuple[str, str], ...] = (), limits: Limits | None = None
) -> Request:
    """
    Build the request for a discovery document. It carries no credentials.

    Args:
        url: Where the document is.
        headers: Header fields to add, for servers that want to know who asks.
        limits: The client's limits.
    """
    return Request(
        method="GET",
        url=url,
        purpose="discovery",
        headers=Headers((("Accept", "application/json"), *headers)),
        max_bytes=(limits or Limits()).document_bytes,
    )


def parse_discovery(
    response: Response, config: SmartConfig, *, limits: Limits | None = None
) -> SmartMetadata:
    """
    Read the answer to a discovery request.

    Args:
        response: The answer.
        config: The registration that is being discovered; endpoints that it names win.
        limits: The client's limits.

    Returns:
        The typed document.

    Raises:
        DiscoveryError: If it is a redirect, an error, no JSON object, or names no usable token endpoint;
            under `strict` also if it breaks a SHALL.
    """
    found = _Found(url=response.url)
    found.add("well-known", _document(response, limits))
    found.findings = _media_type(response)
    return _metadata(found, config)


def _document(response: Response, limits: Limits | None) -> JSONObject:
    _refuse_status(response)
    return parse_object(response, DiscoveryError, "discovery document", limits=limits)


def _media_type(response: Response) -> tuple[Finding, ...]:
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return ()
    return (
        Finding(
            rule="DI-03",
            severity="error",
            message="The discovery document is not labelled application/json.",
            advice="It was read all the same. Tell the server's operator.",
        ),
    )


@dataclass(slots=True)
class _Found:
    """The members found so far, and where; what an earlier document says is not overruled by a later one."""

    url: str
    document: JSONObject = field(default_factory=dict[str, Any])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    lifetime: float = METADATA_TTL
    findings: tuple[Finding, ...] = ()

    def add(self, source: str, members: JSONObject) -> None:
        for name, value in members.items():
            if self.document.get(name) in (None, ""):
                name = intern(name)  # the parser's copy is one of thousands with many tenants
                self.document[name] = value
                self.sources[name] = source

    def has(self, name: str) -> bool:
        return self.document.get(name) not in (None, "")


def _metadata(found: _Found, config: SmartConfig) -> SmartMetadata:
    overrides = {name: value for name in OVERRIDES if (value := getattr(config, name)) is not None}
    metadata = parse_metadata(
        {**found.document, **overrides},
        fhir_base=config.fhir_base,
        url=found.url,
        allow_insecure_loopback=config.allow_insecure_loopback,
        raw=found.document,
        sources={**found.sources, **dict.fromkeys(overrides, "configuration")},
        findings=found.findings,
    )
    if config.strict:
        _refuse_findings(metadata, found.url)
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

    Where it is looked for is the configuration's `discovery`.

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
    found = yield from _find(state)
    metadata = _metadata(found, state.config)
    if state.issuers is not None:
        state.issuers.check(state.config.client_id, metadata)
    state.cached = CachedMetadata(metadata, instant.monotonic + found.lifetime)
    return metadata


def _find(state: ClientState) -> Flow[_Found]:
    config = state.config
    found = _Found(url=config.discovery_url or discovery_url(config.fhir_base))
    failure: DiscoveryError | None = None
    if config.discovery in ("well-known", "auto"):
        try:
            yield from _well_known(state, found)
        except DiscoveryError as exc:
            failure = exc
    if config.discovery == "metadata" or (config.discovery == "auto" and not found.has("token_endpoint")):
        try:
            yield from _capability_statement(state, found)
        except DiscoveryError as exc:
            # A smart-configuration that was read says more about what is missing than this does.
            failure = failure or (None if found.document else exc)
    if config.discovery == "auto" and _lacks_identity(config, found):
        yield from _openid_configuration(state, found)
    if failure is not None:
        _pass_over(failure, found, config)
    return found


def _pass_over(failure: DiscoveryError, found: _Found, config: SmartConfig) -> None:
    # A document that is not there can be done without; one that cannot be had just now will be missed.
    down = not found.document and (failure.status or 0) >= 500
    if down or not (found.has("token_endpoint") or config.token_endpoint):
        raise failure
    found.findings += (
        Finding(
            rule="DI-03",
            severity="error",
            message=f"A discovery document was passed over: {failure.message}",
            advice="The endpoints come from elsewhere; see .sources.",
        ),
    )


def _lacks_identity(config: SmartConfig, found: _Found) -> bool:
    wanted = "openid" in config.scope.split(" ") and not found.has("issuer")
    return wanted or not found.has("token_endpoint")


def _extra_headers(state: ClientState) -> tuple[tuple[str, str], ...]:
    # Made where they are used: error reporters show the variables of every frame.
    return tuple(state.config.extra_discovery_headers.items())


def _well_known(state: ClientState, found: _Found) -> Flow[None]:
    response = yield from _get(
        state, discovery_request(found.url, headers=_extra_headers(state), limits=state.limits)
    )
    found.add("well-known", _document(response, state.limits))
    found.findings = _media_type(response)
    found.lifetime = metadata_lifetime(response)


def _capability_statement(state: ClientState, found: _Found) -> Flow[None]:
    response = yield from _get(
        state,
        capability_statement_request(
            state.config.fhir_base, headers=_extra_headers(state), limits=state.limits
        ),
    )
    found.add("capability-statement", parse_capability_statement(response, limits=state.limits))
    found.lifetime = metadata_lifetime(response)


def _openid_configuration(state: ClientState, found: _Found) -> Flow[None]:
    url = f"{state.config.fhir_base.removesuffix('/')}/.well-known/openid-configuration"
    try:
        response = yield from _get(
            state, discovery_request(url, headers=_extra_headers(state), limits=state.limits)
        )
        document = _document(response, state.limits)
    except DiscoveryError:
        return  # the last rung; what is still missing is reported by whoever needs it
    found.add("openid-configuration", openid_configuration_members(document))


def _get(state: ClientState, request: Request) -> Flow[Response]:
    response = yield from send_repeated(state, request)
    for _ in range(_REDIRECTS if state.config.follow_discovery_redirects else 0):
        if not 300 <= response.status < 400:
            break
        url = _target(response, state.config.allow_insecure_loopback)
        # Without the configured headers: whoever it leads to need not know them.
        accept = Headers({"Accept": request.headers["accept"]})
        response = yield from send_repeated(state, replace(request, url=url, headers=accept))
    if 300 <= response.status < 400:
        raise _redirected(response)
    return response


def _target(response: Response, allow_insecure_loopback: bool) -> str:
    found = location(response)
    if not found:
        raise _redirected(response)
    try:
        return resolve_url(
            response.url, found, field="Location", allow_insecure_loopback=allow_insecure_loopback
        ).text
    except ConfigurationError:
        raise _redirected(response) from None


def _redirected(response: Response) -> DiscoveryError:
    return DiscoveryError(
        f"Discovery was redirected ({response.status}) to {redirect_target(response)}.",
        endpoint=response.url,
        status=response.status,
        advice=(
            "Configure the FHIR base that it leads to. Redirects are followed only with "
            f"follow_discovery_redirects=True, to https and at most {_REDIRECTS} times."
        ),
    )


def _refuse_status(response: Response) -> None:
    status = response.status
    if 300 <= status < 400:
        raise _redirected(response)
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


def _refuse_findings(metadata: SmartMetadata, url: str) -> None:
    broken: list[Finding] = [item for item in metadata.conformance() if item.severity == "error"]
    if broken:
        raise DiscoveryError(
            f"The discovery document breaks {len(broken)} rule(s): "
            + " ".join(f"{item.rule}: {item.message}" for item in broken),
            endpoint=url,
            status=200,
            advice="Leave out strict=True to work with this server all the same.",
        )
