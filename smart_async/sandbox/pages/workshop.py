"""What the launcher can set up: apps are registered, and faults asked for and taken back."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from smart_async.errors import ConfigurationError, ProtocolError
from smart_async.messages import JSONObject, Response, strict_loads
from smart_async.sandbox.clients import Registry, SandboxClient
from smart_async.sandbox.fault_kinds import ENDPOINTS, KINDS
from smart_async.sandbox.faults import Faults
from smart_async.sandbox.pages.guard import Browser
from smart_async.sandbox.pages.render import Renderer, filled
from smart_async.sandbox.replies import see_other
from smart_async.sandbox.shapes import is_object
from smart_async.sandbox.verdicts import Received

__all__ = ("ClientPages", "FaultPages")

_N = TypeVar("_N", int, float)
_KINDS = ("public", "secret", "jwks", "jwks_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPages:
    """
    Shows the registered apps and registers more.

    Args:
        renderer: Makes the pages.
        registry: The known clients.
    """

    renderer: Renderer
    registry: Registry

    def show(self, received: Received, browser: Browser) -> Response:  # noqa: ARG002 - a page's interface
        """Show the apps and the form for one more."""
        return self._page(browser)

    # The arguments are those of all form handlers.
    def register(self, received: Received, browser: Browser, fields: dict[str, str]) -> Response:  # noqa: ARG002
        """Register an app; a secret that was made for it is shown once."""
        try:
            client = self._register(fields)
        except ConfigurationError as exc:
            return self._page(browser, chosen=fields, error=f"{exc.message} {exc.advice or ''}".strip())
        return self._page(browser, made=client)

    def _register(self, fields: dict[str, str]) -> SandboxClient:
        kind = fields.get("auth", "public")
        if kind not in _KINDS:
            raise ConfigurationError("Choose how the app authenticates.", field="auth")
        return self.registry.register(
            client_id=fields.get("client_id", "").strip(),
            client_name=fields.get("client_name"),
            redirect_uris=fields.get("redirect_uris", "").split(),
            launch_url=fields.get("launch_url"),
            client_secret=secrets.token_urlsafe(32) if kind == "secret" else None,
            jwks=_jwks(fields.get("jwks", "")) if kind == "jwks" else None,
            jwks_uri=fields.get("jwks_uri", "").strip() if kind == "jwks_uri" else None,
            scope=" ".join(fields["scope"].split()) if fields.get("scope") else None,
        )

    def _page(
        self,
        browser: Browser,
        *,
        chosen: dict[str, str] | None = None,
        error: str | None = None,
        made: SandboxClient | None = None,
    ) -> Response:
        return self.renderer.page(
            "clients.html",
            status=422 if error else 200,
            headers=browser.headers,
            form_token=browser.token,
            clients=list(self.registry),
            chosen=filled(chosen),
            error=error,
            made=made,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPages:
    """
    Shows the faults and takes orders for them.

    Args:
        renderer: Makes the pages.
        registry: The known clients.
        faults: What goes wrong on demand.
    """

    renderer: Renderer
    registry: Registry
    faults: Faults

    def show(self, received: Received, browser: Browser) -> Response:  # noqa: ARG002 - a page's interface
        """Show what is asked for and what can be."""
        return self._page(browser)

    # The arguments are those of all form handlers.
    def change(self, received: Received, browser: Browser, fields: dict[str, str]) -> Response:  # noqa: ARG002
        """Add a fault, take one back, or take back all."""
        try:
            self._change(fields)
        except ConfigurationError as exc:
            return self._page(browser, chosen=fields, error=f"{exc.message} {exc.advice or ''}".strip())
        return see_other("/" if fields.get("back") == "launcher" else "/faults")

    def _change(self, fields: dict[str, str]) -> None:
        if fields.get("action") == "clear":
            self.faults.clear()
        elif fields.get("action") == "remove":
            self.faults.remove(_number(fields, "number", int) or 0)
        else:
            self._add(fields)

    def _add(self, fields: dict[str, str]) -> None:
        kind = KINDS.get(fields.get("fault", ""))
        if kind is None:
            raise ConfigurationError("Choose a fault.", field="fault")
        value, times = _number(fields, "value", float), _number(fields, "times", int)
        option: dict[str, Any] = {kind.option: value} if kind.option and value is not None else {}
        self.faults.add(
            kind.name,
            client=fields.get("fault_client"),
            times=times,
            endpoint=fields.get("endpoint"),
            **option,
        )

    def _page(
        self, browser: Browser, *, chosen: dict[str, str] | None = None, error: str | None = None
    ) -> Response:
        values: dict[str, Any] = {
            "faults": list(self.faults),
            "kinds": list(KINDS.values()),
            "endpoints": ENDPOINTS,
            "clients": list(self.registry),
            "chosen": filled(chosen),
            "error": error,
        }
        return self.renderer.page(
            "faults.html",
            status=422 if error else 200,
            headers=browser.headers,
            form_token=browser.token,
            **values,
        )


def _number(fields: dict[str, str], name: str, kind: Callable[[str], _N]) -> _N | None:
    if name not in fields:
        return None
    try:
        return kind(fields[name])
    except ValueError:
        raise ConfigurationError(f"The field {name} must hold a number.", field=name) from None


def _jwks(text: str) -> JSONObject:
    try:
        document: object = strict_loads(text.encode())
    except ProtocolError:
        document = None
    if not is_object(document):
        raise ConfigurationError("The JWK Set is no JSON object.", field="jwks")
    return document
