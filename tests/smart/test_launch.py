"""Launches coming in, and launch context coming back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async import EHRLaunch, LaunchContext, LaunchRejectedError
from smart_async.messages import Finding
from smart_async.smart.launch import FhirContextItem, parse_launch_context

ISS = "https://ehr.example.com/r4/"
LAUNCH_URL = "https://app.example.com/launch"

Read = Callable[..., tuple[LaunchContext, list[str]]]


@pytest.fixture
def read() -> Read:
    """Reads a token response's context and returns it with the rules of its findings."""

    def parse(
        document: dict[str, Any], previous: LaunchContext | None = None
    ) -> tuple[LaunchContext, list[str]]:
        context, findings = parse_launch_context(document, previous=previous)
        assert {type(finding) for finding in findings} <= {Finding}
        return context, [finding.rule for finding in findings]

    return parse


class TestLaunchURL:
    @pytest.mark.rule("AL-02", "AL-13")
    @pytest.mark.parametrize("prefix", [f"{LAUNCH_URL}?", "?", "", "/launch?"])
    def test_iss_and_launch_are_read_exactly(self, prefix: str) -> None:
        """Full URL, path or bare query: both values come out as the EHR meant them, others are ignored."""
        query = urlencode({"iss": ISS, "launch": "L-93b7c1", "client_id": "evil", "patient": "1"})
        assert EHRLaunch.from_url(prefix + query) == EHRLaunch(iss=ISS, launch="L-93b7c1")

    @pytest.mark.rule("AL-03")
    @given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=80))
    def test_every_handle_of_printable_ascii_survives(self, handle: str) -> None:
        """Base64, JWTs, per cent signs and blanks: the handle is decoded once and not touched again."""
        url = f"{LAUNCH_URL}?{urlencode({'launch': handle, 'iss': ISS})}"
        assert EHRLaunch.from_url(url).launch == handle

    @pytest.mark.rule("AL-03")
    def test_an_escaped_escape_stays_escaped(self) -> None:
        """`%2520` is the three characters %20, not a blank."""
        launch = EHRLaunch.from_url(f"{LAUNCH_URL}?iss={ISS}&launch=%2B%2F%3D%2520")
        assert launch.launch == "+/=%20"

    @pytest.mark.rule("AL-02")
    @pytest.mark.parametrize(
        "query",
        [
            "",
            "?iss=https%3A%2F%2Fehr.example.com",
            "?launch=1",
            "?iss=&launch=1",
            "?iss=https%3A%2F%2Fehr.example.com&launch=",
            "?iss=https%3A%2F%2Fa.example&iss=https%3A%2F%2Fb.example&launch=1",
            "?iss=https%3A%2F%2Fa.example&launch=1&launch=2",
            "?iss=https%3A%2F%2Fa.example&launch=1&launch=",
            "?ISS=https%3A%2F%2Fa.example&launch=1",
            "#iss=https%3A%2F%2Fa.example&launch=1",
            "?iss=https%3A%2F%2Fa.example&launch=%FF",
            "?iss=https%3A%2F%2Fa.example&launch=%00",
            "?iss=https%3A%2F%2Fa.example%0A&launch=1",
            "?iss=https%3A%2F%2Fa.example/a%20b&launch=1",
            "?iss=https%3A%2F%2F%D1%80aypal.example&launch=1",
            "?iss=https%3A%2F%2Fa.example&launch=" + "a" * 4097,
            "?iss=https%3A%2F%2Fa.example&launch=" + "a" * 9000,
            "?iss=https%3A%2F%2Fa.example&launch=1" + "&a=1" * 100,
        ],
    )
    def test_a_launch_that_is_not_one_is_rejected_unquoted(self, query: str) -> None:
        """Missing, empty, doubled, oversized or unreadable parameters end here, without a word of them."""
        with pytest.raises(LaunchRejectedError) as caught:
            EHRLaunch.from_url(LAUNCH_URL + query)
        assert "a.example" not in str(caught.value)
        assert "both iss and launch" in str(caught.value)

    @pytest.mark.rule("AL-02")
    def test_a_url_that_cannot_be_split_is_rejected(self) -> None:
        """Python's own parser raises ValueError for some; the caller sees only our error."""
        with pytest.raises(LaunchRejectedError, match="cannot be read"):
            EHRLaunch.from_url("https://[x/launch?iss=https%3A%2F%2Fa.example&launch=1")

    @pytest.mark.rule("AL-02")
    @pytest.mark.parametrize(("iss", "launch"), [(None, "1"), (ISS, None), (ISS, ""), ("", "1"), (ISS, 7)])
    def test_missing_parameters_passed_on_as_none_are_rejected(self, iss: Any, launch: Any) -> None:
        """Frameworks hand over None for what is not in the query."""
        with pytest.raises(LaunchRejectedError):
            EHRLaunch(iss=iss, launch=launch)

    def test_the_handle_stays_out_of_the_repr(self) -> None:
        """The handle stands for a patient in context."""
        assert repr(EHRLaunch(iss=ISS, launch="L-93b7c1")) == f"EHRLaunch(iss={ISS!r})"


