"""Servers on loopback, and one way to call every transport."""

from __future__ import annotations

from loopback import authority, ca_file, caller, servers

__all__ = ("authority", "ca_file", "caller", "servers")
