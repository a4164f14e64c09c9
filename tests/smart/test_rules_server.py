"""
Every rule of the server that the client can see broken, broken once: each is found under its id.

The list is held against docs/conformance/rules.toml, so a rule that claims to be checked has to be here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smart_async.errors import DiscoveryError
from smart_async.messages import Response
from smart_async.smart.backend import backend_token
from smart_async.smart.discovery import parse_discovery
from smart_async.smart.introspection import introspect, parse_introspection
from smart_async.smart.sign_in import with_identity
from smart_async.smart.token_response import parse_token_response

RULES = Path(__file__).parents[2] / "docs" / "conformance" / "rules.toml"

Break = Callable[[dict[str, Any]], object]


def without(*names: str) -> Break:
    """Take members away."""
    return lambda document: [document.pop(name) for name in names]


def sets(**members: Any) -> Break:
    """Change members."""
    return lambda document: document.update(members)


DISCOVERY: dict[str, list[Break]] = {
    "DI-04": [sets(token_endpoint="auth/token")],
    "DI-07": [without("authorization_endpoint")],
    "DI-08": [
        without("grant_types_supported"),
        without("capabilities"),
        without("code_challenge_methods_supported"),
    ],
    "DI-09": [sets(code_challenge_methods_supported=[])],
    "AL-17": [sets(code_challenge_methods_supported=["S256", "plain"])],
    "DI-10": [without("issuer"), without("jwks_uri")],
    "DI-15": [sets(capabilities=["launch-ehr", "client-public"])],
    "DI-17": [sets(associated_endpoints=[{"url": "https://state.example.com/fhir"}])],
    "AS-22": [sets(token_endpoint_auth_signing_alg_values_supported=["RS256"])],
}
"""What breaks the discovery document. DI-03 and DI-06 are no matter of its members, see below."""

TOKEN: dict[str, list[Break]] = {
    "TK-13": [without("token_type"), without("scope")],
    "TK-15": [without("expires_in"), sets(expires_in="soon")],
    "BS-06": [without("scope")],
    "CTX-01": [without("patient")],
    "CTX-03": [sets(need_patient_banner="true"), sets(need_patient_banner=1)],
    "CTX-04": [sets(fhirContext=[{"role": "launch"}])],
    "CTX-06": [sets(fhirContext=[{"reference": "ServiceRequest/sr-71", "role": ""}])],
    "CTX-07": [sets(fhirContext=[{"reference": "Patient/p-3307"}])],
}
"""What breaks the token response."""

SIGN_IN: dict[str, list[Break]] = {
    "ID-10": [sets(fhirUser="Device/d-1")],
    "ID-11": [without("fhirUser")],
}
"""What breaks the claims of the ID token."""

INTROSPECTION: dict[str, list[Break]] = {
    "IN-03": [without("scope"), without("client_id"), without("exp")],
    "IN-04": [without("patient"), sets(patient="p-1"), without("encounter")],
}
"""What breaks the introspection response."""

ELSEWHERE = {"DI-03", "DI-06", "RF-08", "BS-08"}
"""Tested by functions of their own below."""


def cases(table: dict[str, list[Break]]) -> list[Any]:
    """Return each way of breaking each rule, marked with the rule."""
    return [
        pytest.param(rule, way, marks=pytest.mark.rule(rule), id=f"{rule}-{number}")
        for rule, ways in table.items()
        for number, way in enumerate(ways)
    ]


def found(findings: Any) -> set[str]:
    """Return the rules of *findings*."""
    return {finding.rule for finding in findings}


def finding_of(rule: str, rules: dict[str, Any]) -> str:
    """Return the id under which *rule* is found."""
    name: str = rules[rule].get("finding", rule)
    return name


@pytest.fixture(scope="session")
def rules() -> dict[str, Any]:
    """Return the rules as the file has them."""
    listed: dict[str, Any] = tomllib.loads(RULES.read_text(encoding="utf-8"))["rules"]
    return listed


def test_no_rule_is_forgotten(rules: dict[str, Any]) -> None:
    """Each rule that is said to be checked is broken here, where it is said to be found."""
    tables = {"discovery": {*DISCOVERY, "DI-03", "DI-06"}, "introspection": {*INTROSPECTION}}
    tables["token"] = {*TOKEN, *SIGN_IN, "RF-08", "BS-08"}
    checked = {
        where: {rule for rule, members in rules.items() if members.get("checked") == where}
        for where in tables
    }
    assert checked == tables


@pytest.mark.parametrize(("rule", "change"), cases(DISCOVERY))
def test_discovery(document, config, json_response, rules, rule, change) -> None:
    """A valid document has no finding; with one rule broken, conformance() names that rule and no other."""
    assert parse_discovery(json_response(document), config).conformance() == ()
    change(document)
    assert found(parse_discovery(json_response(document), config).conformance()) == {finding_of(rule, rules)}


@pytest.mark.rule("DI-03")
def test_discovery_by_label(document, config, json_response) -> None:
    """The label is no member of the document, and found all the same."""
    response = json_response(document, headers={"Content-Type": "text/html"})
    assert found(parse_discovery(response, config).conformance()) == {"DI-03"}


@pytest.mark.rule("DI-06")
def test_discovery_without_a_token_endpoint(document, config, json_response) -> None:
    """Nothing works without one, so this is no finding but an error."""
    del document["token_endpoint"]
    with pytest.raises(DiscoveryError, match="token_endpoint"):
        parse_discovery(json_response(document), config)


@pytest.mark.parametrize(("rule", "change"), cases(TOKEN))
def test_token(token_document, binding, json_response, rules, rule, change) -> None:
    """A valid token response has no finding; with one rule broken, one names that rule and no other."""

    def read() -> set[str]:
        response = json_response(token_document)
        return found(parse_token_response(response, binding=binding, requested_scope="patient/*.rs").findings)

    assert read() == set()
    change(token_document)
    assert read() == {finding_of(rule, rules)}


@pytest.mark.rule("RF-08")
@pytest.mark.parametrize("name", ["expires_in", "scope"])
def test_refreshed_token(token_document, binding, json_response, name) -> None:
    """On refresh the same gaps have an id of their own."""
    before = parse_token_response(json_response(token_document), binding=binding, requested_scope="")
    del token_document[name]
    after = parse_token_response(
        json_response(token_document), binding=binding, requested_scope="patient/*.rs", previous=before
    )
    assert found(after.findings) == {"RF-08"}


@pytest.mark.rule("BS-08")
def test_backend_token(script, state, document, token_document, json_response) -> None:
    """A refresh token has no place beside a backend token."""
    script.answer(json_response(document), json_response({**token_document, "scope": "system/*.rs"}))
    assert found(script.run(backend_token(state)).findings) == {"BS-08"}


@pytest.mark.parametrize(("rule", "change"), cases(SIGN_IN))
def test_sign_in(
    script, state, metadata, binding, issuer, token_document, json_response, rule, change
) -> None:
    """A valid ID token has no finding; with one rule broken, one names that rule and no other."""

    def read(claims: dict[str, Any]) -> set[str]:
        answer = json_response({**token_document, "id_token": issuer.token(payload=claims)})
        token = parse_token_response(answer, binding=binding, requested_scope="")
        return found(script.run(with_identity(state, metadata, token, nonce=None, openid=True)).findings)

    claims = issuer.claims()
    script.answer(json_response(issuer.configuration()), json_response(issuer.jwks()))
    assert read(claims) == set()
    change(claims)
    assert read(claims) == {rule}


@pytest.mark.parametrize(("rule", "change"), cases(INTROSPECTION))
def test_introspection(script, state, binding, document, token_document, json_response, rule, change) -> None:
    """A valid introspection has no finding; with one rule broken, one names that rule and no other."""
    token = parse_token_response(json_response(token_document), binding=binding, requested_scope="")
    answer = {
        "active": True,
        "scope": str(token.scopes),
        "client_id": "growth-chart",
        "exp": 1_750_001_800,
        "patient": "p-3307",
        "encounter": "e-9921",
    }

    def ask() -> set[str]:
        script.answer(json_response(answer))
        return found(script.run(introspect(state, token)).findings)

    script.answer(json_response(document))
    assert ask() == set()
    change(answer)
    assert ask() == {rule}


@pytest.mark.rule("IN-03")
def test_introspection_of_an_unknown_token() -> None:
    """An inactive token has none of these members, and lacks nothing."""
    response = Response(status=200, body=b'{"active": false}')
    assert parse_introspection(response).findings == ()