class TestIds:
    @pytest.mark.rule("CTX-02", "CTX-14")
    @pytest.mark.parametrize("name", ["patient", "encounter"])
    @pytest.mark.parametrize("value", ["p-3307", "123", "a" * 64, "Smart-1032702", "a.b"])
    def test_bare_ids_are_taken(self, read: Read, name: str, value: str) -> None:
        """An id is an id, whether it was asked for or not."""
        context, found = read({name: value})
        assert (getattr(context, name), found) == (value, [])

    @pytest.mark.rule("CTX-02")
    @pytest.mark.parametrize(
        ("name", "value", "bare"),
        [("patient", "Patient/p-1", "p-1"), ("encounter", "Encounter/e-1", "e-1"), ("patient", 123, "123")],
    )
    def test_references_and_numbers_are_mended_with_a_finding(
        self, read: Read, name: str, value: Any, bare: str
    ) -> None:
        """Older servers send the type along, some send numbers."""
        context, found = read({name: value})
        assert (getattr(context, name), found) == (bare, ["CTX-02"])

    @pytest.mark.rule("CTX-02")
    @pytest.mark.parametrize(
        "value",
        [
            "../../metadata",
            "..",
            ".",
            "Patient/..",
            "a/b",
            "a?b",
            "a b",
            "a\n",
            "ä",
            "a" * 65,
            "a" * 10_000,
            "Encounter/e-1",
            "https://evil.example/Patient/1",
            {"$ne": 1},
            ["1"],
            True,
            1.5,
        ],
    )
    def test_what_would_lead_a_url_elsewhere_is_left_out(self, read: Read, value: Any) -> None:
        """The id ends up in a URL: dots, slashes and other types are not handed on."""
        context, found = read({"patient": value})
        assert context.patient is None
        assert set(found) == {"CTX-02"}

    @pytest.mark.rule("CTX-02")
    @pytest.mark.parametrize("value", [None, ""])
    def test_null_and_empty_mean_none(self, read: Read, value: Any) -> None:
        """Neither is an id, and neither is worth a finding."""
        assert read({"patient": value, "encounter": value}) == (LaunchContext(), [])


class TestBanner:
    @pytest.mark.rule("CTX-03")
    @pytest.mark.parametrize(
        ("value", "banner", "found"),
        [
            (True, True, []),
            (False, False, []),
            ("true", True, ["CTX-03"]),
            ("False", False, ["CTX-03"]),
            ("yes", None, ["CTX-03"]),
            (1, None, ["CTX-03"]),
            ([], None, ["CTX-03"]),
            (None, None, []),
        ],
    )
    def test_a_boolean_or_its_word(
        self, read: Read, value: Any, banner: bool | None, found: list[str]
    ) -> None:
        """Strings are tolerated with a finding; what cannot be read leaves the app to show a banner."""
        context, rules = read({"need_patient_banner": value})
        assert (context.need_patient_banner, rules) == (banner, found)


class TestTexts:
    @pytest.mark.rule("CTX-10")
    def test_intent_and_tenant_are_kept_or_none(self, read: Read) -> None:
        """They mean what app and EHR agreed; absent they are None."""
        context, found = read({"intent": "vitals-trend", "tenant": "wb-north"})
        assert (context.intent, context.tenant, found) == ("vitals-trend", "wb-north", [])
        assert read({}) == (LaunchContext(), [])

    @pytest.mark.rule("CTX-13")
    @pytest.mark.parametrize("name", ["intent", "tenant", "smart_style_url"])
    def test_other_types_are_left_out(self, read: Read, name: str) -> None:
        """A list where text belongs is a finding, not a crash."""
        context, found = read({name: ["x"]})
        assert (getattr(context, name), found) == (None, ["CTX-13"])

    @pytest.mark.rule("CTX-11")
    @pytest.mark.parametrize("url", ["https://ehr.example.com/style/v14.json?x=1", "http://127.0.0.1/s.json"])
    def test_a_style_url_is_kept(self, read: Read, url: str) -> None:
        """The URL is the version of the style, so it is kept byte for byte."""
        context, found = read({"smart_style_url": url})
        assert (context.smart_style_url, found) == (url, [])

    @pytest.mark.rule("CTX-11")
    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "http://ehr.example.com/s", "file:///etc/passwd", "/s"]
    )
    def test_a_style_url_that_is_not_https_is_left_out(self, read: Read, url: str) -> None:
        """Apps fetch it, so what is no web address is not handed on."""
        context, found = read({"smart_style_url": url})
        assert (context.smart_style_url, found) == (None, ["CTX-11"])

    def test_an_empty_style_url_is_none(self, read: Read) -> None:
        """Empty means absent."""
        assert read({"smart_style_url": ""}) == (LaunchContext(), [])


