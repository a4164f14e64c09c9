"""What the server offers and what the client wants: algorithms, ways to authenticate, grants, scopes."""

from __future__ import annotations

from smart_async.messages import clean_text
from smart_async.smart.client_secret import ClientSecret
from smart_async.smart.diagnosis.evidence import Evidence
from smart_async.smart.diagnosis.makes import algorithms_of, make_of
from smart_async.smart.diagnosis.report import Certainty
from smart_async.smart.diagnosis.sheet import Sheet
from smart_async.smart.metadata import SmartMetadata
from smart_async.smart.scopes import Scope, Scopes

__all__ = ("check_offers", "check_scopes")

_SECRETS = frozenset({"client_secret_basic", "client_secret_post"})


def check_offers(evidence: Evidence, sheet: Sheet) -> None:
    """Compare what the server lists with what this client does. A list that is not there says nothing."""
    if (metadata := evidence.metadata) is None:
        return
    _check_algorithm(evidence, metadata, sheet)
    _check_method(evidence, metadata, sheet)
    grants = metadata.grant_types_supported
    if not evidence.is_backend or not grants or "client_credentials" in grants:
        sheet.note("grants", "Grant types", _listed(grants))
    else:
        seen = f"It lists {_names(grants)}."
        sheet.blame("grants", "Grant types", "grant-type", seen=seen, certainty="likely")


def _check_algorithm(evidence: Evidence, metadata: SmartMetadata, sheet: Sheet) -> None:
    said, auth = metadata.token_endpoint_auth_signing_alg_values_supported, evidence.auth
    # Where a server does not say, what is known of its make does.
    listed = said or algorithms_of(make_of([metadata.fhir_base, metadata.token_endpoint]))
    ours = {signer.algorithm for signer in auth.signers} if auth else set[str]()
    if not listed or not ours or ours & set(listed):
        sheet.note("algorithms", "Signing algorithms", _listed(said))
        return
    seen = f"The key signs with {_names(sorted(ours))}; the server takes {_names(listed)}."
    insisted = auth is not None and auth.algorithm is not None
    certainty: Certainty = "likely" if insisted or not said else "certain"
    sheet.blame("algorithms", "Signing algorithms", "algorithm", seen=seen, certainty=certainty)


def _check_method(evidence: Evidence, metadata: SmartMetadata, sheet: Sheet) -> None:
    listed, title = metadata.token_endpoint_auth_methods_supported, "Client authentication"
    if not listed or evidence.config is None:
        sheet.note("methods", title, _listed(listed))
    elif evidence.auth is not None and "private_key_jwt" not in listed:
        seen = f"It lists {_names(listed)}."
        sheet.blame("methods", title, "auth-method", seen=seen, certainty="likely")
    elif isinstance(evidence.config.client_auth, ClientSecret) and not _SECRETS & set(listed):
        seen = f"This client has a secret; the server lists {_names(listed)}."
        sheet.blame("methods", title, "registered-with-key", seen=seen, certainty="likely")
    else:
        sheet.note("methods", title, _listed(listed))


def check_scopes(evidence: Evidence, sheet: Sheet) -> None:
    """Look at the scopes that would be asked for."""
    if evidence.config is None:
        return
    wanted = evidence.scopes
    foreign = [
        each
        for each in wanted
        if each.level in ("patient", "user") or each.kind in ("launch", "identity", "refresh")
    ]
    if evidence.is_backend and foreign:
        seen = f"Asked for are {_names([each.text for each in foreign])}."
        sheet.blame("scopes", "Scopes", "scope-level", seen=seen, certainty="likely")
    if evidence.metadata is not None:
        _check_syntax(wanted, evidence.metadata, sheet)
    if "scopes" not in sheet.checks:
        sheet.note("scopes", "Scopes", f"Asked for: {clean_text(str(wanted)) or 'none'}.")


def _check_syntax(wanted: Scopes, metadata: SmartMetadata, sheet: Sheet) -> None:
    takes = _versions(metadata)
    wrong = [scope.text for scope in wanted if scope.version is not None and scope.version not in takes]
    if wrong and takes:
        known = " and ".join(f"version {each}" for each in sorted(takes))
        seen = f"The server takes {known}; asked for are {_names(wrong)}."
        change = wanted.to_v2() if takes == {2} else None
        fix = f'Ask for scope="{change}".' if change else "Write .read for .rs, and .write for .cud."
        sheet.blame("scopes", "Scopes", "scope-syntax", seen=seen, fix=fix, certainty="likely")
        return
    listed = {
        scope for each in metadata.scopes_supported if (scope := _parsed(each)) and scope.level == "system"
    }
    missing = [scope.text for scope in wanted if scope.level == "system" and not Scopes(listed).covers(scope)]
    if listed and missing:
        # Never a cause by itself: these lists are far from complete.
        said = f"The server lists system/ scopes, and not {_names(missing)}."
        sheet.note("scopes", "Scopes", said, status="warning", fix="Such lists are often incomplete.")


def _versions(metadata: SmartMetadata) -> set[int]:
    # Only what is said counts: `permission-v1` and `permission-v2`, else the scopes that are listed.
    said = {number for number in (1, 2) if f"permission-v{number}" in metadata.capabilities}
    if said:
        return said
    listed = [scope for each in metadata.scopes_supported if (scope := _parsed(each)) is not None]
    return {scope.version for scope in listed if scope.version is not None}


def _parsed(text: str) -> Scope | None:
    return (
        Scope.parse(text) if text and all("!" <= mark <= "~" and mark not in '"\\' for mark in text) else None
    )


def _names(names: list[str] | tuple[str, ...]) -> str:
    return clean_text(", ".join(names), length=300) or "nothing"


def _listed(names: tuple[str, ...]) -> str:
    return f"Listed: {_names(names)}." if names else "The server does not say."
