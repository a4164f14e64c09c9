"""One token at several endpoints: what counts where."""

from __future__ import annotations

from itertools import product

import pytest

from smart_async import Scopes, Token
from smart_async.smart.authorization_details import parse_authorization_details
from smart_async.smart.launch import LaunchContext
from smart_async.smart.token_response import parse_token_response

BASE = "https://ehr.example.com/r4"
OTHER = "https://ehr.example.com/dstu2"
DETAIL = {"type": "smart_on_fhir", "locations": [OTHER], "fhirVersions": ["1.0.2"]}
OWN = {
    "scope": "patient/Observation.rs",
    "patient": "d2-118",
    "encounter": "d2-e1",
    "fhirContext": [{"reference": "ImagingStudy/d2"}],
}
TOP = {
    "scope": "launch/patient patient/*.rs",
    "patient": "p-1",
    "encounter": "e-1",
    "fhirContext": [{"reference": "ImagingStudy/top"}],
}


@pytest.fixture
def receive(token_document, json_response, binding):
    """The token of an answer with these authorization_details."""

    def make(details, **changes) -> Token:
        document = {**token_document, **TOP, "authorization_details": details, **changes}
        return parse_token_response(json_response(document), binding=binding, requested_scope="")

    return make


def noted(token):
    return [finding.message for finding in token.findings if finding.rule == "CTX-12"]


@pytest.mark.rule("CTX-12")
@pytest.mark.parametrize("chosen", list(product([False, True], repeat=4)))
def test_each_member_overrides_or_falls_back(receive, chosen):
    """Scope, patient, encounter and fhirContext, each of its own: the item's value, else the top level's."""
    own = {name: value for (name, value), there in zip(OWN.items(), chosen, strict=True) if there}
    detail = receive([{**DETAIL, **own}]).at(OTHER)
    expected = {**TOP, **own}
    assert detail.scopes == Scopes.parse(expected["scope"])
    assert (detail.context.patient, detail.context.encounter) == (expected["patient"], expected["encounter"])
    assert [item.raw for item in detail.context.fhir_context] == expected["fhirContext"]
    assert (detail.locations, detail.fhir_versions) == ((OTHER,), ("1.0.2",))


@pytest.mark.rule("CTX-12")
def test_the_fhir_base_is_always_there(receive):
    """Without an item for it, the top level counts; with one, the item does."""
    plain = receive([DETAIL]).at(BASE)
    assert (plain.context.patient, plain.locations, plain.fhir_versions) == ("p-1", (BASE,), ())
    named = receive([{**DETAIL, "locations": [OTHER, f"{BASE}/"], **OWN}])
    assert named.at(BASE).context.patient == named.at(f"{OTHER}/").context.patient == "d2-118"


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/r4",
        "https://ehr.example.com",
        f"{BASE}/x",
        f"{OTHER}//",
        "",
        BASE.replace("https", "http"),
    ],
)
def test_elsewhere_it_must_not_go(receive, location):
    """What is neither the FHIR base nor listed has no use for the token."""
    assert receive([DETAIL]).at(location) is None


def test_the_first_item_of_a_location_counts(receive):
    """Two items for one location: no guessing, the first."""
    token = receive([{**DETAIL, "patient": "one"}, {**DETAIL, "patient": "two"}])
    assert token.at(OTHER).context.patient == "one"
    assert len(token.authorization_details) == 2


@pytest.mark.parametrize("kind", ["other", "SMART_ON_FHIR", None, 5])
def test_items_of_another_type_are_ignored(receive, kind):
    """They are somebody else's, and no finding."""
    token = receive([{**DETAIL, "type": kind}, "x", None])
    assert (token.authorization_details, noted(token)) == ((), [])


@pytest.mark.parametrize(
    "locations",
    [
        None,
        [],
        OTHER,
        [5],
        ["http://ehr.example.com/r4"],
        ["https://user@ehr.example.com/r4"],
        ["https://ehr.example.com/r4?x=1"],
        ["/r4"],
        ["http://127.0.0.1/r4"],
    ],
)
def test_locations_that_are_none(receive, locations):
    """An item without a usable https location is skipped, with a finding on the token."""
    token = receive([{**DETAIL, "locations": locations}])
    assert (token.authorization_details, len(noted(token))) == ((), 1)


def test_usable_locations_are_kept(receive):
    """One bad location does not cost the good ones."""
    assert receive([{**DETAIL, "locations": ["http://x.example", OTHER]}]).at(OTHER).locations == (OTHER,)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, TOP["scope"]),
        ("", ""),
        ("patient/Patient.r", "patient/Patient.r"),
        (["patient/Patient.r", "a"], "patient/Patient.r a"),
        ([], ""),
        (["a", 5], ""),
        (5, ""),
        ({}, ""),
        ('a"b', ""),
    ],
)
def test_a_scope_that_cannot_be_read_opens_nothing(receive, scope, scopes):
    """Absent is the top level's; what is there and no scope must not become the wider one."""
    assert receive([{**DETAIL, "scope": scope}]).at(OTHER).scopes == Scopes.parse(scopes)


def test_a_patient_that_is_no_id_is_none(receive):
    """It is left out, rather than replaced by the top level's, who is somebody else."""
    token = receive([{**DETAIL, "patient": "../x"}])
    assert token.at(OTHER).context.patient is None
    assert "CTX-02" in {finding.rule for finding in token.findings}


def test_no_other_member_overrides(receive):
    """Style, intent and tenant are those of the launch."""
    token = receive([{**DETAIL, "intent": "other", "tenant": "t", "need_patient_banner": True}])
    context = token.at(OTHER).context
    assert (context.intent, context.tenant) == (token.context.intent, token.context.tenant)
    assert context.need_patient_banner is token.context.need_patient_banner


@pytest.mark.parametrize("versions", [None, [], "4.0.1", [5]])
def test_versions_are_required(receive, versions):
    """An item without them is used, with a finding."""
    token = receive([{**DETAIL, "fhirVersions": versions}])
    assert token.at(OTHER).fhir_versions == ()
    assert noted(token) == ["An item of authorization_details names no FHIR version."]


@pytest.mark.parametrize("details", [DETAIL, "x", 5, True])
def test_what_is_no_list(receive, details):
    """A single object is no list: nothing is read, and noted."""
    token = receive(details)
    assert token.authorization_details == ()
    assert noted(token) == ["authorization_details is not a list and is left out."]


def test_none_at_all(receive):
    """Most servers send none, and that is no finding."""
    assert (receive(None).authorization_details, noted(receive(None))) == ((), [])


def test_it_survives_storage(receive):
    """A stored token knows its places again."""
    token = receive([{**DETAIL, **OWN}])
    assert Token.from_json(token.to_json()).at(OTHER) == token.at(OTHER)


def test_nothing_of_the_patient_is_shown():
    """Neither id appears in a repr."""
    (detail,), _ = parse_authorization_details(
        {"authorization_details": [{**DETAIL, **OWN}]}, scopes=Scopes(), context=LaunchContext(patient="p-1")
    )
    assert "d2-118" not in repr(detail)
    assert "d2-e1" not in repr(detail)


def test_loopback_for_development():
    """Plain http on this machine only where the FHIR base is there, too."""
    document = {"authorization_details": [{**DETAIL, "locations": ["http://127.0.0.1:8080/r4"]}]}
    found, _ = parse_authorization_details(
        document, scopes=Scopes(), context=LaunchContext(), allow_insecure_loopback=True
    )
    assert found[0].at("http://127.0.0.1:8080/r4/")