class TestFhirContext:
    @pytest.mark.rule("CTX-04", "CTX-05", "CTX-08")
    def test_items_with_a_reference_a_canonical_or_an_identifier(self, read: Read) -> None:
        """Each of the three forms is read, several of a type or role side by side, and raw is whole."""
        items: list[dict[str, Any]] = [
            {"reference": "ImagingStudy/88"},
            {"reference": "ImagingStudy/89/_history/2", "role": "https://acme.example/role/x"},
            {"canonical": "https://acme.example/Q/pain|3.1", "type": "Questionnaire", "vendor": 1},
            {"identifier": {"value": "G-5"}, "type": "RequestGroup", "role": "https://acme.example/role/x"},
        ]
        context, found = read({"fhirContext": items})
        assert found == []
        assert [item.raw for item in context.fhir_context] == items
        assert [item.reference for item in context.fhir_context] == [
            "ImagingStudy/88",
            "ImagingStudy/89/_history/2",
            None,
            None,
        ]
        assert context.fhir_context[2].canonical == "https://acme.example/Q/pain|3.1"
        assert context.fhir_context[3].identifier == {"value": "G-5"}
        assert [item.type for item in context.fhir_context] == [None, None, "Questionnaire", "RequestGroup"]
        assert [item.role_or_launch for item in context.fhir_context] == [
            "launch",
            "https://acme.example/role/x",
            "launch",
            "https://acme.example/role/x",
        ]

    @pytest.mark.rule("CTX-09")
    def test_strings_of_smart_2_0_are_references(self, read: Read) -> None:
        """The first version had plain references; they are read with a finding."""
        context, found = read({"fhirContext": ["ImagingStudy/88"]})
        assert (context.fhir_context[0].reference, found) == ("ImagingStudy/88", ["CTX-09"])

    @pytest.mark.rule("CTX-04")
    @pytest.mark.parametrize(
        "item",
        [
            {},
            {"role": "launch"},
            {"reference": ""},
            {"reference": 7},
            {"identifier": "x"},
            {"identifier": {}},
            7,
            None,
        ],
    )
    def test_an_item_that_names_nothing_is_skipped(self, read: Read, item: Any) -> None:
        """The others stay, and the login does not fail over it."""
        context, found = read({"fhirContext": [item, {"reference": "Task/1"}]})
        assert ([item.reference for item in context.fhir_context], found) == (["Task/1"], ["CTX-04"])

    @pytest.mark.rule("CTX-04")
    @pytest.mark.parametrize(
        "reference",
        ["../../metadata", "Task/..", "Task/.", "task/1", "Task", "Task/1?x=1", "Task/1/../../x", "#a"],
    )
    def test_a_reference_that_leads_elsewhere_is_left_out(self, read: Read, reference: str) -> None:
        """It ends up in a URL; with another way to name the resource the item stays."""
        context, found = read(
            {
                "fhirContext": [
                    {"reference": reference},
                    {"reference": reference, "canonical": "https://a.example/Q"},
                ]
            }
        )
        assert [(item.reference, item.canonical) for item in context.fhir_context] == [
            (None, "https://a.example/Q")
        ]
        assert found == ["CTX-04", "CTX-04", "CTX-04"]

    @pytest.mark.rule("CTX-04")
    def test_an_absolute_reference_is_kept_with_a_finding(self, read: Read) -> None:
        """References shall be relative; an absolute one names its server, and no token goes there."""
        context, found = read({"fhirContext": [{"reference": "https://other.example/fhir/Task/1"}]})
        assert context.fhir_context[0].reference == "https://other.example/fhir/Task/1"
        assert found == ["CTX-04"]

    @pytest.mark.rule("CTX-06")
    @pytest.mark.parametrize("role", ["", 7, ["launch"]])
    def test_an_empty_role_is_none(self, read: Read, role: Any) -> None:
        """A role shall not be empty; without one the resource is what the app was launched for."""
        context, found = read({"fhirContext": [{"reference": "Task/1", "role": role}]})
        assert (context.fhir_context[0].role, context.fhir_context[0].role_or_launch) == (None, "launch")
        assert found == ["CTX-06"]

    @pytest.mark.rule("CTX-07")
    @pytest.mark.parametrize("kind", ["Patient", "Encounter"])
    def test_patient_and_encounter_need_a_role(self, read: Read, kind: str) -> None:
        """One without a role is noted, kept, and never becomes the patient in context."""
        item = {"reference": f"{kind}/x-1"}
        context, found = read({"patient": "p-1", "fhirContext": [item, item | {"role": "launch"}]})
        assert (context.patient, context.encounter, len(context.fhir_context)) == ("p-1", None, 2)
        assert found == ["CTX-07", "CTX-07"]
        assert read({"fhirContext": [item | {"role": "https://acme.example/role/newborn"}]})[1] == []

    @pytest.mark.rule("CTX-04")
    @pytest.mark.parametrize("value", [{"reference": "Task/1"}, "Task/1", 7, True])
    def test_anything_but_a_list_is_left_out(self, read: Read, value: Any) -> None:
        """A finding, and no context."""
        context, found = read({"fhirContext": value})
        assert (context.fhir_context, found) == ((), ["CTX-04"])

    @pytest.mark.rule("CTX-04")
    def test_a_hundred_items_are_read(self, read: Read) -> None:
        """The list is bounded, and a finding says that it was cut."""
        items = [{"reference": f"Task/{number}"} for number in range(101)]
        assert read({"fhirContext": items[:100]})[1] == []
        context, found = read({"fhirContext": items})
        assert (len(context.fhir_context), found) == (100, ["CTX-04"])


