"""What is wrong with a document, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from smart_async.smart.conformance import conformance_findings

CLINICIAN = [
    "launch-ehr",
    "context-ehr-patient",
    "context-ehr-encounter",
    "permission-user",
    "permission-patient",
]


def rules(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity) for finding in conformance_findings(document)]


class TestFaultless:
    def test_the_faultless_document_has_no_findings(self, document: dict[str, Any]) -> None:
        """The document that every other test starts from keeps all rules."""
        assert conformance_findings(document) == ()

    def test_an_empty_document_breaks_only_the_unconditional_rules(self) -> None:
        """What depends on a capability is not asked of a server that does not claim it."""
        assert rules({}) == [("DI-08", "error")] * 3

    def test_every_finding_says_what_and_what_to_do(self, document: dict[str, Any]) -> None:
        """A finding that reaches an operator names the member and gives advice."""
        del document["capabilities"]
        (finding,) = conformance_findings(document)
        assert finding.message == "capabilities is required and missing."
        assert finding.advice != ""


class TestMissingMembers:
    @pytest.mark.rule("DI-07")
    @pytest.mark.parametrize("value", [None, ""])
    @pytest.mark.parametrize("launch", ["launch-ehr", "launch-standalone"])
    def test_launches_need_an_authorization_endpoint(
        self, document: dict[str, Any], launch: str, value: str | None
    ) -> None:
        """A server that claims launches has to say where the user signs in."""
        other = {"launch-ehr", "launch-standalone"} - {launch}
        document["capabilities"] = [name for name in document["capabilities"] if name not in other]
        document["authorization_endpoint"] = value
        assert rules(document) == [("DI-07", "error")]

    @pytest.mark.rule("DI-07")
    def test_a_backend_server_needs_none(self, document: dict[str, Any]) -> None:
        """Without launches the endpoint may be left out."""
        del document["authorization_endpoint"]
        document["capabilities"] = ["client-confidential-asymmetric"]
        assert conformance_findings(document) == ()

    @pytest.mark.rule("DI-08")
    @pytest.mark.parametrize("value", [None, ""])
    @pytest.mark.parametrize("name", ["grant_types_supported", "code_challenge_methods_supported"])
    def test_required_lists_are_missed_once(
        self, document: dict[str, Any], name: str, value: str | None
    ) -> None:
        """Absent, null or empty text: one finding, and none about the content of what is not there."""
        document[name] = value
        assert rules(document) == [("DI-08", "error")]
        del document[name]
        assert rules(document) == [("DI-08", "error")]


class TestPkce:
    @pytest.mark.rule("DI-09", "AL-17")
    @pytest.mark.parametrize(
        ("methods", "count"),
        [(["S256"], 0), ([], 1), ("S256", 1), (["s256"], 1), (["S256", "plain"], 1), (["plain"], 2)],
    )
    def test_s256_must_be_listed_and_plain_must_not(
        self, document: dict[str, Any], methods: Any, count: int
    ) -> None:
        """Each half of the rule is a finding of its own; a string is no list."""
        document["code_challenge_methods_supported"] = methods
        assert rules(document) == [("DI-09", "error")] * count


class TestIdentity:
    @pytest.mark.rule("DI-10")
    @pytest.mark.parametrize("name", ["issuer", "jwks_uri"])
    def test_sign_in_needs_issuer_and_keys(self, document: dict[str, Any], name: str) -> None:
        """A server that claims OpenID Connect has to name its issuer and its keys."""
        del document[name]
        (finding,) = conformance_findings(document)
        assert (finding.rule, finding.severity) == ("DI-10", "error")
        assert name in finding.message

    @pytest.mark.rule("DI-10")
    def test_without_sign_in_neither_is_needed(self, document: dict[str, Any]) -> None:
        """The rule is conditional on sso-openid-connect."""
        document["capabilities"].remove("sso-openid-connect")
        del document["issuer"], document["jwks_uri"]
        assert conformance_findings(document) == ()


class TestCapabilitySets:
    @pytest.mark.rule("DI-15")
    @pytest.mark.parametrize("client", ["client-public", "client-confidential-symmetric"])
    @pytest.mark.parametrize(
        "capabilities",
        [
            ["launch-standalone", "context-standalone-patient", "permission-patient"],
            ["launch-ehr", "context-ehr-patient", "permission-patient"],
            ["launch-standalone", "permission-user", "permission-patient"],
            CLINICIAN,
        ],
    )
    def test_each_of_the_four_sets_is_enough(
        self, document: dict[str, Any], capabilities: list[str], client: str
    ) -> None:
        """One whole set with one client type satisfies the rule."""
        document["capabilities"] = [*capabilities, client]
        assert conformance_findings(document) == ()

    @pytest.mark.rule("DI-15")
    @pytest.mark.parametrize(
        "capabilities",
        [
            ["launch-standalone", "client-public", "permission-patient"],
            ["launch-ehr", "client-public", "context-standalone-patient", "permission-patient"],
            ["launch-standalone", "client-public", "permission-user"],
            CLINICIAN,
            [*CLINICIAN, "client-confidential-asymmetric"],
        ],
    )
    def test_less_than_a_set_is_a_warning(self, document: dict[str, Any], capabilities: list[str]) -> None:
        """One capability short, or without a client type that counts: no set is whole."""
        document["capabilities"] = capabilities
        assert rules(document) == [("DI-15", "warning")]

    @pytest.mark.rule("DI-12")
    def test_old_names_are_explained(self, document: dict[str, Any]) -> None:
        """context-passthrough-banner and -style still occur, in the specification's own samples too."""
        document["capabilities"] += ["context-passthrough-banner", "context-passthrough-style"]
        assert rules(document) == [("DI-12", "info")] * 2


class TestAlgorithms:
    @pytest.mark.rule("AS-22")
    @pytest.mark.parametrize(
        ("listed", "count"), [(["RS384"], 0), (["ES384", "PS256"], 0), ([], 0), (None, 0), (["RS256"], 1)]
    )
    def test_asymmetric_clients_need_one_of_two_algorithms(
        self, document: dict[str, Any], listed: Any, count: int
    ) -> None:
        """A list without RS384 and ES384 is a finding; no list at all is common and none."""
        document["token_endpoint_auth_signing_alg_values_supported"] = listed
        assert rules(document) == [("AS-22", "error")] * count

    @pytest.mark.rule("AS-22")
    def test_other_servers_are_not_asked(self, document: dict[str, Any]) -> None:
        """Without client-confidential-asymmetric the list says nothing about SMART."""
        document["capabilities"].remove("client-confidential-asymmetric")
        document["token_endpoint_auth_signing_alg_values_supported"] = ["RS256"]
        assert conformance_findings(document) == ()
