"""The verdict: every check in its order, the causes by their rank."""

from __future__ import annotations

from smart_async.errors import OAuthError
from smart_async.smart.diagnosis.catalogue import rank
from smart_async.smart.diagnosis.check_answer import HARMFUL_ANYWAY, check_answer
from smart_async.smart.diagnosis.check_keys import (
    check_jku,
    check_key,
    check_kid,
    check_published_key,
    check_published_set,
)
from smart_async.smart.diagnosis.check_offers import check_offers, check_scopes
from smart_async.smart.diagnosis.check_server import (
    check_conformance,
    check_discovery,
    check_tls,
    check_token_endpoint,
)
from smart_async.smart.diagnosis.check_time import check_assertion, check_clock, shown_assertion
from smart_async.smart.diagnosis.evidence import Evidence
from smart_async.smart.diagnosis.explain import server_words
from smart_async.smart.diagnosis.makes import make_of, notes_for, preset_for
from smart_async.smart.diagnosis.report import Cause, Diagnosis
from smart_async.smart.diagnosis.sheet import Sheet
from smart_async.smart.tokens import Token

__all__ = ("judge",)

_SURE = {"certain": 2, "likely": 1, "possible": 0}
_WRONG_ENDPOINT = ("token-endpoint-host", "token-endpoint-override")
_SYMPTOMS = ("token-endpoint-", "server-", "no-answer", "host-", "tls-", "proxy-", "blocked")
# A certificate made out to that host, only too long ago, speaks for the host being the right one.
_NO_SYMPTOMS = (*_WRONG_ENDPOINT, "tls-expired", "tls-old", "tls-client-certificate")
_CHECKS = (
    check_key,
    check_kid,
    check_published_set,
    check_published_key,
    check_jku,
    check_clock,
    check_discovery,
    check_conformance,
    check_offers,
    check_scopes,
    check_token_endpoint,
    check_tls,
    check_assertion,
)


def judge(evidence: Evidence) -> Diagnosis:
    """
    Return the diagnosis that *evidence* makes.

    Args:
        evidence: What was seen.
    """
    sheet = Sheet()
    for check in _CHECKS:
        check(evidence, sheet)
    said = check_answer(evidence, sheet)
    first = (_wrong_endpoint(sheet), said)
    config, answer = evidence.config, evidence.answer
    make = _make(evidence)
    _check_vendor(evidence, make, sheet)
    return Diagnosis(
        checks=tuple(sheet.checks.values()),
        causes=_ordered(evidence, sheet, first),
        fhir_base=config.fhir_base if config else None,
        client_id=config.client_id if config else None,
        vendor=make,
        vendor_notes=notes_for(make),
        assertion=shown_assertion(evidence),
        server=server_words(answer) if isinstance(answer, OAuthError) else {},
        tried=answer is not None,
        granted=isinstance(answer, Token),
    )


def _wrong_endpoint(sheet: Sheet) -> tuple[str, ...]:
    # That nothing useful answers at a URL is only what follows from its being the wrong one.
    if not any(name.startswith(_SYMPTOMS) for name in sheet.causes if name not in _NO_SYMPTOMS):
        return ()
    return tuple(name for name in _WRONG_ENDPOINT if name in sheet.causes)


def _ordered(evidence: Evidence, sheet: Sheet, first: tuple[tuple[str, ...], ...]) -> tuple[Cause, ...]:
    causes = list(sheet.causes.values())
    if isinstance(evidence.answer, Token):
        # What was only likely is refuted; what was seen stays, if it will be noticed sooner or later.
        causes = [each for each in causes if each.id in HARMFUL_ANYWAY and each.certainty == "certain"]
    places = {each.id: place for place, each in enumerate(causes)}

    def order(each: Cause) -> tuple[int, int, int, int]:
        # The suspects keep the order in which they were named; the others go by their rank.
        height = rank(each.id) if each.certainty != "possible" else 0
        group = next((place for place, names in enumerate(first) if each.id in names), len(first))
        return group, -_SURE[each.certainty], -height, places[each.id]

    return tuple(sorted(causes, key=order))


def _make(evidence: Evidence) -> str | None:
    config, metadata = evidence.config, evidence.metadata
    if config is not None and config.vendor is not None:
        return config.vendor
    urls = [config.fhir_base if config else None]
    if metadata is not None:
        urls += [metadata.token_endpoint, metadata.authorization_endpoint, metadata.issuer]
    return make_of(urls)


def _check_vendor(evidence: Evidence, make: str | None, sheet: Sheet) -> None:
    config, preset = evidence.config, preset_for(make)
    if make is None or config is None:
        return
    if config.vendor is None and preset is not None:
        said, fix = f"This looks like {make}, for which there is a preset.", f"Set vendor={preset!r}."
    else:
        said, fix = f"This looks like {make}." if config.vendor is None else f"The preset is {make}.", ""
    sheet.note("vendor", "Server's make", said, fix=fix)
    failed = evidence.discovery_error is not None
    if failed and fix and sheet.causes:
        sheet.blame("vendor", "Server's make", "vendor-preset", seen=said, fix=fix, certainty="likely")
