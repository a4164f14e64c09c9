"""Scopes: the grammar of SMART App Launch 2.2, coverage, both syntaxes and reports."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Set
from itertools import chain, combinations
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async.errors import ConfigurationError
from smart_async.smart.scopes import Scope, ScopeReport, Scopes, syntax_version

PERMISSIONS = ["".join(letters) for size in range(1, 6) for letters in combinations("cruds", size)]
LAB = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
SMART_URI = "http://smarthealthit.org/fhir/scopes/"
OPENID_URI = "http://openid.net/specs/openid-connect-core-1_0#"

levels = st.sampled_from(["patient", "user", "system"])
resources = st.sampled_from(["*", "Observation", "Patient", "Task"])
letters = st.sampled_from(PERMISSIONS)
words = st.one_of(letters, st.sampled_from(["read", "write", "*"]))
constraints = st.lists(
    st.tuples(st.sampled_from(["category", "code:in", "status"]), st.sampled_from(["a", "b|c", "d,e"])),
    max_size=2,
    unique=True,
)
tokens = st.text(
    st.characters(codec="ascii", categories=["L", "N", "P", "S"], exclude_characters='"\\'), min_size=1
)
values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def clinical_texts(draw: st.DrawFn) -> str:
    query = "&".join(f"{name}={value}" for name, value in draw(constraints))
    return f"{draw(levels)}/{draw(resources)}.{draw(words)}" + (f"?{query}" if query else "")


grants = st.lists(clinical_texts(), max_size=12).map(Scopes)


def reached(scopes: Scopes) -> set[tuple[str, str, str, frozenset[tuple[str, str]]]]:
    """Every single permission over the strategies' small world, worked out one by one without an index."""
    pairs = [(name, value) for name in ("category", "code:in", "status") for value in ("a", "b|c", "d,e")]
    worlds = [
        frozenset(world) for world in chain.from_iterable(combinations(pairs, size) for size in range(3))
    ]
    return {
        (scope.level, resource, letter, world)
        for scope in scopes
        for resource in ("*", "Observation", "Patient", "Task", "Elsewhere")
        for letter in "cruds"
        for world in worlds
        if scope.permissions is not None
        and letter in scope.permissions
        and scope.resource in ("*", resource)
        and set(scope.parameters) <= world
    }


