"""
Ways to send a request: over httpx, over httpx2, or in memory from a script.

Importing this package loads no HTTP library; the one you choose is loaded by the first request.
"""

from __future__ import annotations

from smart_async.transports.scripted import Answer, ScriptedTransport, json_response

__all__ = ("Answer", "ScriptedTransport", "json_response")
