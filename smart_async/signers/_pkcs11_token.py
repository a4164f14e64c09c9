"""
Sessions with a PKCS #11 token, and the key found there.

A library is initialized without locking of its own, so one lock per library orders all calls of this
process. Logins belong to the process, not to a session, and closing a session with a login logs everybody
out; both matter where several signers share a token.

Spec: PKCS #11 v3.1, sections 5.4 (general), 5.6 (sessions) and 5.13 (signing).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import field
from typing import Any

from smart_async._values import dataclass
from smart_async.errors import ConfigurationError
from smart_async.keys.algorithms import Algorithm
from smart_async.signers._public import load_extra

__all__ = ("Library", "OpenKey", "Place", "library_at", "open_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a key is: which token, and which of its keys."""

    slot: int | None
    token_label: str | None
    key_label: str | None
    key_id: bytes | None

    @property
    def token(self) -> str:
        """The token, for a message."""
        return repr(self.token_label) if self.slot is None else f"in slot {self.slot}"


class Library:
    """One PKCS #11 library in this process."""

    __slots__ = ("_path", "_stale", "lock", "logins", "module")

    def __init__(self, path: str, *, stale: bool) -> None:
        self.module: Any = load_extra("pkcs11", extra="pkcs11", package="python-pkcs11")
        self._path = path
        self._stale = stale
        self.lock = threading.Lock()
        self.logins: set[int] = set()

    def load(self) -> Any:
        """Return the loaded, initialized library."""
        lib = self.module.lib(self._path)
        if self._stale:
            # After a fork the parent's initialization counts for nothing, though the library may think so.
            with contextlib.suppress(self.module.PKCS11Error):
                lib.finalize()
            lib.initialize()
            self._stale = False
        return lib


_libraries: dict[tuple[int, str], Library] = {}


def library_at(path: str) -> Library:
    """Return the library at *path*, the same for everybody in this process."""
    key = (os.getpid(), path)
    if key not in _libraries:
        forked = any(known == path for _, known in list(_libraries))
        return _libraries.setdefault(key, Library(path, stale=forked))
    return _libraries[key]


@dataclass(slots=True, kw_only=True, eq=False)
class OpenKey:
    """A private key, by handles that live as long as the session; each one equals only itself."""

    library: Library
    session: Any
    slot: int
    key: Any
    asks_each_time: bool
    process: int = field(default_factory=os.getpid)

    def sign(self, algorithm: Algorithm, data: bytes, pin: Callable[[], str]) -> bytes:
        """
        Return the signature of *data*.

        Args:
            algorithm: What to sign with.
            data: The message for RSA, its hash for ECDSA.
            pin: Gives the PIN to a key that wants it for every signature.
        """
        mechanism = getattr(
            self.library.module.Mechanism,
            "ECDSA" if algorithm.curve else f"SHA{algorithm.hash_bits}_RSA_PKCS",
        )
        each_time = {"pin": pin()} if self.asks_each_time else {}
        signature: bytes = self.key.sign(data, mechanism=mechanism, **each_time)
        return signature

    def public_key(self) -> Any:
        """
        Return the public key that stands beside the private one.

        An RSA private key tells its public numbers; for an elliptic-curve one there has to be a public
        object with the same id or label.

        Raises:
            ConfigurationError: If there is none, or not in a form that can be read.
        """
        module = self.library.module
        with contextlib.suppress(module.NoSuchKey, module.MultipleObjectsReturned, LookupError, ValueError):
            return self._read_public_key()
        raise ConfigurationError(
            "The token holds no readable public key beside the private one.",
            field="public_key",
            advice="Pass it with public_key=, or put it there under the same id (CKA_ID).",
        )

    def _read_public_key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        module = self.library.module
        if self.key.key_type == module.KeyType.RSA:
            names = module.Attribute.MODULUS, module.Attribute.PUBLIC_EXPONENT
            source = self.key.get_attributes(names)
            if len(source) < len(names):
                source = self._beside().get_attributes(names)
            n, e = (int.from_bytes(source[name], "big") for name in names)
            return RSAPublicNumbers(e, n).public_key()
        return load_der_public_key(module.util.ec.encode_ec_public_key(self._beside()))

    def _beside(self) -> Any:
        module = self.library.module
        public = module.ObjectClass.PUBLIC_KEY
        # Not in a handler: the error would keep the first search, and with it the session, busy.
        with contextlib.suppress(module.PKCS11Error):
            return self.session.get_key(object_class=public, id=self.key.id)
        return self.session.get_key(object_class=public, label=self.key.label)

    def close(self) -> None:
        """Give the session back, as far as there still is one."""
        if self.process == os.getpid():
            _close(self.library, self.session, self.slot)


def open_key(library: Library, place: Place, pin: Callable[[], str]) -> OpenKey:
    """
    Open a session and find the key; the caller holds the library's lock.

    Args:
        library: Whose token it is.
        place: Which token and key.
        pin: Gives the PIN. It is kept by nobody, and only asked for if nobody has logged in.
    """
    module = library.module
    token = _find_token(library, place)
    slot = token.slot.slot_id
    if slot in library.logins:
        with contextlib.suppress(module.NoSuchKey):
            return _find_key(library, token.open(), slot, place)
        # Somebody logged out, and private keys went out of sight.
    if not token.flags & module.TokenFlag.LOGIN_REQUIRED:
        return _find_key(library, token.open(), slot, place)
    try:
        session = token.open(user_pin=pin())
    except module.UserAlreadyLoggedIn:  # by other code of this process
        session = token.open()
    library.logins.add(slot)
    return _find_key(library, session, slot, place)


def _find_token(library: Library, place: Place) -> Any:
    lib = library.load()
    if place.slot is None:
        return lib.get_token(token_label=place.token_label)
    for slot in lib.get_slots():
        if slot.slot_id == place.slot:
            return slot.get_token()
    raise library.module.NoSuchToken


def _find_key(library: Library, session: Any, slot: int, place: Place) -> OpenKey:
    module = library.module
    try:
        key = session.get_key(
            object_class=module.ObjectClass.PRIVATE_KEY, label=place.key_label, id=place.key_id
        )
        asks = key.get_attributes([module.Attribute.ALWAYS_AUTHENTICATE])
    except module.PKCS11Error:
        _close(library, session, slot)
        raise
    asks_each_time = asks.get(module.Attribute.ALWAYS_AUTHENTICATE, False)
    return OpenKey(library=library, session=session, slot=slot, key=key, asks_each_time=asks_each_time)


def _close(library: Library, session: Any, slot: int) -> None:
    # python-pkcs11 logs out before it closes a session that it logged in with, and that is for all sessions.
    library.logins.discard(slot)
    with contextlib.suppress(library.module.PKCS11Error):
        session.close()