class TestGrammar:
    @pytest.mark.rule("SC-01")
    @pytest.mark.parametrize("permissions", PERMISSIONS)
    def test_all_31_permission_sets_round_trip(self, permissions: str) -> None:
        """Every ordered, non-empty subset of the letters is built, read back and written the same."""
        built = Scope.clinical("patient", "Observation", permissions)
        assert str(built) == f"patient/Observation.{permissions}"
        assert Scope.parse(str(built)).permissions == permissions
        assert built.version == 2

    def test_there_are_31_permission_sets(self) -> None:
        """The table that the tests run over is the whole one."""
        assert len(set(PERMISSIONS)) == 31

    @pytest.mark.rule("SC-02")
    @pytest.mark.parametrize(
        ("text", "level", "resource", "permissions"),
        [
            ("patient/Observation.rs", "patient", "Observation", "rs"),
            ("user/*.cruds", "user", "*", "cruds"),
            ("system/Encounter.cud", "system", "Encounter", "cud"),
            ("patient/Patient.r", "patient", "Patient", "r"),
            (f"patient/Observation.rs?{LAB}", "patient", "Observation", "rs"),
            (f"patient/*.rs?{LAB}", "patient", "*", "rs"),
        ],
    )
    def test_valid_scopes_are_taken_apart(
        self, text: str, level: str, resource: str, permissions: str
    ) -> None:
        """The valid examples of the specification are read as version 2."""
        scope = Scope.parse(text)
        found = (scope.kind, scope.level, scope.resource, scope.permissions, scope.version, str(scope))
        assert found == ("clinical", level, resource, permissions, 2, text)

    @pytest.mark.rule("SC-01", "SC-02", "SC-17")
    @pytest.mark.parametrize(
        "text",
        [
            "patient/Observation.sr",
            "patient/Observation.dus",
            "patient/Observation.",
            "patient/Observation",
            "patient/Observation.rr",
            "patient/Observation.Read",
            "patient/Observation.reads",
            "Observation.rs",
            "patient/observation.rs",
            "Patient/Observation.rs",
            "practitioner/Observation.rs",
            "patient/.rs",
            "patient/**.rs",
            "patient/Observation.rs?",
            "patient/Observation.rs?category",
            "patient/Observation.rs?=laboratory",
            "patient/Observation.rs?category=",
            "patient/Observation.rs?category=a&",
            "patient$Observation.read",
            "system/Patient.$export",
            "user/Patient.search",
        ],
    )
    def test_malformed_scopes_are_kept_word_for_word(self, text: str) -> None:
        """What is not in the grammar is an extension scope: it permits only itself and loses no character."""
        scope = Scope.parse(text)
        found = (scope.kind, scope.level, scope.resource, scope.permissions, scope.parameters, scope.version)
        assert found == ("other", None, None, None, (), None)
        assert str(scope) == text
        assert Scopes([scope]).covers(text)
        assert not Scopes([scope]).covers("patient/Observation.r")

    @pytest.mark.rule("SC-03")
    @pytest.mark.parametrize(
        ("query", "parameters"),
        [
            (LAB, (("category", "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"),)),
            ("code:in=http://example.org/vs/1,2", (("code:in", "http://example.org/vs/1,2"),)),
            ("a=1&b=2&a=3", (("a", "1"), ("b", "2"), ("a", "3"))),
            ("name=x%20y%26z", (("name", "x y&z"),)),
            ("_filter=a=b", (("_filter", "a=b"),)),
            ("a=%zz", (("a", "%zz"),)),
            ("a=%ff", (("a", "%ff"),)),
        ],
    )
    def test_granular_queries(self, query: str, parameters: tuple[tuple[str, str], ...]) -> None:
        """Constraints are read as pairs, percent-decoded where that gives text; the text stays unchanged."""
        scope = Scope.parse(f"patient/Observation.rs?{query}")
        assert scope.parameters == parameters
        assert str(scope) == f"patient/Observation.rs?{query}"

    @pytest.mark.rule("SC-04", "SC-05")
    @pytest.mark.parametrize(("word", "permissions"), [("read", "rs"), ("write", "cud"), ("*", "cruds")])
    def test_version_1_words(self, word: str, permissions: str) -> None:
        """The words of version 1 mean their letters, and `.read` is never taken for letters."""
        scope = Scope.parse(f"user/*.{word}")
        assert (scope.version, scope.permissions, str(scope)) == (1, permissions, f"user/*.{word}")
        assert str(Scopes([scope]).to_v2()) == f"user/*.{permissions}"

    @pytest.mark.rule("SC-05")
    def test_a_version_1_word_before_a_query_is_still_that_word(self) -> None:
        """Only what stands before the `?` decides the version."""
        scope = Scope.parse("user/Task.read?status=a.rs")
        assert (scope.version, scope.permissions, scope.parameters) == (1, "rs", (("status", "a.rs"),))

    @pytest.mark.rule("SC-12")
    @pytest.mark.parametrize(
        "bad", [" ", '"', "\\", "\t", "\n", "\r", "\x00", "\x7f", "\x1b", "é", "\u2028", "\ud800"]
    )
    @pytest.mark.parametrize("shape", ["{}", "{}openid", "open{}id", "openid{}"])
    def test_illegal_characters_are_refused(self, bad: str, shape: str) -> None:
        """A scope with a character that RFC 6749 forbids is refused; the error shows it made harmless."""
        with pytest.raises(ConfigurationError) as caught:
            Scope.parse(shape.format(bad))
        assert f"U+{ord(bad):04X}" in str(caught.value)
        assert bad.isprintable() or bad not in str(caught.value)

    @pytest.mark.rule("SC-12")
    def test_an_empty_scope_is_refused(self) -> None:
        """The empty text is no scope."""
        with pytest.raises(ConfigurationError, match="empty"):
            Scope.parse("")

    @pytest.mark.rule("SC-13")
    @pytest.mark.parametrize(
        "text",
        [
            "__phr",
            "https://ehr.example/scope#x",
            "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export",
            "api:fhir",
            "acl/pat_r",
            "clientCreds",
            ".default",
            "launchpad",
            "launch/",
            "launch/Patient",
            "launch/patient?role=",
            "launch/patient?role=a&role=b",
            "launch/patient?use=a",
        ],
    )
    def test_extension_scopes_are_preserved(self, text: str) -> None:
        """Scopes of a server's own keep every character and are found again by it."""
        assert (Scope.parse(text).kind, str(Scopes.parse(text)), text in Scopes.parse(text)) == (
            "other",
            text,
            True,
        )

    @given(tokens)
    def test_every_legal_token_parses_and_round_trips(self, text: str) -> None:
        """No token that RFC 6749 allows is refused or changed."""
        assert str(Scope.parse(text)) == text

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("openid", "identity"),
            ("profile", "identity"),
            ("fhirUser", "identity"),
            ("offline_access", "refresh"),
            ("online_access", "refresh"),
            ("launch", "launch"),
            ("launch/encounter", "launch"),
        ],
    )
    def test_kinds(self, text: str, kind: str) -> None:
        """Identity, refresh and launch scopes are told apart."""
        assert Scope.parse(text).kind == kind

    @pytest.mark.parametrize(
        ("text", "launch_type", "role"),
        [
            ("launch", None, None),
            ("launch/patient", "patient", None),
            ("launch/relatedperson?role=friend", "relatedperson", "friend"),
            ("launch/location?role=http://example.org/a%20b", "location", "http://example.org/a b"),
        ],
    )
    def test_launch_scopes(self, text: str, launch_type: str | None, role: str | None) -> None:
        """A launch scope names the type and the role that it asks for."""
        scope = Scope.parse(text)
        assert (scope.kind, scope.launch_type, scope.role, str(scope)) == ("launch", launch_type, role, text)


