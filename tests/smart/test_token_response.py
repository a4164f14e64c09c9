"""Token responses: what real servers send is read, what could do harm is refused."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace

import pytest

from smart_async import ContextChangedError, Limits, OAuthError, Secret, TokenResponseError
from smart_async.smart.token_response import parse_token_response

NOW = 1_750_000_000.0
URL = "https://sso.example.com/oauth2/token"
REQUESTED = "openid fhirUser launch/patient patient/*.rs offline_access"


@pytest.fixture
def parse(json_response, binding):
    """Reads an answer received at `NOW`: a document, or `body=` as it stands."""

    def read(document=None, *, status=200, headers=None, body=None, **arguments):
        response = replace(json_response(document, status, headers, body=body), received_at=NOW, url=URL)
        arguments = {"binding": binding, "requested_scope": REQUESTED, **arguments}
        return parse_token_response(response, **arguments)

    return read


@pytest.fixture
def with_member(parse, token_document):
    """Reads the good answer with one member changed; `...` takes it away."""

    def read(member, value, **arguments):
        changed = {**token_document, member: value}
        if value is ...:
            del changed[member]
        return parse(changed, **arguments)

    return read


def rules(token):
    return [finding.rule for finding in token.findings]


@pytest.mark.rule("TK-13", "TK-15", "TK-20", "CTX-13", "CTX-14")
def test_a_good_answer_is_read_in_full(parse, token_document, binding):
    """Every member is where an app looks for it, and nothing is odd about it."""
    token = parse(token_document)
    assert token.access_token == Secret("opaque-7Fq2-access")
    assert token.refresh_token == Secret("r-2c44-refresh")
    assert token.token_type == "Bearer"
    assert token.expires_at == NOW + 1800
    assert token.issued_at == NOW
    assert str(token.scopes) == REQUESTED
    assert token.launch_scopes == token.scopes
    assert (token.context.patient, token.context.encounter) == ("p-3307", "e-9921")
    assert token.context.need_patient_banner is False
    assert [item.reference for item in token.context.fhir_context] == ["ServiceRequest/sr-71"]
    assert token.raw["__nightMode"] is True
    assert token.binding == binding
    assert token.findings == ()


# ---------------------------------------------------------------------------------------- expires_in

CENTURY = 100 * 365 * 86_400.0


@pytest.mark.rule("TK-15", "TK-25")
@pytest.mark.parametrize(
    ("value", "lasts"),
    [
        (3600, 3600),
        (3600.0, 3600),
        (0.5, 0.5),
        (0, 0),
        (-5, 0),
        (-1e308, 0),
        (10**30, CENTURY),
        (1e308, CENTURY),
    ],
)
def test_expires_in_as_a_number(with_member, value, lasts):
    """A number counts from the moment of receipt; nothing below zero, nothing that no calendar holds."""
    token = with_member("expires_in", value)
    assert token.expires_at == NOW + lasts
    assert token.findings == ()


@pytest.mark.parametrize(
    ("value", "lasts"),
    [
        ("3600", 3600),
        ("3599.5", 3599.5),
        (" 1200 ", 1200),
        ("+60", 60),
        ("-5", 0),
        ("0", 0),
        ("1" + "0" * 30, CENTURY),
    ],
)
def test_expires_in_as_a_string_of_digits(with_member, value, lasts):
    """BCDA and Azure send digits in a string: taken, and noted."""
    token = with_member("expires_in", value)
    assert token.expires_at == NOW + lasts
    assert rules(token) == ["TK-15"]


@pytest.mark.rule("TK-15")
@pytest.mark.parametrize("value", [..., None, "", "abc", "3600s", "1e3", "NaN", "inf", "٣٦٠٠", "9" * 65])
def test_expires_in_that_says_nothing(with_member, value):
    """Absent, null or unreadable: the end is unknown until a 401, and a finding says so."""
    token = with_member("expires_in", value)
    assert token.expires_at is None
    assert rules(token) == ["TK-15"]


@pytest.mark.parametrize("value", [True, False, [], [3600], {}, {"seconds": 3600}])
def test_expires_in_of_an_impossible_kind(with_member, value):
    """A boolean, list or object is no lifetime in any reading."""
    with pytest.raises(TokenResponseError, match="expires_in is a") as caught:
        with_member("expires_in", value)
    assert "expires_in" in caught.value.received


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 65])
def test_expires_in_that_is_no_json_number(parse, number):
    """What JSON has no number for makes the whole answer unusable."""
    with pytest.raises(TokenResponseError):
        parse(body=b'{"access_token": "at", "expires_in": ' + number.encode() + b"}")


@pytest.mark.rule("RF-08")
def test_a_refresh_without_expiry_and_scope_is_noted_as_such(with_member, parse, token_document):
    """A refresh answer must say both; where it does not, the findings name the refresh rule."""
    previous = parse(token_document)
    assert rules(parse({"access_token": "at-2", "token_type": "bearer"}, previous=previous)) == ["RF-08"] * 2


# ---------------------------------------------------------------------------------------- token_type


@pytest.mark.rule("TK-14")
@pytest.mark.parametrize("value", ["Bearer", "bearer", "BEARER", "bearer ", "\tBearer\n"])
def test_token_type_in_any_case(with_member, value):
    """`bearer` in any letter case and with blanks around is Bearer, which is what is sent."""
    token = with_member("token_type", value)
    assert (token.token_type, token.findings) == ("Bearer", ())


@pytest.mark.rule("TK-13")
@pytest.mark.parametrize("value", [..., None])
def test_token_type_missing(with_member, value):
    """A missing type is taken as Bearer, and noted."""
    assert rules(with_member("token_type", value)) == ["TK-13"]


@pytest.mark.rule("TK-14")
@pytest.mark.parametrize("value", ["mac", "DPoP", "N_A", "", "Bearer Bearer", 5, ["Bearer"], True, {}])
def test_token_type_of_another_kind(with_member, value):
    """Any other type is refused: sending such a token as Bearer would give it away."""
    with pytest.raises(TokenResponseError) as caught:
        with_member("token_type", value)
    assert (caught.value.status, caught.value.endpoint) == (200, URL)
    assert caught.value.message == "The token_type is not Bearer, the only kind that SMART knows."


# ---------------------------------------------------------------------------------------- the tokens


@pytest.mark.rule("TK-13")
@pytest.mark.parametrize("value", [..., None])
def test_access_token_missing(with_member, value):
    """Without an access token the answer is useless; the error names the members that were there."""
    with pytest.raises(TokenResponseError, match="holds no access_token") as caught:
        with_member("access_token", value)
    assert "refresh_token" in caught.value.received
    assert "r-2c44" not in str(caught.value)


@pytest.mark.parametrize("member", ["access_token", "refresh_token"])
@pytest.mark.parametrize(
    "value", ["a\r\nX: y", "a b", "tökén", "a\x00", " ", "x" * 16_385, ["x"], {}, 5, True]
)
def test_tokens_that_could_break_a_header(with_member, member, value):
    """A token goes into a request header or form: only visible ASCII of at most 16 KiB is accepted."""
    with pytest.raises(TokenResponseError):
        with_member(member, value)


def test_access_token_empty(with_member):
    """An empty access token is none."""
    with pytest.raises(TokenResponseError, match="The access_token is not a non-empty string"):
        with_member("access_token", "")


def test_access_token_at_the_limit(with_member):
    """16 KiB are accepted."""
    assert len(with_member("access_token", "x" * 16_384).access_token.reveal()) == 16_384


@pytest.mark.parametrize("value", [..., None, ""])
def test_refresh_token_missing(with_member, value):
    """No refresh token is no fault; an empty one is none."""
    token = with_member("refresh_token", value)
    assert (token.refresh_token, token.findings) == (None, ())


@pytest.mark.rule("RF-11")
def test_refresh_token_without_offline_access(with_member):
    """The refresh token itself is the sign, not the scope: Epic omits offline_access."""
    assert with_member("scope", "patient/*.rs").refresh_token == Secret("r-2c44-refresh")


def test_id_token_stays_a_secret(with_member):
    """An ID token is a secret in `raw`, and no identity before it is verified."""
    token = with_member("id_token", "h.p.s")
    assert (token.raw["id_token"], token.identity) == (Secret("h.p.s"), None)


# --------------------------------------------------------------------------------------------- scope


@pytest.mark.rule("TK-16", "BS-13")
@pytest.mark.parametrize(
    ("value", "scopes"),
    [
        ("", ""),
        ("patient/Patient.rs", "patient/Patient.rs"),
        ("openid  patient/*.read ", "openid patient/*.read"),
        ("system/*.* fhir clientCreds", "system/*.* fhir clientCreds"),
    ],
)
def test_scope_is_what_was_granted(with_member, value, scopes):
    """Narrower, broader, empty and odd scopes are taken as the server wrote them."""
    assert str(with_member("scope", value).scopes) == scopes


def test_scope_as_a_list(with_member):
    """A list is joined, and noted."""
    token = with_member("scope", ["openid", "patient/*.rs"])
    assert (str(token.scopes), rules(token)) == ("openid patient/*.rs", ["TK-13", "TK-16"])


@pytest.mark.rule("TK-13")
@pytest.mark.parametrize("value", [..., None])
def test_scope_missing(with_member, value):
    """A missing scope means as requested, and is noted."""
    token = with_member("scope", value)
    assert (str(token.scopes), rules(token)) == (REQUESTED, ["TK-13"])


@pytest.mark.parametrize("value", [5, True, {}, ["openid", 5], [["openid"]], 'open"id', "a\nb", "ü"])
def test_scope_that_is_none(with_member, value):
    """Other kinds, and characters that no scope may hold, are the server's fault and say so."""
    with pytest.raises(TokenResponseError, match=r"^scope "):
        with_member("scope", value)


