"""
The rules of the discovery document that a client can check, each with its id, as findings.

Nothing here stops a client; a `strict=True` configuration refuses what is found with severity `error`.

Spec: SMART App Launch 2.2, conformance.
"""

from __future__ import annotations

from collections.abc import Mapping

from smart_async.messages import Finding, as_list
from smart_async.smart.capabilities import FORMER_NAMES, capability_sets

__all__ = ("conformance_findings",)

_REQUIRED = ("grant_types_supported", "capabilities", "code_challenge_methods_supported")
_SMART_ALGORITHMS = frozenset({"RS384", "ES384"})
_OPERATOR = "Tell the server's operator; clients have to guess."


def conformance_findings(document: Mapping[str, object]) -> tuple[Finding, ...]:
    """
    Compare a smart-configuration document with the specification.

    Args:
        document: The document as it was received.

    Returns:
        One finding for each rule that is broken, in the order of their ids.
    """
    capabilities = _strings(document, "capabilities")
    return (
        *_missing(document, capabilities),
        *_pkce(document),
        *_identity(document, capabilities),
        *_sets(capabilities),
        *_algorithms(document, capabilities),
    )


def _strings(document: Mapping[str, object], name: str) -> frozenset[str]:
    return frozenset(str(item) for item in as_list(document.get(name)) or ())


def _error(rule: str, message: str, advice: str = _OPERATOR) -> Finding:
    return Finding(rule=rule, severity="error", message=message, advice=advice)


def _missing(document: Mapping[str, object], capabilities: frozenset[str]) -> list[Finding]:
    findings: list[Finding] = []
    if capabilities & {"launch-ehr", "launch-standalone"} and not document.get("authorization_endpoint"):
        findings.append(_error("DI-07", "authorization_endpoint is missing although launches are supported."))
    findings.extend(
        _error("DI-08", f"{name} is required and missing.")
        for name in _REQUIRED
        if document.get(name) in (None, "")
    )
    return findings


def _pkce(document: Mapping[str, object]) -> list[Finding]:
    methods = _strings(document, "code_challenge_methods_supported")
    if document.get("code_challenge_methods_supported") in (None, ""):
        return []
    findings: list[Finding] = []
    if "S256" not in methods:
        findings.append(
            _error("DI-09", "code_challenge_methods_supported lacks S256.", "S256 is sent all the same.")
        )
    if "plain" in methods:
        findings.append(_error("DI-09", "code_challenge_methods_supported lists plain, which SMART forbids."))
    return findings


def _identity(document: Mapping[str, object], capabilities: frozenset[str]) -> list[Finding]:
    if "sso-openid-connect" not in capabilities:
        return []
    return [
        _error("DI-10", f"{name} is missing although sso-openid-connect is supported.")
        for name in ("issuer", "jwks_uri")
        if not document.get(name)
    ]


def _sets(capabilities: frozenset[str]) -> list[Finding]:
    findings = [
        Finding(
            rule="DI-12",
            severity="info",
            message=f"The capability {former} is a former name of {current}.",
        )
        for former, current in FORMER_NAMES.items()
        if former in capabilities
    ]
    launches = capabilities & {"launch-ehr", "launch-standalone"}
    if launches and not capability_sets(capabilities):
        findings.append(
            Finding(
                rule="DI-15",
                severity="warning",
                message="The capabilities do not make up any of the four capability sets.",
                advice="Check which launch, client type, context and permission the app needs.",
            )
        )
    return findings


def _algorithms(document: Mapping[str, object], capabilities: frozenset[str]) -> list[Finding]:
    listed = _strings(document, "token_endpoint_auth_signing_alg_values_supported")
    if "client-confidential-asymmetric" not in capabilities or not listed or listed & _SMART_ALGORITHMS:
        return []
    return [_error("AS-22", "Neither RS384 nor ES384 is among the signing algorithms; SMART asks for one.")]
