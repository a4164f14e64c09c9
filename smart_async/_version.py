"""The version of this package, for the package's metadata and for servers, which see it as the User-Agent."""

from __future__ import annotations

__all__ = ("VERSION",)

# pyproject.toml reads it here. The other way round, importlib.metadata takes as long to load as this library.
VERSION = "0.1.0.dev0"
