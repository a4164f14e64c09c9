"""The clocks on both sides, and the assertion as it would be sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from smart_async.limits import ASSERTION_LIFETIME
from smart_async.messages import Response, clean_text
from smart_async.smart.diagnosis.evidence import Evidence, shown
from smart_async.smart.diagnosis.sheet import Sheet

__all__ = ("check_assertion", "check_clock", "clock_offset", "date_of", "shown_assertion")

_CLOCK, _ASSERTION = "Clocks", "Client assertion"
_RESOLUTION = 2
"""Seconds: a Date has whole ones, and the answer took a moment to arrive."""
_NARROW = 0.5
_PLAIN = frozenset({"alg", "kid", "typ", "jku", "x5t", "x5t#S256"})


def clock_offset(evidence: Evidence) -> float | None:
    """
    Return by how many seconds this machine's clock is ahead of the server's, or None if nobody can tell.

    Args:
        evidence: The answers seen, of which the token endpoint's counts most.
    """
    hosts = [evidence.metadata.token_endpoint] if evidence.metadata else []
    hosts += [evidence.config.fhir_base] if evidence.config else []
    for host in hosts:
        found = [_ahead(each) for each in evidence.seen if _origin(each.url) == _origin(host)]
        known = [each for each in found if each is not None]
        if known:
            return min(known, key=abs)
    return None


def date_of(answer: Response, field: str) -> float | None:
    """
    Return the time in a header field of *answer* in Unix seconds, or None if there is none to be read.

    Args:
        answer: The answer.
        field: `date` or `last-modified`.
    """
    try:
        moment = parsedate_to_datetime(answer.headers.get(field, "")[:64])
    except (ValueError, OverflowError):
        return None
    # A date without an offset is GMT, which is all that HTTP knows.
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _ahead(answer: Response) -> float | None:
    if (date := date_of(answer, "date")) is None:
        return None
    age = answer.headers.get("age", "")
    stored = int(age) if age.isascii() and age.isdigit() and len(age) < 9 else 0
    return answer.received_at - date - stored


def _origin(url: str) -> str:
    return urlsplit(url).netloc.lower()


def check_clock(evidence: Evidence, sheet: Sheet) -> None:
    """Compare the clocks, and say how much difference the assertion still bears."""
    config, offset = evidence.config, clock_offset(evidence)
    if config is None or offset is None:
        why = "The server sends no Date." if evidence.seen else "No answer came that could tell the time."
        sheet.note("clock", _CLOCK, why, status="skipped")
        return
    fast, slow = _bearable(config.assertion_backdate, config.assertion_lifetime)
    shift = (
        f"This machine's clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the server's."
    )
    if offset > fast + _RESOLUTION or offset < -slow - _RESOLUTION:
        ours = "clock-fast" if offset > 0 else "clock-slow"
        seen = f"{shift} The assertion bears {fast} s ahead and {slow} s behind.{_third_opinion(evidence)}"
        sheet.blame("clock", _CLOCK, ours, seen=seen)
        return
    left = fast - offset if offset > 0 else slow + offset
    told = (
        f"{shift} {max(0, math.floor(left))} s remain before that does harm."
        if abs(offset) >= 1
        else (f"They agree. The assertion bears {fast} s ahead and {slow} s behind.")
    )
    narrow = abs(offset) > _RESOLUTION and left < _NARROW * (fast if offset > 0 else slow)
    fix = "Set the clock by NTP." if narrow else ""
    sheet.note("clock", _CLOCK, told, status="warning" if narrow else "ok", fix=fix)


def _bearable(backdate: int, lifetime: int) -> tuple[int, int]:
    # Fast: iat must not come from the future, and exp lies at most five minutes ahead. Slow: exp is not over.
    return min(backdate, ASSERTION_LIFETIME - (lifetime - backdate)), lifetime - backdate


def _third_opinion(evidence: Evidence) -> str:
    answer = evidence.jwks.response if evidence.jwks else None
    ahead = _ahead(answer) if answer is not None else None
    server = evidence.metadata.token_endpoint if evidence.metadata else ""
    if answer is None or ahead is None or _origin(answer.url) == _origin(server):
        return ""
    if abs(ahead) <= 30:
        return (
            " The host of your JWK Set agrees with this machine, so it is the server's clock that is wrong."
        )
    return " The host of your JWK Set disagrees with this machine, too."


def check_assertion(evidence: Evidence, sheet: Sheet) -> None:
    """Compare the assertion, as it would be sent, with the rules for it."""
    made, config, metadata = evidence.assertion, evidence.config, evidence.metadata
    if made is None or config is None or metadata is None:
        sheet.note("assertion", _ASSERTION, "None could be made.", status="skipped")
        return
    header, claims = made.header, made.claims
    before = len(sheet.causes)
    _check_audience(evidence, str(claims.get("aud")), metadata.token_endpoint, metadata.issuer, sheet)
    if "kid" not in header:
        sheet.blame("assertion", _ASSERTION, "kid-missing")
    if header.get("typ") != "JWT":
        seen = f"It is {clean_text(str(header.get('typ')), length=64)!r}."
        sheet.blame("assertion", _ASSERTION, "typ-wrong", seen=seen, certainty="likely")
    if not claims.get("iss") == claims.get("sub") == config.client_id:
        sheet.blame("assertion", _ASSERTION, "assertion-issuer")
    if config.client_id != config.client_id.strip():
        seen, fix = "The client_id begins or ends with a blank, as copying leaves it.", "Take the blank away."
        sheet.blame("assertion", _ASSERTION, "assertion-issuer", seen=seen, fix=fix, certainty="likely")
    _check_window(claims, evidence.signed_at, sheet)
    if len(sheet.causes) == before:
        sheet.note("assertion", _ASSERTION, "It follows the rules: aud, iss, sub, exp, typ, kid and jti.")


def _check_audience(evidence: Evidence, aud: str, endpoint: str, issuer: str | None, sheet: Sheet) -> None:
    if aud == endpoint:
        return
    near = " They differ in the slash at the end only." if aud.rstrip("/") == endpoint.rstrip("/") else ""
    seen = f"It is {shown(aud)}, and the token endpoint {shown(endpoint)}.{near}"
    if aud == issuer or (evidence.config and evidence.config.discovery == "off"):
        # What several servers document: their issuer, or a URL that no document names.
        sheet.note("assertion", _ASSERTION, f"Its aud was configured. {seen}", status="warning")
    else:
        sheet.blame(
            "assertion", _ASSERTION, "aud-wrong", seen=seen, certainty="certain" if near else "likely"
        )


def _check_window(claims: Mapping[str, Any], at: float, sheet: Sheet) -> None:
    ahead = claims["exp"] - at
    if not 0 < ahead <= ASSERTION_LIFETIME:
        sheet.blame("assertion", _ASSERTION, "assertion-window", seen=f"exp lies {ahead:.0f} s ahead.")
    elif ahead > ASSERTION_LIFETIME - 10:
        sheet.note(
            "assertion",
            _ASSERTION,
            f"exp lies {ahead:.0f} s ahead, which leaves no room for a clock that is fast.",
            status="warning",
            fix="Raise assertion_backdate, or lower assertion_lifetime.",
        )


def shown_assertion(evidence: Evidence) -> Mapping[str, Any] | None:
    """
    Return the assertion as it may be shown, or None if there is none.

    Header members that were configured are named and hidden: what is in them is nobody's business.

    Args:
        evidence: Where it is.
    """
    if evidence.assertion is None:
        return None
    header = {
        name: (shown(value) if name == "jku" else value) if name in _PLAIN else "<hidden>"
        for name, value in evidence.assertion.header.items()
    }
    times = {
        name: f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
        for name in ("iat", "exp", "nbf")
        if (value := evidence.assertion.claims.get(name)) is not None
    }
    claims = {
        name: shown(value) if name == "aud" else value for name, value in evidence.assertion.claims.items()
    }
    return MappingProxyType({"header": header, "claims": claims, "times": times, "signature": "<hidden>"})
