"""Real servers, started once for all tests on free loopback ports, and each way to use the library."""

from __future__ import annotations

from oidc_peer import algorithm, colour, colour_name, node_path, oidc_provider

__all__ = ("algorithm", "colour", "colour_name", "node_path", "oidc_provider")
