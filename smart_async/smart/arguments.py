"""What a caller gave to a flow: the right kind of object, or an error that says where to get it."""

from __future__ import annotations

from smart_async.errors import ConfigurationError

__all__ = ("DEFAULT_SCOPE", "check_argument")

DEFAULT_SCOPE = "system/*.rs"
"""What a backend token is for where nothing is said: read and search all that the registration allows."""


def check_argument(value: object, kind: type, name: str, advice: str) -> None:
    """
    Refuse an argument of the wrong type before anything is sent.

    Args:
        value: What the caller gave.
        kind: What is needed.
        name: The argument, as the caller would type it.
        advice: Where the right object comes from.

    Raises:
        ConfigurationError: If *value* is something else. It is not quoted: it may be secret.
    """
    if not isinstance(value, kind):
        raise ConfigurationError(
            f"{name} must be a {kind.__name__}, not {type(value).__name__}.", field=name, advice=advice
        )