class TestBuilders:
    @given(levels, resources, letters, st.lists(st.tuples(values, values), max_size=3))
    def test_built_scopes_read_back(
        self, level: str, resource: str, permissions: str, parameters: list[tuple[str, str]]
    ) -> None:
        """Whatever text a constraint holds, the built scope is legal and says the same when read."""
        scope = Scope.parse(str(Scope.clinical(level, resource, permissions, parameters)))
        found = (scope.level, scope.resource, scope.permissions, scope.parameters, scope.version)
        assert found == (level, resource, permissions, tuple(parameters), 2)

    @pytest.mark.rule("SC-03", "SC-12")
    @pytest.mark.parametrize(
        ("value", "query"),
        [
            ("http://loinc.org|1-8", "code=http://loinc.org|1-8"),
            ('say "hi" \\', "code=say%20%22hi%22%20%5C"),
            ("a&b=c#d+e%f", "code=a%26b=c%23d%2Be%25f"),
            ("é", "code=%C3%A9"),
        ],
    )
    def test_values_are_encoded(self, value: str, query: str) -> None:
        """What a scope cannot hold, or a reader would take for syntax, is percent-encoded; no more."""
        assert str(Scope.clinical("user", "Task", "rs", {"code": value})) == f"user/Task.rs?{query}"

    def test_a_parameter_can_be_repeated(self) -> None:
        """Pairs say what a mapping cannot: one name twice."""
        assert str(Scope.clinical("user", "Task", "r", [("a", "1"), ("a", "2")])) == "user/Task.r?a=1&a=2"

    @pytest.mark.rule("SC-01", "SC-02")
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"level": "Patient"}, "level"),
            ({"level": ""}, "level"),
            ({"resource": "observation"}, "resource"),
            ({"resource": ""}, "resource"),
            ({"resource": "A.r?x="}, "resource"),
            ({"resource": "Task\n"}, "resource"),
            ({"permissions": ""}, "permissions"),
            ({"permissions": "sr"}, "permissions"),
            ({"permissions": "rr"}, "permissions"),
            ({"permissions": "read"}, "permissions"),
            ({"permissions": "*"}, "permissions"),
            ({"parameters": {"": "x"}}, "parameters"),
            ({"parameters": {"x": ""}}, "parameters"),
            ({"parameters": {"x": "\ud800"}}, "parameters"),
        ],
    )
    def test_builders_refuse_what_is_not_valid(self, change: dict[str, object], field: str) -> None:
        """Nothing that a server may ignore or reinterpret is ever built."""
        parts = {"level": "patient", "resource": "Observation", "permissions": "rs", "parameters": {"a": "b"}}
        assert str(Scope.clinical(**parts)) == "patient/Observation.rs?a=b"
        with pytest.raises(ConfigurationError) as caught:
            Scope.clinical(**{**parts, **change})
        assert caught.value.field == field

    @pytest.mark.rule("CTX-15")
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ((), "launch"),
            (("patient",), "launch/patient"),
            (("DiagnosticReport",), "launch/diagnosticreport"),
            (("RelatedPerson", "friend"), "launch/relatedperson?role=friend"),
            (("Location", "http://example.org/r#a b"), "launch/location?role=http://example.org/r%23a%20b"),
        ],
    )
    def test_launch_builder(self, arguments: tuple[str, ...], text: str) -> None:
        """A launch scope is written in lower case, with its role encoded, and reads back."""
        scope = Scope.launch(*arguments)
        assert str(scope) == text
        assert scope.role == (arguments[1] if len(arguments) == 2 else None)

    @pytest.mark.rule("CTX-15")
    @pytest.mark.parametrize(
        "arguments",
        [
            ("",),
            ("Patient/1",),
            ("pätient",),
            ("*",),
            ("Patient", ""),
            ("Patient", ["a", "b"]),
            (None, "friend"),
        ],
    )
    def test_launch_builder_refuses(self, arguments: tuple[object, ...]) -> None:
        """A launch scope has one type and at most one role; two roles take two scopes."""
        with pytest.raises(ConfigurationError):
            Scope.launch(*arguments)  # type: ignore[arg-type]


