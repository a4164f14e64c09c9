"""PKCE: verifier and challenge, S256 only."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smart_async import ConfigurationError, Secret
from smart_async.smart import pkce
from smart_async.smart.entropy import system_entropy
from smart_async.smart.pkce import CODE_CHALLENGE_METHOD, code_challenge, new_verifier

VECTORS = Path(__file__).parents[1] / "vectors" / "smart.json"
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


class TestVerifier:
    @pytest.mark.rule("AL-16")
    def test_it_is_43_unreserved_characters_and_never_the_same(self) -> None:
        """Each login gets a verifier of its own, of 256 bits, in characters that PKCE allows."""
        verifiers = [new_verifier(system_entropy).reveal() for _ in range(1000)]
        assert len(set(verifiers)) == 1000
        assert [text for text in verifiers if not re.fullmatch(r"[A-Za-z0-9\-._~]{43,128}", text)] == []

    @pytest.mark.rule("AL-16")
    def test_it_is_masked(self) -> None:
        """A verifier shows itself in no repr."""
        assert repr(new_verifier(system_entropy)) == "<Secret: call .reveal()>"


class TestChallenge:
    @pytest.mark.rule("AL-15", "AL-16")
    def test_the_reference_vector(self) -> None:
        """The pair of the reference's appendix A comes out."""
        pair = json.loads(VECTORS.read_text(encoding="utf-8"))["pkce"]
        assert code_challenge(Secret(pair["verifier"])) == pair["challenge"]

    @pytest.mark.rule("AL-16")
    @given(st.text(UNRESERVED, min_size=43, max_size=128))
    def test_it_is_the_unpadded_sha256_of_every_verifier(self, verifier: str) -> None:
        """The challenge is base64url of SHA-256, without padding, 43 characters long."""
        challenge = code_challenge(Secret(verifier))
        assert len(challenge) == 43
        assert urlsafe_b64decode(challenge + "=") == hashlib.sha256(verifier.encode()).digest()

    @pytest.mark.rule("AL-16")
    @pytest.mark.parametrize(
        "verifier", ["", "a" * 42, "a" * 129, "a" * 42 + " ", "a" * 43 + "\n", "a" * 42 + "ä", "a" * 42 + "="]
    )
    def test_what_is_no_verifier_is_refused_unquoted(self, verifier: str) -> None:
        """Too short, too long or with another character: refused, without a word of it."""
        with pytest.raises(ConfigurationError) as caught:
            code_challenge(Secret(verifier))
        assert str(caught.value) == "A code verifier is 43 to 128 characters of A-Z a-z 0-9 - . _ ~."

    @pytest.mark.rule("AL-17")
    def test_there_is_no_plain(self) -> None:
        """S256 is the one method, and the module offers no other way to make a challenge."""
        assert CODE_CHALLENGE_METHOD == "S256"
        assert pkce.__all__ == ("CODE_CHALLENGE_METHOD", "code_challenge", "new_verifier")
