"""Stored things go back only to the registration and the server that they came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smart_async import ConfigurationError, EndpointChangedError, SmartConfig, SmartMetadata
from smart_async.smart.binding import (
    Binding,
    check_binding,
    check_registration,
    origin_of,
    recorded_endpoint,
)
from smart_async.smart.metadata import parse_metadata


@pytest.fixture
def now_found(document: dict[str, Any]) -> Callable[..., SmartMetadata]:
    """What discovery says now, with some members changed; None takes a member away."""

    def build(**changes: Any) -> SmartMetadata:
        return parse_metadata(
            document | changes, fhir_base="https://ehr.example.com/r4", url="https://x.example"
        )

    return build


@pytest.fixture
def binding(config: SmartConfig, now_found: Callable[..., SmartMetadata]) -> Binding:
    """The binding of something issued by the faultless server."""
    return Binding.of(config, now_found())


class TestMembers:
    def test_they_survive_json(self, binding: Binding) -> None:
        """What is stored comes back equal, with and without an issuer."""
        for one in (binding, replace(binding, issuer=None)):
            assert Binding.from_members(json.loads(json.dumps(one.to_members()))) == one

    @pytest.mark.parametrize("name", ["fhir_base", "client_id", "issuer", "token_endpoint"])
    def test_a_missing_member_is_noticed(self, binding: Binding, name: str) -> None:
        """Nothing is guessed for what is not there."""
        members = binding.to_members()
        del members[name]
        with pytest.raises(KeyError, match=name):
            Binding.from_members(members)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("fhir_base", None), ("client_id", 7), ("issuer", ["x"]), ("token_endpoint", {"a": 1})],
    )
    def test_a_member_of_another_type_is_noticed(self, binding: Binding, name: str, value: Any) -> None:
        """Only the issuer may be null; all else is text."""
        with pytest.raises(TypeError):
            Binding.from_members(binding.to_members() | {name: value})


class TestRegistration:
    @pytest.mark.parametrize("base", ["https://ehr.example.com/r4", "https://ehr.example.com/r4/"])
    def test_the_same_one_passes(self, binding: Binding, config: SmartConfig, base: str) -> None:
        """One trailing slash makes no other server."""
        check_registration(binding, replace(config, fhir_base=base), what="token")

    @pytest.mark.rule("CB-09")
    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": "other-chart"},
            {"fhir_base": "https://ehr.example.com/r4b"},
            {"fhir_base": "https://other.example.com/r4"},
            {"fhir_base": "https://EHR.example.com/r4"},
        ],
    )
    def test_another_client_or_server_is_refused(
        self, binding: Binding, config: SmartConfig, changes: dict[str, Any]
    ) -> None:
        """The message names both sides and what it is about."""
        with pytest.raises(ConfigurationError, match="This token belongs to client growth-chart at https"):
            check_registration(binding, replace(config, **changes), what="token")


class TestEndpoints:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"token_endpoint": "https://sso.example.com/other/token"},
            {"token_endpoint": "https://SSO.example.com:443/oauth2/token"},
            {"issuer": "https://sso.example.com/tenant"},
            {"issuer": None},
        ],
    )
    def test_the_same_origin_passes(
        self,
        binding: Binding,
        config: SmartConfig,
        now_found: Callable[..., SmartMetadata],
        changes: dict[str, Any],
    ) -> None:
        """Paths change and issuers come and go; the origin is what counts."""
        check_binding(binding, now_found(**changes), config, what="token")

    @pytest.mark.rule("CB-09")
    @pytest.mark.parametrize(
        ("changes", "new"),
        [
            ({"token_endpoint": "https://evil.example/token"}, "https://evil.example"),
            ({"token_endpoint": "https://sso.example.com:8443/token"}, "https://sso.example.com:8443"),
            (
                {"token_endpoint": "https://sso.example.com.evil.example/t"},
                "https://sso.example.com.evil.example",
            ),
            ({"issuer": "https://evil.example"}, "https://evil.example"),
            ({"issuer": "urn:evil"}, "urn:evil"),
        ],
    )
    def test_another_origin_is_refused_unless_trusted(
        self,
        binding: Binding,
        config: SmartConfig,
        now_found: Callable[..., SmartMetadata],
        changes: dict[str, Any],
        new: str,
    ) -> None:
        """The error says what moved where and how to allow it."""
        with pytest.raises(EndpointChangedError) as caught:
            check_binding(binding, now_found(**changes), config, what="pending login")
        error = caught.value
        assert f"issued by https://sso.example.com; discovery now names {new}" in error.message
        (member,) = changes
        assert f" as {member}. Nothing was sent" in error.message
        assert error.endpoint == now_found(**changes).token_endpoint
        assert new in str(error.advice)

    def test_a_trusted_origin_passes(
        self, binding: Binding, config: SmartConfig, now_found: Callable[..., SmartMetadata]
    ) -> None:
        """A server that has really moved is listed by whoever runs the app."""
        moved = now_found(token_endpoint="https://new.example.com/t", issuer="https://new.example.com")
        trusting = replace(config, trusted_origins=("https://new.example.com",))
        check_binding(binding, moved, trusting, what="token")

    def test_trust_in_one_origin_is_no_trust_in_the_other(
        self, binding: Binding, config: SmartConfig, now_found: Callable[..., SmartMetadata]
    ) -> None:
        """Token endpoint and issuer are judged each for itself."""
        moved = now_found(token_endpoint="https://evil.example/t", issuer="https://new.example.com")
        trusting = replace(config, trusted_origins=("https://new.example.com",))
        with pytest.raises(EndpointChangedError, match="token_endpoint"):
            check_binding(binding, moved, trusting, what="token")

    @pytest.mark.rule("CB-09")
    def test_the_recorded_endpoint_wins_on_its_origin(
        self, binding: Binding, now_found: Callable[..., SmartMetadata]
    ) -> None:
        """A document that changed in between cannot lead a code to another path."""
        found = now_found(token_endpoint="https://sso.example.com/evil/token")
        assert recorded_endpoint(binding, found) == "https://sso.example.com/oauth2/token"

    def test_after_a_move_the_new_endpoint_counts(
        self, binding: Binding, now_found: Callable[..., SmartMetadata]
    ) -> None:
        """At a trusted new origin the old endpoint is gone."""
        found = now_found(token_endpoint="https://new.example.com/t")
        assert recorded_endpoint(binding, found) == "https://new.example.com/t"


class TestOrigin:
    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            (None, None),
            ("https://A.example:443/x?y=1", "https://a.example"),
            ("http://127.0.0.1:80/x", "http://127.0.0.1"),
            ("http://a.example/x", "http://a.example/x"),
            ("https://a.example@evil.example/x", "https://a.example@evil.example/x"),
            ("", ""),
        ],
    )
    def test_what_is_no_trustworthy_url_equals_only_itself(self, url: str | None, origin: str | None) -> None:
        """Two such texts never meet by accident."""
        assert origin_of(url) == origin
