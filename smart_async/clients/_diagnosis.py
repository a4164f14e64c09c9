"""Diagnosis in both colours: the flows that gather, a look at TLS, and the judgement."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import urlsplit

from smart_async._values import dataclass
from smart_async.clients._drivers import AsyncPerformer, Performer, drive, drive_async
from smart_async.clients._parts import check_clock, check_limits, check_timeouts, new_state
from smart_async.clients._tls import look_at_tls
from smart_async.errors import ConfigurationError, SmartError
from smart_async.interfaces import AsyncTransport, Clock, Transport
from smart_async.limits import Limits, Timeouts
from smart_async.messages import Finding
from smart_async.smart.backend import DEFAULT_SCOPE
from smart_async.smart.config import SmartConfig
from smart_async.smart.diagnosis import Diagnosis, Evidence, TlsFacts, attempt, gather, judge
from smart_async.smart.scopes import Scopes, asked_scopes
from smart_async.smart.state import ClientState
from smart_async.transports import ClientCertificate, open_async_transport, open_transport

__all__ = ("async_diagnose", "diagnose")

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def diagnose(
    config: SmartConfig | None,
    *,
    try_token: bool = False,
    scope: str | Scopes | None = None,
    jwks_url: str | None = None,
    registered_jwks_url: str | None = None,
    key_problem: SmartError | None = None,
    findings: Iterable[Finding] = (),
    transport: str | Transport | None = None,
    proxy: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert: ClientCertificate | None = None,
    trust_env: bool = False,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Diagnosis:
    """
    Find out why a server refuses a client: why it says `invalid_client`, or never gets that far.

    It looks at the key, the published JWK Set, the clocks, the server's document, the token endpoint and
    its TLS, and the assertion as it would be sent; then, with *try_token*, at the server's own answer.
    Nothing in the result is secret. It never raises for what it finds: that is in the result.

    Args:
        config: The registration; None if not even that could be made, with *key_problem* saying why.
        try_token: Ask for a token, as `backend_token` does, and read the answer. Otherwise one token request
            without any credentials looks whether the endpoint is there.
        scope: The scopes to ask for; None for those of the configuration.
        jwks_url: Where the client's public keys are published.
        registered_jwks_url: The JWK Set URL as it is registered with the server.
        key_problem: The error that loading the key or the configuration raised.
        findings: What loading the key noted, as `load_signing_key` does.
        transport: `"httpx"`, `"httpx2"`, or an object with the `Transport` methods, which stays yours; with
            an object TLS is not looked at.
        proxy: URL of an HTTP proxy.
        ca_file: PEM file with the certificates to trust instead of the public ones.
        cert: The client's own certificate, for mutual TLS.
        trust_env: Let the environment's proxy and certificate variables count.
        timeouts: How long one request may take.
        limits: How much of an answer is read.
        clock: Who tells the time.

    Raises:
        ConfigurationError: If an argument cannot be used.

    >>> from smart_async import ConfigurationError
    >>> diagnose(None, key_problem=ConfigurationError("There is no such file.", field="path")).causes[0].id
    'key-unreadable'
    """
    evidence = _evidence(config, scope, key_problem, jwks_url, registered_jwks_url, try_token=try_token)
    world = _World(not isinstance(transport, Transport), proxy, ca_file, cert, trust_env)
    evidence.proxy_in_environment = world.forgotten_proxy()
    evidence.key_findings = tuple(findings)
    state = _state(config, limits)
    limit, time = check_timeouts(timeouts), check_clock(clock)
    way = open_transport(transport, proxy=proxy, ca_file=ca_file, cert=cert, trust_env=trust_env)
    perform = Performer(way, limit, time)
    try:
        drive(gather(state, evidence), perform)
        if (url := world.url_for_tls(evidence)) is not None:
            evidence.tls = look_at_tls(url, ca_file)
        if state is not None:
            drive(attempt(state, evidence), perform)
    finally:
        if world.owned:
            way.close()
    return judge(evidence)


async def async_diagnose(
    config: SmartConfig | None,
    *,
    try_token: bool = False,
    scope: str | Scopes | None = None,
    jwks_url: str | None = None,
    registered_jwks_url: str | None = None,
    key_problem: SmartError | None = None,
    findings: Iterable[Finding] = (),
    transport: str | AsyncTransport | None = None,
    proxy: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    cert: ClientCertificate | None = None,
    trust_env: bool = False,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Diagnosis:
    """
    Find out why a server refuses a client; the twin of `diagnose`, on asyncio and trio.

    Args:
        config: As in `diagnose`, as is all the rest.
        try_token: See there.
        scope: See there.
        jwks_url: See there.
        registered_jwks_url: See there.
        key_problem: See there.
        findings: See there.
        transport: `"httpx"`, `"httpx2"`, or an object with the `AsyncTransport` methods.
        proxy: See there.
        ca_file: See there.
        cert: See there.
        trust_env: See there.
        timeouts: See there.
        limits: See there.
        clock: See there.

    Raises:
        ConfigurationError: If an argument cannot be used.
    """
    evidence = _evidence(config, scope, key_problem, jwks_url, registered_jwks_url, try_token=try_token)
    world = _World(not isinstance(transport, AsyncTransport), proxy, ca_file, cert, trust_env)
    evidence.proxy_in_environment = world.forgotten_proxy()
    evidence.key_findings = tuple(findings)
    state = _state(config, limits)
    limit, time = check_timeouts(timeouts), check_clock(clock)
    way = open_async_transport(transport, proxy=proxy, ca_file=ca_file, cert=cert, trust_env=trust_env)
    perform = AsyncPerformer(way, limit, time)
    try:
        await drive_async(gather(state, evidence), perform)
        if (url := world.url_for_tls(evidence)) is not None:
            evidence.tls = await _async_look_at_tls(url, ca_file)
        if state is not None:
            await drive_async(attempt(state, evidence), perform)
    finally:
        if world.owned:
            await way.aclose()
    return judge(evidence)


async def _async_look_at_tls(url: str, ca_file: str | os.PathLike[str] | None) -> TlsFacts:
    import anyio.to_thread

    return await anyio.to_thread.run_sync(look_at_tls, url, ca_file, abandon_on_cancel=True)


def _evidence(
    config: SmartConfig | None,
    scope: str | Scopes | None,
    key_problem: SmartError | None,
    jwks_url: str | None,
    registered_jwks_url: str | None,
    *,
    try_token: bool,
) -> Evidence:
    if config is None and key_problem is None:
        raise ConfigurationError(
            "There is nothing to diagnose: neither a configuration nor the error that stood in its way.",
            field="config",
            advice="Pass the SmartConfig, or key_problem= with the error that making it raised.",
        )
    wanted = scope or (config.scope if config else None) or DEFAULT_SCOPE
    return Evidence(
        config=config,
        scopes=asked_scopes(wanted),
        key_problem=key_problem,
        jwks_url=jwks_url,
        registered_jwks_url=registered_jwks_url,
        try_token=try_token,
    )


def _state(config: SmartConfig | None, limits: Limits | None) -> ClientState | None:
    limits = check_limits(limits)
    return None if config is None else new_state(config, limits, None)


def _proxy_variable() -> str | None:
    return next((each for each in _PROXIES if os.environ.get(each)), None)


@dataclass(frozen=True, slots=True)
class _World:
    owned: bool
    proxy: str | None
    ca_file: str | os.PathLike[str] | None
    cert: ClientCertificate | None
    trust_env: bool

    def forgotten_proxy(self) -> str | None:
        # Requests do not look at the environment; whoever set a proxy there expects that they do.
        if not self.owned or self.proxy is not None or self.trust_env:
            return None
        if (name := _proxy_variable()) is None:
            return None
        text = os.environ[name]
        place = urlsplit(text if "://" in text else f"//{text}").netloc.rpartition("@")[2]
        return f"the proxy {place} ({name})"

    def url_for_tls(self, evidence: Evidence) -> str | None:
        if evidence.config is None:
            return None
        url = evidence.metadata.token_endpoint if evidence.metadata else evidence.config.fhir_base
        if not self.owned:
            evidence.tls_why_not = "The requests go over a transport of your own, so it was not looked at."
        elif self.proxy is not None or (self.trust_env and _proxy_variable()):
            evidence.tls_why_not = "The requests go through a proxy, so it was not looked at."
        elif self.cert is not None:
            evidence.tls_why_not = "The server wants the client's own certificate, so it was not looked at."
        elif not url.lower().startswith("https:"):
            evidence.tls_why_not = "Plain http, which is accepted on loopback only."
        else:
            return url
        return None