# ------------------------------------------------------------------------------------------- context


@pytest.mark.rule("CTX-01")
@pytest.mark.parametrize(
    ("scope", "noted"), [("patient/*.rs", ["CTX-01"]), ("user/*.rs", []), ("launch/patient", [])]
)
def test_patient_missing(parse, scope, noted):
    """Patient scopes without a patient are the server's defect; the finding says where else to look."""
    answer = {"access_token": "a", "token_type": "bearer", "expires_in": 1, "scope": scope}
    assert rules(parse(answer, requested_scope=scope)) == noted


@pytest.mark.rule("CTX-02")
@pytest.mark.parametrize("value", ["../../metadata", {"$ne": 1}, "x" * 10_240, "a/b", "?x=1", True])
def test_patient_that_is_no_id(with_member, value):
    """An id that could change a URL is left out, and the findings tell."""
    token = with_member("patient", value)
    assert (token.context.patient, rules(token)) == (None, ["CTX-01", "CTX-02"])


# --------------------------------------------------------------------------------- answers of vendors

VENDORS = {
    "epic": (
        {
            "access_token": "opaque-0001",
            "token_type": "bearer",
            "expires_in": 3540,
            "scope": "Patient.read Patient.search user/Observation.Read ",
            "state": "st-1",
            "patient": "eAbc.123",
            "need_patient_banner": "true",
            "smart_style_url": "https://ehr-a.example/style.json",
            "__epic.dstu2.patient": "T1xyz",
            "loginDepartment": "101",
            "id_token": "h.p.s",
        },
        ["CTX-03"],
    ),
    "oracle": (
        {
            "access_token": "jwt-ish",
            "token_type": "Bearer",
            "expires_in": 570,
            "scope": "openid fhirUser patient/Observation.read offline_access",
            "id_token": "h.p.s",
            "refresh_token": "rt-b1",
            "tenant": "t-0001",
            "username": "u",
            "user": "u-9",
        },
        ["CTX-01"],
    ),
    "modmed": (
        {
            "access_token": "j.w.t",
            "token_type": "Bearer",
            "expires_in": 1800,
            "scope": "system/Patient.rs",
            "allowedFhirUrl": "https://firm.ehr-g.example/fhir/r4",
        },
        [],
    ),
    "blue-button": (
        {
            "access_token": "at",
            "expires_in": 3600,
            "token_type": "Bearer",
            "scope": "patient/Patient.rs patient/Coverage.rs",
            "refresh_token": "rt",
            "access_grant_expiration": "",
            "patient": "-1000001",
        },
        [],
    ),
    "bcda": ({"access_token": "j.w.t", "expires_in": "1200", "token_type": "bearer"}, ["TK-13", "TK-15"]),
    "ab2d": (
        {"token_type": "Bearer", "expires_in": 3600, "access_token": "j.w.t", "scope": "clientCreds"},
        [],
    ),
    "va": (
        {
            "access_token": "j.w.t",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "launch system/Patient.read",
            "state": None,
            "patient": "123V456",
        },
        [],
    ),
    "azure": (
        {
            "token_type": "Bearer",
            "expires_in": "3599",
            "ext_expires_in": "3599",
            "expires_on": "1790000000",
            "not_before": "1789996000",
            "resource": "https://ws-fhir.example",
            "access_token": "j.w.t",
        },
        ["TK-13", "TK-15"],
    ),
    "aidbox": ({"token_type": "Bearer", "access_token": "opaque"}, ["TK-13", "TK-15"]),
    "medplum": (
        {
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "openid offline",
            "id_token": "h.p.s",
            "access_token": "at",
            "refresh_token": "rt2",
            "project": {"reference": "Project/1"},
            "profile": {"reference": "Practitioner/2"},
            "hub.url": "wss://hub.example",
            "hub.topic": "t",
        },
        [],
    ),
}


