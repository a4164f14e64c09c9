"""
SMART capabilities: what a server says it can do, in strings with a fixed meaning.

Spec: SMART App Launch 2.2, conformance (capabilities and capability sets).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

__all__ = ("CAPABILITY_SETS", "FORMER_NAMES", "Capability", "capability_sets", "current_names")


class Capability(StrEnum):
    """The capabilities that SMART defines; servers may name others, which are kept as plain strings."""

    LAUNCH_EHR = "launch-ehr"
    LAUNCH_STANDALONE = "launch-standalone"
    AUTHORIZE_POST = "authorize-post"
    CLIENT_PUBLIC = "client-public"
    CLIENT_CONFIDENTIAL_SYMMETRIC = "client-confidential-symmetric"
    CLIENT_CONFIDENTIAL_ASYMMETRIC = "client-confidential-asymmetric"
    SSO_OPENID_CONNECT = "sso-openid-connect"
    CONTEXT_BANNER = "context-banner"
    CONTEXT_STYLE = "context-style"
    CONTEXT_EHR_PATIENT = "context-ehr-patient"
    CONTEXT_EHR_ENCOUNTER = "context-ehr-encounter"
    CONTEXT_STANDALONE_PATIENT = "context-standalone-patient"
    CONTEXT_STANDALONE_ENCOUNTER = "context-standalone-encounter"
    PERMISSION_OFFLINE = "permission-offline"
    PERMISSION_ONLINE = "permission-online"
    PERMISSION_PATIENT = "permission-patient"
    PERMISSION_USER = "permission-user"
    PERMISSION_V1 = "permission-v1"
    PERMISSION_V2 = "permission-v2"
    SMART_APP_STATE = "smart-app-state"


_CLIENT_TYPES = frozenset({Capability.CLIENT_PUBLIC, Capability.CLIENT_CONFIDENTIAL_SYMMETRIC})
FORMER_NAMES = {
    "context-passthrough-banner": "context-banner",
    "context-passthrough-style": "context-style",
}
"""Capabilities under the names that they had at first, and that servers still use."""

CAPABILITY_SETS = {
    "patient-access-standalone": frozenset(
        {
            Capability.LAUNCH_STANDALONE,
            Capability.CONTEXT_STANDALONE_PATIENT,
            Capability.PERMISSION_PATIENT,
        }
    ),
    "patient-access-ehr": frozenset(
        {Capability.LAUNCH_EHR, Capability.CONTEXT_EHR_PATIENT, Capability.PERMISSION_PATIENT}
    ),
    "clinician-access-standalone": frozenset(
        {Capability.LAUNCH_STANDALONE, Capability.PERMISSION_USER, Capability.PERMISSION_PATIENT}
    ),
    "clinician-access-ehr": frozenset(
        {
            Capability.LAUNCH_EHR,
            Capability.CONTEXT_EHR_PATIENT,
            Capability.CONTEXT_EHR_ENCOUNTER,
            Capability.PERMISSION_USER,
            Capability.PERMISSION_PATIENT,
        }
    ),
}
"""The four sets of SMART; each also needs public or symmetric clients to be supported."""


def current_names(capabilities: Iterable[str]) -> frozenset[str]:
    """
    Return *capabilities* with the names that SMART 1.0 had replaced by today's.

    Args:
        capabilities: As a server lists them.
    """
    return frozenset(FORMER_NAMES.get(name, name) for name in capabilities)


def capability_sets(capabilities: Iterable[str]) -> tuple[str, ...]:
    """
    Return the names of the capability sets that a server offers in full.

    Args:
        capabilities: As the server lists them.

    Spec: SMART App Launch 2.2, conformance (capability sets).

    >>> capability_sets(["launch-ehr", "client-public", "context-ehr-patient", "permission-patient"])
    ('patient-access-ehr',)
    """
    offered = current_names(capabilities)
    if not offered & _CLIENT_TYPES:
        return ()
    return tuple(name for name, needed in CAPABILITY_SETS.items() if needed <= offered)
