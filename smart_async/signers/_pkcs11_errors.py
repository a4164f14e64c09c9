"""
What a PKCS #11 library says no with, in this library's own errors.

Spec: PKCS #11 v3.1, section 5.1 (return values).
"""

from __future__ import annotations

from smart_async.errors import ConfigurationError, SmartError, TransportError

__all__ = ("is_lost", "locks_the_token", "translate")

_LOST = frozenset(
    {
        "DeviceError",
        "DeviceRemoved",
        "FunctionFailed",
        "GeneralError",
        "KeyHandleInvalid",
        "ObjectHandleInvalid",
        "OperationNotInitialized",
        "SessionClosed",
        "SessionHandleInvalid",
        "TokenNotPresent",
        "UserNotLoggedIn",
    }
)
_NOT_INITIALIZED = "not initialized"  # CKR_CRYPTOKI_NOT_INITIALIZED has no class of its own

_PIN = "Check what pin= returns. It is not tried again: a few wrong ones lock the token."
_WRONG_PIN = {
    "PinExpired": ("says that the PIN has expired", "Set a new one with the vendor's tool."),
    "PinIncorrect": ("refuses the PIN", _PIN),
    "PinInvalid": ("refuses the PIN", _PIN),
    "PinLenRange": ("refuses the PIN for its length", _PIN),
    "PinLocked": ("has locked the PIN", "Unlock it with the security officer's PIN (SO PIN)."),
    "UserPinNotInitialized": ("has no user PIN yet", "Set one with the vendor's tool."),
}
_REFUSALS = {
    **_WRONG_PIN,
    "KeySizeRange": ("cannot sign with a key of this size", "Use another key."),
    "KeyTypeInconsistent": ("cannot sign with a key of this kind", "Use an RSA or a P-384 key."),
    "FunctionNotSupported": ("cannot sign", "Use another token."),
    "MechanismInvalid": (
        "does not know the mechanism",
        "RS384 needs CKM_SHA384_RSA_PKCS, ES384 needs CKM_ECDSA; see what the token offers.",
    ),
    "MultipleObjectsReturned": (
        "has several private keys of this label and id",
        "Name one with both key_label= and key_id=.",
    ),
    "MultipleTokensReturned": ("is one of several with this label", "Name its slot with slot= instead."),
    "NoSuchKey": (
        "has no private key of this label and id",
        "List its objects with: pkcs11-tool --module LIBRARY --login --list-objects.",
    ),
}


def is_lost(exc: BaseException) -> bool:
    """Return whether *exc* means that the session is gone, so that a new one may help."""
    return type(exc).__name__ in _LOST or _NOT_INITIALIZED in str(exc)


def locks_the_token(exc: BaseException) -> bool:
    """Return whether trying the same again would bring the token nearer to being locked."""
    return type(exc).__name__ in _WRONG_PIN


def translate(exc: BaseException, *, token: str, library: str, opened: bool) -> SmartError:
    """
    Return the error to raise for one of python-pkcs11's.

    Args:
        exc: A `PKCS11Error`.
        token: How the token was named: its label or slot.
        library: The library's path.
        opened: Whether the token had been there before, so that it was pulled rather than misnamed.
    """
    name = type(exc).__name__
    if name in _REFUSALS:
        said, advice = _REFUSALS[name]
        field = "pin" if name in _WRONG_PIN else "token_label" if "Token" in name else "key_label"
        return ConfigurationError(f"The token {token} {said} ({name}).", field=field, advice=advice)
    if "while loading" in str(exc):
        return ConfigurationError(
            f"The PKCS #11 library {library} cannot be loaded.",
            field="library",
            advice="Check the path, and that the library is built for this processor.",
        )
    if name in ("NoSuchToken", "SlotIDInvalid", "TokenNotRecognised") and not opened:
        return ConfigurationError(
            f"There is no token {token} ({name}).",
            field="token_label",
            advice="List the tokens with: pkcs11-tool --module LIBRARY --list-token-slots.",
        )
    return TransportError(
        f"The token {token} does not answer ({name}); nothing was sent to the server.",
        advice="Check that it is plugged in, or that the HSM is reachable, and try again.",
        sent=False,
    )
