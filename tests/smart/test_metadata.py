"""The smart-configuration document, read: every member, every oddity, and nothing but our own errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smart_async import DiscoveryError
from smart_async.messages import Finding
from smart_async.smart.metadata import AssociatedEndpoint, SmartMetadata, parse_metadata

BASE = "https://gw.example.net/t7/fhir"
URL = f"{BASE}/.well-known/smart-configuration"
ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "management_endpoint",
    "smart_app_state_endpoint",
    "jwks_uri",
    "user_access_brand_bundle",
)
LISTS = (
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "scopes_supported",
    "response_types_supported",
    "capabilities",
    "code_challenge_methods_supported",
)
OTHERS = (
    "issuer",
    "associated_endpoints",
    "user_access_brand_identifier",
    "authorization_response_iss_parameter_supported",
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars
    | st.sampled_from(["", "//[x", "https:x", "https://[", "http://a b/", "/../..", "\t/token", "?#"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture
def read(document: dict[str, Any]) -> Callable[..., SmartMetadata]:
    """Reads the faultless document with some members changed; None as a value takes the member away."""

    def parse(
        *, fhir_base: str = BASE, allow_insecure_loopback: bool = False, **changes: Any
    ) -> SmartMetadata:
        changed = {
            name: value
            for name, value in (document | changes).items()
            if value is not None or name not in changes
        }
        return parse_metadata(
            changed, fhir_base=fhir_base, url=URL, allow_insecure_loopback=allow_insecure_loopback
        )

    return parse


def rules(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity) for finding in findings]


class TestMembers:
    @pytest.mark.rule("DI-06", "DI-12")
    def test_every_member_of_the_specification_is_typed(
        self, read: Callable[..., SmartMetadata], document: dict[str, Any]
    ) -> None:
        """A faultless document comes back member by member, without a finding."""
        metadata = read(authorization_response_iss_parameter_supported=True)
        assert {name: getattr(metadata, name) for name in ("issuer", *ENDPOINTS)} == {
            name: document[name] for name in ("issuer", *ENDPOINTS)
        }
        assert {name: list(getattr(metadata, name)) for name in LISTS} == {
            name: document[name] for name in LISTS
        }
        assert metadata.associated_endpoints == (
            AssociatedEndpoint(url="https://state.example.com/fhir", capabilities=("smart-app-state",)),
        )
        assert metadata.user_access_brand_identifier == document["user_access_brand_identifier"]
        assert metadata.authorization_response_iss_parameter_supported is True
        assert metadata.fhir_base == BASE
        assert metadata.findings == ()
        assert metadata.conformance() == ()

    @pytest.mark.rule("DI-12")
    def test_unknown_members_and_capabilities_are_kept(self, read: Callable[..., SmartMetadata]) -> None:
        """Other specifications extend the document; what is unknown here stays available and harmless."""
        extension = "https://vendor.example/capability/x"
        metadata = read(udap_versions_supported=["1"], capabilities=["launch-ehr", extension])
        assert metadata.raw["udap_versions_supported"] == ["1"]
        assert metadata.capabilities == ("launch-ehr", extension)

    def test_a_minimal_document_is_enough(self) -> None:
        """Only the token endpoint is needed; a backend server names little else."""
        metadata = parse_metadata({"token_endpoint": "https://a.example/t"}, fhir_base=BASE, url=URL)
        assert metadata.token_endpoint == "https://a.example/t"
        assert metadata.authorization_endpoint is None
        assert metadata.capabilities == ()

    def test_the_raw_document_stays_out_of_the_repr(self, read: Callable[..., SmartMetadata]) -> None:
        """A document of 256 KiB in a log line helps nobody."""
        assert "vendor_member" not in repr(read(vendor_member="x" * 10_000))

    def test_endpoints_are_kept_byte_for_byte(self, read: Callable[..., SmartMetadata]) -> None:
        """Slashes, ports, letter case and queries stay: servers compare the token URL as text."""
        text = "https://SSO.example.com:443/t//oauth/?tenant=4"
        assert read(token_endpoint=text).token_endpoint == text


class TestTokenEndpoint:
    @pytest.mark.rule("DI-06")
    @pytest.mark.parametrize("value", [None, "", 7, [], {}, True])
    def test_a_document_without_one_is_refused(self, document: dict[str, Any], value: Any) -> None:
        """Nothing works without it: an error with the URL, the member names and advice."""
        document["token_endpoint"] = value
        with pytest.raises(DiscoveryError) as caught:
            parse_metadata(document, fhir_base=BASE, url=URL)
        error = caught.value
        assert (error.endpoint, error.status) == (URL, 200)
        assert error.received == tuple(document)
        assert error.advice is not None
        assert "token_endpoint" in str(error)

    @pytest.mark.rule("DI-18")
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("http://sso.example.com/token", "plain http"),
            ("https://user:s3cret@sso.example.com/token", "user name"),
            ("https://sso.example.com:99999/token", "port"),
            ("https:token", "absolute URL"),
            ("javascript:alert(1)", "absolute URL"),
            ("file:///etc/passwd", "https"),
            ("//[x", "absolute URL"),
            ("/tok\nen", "character"),
            ("https://sso.example.com/token#x", "fragment"),
        ],
    )
    def test_one_that_may_not_receive_secrets_counts_as_missing(
        self, document: dict[str, Any], text: str, reason: str
    ) -> None:
        """The error says why the endpoint is unusable, and never quotes a password in it."""
        document["token_endpoint"] = text
        with pytest.raises(DiscoveryError) as caught:
            parse_metadata(document, fhir_base=BASE, url=URL)
        assert reason in str(caught.value)
        assert "s3cret" not in str(caught.value)


class TestEndpoints:
    @pytest.mark.rule("DI-04", "DI-05")
    @pytest.mark.parametrize(
        ("base", "relative", "absolute"),
        [
            ("https://gw.example.net/t7/fhir", "auth/token", "https://gw.example.net/t7/auth/token"),
            ("https://gw.example.net/t7/fhir/", "auth/token", "https://gw.example.net/t7/fhir/auth/token"),
            ("https://gw.example.net/t7/fhir", "/auth/token", "https://gw.example.net/auth/token"),
            ("https://gw.example.net/t7/fhir/", "/auth/token", "https://gw.example.net/auth/token"),
        ],
    )
    def test_relative_ones_are_resolved_against_the_fhir_base(
        self, read: Callable[..., SmartMetadata], base: str, relative: str, absolute: str
    ) -> None:
        """The base counts exactly as supplied, trailing slash included, and the oddity is noted."""
        metadata = read(fhir_base=base, token_endpoint=relative)
        assert metadata.token_endpoint == absolute
        assert rules(metadata.findings) == [("DI-04", "error")]

    @pytest.mark.rule("DI-18")
    @pytest.mark.parametrize("name", [name for name in ENDPOINTS if name != "token_endpoint"])
    def test_plain_http_counts_as_missing(self, read: Callable[..., SmartMetadata], name: str) -> None:
        """No endpoint is ever used over plain http; a finding says that it was there."""
        metadata = read(**{name: "http://sso.example.com/x"})
        assert getattr(metadata, name) is None
        assert rules(metadata.findings) == [("DI-18", "warning")]
        assert name in metadata.findings[0].message

    @pytest.mark.rule("DI-18")
    def test_loopback_http_needs_the_flag(self, read: Callable[..., SmartMetadata]) -> None:
        """A local test server may be plain http where the configuration says so."""
        text = "http://127.0.0.1:8080/token"
        metadata = read(
            token_endpoint=text, fhir_base="http://127.0.0.1:8080/r4", allow_insecure_loopback=True
        )
        assert metadata.token_endpoint == text
        with pytest.raises(DiscoveryError):
            read(token_endpoint=text)

    @pytest.mark.parametrize("value", ["", None])
    @pytest.mark.parametrize("name", [name for name in ("issuer", *ENDPOINTS) if name != "token_endpoint"])
    def test_empty_and_null_mean_missing(
        self, document: dict[str, Any], name: str, value: str | None
    ) -> None:
        """LinuxForHealth writes empty strings for what is not configured; that is no oddity."""
        document[name] = value
        metadata = parse_metadata(document, fhir_base=BASE, url=URL)
        assert getattr(metadata, name) is None
        assert metadata.findings == ()


class TestWrongTypes:
    @pytest.mark.rule("DI-12")
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *[(name, 7) for name in ("issuer", *ENDPOINTS) if name != "token_endpoint"],
            ("issuer", ["https://sso.example.com"]),
            *[(name, "code") for name in LISTS],
            ("code_challenge_methods_supported", {"S256": True}),
            ("user_access_brand_identifier", "brand"),
            ("associated_endpoints", {"url": "https://a.example", "capabilities": []}),
            ("authorization_response_iss_parameter_supported", "true"),
        ],
    )
    def test_a_member_of_the_wrong_type_is_ignored_with_a_finding(
        self, read: Callable[..., SmartMetadata], name: str, value: Any
    ) -> None:
        """The document is advice: an odd member is left out and named, and the rest is used."""
        metadata = read(**{name: value})
        assert not getattr(metadata, name)
        assert rules(metadata.findings) == [("DI-12", "warning")]
        assert name in metadata.findings[0].message
        assert metadata.raw[name] == value

    @pytest.mark.rule("DI-12")
    def test_lists_lose_repetitions_and_what_is_no_string(self, read: Callable[..., SmartMetadata]) -> None:
        """Servers list methods twice, and worse; order is kept."""
        metadata = read(scopes_supported=["openid", 7, "openid", None, {"a": []}, "fhirUser"])
        assert metadata.scopes_supported == ("openid", "fhirUser")
        assert rules(metadata.findings) == [("DI-12", "warning")]

    @given(data=st.data())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_only_our_error_escapes(self, document: dict[str, Any], data: st.DataObject) -> None:
        """Whatever one or two members are, the result is typed metadata or a DiscoveryError."""
        changed = dict(document)
        for name in data.draw(
            st.lists(st.sampled_from((*ENDPOINTS, *LISTS, *OTHERS)), min_size=1, max_size=2)
        ):
            if data.draw(st.booleans()):
                changed.pop(name, None)
            else:
                changed[name] = data.draw(values)
        try:
            metadata = parse_metadata(changed, fhir_base=BASE, url=URL)
        except DiscoveryError:
            return
        found = [getattr(metadata, name) for name in ENDPOINTS]
        assert all(value is None or value.startswith("https://") for value in map(_lower, found))
        assert all(isinstance(item, str) for name in LISTS for item in getattr(metadata, name))
        assert isinstance(metadata.authorization_response_iss_parameter_supported, bool)
        assert all(str(finding) for finding in metadata.conformance())


def _lower(value: str | None) -> str | None:
    return value if value is None else value.lower()


class TestAliases:
    @pytest.mark.rule("DI-12")
    @pytest.mark.parametrize(
        ("name", "alias"),
        [
            ("token_endpoint_auth_methods_supported", "token_endpoint_auth_methods"),
            ("response_types_supported", "response_types"),
        ],
    )
    @pytest.mark.parametrize("missing", [None, ""])
    def test_a_known_wrong_name_stands_in(
        self, document: dict[str, Any], name: str, alias: str, missing: str | None
    ) -> None:
        """Veradigm and LinuxForHealth use other names, the former with repetitions; the finding says so."""
        document[name] = missing
        document[alias] = ["a", "a", "b"]
        metadata = parse_metadata(document, fhir_base=BASE, url=URL)
        assert getattr(metadata, name) == ("a", "b")
        assert rules(metadata.findings) == [("DI-12", "warning")]
        assert alias in metadata.findings[0].message

    def test_the_right_name_wins(self, read: Callable[..., SmartMetadata]) -> None:
        """One vendor sends both; the standard one counts."""
        metadata = read(token_endpoint_auth_methods=["client_secret_post"])
        assert metadata.token_endpoint_auth_methods_supported == ("client_secret_basic", "private_key_jwt")
        assert metadata.findings == ()


class TestAbilities:
    @pytest.mark.rule("DI-12")
    def test_a_capability_is_found_under_either_name(self, read: Callable[..., SmartMetadata]) -> None:
        """A former name and today's mean the same; an extension is found as it is; others are not there."""
        extension = "https://vendor.example/x"
        metadata = read(capabilities=["context-passthrough-banner", "context-style", extension])
        names = ["context-banner", "context-passthrough-style", extension, "launch-ehr"]
        assert [metadata.supports(name) for name in names] == [True, True, True, False]

    @pytest.mark.rule("DI-15")
    def test_the_four_sets_are_computed(self, read: Callable[..., SmartMetadata]) -> None:
        """The faultless server offers all of them, one without client types offers none."""
        assert len(read().capability_sets) == 4
        assert read(capabilities=["launch-ehr", "permission-patient"]).capability_sets == ()

    @pytest.mark.parametrize(
        ("grants", "capabilities", "supported"),
        [
            (["client_credentials"], ["client-confidential-asymmetric"], True),
            (["authorization_code"], ["client-confidential-asymmetric"], False),
            (["client_credentials"], ["client-confidential-symmetric"], False),
        ],
    )
    def test_backend_services_are_inferred(
        self,
        read: Callable[..., SmartMetadata],
        grants: list[str],
        capabilities: list[str],
        supported: bool,
    ) -> None:
        """There is no capability for them: the grant type and the client type together tell."""
        metadata = read(grant_types_supported=grants, capabilities=capabilities)
        assert metadata.supports_backend_services is supported


class TestAssociatedEndpoints:
    @pytest.mark.rule("DI-17")
    @pytest.mark.parametrize(
        "item",
        [
            {},
            "https://a.example/fhir",
            None,
            {"url": "https://a.example/fhir"},
            {"capabilities": ["smart-app-state"]},
            {"url": "", "capabilities": []},
            {"url": 7, "capabilities": []},
            {"url": "https://a.example/fhir", "capabilities": "smart-app-state"},
        ],
    )
    def test_a_malformed_item_is_skipped_with_one_finding(
        self, read: Callable[..., SmartMetadata], item: Any
    ) -> None:
        """However many items lack a url or capabilities, the others are kept and one finding is made."""
        good = {"url": "https://b.example/fhir", "capabilities": ["smart-app-state", 7]}
        metadata = read(associated_endpoints=[item, good, item])
        assert metadata.associated_endpoints == (
            AssociatedEndpoint(url="https://b.example/fhir", capabilities=("smart-app-state",)),
        )
        assert rules(metadata.findings) == [("DI-17", "error")]
