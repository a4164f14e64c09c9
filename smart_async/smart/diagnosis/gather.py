"""
The flows that gather the facts.

They ask only what an outsider may ask, until `attempt` asks for a token: documents that are open to
everybody, and one token request without any credentials, to see whether something answers there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from smart_async.errors import ConfigurationError, SmartError, TransportError
from smart_async.flow import Flow, Send, now, send
from smart_async.keys.base64url import b64url_decode
from smart_async.messages import FORM, Headers, Request, Response, as_object, form_body, parse_url
from smart_async.smart.backend import backend_token
from smart_async.smart.diagnosis.evidence import Assertion, Evidence, Fetched
from smart_async.smart.discovery import discover, discovery_request, discovery_url
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.server_keys import server_keys_request
from smart_async.smart.state import ClientState

__all__ = ("attempt", "gather")

T = TypeVar("T")

_ENDINGS = ("/metadata", "/.well-known/smart-configuration", "/Patient", "/.well-known/openid-configuration")
_BELOW = ("fhir", "r4", "fhir/r4", "api/FHIR/R4")
_GUESSES = 8


def gather(state: ClientState | None, evidence: Evidence) -> Flow[None]:
    """
    Look at everything that can be looked at without asking for a token.

    Args:
        state: The client; None if there is no usable configuration.
        evidence: Where the facts go.
    """
    if state is not None:
        yield from _discovery(state, evidence)
    yield from _keys(state, evidence)
    if state is not None and evidence.metadata is not None:
        yield from _assertion(state, evidence.metadata, evidence)
        if evidence.why_not_try:
            yield from _probe(state, evidence.metadata, evidence)


def attempt(state: ClientState, evidence: Evidence) -> Flow[None]:
    """
    Ask for a token as the client itself would, if that is wanted and can be done.

    Args:
        state: The client.
        evidence: Where the outcome goes; the token in it is never shown.
    """
    if evidence.metadata is None or evidence.why_not_try:
        return
    try:
        evidence.answer = yield from _watched(backend_token(state, scope=evidence.scopes), evidence.seen)
    except ConfigurationError as exc:  # nothing was sent
        evidence.not_sent = exc.message
        yield from _probe(state, evidence.metadata, evidence)
    except SmartError as exc:
        evidence.answer = exc


def _watched(flow: Flow[T], seen: list[Response]) -> Flow[T]:
    # Performs nothing itself: it only keeps the answers that pass by, for their Date and their headers.
    try:
        step = next(flow)
        while True:
            try:
                outcome = yield step
            except Exception as exc:  # the inner flow decides which errors it can recover from
                step = flow.throw(exc)
            else:
                if isinstance(step, Send):
                    seen.append(outcome)
                step = flow.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _fetch(request: Request, seen: list[Response]) -> Flow[Fetched]:
    try:
        response = yield from send(request)
    except TransportError as exc:
        return Fetched(url=request.url, error=exc)
    seen.append(response)
    return Fetched(url=request.url, response=response)


def _discovery(state: ClientState, evidence: Evidence) -> Flow[None]:
    config, answers = state.config, list[Response]()
    try:
        evidence.metadata = yield from _watched(discover(state, refresh=True), answers)
    except SmartError as exc:
        evidence.discovery_error = exc
    evidence.seen.extend(answers)
    if answers:
        # Where redirects are followed, the last answer is the document; elsewhere the first one is.
        evidence.document = answers[-1 if config.follow_discovery_redirects else 0]
        if evidence.metadata is None and evidence.document.status < 500:
            evidence.found_base = yield from _look_around(state, evidence.seen)


def _look_around(state: ClientState, seen: list[Response]) -> Flow[str | None]:
    for base in _bases_around(state.config.fhir_base):
        request = discovery_request(discovery_url(base), limits=state.limits)
        found = yield from _fetch(request, seen)
        document = as_object(found.document)
        if found.response and found.response.status == 200 and document and document.get("token_endpoint"):
            return base
    return None


def _bases_around(base: str) -> list[str]:
    place = base.rstrip("/")
    for ending in _ENDINGS:
        place = place.removesuffix(ending)
    parts = urlsplit(place)
    root = f"{parts.scheme}://{parts.netloc}"
    segments = [each for each in parts.path.split("/") if each]
    above = [
        f"{root}/{'/'.join(segments[:length])}".rstrip("/") for length in range(len(segments) - 1, -1, -1)
    ]
    below = [f"{place}/{name}" for name in _BELOW]
    siblings = [f"{above[0]}/{name}" for name in _BELOW[:2]] if above else []
    others = dict.fromkeys((place, *above[:3], *below, *siblings))
    return [each for each in others if each != base.rstrip("/")][:_GUESSES]


def _keys(state: ClientState | None, evidence: Evidence) -> Flow[None]:
    url = evidence.keys_url
    if url is None:
        return
    try:
        _ = parse_url(
            url,
            field="The JWK Set URL",
            allow_query=True,
            allow_insecure_loopback=state is None or state.config.allow_insecure_loopback,
        )
    except ConfigurationError as exc:
        evidence.jwks_refused = exc.message
        return
    request = server_keys_request(url, limits=state.limits if state else None)
    evidence.jwks = yield from _fetch(request, evidence.seen)
    answer = evidence.jwks.response
    if answer is not None and answer.status == 200 and _is_copy(answer):
        around = Headers({"Accept": "application/json", "Cache-Control": "no-cache"})
        evidence.jwks_at_origin = yield from _fetch(replace(request, headers=around), evidence.seen)


def _is_copy(answer: Response) -> bool:
    return answer.headers.get("age", "0") != "0" or "hit" in answer.headers.get("x-cache", "").lower()


def _assertion(state: ClientState, metadata: SmartMetadata, evidence: Evidence) -> Flow[None]:
    evidence.signed_at = (yield from now()).wall
    if evidence.auth is None:
        return
    # Whether the server takes the algorithm is judged later; the assertion is wanted in any case.
    open_minded = replace(metadata, token_endpoint_auth_signing_alg_values_supported=())
    try:
        made = yield from evidence.auth.authenticate(
            state.config, open_minded, metadata.token_endpoint, entropy=state.entropy
        )
    except Exception as exc:  # a signer may be anybody's code
        evidence.assertion_error = exc
        return
    # The signature is what makes it work, so it goes no further than here.
    header, claims, _ = dict(made.fields)["client_assertion"].split(".")
    evidence.assertion = Assertion(header=_decoded(header), claims=_decoded(claims))


def _decoded(part: str) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(b64url_decode(part))
    return members


def _probe(state: ClientState, metadata: SmartMetadata, evidence: Evidence) -> Flow[None]:
    request = Request(
        method="POST",
        url=metadata.token_endpoint,
        purpose="token",
        headers=Headers((("Accept", "application/json"), ("Content-Type", FORM))),
        body=form_body([("grant_type", "client_credentials")]),
        max_bytes=state.limits.document_bytes,
    )
    evidence.probe = yield from _fetch(request, evidence.seen)