class TestInteractions:
    @pytest.mark.rule("SC-06")
    @pytest.mark.parametrize(
        ("letter", "interactions"),
        [
            ("c", {"create"}),
            ("r", {"read", "vread", "history-instance"}),
            ("u", {"update", "patch"}),
            ("d", {"delete"}),
            ("s", {"search-type", "history-type", "search-system", "history-system"}),
        ],
    )
    def test_each_letter_allows_its_interactions_and_no_other(
        self, letter: str, interactions: set[str]
    ) -> None:
        """The whole matrix of letters and interactions; writing never includes reading."""
        every = {"create", "read", "vread", "history-instance", "update", "patch", "delete"}
        every |= {"search-type", "history-type", "search-system", "history-system"}
        scope = Scope.clinical("user", "Task", letter)
        assert {interaction for interaction in every if scope.allows(interaction)} == interactions

    @pytest.mark.rule("SC-06")
    def test_version_1_words_allow_their_letters_interactions(self) -> None:
        """`.read` reads and searches, and writes nothing."""
        scope = Scope.parse("user/Task.read")
        assert [scope.allows(name) for name in ("vread", "search-type", "patch")] == [True, True, False]

    def test_other_scopes_allow_nothing(self) -> None:
        """Only clinical scopes permit interactions."""
        assert not Scope.parse("openid").allows("read")

    @pytest.mark.parametrize("interaction", ["transaction", "batch", "operation", "search", ""])
    def test_what_no_scope_speaks_of_is_an_error(self, interaction: str) -> None:
        """An answer to a question that scopes cannot answer would be a guess."""
        with pytest.raises(ConfigurationError, match="history-instance"):
            Scope.parse("user/*.cruds").allows(interaction)


class TestUris:
    @pytest.mark.rule("SC-14")
    @pytest.mark.parametrize(
        "name", ["patient/*.r", f"patient/Task.rs?{LAB}", "launch/patient", "fhirUser", "offline_access"]
    )
    @pytest.mark.parametrize("prefix", [SMART_URI, "http://smarthealthit.org/FHIR/scopes/"])
    def test_smart_uris(self, name: str, prefix: str) -> None:
        """SMART's scopes take SMART's prefix, and are understood with it, in Oracle's spelling too."""
        scope = Scope.parse(prefix + name)
        assert (scope.name, str(scope), scope.to_uri()) == (name, prefix + name, SMART_URI + name)
        assert scope == Scope.parse(name)
        assert Scope.parse(name).to_uri() == SMART_URI + name

    @pytest.mark.rule("SC-15")
    @pytest.mark.parametrize("name", ["openid", "profile"])
    def test_openid_uris(self, name: str) -> None:
        """OpenID Connect's scopes take its prefix, and are understood with it."""
        assert Scope.parse(name).to_uri() == OPENID_URI + name
        assert Scope.parse(OPENID_URI + name) == Scope.parse(name)

    @pytest.mark.rule("SC-13")
    @pytest.mark.parametrize(
        "text",
        [
            "https://ehr.example/scope",
            "urn:example:scope",
            SMART_URI + "patient/Task.sr",
            "http://x.example/",
        ],
    )
    def test_uris_of_others_stay(self, text: str) -> None:
        """A URI is its own URI form, and an unknown name behind a known prefix is not shortened."""
        assert (Scope.parse(text).name, Scope.parse(text).to_uri()) == (text, text)

    @pytest.mark.parametrize("text", ["__phr", "patient/Task.sr"])
    def test_a_private_word_has_no_uri(self, text: str) -> None:
        """No URI is invented for what nobody defined."""
        with pytest.raises(ConfigurationError, match="no URI form"):
            Scope.parse(text).to_uri()

    def test_uri_forms_are_found_and_covered_by_plain_names(self) -> None:
        """A server that answers in URIs granted what was asked for."""
        granted = Scopes.parse(f"{SMART_URI}patient/*.read {OPENID_URI}openid")
        assert "openid" in granted
        assert "patient/*.read" in granted
        assert OPENID_URI + "openid" in Scopes.parse("openid")
        assert granted.covers("patient/Task.rs openid")
        assert str(granted.to_v2()) == f"{SMART_URI}patient/*.rs {OPENID_URI}openid"