@pytest.mark.rule("TK-20")
@pytest.mark.parametrize("vendor", sorted(VENDORS))
def test_answers_of_real_servers(parse, vendor):
    """The shapes of production servers are read, oddities noted, and every member of theirs is kept."""
    document, noted = VENDORS[vendor]
    token = parse(document, requested_scope="system/*.rs")
    assert sorted(rule for rule in rules(token) if rule != "TK-16") == noted
    assert set(token.raw) == set(document)


def test_epic_banner_is_read(parse):
    """Epic's string "true" is a yes."""
    assert parse(VENDORS["epic"][0]).context.need_patient_banner is True


# ------------------------------------------------------------------------------- unusable yes-answers


@pytest.mark.parametrize("status", [201, 202, 204, 206, 100])
def test_only_200_carries_a_token(parse, token_document, status):
    """Another success status is not a token response, whatever its body says."""
    with pytest.raises(TokenResponseError) as caught:
        parse(token_document, status=status)
    assert caught.value.status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(parse, status):
    """Credentials are never sent along; the error names where it wanted to go, without the query."""
    with pytest.raises(TokenResponseError) as caught:
        parse(None, status=status, headers={"Location": "https://other.example/token?session=s3cret"})
    assert caught.value.message == (
        f"The token endpoint redirected ({status}) to https://other.example; "
        "credentials are never sent along."
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"token"',
        b"<html><title>Portal</title></html>",
        b'{"access_token": "at-canary"',
        b'{"access_token": "at-canary", "access_token": "other"}',
        b'{"access_token": "at-canary\xff"}',
        b'["at-canary"]',
        b"[" * 5000,
        b"access_token=at-canary&token_type=bearer",
    ],
)
def test_what_is_no_json_object(parse, body):
    """HTML, lists, cut and ambiguous JSON are refused; neither text nor causes of the error hold the body."""
    with pytest.raises(TokenResponseError) as caught:
        parse(body=body)
    assert (caught.value.status, caught.value.endpoint) == (200, URL)
    assert "canary" not in f"{caught.value} {vars(caught.value)}"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_limits_of_the_client_hold(parse, token_document):
    """A client with smaller limits refuses larger answers."""
    with pytest.raises(TokenResponseError, match="at most 100 are read"):
        parse(token_document, limits=Limits(document_bytes=100))


