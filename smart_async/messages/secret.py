"""A string that does not show itself: access tokens, refresh tokens, client secrets, verifiers."""

from __future__ import annotations

from typing import NoReturn

__all__ = ("Secret",)

_MASK = "<Secret: call .reveal()>"


class Secret:
    """
    Hold a secret string that no repr, log line, f-string, pickle or traceback shows by accident.

    Two secrets compare in constant time. Comparing one with a plain string raises `TypeError`: such a
    comparison is nearly always a mistake, and answering it would leak time.

    Args:
        value: The plain text.

    Raises:
        TypeError: If *value* is not a string.

    >>> Secret("s3cret")
    <Secret: call .reveal()>
    >>> Secret("s3cret").reveal()
    's3cret'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"Secret() takes a str, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """Return the plain text. Keep it out of messages and logs."""
        return self._value

    def __bool__(self) -> bool:
        """Return whether there is any text at all."""
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare with another `Secret` in constant time."""
        if isinstance(other, str | bytes):
            raise TypeError("a Secret cannot be compared with plain text; wrap the other side in Secret()")
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # loads OpenSSL's hashes, and few secrets are ever compared

        return hmac.compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # a hash would let a dict compare secrets in variable time

    def __repr__(self) -> str:
        """Return the mask."""
        return _MASK

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        """Return the mask, formatted."""
        return format(_MASK, format_spec)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickling and copying: a pickle is plain text."""
        raise TypeError("a Secret is never pickled or copied; use .reveal() where plain text is wanted")
