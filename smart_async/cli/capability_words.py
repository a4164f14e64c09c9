"""What a server says it can do, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from smart_async.smart.capabilities import FORMER_NAMES, capability_sets

__all__ = ("CAPABILITY_WORDS", "SET_WORDS", "in_plain_words")

CAPABILITY_WORDS: Mapping[str, str] = {
    "launch-ehr": "start apps from inside the EHR",
    "launch-standalone": "let apps start by themselves",
    "authorize-post": "take the authorization request as a form",
    "client-public": "serve apps that can keep no secret",
    "client-confidential-symmetric": "authenticate apps by a shared secret",
    "client-confidential-asymmetric": "authenticate apps by signatures (private_key_jwt)",
    "sso-openid-connect": "tell who the user is (ID token)",
    "context-banner": "tell apps whether to show a patient banner",
    "context-style": "tell apps the look of the EHR",
    "context-ehr-patient": "tell apps started from the EHR which patient is open",
    "context-ehr-encounter": "tell apps started from the EHR which encounter is open",
    "context-standalone-patient": "let the user pick a patient for apps that start by themselves",
    "context-standalone-encounter": "let the user pick an encounter for apps that start by themselves",
    "permission-offline": "issue refresh tokens that outlast the user's session (offline_access)",
    "permission-online": "issue refresh tokens for the user's session (online_access)",
    "permission-patient": "grant patient/ scopes",
    "permission-user": "grant user/ scopes",
    "permission-v1": "grant SMART 1 scopes (patient/*.read)",
    "permission-v2": "grant SMART 2 scopes (patient/*.rs)",
    "smart-app-state": "keep state for apps",
}
"""The capabilities of SMART, each as something that a server can do."""

SET_WORDS: Mapping[str, str] = {
    "patient-access-standalone": "patients use apps of their own",
    "patient-access-ehr": "patients use apps from the portal",
    "clinician-access-standalone": "clinicians use apps of their own",
    "clinician-access-ehr": "clinicians use apps from inside the EHR",
}
"""The capability sets of SMART, each as what people do with it."""


def in_plain_words(capabilities: Iterable[str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """
    Return what *capabilities* mean.

    Args:
        capabilities: As a server lists them.

    Returns:
        The known ones by name, the capability sets they amount to by name, and the names that SMART does not
        define.

    >>> in_plain_words(["client-public", "x-own"])
    ({'client-public': 'serve apps that can keep no secret'}, {}, ['x-own'])
    """
    names = list(dict.fromkeys(capabilities))
    current = {name: FORMER_NAMES.get(name, name) for name in names}
    known = {name: CAPABILITY_WORDS[now] for name, now in current.items() if now in CAPABILITY_WORDS}
    sets = {name: SET_WORDS[name] for name in capability_sets(names)}
    return known, sets, [name for name in names if name not in known]