def test_bom_and_media_type_do_no_harm(parse, token_document):
    """A byte order mark and a wrong media type are read past."""
    token = parse(
        body=b"\xef\xbb\xbf" + json.dumps(token_document).encode(), headers={"Content-Type": "text/html"}
    )
    assert token.access_token == Secret("opaque-7Fq2-access")


@pytest.mark.rule("TK-19")
@pytest.mark.parametrize("error", ["invalid_grant", "some sentence", ["x"], {"code": 1}, True])
def test_200_with_an_error_is_a_refusal(with_member, error):
    """Some servers say no with status 200; a token beside the error is not used."""
    with pytest.raises(OAuthError) as caught:
        with_member("error", error)
    assert caught.value.status == 200


@pytest.mark.parametrize("error", [None, "", False])
def test_an_empty_error_is_none(with_member, error):
    """A member `error` without content says nothing."""
    assert with_member("error", error).findings == ()


@pytest.mark.rule("TK-19")
def test_an_error_status_is_a_refusal(parse, token_document):
    """From 400 on it is a no, even if the body looks like a token."""
    with pytest.raises(OAuthError) as caught:
        parse(token_document, status=400)
    assert "opaque" not in f"{caught.value} {vars(caught.value)}"


# ------------------------------------------------------------------------------------------- refresh


