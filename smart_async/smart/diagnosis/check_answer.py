"""The server's own answer to a token request, read together with everything else that was seen."""

from __future__ import annotations

from collections.abc import Iterator

from smart_async.errors import OAuthError, TransportError
from smart_async.messages import as_list, as_object, clean_text
from smart_async.smart.diagnosis.catalogue import CATALOGUE
from smart_async.smart.diagnosis.check_keys import has_default_kid, max_age
from smart_async.smart.diagnosis.check_server import blame_silence
from smart_async.smart.diagnosis.check_time import clock_offset, date_of
from smart_async.smart.diagnosis.evidence import Evidence, Fetched
from smart_async.smart.diagnosis.explain import server_words, suspects
from smart_async.smart.diagnosis.makes import make_of
from smart_async.smart.diagnosis.sheet import Sheet
from smart_async.smart.diagnosis.words import cause_of_refusal
from smart_async.smart.scopes import Scopes
from smart_async.smart.tokens import Token

__all__ = ("HARMFUL_ANYWAY", "check_answer", "related")

_TITLE, _POSSIBLE = "Token request", "What remains possible"
_RECENT, _LONG = 48 * 3600, 3600
_KEY_SUSPECTS = ("server-stale-jwks", "key-unknown", "jwks-blocked")
_KEY_NOT_FOUND = ("key-unknown", "kid-not-given", "server-stale-jwks")
_TIMES = ("clock", "clock-fast", "clock-slow")
_NOTICEABLE = 5
"""Seconds by which two clocks differ and nobody minds."""
_KEY_CAUSES = (*(name for name in CATALOGUE if name.startswith(("jwks-", "kid-"))), "jku-differs")
_RELATED = {
    "key-unknown": _KEY_CAUSES,
    "jwks-key": _KEY_CAUSES,
    "jwks-blocked": _KEY_CAUSES,
    "jwks-invalid": _KEY_CAUSES,
    "jwks-type": _KEY_CAUSES,
    "client-unknown": ("client-unknown", "assertion-issuer"),
    "jku-differs": ("jku-differs",),
    "assertion-times": ("assertion-window",),
    "aud-wrong": ("aud-wrong", "token-endpoint-override", "token-endpoint-host"),
    "clock": ("clock-fast", "clock-slow"),
    "clock-fast": ("clock-fast", "assertion-window", "clock-slow"),
    "clock-slow": ("clock-slow", "clock-fast"),
    "scope-not-allowed": ("scope-level", "scope-syntax"),
    "scope-syntax": ("scope-syntax", "scope-level"),
    "grant-not-allowed": ("grant-not-allowed", "grant-type"),
    "registered-with-secret": ("registered-with-secret", "auth-method"),
    "auth-method": ("auth-method", "registered-with-secret"),
    "server-failing": (),
}
HARMFUL_ANYWAY = frozenset(
    name for name in CATALOGUE if name.startswith(("jwks-", "clock-", "tls-")) or name == "scope-not-granted"
)
"""What still does harm when a token was issued: sooner or later it is noticed."""


def check_answer(evidence: Evidence, sheet: Sheet) -> tuple[str, ...]:
    """
    Read the answer to the token request.

    Args:
        evidence: What was seen.
        sheet: Where it is written down.

    Returns:
        The causes that the server's own words point to, which go before all others.
    """
    answer = evidence.answer
    if answer is None:
        why = evidence.why_not_try or "It was not made."
        sheet.note("token", _TITLE, f"{clean_text(why, length=400)}", status="skipped")
        return ()
    if isinstance(answer, Token):
        return _granted(answer, evidence.scopes, sheet)
    if isinstance(answer, TransportError):
        before = set(sheet.causes)
        blame_silence(answer, evidence, sheet, "token", _TITLE)
        return tuple(set(sheet.causes) - before)
    if not isinstance(answer, OAuthError):
        last = Fetched(url="", response=evidence.seen[-1] if evidence.seen else None)
        redirected = 300 <= (getattr(answer, "status", None) or 0) < 400
        name = "token-endpoint-html" if last.is_html else "token-response-broken"
        name = "token-endpoint-redirect" if redirected else name
        sheet.blame("token", _TITLE, name, seen=clean_text(answer.message, length=400))
        return (name,)
    return _refused(answer, evidence, sheet)


def _granted(token: Token, wanted: Scopes, sheet: Sheet) -> tuple[str, ...]:
    details = tuple(str(finding) for finding in token.findings)
    sheet.note(
        "token",
        _TITLE,
        f"A token was issued, with the scopes: {clean_text(str(token.scopes))}.",
        details=details,
    )
    if _is_beside_the_point(token.scopes, wanted):
        sheet.blame("token", _TITLE, "scope-not-granted", seen=f"Asked for were {clean_text(str(wanted))}.")
    return ()


def _is_beside_the_point(granted: Scopes, wanted: Scopes) -> bool:
    # Narrower is usual, as where a wildcard becomes a list. Names that only the server understands may mean
    # just what was asked for.
    understood = all(scope.version is not None for scope in granted)
    if not understood or not wanted or any(scope.level != "system" for scope in wanted):
        return False
    return not any(wanted.covers(scope) for scope in granted) and not any(
        granted.covers(scope) for scope in wanted
    )


