"""The FHIR endpoint: nothing without a token, and nothing beyond its scopes."""

from __future__ import annotations

import json

import pytest

from smart_async.messages import Secret

VITALS = "http://terminology.hl7.org/CodeSystem/observation-category|vital-signs"


def refused(hand, response):
    document = json.loads(response.body)
    assert (document["resourceType"], response.headers["content-type"]) == (
        "OperationOutcome",
        "application/fhir+json",
    )
    assert (hand.verdict.endpoint, hand.verdict.accepted) == ("fhir", False)
    return response.status, hand.verdict.rule


def ids(response):
    return [entry["resource"]["id"] for entry in json.loads(response.body)["entry"]]


@pytest.mark.rule("TK-21")
def test_read(hand):
    """A resource is read with a bearer token that covers it."""
    response = hand.read("Patient/patient-amber", hand.login()["access_token"])
    assert (response.status, json.loads(response.body)["id"]) == (200, "patient-amber")
    assert response.headers["content-type"] == "application/fhir+json"
    assert (hand.verdict.endpoint, hand.verdict.client_id) == ("fhir", "asymmetric")


@pytest.mark.rule("TK-21")
def test_the_mask_of_a_secret(hand):
    """Who sends str(token) is told what that is, and what to send."""
    response = hand.read("Patient/patient-amber", str(Secret("x")))
    assert refused(hand, response) == (401, "TK-21")
    assert "reveal()" in json.loads(response.body)["issue"][0]["diagnostics"]
    assert "reveal()" not in hand.read("Patient/patient-amber", "unknown").body.decode()


@pytest.mark.rule("TK-21")
def test_no_token(hand):
    """Without a token there is a challenge that names no error."""
    response = hand.read("Patient/patient-amber", None)
    assert refused(hand, response) == (401, "TK-21")
    assert response.headers["www-authenticate"] == 'Bearer realm="sandbox"'


@pytest.mark.parametrize("authorization", ["Bearer unknown", "Basic abc", "Bearer"])
@pytest.mark.rule("TK-21")
def test_wrong_token(hand, authorization):
    """An unknown token, or another scheme, is an invalid token."""
    response = hand.read("Patient/patient-amber", None, Authorization=authorization)
    assert refused(hand, response) == (401, "TK-21")
    assert response.headers["www-authenticate"] == 'Bearer realm="sandbox", error="invalid_token"'


@pytest.mark.rule("TK-21")
def test_a_token_from_before_a_restart(hand):
    """Whoever kept a token while the sandbox was started anew is told what may have happened to it."""
    response = hand.read("Patient/patient-amber", "unknown")
    assert "restarted" in json.loads(response.body)["issue"][0]["diagnostics"]


@pytest.mark.rule("TK-25")
def test_expired_token(hand):
    """A token is refused from the second of its expiry on."""
    token = hand.login()["access_token"]
    hand.clock.now += 3599.75
    assert hand.read("Patient/patient-amber", token).status == 200
    hand.clock.now += 0.25
    assert refused(hand, hand.read("Patient/patient-amber", token)) == (401, "TK-25")


def test_token_in_the_url(hand):
    """A token in the URL ends up in logs, so it is refused."""
    token = hand.login()["access_token"]
    response = hand.read(f"Patient/patient-amber?access_token={token}", token)
    assert refused(hand, response) == (400, "RFC 6750 §2")


@pytest.mark.parametrize(
    ("scope", "path", "status"),
    [
        ("system/Patient.r", "Patient/patient-amber", 200),
        ("system/Patient.r", "Patient", 403),
        ("system/Patient.s", "Patient", 200),
        ("system/Patient.s", "Patient/patient-amber", 403),
        ("system/Patient.read", "Patient", 200),
        ("system/Patient.rs", "Observation", 403),
        ("system/*.rs", "Practitioner/doctor-demo", 200),
        ("system/*.read", "Encounter", 200),
        ("system/*.rs", "Patient/nobody", 404),
    ],
)
@pytest.mark.rule("SC-04", "SC-06", "SC-08")
def test_scopes_decide(hand, scope, path, status):
    """Reading needs .r, searching .s, and the type must be covered; .read is both."""
    assert hand.read(path, hand.system_token(scope)).status == status


