"""The server's own document, its token endpoint, and the TLS on the way there."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from smart_async.errors import SmartError, TransportError
from smart_async.messages import JSON, Response, as_object, clean_text, is_loopback
from smart_async.smart.diagnosis.evidence import Evidence, Fetched, TlsFacts, shown
from smart_async.smart.diagnosis.sheet import Sheet
from smart_async.smart.diagnosis.words import cause_of_discovery, cause_of_refusal, cause_of_silence
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.oauth_errors import parse_oauth_error
from smart_async.smart.redirects import redirect_target

__all__ = ("check_conformance", "check_discovery", "check_tls", "check_token_endpoint", "document_in")

_DISCOVERY, _ENDPOINT, _TLS = "Discovery document", "Token endpoint", "TLS and certificate"
_SOON = 14 * 86_400
_OTHERS = ("authorization_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri", "issuer")
_TLS_CAUSES = {
    "expired": "tls-expired",
    "name": "tls-name",
    "self-signed": "tls-self-signed",
    "untrusted": "tls-untrusted",
    "old": "tls-old",
    "failed": "tls-failed",
}


def check_discovery(evidence: Evidence, sheet: Sheet) -> None:
    """Look at whether the server says of itself where its endpoints are."""
    metadata, failure = evidence.metadata, evidence.discovery_error
    if evidence.config is None:
        sheet.note("discovery", _DISCOVERY, "There is no configuration.", status="skipped")
    elif metadata is not None:
        where = set(metadata.sources.values())
        told = "Switched off; the endpoints come from the configuration."
        if where != {"configuration"} and evidence.document is not None:
            told = f"Found; the token endpoint is {shown(metadata.token_endpoint)}."
        sheet.note("discovery", _DISCOVERY, told)
    elif isinstance(failure, TransportError):
        blame_silence(failure, evidence, sheet, "discovery", _DISCOVERY)
    else:
        _blame_document(failure, evidence, sheet)


def _blame_document(failure: SmartError | None, evidence: Evidence, sheet: Sheet) -> None:
    answer, said = evidence.document, clean_text(failure.message if failure else "", length=400)
    if answer is None:
        sheet.blame("discovery", _DISCOVERY, "discovery-invalid", seen=said)
        return
    name, fix = _fault_of_document(answer), None
    seen = f"{shown(answer.url)} answers {answer.status}."
    if name == "discovery-redirect":
        seen = f"{seen} It leads to {redirect_target(answer)}."
    elif name.startswith("token-endpoint"):
        name, seen = "discovery-strict" if "rule(s)" in said else name, said
    if evidence.found_base is not None and (answer.status != 200 or name == "discovery-html"):
        name, fix = "fhir-base-path", f"Use the FHIR base {evidence.found_base}"
    sheet.blame("discovery", _DISCOVERY, name, seen=seen, fix=fix)


def _fault_of_document(answer: Response) -> str:
    if (name := cause_of_discovery(answer.status)) is not None:
        return name
    document = as_object(document_in(answer))
    if document is None:
        is_html = answer.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
        return "discovery-html" if is_html else "discovery-invalid"
    endpoint = document.get("token_endpoint")
    plain = isinstance(endpoint, str) and endpoint[:7].lower() == "http://"
    return "token-endpoint-http" if plain else "token-endpoint-missing"


def document_in(answer: Response) -> JSON | None:
    """Return the JSON in *answer*, or None."""
    return Fetched(url=answer.url, response=answer).document


def blame_silence(error: TransportError, evidence: Evidence, sheet: Sheet, check: str, title: str) -> None:
    """
    Write down why there was no answer.

    What the TLS handshake showed says more than the error; and a proxy that the environment names and
    nobody used explains a server that cannot be reached.

    Args:
        error: Why there was none.
        evidence: What else is known.
        sheet: Where it is written down.
        check: The check's id.
        title: The check's title.
    """
    name = cause_of_silence(error)
    if name.startswith("tls-") and evidence.tls is not None and evidence.tls.problem in _TLS_CAUSES:
        name = _TLS_CAUSES[evidence.tls.problem]
    seen = clean_text(error.message)
    if name in ("server-unreachable", "host-unknown") and evidence.proxy_in_environment:
        seen = f"{seen} The environment names {evidence.proxy_in_environment}."
        name = "proxy-needed"
    sheet.blame(check, title, name, seen=seen)


def check_conformance(evidence: Evidence, sheet: Sheet) -> None:
    """Compare the document with the specification, rule by rule."""
    if evidence.metadata is None or evidence.document is None:
        return
    findings = evidence.metadata.conformance()
    bad = [finding for finding in findings if finding.severity != "info"]
    details = tuple(clean_text(str(finding), length=400) for finding in findings)
    if bad:
        sheet.note(
            "conformance",
            "Conformance",
            f"The document breaks {len(bad)} rule(s) of the specification; that alone stops nobody.",
            status="warning",
            fix="Show them to the server's operator.",
            details=details,
        )
    else:
        sheet.note("conformance", "Conformance", "It follows the specification.", details=details)


def check_token_endpoint(evidence: Evidence, sheet: Sheet) -> None:
    """Look at whether a token endpoint is where one is said to be."""
    metadata, config = evidence.metadata, evidence.config
    if metadata is None or config is None:
        sheet.note("token-endpoint", _ENDPOINT, "It is not known.", status="skipped")
        return
    named = metadata.raw.get("token_endpoint")
    if config.token_endpoint is not None and isinstance(named, str) and named != config.token_endpoint:
        seen = f"Configured is {shown(config.token_endpoint)}, the server names {clean_text(shown(named))}."
        sheet.blame("token-endpoint", _ENDPOINT, "token-endpoint-override", seen=seen, certainty="likely")
    elif _is_odd_one_out(metadata):
        seen = f"It is {shown(metadata.token_endpoint)}."
        if _speaks_oauth(evidence.probe):
            said = f"{seen} No other endpoint is on that host; yet it answers as a token endpoint does."
            fix = "Compare it with the server's documentation."
            sheet.note("token-endpoint", _ENDPOINT, said, status="warning", fix=fix)
        else:
            sheet.blame("token-endpoint", _ENDPOINT, "token-endpoint-host", seen=seen, certainty="likely")
    if evidence.probe is not None:
        _judge_probe(evidence.probe, evidence, sheet)
    else:
        sheet.note(
            "token-endpoint", _ENDPOINT, f"{shown(metadata.token_endpoint)} is asked for a token below."
        )


def _judge_probe(probe: Fetched, evidence: Evidence, sheet: Sheet) -> None:
    if probe.error is not None:
        blame_silence(probe.error, evidence, sheet, "token-endpoint", _ENDPOINT)
        return
    answer = probe.response or Response(status=0)
    seen = f"{shown(probe.url)} answers {answer.status} to a request without credentials."
    if 300 <= answer.status < 400:
        seen = f"{seen} It leads to {redirect_target(answer)}."
        sheet.blame("token-endpoint", _ENDPOINT, "token-endpoint-redirect", seen=seen)
        return
    name = cause_of_refusal(parse_oauth_error(answer)) if answer.status >= 400 else ""
    if name in ("token-endpoint-missing-page", "token-endpoint-method", "rate-limited"):
        sheet.blame("token-endpoint", _ENDPOINT, name, seen=seen)
    elif name == "server-failing":
        # Some servers answer so to any request that they do not like.
        sheet.blame("token-endpoint", _ENDPOINT, name, seen=seen, certainty="likely")
    elif probe.is_html and answer.status in (200, 403):
        name = "blocked" if answer.status == 403 else "token-endpoint-html"
        sheet.blame("token-endpoint", _ENDPOINT, name, seen=seen, certainty="likely")
    else:
        sheet.note("token-endpoint", _ENDPOINT, f"{seen} It is there.")


def _speaks_oauth(probe: Fetched | None) -> bool:
    answer = probe.response if probe else None
    return answer is not None and answer.status in (400, 401) and parse_oauth_error(answer).error is not None


def _is_odd_one_out(metadata: SmartMetadata) -> bool:
    # Many servers keep their authorization on another host; then all of its endpoints are there. Where the
    # token endpoint is the only one there is nothing that it could be at odds with.
    others = {_site(url) for name in _OTHERS if (url := getattr(metadata, name))}
    given = metadata.sources.get("token_endpoint") == "configuration"
    return (
        bool(others)
        and not given
        and _site(metadata.token_endpoint) not in others | {_site(metadata.fhir_base)}
    )


def _site(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.netloc if is_loopback(host) else ".".join(host.split(".")[-2:])


def check_tls(evidence: Evidence, sheet: Sheet) -> None:
    """Look at the TLS version and the certificate of the token endpoint."""
    facts = evidence.tls
    if facts is None:
        sheet.note("tls", _TLS, evidence.tls_why_not or "It was not looked at.", status="skipped")
    elif facts.problem in _TLS_CAUSES:
        sheet.blame("tls", _TLS, _TLS_CAUSES[facts.problem], seen=_described(facts))
    elif facts.problem is not None:
        sheet.note("tls", _TLS, f"{facts.host} cannot be reached.", status="skipped")
    elif facts.not_after is not None and facts.not_after - evidence.signed_at < _SOON:
        fix = "Tell the server's operator to renew it."
        sheet.note("tls", _TLS, f"{_described(facts)} That is soon.", status="warning", fix=fix)
    else:
        sheet.note("tls", _TLS, _described(facts))


def _described(facts: TlsFacts) -> str:
    parts = [facts.host, facts.version or ""]
    if facts.names:
        parts.append(f"certificate for {clean_text(', '.join(facts.names), length=200)}")
    if facts.issuer:
        parts.append(f"issued by {clean_text(facts.issuer, length=120)}")
    if facts.not_after is not None:
        parts.append(f"valid until {datetime.fromtimestamp(facts.not_after, UTC):%Y-%m-%d}")
    return f"{', '.join(part for part in parts if part)}."