class TestSet:
    def test_parse_keeps_order_and_drops_repeats_and_blanks(self) -> None:
        """The first of equal scopes stays where it is; doubled, leading and trailing blanks do no harm."""
        scopes = Scopes.parse("  openid fhirUser  openid launch ")
        assert [scope.text for scope in scopes] == ["openid", "fhirUser", "launch"]
        assert str(scopes) == "openid fhirUser launch"
        assert str(Scopes.parse(f"openid {OPENID_URI}openid")) == "openid"

    @pytest.mark.rule("SC-03", "SC-16")
    def test_only_blanks_separate(self) -> None:
        """Commas, ampersands and bars belong to granular values; version 1 and 2 may stand side by side."""
        scopes = Scopes.parse("user/Task.rs?a=b,c&d=e|f user/Task.read")
        assert [(scope.version, len(scope.parameters)) for scope in scopes] == [(2, 2), (1, 0)]

    @pytest.mark.parametrize("text", ["openid\tlaunch", "openid\nlaunch", "openid\u00a0launch"])
    def test_other_white_space_is_refused(self, text: str) -> None:
        """White space that is no blank is a malformed scope, not a separator."""
        with pytest.raises(ConfigurationError):
            Scopes.parse(text)

    @given(st.lists(tokens))
    def test_round_trip(self, texts: list[str]) -> None:
        """Scopes written and read again are the same, in the same order."""
        scopes = Scopes(texts)
        assert list(Scopes.parse(str(scopes))) == list(scopes)
        assert set(scopes) == {Scope.parse(text) for text in texts}

    def test_empty(self) -> None:
        """No scope at all is a grant, too."""
        assert (len(Scopes()), bool(Scopes.parse("")), str(Scopes([]))) == (0, False, "")

    def test_construction_from_a_mixture_and_from_text(self) -> None:
        """Scopes, texts and one whole string all do; a string is never walked letter by letter."""
        assert Scopes([Scope.launch(), "openid"]) == Scopes("launch openid")

    def test_membership(self) -> None:
        """A scope or its text can be looked up; anything else is simply not in."""
        scopes = Scopes.parse("openid patient/*.rs")
        assert [item in scopes for item in ("openid", Scope.parse("patient/*.rs"))] == [True, True]
        assert [item in scopes for item in ("launch", "", "a b", Scope.launch(), None, 1)] == [False] * 6

    def test_it_is_a_set(self) -> None:
        """Comparison, hash and interplay with built-in sets are those of a set; order does not matter."""
        one, two = Scopes.parse("a b"), Scopes.parse("b a")
        assert isinstance(one, Set)
        assert one == two
        assert hash(one) == hash(two)
        assert one != Scopes.parse("a")
        assert Scopes.parse("a") < one
        assert one == {Scope.parse("a"), Scope.parse("b")}
        assert one.isdisjoint(Scopes.parse("c"))

    @pytest.mark.parametrize(
        ("result", "text"),
        [
            (Scopes("a b") | "c a", "a b c"),
            (Scopes("a b") | Scope.parse("c"), "a b c"),
            ("c a" | Scopes("a b"), "c a b"),
            (Scopes("a b c") & Scopes("c a"), "a c"),
            ("c a" & Scopes("a b c"), "c a"),
            (Scopes("a b c") - ["b"], "a c"),
            ("c b" - Scopes("a b"), "c"),
            (Scopes("a b") ^ Scopes("b c"), "a c"),
        ],
    )
    def test_operators_keep_order(self, result: Scopes, text: str) -> None:
        """The operators give Scopes, in the order of the left side, and take text as well."""
        assert type(result) is Scopes
        assert str(result) == text

    def test_values_are_immutable(self) -> None:
        """Neither a scope nor a set of them changes or grows attributes."""
        with pytest.raises(AttributeError):
            Scope.parse("openid").text = "launch"  # type: ignore[misc]
        with pytest.raises(AttributeError):
            Scopes().extra = 1  # type: ignore[attr-defined]

    def test_equality_of_scopes(self) -> None:
        """Scopes are equal by name, never to text, and not because they mean the same."""
        assert Scope.parse("openid") == Scope("openid")
        assert Scope.parse("openid") != "openid"
        assert Scope.parse("user/Task.rs") != Scope.parse("user/Task.read")

    def test_reprs(self) -> None:
        """A repr shows how to make the value again."""
        assert repr(Scope.launch()) == "Scope('launch')"
        assert repr(Scopes("a b")) == "Scopes('a b')"

    @pytest.mark.parametrize(
        "twin", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
    )
    def test_copies_and_pickles(self, twin: object) -> None:
        """Values survive copying and pickling, after questions were asked, too."""
        scopes = Scopes.parse("openid user/Task.rs?a=b")
        assert scopes.covers("user/Task.r?a=b")
        assert list(twin(scopes)) == list(scopes)  # type: ignore[operator]
        scope = next(iter(scopes - "openid"))
        assert twin(scope).parameters == (("a", "b"),)  # type: ignore[operator]


