"""
Which make a server is, and what is known of servers of that make.

Host names and paths give it away. That is a guess, so it leads to notes, never to a decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from smart_async.smart.vendors import PRESETS

__all__ = ("NOTES", "algorithms_of", "make_of", "notes_for", "preset_for")

_SIGNS: tuple[tuple[str, str], ...] = (
    ("epic", r"//[^/]*\bepic\.com|/interconnect[-/]"),
    ("oracle-health", r"//[^/]*\b(?:cerner|oraclehealth)\.com"),
    ("athenahealth", r"//[^/]*\bathenahealth\.com"),
    ("eclinicalworks", r"//[^/]*\b(?:eclinicalworks|healow|ecwcloud)\.com"),
    ("veradigm", r"//[^/]*\b(?:veradigm|allscripts(?:cloud)?|fhirpitdev)\.com"),
    ("nextgen", r"//[^/]*\bnextgen\.com"),
    ("meditech", r"//[^/]*\bmeditech\.com"),
    ("modmed", r"//[^/]*\b(?:modmed|ema-api)\.com"),
    ("advancedmd", r"//[^/]*\badvancedmd\.com"),
    ("bluebutton", r"//[^/]*\bbluebutton\.cms\.gov"),
    ("bcda", r"//[^/]*\bbcda\.cms\.gov"),
    ("ab2d", r"//[^/]*\bab2d\.cms\.gov"),
    ("dpc", r"//[^/]*\bdpc\.cms\.gov"),
    ("va-backend", r"//[^/]*\bapi\.va\.gov"),
    ("azure-ahds", r"//[^/]*\bazurehealthcareapis\.com|//login\.microsoftonline\.(?:com|us)"),
    ("medplum", r"//[^/]*\bmedplum\.com"),
    ("aidbox", r"//[^/]*\baidbox\.(?:app|io)"),
    ("openemr", r"/apis/[^/]+/(?:fhir|api)\b|/oauth2/default/"),
    ("smart-launcher", r"//launch\.smarthealthit\.org"),
    ("okta", r"//[^/]*\bokta(?:preview)?\.com"),
    ("keycloak", r"/realms/[^/]+(?:/protocol/openid-connect/|$)"),
)
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _SIGNS)

_ALGORITHMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "advancedmd": ("RS384",),
        "aidbox": ("RS384",),
        "eclinicalworks": ("RS384",),
        "modmed": ("ES384",),
        "openemr": ("RS384",),
    }
)

NOTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ab2d": ("AB2D publishes no smart-configuration and authenticates by Basic, not by a key.",),
        "advancedmd": ("AdvancedMD documents RS384 only, and its discovery document is at the API root.",),
        "aidbox": ("Aidbox lists RS384 as its only algorithm.",),
        "athenahealth": (
            "athenahealth registers backend apps and apps with users apart; each has credentials of its own.",
            "It allows 50 token requests a minute in production, 5 in preview, then answers 429.",
        ),
        "azure-ahds": (
            "Entra ID wants PS256 or RS256 with x5t#S256 in the header, nbf among the claims, and the scope "
            "…/.default.",
        ),
        "bcda": ("BCDA takes Basic credentials with an empty body, and no assertion.",),
        "bluebutton": ("Blue Button answers 400 to parameters that it does not know.",),
        "dpc": (
            "DPC takes RSA keys of 4096 bits, with the id of the uploaded key as kid, and no clock skew.",
        ),
        "eclinicalworks": (
            "eClinicalWorks accepts RS384 only, and the host of the JWK Set URL has to be on its allow-list.",
            "It answers scope problems with invalid_grant, and others with 500 access_denied.",
        ),
        "epic": (
            "Epic answers invalid_client with a null description whatever the cause.",
            "Sandbox and production have client ids of their own (non-production and production client id).",
            "A new app or key takes up to 12 hours to arrive, reports say up to two days.",
            "Elliptic-curve keys work only from a JWK Set URL; uploaded ones must be RSA.",
            "Many Epic sites cannot make outgoing requests, so a JWK Set URL fails there without a word.",
            "A jku must equal the registered URL; leave it out unless you need it.",
        ),
        "keycloak": (
            "Recent Keycloak wants the issuer as aud: set assertion_audience. It needs iat, and refuses one "
            "that lies more than 15 s ahead.",
        ),
        "medplum": ("Medplum answers nearly every failure with 400 invalid_request.",),
        "meditech": ("MEDITECH serves its discovery document at the host root: set discovery_url.",),
        "modmed": ("ModMed is known to work with ES384 and version 2 scopes (.rs).",),
        "nextgen": ("System apps of NextGen use another token endpoint than the document names.",),
        "okta": ("Okta takes RS and ES algorithms; jti works once.",),
        "openemr": ("OpenEMR takes RS384, needs iat, and its backend tokens live 60 s.",),
        "oracle-health": (
            "Oracle Health puts the cause behind error_uri and a correlation id: give both to its support.",
            "Its FHIR base holds the tenant; wildcard scopes are refused.",
            "Keys are registered in the console, and it can take a while until they arrive.",
        ),
        "smart-launcher": ("The SMART launcher needs typ JWT and kid.",),
        "va-backend": ("VA wants an Okta URL as aud (assertion_audience), and a launch parameter.",),
        "veradigm": ("Veradigm's list of authentication methods lacks private_key_jwt although it is used.",),
    }
)
"""Make, then what is known of it; each make appears in the signs above."""


def make_of(urls: Iterable[str | None]) -> str | None:
    """
    Return the make of the server that *urls* belong to, or None.

    Args:
        urls: The FHIR base, then endpoints; the first one that says something decides.

    >>> make_of(["https://fhir.epic.com/interconnect-fhir-oauth/api/FHIR/R4"])
    'epic'
    """
    for url in filter(None, urls):
        place = url.partition("?")[0]
        for name, pattern in _PATTERNS:
            if pattern.search(place):
                return name
    return None


def notes_for(make: str | None) -> tuple[str, ...]:
    """Return what is known of servers of that *make*."""
    return NOTES.get(make or "", ())


def algorithms_of(make: str | None) -> tuple[str, ...]:
    """Return the signing algorithms that servers of that *make* are known to take, or none if any may do."""
    return _ALGORITHMS.get(make or "", ())


def preset_for(make: str | None) -> str | None:
    """Return the name of the preset for *make*, or None if there is none."""
    return make if make in PRESETS else None
