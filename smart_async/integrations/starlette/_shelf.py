"""
The browsers' records in the token store: who is signed in, and which logins are under way.

An id stands in a cookie only. What the store knows is its hash, so that nobody who reads the store can be one
of its users. Every change is a compare-and-swap, so that two replicas can share a store without a lease.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from smart_async.clients._storing import async_perform, perform
from smart_async.errors import ConfigurationError, ProtocolError, StoreError
from smart_async.flow import Delete, Load, Save
from smart_async.interfaces import Stored, TokenStore
from smart_async.messages import JSONObject, as_object, strict_loads
from smart_async.stores.memory import MemoryStore

__all__ = ("DamagedError", "Shelf", "check_store", "hashed", "read_record", "written")

_VERSION = 1
_ATTEMPTS = 16
"""Changes to one record that may come in between; a browser has ten logins under way at most."""


class DamagedError(StoreError):
    """A record is not what was written: somebody else writes to the store, or it was copied."""


def hashed(value: str) -> str:
    """
    Return the SHA-256 of *value* in hex.

    Args:
        value: An id or a state.
    """
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def check_store(store: TokenStore, field: str) -> TokenStore:
    """
    Return *store*.

    Args:
        store: What the caller gave.
        field: The argument's name.

    Raises:
        ConfigurationError: If it is no store.
    """
    if not isinstance(store, TokenStore):
        raise ConfigurationError(
            f"{type(store).__name__} is no token store.",
            field=field,
            advice="Give a MemoryStore, FileStore or RedisStore from smart_async.stores.",
        )
    return store


def written(kind: str, members: Mapping[str, Any]) -> bytes:
    """
    Return a record as bytes.

    Args:
        kind: What it is.
        members: Its members.
    """
    return json.dumps({"version": _VERSION, "type": kind, **members}, separators=(",", ":")).encode()


def read_record(data: bytes, kind: str) -> JSONObject:
    """
    Return the members of what `written` wrote.

    Args:
        data: The bytes.
        kind: What it should be.

    Raises:
        DamagedError: If it is something else.
    """
    try:
        members = as_object(strict_loads(data)) or {}
    except ProtocolError:
        members = {}
    if (members.get("version"), members.get("type")) != (_VERSION, kind):
        raise DamagedError("The store holds something else than the record of a browser.")
    return members


class Shelf:
    """
    One kind of record in a store, found by the id in a cookie.

    Args:
        store: The store.
        kind: The kind; it keeps the names apart.
    """

    def __init__(self, store: TokenStore, kind: str) -> None:
        self._store = store
        self._kind = kind
        # A store in memory is quicker than a thread to call it in.
        self._quick = isinstance(store, MemoryStore)

    async def load(self, digest: str) -> Stored | None:
        """Return what is stored for the id with this hash, or None."""
        found: Stored | None = await self._perform(Load(self._key(digest)))
        return found

    async def save(self, digest: str, data: bytes, *, expected: str | None) -> bool:
        """Store *data* unless somebody was quicker; return whether it is stored."""
        step = Save(self._key(digest), data, expected, fenced=False)
        return await self._perform(step) is not None

    async def delete(self, digest: str) -> None:
        """Forget what is stored."""
        await self._perform(Delete(self._key(digest)))

    async def change(self, digest: str, make: Callable[[Stored | None], bytes]) -> None:
        """
        Replace what is stored by what *make* makes of it, as one step.

        Args:
            digest: The hash of the id.
            make: Is given what is stored and returns what shall be; called again if somebody was quicker.
                What it raises ends the change.

        Raises:
            StoreError: If the store cannot be reached, or somebody is always quicker.
        """
        for _ in range(_ATTEMPTS):
            stored = await self.load(digest)
            data = make(stored)
            if await self.save(digest, data, expected=None if stored is None else stored.version):
                return
        raise StoreError(
            "The record of this browser changes all the time.",
            advice="Too many of its requests arrive at once; try again.",
        )

    def _key(self, digest: str) -> str:
        return f"smart-async web {self._kind} {digest}"

    async def _perform(self, step: Load | Save | Delete) -> Any:
        if self._quick:
            return perform(self._store, step, None)
        return await async_perform(self._store, step, None)