class TestCovers:
    @pytest.mark.rule("SC-07", "SC-08", "SC-09")
    @pytest.mark.parametrize(
        ("granted", "need", "covered"),
        [
            ("patient/Task.cruds", "patient/Task.cruds", True),
            ("patient/Task.rs patient/Task.cud", "patient/Task.cruds", True),
            ("patient/Task.rs", "patient/Task.cruds", False),
            ("patient/Task.cud", "patient/Task.r", False),
            ("patient/*.rs", "patient/Task.rs", True),
            ("patient/*.r patient/Task.s", "patient/Task.rs", True),
            ("patient/Task.rs", "patient/*.rs", False),
            ("patient/*.read", "patient/Task.rs", True),
            ("patient/Task.rs", "patient/Task.read", True),
            ("patient/Task.read", "patient/Task.write", False),
            ("user/*.cruds", "patient/Task.r", False),
            ("system/*.cruds", "user/Task.r", False),
            ("patient/*.cruds", "user/Task.r", False),
            ("user/Task.rs", "user/Task.rs?a=1", True),
            ("user/Task.rs?a=1", "user/Task.rs", False),
            ("user/Task.rs?a=1", "user/Task.rs?a=1&b=2", True),
            ("user/Task.rs?b=2&a=1", "user/Task.rs?a=1&b=2", True),
            ("user/Task.rs?a=1&b=2", "user/Task.rs?a=1", False),
            ("user/Task.rs?a=1", "user/Task.rs?a=2", False),
            ("user/Task.r?a=1 user/*.s", "user/Task.rs?a=1", True),
            ("user/Task.rs?a=b%7Cc", "user/Task.rs?a=b|c", True),
            ("launch/patient", "launch/patient", True),
            ("launch/patient", "launch", False),
            ("openid", "openid fhirUser", False),
            ("user/*.cruds", "offline_access", False),
            ("user/Task.sr", "user/Task.s", False),
            ("", "", True),
            ("openid", "", True),
            ("", "openid", False),
        ],
    )
    def test_table(self, granted: str, need: str, covered: bool) -> None:
        """Coverage is judged by level, type, letters and constraints, never by the string."""
        assert Scopes.parse(granted).covers(need) is covered
        assert Scopes.parse(granted).covers(Scopes.parse(need)) is covered

    def test_one_scope_as_need(self) -> None:
        """A single scope is as good a question as several."""
        assert Scopes("user/*.rs").covers(Scope.clinical("user", "Task", "r"))

    @given(grants, grants)
    def test_agrees_with_the_definition(self, granted: Scopes, need: Scopes) -> None:
        """The index answers as the definition does, worked out permission by permission."""
        assert granted.covers(need) == (reached(need) <= reached(granted))

    @given(grants)
    def test_reflexive(self, scopes: Scopes) -> None:
        """A grant covers itself."""
        assert scopes.covers(str(scopes))

    @given(grants, grants, grants)
    def test_transitive(self, one: Scopes, two: Scopes, three: Scopes) -> None:
        """What covers a coverer covers what that covers."""
        one, two = one | two | three, two | three
        assert one.covers(two)
        assert two.covers(three)
        assert one.covers(three)

    @given(levels, resources, words, resources, words, resources, words)
    def test_transitive_for_simple_scopes(
        self, level: str, a: str, x: str, b: str, y: str, c: str, z: str
    ) -> None:
        """Transitivity holds for single scopes that are not subsets of each other by construction."""
        one, two, three = (
            Scopes(f"{level}/{resource}.{word}") for resource, word in ((a, x), (b, y), (c, z))
        )
        if one.covers(two) and two.covers(three):
            assert one.covers(three)

    @pytest.mark.parametrize("count", [10, 300])
    def test_many_constraint_sets_on_one_type(self, count: int) -> None:
        """However many constrained scopes are granted, a subset of the need's constraints is found."""
        granted = Scopes(f"user/Task.r?a={number}&b=1" for number in range(count))
        assert granted.covers("user/Task.r?c=1&b=1&a=7")
        assert granted.covers("user/Task.r?b=1&a=7")
        assert not granted.covers("user/Task.r?a=7")
        assert not granted.covers("user/Task.r?b=2&a=7")

    def test_beyond_every_sensible_size_it_errs_on_the_safe_side(self) -> None:
        """With hundreds of constraint sets and dozens in the need, equal and unconstrained grants count."""
        pairs = "&".join(f"p{number}=1" for number in range(40))
        granted = Scopes(
            [*(f"user/Task.r?a={number}" for number in range(300)), f"user/Task.r?{pairs}", "user/Task.c"]
        )
        assert granted.covers(f"user/Task.cr?{pairs}")
        assert not granted.covers(f"user/Task.d?{pairs}")


