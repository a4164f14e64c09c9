"""
Key files and the environment: the one room that touches paths and `os.environ`.

Everything else of the library takes bytes and values, wherever you keep them.
"""

from smart_async.files.env import config_from_env
from smart_async.files.keyfiles import PassphraseSource, load_signing_key, write_private_key
from smart_async.files.keyfolder import KeyFolder, Reload

__all__ = (
    "KeyFolder",
    "PassphraseSource",
    "Reload",
    "config_from_env",
    "load_signing_key",
    "write_private_key",
)
