"""
Ways to send a request: over httpx, over httpx2, or in memory from a script.

Importing this package loads no HTTP library; the one you choose is loaded by the first request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smart_async._lazy import loading

if TYPE_CHECKING:
    from smart_async.transports._engine import ClientCertificate
    from smart_async.transports.httpx import AsyncHttpxTransport, HttpxTransport
    from smart_async.transports.httpx2 import AsyncHttpx2Transport, Httpx2Transport
    from smart_async.transports.logs import UrlLogFilter
    from smart_async.transports.opening import open_async_transport, open_transport
    from smart_async.transports.scripted import Answer, ScriptedTransport, json_response
    from smart_async.transports.tracing import Exchange, TracingTransport

__all__ = (
    "Answer",
    "AsyncHttpx2Transport",
    "AsyncHttpxTransport",
    "ClientCertificate",
    "Exchange",
    "Httpx2Transport",
    "HttpxTransport",
    "ScriptedTransport",
    "TracingTransport",
    "UrlLogFilter",
    "json_response",
    "open_async_transport",
    "open_transport",
)

_HOMES = {
    "Answer": "scripted",
    "AsyncHttpx2Transport": "httpx2",
    "AsyncHttpxTransport": "httpx",
    "ClientCertificate": "_engine",
    "Exchange": "tracing",
    "Httpx2Transport": "httpx2",
    "HttpxTransport": "httpx",
    "ScriptedTransport": "scripted",
    "TracingTransport": "tracing",
    "UrlLogFilter": "logs",
    "json_response": "scripted",
    "open_async_transport": "opening",
    "open_transport": "opening",
}

__getattr__, __dir__ = loading(__name__, _HOMES)
