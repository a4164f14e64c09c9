"""
Row 4: a FHIR GET through `session.auth()` with a valid token, against the same GET with a fixed header.

Both run over the engine wired to memory, so the ratio is the worst there is: a network only adds to both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2

from benchmarks.matter import BASE, PATIENT, SCOPE, TOKEN, config
from benchmarks.measure import Effort, Result, alternate, async_calls, calls, compared
from benchmarks.net import answer, wire_client
from benchmarks.rows.backend_flow import discovered
from smart_async import AsyncSmartClient, SmartClient
from smart_async.messages import Headers, Response
from smart_async.transports import ScriptedTransport

ROW = 4
LIMIT = 1.03
URL = f"{BASE}/Patient/p1"
ANSWER = answer(PATIENT, content_type="application/fhir+json")


def script() -> ScriptedTransport:
    """Return a transport with one token, good for the whole run."""
    body = TOKEN.replace(b'"expires_in": 300', b'"expires_in": 86400')
    return ScriptedTransport(Response(status=200, headers=Headers(), body=body))


def auth_of(session: Any, library: ModuleType) -> Any:
    """Return the session's auth for *library*."""
    return session.auth() if library is httpx else session.httpx2_auth()


def measure(effort: Effort) -> Iterator[Result]:
    """Yield the lines of the row."""
    libraries: tuple[ModuleType, ...] = (httpx, httpx2)
    for library in libraries:
        session = discovered(SmartClient(config(), transport=script())).backend_session(SCOPE)
        fixed = {"Authorization": f"Bearer {session.get_token().access_token.reveal()}"}
        mine = wire_client(library, ANSWER, asynchronous=False, auth=auth_of(session, library))
        plain = wire_client(library, ANSWER, asynchronous=False)
        pairs = alternate(
            calls(lambda http=mine: http.get(URL)),
            calls(lambda http=plain, headers=fixed: http.get(URL, headers=headers)),
            effort,
        )
        yield compared(ROW, f"FHIR GET, {library.__name__}, sync", "fixed header", pairs, limit=LIMIT)
    with asyncio.Runner() as runner:
        for library in libraries:
            client = discovered(AsyncSmartClient(config(), transport=script()))
            asession = client.backend_session(SCOPE)
            token = runner.run(asession.get_token())
            fixed = {"Authorization": f"Bearer {token.access_token.reveal()}"}
            mine = wire_client(library, ANSWER, asynchronous=True, auth=auth_of(asession, library))
            plain = wire_client(library, ANSWER, asynchronous=True)
            pairs = alternate(
                async_calls(lambda http=mine: http.get(URL), runner),
                async_calls(lambda http=plain, headers=fixed: http.get(URL, headers=headers), runner),
                effort,
            )
            yield compared(ROW, f"FHIR GET, {library.__name__}, async", "fixed header", pairs, limit=LIMIT)
