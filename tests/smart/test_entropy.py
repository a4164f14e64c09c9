"""Randomness: where it comes from, how much of it there is, and how it is written."""

from __future__ import annotations

import re

import pytest

from smart_async.smart import entropy
from smart_async.smart.entropy import new_token, system_entropy


class TestSystemEntropy:
    @pytest.mark.rule("AL-10")
    def test_it_asks_the_operating_system(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The default source is the operating system's, asked anew at every call."""
        asked: list[int] = []
        monkeypatch.setattr(entropy, "urandom", lambda size: asked.append(size) or bytes(size))
        assert [system_entropy(32), system_entropy(5)] == [bytes(32), bytes(5)]
        assert asked == [32, 5]


class TestNewToken:
    @pytest.mark.rule("AL-10")
    def test_all_32_bytes_are_in_the_text(self) -> None:
        """The text holds 256 bits: two sources that differ in one bit give two texts."""
        texts = {new_token(lambda size, bit=bit: (1 << bit).to_bytes(size, "big")) for bit in range(256)}
        assert len(texts) == 256

    @pytest.mark.rule("AL-10")
    def test_ten_thousand_are_unique_and_need_no_escaping(self) -> None:
        """Tokens from the system's source never repeat, and are 43 characters of base64url."""
        texts = [new_token(system_entropy) for _ in range(10_000)]
        assert len(set(texts)) == 10_000
        assert [text for text in texts if not re.fullmatch(r"[A-Za-z0-9_-]{43}", text)] == []
