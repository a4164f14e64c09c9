"""What both clients are made of, before either of them waits for anything."""

from __future__ import annotations

from smart_async.errors import ConfigurationError
from smart_async.interfaces import Signer
from smart_async.limits import Limits, Timeouts
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.config import SmartConfig
from smart_async.smart.entropy import Entropy, system_entropy
from smart_async.smart.state import ClientState

__all__ = ("check_signer", "check_timeouts", "new_state")

_DAY = 86_400


def new_state(config: SmartConfig, limits: Limits | None, entropy: Entropy | None) -> ClientState:
    """
    Return the pure half of a client.

    Args:
        config: The registration.
        limits: How much is read of an answer; None for the defaults.
        entropy: The source of random bytes; None for the operating system.

    Raises:
        ConfigurationError: If *config* is something else.
    """
    if not isinstance(config, SmartConfig):
        raise ConfigurationError(
            f"A client is made from a SmartConfig, not from {type(config).__name__}.", field="config"
        )
    return ClientState(config=config, limits=limits or Limits(), entropy=entropy or system_entropy)


def check_timeouts(timeouts: Timeouts | None) -> Timeouts:
    """
    Return *timeouts*, or the defaults, with every value checked.

    Args:
        timeouts: What the caller gave.

    Raises:
        ConfigurationError: If a value would wait for ever or not at all.
    """
    timeouts = timeouts or Timeouts()
    for name in Timeouts.__slots__:
        value = getattr(timeouts, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _DAY:
            raise ConfigurationError(
                f"timeouts.{name} must be a number of seconds above 0 and below {_DAY}, not {value!r}.",
                field=f"timeouts.{name}",
            )
    return timeouts


def check_signer(config: SmartConfig) -> None:
    """
    Refuse a signer that can only be awaited, for the client that cannot await.

    Args:
        config: The registration.

    Raises:
        ConfigurationError: If its key has `async_sign` and no `sign`.
    """
    auth = config.client_auth
    if isinstance(auth, PrivateKeyJWT) and not isinstance(auth.key, Signer):
        raise ConfigurationError(
            f"{type(auth.key).__name__} can only be awaited, and SmartClient awaits nothing.",
            field="client_auth",
            advice="Use AsyncSmartClient, or a signer with a plain sign method.",
        )
