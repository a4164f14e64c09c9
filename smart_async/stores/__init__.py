"""
Places for tokens that have to survive a restart or be shared by workers.

- `MemoryStore`: this process, until it ends;
- `FileStore`: the processes of one machine and one user, crash-safe, encrypted if you bring a key;
- `RedisStore`: any number of machines; needs `pip install "smart-async[redis]"`.

All three keep `smart_async.interfaces.TokenStore`, and so can a store of your own. They are plain blocking
code: asynchronous clients call them in a worker thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.stores._sealing import EncryptionKey
    from smart_async.stores.file import FileStore
    from smart_async.stores.memory import MemoryStore
    from smart_async.stores.redis import RedisStore

__all__ = ("EncryptionKey", "FileStore", "MemoryStore", "RedisStore")

_HOMES = {"EncryptionKey": "_sealing", "FileStore": "file", "MemoryStore": "memory", "RedisStore": "redis"}

__getattr__, __dir__ = loading(__name__, _HOMES)
