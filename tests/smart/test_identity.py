"""Who the user is: the fhirUser claim in all its forms, and an identity that shows nobody."""

from __future__ import annotations

import pytest

from smart_async.smart.identity import identity_from_claims, parse_fhir_user

BASE = "https://ehr.example.com/r4"


def parse(claims, base=BASE, **more):
    user, findings = parse_fhir_user(claims, fhir_base=base, **more)
    return user, [finding.rule for finding in findings]


@pytest.mark.rule("ID-09")
@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
@pytest.mark.parametrize("reference", ["Practitioner/dr-9", f"{BASE}/Practitioner/dr-9"])
def test_relative_and_absolute(base, reference):
    """A relative reference starts at the FHIR base, whether or not that ends in a slash."""
    user, findings = parse({"fhirUser": reference}, base)
    assert findings == []
    assert (user.type, user.id, user.url, user.reference, user.local) == (
        "Practitioner",
        "dr-9",
        f"{BASE}/Practitioner/dr-9",
        reference,
        True,
    )


@pytest.mark.rule("ID-10")
@pytest.mark.parametrize("kind", ["Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"])
def test_the_five_kinds(kind):
    """Five kinds of resources stand for users."""
    user, findings = parse({"fhirUser": f"{kind}/x.1-A"})
    assert (user.type, user.id, findings) == (kind, "x.1-A", [])


@pytest.mark.rule("ID-10")
@pytest.mark.parametrize(
    "value",
    [
        "Device/1",
        "practitioner/1",
        "Practitioner",
        "Practitioner/",
        "Practitioner/1/_history/2",
        "Practitioner/a b",
        "Practitioner/" + "x" * 65,
        "Practitioner/..",
        "/Practitioner/1",
        "other/Practitioner/1",
        "http://ehr.example.com/r4/Practitioner/1",
        "https://ehr.example.com/r4/../x/Practitioner/1",
        "https://u@ehr.example.com/r4/Practitioner/1",
        "javascript://x/Practitioner/1",
        "Practitioner/1\n",
        "",
        5,
        ["Practitioner/1"],
        {"reference": "Practitioner/1"},
    ],
)
def test_what_names_no_user(value):
    """Anything else is left out, with a finding: it must not become a URL that an app reads."""
    assert parse({"fhirUser": value}) == (None, ["ID-10"])


@pytest.mark.rule("ID-14")
@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.com/r4/Patient/1",
        "https://ehr.example.com/r5/Patient/1",
        "https://ehr.example.com/r4evil/Patient/1",
        "https://ehr.example.com/r4/tenant/7/Patient/1",
        "https://ehr.example.com:8443/r4/Patient/1",
    ],
)
def test_foreign_users(url):
    """A user on another server, or under another base of the same one, is known to be foreign."""
    user, findings = parse({"fhirUser": url})
    assert (user.url, user.local, findings) == (url, False, [])


def test_loopback_users():
    """Plain http is accepted where the FHIR base itself is plain http on this machine."""
    url = "http://127.0.0.1:8080/fhir/Patient/1"
    assert parse({"fhirUser": url}, "http://127.0.0.1:8080/fhir") == (None, ["ID-10"])
    user, _ = parse({"fhirUser": url}, "http://127.0.0.1:8080/fhir", allow_insecure_loopback=True)
    assert user.local


@pytest.mark.rule("ID-11")
def test_the_older_profile_claim():
    """STU1 servers use profile; it is read only where fhirUser is missing, with a finding."""
    user, findings = parse({"profile": "Practitioner/1"})
    assert (user.type, findings) == ("Practitioner", ["ID-11"])
    user, findings = parse({"profile": "Practitioner/1", "fhirUser": "Patient/2"})
    assert (user.type, findings) == ("Patient", [])


@pytest.mark.parametrize(
    "profile",
    ["https://social.example/people/ann", "https://social.example/People/ann", None, 5, {}, "Device/1"],
)
def test_a_profile_that_is_a_web_page(profile):
    """OpenID Connect's own profile claim is a web page and no finding."""
    assert parse({"profile": profile}) == (None, [])


CLAIMS = {"iss": "https://sso.example.com", "sub": "u-1", "aud": "app", "iat": 1, "exp": 2.5}


def test_identity_from_claims():
    """The claims are typed, and all of them kept."""
    claims = {**CLAIMS, "fhirUser": "Patient/9", "name": "Ann"}
    identity, findings = identity_from_claims(claims, fhir_base=BASE)
    assert findings == ()
    assert (identity.issuer, identity.subject, identity.audience) == (
        "https://sso.example.com",
        "u-1",
        ("app",),
    )
    assert (identity.issued_at, identity.expires_at, identity.claims) == (1.0, 2.5, claims)
    assert identity_from_claims({**CLAIMS, "aud": ["a", "b"]}, fhir_base=BASE)[0].audience == ("a", "b")


def test_an_identity_on_this_machine():
    """A local server's user is read from plain http as well."""
    claims = {**CLAIMS, "fhirUser": "Patient/9"}
    identity, findings = identity_from_claims(claims, fhir_base="http://localhost:8080/fhir")
    assert (identity.fhir_user is not None, findings) == (True, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [("iss", 5), ("sub", None), ("aud", 5), ("aud", []), ("aud", ["a", 5]), ("iat", "1"), ("exp", None)],
)
def test_claims_that_were_not_verified(name, value):
    """What no verified ID token holds is a mistake of the caller."""
    with pytest.raises(TypeError, match="verified"):
        identity_from_claims({**CLAIMS, name: value}, fhir_base=BASE)


def test_nobody_is_shown():
    """Neither the identity nor the user's resource shows who it is."""
    identity, _ = identity_from_claims({**CLAIMS, "sub": "ann", "fhirUser": "Patient/ann"}, fhir_base=BASE)
    assert repr(identity) == "<Identity verified by https://sso.example.com>"
    assert repr(identity.fhir_user) == "<FhirUser Patient>"
