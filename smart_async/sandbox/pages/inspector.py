"""The inspector: what arrived, what was thought of it and which rule that rests on, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smart_async.messages import Response, clean_text
from smart_async.sandbox.clients import Registry
from smart_async.sandbox.pages.guard import Browser, query_of
from smart_async.sandbox.pages.masking import assertion_of, body_members, header_fields, masked_pairs
from smart_async.sandbox.pages.render import Renderer
from smart_async.sandbox.verdicts import Exchange, Ledger, Received

__all__ = ("Inspector",)

_SHOWN = 50
_REFRESH = 5
_WORDS = {"accepted": "accepted", "refused": "refused", "remark": "accepted, but", "none": ""}
_DECISIONS = {"accepted": "allowed by the user", "refused": "denied by the user"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspector:
    """
    Shows the newest exchanges, of all clients or of one.

    Args:
        renderer: Makes the pages.
        ledger: What was received.
        registry: The known clients.
    """

    renderer: Renderer
    ledger: Ledger
    registry: Registry

    def show(self, received: Received, browser: Browser) -> Response:
        """Show the page; `client` in its query narrows it, `refresh` has the browser load it again."""
        query = query_of(received)
        client = query.get("client")
        found = [one for one in self.ledger.exchanges if client in (None, one.client_id)]
        values: dict[str, Any] = {
            "rows": [_row(exchange) for exchange in found[: -_SHOWN - 1 : -1]],
            "total": len(found),
            "replays": [one for one in self.ledger.replays if client in (None, one.client_id)],
            "clients": self._clients(),
            "client": client,
            "refresh": _REFRESH if "refresh" in query else None,
        }
        return self.renderer.page("inspect.html", headers=browser.headers, **values)

    def _clients(self) -> list[str]:
        seen = {one.client_id for one in self.ledger.exchanges if one.client_id}
        return list(dict.fromkeys([*(client.client_id for client in self.registry), *sorted(seen)]))


def _path(exchange: Exchange) -> str:
    # The name of a sign-in opens its pages, so it is no more to be shown than a code.
    path = exchange.received.path
    return "/login/••••/consent" if exchange.endpoint == "consent" else clean_text(path, length=200)


def _row(exchange: Exchange) -> dict[str, Any]:
    received = exchange.received
    refused = [verdict for verdict in exchange.verdicts if not verdict.accepted]
    remarks = [verdict for verdict in exchange.verdicts if verdict.accepted and verdict.rule]
    judged = refused or remarks or list(exchange.verdicts)
    mark = "refused" if refused else "remark" if remarks else "accepted" if judged else "none"
    return {
        "at": received.received_at,
        "method": received.method,
        "path": _path(exchange),
        "endpoint": exchange.endpoint,
        "client": exchange.client_id,
        "status": exchange.status,
        "mark": mark,
        "word": (_DECISIONS if exchange.endpoint == "consent" else _WORDS)[mark],
        "rules": [verdict.rule for verdict in judged if verdict.rule],
        "messages": [(verdict.rule, verdict.message) for verdict in exchange.verdicts],
        "faults": exchange.faults,
        "query": masked_pairs(received.query),
        "body": body_members(received) if received.body else [],
        "headers": header_fields(received),
        "assertion": assertion_of(received),
    }
