"""Hiding secrets in what is shown, while the reader can still follow where each of them goes."""

from __future__ import annotations

from typing import Any

from smart_async.messages import as_list, as_object

__all__ = ("SECRETS", "Masker")

SECRETS = frozenset(
    {"access_token", "refresh_token", "id_token", "code", "code_verifier", "state", "nonce", "launch"}
    | {"client_secret", "client_assertion", "token", "subject_token", "password"}
)
"""The parameters and members whose values are never shown."""

_SHORTEST = 8


class Masker:
    """
    Replace each secret by its number and length.

    The same secret has the same number wherever it turns up, so that a reader sees the code of the
    callback go into the token request without ever seeing the code.

    >>> masker = Masker()
    >>> masker.mask("swordfish"), masker.mask("open sesame"), masker.mask("swordfish")
    ('<secret 1, 9 characters>', '<secret 2, 11 characters>', '<secret 1, 9 characters>')
    >>> masker.scrub("the password is swordfish")
    'the password is <secret 1, 9 characters>'
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def mask(self, secret: str) -> str:
        """Return what stands for *secret*, and remember it."""
        number = self._known.setdefault(secret, len(self._known) + 1)
        return f"<secret {number}, {len(secret)} characters>"

    def scrub(self, text: str) -> str:
        """Return *text* with every secret seen so far replaced in it, wherever it stands."""
        for secret in sorted(self._known, key=len, reverse=True):
            if len(secret) >= _SHORTEST and secret in text:
                text = text.replace(secret, self.mask(secret))
        return text

    def member(self, name: str, value: Any) -> Any:
        """Return *value*, the member called *name*, with all secrets in it masked, at any depth."""
        if name in SECRETS and isinstance(value, str):
            return self.mask(value)
        members, items = as_object(value), as_list(value)
        if members is not None:
            return {key: self.member(key, item) for key, item in members.items()}
        if items is not None:
            return [self.member("", item) for item in items]
        return self.scrub(value) if isinstance(value, str) else value
