"""What the blocking and the async transports over httpx and httpx2 have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import ClassVar

from smart_async.errors import ConfigurationError, TransportError
from smart_async.messages import Request, Response, discreet
from smart_async.transports._engine import KEEP_ALIVE, ClientCertificate, Engine, Family, Options

__all__ = ("BaseTransport", "opened")


class BaseTransport:
    """What both colours have in common: the options, the engine, being closed, surviving a fork."""

    family: ClassVar[Family]

    @discreet
    def __init__(
        self,
        *,
        proxy: str | None = None,
        no_proxy: str | Iterable[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        cert: ClientCertificate | None = None,
        max_connections: int = 10,
        keepalive_expiry: float = KEEP_ALIVE,
        trust_env: bool = False,
    ) -> None:
        self.family.check_installed()
        self._options = Options(
            proxy=proxy,
            no_proxy=no_proxy,
            ca_file=ca_file,
            cert=cert,
            max_connections=max_connections,
            keepalive_expiry=keepalive_expiry,
            trust_env=trust_env,
        )
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False
        self._forget()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, at most {self._options.max_connections} connections>"

    def _forget(self) -> None:
        """Let go of all connections without a word to their servers."""
        raise NotImplementedError  # pragma: no cover - both colours have their own

    def _check_usable(self, request: Request) -> None:
        if self._closed:
            raise ConfigurationError(
                "The transport is closed.",
                endpoint=request.url.partition("?")[0],
                advice="Nothing was sent. Make a new client, or close this one later.",
            )
        self._check_fork()

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            # The lock may be held by a thread that does not exist on this side of the fork.
            self._pid, self._lock = os.getpid(), threading.Lock()
            self._forget()

    def _load(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine(self.family, self._options)
            return self._engine


def opened(outcome: Response | TransportError) -> Response:
    """Return the response, or raise the error that it is."""
    # Raised here and not where it was found: there, the engine's error would be its context, and that
    # one may quote header values.
    if isinstance(outcome, TransportError):
        raise outcome
    return outcome