@pytest.mark.rule("RF-07", "RF-09")
def test_a_refresh_keeps_what_the_answer_omits(parse, token_document):
    """Refresh token, patient and all other context survive an answer of the bare minimum."""
    previous = parse(token_document)
    token = parse({"access_token": "at-2", "token_type": "bearer", "expires_in": 60}, previous=previous)
    assert token.access_token == Secret("at-2")
    assert token.refresh_token == previous.refresh_token
    assert token.context == previous.context
    assert token.launch_scopes == previous.launch_scopes


@pytest.mark.rule("RF-05")
def test_a_refresh_replaces_what_the_answer_has(with_member, parse, token_document):
    """A rotated refresh token and a new encounter replace the old ones."""
    previous = parse(token_document)
    token = with_member("refresh_token", "r-3", previous=previous)
    assert token.refresh_token == Secret("r-3")
    assert with_member("encounter", "e-2", previous=previous).context.encounter == "e-2"


@pytest.mark.rule("RF-05")
def test_launch_scopes_outlive_narrowing(with_member, parse, token_document):
    """After a narrowed refresh the next one may have everything again, for it was granted at launch."""
    first = parse(token_document)
    narrowed = with_member("scope", "patient/Patient.rs", previous=first)
    assert (str(narrowed.scopes), str(narrowed.launch_scopes)) == ("patient/Patient.rs", REQUESTED)
    assert with_member("scope", REQUESTED, previous=narrowed).scopes == first.scopes


SAME = [
    ("patient", "p-3307"),
    ("patient", "Patient/p-3307"),
    ("patient", None),
    ("scope", "patient/*.read"),
    ("scope", "patient/Observation.rs"),
    ("scope", "openid profile online_access launch patient/*.rs"),
    ("scope", ""),
]


@pytest.mark.parametrize(("member", "value"), SAME)
def test_the_same_in_other_words_is_no_change(with_member, parse, token_document, member, value):
    """Other spellings, fewer scopes and scopes that open no data are accepted."""
    assert with_member(member, value, previous=parse(token_document)).access_token


CHANGED = [
    ("patient", "p-3308", "another patient"),
    ("patient", "../../metadata", "another patient"),
    ("scope", f"{REQUESTED} system/*.*", "more scope"),
    ("scope", "patient/*.cruds", "more scope"),
    ("scope", "user/*.rs", "more scope"),
    ("scope", f"{REQUESTED} fhir", "more scope"),
    ("scope", f"{REQUESTED} patient/observation.read", "more scope"),
]


@pytest.mark.rule("RF-09")
@pytest.mark.parametrize(("member", "value", "what"), CHANGED)
def test_another_patient_or_more_scope_is_an_error(with_member, parse, token_document, member, value, what):
    """A refresh never swaps the patient or widens access silently; the new token is on the error."""
    with pytest.raises(ContextChangedError, match=what) as caught:
        with_member(member, value, previous=parse(token_document))
    error = caught.value
    assert error.token.access_token == Secret("opaque-7Fq2-access")
    assert (error.status, error.endpoint) == (200, URL)
    assert "p-330" not in f"{error} {error!r} {vars(error)}"


def test_a_changed_context_survives_pickle_without_the_token(with_member, parse, token_document):
    """Errors cross processes; tokens do not."""
    with pytest.raises(ContextChangedError) as caught:
        with_member("patient", "p-3308", previous=parse(token_document))
    for made in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert (made.token, str(made), made.advice) == (None, str(caught.value), caught.value.advice)
    assert b"opaque" not in pickle.dumps(caught.value)
    assert caught.value.token is not None


def test_a_patient_that_comes_later_is_no_change(with_member, parse):
    """A token without a patient may get one."""
    previous = parse({"access_token": "a", "scope": REQUESTED})
    assert with_member("patient", "p-1", previous=previous).context.patient == "p-1"