def _refused(error: OAuthError, evidence: Evidence, sheet: Sheet) -> tuple[str, ...]:
    said = _said(error)
    found = _refined(cause_of_refusal(error), evidence)
    if found == "client-refused":
        sheet.note("token", _TITLE, said, status="problem")
        _suspect(evidence, sheet)
        return ()
    known = related(found, sheet)
    if known:
        # A check has seen the very thing that the server's words point to.
        sheet.note("token", _TITLE, f"{said} This fits what was found above.", status="problem")
        return known
    if found == "key-unknown" and evidence.jwks is None and has_default_kid(evidence):
        found = "kid-not-given"
    if found in ("jwks-key", "key-unknown") and evidence.jwks is not None and not _key_causes(sheet):
        found = "server-stale-jwks"
    sheet.blame("token", _TITLE, found, seen=said, certainty="likely")
    sheet.note("token", _TITLE, "", status="problem")
    if found in _KEY_NOT_FOUND:
        for name in (each for each in _KEY_SUSPECTS if each != found):
            sheet.blame("suspects", _POSSIBLE, name, certainty="possible")
    return (found,)


def _refined(found: str, evidence: Evidence) -> str:
    # "Expired" is what a server says of an assertion; which clock is wrong, its Date may tell.
    offset = clock_offset(evidence)
    if found == "clock-slow" and offset is not None and offset > 0:
        return "clock"
    if found in _TIMES and offset is not None and abs(offset) <= _NOTICEABLE:
        return "assertion-times"
    if found == "registered-with-secret" and evidence.has_secret:
        return "secret-wrong"
    if found == "jku-missing" and evidence.auth is not None and evidence.auth.jku is not None:
        return "jku-differs"
    if found == "request-refused" and isinstance(evidence.answer, OAuthError):
        return "client-refused" if evidence.answer.error == "invalid_request" else found
    return found


def related(found: str, sheet: Sheet) -> tuple[str, ...]:
    """
    Return the causes on *sheet* that are the one *found* in a server's words, or a special case of it.

    Args:
        found: What the words point to.
        sheet: What the checks found.
    """
    return tuple(name for name in _RELATED.get(found, (found,)) if name in sheet.causes)


def _key_causes(sheet: Sheet) -> bool:
    return any(name in sheet.causes for name in _KEY_CAUSES)


def _suspect(evidence: Evidence, sheet: Sheet) -> None:
    # Only what nothing speaks against; where a check found something certain, that is it.
    if any(each.certainty == "certain" for each in sheet.causes.values()):
        return
    for name in _ranked(evidence):
        if name not in sheet.causes and not _ruled_out(name, evidence):
            sheet.blame("suspects", _POSSIBLE, name, certainty="possible")


def _ranked(evidence: Evidence) -> tuple[str, ...]:
    config = evidence.config
    names = suspects(make_of([config.fhir_base if config else None]))
    if evidence.auth is None:
        return ("secret-wrong", "client-unknown", "client-not-active", "registered-with-secret")
    return tuple(dict.fromkeys((*_favourites(evidence), *names)))


def _favourites(evidence: Evidence) -> Iterator[str]:
    # What was set by hand, or is not known, goes wrong more often than anything else.
    config, auth = evidence.config, evidence.auth
    if config is not None and config.assertion_audience is not None:
        yield "aud-wrong"
    if auth is not None and auth.jku is not None and evidence.registered_jwks_url is None:
        yield "jku-differs"
    if evidence.jwks is None:
        yield "kid-not-given" if has_default_kid(evidence) else "key-unknown"
    if _changed_lately(evidence):
        yield "server-stale-jwks"


def _changed_lately(evidence: Evidence) -> bool:
    # Two keys are published while one takes over from the other, and a copy may be kept for hours: either
    # way the server may not know the newest key yet.
    if evidence.jwks is None or evidence.jwks.response is None:
        return False
    document, answer = as_object(evidence.jwks.document) or {}, evidence.jwks.response
    changed = date_of(answer, "last-modified")
    recent = changed is not None and answer.received_at - changed < _RECENT
    return recent or len(as_list(document.get("keys")) or ()) > 1 or (max_age(answer) or 0) >= _LONG


def _ruled_out(name: str, evidence: Evidence) -> bool:
    if name == "clock":
        return clock_offset(evidence) is not None
    if name == "algorithm":
        metadata = evidence.metadata
        return metadata is None or bool(metadata.token_endpoint_auth_signing_alg_values_supported)
    if name in ("server-stale-jwks", "jwks-blocked"):
        return evidence.keys_url is None
    return name == "key-unknown" and evidence.jwks is not None


def _said(error: OAuthError) -> str:
    words = server_words(error)
    parts = [f"{name.replace('_', ' ')} {value!r}" for name, value in words.items() if name != "status"]
    return f"The server answers {words.get('status')}: {', '.join(parts) or 'no reason given'}."