@pytest.mark.rule("SC-06")
def test_insufficient_scope(hand):
    """Too little scope is a 403 that says so."""
    response = hand.read("Observation", hand.system_token("system/Patient.rs"))
    assert refused(hand, response) == (403, "SC-06")
    assert response.headers["www-authenticate"] == 'Bearer realm="sandbox", error="insufficient_scope"'


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient/patient-basil", 403),
        ("Observation/observation-basil-1-1", 403),
        ("Practitioner/doctor-demo", 403),
        ("Observation?patient=patient-basil", 403),
        ("Observation?subject=Patient/patient-basil", 403),
        ("Patient?_id=patient-basil", 403),
        ("Patient?_id=patient-amber", 200),
        ("Observation?patient=Patient/patient-amber", 200),
    ],
)
@pytest.mark.rule("SC-07", "CTX-02")
def test_patient_scopes_stay_with_the_patient(hand, path, status):
    """Patient-level scopes reach the patient in context and nobody else."""
    token = hand.login(scope="launch/patient patient/*.rs")["access_token"]
    assert hand.read(path, token).status == status


@pytest.mark.rule("SC-07")
def test_open_search_is_narrowed(hand):
    """A search that names no patient finds the patient in context."""
    token = hand.login(scope="launch/patient patient/*.rs")["access_token"]
    assert ids(hand.read("Patient", token)) == ["patient-amber"]
    assert ids(hand.read("Condition", token)) == ["condition-amber-1", "condition-amber-2"]


def test_user_scopes_reach_everybody(hand):
    """User-level scopes are not confined, whatever patient is in context."""
    token = hand.login(scope="launch/patient user/*.rs patient/*.rs")["access_token"]
    assert len(ids(hand.read("Patient", token))) == 9
    assert hand.read("Patient/patient-basil", token).status == 200


@pytest.mark.rule("SC-03")
@pytest.mark.parametrize(("value", "status"), [(VITALS, 200), ("laboratory", 403)])
def test_granular_scope(hand, value, status):
    """A scope with a category reaches resources of that category."""
    token = hand.system_token(f"system/Observation.rs?category={value}")
    assert hand.read("Observation/observation-amber-1-1", token).status == status
    assert len(ids(hand.read("Observation?_count=100", token))) == (100 if status == 200 else 0)


def test_paging(hand):
    """Next links lead through the whole result, each page once."""
    token = hand.system_token()
    path, pages = "Observation?patient=patient-amber&_count=20", []
    while path:
        bundle = json.loads(hand.read(path, token).body)
        pages.append([entry["fullUrl"] for entry in bundle["entry"]])
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        path = links.get("next", "").removeprefix(hand.sandbox.fhir_base + "/")
    assert ([len(page) for page in pages], bundle["total"]) == ([20, 20, 9], 49)
    assert len({url for page in pages for url in page}) == 49


@pytest.mark.parametrize(("count", "entries"), [("0", 0), ("500", 100), ("", 20)])
def test_count(hand, count, entries):
    """_count limits a page; 0 asks for the total only, and 100 is the most."""
    bundle = json.loads(hand.read(f"Observation?_count={count}", hand.system_token()).body)
    assert (len(bundle["entry"]), bundle["total"]) == (entries, 566)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Observation?_count=-1", 400),
        ("Observation?_count=x", 400),
        ("Observation?date=2024", 400),
        ("Observation?code=a&code=b", 400),
        ("Device", 404),
        ("Patient/patient-amber/_history", 404),
        ("Patient/", 404),
    ],
)
def test_what_is_not_served(hand, path, status):
    """An unknown parameter, type or path is refused instead of being ignored."""
    assert refused(hand, hand.read(path, hand.system_token()))[0] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_read_only(hand, method):
    """Nothing can be written."""
    assert refused(hand, hand.read("Patient/patient-amber", hand.system_token(), method))[0] == 405