class TestShortest:
    @pytest.mark.rule("SC-10", "SC-11")
    @pytest.mark.parametrize(
        ("text", "shortest"),
        [
            ("user/A.r user/A.s", "user/A.rs"),
            ("user/A.s openid user/A.r", "user/A.rs openid"),
            ("user/A.r user/B.s", "user/A.r user/B.s"),
            ("user/A.r patient/A.s", "user/A.r patient/A.s"),
            ("user/A.read user/A.rs", "user/A.read"),
            ("user/A.read user/A.write", "user/A.*"),
            ("user/A.read user/A.c", "user/A.crs"),
            ("user/A.read user/A.rs user/A.cud", "user/A.cruds"),
            ("user/*.rs user/A.r", "user/*.rs"),
            ("user/*.r user/*.s user/A.rs", "user/*.rs"),
            ("user/*.rs user/A.cr", "user/*.rs user/A.cr"),
            ("user/A.rs user/A.rs?a=1", "user/A.rs"),
            ("user/A.r?a=1 user/A.s?a=1", "user/A.rs?a=1"),
            ("user/A.r?a=1&b=2 user/A.s?b=2&a=1", "user/A.rs?a=1&b=2"),
            ("user/A.r?a=1 user/A.s?a=2", "user/A.r?a=1 user/A.s?a=2"),
            (f"{SMART_URI}user/A.r user/A.s", f"{SMART_URI}user/A.rs"),
            ("user/A.sr user/A.s", "user/A.sr user/A.s"),
            ("", ""),
        ],
    )
    def test_table(self, text: str, shortest: str) -> None:
        """Letters of one reach come together, covered scopes go, and all else stays."""
        assert str(Scopes.parse(text).shortest()) == shortest

    @given(grants)
    def test_permits_exactly_the_same(self, scopes: Scopes) -> None:
        """Factoring neither loses nor adds a permission, is never longer, and has nothing left to do."""
        shortest = scopes.shortest()
        assert reached(shortest) == reached(scopes)
        assert len(shortest) <= len(scopes)
        assert list(shortest.shortest()) == list(shortest)


class TestSyntaxes:
    @given(grants)
    def test_to_v2_is_exact(self, scopes: Scopes) -> None:
        """Version 2 can say all that version 1 says."""
        assert reached(scopes.to_v2()) == reached(scopes)
        assert {scope.version for scope in scopes.to_v2()} <= {2}

    @pytest.mark.parametrize(
        ("text", "older"),
        [
            ("user/A.rs", "user/A.read"),
            ("user/*.cud", "user/*.write"),
            ("user/A.cruds", "user/A.*"),
            ("user/A.read", "user/A.read"),
            ("user/A.r user/A.s", "user/A.read"),
            ("user/A.r user/*.rs", "user/A.read user/*.read"),
            ("openid launch/patient __x", "openid launch/patient __x"),
            (f"{SMART_URI}user/A.rs", f"{SMART_URI}user/A.read"),
        ],
    )
    def test_to_v1_where_it_is_exact(self, text: str, older: str) -> None:
        """What version 1 can say, alone or together, is said without further ado."""
        assert str(Scopes.parse(text).to_v1()) == older

    @pytest.mark.rule("SC-11")
    @pytest.mark.parametrize(
        ("text", "older"),
        [
            ("user/A.r", "user/A.read"),
            ("user/A.s", "user/A.read"),
            ("user/A.u", "user/A.write"),
            ("user/A.cr", "user/A.*"),
            ("user/A.rs?a=1", "user/A.read"),
            ("user/A.read?a=1", "user/A.read"),
        ],
    )
    def test_to_v1_widens_only_when_told(self, text: str, older: str) -> None:
        """Where version 1 would ask for more, that takes a word from the caller, who is told which scopes."""
        scopes = Scopes.parse(f"openid user/B.rs {text}")
        with pytest.raises(ConfigurationError) as caught:
            scopes.to_v1()
        assert text in str(caught.value)
        assert "user/B" not in str(caught.value)
        assert str(scopes.to_v1(allow_widening=True)) == f"openid user/B.read {older}"

    @given(grants)
    def test_to_v1_never_loses_a_permission(self, scopes: Scopes) -> None:
        """Whatever version 1 cannot say is widened, never narrowed, and all of it becomes version 1."""
        older = scopes.to_v1(allow_widening=True)
        assert reached(scopes) <= reached(older)
        assert {(scope.version, scope.parameters) for scope in older} <= {(1, ())}

    @pytest.mark.parametrize(
        ("capabilities", "supported", "version"),
        [
            (["permission-v2"], [], 2),
            (["permission-v1", "permission-v2"], [], 2),
            (["permission-v1"], ["patient/*.rs"], 1),
            ([], [], 1),
            ([], ["openid", "patient/*.read"], 1),
            ([], ["openid", "patient/*.rs"], 2),
            (["launch-ehr"], ["", "a b", "patient/Task.cruds"], 2),
        ],
    )
    def test_choice_of_syntax(self, capabilities: list[str], supported: list[str], version: int) -> None:
        """Announced capabilities decide; without any, letters among the supported scopes do."""
        assert syntax_version(capabilities, supported) == version
        expected = {1: "patient/A.read patient/B.read", 2: "patient/A.rs patient/B.rs"}[version]
        scopes = Scopes.parse("patient/A.rs patient/B.read")
        assert str(scopes.for_capabilities(capabilities, supported)) == expected

    @pytest.mark.rule("SC-11")
    def test_for_capabilities_never_widens_by_itself(self) -> None:
        """A server of version 1 gets a wider request only if the caller says so."""
        scopes = Scopes.parse("patient/A.r")
        with pytest.raises(ConfigurationError, match=r"patient/A\.r"):
            scopes.for_capabilities(["permission-v1"])
        assert str(scopes.for_capabilities(["permission-v1"], allow_widening=True)) == "patient/A.read"


