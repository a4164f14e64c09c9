"""What the flows of one client share."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from smart_async import Limits, SmartConfig
from smart_async.smart.entropy import system_entropy
from smart_async.smart.metadata import parse_metadata
from smart_async.smart.state import CachedMetadata, ClientState


class TestClientState:
    def test_the_defaults_are_the_safe_ones(self, config: SmartConfig) -> None:
        """Randomness comes from the system, the limits are the library's, and nothing is known yet."""
        state = ClientState(config=config)
        assert state.entropy is system_entropy
        assert state.limits == Limits()
        assert state.cached is None

    def test_two_clients_share_nothing(self, config: SmartConfig, document: dict[str, Any]) -> None:
        """What one client discovered is unknown to another, same configuration or not."""
        one, other = ClientState(config=config), ClientState(config=config)
        metadata = parse_metadata(document, fhir_base=config.fhir_base, url="https://x.example")
        one.cached = CachedMetadata(metadata, 1.0)
        assert other.cached is None

    def test_the_cached_document_is_replaced_as_a_whole(
        self, config: SmartConfig, document: dict[str, Any]
    ) -> None:
        """Document and best-before cannot come apart while threads share them."""
        cached = CachedMetadata(
            parse_metadata(document, fhir_base=config.fhir_base, url="https://x.example"), 1.0
        )
        with pytest.raises(FrozenInstanceError):
            cached.fresh_until = 2.0  # type: ignore[misc]