class TestRefresh:
    def test_what_the_answer_omits_is_kept(self, read: Read) -> None:
        """A refresh may leave the context out; what it names replaces what was there."""
        previous, found = read(
            {
                "patient": "p-1",
                "encounter": "e-1",
                "need_patient_banner": False,
                "intent": "x",
                "tenant": "t",
                "smart_style_url": "https://ehr.example.com/s",
                "fhirContext": [{"reference": "Task/1"}],
            }
        )
        assert found == []
        assert read({}, previous) == (previous, [])
        context, found = read({"encounter": "e-2", "need_patient_banner": True}, previous)
        assert (context.patient, context.encounter, context.need_patient_banner) == ("p-1", "e-2", True)


class TestReprs:
    def test_they_name_no_patient(self, read: Read) -> None:
        """Whose context it is stays out of logs; what kind it is may be there."""
        context, _ = read(
            {
                "patient": "p-3307",
                "encounter": "e-9921",
                "fhirContext": [{"reference": "Patient/p-3308", "role": "https://acme.example/newborn"}],
            }
        )
        assert repr(context) == "<LaunchContext with patient, encounter, fhir_context>"
        assert repr(context.fhir_context) == "(<FhirContextItem Patient as https://acme.example/newborn>,)"

    @pytest.mark.parametrize(
        ("item", "text"),
        [
            (
                FhirContextItem(canonical="https://a.example/Q|secret", type="Questionnaire"),
                "Questionnaire as launch",
            ),
            (FhirContextItem(identifier={"value": "secret"}), "resource as launch"),
            (FhirContextItem(reference="https://a.example/Task/secret"), "resource as launch"),
        ],
    )
    def test_nor_any_other_resource(self, item: FhirContextItem, text: str) -> None:
        """Type and role are shown, references and identifiers are not."""
        assert repr(item) == f"<FhirContextItem {text}>"

    def test_an_empty_context_says_so(self) -> None:
        """Nothing known is worth knowing."""
        assert repr(LaunchContext()) == "<LaunchContext with nothing>"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["reference", "canonical", "identifier", "type", "role"]), inner)
    ),
    max_leaves=8,
)
NAMES = ("patient", "encounter", "need_patient_banner", "smart_style_url", "intent", "tenant", "fhirContext")


@given(st.dictionaries(st.sampled_from(NAMES), values))
def test_nothing_a_server_sends_breaks_the_reader(document: dict[str, Any]) -> None:
    """Whatever the members are, a context comes out, and its ids are fit for a URL."""
    context, _ = parse_launch_context(document)
    for value in (context.patient, context.encounter):
        assert value is None or (value not in (".", "..") and "/" not in value)
    assert context.need_patient_banner in (None, True, False)