class TestReport:
    @pytest.mark.rule("SC-09", "SC-16")
    @pytest.mark.parametrize(
        ("requested", "granted", "differences"),
        [
            ("user/A.cruds openid", "openid user/A.cruds", {}),
            ("user/A.cruds", "user/A.rs user/A.cud", {}),
            ("user/A.rs", "user/A.read", {}),
            ("user/A.cruds", "user/A.rs", {"narrowed": "user/A.cruds"}),
            ("user/*.rs", "user/A.rs user/B.rs", {"narrowed": "user/*.rs"}),
            ("user/A.rs", "user/A.rs?a=1", {"narrowed": "user/A.rs"}),
            ("user/A.rs", "user/*.rs", {"widened": "user/*.rs"}),
            ("user/A.rs", "user/A.cruds", {"widened": "user/A.cruds"}),
            ("user/A.rs?a=1", "user/A.rs", {"widened": "user/A.rs"}),
            ("user/A.rs", "user/A.cr", {"narrowed": "user/A.rs", "widened": "user/A.cr"}),
            ("user/A.rs", "user/B.rs", {"missing": "user/A.rs", "extra": "user/B.rs"}),
            ("user/A.rs", "user/A.cud", {"missing": "user/A.rs", "extra": "user/A.cud"}),
            ("launch user/A.rs", "user/A.rs profile", {"missing": "launch", "extra": "profile"}),
            ("user/A.rs openid", "", {"missing": "user/A.rs openid"}),
            ("user/*.cud", "user/A.rs", {"missing": "user/*.cud", "extra": "user/A.rs"}),
            (
                "patient/A.rs patient/B.c",
                "user/A.rs",
                {"missing": "patient/A.rs patient/B.c", "extra": "user/A.rs", "user_level": "patient/A.rs"},
            ),
            ("user/A.rs", "patient/A.rs", {"missing": "user/A.rs", "extra": "patient/A.rs"}),
            ("fhirUser patient/A.read", "FHIRuser patient/a.read", {}),
        ],
    )
    def test_table(self, requested: str, granted: str, differences: dict[str, str]) -> None:
        """Each difference between request and grant has its own place, and sameness is no difference."""
        report = Scopes.parse(granted).report(requested)
        found = {name: str(getattr(report, name)) for name in ScopeReport.__slots__}
        assert {name: text for name, text in found.items() if text} == differences
        assert report.satisfied == (not differences.keys() & {"missing", "narrowed"})
        assert report.exceeded == bool(differences.keys() & {"extra", "widened"})

    def test_a_single_scope_as_request(self) -> None:
        """One scope is a request, too."""
        assert str(Scopes("openid").report(Scope.launch()).missing) == "launch"

    @given(grants, grants)
    def test_report_agrees_with_coverage(self, granted: Scopes, requested: Scopes) -> None:
        """Satisfied means covered, exceeded means not covered the other way, and no scope stands twice."""
        report = granted.report(requested)
        assert report.satisfied == granted.covers(requested)
        assert report.exceeded == (not requested.covers(granted))
        assert report.missing.isdisjoint(report.narrowed)
        assert report.extra.isdisjoint(report.widened)


class TestSpeed:
    def test_parsing_is_linear(self) -> None:
        """Ten times the scopes take about ten times the time; a quadratic parser would take a hundred."""
        few, many = (
            " ".join(f"user/A{number}.rs?a=b{number}" for number in range(size)) for size in (1_000, 10_000)
        )
        assert len(Scopes.parse(many)) == 10_000
        assert fastest(Scopes.parse, many) < 40 * fastest(Scopes.parse, few)

    def test_a_single_huge_scope_is_linear(self) -> None:
        """A scope of many pairs, or one that almost fits the grammar, costs no backtracking."""
        few, many = ("user/A.r?" + "a=%41&" * size for size in (1_000, 10_000))
        assert fastest(Scope.parse, many) < 40 * fastest(Scope.parse, few)

    def test_comparing_hostile_grants_is_linear(self) -> None:
        """Grants that share a constraint and differ in another are not compared all with all."""

        def compare(size: int) -> ScopeReport:
            granted = Scopes(f"user/A.r?a=b&c={number}" for number in range(size))
            return granted.report(f"user/A.r?a=b&d={number}" for number in range(size))

        assert fastest(compare, 5_000) < 40 * fastest(compare, 500)


def fastest(work: object, argument: object) -> float:
    """Processor seconds of the fastest of five runs: other processes' work does not count."""

    def once() -> float:
        began = process_time()
        work(argument)  # type: ignore[operator]
        return process_time() - began

    return min(once() for _ in range(5))
