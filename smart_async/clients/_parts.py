"""What both clients are made of, before either of them waits for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async.clients._drivers import SystemClock
from smart_async.clients._events import Listener
from smart_async.errors import ConfigurationError
from smart_async.interfaces import Clock, Signer
from smart_async.limits import Limits, Timeouts
from smart_async.smart.client_auth import PrivateKeyJWT
from smart_async.smart.config import SmartConfig
from smart_async.smart.entropy import Entropy, system_entropy

if TYPE_CHECKING:
    from smart_async.smart.state import ClientState

__all__ = ("check_clock", "check_limits", "check_listener", "check_signer", "check_timeouts", "new_state")

_DAY = 86_400
_LIMITS, _TIMEOUTS = Limits(), Timeouts()  # the same for all clients that name none


def new_state(config: SmartConfig, limits: Limits | None, entropy: Entropy | None) -> ClientState:
    """
    Return the pure half of a client.

    Args:
        config: The registration.
        limits: How much is read of an answer; None for the defaults.
        entropy: The source of random bytes; None for the operating system.

    Raises:
        ConfigurationError: If one of them is something else.
    """
    from smart_async.smart.state import ClientState  # it knows all that a server may say: for later

    if not isinstance(config, SmartConfig):
        raise ConfigurationError(
            f"A client is made from a SmartConfig, not from {type(config).__name__}.", field="config"
        )
    if entropy is not None and not callable(entropy):
        raise ConfigurationError("entropy must be a function that returns random bytes.", field="entropy")
    return ClientState(config=config, limits=check_limits(limits), entropy=entropy or system_entropy)


def check_limits(limits: Limits | None) -> Limits:
    """
    Return *limits*, or the defaults, with every value checked.

    Args:
        limits: What the caller gave.

    Raises:
        ConfigurationError: If *limits* is something else, or a value lets nothing through.
    """
    if limits is None:
        return _LIMITS
    _check_kind(limits, Limits, "limits")
    for name in Limits.__slots__:
        value = getattr(limits, name)
        if type(value) is not int or value < 1:
            raise ConfigurationError(
                f"limits.{name} must be a whole number above 0, not {value!r}.", field=f"limits.{name}"
            )
    return limits


def check_clock(clock: Clock | None) -> Clock:
    """
    Return *clock*, or the machine's.

    Args:
        clock: What the caller gave.

    Raises:
        ConfigurationError: If it cannot tell both times.
    """
    if clock is not None and not isinstance(clock, Clock):
        raise ConfigurationError(
            f"{type(clock).__name__} is no clock: it has no wall() and monotonic().", field="clock"
        )
    return clock or SystemClock()


def check_listener(listener: Listener | None) -> Listener | None:
    """
    Return *listener*.

    Args:
        listener: What the caller gave.

    Raises:
        ConfigurationError: If it cannot be called.
    """
    if listener is not None and not callable(listener):
        raise ConfigurationError("on_event must be a function that takes an Event.", field="on_event")
    return listener


def check_timeouts(timeouts: Timeouts | None) -> Timeouts:
    """
    Return *timeouts*, or the defaults, with every value checked.

    Args:
        timeouts: What the caller gave.

    Raises:
        ConfigurationError: If *timeouts* is something else, or a value would wait for ever or not at all.
    """
    if timeouts is None:
        return _TIMEOUTS
    _check_kind(timeouts, Timeouts, "timeouts")
    for name in Timeouts.__slots__:
        value = getattr(timeouts, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _DAY:
            raise ConfigurationError(
                f"timeouts.{name} must be a number of seconds above 0 and below {_DAY}, not {value!r}.",
                field=f"timeouts.{name}",
            )
    return timeouts


def _check_kind(value: object, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise ConfigurationError(
            f"{name} must be a {kind.__name__} object, not {type(value).__name__}.", field=name
        )


def check_signer(config: SmartConfig) -> None:
    """
    Refuse a signer that can only be awaited, for the client that cannot await.

    Args:
        config: The registration.

    Raises:
        ConfigurationError: If its key, or any key of its ring, has `async_sign` and no `sign`.
    """
    auth = config.client_auth
    for signer in auth.signers if isinstance(auth, PrivateKeyJWT) else ():
        if not isinstance(signer, Signer):
            raise ConfigurationError(
                f"{type(signer).__name__} can only be awaited, and SmartClient awaits nothing.",
                field="client_auth",
                advice="Use AsyncSmartClient, or a signer with a plain sign method.",
            )
